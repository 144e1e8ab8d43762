"""One step: draw its rows, evaluate, update; and stop where a number is not finite."""

from __future__ import annotations

import contextlib
import functools
import math
import operator
from collections.abc import Callable, Mapping
from typing import NoReturn

import torch
from torch import Tensor

from uncertain.fit.batch import Batch
from uncertain.fit.failures import (
    LastGood,
    NonFiniteError,
    SpoiltError,
    gradient_norm,
    not_finite,
    spoilt_parameter,
)
from uncertain.fit.objective import named
from uncertain.fit.run import Run
from uncertain.fit.sampling import DRAWS, Sampler, key, seed_draws, seed_python
from uncertain.fit.sources import to_device

_SMALLEST_SCALE = 2.0**-14
_RESERVED = frozenset({"loss", "gradient_norm"})


class Drawer:
    """Makes the batch of a step: this rank's rows, their weights, and the seeds of its draws."""

    def __init__(self, run: Run, sampler: Sampler, dtype: torch.dtype) -> None:
        self._run, self._sampler = run, sampler
        weight = run.data.weight
        self.total = float(len(run.data) if weight is None else weight.sum(dtype=torch.float64))
        self._weight = torch.ones(sampler.batch_size, dtype=dtype, device=run.device)
        self._weights: Tensor | None = None
        if weight is not None:
            scaled = weight.double() * (sampler.length / self.total)
            self._weights = scaled.to(dtype)
        self._python = not any(True for _ in run.data.columns())

    def __call__(self, step: int) -> Batch:
        """Return the batch of a step, and leave the global generators seeded for it."""
        run, world = self._run, self._run.world
        draws = key(run.seed, DRAWS, step, world.rank)
        seed_draws(draws, run.device)
        if self._python:
            seed_python(draws)
        whole = self._sampler.index(step)
        index = world.part(whole)
        x, y = to_device(tuple(run.data.rows(index)), run.device)
        if self._weights is None:
            weight = self._weight[: len(index)]
        else:
            weight = to_device(self._weights[index.to(self._weights.device)], run.device)
        if world.size > 1:
            weight = weight * world.scale(len(index), len(whole))
        batch = Batch(x, y, weight, to_device(index, run.device), self.total)
        for hooks in run.hooks:
            if hooks.batch:
                batch = hooks.batch(batch)
        return batch


def gradient_step(run: Run, batch: Batch, good: LastGood) -> dict[str, float]:
    """Evaluate the objective, check it and its gradient, and update."""
    optimizer, scaler = run.optimizer, run.scaler
    assert optimizer is not None
    optimizer.zero_grad(set_to_none=True)
    terms = _evaluate(run, batch, good, run.forward)
    if len(terms) > 1 and not _RESERVED.isdisjoint(terms):
        raise ValueError(
            "`objective` should return the terms whose sum is the loss, and not call one of them "
            f"`loss` or `gradient_norm`, got {', '.join(terms)}: leave the sum out."
        )
    loss = functools.reduce(operator.add, terms.values())
    values = _checked(run, batch, good, {**terms, "loss": loss})
    if not loss.requires_grad:
        raise ValueError(_UNREACHED)
    (scaler.scale(loss) if scaler else loss).backward()
    if run.step == 0 and all(p.grad is None for p in run.model.parameters()):
        raise ValueError(_UNREACHED)
    if scaler:
        scaler.unscale_(optimizer)
    run.gradient_norm = gradient_norm(run.parameters.values())
    values["gradient_norm"] = float(run.gradient_norm)
    if not math.isfinite(values["gradient_norm"]):
        _check_gradient(run, batch, good)
    good.verified()
    for hooks in run.hooks:
        if hooks.gradient:
            hooks.gradient()
    if scaler:
        scaler.step(optimizer)
        scaler.update()
    else:
        optimizer.step()
    return values


def custom_step(run: Run, batch: Batch, good: LastGood) -> dict[str, float]:
    """Let the caller's step do it all, and check what it leaves."""

    def step(batch: Batch) -> Mapping[str, Tensor]:
        return named(run.custom(run.forward, batch), "loss")

    terms = _evaluate(run, batch, good, step)
    values = _checked(run, batch, good, terms)
    bad = not_finite(run.parameters)
    if bad:
        _fail(run, batch, good, f"parameter {bad[0]}", _shown(values))
    return values


_UNREACHED = (
    "`objective` should depend on the parameters of `model`, but none of them got a gradient: "
    "was it built for another model?"
)


def _precision(run: Run) -> contextlib.AbstractContextManager[object]:
    if run.autocast is None:
        return contextlib.nullcontext()
    return torch.autocast(run.device.type, dtype=run.autocast)


def _evaluate(
    run: Run, batch: Batch, good: LastGood, function: Callable[[Batch], Mapping[str, Tensor]]
) -> Mapping[str, Tensor]:
    """Return the terms; fail, on every rank, where numbers spoilt what was made of them on the way."""
    terms: Mapping[str, Tensor] = {}
    spoilt, detail = "", "found by the distribution's own check"
    cause: Exception | None = None
    try:
        with _precision(run):
            terms = function(batch)
    except ValueError as error:
        spoilt = spoilt_parameter(error)
        if not spoilt:
            raise
        detail = str(error) if isinstance(error, SpoiltError) else detail
        cause = error
    except ArithmeticError as error:  # a matrix without a factor, say
        spoilt, detail, cause = "objective", str(error), error
    if run.world.size > 1:
        failures = run.world.sum(torch.tensor([float(bool(spoilt))], device=run.device))
        spoilt = spoilt or ("prediction of another rank" if failures.item() else "")
    if spoilt:
        _fail(run, batch, good, spoilt, detail, cause)
    return terms


def _checked(
    run: Run, batch: Batch, good: LastGood, terms: Mapping[str, Tensor]
) -> dict[str, float]:
    """Return the terms as numbers, averaged over ranks; fail where one is not finite."""
    if run.world.size == 1 and run.device.type == "cpu":
        numbers = [value.item() for value in terms.values()]
    else:  # one transfer for all
        kind = functools.reduce(torch.promote_types, (v.dtype for v in terms.values()))
        stacked = torch.stack([v.detach().to(run.device, kind) for v in terms.values()])
        numbers = run.world.mean(stacked).tolist()
    values = dict(zip(terms, numbers, strict=True))
    for name, value in values.items():
        if not math.isfinite(value):
            _fail(run, batch, good, name, _shown(values))
    return values


def _check_gradient(run: Run, batch: Batch, good: LastGood) -> None:
    """Find the gradient that is not finite; the norm of finite ones may overflow, which is fine."""
    if run.scaler and run.scaler.get_scale() > _SMALLEST_SCALE:
        return  # the scaler skips this step and tries a smaller scale
    bad = not_finite({name: parameter.grad for name, parameter in run.parameters.items()})
    if bad:
        more = f"and {len(bad) - 1} more" if len(bad) > 1 else "and no other"
        _fail(run, batch, good, f"gradient of {bad[0]}", f"{more}; the loss is finite")


def _fail(
    run: Run,
    batch: Batch,
    good: LastGood,
    term: str,
    detail: str,
    cause: BaseException | None = None,
) -> NoReturn:
    if isinstance(batch.x, Tensor) and not_finite({"x": batch.x, "y": batch.y}):
        detail += "; the batch itself holds values that are not finite"
    raise NonFiniteError(
        run.step,
        term,
        batch.index.cpu(),
        restored=good.restore(),
        detail=detail,
        checkpoint=run.checkpoint,
    ) from cause


def _shown(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.6g}" for name, value in values.items())
