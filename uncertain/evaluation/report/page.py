"""The page itself: head, answers, sections, and writing it whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources

from uncertain import atomic, checks
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.report import sections
from uncertain.evaluation.report.headline import answers
from uncertain.evaluation.report.html import element, name, text
from uncertain.evaluation.report.material import Material
from uncertain.evaluation.results import Results


def write_report(
    results: Results,
    predictions: Sequence[Predictions],
    path: atomic.StrPath,
    *,
    title: str,
    command: str = "",
) -> None:
    """Write the report of a judgement as one self-contained HTML page.

    Args:
        results: The table of figures, from :func:`uncertain.evaluation.evaluate`.
        predictions: What was judged, for the plots and the mistakes; may be empty, and then the
            page has tables only.
        path: Where to; written whole or not at all.
        title: The page's heading.
        command: The command that made it; by default the one the results know.

    Raises:
        ValueError: Where there are neither results nor predictions.
        OSError: Where the page can't be written.

    Example:
        >>> import pathlib, tempfile
        >>> from uncertain.evaluation import Row
        >>> page = pathlib.Path(tempfile.mkdtemp()) / "report.html"
        >>> write_report(Results([Row("accuracy", 0.9, 0.88, 0.92, n=900)]), [], page, title="Net")
        >>> "[0.880, 0.920]" in page.read_text(encoding="utf-8")
        True
    """
    atomic.write_text(path, render_report(results, predictions, title=title, command=command))


def render_report(
    results: Results, predictions: Sequence[Predictions], *, title: str, command: str = ""
) -> str:
    """Return the page that :func:`write_report` writes, as text.

    Raises:
        ValueError: Where there are neither results nor predictions.
    """
    if not len(results):
        checks.check_not_empty("results", results, hint="evaluate the predictions first")
    material = Material(results, predictions)
    parts = [
        ("figures", "Figures", sections.figures(material)),
        ("calibration", "Can its probabilities be trusted?", sections.calibration(material)),
        ("mistakes-known", "Does it know when it is wrong?", sections.mistakes_known(material)),
        ("strange", "Does it notice strange inputs?", sections.strange_inputs(material)),
        ("shift", "What happens as inputs shift?", sections.shifts(material)),
        ("comparison", "Which model is better?", sections.comparisons(material)),
        ("cost", "What does it cost?", sections.costs(material)),
        ("mistakes", "Most confident mistakes", sections.mistakes(material)),
        ("all", "Every figure", sections.everything(material)),
        ("glossary", "What the figures mean", sections.glossary(material)),
        ("provenance", "How this was made", sections.provenance(material, command)),
    ]
    there = [part for part in parts if part[2]]
    body = _masthead(material, title, there) + element(
        "main", _main(material, there), {"id": "main"}
    )
    return _document(title, body)


def _main(material: Material, parts: Sequence[tuple[str, str, str]]) -> str:
    return answers(material) + "".join(
        element(
            "section",
            element("h2", text(heading), {"id": f"{identifier}-h"}) + content,
            {"id": identifier, "aria-labelledby": f"{identifier}-h"},
        )
        for identifier, heading, content in parts
    )


def _masthead(material: Material, title: str, parts: Sequence[tuple[str, str, str]]) -> str:
    links = "".join(
        element("li", element("a", text(heading), {"href": f"#{identifier}"}))
        for identifier, heading, _ in parts
    )
    created = material.results.metadata.get("created", "")
    levels = sorted({row.level for row in material.results.rows if row.has_interval})
    said = [f"{100 * level:g} % intervals" for level in levels[:2]]
    facts = " · ".join([*said, *([f"made {text(created)}"] if created else [])])
    return element(
        "header",
        element("a", "Skip to the answers", {"href": "#main", "class": "skip"})
        + element("p", "Report on predictions", {"class": "kicker"})
        + element("h1", name(title))
        + (element("p", facts, {"class": "soft"}) if facts else "")
        + element("nav", element("ul", links), {"aria-label": "Sections"}),
        {"class": "masthead"},
    )


def _document(title: str, body: str) -> str:
    made_by = "Made by uncertain. One file, no script, nothing loaded from elsewhere."
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; img-src data:\">\n"
        f"<title>{text(title)}</title>\n<style>\n{_style()}</style>\n</head>\n<body>\n"
        f'<div class="page">\n{body}\n<footer>{made_by}</footer>\n</div>\n</body>\n</html>\n'
    )


@cache
def _style() -> str:
    return resources.files(__package__).joinpath("style.css").read_text(encoding="utf-8")
