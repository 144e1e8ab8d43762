"""Callbacks that change a training: stopping early, clipping, schedules, augmentation, execution."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler
from torch.distributions import Distribution
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from uncertain import checks
from uncertain.fit.batch import Batch
from uncertain.fit.description import describe
from uncertain.fit.failures import local
from uncertain.fit.run import Callback, Hooks, Run
from uncertain.fit.sampling import AUGMENT, key


def early_stopping(patience: int, *, min_delta: float = 0.0) -> Callback:
    """Stop when validation gets no better, and give the model its best state back.

    The best state is restored however training ends, after all steps too, but not after an error.

    Args:
        patience: Stop after this many validations in a row without a new best one, at least 1.
        min_delta: How much lower than the best a score must be to count as better, at least 0.

    Returns:
        A callback; it needs ``validation``.

    Raises:
        ValueError: For arguments out of range, and by ``fit`` where there is no ``validation``.

    Example:
        >>> from uncertain.fit import Validation, fit, term
        >>> net = torch.nn.Linear(1, 1, bias=False)
        >>> _ = torch.nn.init.ones_(net.weight)
        >>> sgd = lambda parameters: torch.optim.SGD(parameters, lr=1.0)
        >>> result = fit(
        ...     net, (torch.ones(1, 1), None), steps=9, batch_size=1, optimizer=sgd,
        ...     objective=term("slope", lambda batch: net.weight.sum()),
        ...     validation=Validation(lambda net: abs(float(net.weight) + 1.0)),
        ...     callbacks=[early_stopping(patience=3)],
        ... )
        >>> result.stopped, result.steps, result.best, net.weight.item()
        ('early stopping', 5, Score(step=2, value=0.0), -1.0)
    """
    checks.check_range("patience", patience, 1)
    checks.check_range("min_delta", min_delta, 0)

    def start(run: Run) -> Hooks:
        if not run.validates:
            raise ValueError("`early_stopping` needs scores, got no `validation`: pass some data.")
        best, waited = math.inf, 0
        kept: dict[str, Tensor] = {}

        def validation() -> None:
            nonlocal best, waited
            value = run.scores[-1].value
            if not kept or value < best - min_delta:
                best, waited = value, 0
                kept.update(_cloned(run.model.state_dict()))
            else:
                waited += 1
            if waited >= patience:
                run.stop("early stopping")

        def end() -> None:
            if kept and not run.failed:
                run.model.load_state_dict(kept)

        def load(state: dict[str, Any]) -> None:
            nonlocal best, waited
            best, waited = state["best"], state["waited"]
            kept.update(state["model"])

        return Hooks(
            validation=validation,
            end=end,
            state=lambda: {"best": best, "waited": waited, "model": dict(kept)},
            load=load,
            task=f"early_stopping({patience}, min_delta={min_delta:g})",
        )

    return start


def clip_gradients(norm: float) -> Callback:
    r"""Scale the gradient down to a norm where it is longer, as torch's ``clip_grad_norm_`` does.

    .. math:: g \leftarrow g \min\bigl(1, \text{norm} / \lVert g \rVert_2\bigr)

    Args:
        norm: The largest 2-norm of the gradient of all parameters together, above 0.

    Returns:
        A callback.

    Raises:
        ValueError: Unless ``norm`` is positive and finite.

    References:
        R. Pascanu, T. Mikolov, Y. Bengio, On the difficulty of training recurrent neural networks,
        2013, algorithm 1.

    Example:
        >>> from uncertain.fit import fit, term
        >>> net = torch.nn.Linear(1, 1, bias=False)
        >>> _ = torch.nn.init.zeros_(net.weight)
        >>> sgd = lambda parameters: torch.optim.SGD(parameters, lr=1.0)
        >>> result = fit(
        ...     net, (torch.ones(1, 1), None), steps=1, batch_size=1, optimizer=sgd,
        ...     objective=term("steep", lambda batch: 1000 * net.weight.sum()),
        ...     callbacks=[clip_gradients(2.0)],
        ... )
        >>> round(net.weight.item(), 4), result.history["gradient_norm"]
        (-2.0, array([1000.]))
    """
    checks.check_range("norm", norm, 0, math.inf, open_low=True, open_high=True)

    def start(run: Run) -> Hooks:
        _needs_optimizer(run, "clip_gradients")
        parameters = list(run.parameters.values())

        def gradient() -> None:
            if run.gradient_norm is None:
                return
            factor = (norm / (run.gradient_norm + 1e-6)).clamp(max=1.0)
            for parameter in parameters:
                if parameter.grad is not None:
                    local(parameter.grad).mul_(factor)

        return Hooks(gradient=gradient, task=f"clip_gradients({norm:g})")

    return start


def schedule(factor: Callable[[int], float]) -> Callback:
    """Set the learning rate of every step: the optimizer's own rate times ``factor(step)``.

    It keeps no state, so nothing can go wrong when a training is resumed.

    Args:
        factor: From the step, counted from 0, to a factor of at least 0; ``cosine(steps)``, say.

    Returns:
        A callback.

    Raises:
        ValueError: By ``fit``, where a factor is negative or not finite.

    Example:
        >>> callback = schedule(lambda step: 0.5 ** (step // 10))
    """

    def start(run: Run) -> Hooks:
        optimizer = _needs_optimizer(run, "schedule")
        rates = [float(group["lr"]) for group in optimizer.param_groups]

        def gradient() -> None:
            by = factor(run.step)
            if not 0 <= by < math.inf:
                raise ValueError(
                    f"`factor` should be finite and at least 0, got {by} at step {run.step}."
                )
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                _set_rate(group, rate * by)

        return Hooks(gradient=gradient, task=f"schedule({describe(factor)})")

    return start


def cosine(steps: int, *, warmup: int = 0, floor: float = 0.0) -> Callable[[int], float]:
    r"""Return a factor that rises in a straight line, then falls along half a cosine.

    .. math:: f(t) = \text{floor} + (1 - \text{floor}) \tfrac12
              \Bigl(1 + \cos \pi \tfrac{t - \text{warmup}}{\text{steps} - \text{warmup}}\Bigr)

    after ``warmup``, and :math:`f(t) = (t + 1) / (\text{warmup} + 1)` before.

    Args:
        steps: Where the floor is reached, above ``warmup``.
        warmup: Steps of the rise, at least 0.
        floor: The last factor, in [0, 1].

    Returns:
        A factor for ``schedule``.

    Raises:
        ValueError: For arguments out of range.

    References:
        I. Loshchilov, F. Hutter, SGDR: Stochastic gradient descent with warm restarts, 2017,
        equation 5.

    Example:
        >>> [round(cosine(4)(step), 3) for step in range(5)]
        [1.0, 0.854, 0.5, 0.146, 0.0]
    """
    checks.check_range("warmup", warmup, 0)
    checks.check_range("steps", steps, warmup + 1, hint="above `warmup`")
    checks.check_range("floor", floor, 0, 1)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        along = min(1.0, (step - warmup) / (steps - warmup))
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * along))

    factor.__qualname__ = f"cosine({steps}, warmup={warmup}, floor={floor:g})"
    return factor


def scheduler(make: Callable[[Optimizer], LRScheduler]) -> Callback:
    """Step one of torch's own learning rate schedulers after every step; checkpoints hold its state.

    Args:
        make: From the optimizer to the scheduler, as
            ``functools.partial(torch.optim.lr_scheduler.StepLR, step_size=100)``.

    Returns:
        A callback.

    Raises:
        TypeError: By ``fit``, where ``make`` returns something else.

    Example:
        >>> import functools
        >>> halve = functools.partial(torch.optim.lr_scheduler.StepLR, step_size=10, gamma=0.5)
        >>> callback = scheduler(halve)
    """

    def start(run: Run) -> Hooks:
        made = make(_needs_optimizer(run, "scheduler"))
        if not isinstance(made, LRScheduler):
            raise TypeError(
                f"`scheduler` should make a torch LRScheduler, got {type(made).__name__}: a function"
                " of the step goes to `schedule`."
            )
        return Hooks(
            step=made.step,
            state=made.state_dict,
            load=made.load_state_dict,
            task=f"scheduler({describe(make)})",
        )

    return start


def augment(function: Callable[[Batch, torch.Generator], Batch]) -> Callback:
    """Change every training batch at random before the objective sees it; validation is not touched.

    Args:
        function: From a batch and a generator on its device to a batch. The generator follows from
            the seed, the step and the rank, so that a resumed training draws the same.

    Returns:
        A callback.

    Raises:
        TypeError: By ``fit``, where ``function`` returns no batch.

    Example:
        >>> def jitter(batch, generator):
        ...     noise = torch.randn(batch.x.shape, generator=generator, device=batch.x.device)
        ...     return batch._replace(x=batch.x + 0.1 * noise)
        >>> callback = augment(jitter)
    """

    def start(run: Run) -> Hooks:
        generator = torch.Generator(run.device)

        def batch(given: Batch) -> Batch:
            generator.manual_seed(key(run.seed, AUGMENT, run.step, run.world.rank))
            made = function(given, generator)
            if not isinstance(made, Batch):
                raise TypeError(
                    f"`augment` should return a Batch, got {type(made).__name__}: "
                    "`batch._replace(x=...)` makes one."
                )
            return made

        return Hooks(batch=batch, task=f"augment({describe(function)})")

    return start


def mixed_precision(dtype: torch.dtype = torch.bfloat16) -> Callback:
    """Evaluate the objective under ``torch.autocast``; float16 losses are scaled on the way.

    Parameters, gradients and the optimizer's state keep the precision they have.

    Args:
        dtype: ``torch.bfloat16`` or ``torch.float16``.

    Returns:
        A callback.

    Raises:
        ValueError: For another dtype, and by ``fit`` for float16 with a custom step, which would
            have to scale its losses itself.

    Example:
        >>> callback = mixed_precision(torch.bfloat16)
    """
    if dtype not in (torch.bfloat16, torch.float16):
        raise ValueError(f"`dtype` should be torch.bfloat16 or torch.float16, got {dtype}.")

    def start(run: Run) -> Hooks:
        if dtype is torch.float16 and run.custom is not None:
            raise ValueError(
                "`mixed_precision` should be bfloat16 with a custom `step`, got float16: its losses "
                "would have to be scaled inside the step."
            )
        run.autocast = dtype
        if dtype is torch.float16:
            run.scaler = GradScaler(run.device.type)
        return Hooks(task=f"mixed_precision({dtype})")

    return start


def compiled(
    *,
    mode: Literal["default", "reduce-overhead", "max-autotune"] = "default",
    backend: str | Callable[..., Any] = "inductor",
) -> Callback:
    """Compile the objective, model included, with ``torch.compile``.

    Args:
        mode: What the compiler optimises for.
        backend: Of ``torch.compile``.

    Returns:
        A callback. Compiled kernels may round otherwise than eager ones, within the usual tolerance
        of the number type.

    Example:
        >>> callback = compiled(mode="reduce-overhead")
    """

    def start(run: Run) -> Hooks:
        validating = Distribution._validate_args
        options: Mapping[str, Any] = {} if mode == "default" else {"mode": mode}
        run.forward = torch.compile(run.forward, backend=backend, **options)
        return Hooks(
            # The compiler switches the validation of distributions off for the whole process.
            end=lambda: Distribution.set_default_validate_args(validating),
            task=f"compiled({mode}, {describe(backend)})",
        )

    return start


def _needs_optimizer(run: Run, name: str) -> Optimizer:
    if run.optimizer is None:
        raise ValueError(
            f"`{name}` acts on the optimizer, and a custom `step` has its own: do it inside the step."
        )
    return run.optimizer


def _set_rate(group: dict[str, Any], rate: float) -> None:
    if isinstance(group["lr"], Tensor):  # capturable and compiled optimizers hold it in a tensor
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def _cloned(state: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.detach().clone() if isinstance(v, Tensor) else v for k, v in state.items()}
