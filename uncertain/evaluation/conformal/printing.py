"""What conformal figures say, in the terminal and in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from uncertain.evaluation.conformal.judging import FEWEST, STRATA
from uncertain.evaluation.console_lines import interval_name, print_lines, say
from uncertain.evaluation.formatting import count, figure, interval, p_text
from uncertain.evaluation.results import Results, Row
from uncertain.terminal import Console

FEW = 5
"""How many parts of a kind are shown of each method, those of lowest coverage first."""
_SIZES = {"set_size": "classes in a set", "interval_width": "width"}
_PARTS = {"size": "size", "class": "class", "group": "group"}


def reading(row: Row | None) -> str:
    """Return what a coverage says of its promise.

    Args:
        row: One of ``conformal_coverage``.

    Example:
        >>> reading(Row("conformal_coverage", 0.89, 0.8, 0.95, variant="THR,0.9", p_value=0.7))
        'as promised'
    """
    if row is None or not math.isfinite(row.value):
        return ""
    goal = float(row.variant.split(",")[1])
    if row.reason:
        return row.reason
    if row.p_value is not None:
        if row.p_value >= 1 - row.level:
            return "as promised"
        return "less than promised" if row.value < goal else "more than promised"
    if not row.has_interval or row.low <= goal <= row.high:
        return "no evidence of a loss"
    lost = "lost under the shift" if row.split.startswith("shift:") else "less than the goal"
    return lost if row.high < goal else "more than the goal"


def print_conformal(
    results: Results, *, by: Sequence[str] = (), console: Console | None = None
) -> None:
    """Print coverage and size of every method, where coverage is lowest, and what is left out.

    Args:
        results: From :func:`~uncertain.evaluation.evaluate_conformal`.
        by: Columns that coverage was asked for by; one without a value of enough rows is told too.
        console: Where to print; the terminal by default.

    Example:
        >>> rows = [
        ...     Row("conformal_coverage", 0.89, 0.8, 0.95, variant="THR,0.9", n=90, p_value=0.7),
        ...     Row("set_size", 1.4, 1.3, 1.5, variant="THR,0.9", n=90),
        ... ]
        >>> print_conformal(Results(rows))  # doctest: +NORMALIZE_WHITESPACE
        test: model, 90 rows
        method  goal  coverage  95% interval    p     classes in a set
        THR      0.9     0.890  [0.800, 0.950]  0.70  1.40 [1.30, 1.50]
        THR: as promised
        90 rows in sets of any size are not shown (parts under 20 rows).
        90 rows of any class are not shown (parts under 20 rows).
    """
    console = console or Console()
    keys = dict.fromkeys((row.task, row.split, row.source, row.training) for row in results)
    for place, key in enumerate(keys):
        rows = [row for row in results if (row.task, row.split, row.source, row.training) == key]
        if place:
            say(console, "")
        _print_case(rows, by, console)


def _print_case(rows: Sequence[Row], by: Sequence[str], console: Console) -> None:
    whole = [row for row in rows if row.metric == "conformal_coverage"]
    if not whole:
        return
    first = whole[0]
    named = first.source + (f" ({first.training})" if first.training else "")
    where = f"{first.task}, {first.split}" if first.task else first.split
    shape = first.variant.split(",")[2:3]
    title = ", ".join([f"{where}: {named}", f"{count(first.n)} rows", *shape])
    say(console, title, style="bold")
    sizes = {row.variant: row for row in rows if row.metric in _SIZES}
    print_lines([_line(row, sizes.get(row.variant), whole) for row in whole], console)
    for row in whole:
        say(console, f"{_method(row)}: {reading(row)}", style="dim")
    # A benchmark's table keeps no parts of its shifts: that none are there says nothing of their rows.
    if first.split.startswith("shift:") and not any("_by_" in row.metric for row in rows):
        return
    for kind in _PARTS:
        parts = [row for row in rows if row.metric == f"conformal_coverage_by_{kind}"]
        if parts:
            _print_parts(parts, kind, console)
        for line in _left_out(kind, parts, whole, sizes, by):
            say(console, line, style="dim")


def _left_out(
    kind: str,
    parts: Sequence[Row],
    whole: Sequence[Row],
    sizes: Mapping[str, Row],
    by: Sequence[str],
) -> list[str]:
    """Return how many rows stand in no part, of each method where the methods differ in that."""
    told: dict[str, list[str]] = {}
    methods = {_method(row): row for row in whole}
    for row in methods.values():
        own = [part for part in parts if _method(part) == _method(row)]
        size = sizes.get(row.variant)
        for words, missing in _missing(kind, own, row.n, size.metric if size else "", by):
            line = f"{count(missing)} rows {words} are not shown (parts under {FEWEST} rows)."
            told.setdefault(line, []).append(_method(row))
    return [
        line if len(found) == len(methods) else f"{', '.join(found)}: {line}"
        for line, found in told.items()
    ]


def _missing(
    kind: str, parts: Sequence[Row], n: int, size: str, by: Sequence[str]
) -> list[tuple[str, int]]:
    """Return where the rows of one method are that stand in no part, and how many they are."""
    shown: dict[str, dict[str, int]] = {}
    for row in parts:
        column = _part(row).partition("=")[0] if kind == "group" and "=" in _part(row) else ""
        shown.setdefault(column, {})[_part(row)] = row.n
    if kind == "group":
        columns = dict.fromkeys([*by, *shown])
        named = [
            (f"of other values of {c}", f"of any value of {c}", c)
            if c
            else ("of other groups", "of any group", c)
            for c in columns
        ]
    elif size == "set_size":
        named = [
            ("in sets of other sizes", "in sets of any size", "")
            if kind == "size"
            else ("of other classes", "of any class", "")
        ]
    elif kind == "size" and (parts or 0 < n < STRATA * (FEWEST - 1) + 1):
        named = [("in other quarters of the widths", "in any quarter of the widths", "")]
    else:  # Widths that are all the same, or infinite, are in no quarters.
        named = []
    found = [
        (other if column in shown else every, n - sum(shown.get(column, {}).values()))
        for other, every, column in named
    ]
    return [(words, missing) for words, missing in found if missing > 0]


def _line(row: Row, size: Row | None, whole: Sequence[Row]) -> dict[str, str]:
    line = {
        "method": _method(row),
        "goal": row.variant.split(",")[1],
        "coverage": figure(row),
        interval_name(whole): interval(row),
        "p": "" if row.p_value is None else p_text(row.p_value),
    }
    if size is not None:
        line[_SIZES[size.metric]] = f"{figure(size)} {interval(size)}"
    return line


def _print_parts(parts: Sequence[Row], kind: str, console: Console) -> None:
    methods: dict[str, list[Row]] = {}
    for row in parts:
        methods.setdefault(_method(row), []).append(row)
    most = max(map(len, methods.values()))
    few = f", the {FEW} of {most} where it is lowest" if most > FEW else ""
    say(console, "")
    say(console, f"Coverage by {kind}{few}", style="bold")
    lines = [
        {
            "method": method,
            _PARTS[kind]: _part(row),
            "coverage": figure(row),
            interval_name(parts): interval(row),
            "p": "" if row.p_value is None else p_text(row.p_value),
            "rows": count(row.n),
        }
        for method, rows in methods.items()
        for row in (sorted(rows, key=_lowest_first)[:FEW] if most > FEW else rows)
    ]
    print_lines(lines, console)


def _lowest_first(row: Row) -> tuple[bool, float]:
    return math.isnan(row.value), row.value


def _method(row: Row) -> str:
    return row.variant.partition(",")[0]


def _part(row: Row) -> str:
    words = row.variant.split(",")[2:]
    return ",".join(words[1:] if words[0] in ("by group", "shifted inputs") else words)
