"""Looks at the confirming half are counted, and never uncounted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from uncertain.benchmark.ledger import RECORD, count_looks, default_ledger, record_look
from uncertain.benchmark.plan import Plan, make_plan


def plan(out: Path, models: tuple[str, ...] = ("softmax",), seeds: int = 1) -> Plan:
    return make_plan("tabular", models=models, seeds=seeds, budget="desk", out=out, half="confirm")


def test_a_new_folder_is_a_new_look_and_resuming_is_none(tmp_path: Path) -> None:
    ledger = tmp_path / "project" / "confirm.jsonl"
    assert record_look(plan(tmp_path / "a"), ledger) == 1
    before = ledger.read_bytes()
    assert record_look(plan(tmp_path / "a"), ledger) == 1
    assert ledger.read_bytes() == before
    assert record_look(plan(tmp_path / "b"), ledger) == 2
    # Only ever added to.
    assert ledger.read_bytes().startswith(before)


def test_more_models_or_seeds_are_another_look(tmp_path: Path) -> None:
    ledger = tmp_path / "confirm.jsonl"
    out = tmp_path / "a"
    record_look(plan(out), ledger)
    assert record_look(plan(out, seeds=2), ledger) == 2
    assert record_look(plan(out, ("softmax", "random_forest"), seeds=2), ledger) == 3
    assert record_look(plan(out), ledger) == 1
    looks = json.loads((out / RECORD).read_text())["looks"]
    assert [look["number"] for look in looks] == [1, 2, 3]
    assert looks == [json.loads(line) for line in ledger.read_text().splitlines()]
    assert len({look["run"] for look in looks}) == 1
    assert looks[-1]["seeds"] == [100, 101]


def test_another_suite_is_counted_apart_and_a_damaged_line_counts(tmp_path: Path) -> None:
    ledger = tmp_path / "confirm.jsonl"
    ledger.write_text('{"suite": "regression"}\n{"suite": "tabular"}\n[1]\n{"suite": "tab')
    assert count_looks(ledger, "tabular") == 3
    assert record_look(plan(tmp_path / "a"), ledger) == 4
    assert json.loads(ledger.read_text().splitlines()[-1])["number"] == 4
    assert count_looks(ledger, "regression") == 3
    assert count_looks(tmp_path / "none", "tabular") == 0


def test_a_ledger_that_can_not_be_written_is_found_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="could not be written"):
        record_look(plan(tmp_path / "a"), tmp_path / "file" / "confirm.jsonl")


def test_the_ledger_lies_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNCERTAIN_CACHE", str(tmp_path))
    assert default_ledger() == tmp_path / "confirm.jsonl"
