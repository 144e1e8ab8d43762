"""Listings and cards: what they hold is printed, whatever its type."""

from __future__ import annotations

import io
from dataclasses import dataclass

from uncertain.evaluation.console import print_card, print_table
from uncertain.terminal import Console


@dataclass
class Entry:
    name: str
    test_rows: int
    local: bool
    tags: tuple[str, ...] = ()
    note: str | None = None


def printed(call, *arguments):
    stream = io.StringIO()
    call(*arguments, console=Console(file=stream, width=100))
    return stream.getvalue()


def test_dataclasses_are_listed_by_their_fields():
    text = printed(
        print_table, "Data", [Entry("digits", 297, True, ("a", "b")), Entry("wine", 36, False)]
    )
    lines = text.splitlines()
    assert "Data" in lines[0]
    assert lines[1].split() == ["name", "test", "rows", "local", "tags", "note"]
    assert lines[2].split() == ["digits", "297", "yes", "a,", "b"]
    assert lines[3].split() == ["wine", "36", "no"]


def test_mappings_are_listed_by_their_keys():
    assert "7" in printed(print_table, "T", [{"a": 7}])


def test_an_empty_listing_is_no_error():
    assert "Nothing" in printed(print_table, "Nothing", [])


def test_a_card_has_one_field_a_line():
    text = printed(print_card, "digits", {"rows": {"train": 10, "test": 5}, "source": "UCI"})
    assert "train: 10, test: 5" in text
    assert "UCI" in text


def test_markup_is_printed_as_it_is():
    assert "[bold]x[/bold]" in printed(print_table, "T", [{"a": "[bold]x[/bold]"}])


def test_the_usual_console_is_the_terminal(capsys):
    print_card("digits", {"source": "UCI"})
    print_table("Data", [{"a": 1}])
    assert "UCI" in capsys.readouterr().out
