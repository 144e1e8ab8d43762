"""One call that fits any Gaussian process of this package.

``N`` rows, ``D`` inputs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from uncertain import atomic, checks
from uncertain import fit as training
from uncertain.fit.checkpoints import LAST
from uncertain.fit.run import INTERRUPTED
from uncertain.gp.descent import (
    LBFGSStep,
    Priors,
    annealed,
    falling,
    named_priors,
    objective_of,
)
from uncertain.gp.encoded import EncodedInputs
from uncertain.gp.limits import Limit, until
from uncertain.gp.plans import Phase, after_race, checked_plan, plan_of
from uncertain.gp.restarts import ROWS, Race, RaceStep, improve_start
from uncertain.gp.thin_deep_gp import ThinDeepGP
from uncertain.gp.training_data import checked_inputs, checked_targets

_STARTS = 6
_RACE = 0.9, 0.5
"""The share of the time that a race may take: where it sees all rows, and where it sees some."""
_SCORES, _PART = 10, 20
_TIME, _HELD_OUT = "time", "early stopping"


class Fitted(NamedTuple):
    """What a fit gave.

    Attributes:
        model: The model that was passed, fitted, in evaluation mode.
        objective: (steps,) the objective at every step of every phase, in nats a row.
        stopped: What ended it: ``"steps"`` where all were done, ``"time"`` where the time was up or
            cut the race short, ``"early stopping"`` by held-out rows, or the reason of a callback of
            yours.
        seconds: Wall time.
        race: How the starts compared, where several ran.
    """

    model: nn.Module
    objective: NDArray[np.float64]
    stopped: str
    seconds: float
    race: Race | None = None

    @property
    def stopped_early(self) -> bool:
        """Whether held-out rows ended it."""
        return self.stopped == _HELD_OUT


def fit(
    model: nn.Module,
    data: Any,
    *,
    plan: Sequence[Phase] | None = None,
    starts: int | None = None,
    priors: Priors | None = None,
    held_out: float = 0.0,
    patience: int | None = None,
    cpu_seconds: float | None = None,
    progress: bool = False,
    folder: atomic.StrPath | None = None,
    callbacks: Sequence[training.Callback] = (),
    seed: int = 0,
) -> Fitted:
    """Fit a model to all rows, from a few hundred to a million, and leave it ready to predict.

    It goes through the phases of the plan, each a training of its own by :func:`uncertain.fit.fit`,
    and conditions the model on all rows at the end, where it has ``condition``.

    Args:
        model: Made by ``from_data``, say; trained in place, on the device of its parameters.
        data: ``(x, y)`` or ``(x, y, weight)``, tensors with one row an entry; x as its columns take it
            where the model is an ``EncodedInputs``, whose model is then fitted to encoded rows.
        plan: Phases; by default those of the model.
        starts: How many starts race before the first phase, on 500 rows at most; 0 for none. By
            default 6 for a ``ThinDeepGP`` with one hidden layer and Gaussian noise, whose bound has
            many poor optima; none for other models, or with a plan of your own.
        priors: Distributions of parameters, by name and as the model keeps them, for a fit of highest
            posterior density; each entry has the same. They act in the phases, not in the race.
        held_out: The share of rows, in [0, 1), drawn at random, that the last phase is stopped by:
            they train nothing until the end, when the posterior is conditioned on them too.
        patience: Stop after this many scores in a row without a better one, at least 1; they are made once
            in every pass over the rows. By default a twentieth of those in the phase, at least 10.
        cpu_seconds: How much CPU time of this process, over all of its threads, it may take, above 0.
            The race is shortened to fit, learning rates fall by the time rather than the steps where
            that is sooner, and the model ends at the best parameters so far, whatever phase is left.
            The first start (about a second) and a first step are always made, the step under way is
            finished (of L-BFGS, the iteration), and conditioning the model on all rows comes on top.
            With a ``folder``, the phases go on by the same call, for as long again; a race that was
            cut short stays as it was, and takes another folder.
        progress: Whether to show it.
        folder: Where to keep checkpoints and what came of the race; the same call goes on from them.
        callbacks: For every phase; see :mod:`uncertain.fit`.
        seed: Of everything that is drawn.

    Returns:
        The model with the objective's trace.

    Raises:
        TypeError, ValueError: For arguments that do not fit, before anything is trained.
        NonFiniteError: Where a number is not finite or a matrix has no factor; the model holds the
            last good state, and the folder the last checkpoint.
        Interrupted: After Ctrl-C; the message says how to go on.

    Example:
        >>> from uncertain.gp import Phase, ThinDeepGP, fit
        >>> x = torch.rand(60, 2, generator=torch.Generator().manual_seed(0))
        >>> y = (6 * x[:, 0]).sin()
        >>> model = ThinDeepGP.from_data(x, y, num_inducing=15)
        >>> fitted = fit(model, (x, y), plan=[Phase(100, rate=0.02)])
        >>> bool((fitted.model(x).mean - y).abs().mean() < 0.1)
        True
    """
    if isinstance(model, EncodedInputs):
        options: dict[str, Any] = {"plan": plan, "starts": starts, "priors": priors}
        options |= {"held_out": held_out, "patience": patience, "progress": progress}
        options |= {"folder": folder, "callbacks": callbacks, "seed": seed}
        options |= {"cpu_seconds": cpu_seconds}
        fitted = fit(model.model, _encoded(model, data), **options)
        return fitted._replace(model=model.eval())
    started = time.monotonic()
    x, y, weight = _columns(data)
    raced = _racing(model, starts, default=0 if plan else _STARTS)
    usual = after_race(len(x)) if raced else plan_of(model, len(x))
    phases = checked_plan(usual if plan is None else plan)
    checks.check_range("held_out", held_out, 0, 1, open_high=True)
    if patience is not None:
        checks.check_count("patience", patience)
    if cpu_seconds is not None:
        checks.check_range("cpu_seconds", cpu_seconds, 0, open_low=True)
    limit = Limit(cpu_seconds)
    objective = objective_of(model, priors)
    kept, held = _split(len(x), held_out, seed)
    rows = x, y, weight * kept.to(weight)
    race = None
    if isinstance(model, ThinDeepGP) and raced:
        present = weight > 0  # Rows of weight 0 may hold anything.
        checked_inputs(x[present], len(model.input_loc))
        checks.check_finite("y", checked_targets(y, len(x))[present])
        checks.check_finite("weight", weight)
        with _advice(folder):
            race = _race(model, rows, starts=raced, folder=folder, limit=limit, seed=seed)
    condition = getattr(model, "condition", None)
    device = next(model.parameters()).device
    if held.numel() and callable(condition):
        # What predicts from rows by itself knows all of them: those held out must be news to it.
        condition(*(column.to(device) for column in rows))
    traces: list[NDArray[np.float64]] = []
    stopped = ""
    for place, phase in enumerate(phases):
        if traces and limit.over:
            stopped = _TIME
            break
        extra = [*callbacks, until(limit), named_priors(priors)]
        if held.numel() and place == len(phases) - 1:
            extra.append(training.early_stopping(patience or _patience(phase, len(x) - len(held))))
        with _advice(folder), _trained_on(model, int((rows[2] > 0).sum())):
            result = _train(
                model,
                rows,
                phase,
                objective=objective,
                limit=limit.part(1),
                validation=(x[held], y[held], weight[held]) if held.numel() else None,
                callbacks=[*extra, *_kept(folder, place), *([training.progress()] if progress else [])],
                seed=seed,
            )  # fmt: skip
        traces.append(result.history["loss"])
        stopped = _TIME if result.stopped == INTERRUPTED else result.stopped
    if race is not None and race.cut:
        stopped = _TIME
    if callable(condition):
        condition(x.to(device), y.to(device), weight.to(device))
    return Fitted(model.eval(), np.concatenate(traces), stopped, time.monotonic() - started, race)


def _race(
    model: ThinDeepGP,
    rows: tuple[Tensor, Tensor, Tensor],
    *,
    starts: int,
    folder: atomic.StrPath | None,
    limit: Limit,
    seed: int,
) -> Race | None:
    """Race starts, or take over what came of it."""
    limit = limit.part(_RACE[len(rows[0]) > ROWS])
    run = partial(improve_start, model, *rows, starts=starts, seed=seed, limit=limit)
    if folder is None:
        return run()
    place = Path(folder) / "race"
    # A training waits for the end of a step before it is interrupted, and a race is long: it is run
    # ahead of the training that keeps it.
    found = None if (place / LAST).exists() else _run_ahead(run, place)
    step = RaceStep(run if found is None else lambda: found)
    named = training.Hooks(task=f"race({starts})")
    callbacks = [lambda _: named, training.checkpoints(place)]
    training.fit(model, rows, step=step, steps=1, batch_size=1, callbacks=callbacks, seed=seed)
    return step.race


def _run_ahead(run: Callable[[], Race], place: Path) -> Race:
    atomic.check_writable_directory(place, create=True)
    return run()


@contextmanager
def _trained_on(model: nn.Module, rows: int) -> Iterator[None]:
    """Let a model know how many rows a batch has at most: those of weight 0 never come.

    A batch of all rows has a bound and a posterior in closed form, and would not be known for one.
    """
    before = getattr(model, "rows", None)
    if not isinstance(before, int):
        yield
        return
    model.rows = rows  # type: ignore[assignment]  # no module
    try:
        yield
    finally:
        model.rows = before  # type: ignore[assignment]


@contextmanager
def _advice(folder: atomic.StrPath | None) -> Iterator[None]:
    """Let an interruption say what this module's caller can do about it."""
    try:
        yield
    except KeyboardInterrupt as error:
        if folder is None:
            kept = "nothing was saved: pass `folder=` to be able to go on."
        elif isinstance(error, training.Interrupted):
            raise
        else:
            kept = f"the same call goes on from what {folder} holds; a race begins again."
        raise training.Interrupted(f"the fit was interrupted; {kept}") from error


