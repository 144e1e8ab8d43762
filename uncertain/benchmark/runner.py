"""From a suite's name to a results table and a report: plan, estimate, tune, train, judge."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from uncertain.benchmark.assess import assess, choices
from uncertain.benchmark.cells import run_cell, tune, tuning_file
from uncertain.benchmark.models import MEMBERS, Model, resolve_model
from uncertain.benchmark.plan import Plan, make_plan
from uncertain.benchmark.pool import Job, clock, execute
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
    plan = make_plan(suite, models=models, seeds=seeds, budget=budget, out=out)
    workers = workers or os.cpu_count() or 1
    _announce(plan, workers, console)
    if plan_only:
        return None
    started = time.monotonic()
    try:
        execute(_tuning_jobs(plan), title="tuning", workers=workers, console=console)
        _announce_choices(plan, console)
        execute(_cell_jobs(plan), title="training", workers=workers, console=console)
    except KeyboardInterrupt:
        console.print(f"stopped; run the same command again to resume {plan.out}.", markup=False)
        raise
    console.print("judging the predictions ...")
    results = assess(plan, command=command)
    console.print(f"done in {clock(time.monotonic() - started)}.")
    return results


def _tuning_jobs(plan: Plan) -> list[Job]:
    """Return a tuning for each task and model whose choice is not on disk; twins tune once."""
    wanted: dict[tuple[str, str], Task] = {}
    for cell in plan.pending:
        name = resolve_model(cell.model).tunes_as or cell.model
        if len(resolve_model(name).candidates) > 1:
            wanted[cell.task.name, name] = cell.task
    return [
        Job(f"{task.name} {name}", tune, (plan.out, task, name, plan.budget))
        for (_, name), task in wanted.items()
        if not tuning_file(plan.out, task, name).is_file()
    ]


def _cell_jobs(plan: Plan) -> list[Job]:
    return [
        Job(
            f"{cell.task.name} {cell.model} seed {cell.seed}",
            run_cell,
            (plan.out, plan.folder(cell), cell, plan.budget),
        )
        for cell in plan.pending
    ]


def _announce(plan: Plan, workers: int, console: Console) -> None:
    """Print what will run, and about how long it takes."""
    table = Table(title=f"suite {plan.suite}, budget {plan.budget}, {workers} workers")
    for column in ("task", "models", "cells", "done"):
        table.add_column(column)
    for task in dict.fromkeys(cell.task for cell in plan.cells):
        cells = [cell for cell in plan.cells if cell.task == task]
        names = ", ".join(dict.fromkeys(cell.model for cell in cells))
        done = sum(map(plan.is_done, cells))
        table.add_row(task.name, names, str(len(cells)), str(done))
    console.print(table)
    if plan.pending:
        seconds = _estimate(plan, min(workers, len(plan.pending)))
        console.print(f"about {clock(seconds)} of training, by timing a few steps of each task.")


def _announce_choices(plan: Plan, console: Console) -> None:
    """Print what validation chose, and from how many candidates."""
    for line in choices(plan):
        console.print(line, markup=False, highlight=False)


def _estimate(plan: Plan, workers: int) -> float:
    """Return the wall time to expect: steps times the time of one, over the workers."""
    total = 0.0
    for task in dict.fromkeys(cell.task for cell in plan.pending):
        step = _step_seconds(plan, task)
        trainings = sum(
            _trainings(resolve_model(cell.model), cell.model)
            for cell in plan.pending
            if cell.task == task
        )
        names = {cell.model for cell in plan.pending if cell.task == task}
        trainings += sum(len(resolve_model(name).candidates) for name in names)
        total += trainings * step * task.steps_of(plan.budget)
    return total / workers


def _trainings(model: Model, name: str) -> int:
    return MEMBERS if name in ("deep_ensemble", "gaussian_ensemble") else 1


def _step_seconds(plan: Plan, task: Task) -> float:
    splits = load_splits(task, 0)
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
