"""Figures as text: as many digits as the interval supports, never more.

The report, the console and a notebook show the same words for the same row.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uncertain.evaluation.results import Results, Row

NOTHING = "–"
MINUS = "\N{MINUS SIGN}"
_COUNTS = frozenset({"parameters", "forward_passes", "stored_numbers"})


def decimals(value: float, low: float = math.nan, high: float = math.nan) -> int:
    """Return how many decimals to show: two digits of the interval's half-width, at most six.

    Without an interval, three digits of the value.

    Example:
        >>> decimals(0.9536, 0.9493, 0.9576), decimals(0.9536), decimals(1234.5, 1200, 1270)
        (4, 3, 0)
    """
    half = (high - low) / 2
    scale = half if math.isfinite(half) and half > 0 else abs(value) / 10
    if not math.isfinite(scale) or scale == 0:
        return 3
    return min(max(1 - math.floor(math.log10(scale)), 0), 6)


def number(value: float, digits: int | None = None) -> str:
    """Return a number as text; NaN is a dash, very small and very large ones get an exponent.

    Example:
        >>> number(0.95361, 3), number(-0.5, 1), number(float("inf")), number(3.2e-9)
        ('0.954', '−0.5', '∞', '3.2e−9')
    """
    if math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    digits = decimals(value) if digits is None else digits
    rounded = f"{value:.{digits}f}"
    if (value != 0 and float(rounded) == 0 and digits >= 6) or abs(value) >= 1e9:
        mantissa, _, exponent = f"{value:.2g}".partition("e")
        rounded = f"{mantissa}e{int(exponent or 0)}"
    # A difference of -0.00001 shown to three decimals is 0, not -0.
    if float(rounded) == 0:
        rounded = rounded.lstrip("-")
    return rounded.replace("-", MINUS)


def signed(value: float, digits: int | None = None) -> str:
    """Return a difference with its sign.

    Example:
        >>> signed(0.031, 3), signed(-0.031, 3)
        ('+0.031', '−0.031')
    """
    text = number(value, digits)
    return text if value <= 0 or math.isnan(value) else f"+{text}"


def interval(row: Row, digits: int | None = None) -> str:
    """Return a row's interval as text, empty where there is none.

    Example:
        >>> from uncertain.evaluation.results import Row
        >>> interval(Row("accuracy", 0.9536, 0.9493, 0.9576))
        '[0.9493, 0.9576]'
    """
    if math.isnan(row.low) and math.isnan(row.high):
        return ""
    digits = decimals(row.value, row.low, row.high) if digits is None else digits
    return f"[{number(row.low, digits)}, {number(row.high, digits)}]"


def percent(share: float) -> str:
    r"""Return a share as a percentage with one decimal, its sign held to it.

    Example:
        >>> percent(0.9651)
        '96.5\xa0%'
    """
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def p_text(p: float | None) -> str:
    """Return a p-value as text.

    Example:
        >>> p_text(0.0312), p_text(1e-9), p_text(None)
        ('0.031', '< 0.0001', '–')
    """
    if p is None:
        return NOTHING
    if p < 1e-4:
        return "< 0.0001"
    return f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def count(n: int) -> str:
    """Return a count with thousands set apart.

    Example:
        >>> count(1234567)
        '1,234,567'
    """
    return f"{n:,}"


def figure(row: Row) -> str:
    """Return a row's value with the digits its interval supports; whole counts stay whole."""
    whole = row.value.is_integer() and not row.has_interval and row.kind == "estimate"
    if whole and (row.metric in _COUNTS or 1 < row.value < 1e12):
        return count(int(row.value))
    digits = decimals(row.value, row.low, row.high)
    return signed(row.value, digits) if row.kind == "difference" else number(row.value, digits)


def text_table(results: Results) -> str:
    """Return a plain table: the columns that vary or matter, aligned."""
    header, lines = _cells(results)
    rows = [header, *lines]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    right = [name in ("value", "n") for name in header]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    )


def html_table(results: Results, *, limit: int = 200) -> str:
    """Return a compact table for a notebook, in its own colours and at most ``limit`` rows."""
    header, lines = _cells(results)
    style = "text-align:right;font-variant-numeric:tabular-nums"
    right = {i for i, name in enumerate(header) if name in ("value", "n") or "interval" in name}
    head = "".join(
        f'<th scope="col" style="text-align:{"right" if i in right else "left"}">{escape(name)}</th>'
        for i, name in enumerate(header)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="{style if i in right else "text-align:left"}">{escape(cell)}</td>'
            for i, cell in enumerate(line)
        )
        + "</tr>"
        for line in lines[:limit]
    )
    hidden = len(lines) - limit
    note = f"<p>{hidden} more rows are not shown.</p>" if hidden > 0 else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"


def _cells(results: Results) -> tuple[list[str], list[list[str]]]:
    rows = results.rows
    levels = sorted({row.level for row in rows if row.has_interval})
    named = f"{100 * levels[0]:g}% interval" if len(levels) == 1 else "interval"
    texts = (
        "task",
        "split",
        "subgroup",
        "metric",
        "variant",
        "kind",
        "source",
        "other",
        "training",
        "over",
    )
    always = ("split", "metric", "source")
    usual = {"kind": {"estimate"}, "over": {"items"}}
    shown = [
        name
        for name in texts
        if name in always or {getattr(row, name) for row in rows} - usual.get(name, {""})
    ]
    extra = [name for name in ("rank_group", "reason") if any(getattr(row, name) for row in rows)]
    lines = [
        [
            *(getattr(row, name) for name in shown),
            figure(row),
            interval(row),
            count(row.n) if row.n else "",
            *(getattr(row, name) for name in extra),
        ]
        for row in rows
    ]
    return [*shown, "value", named, "n", *extra], lines
