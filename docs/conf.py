"""Sphinx: the pages are Markdown, the API comes from docstrings, the gallery runs when built.

Nothing is fetched, neither when the pages are built nor when they are read: mathematics becomes
MathML here, and no inventory of another project is asked for.
"""

from __future__ import annotations

import html
import logging
import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.util.logging import getLogger

import uncertain

_LOGGER = getLogger(__name__)
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # figure_style, results_tables

import perturbed_tables  # noqa: E402  (found through the line above)
import process_tables  # noqa: E402
import results_tables  # noqa: E402

project = "uncertain"
author = "the uncertain developers"
copyright = "the uncertain developers, Apache-2.0"
version = release = uncertain.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "gallery/**/*.ipynb", "gallery/**/*.py", "gallery/**/*.md5"]
templates_path: list[str] = []
root_doc = "index"
nitpicky = False
default_role = "code"  # docstrings name arguments in single back-quotes

myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "groupwise"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"uncertain {release}"
html_static_path = ["_static"]
html_css_files = ["figures.css"]
html_math_renderer = "mathml"
html_show_sphinx = False

sphinx_gallery_conf = {
    "examples_dirs": [str(HERE.parent / "examples")],
    "gallery_dirs": ["gallery"],
    "filename_pattern": r"plot_",
    "within_subsection_order": "figure_style.ReadingOrder",
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
    "capture_repr": ("_repr_html_", "__repr__"),
    "reset_modules": ("matplotlib", "figure_style.quiet_figures"),
    "reset_modules_order": "both",
    "plot_gallery": "True",
    "abort_on_example_error": True,
    "only_warn_on_example_error": False,
    "min_reported_time": 1,
    "show_memory": False,
}

# The gallery's scripts run in this process: one thread, as everywhere, and no chatter.
os.environ.setdefault("OMP_NUM_THREADS", "1")
logging.getLogger("matplotlib").setLevel(logging.WARNING)
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")


def _mathml(node: nodes.Element, *, as_block: bool) -> str:
    """Translate TeX, which knows sizes that MathML chooses by itself."""
    tex = re.sub(r"\\(textstyle|displaystyle|[bB]igg?[lmr]?)(?![a-zA-Z])", "", node.astext())
    try:
        return str(latex2mathml.tex2mathml(tex, as_block=as_block))
    except MathError as error:
        _LOGGER.warning("mathematics that can't be shown: %s: %s", tex, error, location=node)
        return f"<code>{html.escape(tex)}</code>"


def _inline_math(self: Any, node: nodes.Element) -> None:
    self.body.append(_mathml(node, as_block=False))
    raise nodes.SkipNode


def _block_math(self: Any, node: nodes.Element) -> None:
    self.body.append(self.starttag(node, "div", CLASS="math"))
    self.body.append(_mathml(node, as_block=True))
    self.body.append("</div>\n")
    raise nodes.SkipNode


def _without_fields(
    app: Any, what: str, name: str, member: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out a named tuple's fields: its docstring describes them, Sphinx only counts them."""
    return True if type(member).__name__ == "_tuplegetter" else None


def _tables(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Turn a Markdown table in a docstring, which reads well in the source, into a list table."""
    start = next((i for i, line in enumerate(lines) if line.startswith("|---")), None)
    if start is None:
        return
    first = start - 1
    end = next((i for i in range(start, len(lines)) if not lines[i].startswith("|")), len(lines))
    rows = [lines[first], *lines[start + 1 : end]]
    made = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        for column, cell in enumerate(row.strip().strip("|").split(" | ")):
            made.append(f"   {'  ' if column else '* '}- {cell.strip()}")
    lines[first:end] = [*made, ""]


def _results(app: Any, name: str, source: list[str]) -> None:
    """Put the tables of stored results into their page."""
    if name == "results":
        source[0] = source[0].replace(results_tables.MARK, results_tables.page(HERE / "results"))
    if name == "wasserstein":
        source[0] = perturbed_tables.fill(source[0], HERE / "results" / "wasserstein")
    if name == "gp":
        source[0] = process_tables.fill(source[0], HERE / "results" / "gp")


def setup(app: Any) -> None:
    """Register mathematics as MathML, which browsers draw by themselves."""
    app.connect("autodoc-process-docstring", _tables)
    app.connect("autodoc-skip-member", _without_fields)
    app.connect("source-read", _results)
    app.add_html_math_renderer("mathml", (_inline_math, None), (_block_math, None))
