"""Lines and tables that fit any terminal: narrow ones, and those without a minus sign."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from uncertain.evaluation.results import Row
from uncertain.terminal import Console, Table, Text

_PLAIN = str.maketrans({"\N{MINUS SIGN}": "-", "–": "-", "∞": "inf"})
# Columns whose entries are numbers, which stand under each other.
_NUMBERS = ("value", "difference", "coverage", "goal")


def print_lines(
    lines: Sequence[Mapping[str, str]], console: Console, *, without: Iterable[str] = ()
) -> None:
    """Print columns that hold something; what the first says is said once, numbers are never cut."""
    first = next(iter(lines[0]))
    names = [n for n in lines[0] if n not in without and any(line[n] for line in lines)]
    names = _fitting(names, lines, console.width)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in names:
        folded = name in ("source", "first minus second")
        table.add_column(
            Text(plain(name, console)),
            justify="right" if name in _NUMBERS else "left",
            overflow="fold",
            no_wrap=not folded,
        )
    last = ""
    for line in lines:
        cells = {**line, first: "" if line[first] == last else line[first]}
        last = line[first]
        table.add_row(*(Text(plain(cells[name], console)) for name in names))
    console.print(table)


def _fitting(names: list[str], lines: Sequence[Mapping[str, str]], width: int) -> list[str]:
    """Leave out what a narrow terminal can spare, rather than folding names to a few letters."""
    widths = {name: max(len(name), *(len(line[name]) for line in lines)) for name in names}
    for spared in ("over", "beside"):
        if sum(widths.values()) + 2 * len(widths) > width:
            widths.pop(spared, None)
    return list(widths)


def interval_name(rows: Sequence[Row]) -> str:
    """Return the heading of a column of intervals.

    Example:
        >>> interval_name([Row("accuracy", 0.9, 0.8, 1.0)])
        '95% interval'
    """
    levels = {row.level for row in rows if row.has_interval}
    return f"{100 * levels.pop():g}% interval" if len(levels) == 1 else "interval"


def say(console: Console, line: str, *, style: str = "") -> None:
    """Print a line that the terminal can show."""
    console.print(Text(plain(line, console), style=style))


def plain(text: str, console: Console) -> str:
    """Return text that the terminal can show: a minus sign must not end a finished evaluation."""
    encoding = console.encoding or "ascii"
    if encoding.lower().replace("-", "").startswith("utf"):
        return text
    return text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
