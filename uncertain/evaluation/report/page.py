"""The page itself: head, answers, sections, and writing it whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from importlib import resources
from typing import NamedTuple

from uncertain import atomic, checks
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.report import (
    comparison,
    conformal,
    detection,
    detectors,
    disentanglement,
    scaling,
    sections,
    subgroups,
)
from uncertain.evaluation.report.banner import banner
from uncertain.evaluation.report.headline import answers
from uncertain.evaluation.report.html import element, name, text
from uncertain.evaluation.report.material import Material
from uncertain.evaluation.results import Results


class Part(NamedTuple):
    """A section: its key in the page, its link, its heading and its content."""

    key: str
    link: str
    heading: str
    content: str


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
    material = Material(results, predictions, command=command)
    parts = (
        ("figures", "Figures", "Figures", sections.figures),
        ("calibration", "Calibration", "Can the probabilities be trusted?", sections.calibration),
        ("errors", "Errors", "Does it know when it is wrong?", detection.errors_known),
        ("strange", "Strange inputs", "Does it notice strange inputs?", detection.strange_inputs),
        ("detectors", "Detectors", "Which detector notices?", detectors.detector_tables),
        ("parts", "Parts", "Are noise and ignorance told apart?", disentanglement.parts),
        ("subgroups", "Subgroups", "Is it good everywhere?", subgroups.subgroup_tables),
        ("shift", "Shift", "What happens as inputs shift?", sections.shifts),
        ("comparison", "Comparison", "Which model is better?", comparison.comparisons),
        ("conformal", "Conformal", "Do conformal sets keep their promise?", conformal.promises),
        ("scaled", "Temperature", "And after temperature scaling?", scaling.scaled),
        ("cost", "Cost", "What does it cost?", sections.costs),
        ("mistakes", "Mistakes", "Most confident mistakes", sections.mistakes),
        ("all", "Every figure", "Every figure", sections.everything),
        ("glossary", "Glossary", "What the figures mean", sections.glossary),
        ("provenance", "Provenance", "How this was made", sections.provenance),
    )
    written = [Part(key, link, heading, section(material)) for key, link, heading, section in parts]
    there = [part for part in written if part.content]
    body = _masthead(material, title, there) + element(
        "main", _main(material, there), {"id": "main"}
    )
    return document(title, body)


def _main(material: Material, parts: Sequence[Part]) -> str:
    return (
        banner(material)
        + answers(material)
        + "".join(
            element(
                "section",
                element("h2", text(part.heading), {"id": f"{part.key}-h"}) + part.content,
                {"id": part.key, "aria-labelledby": f"{part.key}-h"},
            )
            for part in parts
        )
    )


def _masthead(material: Material, title: str, parts: Sequence[Part]) -> str:
    links = "".join(
        element("li", element("a", text(part.link), {"href": f"#{part.key}"})) for part in parts
    )
    created = material.results.metadata.get("created", "")
    levels = sorted({row.level for row in material.results.rows if row.has_interval})
    said = [f"{100 * level:g} % intervals" for level in levels[:2]]
    facts = " · ".join([*said, *([f"{text(_date(created))}"] if created else [])])
    return element(
        "header",
        element("a", "Skip to the answers", {"href": "#main", "class": "skip"})
        + element("p", "Report on predictions", {"class": "kicker"})
        + element("h1", name(title))
        + (element("p", facts, {"class": "soft"}) if facts else "")
        + element("nav", element("ul", links), {"aria-label": "Sections"}),
        {"class": "masthead"},
    )


def document(title: str, body: str) -> str:
    """Return a whole page around its body, with the report's style and no way out."""
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


def _date(created: str) -> str:
    """Return a time as a reader writes it.

    Example:
        >>> _date("2026-11-03T20:23:34Z"), _date("once")
        ('3 November 2026, 20:23 UTC', 'once')
    """
    try:
        time = datetime.strptime(created, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return created
    return f"{time.day} {time:%B %Y, %H:%M} UTC"


@cache
def _style() -> str:
    return resources.files(__package__).joinpath("style.css").read_text(encoding="utf-8")
