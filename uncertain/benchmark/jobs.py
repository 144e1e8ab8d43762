"""What is left to do of a run, as jobs that know what they wait for.

Candidates are tried, then networks are trained, then cells predict. Models share networks (the
softmax network is a member of the ensemble and carries MC dropout's masks), so each network is a job
of its own: two workers never wait for one another at a lock, and an ensemble's members are trained
side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from uncertain.benchmark.backbones import BACKBONES
from uncertain.benchmark.cells import run_cell, train_network, try_candidate, tuning_file
from uncertain.benchmark.models import resolve_model
from uncertain.benchmark.plan import Cell, Plan
from uncertain.benchmark.schedule import Job
from uncertain.benchmark.tasks import Task

PREDICTION_SECONDS = 1.0
"""About what a cell takes whose networks are there."""


def list_jobs(plan: Plan, step_seconds: Mapping[str, float]) -> list[Job]:
    """Return the jobs of every pending cell.

    Args:
        plan: The run.
        step_seconds: Task name to the seconds one optimiser step takes; it orders the jobs.

    Returns:
        Jobs, each after those that it waits for.
    """
    board = _Board(plan, step_seconds)
    for cell in plan.pending:
        tried = board.trials(cell)
        networks = board.networks(cell, after=tried)
        own = board.own_seconds(cell)
        board.add(
            f"{cell.task.name} {cell.model} seed {cell.seed}",
            run_cell,
            (plan.out, plan.folder(cell), cell, plan.budget),
            after=tried + networks,
            seconds=PREDICTION_SECONDS + own,
        )
    return list(board.jobs.values())


class _Board:
    """The jobs so far, by name; what several cells ask for is there once."""

    def __init__(self, plan: Plan, step_seconds: Mapping[str, float]) -> None:
        self.plan = plan
        self.step_seconds = step_seconds
        self.jobs: dict[str, Job] = {}
        # Models whose settings agree share a network: one trains it, the other finds it there.
        self._same_network: dict[tuple[str, ...], list[str]] = {}

    def seconds(self, task: Task) -> float:
        """Return about how long one training takes."""
        return self.step_seconds.get(task.name, 0.0) * task.steps_of(self.plan.budget)

    def own_seconds(self, cell: Cell) -> float:
        """Return about how long a cell's own training takes, its networks being there."""
        model = resolve_model(cell.model)
        if model.networks and not model.backbone:
            return 0.0
        return model.work * self.seconds(cell.task)

    def trials(self, cell: Cell) -> tuple[str, ...]:
        """Add a trial for each candidate, unless the choice is made or there is none.

        A model on a backbone waits for the choice of the backbone's own settings.
        """
        name = resolve_model(cell.model).tunes_as or cell.model
        before: tuple[str, ...] = ()
        if resolve_model(name).backbone:
            before = self._candidates(cell, BACKBONES[cell.task.kind], after=())
        return before + self._candidates(cell, name, after=before)

    def _candidates(self, cell: Cell, name: str, *, after: tuple[str, ...]) -> tuple[str, ...]:
        model = resolve_model(name)
        done = tuning_file(self.plan.out, cell.task, name, cell.seed).is_file()
        count = len(model.candidates)
        if done or count == 1:
            return ()
        split = f" split {cell.task.split_of(cell.seed)}" if cell.task.split_by_seed else ""
        place = f"{cell.task.name}{split}"
        alike = model.networks and not model.backbone
        return tuple(
            self.add(
                f"{place} {name} candidate {number + 1} of {count}",
                try_candidate,
                (self.plan.out, cell.task, name, number, cell.seed, self.plan.budget),
                after=after,
                seconds=PREDICTION_SECONDS * model.backbone + model.work * self.seconds(cell.task),
                shares=(place, str(model.candidates[number])) if alike else (),
            )
            for number in range(count)
        )

    def networks(self, cell: Cell, *, after: tuple[str, ...]) -> tuple[str, ...]:
        """Add the networks of a cell's seed that no other cell has asked for."""
        name = resolve_model(cell.model).tunes_as or cell.model
        if resolve_model(name).backbone:
            name = BACKBONES[cell.task.kind]
        return tuple(
            self.add(
                f"{cell.task.name} {name} seed {cell.seed} network {member + 1}",
                train_network,
                (self.plan.out, cell.task, name, cell.seed, member, self.plan.budget),
                after=after,
                seconds=self.seconds(cell.task),
                shares=(cell.task.name, str(cell.seed), str(member)),
            )
            for member in range(resolve_model(cell.model).networks)
        )

    def add(
        self,
        name: str,
        function: Callable[..., None],
        arguments: tuple[Any, ...],
        *,
        after: tuple[str, ...] = (),
        seconds: float,
        shares: tuple[str, ...] = (),
    ) -> str:
        """Add a job where it is not there; it waits for those that may train the same network."""
        if name not in self.jobs:
            others = self._same_network.setdefault(shares, []) if shares else []
            waits = tuple(dict.fromkeys((*after, *others)))
            self.jobs[name] = Job(name, function, arguments, after=waits, seconds=seconds)
            others.append(name)
        return name
