"""How a model wants to be fitted: phases, one after another, each with its own rate and noise."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from torch import nn

from uncertain import checks

_RACED, _WHOLE, _BATCH, _SMALL = 500, 2000, 1000, 250


class Phase(NamedTuple):
    """Some steps of one kind.

    Attributes:
        steps: How many, at least 1; with ``method="lbfgs"``, of up to 20 iterations each.
        rate: Adam's learning rate, above 0; it falls to a tenth along half a cosine where
            ``falling``. Not used by L-BFGS.
        batch_size: Rows a step, at least 1; by default all rows.
        noise: Variances, in units of the target's, from which to which the noise is lowered
            geometrically and held; by default it is trained. Models without ``hold_noise`` pass over
            it.
        method: How to descend; ``"lbfgs"`` needs all rows in a batch.
        falling: Whether the rate falls.
    """

    steps: int
    rate: float = 0.01
    batch_size: int | None = None
    noise: tuple[float, float] | None = None
    method: Literal["adam", "lbfgs"] = "adam"
    falling: bool = True


def plan_of(model: nn.Module, rows: int) -> tuple[Phase, ...]:
    """Return the phases that a model asks for, or the usual ones.

    A model asks by a method ``fitting_plan() -> Sequence[Phase]``. The usual plan is 1,000 steps of
    Adam: on all rows up to 2,000 of them, else on 1,000 at a time.

    Args:
        model: What is to be fitted.
        rows: How many there are.

    Example:
        >>> plan_of(nn.Linear(1, 1), 5000)[0].batch_size
        1000
    """
    own = getattr(model, "fitting_plan", None)
    if callable(own):
        return tuple(own())
    return (Phase(1000, batch_size=None if rows <= _WHOLE else _BATCH),)


def settled(rows: int) -> tuple[Phase, ...]:
    """Return the phases of a bound without Monte-Carlo noise from where it is: L-BFGS, or small steps.

    Args:
        rows: How many there are.

    Example:
        >>> settled(500)[0].method, settled(5000)[0].batch_size
        ('lbfgs', 250)
    """
    if rows <= _WHOLE:
        return (Phase(40, method="lbfgs"),)
    return (Phase(4000, rate=0.02, batch_size=_SMALL),)


def after_race(rows: int) -> tuple[Phase, ...]:
    """Return the phases of a model whose start has been trained on some of its rows already.

    Args:
        rows: How many there are.

    Example:
        >>> [phase.batch_size for phase in after_race(10**6)]
        [1000]
    """
    if rows <= _RACED:
        return (Phase(2, method="lbfgs"),)
    if rows <= _WHOLE:
        return (Phase(20, method="lbfgs"),)
    return (Phase(3000, batch_size=_BATCH),)


def checked_plan(plan: Any) -> tuple[Phase, ...]:
    """Return phases after checking each.

    Raises:
        TypeError: For anything but phases.
        ValueError: For none at all, or numbers out of range.
    """
    if isinstance(plan, Phase):  # A tuple itself, whose fields would be taken for phases.
        raise TypeError("`plan` should be a sequence of phases, got one Phase: pass `[phase]`.")
    phases = tuple(plan)
    checks.check_not_empty("plan", phases)
    for place, phase in enumerate(phases):
        name = f"plan[{place}]"
        if not isinstance(phase, Phase):
            raise TypeError(f"`{name}` should be a Phase, got {type(phase).__name__}.")
        checks.check_range(f"{name}.steps", phase.steps, 1)
        checks.check_range(f"{name}.rate", phase.rate, 0, open_low=True)
        if phase.batch_size is not None:
            checks.check_range(f"{name}.batch_size", phase.batch_size, 1)
        if phase.noise is not None:
            checks.check_range(f"{name}.noise", min(phase.noise), 0, open_low=True)
        checks.check_choice(f"{name}.method", phase.method, ("adam", "lbfgs"))
        if phase.method == "lbfgs" and phase.batch_size is not None:
            raise ValueError(
                f"`{name}` should have all rows in a batch for L-BFGS, got batch_size "
                f"{phase.batch_size}: leave it out."
            )
    return phases
