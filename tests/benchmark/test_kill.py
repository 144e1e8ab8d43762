"""A run that is killed ten times ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
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


def start(out: Path, workers: int, **environment: str) -> subprocess.CompletedProcess[str]:
    root = SCRIPT.parents[2]
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(out), str(workers)],
        env={**os.environ, "PYTHONPATH": str(root), **environment},
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=240,
    )


def table(out: Path) -> list[tuple[object, ...]]:
    """Return every row and column of the results but times."""
    rows = Results.read(out / "results.parquet").to_arrow().to_pylist()
    for row in rows:
        if row["metric"].endswith("train_seconds"):
            row["value"] = None
    return [tuple(row.items()) for row in rows]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    finished = start(out, workers=1)
    assert finished.returncode == 0, finished.stderr
    return out


@pytest.mark.slow
def test_ten_kills_change_nothing_but_times(undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    for number, point in enumerate(DEATHS):
        mark = tmp_path / f"died-{number}"
        # Any number of workers goes on from where another died, and each costs an import of torch.
        workers = 2 if number % 3 == 0 else 1
        killed = start(out, workers=workers, DIE_AT=point, DIED=str(mark))
        assert killed.returncode == -signal.SIGKILL, f"{point}: {killed.stderr}"
        assert mark.read_text() == point
    finished = start(out, workers=2)
    assert finished.returncode == 0, finished.stderr
    assert table(out) == table(undisturbed)
    assert not list(out.rglob("*.tmp*")), "a killed writer's file is left behind"


@pytest.mark.slow
def test_a_finished_run_redoes_nothing(undisturbed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("cell.json")}
    networks = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("networks/**/*.pt")}
    assert before
    assert networks
    again = start(undisturbed, workers=1)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert {path: path.stat().st_mtime_ns for path in networks} == networks
