"""Targets in units of their own spread: networks learn there, predictions are in y's units."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain import checks


def floating(value: Tensor | float) -> Tensor:
    """Return a copy as a floating tensor."""
    tensor = torch.as_tensor(value).detach().clone()
    return tensor if tensor.is_floating_point() else tensor.to(torch.get_default_dtype())


def checked_standardisation(loc: Tensor | float, scale: Tensor | float) -> tuple[Tensor, Tensor]:
    """Return the centre and the spread of T targets, of shape () or (T,).

    Raises:
        ValueError: Where shapes differ, a number is not finite, or a scale is not above 0.
    """
    centre, spread = floating(loc), floating(scale)
    if centre.ndim > 1:
        raise ValueError(f"`loc` should have shape () or (T,), got {tuple(centre.shape)}.")
    checks.check_shape("scale", spread, tuple(centre.shape), hint="as `loc`")
    checks.check_finite("loc", centre)
    checks.check_finite("scale", spread)
    checks.check_range("scale", spread, 0, open_low=True)
    return centre, spread


def standardisation(y: Float[Tensor, " N"] | Float[Tensor, "N T"]) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard deviation of training targets.

    Raises:
        ValueError: Where targets are missing, not finite, or all the same.
    """
    checks.check_not_empty("y", y)
    checks.check_finite("y", y.detach().cpu())
    wide = y.detach().to(torch.float64)
    loc, scale = wide.mean(0), wide.std(0, unbiased=False)
    if bool((scale <= 1e-12 * loc.abs()).any()):
        raise ValueError("`y` should vary, got a target that is the same in every row.")
    return loc.to(y.dtype), scale.to(y.dtype)
