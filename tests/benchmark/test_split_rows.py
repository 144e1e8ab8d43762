"""The rows of every split are written down and held to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from uncertain import data
from uncertain.benchmark import SUITES, Task
from uncertain.benchmark.split_rows import describe_rows, record_rows, rows_file, run_hashes
from uncertain.benchmark.tasks import load_splits

IRIS = Task("iris", "classification", "iris", "mlp", 10, 20)


def test_the_rows_are_those_of_the_splits(tmp_path: Path) -> None:
    task = next(task for task in SUITES["tabular"] if task.name == "iris")
    record_rows(tmp_path, task, 2)
    facts = json.loads(rows_file(tmp_path, task, 2).read_text())
    splits = load_splits(task, 2)
    named = {
        "train": "train",
        "validation": "tuning",
        "test": "test",
        "ood:held_out": "ood:held_out",
    }
    assert set(facts["parts"]) == set(named.values())
    for name, use in named.items():
        part = facts["parts"][use]
        assert part["row_ids"] == splits[name].row_ids.tolist()
        assert part["count"] == len(splits[name])
        assert part["sha256"] == data.split_hash(splits[name].row_ids[::-1])
    assert set(facts["overlaps"].values()) == {0}
    assert (facts["task"], facts["split"]) == ("iris", 2)


def test_changed_rows_are_refused(tmp_path: Path) -> None:
    record_rows(tmp_path, IRIS, 0)
    record_rows(tmp_path, IRIS, 1)  # The same split: seeds of a fixed split share it.
    path = rows_file(tmp_path, IRIS, 0)
    facts = json.loads(path.read_text())
    facts["parts"]["test"]["sha256"] = "0" * 16
    path.write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=r"rows of iris \(split 0: test\) are not those.*--out"):
        record_rows(tmp_path, IRIS, 0)


def test_an_overlap_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    splits = dict(load_splits(IRIS, 0))
    splits["validation"] = splits["test"][:4]
    monkeypatch.setattr("uncertain.benchmark.split_rows.load_splits", lambda *_: splits)
    assert describe_rows(IRIS, 0)["overlaps"] == {
        "train and tuning": 0, "train and test": 0, "tuning and test": 4,
    }  # fmt: skip


def test_a_run_s_hashes_are_those_that_are_written(tmp_path: Path) -> None:
    record_rows(tmp_path, IRIS, 0)
    wine = Task("wine", "classification", "wine", "mlp", 10, 20, split_by_seed=True)
    record_rows(tmp_path, wine, 3)
    found = run_hashes(tmp_path, [(IRIS, 0), (IRIS, 1), (wine, 3), (wine, 4)])
    assert set(found) == {"iris/0", "wine/3"}
    assert found["wine/3"]["test"] == data.split_hash(data.load("wine", seed=3).test.row_ids)


def test_a_hash_is_of_the_set_of_rows() -> None:
    rows = np.array([5, 1, 3])
    assert data.split_hash(rows) == data.split_hash(np.sort(rows).astype(np.int32))
    assert data.split_hash(rows) != data.split_hash(rows[:2])
    assert data.split_hash([1, 23]) != data.split_hash([12, 3])
