"""How long a run will take, from a few steps of every kind of training."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection, Mapping, Sequence

from torch import Tensor

from perturbed.judging import answers
from perturbed.models import Group
from perturbed.tasks import Task

FEW, MORE = 2, 14
"""Steps of two short trainings: what is between them is the time of steps, what is before is not."""

SOME = 200
"""Rows that the time of an answer is taken from."""


def hours(
    task: Task,
    cases: Mapping[tuple[str, int], Tensor],
    wanted: Sequence[tuple[int, Group]],
    models: Collection[str],
) -> float:
    """Return about how long the trainings take, with the machine as busy as it is.

    Args:
        task: Loaded.
        cases: The test rows under each corruption.
        wanted: Seeds and groups.
        models: Which of a group's models are judged.
    """
    kinds = {group.names: group for _, group in wanted}
    seconds = {names: _seconds(task, cases, group, models) for names, group in kinds.items()}
    return sum(seconds[group.names] for _, group in wanted) / 3600


def _seconds(
    task: Task, cases: Mapping[tuple[str, int], Tensor], group: Group, names: Collection[str]
) -> float:
    times = []
    for steps in (FEW, MORE):
        start = time.perf_counter()
        trained = group.train(dataclasses.replace(task, steps=steps), 0)
        times.append(time.perf_counter() - start)
    start = time.perf_counter()
    rows = cases["clean", 0][:SOME]
    for name, model in trained.items():
        if name in names:
            answers(model, rows)
    judging = (time.perf_counter() - start) * len(cases) * len(cases["clean", 0]) / len(rows)
    few, more = times
    return few + max(more - few, 0) / (MORE - FEW) * task.steps + judging
