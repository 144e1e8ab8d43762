"""Maximum mean discrepancy with Gaussian kernels of several widths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain import checks
from uncertain.discrepancy.samples import (
    check_samples_leading,
    squared_distances,
    two_samples,
    without_overflow,
)

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Widths by default, in median distances."""


def mmd_squared(
    x: Float[Tensor, "*batch_x N D"],
    y: Float[Tensor, "*batch_y M D"],
    *,
    bandwidths: Sequence[float] | Float[Tensor, " H"] | None = None,
    statistic: Literal["u", "v"] = "u",
    weights_x: Tensor | None = None,
    weights_y: Tensor | None = None,
) -> Float[Tensor, "*pairs"]:
    r"""Return the squared maximum mean discrepancy between two samples.

    .. math:: \mathrm{MMD}^2 = \mathbb E\, k(x, x') - 2\, \mathbb E\, k(x, y) + \mathbb E\, k(y, y'),
              \qquad k(x, y) = \frac1H \sum_h \exp\Bigl(-\frac{\lVert x - y \rVert^2}{2 b_h^2}\Bigr)

    The U-statistic leaves out the pairs of a point with itself: it is unbiased, and negative about
    half of the time where both samples come from one distribution. The V-statistic keeps them: it is
    at least 0, and positive by about (1/N + 1/M) there. Memory is (N + M)^2 numbers a batch entry.

    Args:
        x: (..., N, D).
        y: (..., M, D); leading dimensions broadcast.
        bandwidths: b_h, above 0, in the unit of x. By default the :func:`median_distance` of both
            samples together, times 1/4, 1/2, 1, 2 and 4; no gradient flows through it.
        statistic: ``u`` or ``v``.
        weights_x: (..., N) of the points of x, at least 0; only their ratios count. For a V-statistic a
            weight of k is k copies; a U-statistic divides by one less the sum of squared shares, and
            stays unbiased for weights that do not depend on the points. The median is not weighted.
        weights_y: (..., M), of those of y.

    Returns:
        The broadcast leading shape.

    Raises:
        ValueError: For shapes that do not fit, bandwidths that are not above 0 and finite, weights below
            0 or without a sum, fewer than two points (of a weight above 0) a sample for a U-statistic, numbers that are not finite, or numbers or
            bandwidths whose squares leave the range of their dtype.
        TypeError: For tensors that are not floating, or bandwidths that are no numbers.

    References:
        A. Gretton et al., "A kernel two-sample test", 2012, lemma 6.

    Example:
        >>> x = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
        >>> y = torch.randn(100, 2, generator=torch.Generator().manual_seed(1))
        >>> bool(mmd_squared(x, y + 1) > 10 * mmd_squared(x, y).abs())
        True
    """
    checks.check_choice("statistic", statistic, ("u", "v"))
    unbiased = statistic == "u"
    x, y = two_samples(x, y, least=2 if unbiased else 1)
    if bandwidths is None:
        widths = median_distance(x, y).unsqueeze(-1) * x.new_tensor(FACTORS)
    else:
        widths = _widths(bandwidths, x)
    kernels = _kernel(x, x, widths), _kernel(y, y, widths), _kernel(x, y, widths)
    if weights_x is None and weights_y is None:
        within_x, within_y = (_mean(kernel, unbiased) for kernel in kernels[:2])
        between = _mean(kernels[2], False)
    else:
        shares_x = _shares("weights_x", weights_x, x, unbiased)
        shares_y = _shares("weights_y", weights_y, y, unbiased)
        within_x = _weighted(kernels[0], shares_x, unbiased)
        within_y = _weighted(kernels[1], shares_y, unbiased)
        between = _sum(shares_x, kernels[2], shares_y)
    value = within_x + within_y - 2 * between
    return without_overflow(value, hint="rescale `x`, `y` and `bandwidths`")


