"""Whole runs: equal on any number of workers, resumed without loss, stopped cleanly."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest

from uncertain.benchmark import Task, run, runner
from uncertain.benchmark.plan import held
from uncertain.benchmark.study import tasks_of
from uncertain.evaluation import Results
from uncertain.terminal import Console

# Judging is checked in its own tests.
pytestmark = pytest.mark.usefixtures("unchecked_module")

SMALL = "tests.benchmark.small_models"
IRIS = Task("iris", "classification", "iris", "mlp", 20, 40, batch_size=16)
DIABETES = Task("diabetes", "regression", "diabetes", "mlp", 20, 40)
TASKS = (IRIS, DIABETES)
MODELS = ("softmax", "mc_dropout", "gaussian", "random_forest")
QUIET = Console(quiet=True)


def facts(results: Results) -> list[tuple[object, ...]]:
    """Return every row and column but times."""
    rows = results.to_arrow().to_pylist()
    for row in rows:
        if row["metric"].endswith("train_seconds"):
            row["value"] = None
    return [tuple(row.items()) for row in rows]


def times(folder: Path, pattern: str) -> dict[Path, int]:
    found = {path: path.stat().st_mtime_ns for path in folder.rglob(pattern)}
    assert found
    return found


@pytest.fixture(scope="module")
def finished(
    unchecked_module: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Results, str]:
    """Return the folder, the results and what was said of one run by two workers."""
    out = tmp_path_factory.mktemp("finished") / "run"
    stream = io.StringIO()
    console = Console(file=stream, width=100)
    results = run(TASKS, models=MODELS, seeds=2, out=out, workers=2, console=console)
    assert results is not None
    return out, results, stream.getvalue()


@pytest.mark.slow
def test_a_run_leaves_its_table_its_page_and_its_predictions(
    finished: tuple[Path, Results, str],
) -> None:
    out, results, _ = finished
    assert Results.read(out / "results.parquet") == results
    assert (out / "report.html").stat().st_size > 10_000
    assert len(times(out / "cells", "test.parquet")) == len(times(out, "cell.json")) == 12
    assert not list(out.rglob("*.checkpoints"))
    assert not [path for path in out.rglob("*") if ".tmp" in path.name]


@pytest.mark.slow
def test_a_run_says_what_it_will_do_what_it_chose_and_what_it_does(
    finished: tuple[Path, Results, str],
) -> None:
    _, _, said = finished
    assert "of training, by timing a few steps" in said
    assert "iris softmax seed 1 " in said
    for name in ("iris softmax", "iris mc_dropout", "diabetes gaussian", "diabetes random_forest"):
        assert f"\n{name}: " in said
    assert said.count("(of 4 candidates, validation NLL ") == 6
    assert said.splitlines()[-1].startswith("done in ")


@pytest.mark.slow
def test_one_worker_gives_the_same_table(
    finished: tuple[Path, Results, str], tmp_path: Path
) -> None:
    _, results, _ = finished
    alone = run(TASKS, models=MODELS, seeds=2, out=tmp_path, workers=1, console=QUIET)
    assert alone is not None
    assert facts(alone) == facts(results)


@pytest.mark.slow
def test_more_seeds_and_models_add_cells_and_redo_nothing(
    finished: tuple[Path, Results, str], tmp_path: Path
) -> None:
    del finished
    first = run([IRIS], models=["softmax"], seeds=1, out=tmp_path, workers=1, console=QUIET)
    before = {
        **times(tmp_path, "cell.json"),
        **times(tmp_path, "*.pt"),
        **times(tmp_path / "tuning", "*.json"),
    }
    names = ["softmax", f"{SMALL}:with_its_cost", f"{SMALL}:smoothed"]
    more = run([IRIS], models=names, seeds=2, out=tmp_path, workers=1, console=QUIET)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert first is not None
    assert more is not None
    assert set(more.sources) == set(names)
    assert len(times(tmp_path, "cell.json")) == 6
    old = {row.metric: row.value for row in first.select(source="softmax", variant="")}
    new = {row.metric: row.value for row in more.select(source="softmax", training="0", variant="")}
    assert old.items() <= new.items()


def test_a_plan_alone_writes_nothing(tmp_path: Path) -> None:
    stream = io.StringIO()
    out = tmp_path / "run"
    found = run([IRIS], seeds=1, out=out, plan_only=True, console=Console(file=stream, width=100))
    assert found is None
    assert not list(tmp_path.iterdir())
    assert "iris" in stream.getvalue()


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    with held(tmp_path), pytest.raises(ValueError, match="another process is running in"):
        run([IRIS], models=["softmax"], seeds=1, out=tmp_path, console=QUIET)
    with pytest.raises(ValueError, match="`workers` should"):
        run([IRIS], out=tmp_path, workers=-1, console=QUIET)


# A full disk


def mounted(folder: Path, size: str) -> bool:
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs a small file system of its own")
def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    if not mounted(disk, "96k"):
        pytest.skip("mounting a small file system needs root")
    options = {"models": ["softmax"], "seeds": 1, "out": disk / "run", "workers": 1}
    try:
        with pytest.raises(OSError, match=str(disk)) as error:
            run([IRIS], console=QUIET, **options)  # type: ignore[arg-type]
        assert error.value.errno == errno.ENOSPC
        assert "the disk is full" in str(error.value)
        assert "again to resume" in error.value.__notes__[0]
        kept = {path: path.read_bytes() for path in disk.rglob("*.json")}
        assert kept
        assert not [path for path in disk.rglob("*") if ".tmp" in path.name]
        grown = ["mount", "-o", "remount,size=64m", str(disk)]
        assert subprocess.run(grown, capture_output=True).returncode == 0
        results = run([IRIS], console=QUIET, **options)  # type: ignore[arg-type]
        assert results is not None
        assert len(results.select(metric="accuracy")) == 1
        assert {path: path.read_bytes() for path in kept} == kept
    finally:
        subprocess.run(["umount", str(disk)], capture_output=True)


def test_a_full_disk_at_the_very_end_keeps_what_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{SMALL}:with_its_cost"
    options = {"models": [name], "seeds": 1, "out": tmp_path, "workers": 1, "console": QUIET}

    def full(results: object, path: Path) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(Results, "write", full)
    with pytest.raises(OSError, match="no space") as error:
        run([IRIS], **options)  # type: ignore[arg-type]
    assert error.value.__notes__ == [
        "Every model is trained and kept: run the same command again to resume."
    ]
    monkeypatch.undo()
    before = times(tmp_path, "cell.json")
    assert run([IRIS], **options) is not None  # type: ignore[arg-type]
    assert times(tmp_path, "cell.json") == before


# By the command line

MODEL = r"""
import torch
from torch.distributions import Categorical


