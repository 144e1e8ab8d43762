r"""Kernel Stein discrepancy: how far a distribution is from a density whose score is known.

With the score :math:`s = \nabla \log p` and a kernel :math:`k`,

.. math:: u(x, y) = k\, s_x^\top s_y + s_x^\top \nabla_y k + s_y^\top \nabla_x k
                    + \operatorname{tr} \nabla_x \nabla_y k

has mean zero under :math:`p` in either argument, and its mean over pairs is zero for no other
distribution.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain import checks
from uncertain.discrepancy.samples import check_points, finite, without_overflow
from uncertain.discrepancy.spreads import Spread, check_pairs, check_positive, spread, widened

HINT = "rescale means, covariances and `bandwidth`"
"""What to do about an overflow between Gaussians."""


def stein_squared(
    x: Float[Tensor, "*batch M D"],
    scores: Float[Tensor, "*batch M D"],
    *,
    scale: float = 1.0,
    exponent: float = -0.5,
    statistic: Literal["u", "v"] = "u",
) -> Float[Tensor, "*batch"]:
    r"""Return the squared kernel Stein discrepancy of a sample, with the inverse multiquadric kernel.

    .. math:: k(x, y) = (c^2 + \lVert x - y \rVert^2)^{\beta}

    Its tails are heavy enough that it goes to zero only for samples that do converge; a Gaussian
    kernel's can miss mass that escapes. The U-statistic is unbiased and may be negative; the
    V-statistic is at least 0 and biased upwards by 1/M. Give points that are whitened by the target's
    covariance, and the same scale means the same in every direction.

    Args:
        x: (..., M, D) points.
        scores: (..., M, D) the gradient of the target's log density at each: for a Gaussian
            :math:`-\Sigma^{-1}(x - m)`.
        scale: c, above 0, in the unit of x.
        exponent: beta, in (-1, 0).
        statistic: ``u`` or ``v``.

    Returns:
        (...).

    Raises:
        ValueError: For shapes that differ, fewer than two points for a U-statistic, or numbers that
            are not finite, out of range, or so large that the discrepancy is not finite.
        TypeError: For tensors that are not floating.

    References:
        Q. Liu, J. Lee and M. Jordan, "A kernelized Stein discrepancy for goodness-of-fit tests",
        2016; J. Gorham and L. Mackey, "Measuring sample quality with kernels", 2017.

    Example:
        >>> x = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
        >>> bool(stein_squared(x, -x).abs() < 0.02), bool(stein_squared(x + 1, -(x + 1)) > 0.5)
        (True, True)
    """
    checks.check_choice("statistic", statistic, ("u", "v"))
    checks.check_range("scale", scale, 0, open_low=True)
    checks.check_range("exponent", exponent, -1, 0, open_low=True, open_high=True)
    x, scores = widened(x=x, scores=scores)
    if x.ndim < 2:
        checks.check_shape("x", x, ("M", "D"), hint="a point a row")
    checks.check_shape("scores", scores, tuple(x.shape), hint="a score a point")
    check_points("x", x.shape[-2], 2 if statistic == "u" else 1)
    finite(x=x, scores=scores)
    values = _stein_kernel(x, scores, scale, exponent)
    points, hint = values.shape[-1], "rescale `x`, and `scores` by the inverse"
    if statistic == "v":
        return without_overflow(values.mean((-2, -1)), hint=hint)
    off = values.sum((-2, -1)) - values.diagonal(dim1=-2, dim2=-1).sum(-1)
    return without_overflow(off / (points * (points - 1)), hint=hint)


def gaussian_stein_squared(
    mean_a: Float[Tensor, "*batch_a D"],
    cov_a: Float[Tensor, "*form_a"],
    mean_b: Float[Tensor, "*batch_b D"],
    cov_b: Float[Tensor, "*form_b"],
    *,
    bandwidth: float | Float[Tensor, ""] = 1.0,
) -> Float[Tensor, "*pairs"]:
    r"""Return the squared kernel Stein discrepancy of one Gaussian from another, in closed form.

    With the kernel :math:`\exp(-\lVert x - y \rVert^2 / 2 h^2)` of a fixed width, and the second
    Gaussian as the target whose score is used. Zero if and only if they are equal. Under the product
    of the kernel and two copies of the first Gaussian, both points are Gaussian again, so every term
    is a moment.

    Args:
        mean_a: (..., D).
        cov_a: Beside ``mean_a``: (..., D, D), (..., D) or (..., 1); positive semi-definite.
        mean_b: (..., D), the target's; leading dimensions broadcast.
        cov_b: Beside ``mean_b``; positive definite.
        bandwidth: h, above 0, in the unit of the means; a gradient flows through a tensor.

    Returns:
        The broadcast leading shape.

    Raises:
        ValueError: For shapes that do not fit, a covariance that is not positive semi-definite, a
            target that is singular, or numbers that are not finite, out of range, or so large that
            the discrepancy is not finite.
        TypeError: For tensors that are not floating.

    Example:
        >>> zero, one = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
        >>> gaussian_stein_squared(zero, one, zero, one).abs() < 1e-12
        tensor(True)
        >>> gaussian_stein_squared(zero, 2 * one, zero, one) > 0.01
        tensor(True)
    """
    if isinstance(bandwidth, Tensor):
        checks.check_shape("bandwidth", bandwidth, (), hint="one for all pairs")
    checks.check_range("bandwidth", bandwidth, 0, math.inf, open_low=True, open_high=True)
    mean_a, cov_a, mean_b, cov_b = widened(mean_a=mean_a, cov_a=cov_a, mean_b=mean_b, cov_b=cov_b)
    a = spread("_a", mean_a, cov_a, factored=False)
    b = spread("_b", mean_b, cov_b, factored=False)
    check_pairs(mean_a, mean_b)
    finite(mean_a=mean_a, cov_a=cov_a, mean_b=mean_b, cov_b=cov_b)
    _check_semidefinite(a)
    if b.form != "matrix" and bool((b.value <= 0).any()):
        checks.check_range("cov_b", cov_b, 0, open_low=True, hint="a target has a density")
    h2 = torch.as_tensor(bandwidth, dtype=mean_a.dtype, device=mean_a.device).square()
    gap = mean_a - mean_b
    if "matrix" in (a.form, b.form):
        left, right = _matrix(a.value, mean_a), _matrix(b.value, mean_b)
        return without_overflow(_matrix_stein(gap, left, _inverse(right), h2), hint=HINT)
    variances = a.value * torch.ones_like(mean_a)
    precision = (b.value * torch.ones_like(mean_b)).reciprocal()
    return without_overflow(_diagonal_stein(gap, variances, precision, h2), hint=HINT)


def _check_semidefinite(a: Spread) -> None:
    """Raise where a covariance has a negative eigenvalue; most have a factor, which is quicker."""
    if a.form != "matrix":
        if bool((a.value < 0).any()):
            checks.check_range(a.name, a.value, 0, hint="variances are not negative")
    elif bool(torch.linalg.cholesky_ex(a.value.detach())[1].any()):
        check_positive(a.name, a.value)


def _stein_kernel(x: Tensor, scores: Tensor, scale: float, exponent: float) -> Tensor:
    """Return (..., M, M) values u(x_i, x_j)."""
    dimensions = x.shape[-1]
    squares, scored = _squares(x), _inner(scores, x)
    own = scored.diagonal(dim1=-2, dim2=-1)
    # (s_i - s_j)' (x_i - x_j), from all inner products of scores and points.
    crossed = own.unsqueeze(-1) + own.unsqueeze(-2) - scored - scored.mT
    base = scale**2 + squares
    power = base.pow(exponent)
    slope = -2 * exponent * power / base
    trace = slope * (dimensions + 2 * (exponent - 1) * squares / base)
    value: Tensor = _inner(scores, scores) * power + slope * crossed + trace
    return value


def _inner(x: Tensor, y: Tensor) -> Tensor:
    return x @ y.mT


def _squares(x: Tensor) -> Tensor:
    centred = x - x.mean(-2, keepdim=True)
    inner = _inner(centred, centred)
    own = inner.diagonal(dim1=-2, dim2=-1)
    return (own.unsqueeze(-1) + own.unsqueeze(-2) - 2 * inner).clamp(min=0)


def _diagonal_stein(gap: Tensor, cov: Tensor, precision: Tensor, h2: Tensor) -> Tensor:
    # x - y has twice the covariance of x; `share` is what the kernel's weighting takes off it.
    share = 1 / (h2 + 2 * cov)
    weight = (h2 * share).log().sum(-1).mul(0.5).exp()
    tilted = 2 * cov * h2 * share
    product = precision.square() * (gap.square() + cov.square() * share)
    within = (1 - precision * tilted) / h2 - tilted / h2**2
    return weight * (product + within).sum(-1)


def _matrix_stein(gap: Tensor, cov: Tensor, precision: Tensor, h2: Tensor) -> Tensor:
    eye = torch.eye(cov.shape[-1], dtype=cov.dtype, device=cov.device)
    widened_cov = without_overflow(h2 * eye + 2 * cov, hint=HINT)  # Else LAPACK would raise.
    factor, info = torch.linalg.cholesky_ex(widened_cov)
    if bool(info.any()):
        raise ValueError(
            f"`bandwidth` should be wide enough that its square shows beside `cov_a`, got "
            f"{float(h2.detach()) ** 0.5:.3g} where {int((info > 0).sum())} of {info.numel()} matrices "
            "are singular: widen it, or shrink them towards their diagonals."
        )
    # The kernel's weighting leaves both means where they are, since those of x and y are equal.
    log_weight = 0.5 * h2.log() * cov.shape[-1]
    log_weight = log_weight - factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    solved = torch.cholesky_solve(cov, factor)  # (h^2 + 2 S)^-1 S, and S commutes with it.
    tilted = 2 * h2 * solved
    scored = (precision @ gap.unsqueeze(-1)).square().sum((-2, -1))
    between = ((precision @ precision) * (cov @ solved)).sum((-2, -1))
    trace = tilted.diagonal(dim1=-2, dim2=-1).sum(-1)
    within = (cov.shape[-1] - (precision * tilted).sum((-2, -1))) / h2 - trace / h2**2
    value: Tensor = log_weight.exp() * (scored + between + within)
    return value


def _matrix(value: Tensor, mean: Tensor) -> Tensor:
    return value if value.ndim > mean.ndim else torch.diag_embed(value * torch.ones_like(mean))


def _inverse(cov: Tensor) -> Tensor:
    factor, info = torch.linalg.cholesky_ex(cov)
    if bool(info.any()):
        raise ValueError(
            f"`cov_b` should be positive definite, got {int((info > 0).sum())} singular or indefinite "
            f"of {info.numel()} matrices: a target has a density."
        )
    return torch.cholesky_inverse(factor)
