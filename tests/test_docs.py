"""The pages say what the program does: every option and every metric is documented."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.main import get_command

from uncertain.cli import app
from uncertain.evaluation.row_order import METRICS

DOCS = Path(__file__).parents[1] / "docs"


def options(verb: str) -> Iterator[str]:
    """Yield the long options of one verb, as the command line itself knows them."""
    command = get_command(app)
    found = command.get_command(typer.Context(command), verb)  # type: ignore[attr-defined]
    for parameter in found.params:
        longs = [name for name in parameter.opts if name.startswith("--")]
        yield from longs[:1]


PAGES = {
    "evaluate": "benchmark",
    "benchmark": "benchmark",
    "compare": "comparison",
    "audit": "audit",
}


@pytest.mark.parametrize("verb", PAGES)
def test_every_option_is_documented(verb):
    page = (DOCS / f"{PAGES[verb]}.md").read_text()
    missing = [name for name in options(verb) if not re.search(rf"{name}\b", page)]
    assert missing == ["--help"] * missing.count("--help")


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_is_defined(metric):
    assert f"`{metric}`" in (DOCS / "evaluation.md").read_text()


def test_every_page_is_in_the_contents():
    listed = set(re.findall(r"^([\w/-]+)$", (DOCS / "index.md").read_text(), re.MULTILINE))
    pages = {str(p.relative_to(DOCS).with_suffix("")) for p in DOCS.glob("*.md")}
    assert pages - {"index"} <= listed


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda path: path.stem)
def test_python_blocks_compile(page):
    if {"_build", "gallery"} & set(page.parts):
        pytest.skip("made by the build")
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        compile(block, str(page), "exec")


@pytest.mark.slow
def test_the_conformal_page_runs():
    page = (DOCS / "conformal.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    named: dict[str, Any] = {}
    exec(block, named)
    assert named["sets"].shape == (len(named["digits"].test), 10)
    row, *_ = named["judged"].select(metric="conformal_coverage", variant="THR,0.9")
    labels = np.asarray(named["digits"].test.y[:])
    assert row.value == named["sets"][np.arange(len(labels)), labels].mean()
