"""What every discrepancy between samples asks of them."""

from __future__ import annotations

from torch import Tensor

from uncertain import checks
from uncertain.discrepancy.spreads import widened


def two_samples(x: Tensor, y: Tensor, *, least: int = 1) -> tuple[Tensor, Tensor]:
    """Return two checked samples (..., N, D) and (..., M, D) in a common dtype.

    Raises:
        ValueError: For shapes that do not fit, too few points, or numbers that are not finite.
        TypeError: For tensors that are not floating.
    """
    x, y = widened(x, y)
    for name, sample in {"x": x, "y": y}.items():
        if sample.ndim < 2:
            checks.check_shape(
                name, sample, ("N", "D"), hint="a point a row: x[:, None] for numbers"
            )
        check_points(name, sample.shape[-2], least)
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(
            "`x` and `y` should have as many dimensions as each other, "
            f"got {x.shape[-1]} and {y.shape[-1]}."
        )
    finite(x=x, y=y)
    return x, y


def check_points(name: str, points: int, least: int) -> None:
    """Raise where a sample has fewer points than a statistic needs."""
    if points < least:
        why = "a U-statistic leaves out pairs of a point with itself" if least > 1 else "none given"
        raise ValueError(f"`{name}` should have at least {least} points, got {points}: {why}.")


def finite(**tensors: Tensor) -> None:
    """Raise where a tensor holds NaN or infinity; it is copied to the host only to say where."""
    for name, tensor in tensors.items():
        if not bool(tensor.detach().isfinite().all()):
            checks.check_finite(name, tensor)


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return (..., N, M) squared distances, at least 0, without an (N, M, D) array.

    Both are centred first, so that a common offset costs no digits.
    """
    centre = y.detach().mean(-2, keepdim=True)
    x, y = x - centre, y - centre
    squares = x.square().sum(-1).unsqueeze(-1) + y.square().sum(-1).unsqueeze(-2)
    return (squares - 2 * x @ y.mT).clamp(min=0)
