"""The training loop: everything else in this package is a part of it or plugs into it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from uncertain import checks
from uncertain.fit.batch import Batch
from uncertain.fit.description import describe, describe_model
from uncertain.fit.failures import LastGood, NonFiniteError, spoilt_parameter
from uncertain.fit.interruption import Signals, caught_signals
from uncertain.fit.modes import training_mode
from uncertain.fit.objective import Forward, Function, default_objective
from uncertain.fit.parallel import current_world, replicate
from uncertain.fit.preparation import (
    check_model,
    check_parameters,
    check_predictor,
    checked_source,
)
from uncertain.fit.run import ALL_STEPS, INTERRUPTED, Callback, Run, Score
from uncertain.fit.sampling import Sampler, preserved_generators
from uncertain.fit.sources import Source
from uncertain.fit.stepping import Drawer, custom_step, gradient_step
from uncertain.fit.validation import Validator, make_validator, validate

Step = Callable[[nn.Module, Batch], Mapping[str, Tensor]]
MakeOptimizer = Callable[[list[nn.Parameter]], Optimizer]


@dataclass(frozen=True)
class FitResult:
    """What a training gave.

    Attributes:
        model: The model that was passed, trained.
        steps: Steps done, those before a resume included.
        history: Every term by name, with ``loss`` and ``gradient_norm``: (steps,) float64.
        scores: Every validation: the steps done before it, and its value.
        best: The best validation, ``None`` without validations.
        stopped: ``"steps"`` where all were done, else the reason a callback gave.
        seconds: Wall time, of the parts before a resume too.
    """

    model: nn.Module
    steps: int
    history: Mapping[str, NDArray[np.float64]] = field(repr=False)
    scores: Sequence[Score] = field(repr=False)
    best: Score | None
    stopped: str
    seconds: float


def fit(
    model: nn.Module,
    data: Any,
    *,
    objective: Function | None = None,
    step: Step | None = None,
    optimizer: MakeOptimizer | None = None,
    steps: int,
    batch_size: int,
    validation: Any = None,
    callbacks: Sequence[Callback] = (),
    seed: int = 0,
) -> FitResult:
    r"""Train a model by stochastic gradient descent, or by steps of your own.

    Step :math:`t` draws a batch of ``batch_size`` rows (each row once an epoch), evaluates the
    objective and updates the parameters. Which rows, and every random draw on the way, follow from
    ``(seed, t)``, so a run that is resumed from a checkpoint ends in the same bits on a CPU in eager
    mode, and elsewhere differs only by what the device's kernels do between two runs. The global
    random generators are put back afterwards.

    Row weights are scaled to average one, and a row of weight :math:`k` counts as :math:`k` copies
    of itself: exactly so in a full batch, in expectation in a smaller one.

    In a process group every rank calls ``fit`` with the same arguments; the rows of each batch are
    shared out and gradients averaged. Nothing else changes, ``batch_size`` included.

    Args:
        model: What to train. Trained in place, on the device its parameters are on.
        data: ``(x, y)`` or ``(x, y, weight)`` with one row an entry (tensors, arrays, tuples or
            mappings of them), a map-style ``Dataset``, or what ``from_table`` and ``from_dataset``
            return.
        objective: From a ``Batch`` to the loss: a scalar, or scalars by name whose sum it is. By
            default ``model.objective`` where there is one, else ``nll(model)``.
        step: Replaces the gradient step (and so ``objective`` and ``optimizer``): from the model and
            a batch to terms by name. If it has ``state_dict`` and ``load_state_dict``, checkpoints
            hold its state.
        optimizer: From the list of parameters to an optimizer, as
            ``functools.partial(torch.optim.SGD, lr=0.1)``; by default Adam with rate 0.001.
        steps: How many, at least 1.
        batch_size: Rows a step, over all ranks; at least 1. More than there are means all.
        validation: Data to be scored once an epoch by the mean negative log-likelihood, a function
            of the model, or a ``Validation`` that says when.
        callbacks: Functions ``run -> Hooks``: ``progress()``, ``early_stopping(...)``, ...
        seed: Of everything that is drawn.

    Returns:
        The trained model, the history, validations, and why training ended.

    Raises:
        TypeError, ValueError: For arguments that do not fit, before anything is trained.
        NonFiniteError: Where a loss or gradient is not finite, or the objective raises an
            ``ArithmeticError`` (a matrix without a factor): it names the step, the term and the
            rows, and the model holds the last good state.
        Interrupted: After Ctrl-C, once the step under way is finished and, with ``checkpoints``,
            saved.

    Example:
        >>> x = torch.linspace(-1, 1, 64)[:, None]
        >>> class Line(nn.Linear):
        ...     def forward(self, x):
        ...         return torch.distributions.Normal(super().forward(x)[:, 0], 1.0)
        >>> sgd = lambda parameters: torch.optim.SGD(parameters, lr=0.5)
        >>> line = Line(1, 1)
        >>> result = fit(line, (x, 3 * x[:, 0] - 1), optimizer=sgd, steps=200, batch_size=64)
        >>> result.stopped, round(line.weight.item(), 3), round(line.bias.item(), 3)
        ('steps', 3.0, -1.0)
    """
    _check_arguments(objective, step, optimizer, steps, batch_size, callbacks)
    device = check_model(model)
    source = checked_source("data", data)
    sampler = Sampler(len(source), batch_size, seed, source.weight)
    with preserved_generators(device), training_mode(model):
        if step is None and objective is None and not callable(getattr(model, "objective", None)):
            check_predictor(model, source, device)
        check_parameters(model)
        run = _start(model, source, objective, step, optimizer, steps, sampler.batch_size, seed)
        run.validates = validation is not None
        validator = make_validator(
            validation,
            epoch=-(-sampler.length // sampler.batch_size),
            batch_size=batch_size,
            device=device,
            world=run.world,
        )
        with caught_signals() as signals:
            _train(run, sampler, validator, callbacks, signals)
            if signals.received:
                signals.deliver(_farewell(run))
    history = {name: np.array(values, dtype=np.float64) for name, values in run.history.items()}
    return FitResult(
        model, run.step, history, tuple(run.scores), run.best, run.stopped, run.seconds
    )


def _train(
    run: Run,
    sampler: Sampler,
    validator: Validator | None,
    callbacks: Sequence[Callback],
    signals: Signals,
) -> None:
    """Start the callbacks, resume where one can, and take the steps that are left."""
    try:
        for callback in callbacks:
            run.hooks = (*run.hooks, callback(run))
        run.description["callbacks"] = "; ".join(hooks.task for hooks in run.hooks if hooks.task)
        for hooks in run.hooks:
            state = hooks.resume() if hooks.resume else None
            if state is not None:
                run.load_state_dict(state)
        for hooks in run.hooks:
            if hooks.begin:
                hooks.begin()
        _loop(run, sampler, validator, signals)
        if not run.stopped:
            run.stop(ALL_STEPS)
        for hooks in run.hooks:
            if hooks.save:
                hooks.save()
    except BaseException:
        run.failed = True
        raise
    finally:
        for hooks in run.hooks:
            if hooks.end:
                hooks.end()


def _loop(run: Run, sampler: Sampler, validator: Validator | None, signals: Signals) -> None:
    draw = Drawer(run, sampler, _weight_dtype(run))
    advance = gradient_step if run.custom is None else custom_step
    good = LastGood(run.model, every=100 if run.custom is None else 1)
    while run.step < run.steps and not run.stopped:
        good.before(run.step)
        batch = draw(run.step)
        run.index = batch.index
        run.record(advance(run, batch, good))
        if validator and validator.is_due(run.step, run.steps):
            _validate(run, validator, good)
        for hooks in run.hooks:
            if hooks.step:
                hooks.step()
        for hooks in run.hooks:
            if hooks.save:
                hooks.save()
        _agree(run, signals)


def _validate(run: Run, validator: Validator, good: LastGood) -> None:
    spoilt, cause = "", None
    try:
        value = validate(validator, run.model)
    except ValueError as error:
        spoilt, cause = spoilt_parameter(error), error
        if not spoilt:
            raise
        value = math.nan
    if math.isnan(value):
        good.before(run.step)
        raise NonFiniteError(
            run.step - 1,
            "validation",
            run.index,
            restored=good.restore(),
            detail=f"{spoilt or 'nan'}; the rows are those of the last update",
            checkpoint=run.checkpoint,
        ) from cause
    run.add_score(value)
    for hooks in run.hooks:
        if hooks.validation:
            hooks.validation()


def _agree(run: Run, signals: Signals) -> None:
    """Stop on every rank where one was interrupted or asked to stop."""
    if signals.received:
        run.stop(INTERRUPTED)
    if run.world.size > 1:
        flags = torch.tensor([run.stopped == INTERRUPTED, bool(run.stopped)], device=run.device)
        interrupted, stopped = (run.world.sum(flags.float()) > 0).tolist()
        if stopped and not run.stopped:
            run.stop(INTERRUPTED if interrupted else "stopped by another rank")


def _start(
    model: nn.Module,
    source: Source,
    objective: Function | None,
    step: Step | None,
    optimizer: MakeOptimizer | None,
    steps: int,
    batch_size: int,
    seed: int,
) -> Run:
    """Put together what is trained, by what, and its description."""
    world = current_world()
    if batch_size < world.size:
        raise ValueError(
            f"`batch_size` should be at least the number of ranks, {world.size}, got {batch_size}."
        )
    device = next(p.device for p in model.parameters() if p.requires_grad)
    forward = Forward(model, default_objective(model) if objective is None else objective)
    parameters = {n: p for n, p in forward.named_parameters() if p.requires_grad}
    make = optimizer or torch.optim.Adam
    description = describe_model(model) | {
        "objective": describe(forward.objective) if step is None else "",
        "step": describe(step),
        "optimizer": describe(make) if step is None else "",
        "steps": str(steps),
        "batch_size": str(batch_size),
        "seed": str(seed),
        "ranks": str(world.size),
    }
    return Run(
        model=model,
        forward=replicate(forward if step is None else model, world, device),
        wrapped=forward,
        optimizer=_make_optimizer(make, list(parameters.values())) if step is None else None,
        data=source,
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        device=device,
        world=world,
        description=description,
        parameters={n.removeprefix("model."): p for n, p in parameters.items()},
        custom=step,
    )


def _make_optimizer(make: MakeOptimizer, parameters: list[nn.Parameter]) -> Optimizer:
    made = make(parameters)
    if not isinstance(made, Optimizer):
        raise TypeError(
            "`optimizer` should return a torch.optim.Optimizer when called with the parameters, "
            f"got {type(made).__name__}."
        )
    return made


def _check_arguments(
    objective: object,
    step: object,
    optimizer: object,
    steps: int,
    batch_size: int,
    callbacks: Sequence[object],
) -> None:
    checks.check_range("steps", steps, 1)
    checks.check_range("batch_size", batch_size, 1)
    if step is not None and (objective is not None or optimizer is not None):
        raise ValueError(
            "`step` replaces the gradient step, so neither `objective` nor `optimizer` goes with it:"
            " use them inside it."
        )
    if isinstance(optimizer, Optimizer):
        raise TypeError(
            "`optimizer` should be a function of the parameters, got an optimizer: pass "
            f"functools.partial(torch.optim.{type(optimizer).__name__}, lr=...)."
        )
    named = {"objective": objective, "step": step, "optimizer": optimizer}
    named |= {f"callbacks[{place}]": callback for place, callback in enumerate(callbacks)}
    for name, value in named.items():
        if value is not None and not callable(value):
            raise TypeError(f"`{name}` should be callable, got {type(value).__name__}.")


def _weight_dtype(run: Run) -> torch.dtype:
    """Return the dtype of x where it floats: a weighted term then has the type of the others."""
    for name, values in run.data.columns():
        if name == "x" and isinstance(values, Tensor) and values.is_floating_point():
            return torch.promote_types(values.dtype, torch.float32)
    return torch.get_default_dtype()


def _farewell(run: Run) -> str:
    text = f"training was interrupted after step {run.step} of {run.steps}"
    if run.stopped != INTERRUPTED:
        return f"{text}; it was complete ({run.stopped})."
    if run.checkpoint is None:
        return f"{text}; nothing was saved: pass `checkpoints(directory)` to be able to go on."
    return f"{text}; it is saved as {run.checkpoint}: make the same call again to go on."