def _racing(model: nn.Module, starts: int | None, *, default: int) -> int:
    """Return how many starts race.

    Raises:
        ValueError: Where starts are asked for and the model has no race.
    """
    plain = getattr(getattr(model, "hidden", None), "prior_mean", None) is None
    able = type(model) is ThinDeepGP and plain
    if starts is None:
        return default if able else 0
    checks.check_range("starts", starts, 0)
    if starts and not able:
        raise ValueError(
            f"`starts` should be 0 for a {type(model).__name__}, got {starts}: only a ThinDeepGP with "
            "one hidden layer, Gaussian noise and no learned mean races."
        )
    return starts


def _train(
    model: nn.Module,
    data: tuple[Tensor, Tensor, Tensor],
    phase: Phase,
    *,
    objective: training.Objective,
    limit: Limit,
    validation: Any,
    callbacks: Sequence[training.Callback],
    seed: int,
) -> training.FitResult:
    hold: Callable[[float | None], None] | None = getattr(model, "hold_noise", None)
    if hold is not None:
        hold(phase.noise[0] if phase.noise else None)
    more = [annealed(hold, phase)] if hold is not None and phase.noise else []
    usual = partial(
        training.fit,
        model,
        data,
        steps=phase.steps,
        batch_size=phase.batch_size or len(data[0]),
        validation=validation,
        seed=seed,
    )
    try:
        if phase.method == "lbfgs":
            return usual(step=LBFGSStep(objective, limit), callbacks=[*callbacks, *more])
        if phase.falling:
            more.append(falling(phase, limit))
        adam = partial(torch.optim.Adam, lr=phase.rate)
        return usual(objective=objective, optimizer=adam, callbacks=[*callbacks, *more])
    finally:
        if hold is not None:
            hold(None)


