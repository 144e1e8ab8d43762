"""The section on subgroups: a table a column, the worst of each figure marked and named."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from uncertain.evaluation.formatting import count
from uncertain.evaluation.report.glossary import entry
from uncertain.evaluation.report.html import clean, element, name, paragraph, text
from uncertain.evaluation.report.layout import by_task, cell, line, metric_head, table
from uncertain.evaluation.report.material import Material, main_variant
from uncertain.evaluation.report.plots import swatch
from uncertain.evaluation.results import Row
from uncertain.evaluation.row_order import metric_key, natural_key, split_key
from uncertain.evaluation.worst import worst_name

SHOWN = ("accuracy", "nll", "ece_debiased", "auroc", "crps", "rps", "rmse", "coverage", "pit_ks")
"""Figures that have a column, where they are there; the others are in the table of all figures."""
MOST = 40
"""Subgroups a table shows: the worst by its first figure where there are more."""
Cells = Mapping[tuple[str, str], Row]


def subgroup_tables(material: Material) -> str:
    """Return the figures of each subgroup; empty where nothing was judged by a column."""

    def of_task(task: str) -> str:
        named: dict[tuple[str, str, str], list[Row]] = {}
        for row in material.every.rows:
            if row.subgroup and row.task == task and row.kind != "null":
                named.setdefault((row.split, column_of(row), row.source), []).append(row)
        keys = sorted(named, key=lambda k: (split_key(k[0]), natural_key(k[1]), natural_key(k[2])))
        return "".join(_block(material, key, named[key]) for key in keys)

    note = (
        "The worst subgroup of each figure is underlined. The last line is its figure, with the "
        "interval of the worst <em>true</em> figure: it knows that the worst was picked, as it "
        "holds for all subgroups together. Which others may be the worst, the table of every figure "
        "says."
    )
    body = by_task(material, of_task)
    return body and paragraph(note, "note") + body


def column_of(row: Row) -> str:
    """Return the column that a row's subgroup is of.

    Example:
        >>> column_of(Row("accuracy", 0.9, subgroup="site=B")), column_of(
        ...     Row("accuracy", 0.9, subgroup="worst site")
        ... )
        ('site', 'site')
    """
    if row.subgroup.startswith("worst ") and "=" not in row.subgroup:
        return row.subgroup.removeprefix("worst ")
    return row.subgroup.partition("=")[0]


def _block(material: Material, key: tuple[str, str, str], rows: Sequence[Row]) -> str:
    split, column, source = key
    cells = _cells(rows)
    there = [m for m in _metrics(cells) if not _all_undefined(m, cells)]
    missing = [row.reason for (_, m), row in cells.items() if m in SHOWN and m not in there]
    metrics = [m for m in there if m in SHOWN] or there[:6]
    if not metrics:
        return ""
    worst = f"worst {column}"
    groups = sorted({group for group, _ in cells} - {worst}, key=natural_key)
    hidden = max(0, len(groups) - MOST)
    if hidden:
        groups = _worst_first(groups, metrics[0], cells)[:MOST]
    names = {m: worst_name(cells[worst, m]) for m in metrics if (worst, m) in cells}
    body = [_line(group, metrics, names, cells) for group in groups]
    if names:
        found = [_worst_cell(cells.get((worst, m)), m) for m in metrics]
        body.append(line("worst", ["<td></td>", *found]))
    header = [(text(column), False), ("rows", True)]
    header += [(metric_head(m, _variant(m, cells)), True) for m in metrics]
    head = swatch(material, source) + name(source) + f" by {name(column)}"
    where = "" if split == "test" else f" on {name(split)}"
    notes = [f"{count(hidden)} more subgroups are in the results file."] if hidden else []
    notes += [text(f"Without figures that are undefined: {missing[0]}.")] if missing else []
    title = f"{clean(source)} by {clean(column)} on {clean(split)}"
    shown = element("h4", head + where) + table(title, header, body)
    return shown + (paragraph(" ".join(notes), "note") if notes else "")


def _cells(rows: Sequence[Row]) -> dict[tuple[str, str], Row]:
    """Return the row that stands for each subgroup and metric, over trainings where there are."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row.subgroup, row.metric), []).append(row)
    order = {"both": 0, "trainings": 1, "items": 2}
    chosen = {}
    for key, several in found.items():
        variant = main_variant(key[1], {row.variant for row in several})
        chosen[key] = min(
            (row for row in several if row.variant == variant),
            key=lambda row: (bool(row.training), order[row.over], natural_key(row.training)),
        )
    return chosen


def _all_undefined(metric: str, cells: Cells) -> bool:
    return all(math.isnan(row.value) for (_, m), row in cells.items() if m == metric)


def _metrics(cells: Cells) -> list[str]:
    return sorted({metric for _, metric in cells}, key=metric_key)


def _variant(metric: str, cells: Cells) -> str:
    variants = {row.variant for (_, m), row in cells.items() if m == metric}
    return main_variant(metric, variants).replace(",", ", ").replace("_", " ")


def _worst_first(groups: Sequence[str], metric: str, cells: Cells) -> list[str]:
    sign = -1 if entry(metric).better == "lower" else 1

    def badness(group: str) -> float:
        row = cells.get((group, metric))
        return math.inf if row is None or math.isnan(row.value) else sign * row.value

    return sorted(groups, key=badness)


def _line(group: str, metrics: Sequence[str], worst: Mapping[str, str], cells: Cells) -> str:
    value = group.partition("=")[2]
    rows = max((cells[group, m].n for m in metrics if (group, m) in cells), default=0)
    found = [
        cell(
            cells.get((group, m)),
            clean(entry(m).label),
            css="worst" if worst.get(m) == value else None,
        )
        for m in metrics
    ]
    size = element("td", count(rows), {"class": "n", "role": "cell", "data-label": "rows"})
    return line(name(value), [size, *found])


def _worst_cell(row: Row | None, metric: str) -> str:
    named = "" if row is None else worst_name(row) or row.reason
    remark = element("small", name(named), {"class": "words"}) if named else ""
    return cell(row, clean(entry(metric).label), extra=remark)