def median_distance(
    x: Float[Tensor, "*batch_x N D"], y: Float[Tensor, "*batch_y M D"]
) -> Float[Tensor, "*pairs"]:
    """Return the median distance between different points of two samples together, without gradient.

    Where more than half of all distances are zero, the mean takes the median's place, and where all
    are, one: a width has to be above zero.

    Args:
        x: (..., N, D).
        y: (..., M, D); leading dimensions broadcast.

    Raises:
        ValueError: For shapes that do not fit, numbers that are not finite, or so large that their
            squares are not.
        TypeError: For tensors that are not floating.

    Example:
        >>> median_distance(torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0]]))
        tensor(2.)
    """
    x, y = (sample.detach() for sample in two_samples(x, y))
    lead = torch.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    both = torch.cat([x.expand(*lead, *x.shape[-2:]), y.expand(*lead, *y.shape[-2:])], -2)
    rows, columns = torch.triu_indices(both.shape[-2], both.shape[-2], 1, device=both.device)
    distances = squared_distances(both, both)[..., rows, columns].sqrt()
    median, mean = distances.median(-1).values, distances.mean(-1)
    found = without_overflow(torch.where(median > 0, median, mean))
    return torch.where(found > 0, found, torch.ones_like(found))


def _widths(bandwidths: Sequence[float] | Tensor, x: Tensor) -> Tensor:
    """Return (H,) checked bandwidths in the dtype of x."""
    try:
        widths = torch.as_tensor(bandwidths)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"`bandwidths` should be numbers or a tensor (H,), got {bandwidths!r}: leave it out for "
            "multiples of the median distance."
        ) from error
    widths = widths.reshape(-1)
    checks.check_not_empty("bandwidths", widths)
    checks.check_range("bandwidths", widths, 0, math.inf, open_low=True, open_high=True)
    return widths.to(x)


def _kernel(x: Tensor, y: Tensor, widths: Tensor) -> Tensor:
    """Return (..., N, M): the mean over widths of the Gaussian kernel."""
    squares = squared_distances(x, y)
    rates = 0.5 / widths.square()
    total = torch.zeros_like(squares)
    for rate in rates.unbind(-1):  # One after the other: a sum of H matrices, not H of them.
        total = total + (-rate[..., None, None] * squares).exp()
    return total / widths.shape[-1]


def _shares(name: str, weights: Tensor | None, sample: Tensor, unbiased: bool) -> Tensor:
    """Return weights (..., N) that sum to one; equal ones where none are given."""
    points = sample.shape[-2]
    if weights is None:
        return sample.new_full((points,), 1 / points)
    if weights.ndim < 1 or weights.shape[-1] != points:
        raise ValueError(
            f"`{name}` should have shape (..., {points}), a weight a point, got {tuple(weights.shape)}."
        )
    check_samples_leading(tuple(weights.shape[:-1]), tuple(sample.shape[:-2]))
    checks.check_range(name, weights, 0, open_high=True)
    weights = weights.to(sample)
    if bool(((weights > 0).sum(-1) < (2 if unbiased else 1)).any()):
        raise ValueError(
            f"`{name}` should be above 0 for at least {2 if unbiased else 1} points of every sample, "
            "got fewer."
        )
    return weights / weights.sum(-1, keepdim=True)


def _weighted(kernel: Tensor, shares: Tensor, without_diagonal: bool) -> Tensor:
    """Return the mean of a kernel (..., N, N) over two draws from the shares, or two different ones."""
    total = _sum(shares, kernel, shares)
    if not without_diagonal:
        return total
    squares = shares.square()
    alone = (squares * kernel.diagonal(dim1=-2, dim2=-1)).sum(-1)
    return (total - alone) / (1 - squares.sum(-1))


def _sum(left: Tensor, kernel: Tensor, right: Tensor) -> Tensor:
    product: Tensor = left.unsqueeze(-2) @ kernel @ right.unsqueeze(-1)
    return product[..., 0, 0]


def _mean(kernel: Tensor, without_diagonal: bool) -> Tensor:
    if not without_diagonal:
        return kernel.mean((-2, -1))
    points = kernel.shape[-1]
    off = kernel.sum((-2, -1)) - kernel.diagonal(dim1=-2, dim2=-1).sum(-1)
    return off / (points * (points - 1))
