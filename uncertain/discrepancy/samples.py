"""What every discrepancy between samples asks of them."""

from __future__ import annotations

from torch import Tensor

from uncertain import checks
from uncertain.discrepancy.spreads import check_leading, widened


def two_samples(x: Tensor, y: Tensor, *, least: int = 1) -> tuple[Tensor, Tensor]:
    """Return two checked samples (..., N, D) and (..., M, D) in a common dtype.

    Raises:
        ValueError: For shapes that do not fit, too few points, or numbers that are not finite.
        TypeError: For tensors that are not floating.
    """
    x, y = widened(x=x, y=y)
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
    check_samples_leading(x.shape[:-2], y.shape[:-2])
    finite(x=x, y=y)
    return x, y


def check_samples_leading(x: tuple[int, ...], y: tuple[int, ...]) -> None:
    """Raise where the leading dimensions of two samples do not broadcast."""
    check_leading({"x": x, "y": y}, hint="`x[:, None]` gives every sample with every other")


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


def without_overflow(value: Tensor, *, hint: str = "rescale `x` and `y`") -> Tensor:
    """Return a value that is finite: where the inputs are and it is not, it has overflowed.

    Raises:
        ValueError: Where it has.
    """
    bad = ~value.detach().isfinite()
    if bool(bad.any()):
        raise ValueError(
            f"The discrepancy should be finite, got an overflow of {value.dtype} in {int(bad.sum())} "
            f"of {bad.numel()} values: {hint}."
        )
    return value


def check_whole(name: str, value: int, *, hint: str) -> None:
    """Raise where a count is no whole number, or below one.

    Raises:
        TypeError: For what is no whole number.
        ValueError: For one below one.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        what = repr(value) if isinstance(value, int | float | str) else type(value).__name__
        raise TypeError(f"`{name}` should be a whole number, got {what}: {hint}.")
    checks.check_range(name, value, 1, hint=hint)


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return (..., N, M) squared distances, at least 0, without an (N, M, D) array.

    Both are centred first, so that a common offset costs no digits.
    """
    centre = y.detach().mean(-2, keepdim=True)
    x, y = x - centre, y - centre
    squares = x.square().sum(-1).unsqueeze(-1) + y.square().sum(-1).unsqueeze(-2)
    return (squares - 2 * x @ y.mT).clamp(min=0)
