"""From a suite's name to a results table and a report: plan, estimate, tune, train, judge."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from uncertain import checks
from uncertain.benchmark.assess import assess, choices
from uncertain.benchmark.jobs import list_jobs
from uncertain.benchmark.ledger import default_ledger, record_look
from uncertain.benchmark.plan import Plan, held, make_plan
from uncertain.benchmark.pool import clock, execute
from uncertain.benchmark.schedule import Job, expected_seconds
from uncertain.benchmark.study import Half
from uncertain.benchmark.tasks import Budget, Task, class_count, load_splits
from uncertain.benchmark.training import Training, probe_step_seconds
from uncertain.evaluation import Results
from uncertain.terminal import Console, Table


def run(
    suite: str | Sequence[Task] = "quick",
    *,
    models: Sequence[str] | None = None,
    seeds: int = 3,
    budget: Budget = "desk",
    half: Half = "develop",
    ledger: str | Path | None = None,
    out: str | Path = "uncertain-benchmark",
    workers: int = 0,
    plan_only: bool = False,
    command: str = "",
    console: Console | None = None,
) -> Results | None:
    """Train and judge models on a suite of tasks.

    What is done stays done: kill it anywhere, run it again, and it goes on where it was. The
    results are the same, to the bit, as those of a run that was never interrupted, times aside.

    Args:
        suite: ``quick``, ``images``, ``tabular`` or ``regression``; or tasks of your own.
        models: Built-in names or import paths ``package.module:function``; default every built-in
            model that fits.
        seeds: Trainings of each model.
        budget: ``desk`` or ``full``: how many optimiser steps each training has.
        half: ``develop``, to work with, or ``confirm``, to be judged by: other data sets, class
            splits and corruptions, and seeds from 100. Each look at ``confirm`` is counted.
        ledger: Where looks are counted; by default ``confirm.jsonl`` in the cache folder.
        out: Folder for predictions, ``results.parquet`` and ``report.html``.
        workers: Spawned processes, one torch thread each; 0 means one a core.
        plan_only: Say what would run and for how long, and stop.
        command: The command line, kept in the results.
        console: Where progress is shown; standard output by default.

    Returns:
        The results, or ``None`` where ``plan_only``.

    Raises:
        ValueError: An unknown name, or a folder that holds another run; before any training.
        OSError: The folder can't be written, found out before any training; or the disk is full.
    """
    console = console or Console()
    checks.check_range("workers", workers, 0)
    claim = not plan_only
    plan = make_plan(
        suite, models=models, seeds=seeds, budget=budget, out=out, half=half, claim=claim
    )
    workers = workers or usable_cores()
    jobs = list_jobs(plan, _step_seconds(plan))
    _announce(plan, jobs, workers, console)
    if plan_only:
        return None
    started = time.monotonic()
    with held(plan.out):
        if half == "confirm":
            number = record_look(plan, Path(ledger or default_ledger()))
            _say(console, f"{plan.suite} is confirmed for the {_ordinal(number)} time.")
        try:
            execute(jobs, title="benchmark", workers=workers, console=console)
            _announce_choices(plan, console)
            console.print("judging the predictions ...")
            results = _judged(plan, command)
        except KeyboardInterrupt:
            _say(console, f"stopped; run the same command again to resume {plan.out}.")
            raise
    console.print(f"done in {clock(time.monotonic() - started)}.")
    return results


def _judged(plan: Plan, command: str) -> Results:
    try:
        return assess(plan, command=command)
    except Exception as error:
        error.add_note("Every model is trained and kept: run the same command again to resume.")
        raise


def _ordinal(number: int) -> str:
    teens = 10 <= number % 100 <= 20
    ending = "th" if teens else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def usable_cores() -> int:
    """Return how many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _announce(plan: Plan, jobs: Sequence[Job], workers: int, console: Console) -> None:
    """Print what will run, and about how long it takes."""
    table = Table(
        title=f"suite {plan.suite} ({plan.half}), budget {plan.budget}, {workers} workers"
    )
    for column in ("task", "models", "cells", "done"):
        table.add_column(column)
    for task in dict.fromkeys(cell.task for cell in plan.cells):
        cells = [cell for cell in plan.cells if cell.task == task]
        names = ", ".join(dict.fromkeys(cell.model for cell in cells))
        done = sum(map(plan.is_done, cells))
        table.add_row(task.name, names, str(len(cells)), str(done))
    console.print(table)
    if jobs:
        seconds = expected_seconds(jobs, workers)
        _say(console, f"about {clock(seconds)} of training, by timing a few steps of each task.")


def _announce_choices(plan: Plan, console: Console) -> None:
    """Print what validation chose, and from how many candidates."""
    for line in choices(plan):
        _say(console, line)


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _step_seconds(plan: Plan) -> dict[str, float]:
    """Return the seconds of one optimiser step by task, for the tasks that are not done."""
    tasks = dict.fromkeys(cell.task for cell in plan.pending)
    return {task.name: _time_steps(plan, task) for task in tasks}


def _time_steps(plan: Plan, task: Task) -> float:
    seed = next(cell.seed for cell in plan.cells if cell.task == task)
    splits = load_splits(task, seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return probe_step_seconds(
            Training(
                task=task.name,
                kind=task.kind,
                train=splits["train"],
                validation=splits["validation"],
                classes=class_count(task, splits["train"]),
                network=task.network,
                steps=5,
                batch_size=task.batch_size,
                seed=0,
                folder=plan.out,
            )
        )
    finally:
        torch.set_num_threads(threads)
