"""The pieces that sections are laid out from: cells that carry their rows, tables that reflow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from uncertain.evaluation.formatting import (
    NOTHING,
    figure,
    interval,
)
from uncertain.evaluation.report.glossary import ARROWS, entry
from uncertain.evaluation.report.html import (
    Attributes,
    clean,
    element,
    name,
    text,
)
from uncertain.evaluation.report.material import (
    Material,
)
from uncertain.evaluation.report.svg import Axis, strip
from uncertain.evaluation.results import Row


def row_attributes(row: Row) -> Attributes:
    """Return what a cell says of its row: names, and numbers in full; NaN is left out."""
    numbers = {name: getattr(row, name) for name in ("value", "low", "high")}
    finite = {f"data-{k}": v for k, v in numbers.items() if not math.isnan(v)}
    words = {
        f"data-{field}": clean(getattr(row, field))
        for field in (
            "metric",
            "variant",
            "split",
            "source",
            "kind",
            "other",
            "task",
            "training",
            "subgroup",
        )
        if getattr(row, field)
    }
    return {**words, "data-over": row.over, "data-n": row.n, **finite}


def shown(row: Row) -> str:
    """Return a figure with its interval, carrying its row."""
    ends = " " + element("span", text(interval(row)), {"class": "nowrap"})
    return element(
        "span", text(figure(row)) + (ends if row.has_interval else ""), row_attributes(row)
    )


def cell(
    row: Row | None, label: str, *, extra: str = "", best: bool = False, css: str | None = None
) -> str:
    """Return a cell: figure, rank group, interval below, and a remark; ``css`` marks the figure."""
    attributes: Attributes = {"class": "n", "role": "cell", "data-label": label}
    if row is None:
        return element("td", NOTHING, {**attributes, "class": "n absent"})
    group = element("span", text(row.rank_group), _GROUP) if row.rank_group else ""
    shown = element("span", text(figure(row)), {"class": "best" if best else css})
    small = element("small", text(interval(row))) if row.has_interval else ""
    if not math.isfinite(row.value):
        small = element("small", text(row.reason), {"class": "words"})
    content = element("span", shown + group + small + extra)
    return element("td", content, {**attributes, **row_attributes(row)})


_GROUP: Attributes = {
    "class": "group",
    "title": "rank group: models that share a letter are not told apart",
}


def table(caption: str, header: Sequence[tuple[str, bool]], body: Sequence[str]) -> str:
    """Return a table that becomes a list of cards on a narrow page.

    Args:
        caption: What it holds, read out but not shown.
        header: Column heads as HTML, and whether each holds numbers.
        body: Rows as HTML.
    """
    head = "".join(
        element(
            "th",
            content,
            {"scope": "col", "role": "columnheader", "class": "n" if numeric else None},
        )
        for content, numeric in header
    )
    # Roles are spelled out because `display: block` takes a table's own away.
    parts = (
        element("caption", element("span", text(caption), {"class": "sr"}))
        + element("thead", element("tr", head, {"role": "row"}), {"role": "rowgroup"})
        + element("tbody", "".join(body), {"role": "rowgroup"})
    )
    inner = element("table", parts, {"class": "table", "role": "table"})
    region: Attributes = {
        "class": "wide", "tabindex": 0, "role": "region", "aria-label": clean(caption),
    }  # fmt: skip
    return element("div", inner, region)


def line(head: str, cells: Sequence[str]) -> str:
    """Return a row: its head and its cells."""
    first = element("th", head, {"scope": "row", "role": "rowheader"})
    return element("tr", first + "".join(cells), {"role": "row"})


def metric_head(metric: str, variant: str = "") -> str:
    """Return a column head: the metric, which way is better, and its variant."""
    info = entry(metric)
    arrow, words = ARROWS[info.better]
    shown = text(info.label)
    if arrow:
        shown += f'\N{NO-BREAK SPACE}<span aria-hidden="true">{arrow}</span>' + element(
            "span", f" ({words})", {"class": "sr"}
        )
    return shown + (element("small", name(variant)) if variant else "")


def strip_cell(
    material: Material, row: Row | None, axis: Axis, css: str, *, guide: float | None
) -> str:
    """Return a cell with a row's dot and interval on an axis shared by the column."""
    if row is None or not math.isfinite(row.value):
        return element("td", "", {"class": "bare", "role": "cell"})
    title = f"{clean(row.source)}: {figure(row)} {interval(row)}"
    dots = [(row.value, row.low, row.high, css)]
    drawing = strip(material.identifier(), title, axis, dots, guide=guide)
    return element("td", drawing, {"class": "bare", "role": "cell"})


def by_task(material: Material, of_task: Callable[[str], str]) -> str:
    """Return one block a task, under its name where there are several."""
    blocks = [(task, of_task(task)) for task in material.tasks]
    several = len(material.tasks) > 1
    return "".join(
        element("section", element("h3", name(task or "data")) + block) if several else block
        for task, block in blocks
        if block
    )


STACK = {"class": "stack"}
