"""Listings and cards as terminal tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from uncertain.terminal import Console, Table, Text


def print_table(title: str, rows: Sequence[Any], *, console: Console | None = None) -> None:
    """Print a sequence of dataclasses or mappings as a table.

    Example:
        >>> print_table("Data", [])
        Data: none
    """
    records = [_record(row) for row in rows]
    if not records:
        (console or Console()).print(Text(f"{title}: none"))
        return
    table = Table(title=title, box=None, padding=(0, 2, 0, 0))
    for name in records[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for record in records:
        table.add_row(*(Text(_text(value)) for value in record.values()))
    (console or Console()).print(table)


def print_card(name: str, card: Any, *, console: Console | None = None) -> None:
    """Print a card's fields, one a line.

    Example:
        >>> print_card("digits", {"source": "UCI"})  # doctest: +NORMALIZE_WHITESPACE
          digits
        source UCI
    """
    table = Table(title=name, box=None, show_header=False, padding=(0, 2, 0, 0))
    for field, value in _record(card).items():
        table.add_row(Text(field.replace("_", " "), style="bold"), Text(_text(value)))
    (console or Console()).print(table)


def _record(row: Any) -> Mapping[str, Any]:
    if isinstance(row, Mapping):
        return row
    return {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
