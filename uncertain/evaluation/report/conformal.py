"""Conformal sets: coverage against its goal, sizes, and the parts where coverage is lost."""

from __future__ import annotations

from collections.abc import Sequence

from uncertain.evaluation.conformal.judging import FEWEST
from uncertain.evaluation.conformal.printing import reading
from uncertain.evaluation.formatting import p_text
from uncertain.evaluation.report.glossary import CONFORMAL, entry
from uncertain.evaluation.report.html import details, element, name, paragraph, text
from uncertain.evaluation.report.layout import by_task, cell, line, table
from uncertain.evaluation.report.material import OVER_ORDER, Material
from uncertain.evaluation.report.plots import swatch
from uncertain.evaluation.results import Row
from uncertain.evaluation.row_order import split_key

MOST = 60


def promises(material: Material) -> str:
    """Return coverage and size of every method and split, and the parts folded away."""

    def of_task(task: str) -> str:
        every = [row for row in material.every.select(task=task) if row.metric in CONFORMAL]
        rows = _standing(every)
        whole = [row for row in rows if "_by_" not in row.metric]
        if not whole:
            return ""
        plain = [row for row in whole if not row.split.startswith("shift:")]
        shifted = [row for row in whole if row.split.startswith("shift:")]
        parts = [row for row in rows if "_by_" in row.metric]
        shown = _whole(material, plain or shifted)
        if plain and shifted:
            shown += details("Under each shift", _whole(material, shifted))
        return shown + (
            details("By size, class and group", _parts(material, parts)) if parts else ""
        )

    note = (
        "A set is promised to hold the target with the stated probability, where test rows are like the "
        "calibration rows. Under a shift nothing is promised, and coverage shows what is lost. The "
        "p-value is of the law that coverage follows, not of the goal itself; of several trainings it is the "
        "smallest times their number."
    )
    body = by_task(material, of_task)
    return body and paragraph(note, "note") + body


def _standing(rows: Sequence[Row]) -> list[Row]:
    """Return the mean over trainings where there is one, by its widest interval, else each training."""
    named: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        key = (row.split, row.source, row.metric, row.variant)
        named.setdefault(key, []).append(row)
    found: list[Row] = []
    for trained in named.values():
        means = [row for row in trained if not row.training]
        found += [min(means, key=lambda row: OVER_ORDER[row.over])] if means else trained
    return found


def _whole(material: Material, rows: Sequence[Row]) -> str:
    found: dict[tuple[str, str, str, str], dict[str, Row]] = {}
    for row in rows:
        key = (row.split, row.source, row.training, row.variant)
        found.setdefault(key, {})[row.metric] = row
    body = []
    for key, figures in sorted(
        found.items(), key=lambda item: (split_key(item[0][0]), item[0][1:])
    ):
        split, source, training, variant = key
        coverage = figures.get("conformal_coverage")
        size = figures.get("set_size") or figures.get("interval_width")
        label = name(source) + (f" ({text(training)})" if training else "")
        head = (
            swatch(material, source) + label + element("small", f"{name(variant)}, {name(split)}")
        )
        cells = [
            cell(coverage, "Coverage"),
            element("td", text(p_text(coverage.p_value if coverage else None)), {
                "class": "n", "role": "cell", "data-label": "p",
            }),
            cell(size, "Size"),
            element("td", element("span", text(reading(coverage), longest=300)), {"role": "cell", "data-label": "Reading"}),
        ]  # fmt: skip
        body.append(line(head, cells))
    header = [
        ("Model, method and goal, split", False), ("Coverage", True), ("p", True),
        ("Size or width", True), ("Reading", False),
    ]  # fmt: skip
    hidden = len(body) - MOST
    more = f"{hidden} more are in the table of all figures." if hidden > 0 else ""
    shown = table("Conformal coverage and size", header, body[:MOST])
    return shown + (paragraph(more, "note") if more else "")


def _parts(material: Material, rows: Sequence[Row]) -> str:
    ordered = sorted(
        rows, key=lambda row: (split_key(row.split), row.source, row.metric, row.variant)
    )
    body = [
        line(
            swatch(material, row.source)
            + name(row.source)
            + element(
                "small", f"{text(entry(row.metric).label)}, {name(row.variant)}, {name(row.split)}"
            ),
            [cell(row, "Coverage")],
        )
        for row in ordered[: 2 * MOST]
    ]
    shown = table("Coverage of parts", [("Part", False), ("Coverage", True)], body)
    shown += paragraph(
        f"Parts of fewer than {FEWEST} rows are left out, but for empty sets.", "note"
    )
    hidden = len(ordered) - 2 * MOST
    more = f"{hidden} more are in the table of all figures." if hidden > 0 else ""
    return shown + (paragraph(more, "note") if more else "")