def frequencies(training):
    counts = torch.bincount(training.train.y, minlength=training.classes).float()
    return lambda x: Categorical(probs=(counts / counts.sum()).expand(len(x), -1))


def failing(training):
    raise ValueError("this model\nnever works")


def killed(training):
    import os

    os.kill(os.getpid(), 9)


def endless(training):
    from dataclasses import replace
    from uncertain.benchmark.training import shared_network

    def begun(step, steps):
        (training.folder / f"{training.task}.begun").touch()

    return shared_network(replace(training, steps=10**6, report=begun))[0]
"""

# The half to confirm, whose sets are small: those to develop with take long to load.
TABULAR = [
    "benchmark", "--suite", "tabular", "--half", "confirm", "--ledger", "looks.jsonl",
    "--out", "run", "--models",
]  # fmt: skip


def command(folder: Path, *arguments: str) -> list[str]:
    (folder / "mymodel.py").write_text(MODEL)
    return [sys.executable, "-m", "uncertain.cli", *TABULAR, *arguments]


def benchmark(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *arguments),
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100"},
    )


@pytest.mark.slow
def test_a_model_in_this_folder_joins_and_the_report_comes_last(tmp_path: Path) -> None:
    done = benchmark(tmp_path, "mymodel:frequencies", "--seeds", "2")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[-1] == f"The report: {Path('run') / 'report.html'}"
    assert (tmp_path / "run" / "report.html").is_file()
    assert max(map(len, lines)) <= 100
    for task in tasks_of("tabular", "confirm"):
        assert f"Task {task.name}" in lines
    assert any(line.startswith("train_seconds") for line in lines)
    table = Results.read(tmp_path / "run" / "results.parquet")
    assert table.metadata["command"].startswith("uncertain benchmark --suite tabular")
    # A look is counted before anything is trained.
    confirmed = lines.index("tabular is confirmed for the 1st time.")
    assert confirmed < next(i for i, line in enumerate(lines) if line.startswith("[1/6] "))
    assert (table.metadata["half"], table.metadata["confirm_runs"]) == ("confirm", "1")
    assert {row.task for row in table} == {task.name for task in tasks_of("tabular", "confirm")}
    assert {row.training for row in table if row.metric == "accuracy"} >= {"100", "101"}
    assert len((tmp_path / "looks.jsonl").read_text().splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "message"),
    [("failing", "uncertain: this model never works"), ("killed", "uncertain: a worker process")],
)
def test_a_failure_in_a_worker_is_one_line(tmp_path: Path, model: str, message: str) -> None:
    failed = benchmark(tmp_path, f"mymodel:{model}", "--seeds", "1")
    assert failed.returncode == 2
    assert failed.stderr.startswith(message)
    assert failed.stderr.count("\n") == 1
    assert "run the same command again to resume" in failed.stderr


def test_a_failure_in_a_worker_says_where_it_was(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="never works") as error:
        run([IRIS], models=[f"{SMALL}:failing"], seeds=1, out=tmp_path, workers=1, console=QUIET)
    assert "in failing" in "".join(traceback.format_exception(error.value))


# Signals


def started(folder: Path) -> subprocess.Popen[str]:
    """Start a run of hours, and return when both workers are in training."""
    process = subprocess.Popen(
        command(folder, "mymodel:endless", "--seeds", "1", "--workers", "2"),
        cwd=folder,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 300
    while len(list(folder.glob("run/*.begun"))) < 2 and time.monotonic() < deadline:
        assert process.poll() is None, process.stdout and process.stdout.read()
        time.sleep(0.1)
    return process


def is_empty(group: int) -> bool:
    """Return whether the group's processes end, within the time that saving may take."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_stops_and_says_how_to_resume(tmp_path: Path, number: int) -> None:
    process = started(tmp_path)
    # The terminal sends Ctrl-C to the whole group; a cluster ends the parent.
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.terminate()
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 130, output
    assert "run the same command again to resume" in output
    assert "Traceback" not in output
    assert is_empty(process.pid)
    # What was in training has saved itself, whatever its checkpoints' rhythm.
    assert len(list(tmp_path.rglob("last.pt"))) == 2


@pytest.mark.parametrize(
    ("number", "word"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (11, "11th"), (22, "22nd"), (4, "4th")]
)
def test_looks_are_counted_in_words(number: int, word: str) -> None:
    assert runner._ordinal(number) == word
