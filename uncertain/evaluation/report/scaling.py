"""The figures and comparisons once more, after every model got its best temperature."""

from __future__ import annotations

from uncertain.evaluation.report import tables
from uncertain.evaluation.report.comparison import comparisons
from uncertain.evaluation.report.html import details, element, name, paragraph, text
from uncertain.evaluation.report.layout import by_task
from uncertain.evaluation.report.material import Material
from uncertain.evaluation.temperature_scaled import as_raw, is_scaled

MOST = 24


def scaled(material: Material) -> str:
    """Return the test figures after temperature scaling, their differences, and the temperatures."""
    table = as_raw(material.every.select(subgroup=""))
    if not len(table):
        return ""
    after = Material(table, material.predictions, prefix="t")

    def of_task(task: str) -> str:
        if not after.metrics(task, "test"):
            return ""
        return tables.summary(after, task, "test") + _temperatures(material, task)

    note = (
        "A model that is only too sure, or too unsure, is repaired by one number. Here every model has "
        "its own, fitted on other rows, and what still differs is not a matter of sharpness. Accuracy "
        "does not change. Intervals take the temperature as part of the model."
    )
    differences = comparisons(after)
    if differences:
        differences = details("Paired differences after temperature scaling", differences)
    return paragraph(note, "note") + by_task(after, of_task) + differences


def _temperatures(material: Material, task: str) -> str:
    """Return how each model was scaled, one line a training."""
    rows = [
        row
        for row in material.every.select(task=task, split="test", metric="nll", subgroup="")
        if is_scaled(row) and not row.other and (row.training or row.over == "items")
    ]
    shown = [
        element(
            "li",
            name(row.source)
            + (f" ({text(row.training)})" if row.training else "")
            + f": {text(row.reason, longest=300)}.",
        )
        for row in rows[:MOST]
    ]
    if not shown:
        return ""
    hidden = len(rows) - len(shown)
    more = element("li", f"{hidden} more are in the table of all figures.") if hidden > 0 else ""
    return details("Temperatures", element("ul", "".join(shown) + more))
