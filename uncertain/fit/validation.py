"""Scoring the model on rows it does not see in training, while it is trained."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from uncertain import checks
from uncertain.fit.modes import evaluation_mode
from uncertain.fit.objective import row_nll
from uncertain.fit.parallel import World, reshard
from uncertain.fit.preparation import checked_source
from uncertain.fit.sources import Source, to_device


@dataclass(frozen=True)
class Validation:
    """When to validate, and on what. Data alone stands for ``Validation(data)``.

    Attributes:
        data: As for ``fit``, scored by the weighted mean negative log-likelihood in nats; or a
            function of the model that returns a number, lower is better.
        every: Steps between validations; by default once an epoch. The last step is always
            followed by one.
        batch_size: Rows at a time; by default that of training.

    Raises:
        ValueError: For ``every`` or ``batch_size`` below 1.

    Example:
        >>> Validation(lambda model: 0.0, every=10).every
        10
    """

    data: Any
    every: int | None = None
    batch_size: int | None = None

    def __post_init__(self) -> None:
        for name in ("every", "batch_size"):
            value = getattr(self, name)
            if value is not None:
                checks.check_range(name, value, 1)


@dataclass(frozen=True)
class Validator:
    """A ``Validation`` with everything decided."""

    every: int
    score: Callable[[nn.Module], float]

    def is_due(self, step: int, steps: int) -> bool:
        """Return whether to validate after ``step`` steps."""
        return step % self.every == 0 or step == steps


def make_validator(
    validation: Any, *, epoch: int, batch_size: int, device: torch.device, world: World
) -> Validator | None:
    """Turn what was passed as ``validation`` into something that can be called.

    Raises:
        TypeError, ValueError: For data that ``fit`` could not train on either.
    """
    if validation is None:
        return None
    asked = validation if isinstance(validation, Validation) else Validation(validation)
    every = asked.every or epoch
    if callable(asked.data) and not hasattr(asked.data, "__getitem__"):
        function = asked.data

        def score(model: nn.Module) -> float:
            return float(function(model))

        return Validator(every, score)
    source = checked_source("validation", asked.data)
    size = asked.batch_size or batch_size
    return Validator(every, lambda model: mean_nll(model, source, size, device, world))


def validate(validator: Validator, model: nn.Module) -> float:
    """Score the model in evaluation mode, without gradients, and leave no trace in it."""
    with evaluation_mode(model), torch.no_grad():
        value = validator.score(model)
    reshard(model)
    return value


def mean_nll(
    model: nn.Module, source: Source, batch_size: int, device: torch.device, world: World
) -> float:
    """Return the weighted mean negative log-likelihood over a source, in nats."""
    total = torch.zeros(2, dtype=torch.float64)
    mine = torch.arange(world.rank, len(source), world.size)
    for index in mine.split(batch_size):
        x, y = to_device(tuple(source.rows(index)), device)
        values = row_nll(model(x), y).double().cpu()
        weight = None if source.weight is None else source.weight[index].double().cpu()
        if weight is None:
            total += torch.tensor([values.sum(), len(values)], dtype=torch.float64)
        else:
            kept = weight > 0  # no copies of a row: not even of one that is impossible
            weighed = weight[kept] @ values[kept]
            total += torch.tensor([weighed, weight.sum()], dtype=torch.float64)
    value, weight_sum = world.sum(total.to(device)).tolist()
    return float(value / weight_sum) if weight_sum else math.nan
