"""The hashes that the page of protocols lists are those of the splits."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from uncertain.benchmark import SUITES, Task
from uncertain.benchmark.study import half_of, tasks_of, unit_of

sys.path.append(str(Path(__file__).parents[1] / "docs"))

import protocols_page as protocols

CHEAP = ("wine", "iris", "autompg", "breast_cancer", "diabetes_high", "diabetes")


def tasks() -> list[Task]:
    return [t for s in ("tabular", "regression") for t in SUITES[s] if t.data in CHEAP]


@pytest.mark.parametrize("task", tasks(), ids=lambda task: task.name)
def test_the_listed_hashes_are_those_of_the_splits(task: Task) -> None:
    page = protocols.PAGE.read_text()
    for line in protocols.lines_of(task):
        assert line in page


def test_every_task_of_every_study_is_listed() -> None:
    page = protocols.PAGE.read_text()
    for suite in set(SUITES) - {"quick"}:
        for half in ("develop", "confirm"):
            for task in tasks_of(suite, half):
                assert f"| {task.name} | {half} |" in page
                assert half_of(unit_of(task)) == half


def test_a_set_that_is_not_here_keeps_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(task: Task) -> list[str]:
        raise FileNotFoundError

    page = protocols.PAGE.read_text()
    monkeypatch.setattr(protocols, "lines_of", absent)
    begin, end = (page.index(mark) for mark in (protocols.BEGIN, protocols.END))
    listed = page[begin + len(protocols.BEGIN) : end]
    assert protocols.table(listed).strip() == listed.strip()
