"""Suites, plans and runs: what is asked for, what is refused, what a full disk does."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from uncertain.benchmark import MODELS, SUITES, Task, resolve_model, run
from uncertain.benchmark.plan import make_plan
from uncertain.benchmark.pool import Job, execute
from uncertain.benchmark.tasks import load_splits
from uncertain.evaluation import Results

IRIS = Task("iris", "classification", "iris", "mlp", 20, 40, batch_size=16)
QUIET = Console(quiet=True)


def test_every_suite_has_tasks_of_different_names_and_models_that_fit() -> None:
    for name, tasks in SUITES.items():
        assert len({task.name for task in tasks}) == len(tasks), name
        for task in tasks:
            assert task.steps < task.full_steps
            assert any(task.kind in model.kinds for model in MODELS.values())


def test_models_have_equal_tuning_budgets() -> None:
    """Networks have the same number of candidates as trees, or take a twin's choice."""
    budgets = {len(model.candidates) for model in MODELS.values() if not model.tunes_as}
    assert len(budgets) == 1
    for model in MODELS.values():
        assert not model.tunes_as or len(MODELS[model.tunes_as].candidates) > 1


def test_the_quick_task_holds_out_classes_and_shifts_the_test_rows() -> None:
    task = SUITES["quick"][0]
    splits = load_splits(task, 0)
    assert {"train", "validation", "test", "ood:held_out", "ood:glyphs"} <= splits.keys()
    assert len([name for name in splits if name.startswith("shift:")]) == 3
    for name, split in splits.items():
        if name.startswith("shift:"):
            assert split.row_ids.tolist() == splits["test"].row_ids.tolist()
    assert not set(splits["train"].row_ids.tolist()) & set(splits["test"].row_ids.tolist())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"suite": "qick"}, "did you mean quick"),
        ({"models": ["sofmax"]}, "did you mean softmax"),
        ({"budget": "huge"}, "`budget` should be one of desk, full"),
        ({"seeds": 0}, "`seeds` should lie in"),
        ({"models": ["no.such.module:train"]}, "can't be imported"),
        ({"models": ["tests.benchmark.small_models:missing"]}, "can't be imported"),
        ({"models": ["tests.benchmark.small_models:not_a_function"]}, "should be a function"),
        ({"suite": [IRIS, IRIS]}, "different names"),
        ({"suite": [IRIS], "models": ["gaussian"]}, "none of the models gaussian fits"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_unknown_names_are_refused_before_anything_is_written(
    tmp_path: Path, arguments: dict[str, object], message: str
) -> None:
    options = {"suite": "quick", "models": None, "seeds": 1, "budget": "desk"} | arguments
    with pytest.raises(ValueError, match=message):
        make_plan(out=tmp_path / "run", **options)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_an_output_folder_that_cannot_be_written_is_found_out_first(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        make_plan([IRIS], models=None, seeds=1, budget="desk", out=tmp_path / "file" / "run")


def test_a_folder_of_another_run_is_refused_by_name(tmp_path: Path) -> None:
    make_plan("quick", models=None, seeds=1, budget="desk", out=tmp_path)
    with pytest.raises(ValueError, match="budget was 'desk', is 'full'"):
        make_plan("quick", models=None, seeds=1, budget="full", out=tmp_path)
    # More seeds or models are more cells of the same run.
    assert len(make_plan("quick", models=None, seeds=3, budget="desk", out=tmp_path).cells) == 21


def test_trees_join_images_only_by_name(tmp_path: Path) -> None:
    cells = make_plan("quick", models=None, seeds=1, budget="desk", out=tmp_path / "a").cells
    assert not any(c.model == "random_forest" and c.task.name == "mnist5k" for c in cells)
    cells = make_plan(
        "quick", models=["random_forest"], seeds=1, budget="desk", out=tmp_path / "b"
    ).cells
    assert {c.task.name for c in cells} == {"mnist5k", "diabetes"}


def test_a_plan_alone_trains_nothing(tmp_path: Path) -> None:
    assert run([IRIS], seeds=1, out=tmp_path, plan_only=True, console=QUIET) is None
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.slow
def test_a_model_of_the_user_joins_by_its_import_path(tmp_path: Path) -> None:
    names = ["tests.benchmark.small_models:class_frequencies"]
    names += ["tests.benchmark.small_models:with_its_cost"]
    results = run([IRIS], models=names, seeds=1, out=tmp_path, workers=1, console=QUIET)
    assert results is not None
    assert set(results.sources) == set(names)
    stated = {
        row.metric: row.value for row in results.select(source=names[1]) if row.kind == "estimate"
    }
    assert (stated["train_seconds"], stated["parameters"], stated["forward_passes"]) == (1.5, 7, 3)
    accuracy = results.select(source=names[0], metric="accuracy").rows[0]
    assert accuracy.n == 30
    assert (tmp_path / "report.html").stat().st_size > 10_000
    # With one more seed only the new cells run.
    old = (tmp_path / "cells" / "iris").rglob("cell.json")
    before = {path: path.stat().st_mtime_ns for path in old}
    more = run([IRIS], models=names, seeds=2, out=tmp_path, workers=1, console=QUIET)
    assert more is not None
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert Results.read(tmp_path / "results.parquet") == more


def killed_worker(report: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def failing(report: object) -> None:
    raise OSError(errno.ENOSPC, "no space")


@pytest.mark.slow
def test_workers_that_die_or_fail_say_which_job_it_was() -> None:
    with pytest.raises(RuntimeError, match=r"killed near the job .*again to resume"):
        execute([Job("the job", killed_worker, ())], title="t", workers=1, console=QUIET)
    with pytest.raises(OSError, match="no space") as error:
        execute([Job("the job", failing, ())], title="t", workers=1, console=QUIET)
    assert error.value.__notes__ == ["while running the job"]


def _mounted(folder: Path, size: str) -> bool:
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs a small file system of its own")
def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    if not _mounted(disk, "96k"):
        pytest.skip("mounting a small file system needs root")
    try:
        with pytest.raises(OSError, match=str(disk)) as error:
            run([IRIS], models=["softmax"], seeds=1, out=disk / "run", workers=1, console=QUIET)
        assert error.value.errno == errno.ENOSPC
        kept = {path: path.read_bytes() for path in disk.rglob("*.json")}
        assert kept
        grown = ["mount", "-o", "remount,size=64m", str(disk)]
        assert subprocess.run(grown, capture_output=True).returncode == 0
        results = run(
            [IRIS], models=["softmax"], seeds=1, out=disk / "run", workers=1, console=QUIET
        )
        assert results is not None
        assert len(results.select(metric="accuracy")) == 1
        for path, content in kept.items():
            if path.parent.name != "networks":
                assert path.read_bytes() == content
    finally:
        subprocess.run(["umount", str(disk)], capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_and_says_how_to_resume(tmp_path: Path, number: int) -> None:
    command = [sys.executable, "-m", "uncertain.cli", "benchmark", "--suite", "tabular"]
    process = subprocess.Popen(
        [*command, "--seeds", "1", "--out", str(tmp_path / "run"), "--workers", "2"],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 90
    while not list(tmp_path.rglob("*.lock")) and time.monotonic() < deadline:
        time.sleep(0.2)
    group = process.pid
    os.killpg(group, number) if number == signal.SIGINT else process.terminate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "run the same command again to resume" in output
    # The workers end with it: at once, or as soon as they see that it is gone.
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)


def test_the_claim_names_what_a_run_is(tmp_path: Path) -> None:
    make_plan("tabular", models=["softmax"], seeds=2, budget="desk", out=tmp_path)
    claim = json.loads((tmp_path / "run.json").read_text())
    assert claim["suite"] == "tabular"


def test_user_models_resolve_with_the_kinds_they_state() -> None:
    model = resolve_model("tests.benchmark.small_models:class_frequencies")
    assert model.kinds == {"classification", "regression"}
    assert len(model.candidates) == 1
