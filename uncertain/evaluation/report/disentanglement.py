"""Is the split into noise and ignorance real? One table a task: what should be, and what is."""

from __future__ import annotations

from uncertain.evaluation.report.glossary import PARTS, entry
from uncertain.evaluation.report.html import element, name, paragraph, text
from uncertain.evaluation.report.layout import by_task, cell, line, table
from uncertain.evaluation.report.material import Material
from uncertain.evaluation.report.plots import swatch
from uncertain.evaluation.results import Row
from uncertain.evaluation.row_order import metric_key

RED = "red: "


def parts(material: Material) -> str:
    """Return the tests of the two parts, a failed one tagged."""

    def of_task(task: str) -> str:
        rows = sorted(
            (row for row in material.results.rows if row.task == task and row.metric in PARTS),
            key=lambda row: (row.source, metric_key(row.metric), row.variant),
        )
        if not rows:
            return ""
        body = [_line(material, row) for row in rows]
        header = [("Test", False), ("Should be", False), ("Is", True), ("Reading", False)]
        return table("Tests of the two parts", header, body)

    body = by_task(material, of_task)
    note = (
        "A model's noise (aleatoric) and ignorance (epistemic) are put to the test: do they differ at "
        "all, does ignorance fall with more rows, is injected noise called noise?"
    )
    return body and paragraph(note, "note") + body


def _line(material: Material, row: Row) -> str:
    variant = "" if row.variant == "spearman" else f", {name(row.variant)}"
    small = element("small", swatch(material, row.source) + name(row.source) + variant)
    label = element("span", text(entry(row.metric).label) + small)
    should = element(
        "td",
        element("span", text(PARTS[row.metric])),
        {"role": "cell", "data-label": "Should be"},
    )
    red = row.reason.startswith(RED)
    words = text(row.reason.removeprefix(RED), longest=200)
    tag = element("span", "red", {"class": "tag"}) + " " if red else ""
    reading = element("td", element("span", tag + words), {"role": "cell", "data-label": "Reading"})
    return line(label, [should, cell(row, "Is"), reading])
