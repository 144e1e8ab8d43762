"""A run that is killed ten times ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from uncertain.evaluation import Results

SCRIPT = Path(__file__).with_name("small_run.py")

# Inside training, a checkpoint write, the table write and the report, each at more than one moment.
DEATHS = (
    "training:10",
    "last.write:5",
    "training:25",
    "last.rename:12",
    "training:20",
    "last.write:20",
    "results.write:1",
    "results.rename:1",
    "report.write:1",
    "report.rename:1",
)


class Starter:
    """Starts runs from one process, after one that nothing disturbs."""

    def __init__(self, undisturbed: Path) -> None:
        root = SCRIPT.parents[2]
        # Threads that wait for a device do not survive a fork, and there is nothing for one to do.
        environment = {"PYTHONPATH": str(root), "CUDA_VISIBLE_DEVICES": ""}
        self.undisturbed = undisturbed
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(undisturbed)],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.status() == 0

    def __call__(self, out: Path, workers: int, **facts: str) -> int:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"out": str(out), "workers": workers, **facts}) + "\n")
        self.process.stdin.flush()
        return self.status()

    def status(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    starter = Starter(tmp_path_factory.mktemp("undisturbed") / "run")
    yield starter
    starter.process.communicate(timeout=60)


def table(out: Path) -> list[tuple[object, ...]]:
    """Return every row and column of the results but times."""
    rows = Results.read(out / "results.parquet").to_arrow().to_pylist()
    for row in rows:
        if row["metric"].endswith("train_seconds"):
            row["value"] = None
    return [tuple(row.items()) for row in rows]


@pytest.mark.slow
def test_ten_kills_change_nothing_but_times(start: Starter, tmp_path: Path) -> None:
    out = tmp_path / "run"
    for number, point in enumerate(DEATHS):
        mark = tmp_path / f"died-{number}"
        # Any number of workers goes on from where another died.
        workers = 2 if number % 3 == 0 else 1
        assert start(out, workers, death=point, mark=str(mark)) == -signal.SIGKILL, point
        assert mark.read_text() == point
    assert start(out, workers=2) == 0
    assert table(out) == table(start.undisturbed)
    assert not list(out.rglob("*.tmp*")), "a killed writer's file is left behind"


@pytest.mark.slow
def test_a_finished_run_redoes_nothing(start: Starter) -> None:
    undisturbed = start.undisturbed
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("cell.json")}
    networks = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("networks/**/*.pt")}
    assert before
    assert networks
    assert start(undisturbed, workers=1) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert {path: path.stat().st_mtime_ns for path in networks} == networks
