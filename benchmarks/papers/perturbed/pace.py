"""How long a run will take, from a few steps of every kind of training."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence

from torch import Tensor

from perturbed.judging import answers
from perturbed.models import Group
from perturbed.tasks import Task

FEW, MORE = 2, 14
"""Steps of two short trainings: what is between them is the time of steps, what is before is not."""


def hours(
    task: Task, cases: Mapping[tuple[str, int], Tensor], wanted: Sequence[tuple[int, Group]]
) -> float:
    """Return about how long the trainings take, with the machine as busy as it is.

    Args:
        task: Loaded.
        cases: The test rows under each corruption.
        wanted: Seeds and groups.
    """
    kinds = {group.names: group for _, group in wanted}
    seconds = {names: _seconds(task, cases, group) for names, group in kinds.items()}
    return sum(seconds[group.names] for _, group in wanted) / 3600


def _seconds(task: Task, cases: Mapping[tuple[str, int], Tensor], group: Group) -> float:
    times = []
    for steps in (FEW, MORE):
        start = time.perf_counter()
        models = group.train(dataclasses.replace(task, steps=steps), 0)
        times.append(time.perf_counter() - start)
    start = time.perf_counter()
    for model in models.values():
        answers(model, cases["clean", 0])
    judging = (time.perf_counter() - start) * len(cases)
    few, more = times
    return few + max(more - few, 0) / (MORE - FEW) * task.steps + judging
