"""Rows to train on: checked once, in words, and standardised."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain import checks
from uncertain.predictive.standardisation import standardisation

MOST_ROWS = 2000
"""Rows that exact processes take without being asked to: the time grows with their cube."""


class TrainingData(NamedTuple):
    """Standardised inputs in float64, and the scales of both sides.

    Attributes:
        x: (N, D), of mean 0 and standard deviation 1 a column.
        input_scaling: Centre and spread (D,) of the inputs.
        target_scaling: Centre and spread of the target.
    """

    x: Float[Tensor, "N D"]
    input_scaling: tuple[Tensor, Tensor]
    target_scaling: tuple[float, float]


def checked_rows(x: Any, y: Any) -> TrainingData:
    """Return training data, standardised.

    Raises:
        TypeError: Where inputs or targets are not floating tensors.
        ValueError: For fewer than two rows, a constant column or target, numbers that are not
            finite, or shapes that differ.
    """
    inputs, scaling = standardised_inputs(x)
    target = checked_targets(y, len(x))
    checks.check_finite("y", target.detach())
    centre, spread = standardisation(target.detach().to(torch.float64))
    return TrainingData(inputs, scaling, (float(centre), float(spread)))


def standardised_inputs(x: Any) -> tuple[Float[Tensor, "N D"], tuple[Tensor, Tensor]]:
    """Return standardised inputs in float64, and their centre and spread (D,).

    Raises:
        TypeError: Where they are not a floating tensor.
        ValueError: For fewer than two rows, a constant column or numbers that are not finite.
    """
    checked_inputs(x)
    checks.check_not_empty("x", x)
    if len(x) < 2:
        raise ValueError(
            f"`x` should have at least two rows to be standardised by, got {len(x)}: one row says "
            "nothing of how y varies."
        )
    wide = x.detach().to(torch.float64)
    loc, scale = wide.mean(0), wide.std(0, unbiased=False)
    constant = (scale <= 1e-12 * loc.abs()).nonzero().flatten().tolist()
    if constant:
        raise ValueError(
            f"`x` should vary in every column, got the same number in every row of column "
            f"{', '.join(map(str, constant[:5]))}: drop what never varies."
        )
    return (wide - loc) / scale, (loc, scale)


def given_points(points: Any, scaling: tuple[Tensor, Tensor]) -> Float[Tensor, "M D"] | None:
    """Return a user's inducing points, standardised as the inputs are; None for none."""
    if points is None:
        return None
    checked_inputs(points, len(scaling[0]), name="inducing_points")
    standardised: Tensor = (points.to(scaling[0]) - scaling[0]) / scaling[1]
    return standardised


def checked_inputs(x: Any, width: int | None = None, *, name: str = "x") -> None:
    """Raise unless ``x`` is a floating, finite tensor of ``width`` columns."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError(f"`{name}` should be a floating tensor (N, D), got {_kind(x, name)}.")
    checks.check_shape(name, x, ("N", "D" if width is None else width), hint="one row a line")
    if not bool(x.isfinite().all()):
        checks.check_finite(name, x, hint="drop such rows, or fill what is missing")


def checked_targets(y: Any, count: int) -> Tensor:
    """Return targets after checking that they are one floating number a row."""
    if not isinstance(y, Tensor) or not y.is_floating_point():
        raise TypeError(f"`y` should be a floating tensor (N,), got {_kind(y, 'y')}.")
    checks.check_shape("y", y, (count,), hint="one target a row of x")
    return y


def _kind(value: Any, name: str) -> str:
    """Return what a value is, and how to make a floating tensor of it."""
    if isinstance(value, Tensor):
        return f"{value.dtype}: {name}.float()"
    return f"{type(value).__name__}: torch.as_tensor({name}, dtype=torch.float64)"


def check_affordable(rows: int, most: int, *, instead: str) -> None:
    """Raise where an exact process has more rows than it is to have.

    Args:
        rows: How many there are.
        most: How many there may be.
        instead: The model to take for more.

    Raises:
        ValueError: For too many; it says what they take.
    """
    if rows > most:
        gib = 8 * rows**2 / 2**30
        raise ValueError(
            f"`x` should have at most {most} rows for the exact process, got {rows}: its matrix takes "
            f"{gib:.2g} GiB, a few times; take `{instead}`, or raise `max_rows`."
        )
