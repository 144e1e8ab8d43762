"""Which model is better? Paired differences as dots with intervals, and what they mean."""

from __future__ import annotations

import math
from collections.abc import Sequence

from uncertain.evaluation.formatting import (
    p_text,
)
from uncertain.evaluation.report.glossary import DIAGNOSTICS, entry
from uncertain.evaluation.report.html import (
    details,
    element,
    name,
    paragraph,
    text,
)
from uncertain.evaluation.report.layout import (
    by_task,
    cell,
    line,
    strip_cell,
    table,
)
from uncertain.evaluation.report.material import (
    Material,
    main_variant,
)
from uncertain.evaluation.report.svg import Axis, padded
from uncertain.evaluation.results import Row

MOST_OPEN = 12
MOST_PAIRS = 48


def comparisons(material: Material) -> str:
    """Return the paired differences on the test set."""

    def of_task(task: str) -> str:
        rows = [
            r
            for r in material.results.rows
            if r.task == task and r.kind == "difference" and not r.variant.startswith("ood:")
        ]
        tests = [r for r in rows if r.split == "test"] or rows
        main = _main_differences(tests)
        if not main:
            return ""
        if len(main) > MOST_OPEN:
            # Many pairs: the scores that decide stay open, calibration and ranking fold away.
            first = [r for r in main if r.metric in ("accuracy", "nll", "crps")]
            main = first or main
        others = [r for r in tests if r not in main]
        shown = comparison_table(material, main[:MOST_PAIRS])
        if others:
            folded = comparison_table(material, others[: 2 * MOST_PAIRS])
            shown += details("Other metrics, bins and repetitions", folded)
        hidden = max(0, len(main) - MOST_PAIRS) + max(0, len(others) - 2 * MOST_PAIRS)
        note = f"{hidden} more are in the table of all figures." if hidden else ""
        return shown + (paragraph(note, "note") if note else "")

    body = by_task(material, of_task)
    note = (
        "Differences on the same rows, the first model minus the second. p-values are adjusted by "
        "Holm for the number of comparisons; a coloured dot names the better model."
    )
    return body and paragraph(note, "note") + body


def _main_differences(rows: Sequence[Row]) -> list[Row]:
    """Return one difference a metric and pair: the usual variant, over the most that is known."""
    variants: dict[str, set[str]] = {}
    for row in rows:
        variants.setdefault(row.metric, set()).add(row.variant)
    widest: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        if row.variant != main_variant(row.metric, variants[row.metric]):
            continue
        key = (row.metric, row.source, row.other)
        if key not in widest or _BREADTH[row.over] < _BREADTH[widest[key].over]:
            widest[key] = row
    return list(widest.values())


_BREADTH = {"both": 0, "trainings": 1, "items": 2}


def comparison_table(material: Material, rows: Sequence[Row]) -> str:
    """Return paired differences: a dot and its interval, one scale a metric, and Holm's p."""
    axes = {}
    for key in dict.fromkeys((row.metric, row.variant) for row in rows):
        ends = [
            v
            for row in rows
            if (row.metric, row.variant) == key
            for v in (0.0, row.value, row.low, row.high)
            if math.isfinite(v)
        ]
        axes[key] = Axis("difference", *padded(min(ends), max(ends)))
    body = []
    for row in rows:
        css = "none" if undecided(row) else str(material.style(winner(row))["class"])
        drawing = strip_cell(material, row, axes[row.metric, row.variant], css, guide=0.0)
        head = name(row.source) + " − " + name(row.other)
        over = "" if row.over == "items" else f", over {row.over}"
        variant = f", {name(row.variant)}" if row.variant else ""
        label = element(
            "span", text(entry(row.metric).label) + element("small", f"{head}{variant}{over}")
        )
        p = element(
            "td",
            text(p_text(row.p_value)),
            {"class": "n", "role": "cell", "data-label": "p (Holm)", "data-p": row.p_value},
        )
        verdict = element(
            "td", element("span", _verdict(row)), {"role": "cell", "data-label": "Reading"}
        )
        body.append(line(label, [drawing, cell(row, "Difference"), p, verdict]))
    header = [
        ("Figure and pair", False), ("", False), ("Difference", True), ("p (Holm)", True),
        ("Reading", False),
    ]  # fmt: skip
    return table("Paired differences", header, body)


def undecided(row: Row) -> bool:
    """Return whether a difference may be zero: by its adjusted p-value, else by its interval."""
    if row.p_value is not None:
        return row.p_value >= 1 - row.level or not row.has_interval
    return not row.has_interval or row.low <= 0 <= row.high


def winner(row: Row) -> str:
    """Return which of the two sources of a difference is better."""
    higher = entry(row.metric).better == "higher"
    return row.source if (row.value > 0) == higher else row.other


def _verdict(row: Row) -> str:
    if not math.isfinite(row.value):
        return text(row.reason)
    if undecided(row):
        return "not told apart"
    if entry(row.metric).better not in ("higher", "lower"):
        return "they differ"
    if row.metric in DIAGNOSTICS:
        return f"{name(winner(row))} is nearer to calibration"
    return f"{name(winner(row))} is better"