def _encoded(model: EncodedInputs, data: Any) -> Any:
    """Return data whose rows are encoded once, before anything is trained."""
    if not isinstance(data, tuple | list) or len(data) not in (2, 3):
        return data  # Refused where it is read.
    return (model.columns(data[0]), *data[1:])


def _columns(data: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Return inputs, targets and weights after checking that they are tensors of one length."""
    if not isinstance(data, tuple | list) or len(data) not in (2, 3):
        what = len(data) if isinstance(data, tuple | list) else type(data).__name__
        raise TypeError(f"`data` should be (x, y) or (x, y, weight), got {what}.")
    for name, value in zip(("x", "y", "weight"), data, strict=False):
        if not isinstance(value, Tensor):
            raise TypeError(
                f"`{name}` should be a tensor, got {type(value).__name__}: torch.as_tensor({name})."
            )
    x, y = data[0], data[1]
    weight = data[2] if len(data) == 3 else torch.ones(len(x), dtype=torch.float64)
    checks.check_same_length(x=x, y=y, weight=weight)
    return x, y, weight


def _split(rows: int, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return a mask of the rows that train, and the places of those held out."""
    count = int(rows * share)
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    kept = torch.ones(rows, dtype=torch.bool)
    kept[order[:count]] = False
    return kept, order[:count].sort().values


def _patience(phase: Phase, rows: int) -> int:
    """Return how many scores may pass without a better one: a step of all rows changes little."""
    share = min(1.0, (phase.batch_size or rows) / rows)
    return max(_SCORES, round(phase.steps * share / _PART))


def _kept(folder: atomic.StrPath | None, place: int) -> list[training.Callback]:
    return [] if folder is None else [training.checkpoints(Path(folder) / f"phase-{place}")]
