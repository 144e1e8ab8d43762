"""What a run consists of: its cells, and the folder that remembers which are done.

A cell is one task, model and seed. Its folder holds predictions of every split and, written last,
``cell.json``: a cell is done when that file is there, so a run killed anywhere loses at most the
cells it was in, and those resume from their checkpoints.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uncertain
from uncertain import atomic, checks
from uncertain.benchmark.models import MODELS, QUICK, Model, resolve_model
from uncertain.benchmark.study import Half, seeds_of, tasks_of
from uncertain.benchmark.tasks import Budget, Task

FORMAT = 1
CLAIM = "run.json"
"""Says whose folder it is."""


@dataclass(frozen=True)
class Cell:
    """One task, model and seed."""

    task: Task
    model: str
    seed: int

    @property
    def key(self) -> str:
        """Return the cell's folder below ``cells``."""
        return f"{self.task.name}/{folder_name(self.model)}/{self.seed}"


@dataclass(frozen=True)
class Plan:
    """A whole run: where it writes, and every cell in the order it is started."""

    suite: str
    budget: Budget
    seeds: int
    out: Path
    cells: tuple[Cell, ...]
    half: Half = "develop"

    def folder(self, cell: Cell) -> Path:
        """Return the folder of one cell."""
        return self.out / "cells" / cell.key

    def is_done(self, cell: Cell) -> bool:
        """Return whether the cell's last file is there."""
        return (self.folder(cell) / "cell.json").is_file()

    @property
    def pending(self) -> tuple[Cell, ...]:
        """Return the cells that are still to be run."""
        return tuple(cell for cell in self.cells if not self.is_done(cell))


def make_plan(
    suite: str | Sequence[Task],
    *,
    models: Sequence[str] | None,
    seeds: int,
    budget: Budget,
    out: str | Path,
    half: Half = "develop",
    claim: bool = True,
) -> Plan:
    """Check every name and the output folder, and list the cells.

    Args:
        suite: A key of ``SUITES``, or tasks of your own.
        models: Names of ``MODELS`` or import paths ``package.module:function``; by default every
            built-in model that fits the task (those of ``QUICK`` in the suite quick).
        seeds: Trainings of each model, with seeds 0, 1, ..., or 100, 101, ... to confirm.
        budget: ``desk`` or ``full``.
        out: The run's folder; made where it is absent, resumed where it holds the same run.
        half: Which half of a suite's study; tasks of your own are all used, with that half's seeds.
        claim: Whether the folder becomes this run's; else nothing is written.

    Returns:
        The plan.

    Raises:
        ValueError: Unknown suite, half, model or budget; more seeds than the half has; no model fits a task; the folder holds another
            run.
        OSError: The folder can't be written.
    """
    tasks = _tasks(suite, half)
    checks.check_choice("budget", budget, ("desk", "full"))
    numbers = seeds_of(half, seeds)
    names = list(models) if models else None
    resolved = {name: resolve_model(name) for name in names or MODELS}
    cells = tuple(
        Cell(task, name, seed)
        for task in tasks
        for seed in numbers
        for name in _fitting(task, resolved, by_name=names is not None)
        if names or suite != "quick" or name in QUICK[task.kind]
    )
    if not cells:
        raise ValueError(
            f"none of the models {', '.join(resolved)} fits a task: "
            f"the tasks are {', '.join(f'{t.name} ({t.kind})' for t in tasks)}."
        )
    title = suite if isinstance(suite, str) else ", ".join(task.name for task in tasks)
    plan = Plan(title, budget, seeds, Path(out), cells, half)
    mine = _description(plan, tasks)
    _refuse_another(plan.out, mine)
    _refuse_fewer(plan)
    if claim:
        atomic.check_writable_directory(plan.out, create=True)
        if not (plan.out / CLAIM).is_file():
            atomic.write_text(plan.out / CLAIM, json.dumps(mine, indent=2))
    return plan


@contextlib.contextmanager
def held(out: Path) -> Iterator[None]:
    """Hold a run's folder while the block runs: two processes would undo each other's work.

    Raises:
        ValueError: Another process holds it.
    """
    import fcntl

    with (out / "run.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(
                f"another process is running in {out}: wait until it has ended, or choose another "
                "folder with --out."
            ) from error
        except OSError:
            pass  # This file system has no locks.
        yield


def folder_name(model: str) -> str:
    """Return a model's name as a folder's."""
    return model.replace(":", "--").replace("/", "-")


def _tasks(suite: str | Sequence[Task], half: Half) -> tuple[Task, ...]:
    if isinstance(suite, str):
        return tasks_of(suite, half)
    checks.check_not_empty("suite", suite)
    names = [task.name for task in suite]
    if len(set(names)) < len(names):
        raise ValueError(f"`suite` should have tasks of different names, got {', '.join(names)}.")
    return tuple(suite)


def _fitting(task: Task, models: dict[str, Model], *, by_name: bool) -> list[str]:
    images = task.network != "mlp"
    return [
        name
        for name, model in models.items()
        if task.kind in model.kinds
        and (by_name or not model.named)
        and (model.images or by_name or not images)
    ]


def _refuse_fewer(plan: Plan) -> None:
    """Refuse to leave out cells that the folder holds: its table and report would lose them."""
    asked = {plan.folder(cell) / "cell.json" for cell in plan.cells}
    left_out = sorted(set((plan.out / "cells").rglob("cell.json")) - asked)
    if left_out:
        facts = [json.loads(path.read_text()) for path in left_out]
        models = ", ".join(sorted({str(fact["model"]) for fact in facts}))
        raise ValueError(
            f"{plan.out} also holds {len(left_out)} finished cells of {models} (up to seed "
            f"{max(fact['seed'] for fact in facts)}) that this run leaves out: name those models and "
            "seeds as well, or choose another folder with --out."
        )


def _description(plan: Plan, tasks: Sequence[Task]) -> dict[str, Any]:
    """Return what makes a run what it is; seeds and models may be added to it later."""
    return {
        "format": FORMAT,
        "suite": plan.suite,
        "budget": plan.budget,
        "half": plan.half,
        "version": uncertain.__version__,
        **{f"task {task.name}": _facts(task) for task in tasks},
    }


def _facts(task: Task) -> dict[str, Any]:
    facts = {f.name: getattr(task, f.name) for f in dataclasses.fields(task)}
    del facts["checkpoint_seconds"]
    if not isinstance(task.data, str):
        facts["data"] = f"{task.data.__module__}:{getattr(task.data, '__qualname__', task.data)}"
    # As JSON gives it back: tuples are lists there.
    found: dict[str, Any] = json.loads(json.dumps(facts))
    return found


def _refuse_another(out: Path, mine: dict[str, Any]) -> None:
    """Refuse the folder of another run, naming what differs."""
    path = out / CLAIM
    if not path.is_file():
        return
    try:
        theirs = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is no run's description: choose another folder.") from error
    changes = [
        f"{key} was {theirs.get(key)!r}, is {value!r}"
        for key, value in mine.items()
        if theirs.get(key) != value
    ]
    if changes:
        raise ValueError(
            f"{out} holds another run ({'; '.join(changes)}): resume that one with its own options, "
            "or choose another folder with --out."
        )
