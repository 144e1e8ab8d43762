"""Checks of what a caller gives: floating and finite tensors that belong together, in a fit dtype."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn

from uncertain import checks
from uncertain.discrepancy.spreads import broadcast, check_positive, check_symmetric

_OF_SHAPES = re.compile(
    r"shape|size|dimension|channels|elements|out of bounds|\b\dD\b", re.IGNORECASE
)
"""Words of torch's errors about shapes; others, of devices or values, name what they mean themselves."""


def check_tensor(name: str, value: Any) -> None:
    """Raise unless a value is a tensor.

    Raises:
        TypeError: For anything else.
    """
    if not isinstance(value, Tensor):
        raise TypeError(
            f"`{name}` should be a tensor, got {type(value).__name__}: torch.as_tensor({name})."
        )


def check_floating(name: str, value: Any) -> None:
    """Raise unless a value is a floating tensor of finite numbers.

    Raises:
        TypeError: For what is no floating tensor.
        ValueError: For NaN and infinity.
    """
    if not isinstance(value, Tensor) or not value.is_floating_point():
        what = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"`{name}` should be a floating tensor, got {what}.")
    checks.check_finite(name, value)


def check_time(time: Any, *, positive: bool = False) -> None:
    """Raise unless a time is one number, at least 0, or above it."""
    if isinstance(time, Tensor):
        checks.check_shape("time", time, (), hint="one number")
    hint = "" if positive else "the diffusion can not be run backwards"
    checks.check_range("time", time, 0, open_low=positive, hint=hint)


def check_points(**points: Tensor) -> list[Tensor]:
    """Check points (..., D) that broadcast and return them in one dtype.

    Raises:
        TypeError: For what is no floating tensor.
        ValueError: For NaN and infinity, another D than the first's, or leading dimensions that do not
            broadcast.
    """
    (first, reference), *others = points.items()
    for name, value in points.items():
        check_floating(name, value)
        if not value.ndim:
            raise ValueError(f"`{name}` should have shape (..., D), got ().")
    for name, value in others:
        if value.shape[-1] != reference.shape[-1]:
            raise ValueError(
                f"`{first}` and `{name}` should have as many dimensions as each other, got "
                f"{reference.shape[-1]} and {value.shape[-1]}."
            )
        check_broadcast(first, reference.shape[:-1], name, value.shape[:-1])
    return in_one_dtype(*points.values())


def check_broadcast(first: str, one: tuple[int, ...], second: str, other: tuple[int, ...]) -> None:
    """Raise where two shapes of leading dimensions do not broadcast."""
    if not broadcast(one, other):
        raise ValueError(
            f"`{first}` and `{second}` should have leading dimensions that broadcast, got "
            f"{tuple(one)} and {tuple(other)}."
        )


def check_spread(
    name: str, value: Tensor, mean_name: str, mean: Tensor, *, factor: bool = False
) -> None:
    """Check variances (..., D) or covariances (..., D, D) beside a mean; deviations or factors too.

    Raises:
        TypeError: For what is no floating tensor.
        ValueError: For NaN and infinity, shapes that do not fit the mean's, negative variances or
            deviations, and covariances that are not symmetric or not positive semi-definite.
    """
    check_floating(name, value)
    size = mean.shape[-1]
    matrix = value.ndim == mean.ndim + 1 and tuple(value.shape[-2:]) == (size, size)
    vector = value.ndim == mean.ndim and value.shape[-1] in (1, size)
    if not matrix and not vector:
        what, lead = "deviations" if factor else "variances", tuple(mean.shape[:-1])
        raise ValueError(
            f"`{name}` should have shape {(*lead, size)} for {what} or {(*lead, size, size)} for "
            f"matrices to match `{mean_name}` of shape {tuple(mean.shape)}, got {tuple(value.shape)}: "
            "leading dimensions of 1 are broadcast."
        )
    check_broadcast(name, value.shape[: mean.ndim - 1], mean_name, mean.shape[:-1])
    if vector:
        kind = "standard deviations" if factor else "variances"
        checks.check_range(name, value, 0, hint=f"{kind} are not negative")
    elif not factor:
        check_symmetric(name, value, "average it with its transpose")
        check_positive(name, value.to(torch.promote_types(value.dtype, torch.float32)))


def in_one_dtype(*tensors: Tensor) -> list[Tensor]:
    """Return tensors in the widest of their dtypes."""
    dtype = tensors[0].dtype
    for tensor in tensors[1:]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return [tensor.to(dtype) for tensor in tensors]


def run_backbone(backbone: nn.Module, particles: Tensor, x: Any) -> Any:
    """Return the backbone's output; torch's word on dtypes and shapes is put into one that helps.

    Raises:
        TypeError: Where particles are not of the dtype of the backbone's weights.
        ValueError: Where the backbone refuses their shape.
    """
    try:
        return backbone(particles)
    except (RuntimeError, IndexError) as error:
        _check_shape_taken(error, particles, x)
        weight = next((p for p in backbone.parameters() if p.is_floating_point()), None)
        # Told only where it failed: whole numbers are what an embedding asks for.
        if "type" not in str(error) or weight is None or weight.dtype == particles.dtype:
            raise
        remedy = (
            "cast one of them, `x.to(dtype)` or `model.to(dtype)`"
            if particles.is_floating_point()
            else "make it floating, as `x / 255` for bytes of an image or `x.float()`"
        )
        raise TypeError(
            f"`x` should have the dtype of the backbone's weights, {weight.dtype}, "
            f"got {particles.dtype}: {remedy}."
        ) from error


def _check_shape_taken(error: Exception, particles: Tensor, x: Any) -> None:
    """Raise where torch refused a shape, which it tells by its words alone."""
    # Classes derived from these two, for memory or what is not implemented, are about other things.
    if type(error) not in (RuntimeError, IndexError) or not _OF_SHAPES.search(str(error)):
        return
    shape, seen = tuple(getattr(x, "shape", ())), tuple(particles.shape)
    as_seen = "" if seen == shape else f", which reaches it as {seen}"
    raise ValueError(
        f"`x` should have a shape that the backbone takes, got {shape}{as_seen}: the backbone refused "
        f"it with {str(error)!r}."
    ) from error
