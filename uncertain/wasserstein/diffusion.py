r"""The Ornstein-Uhlenbeck diffusion whose stationary law is a Gaussian label measure.

.. math:: \mathrm{d}X = -(X - m)\,\mathrm{d}t + \sqrt2\, \Sigma^{1/2}\, \mathrm{d}W, \qquad
          \gamma = N(m, \Sigma)

Two copies driven by the same noise approach each other by exactly :math:`e^{-t}`, whatever Sigma: the
flow contracts the 2-Wasserstein distance by that much, and so the distance to gamma is bounded by how
far a measure moves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain import checks
from uncertain.wasserstein.arguments import (
    check_floating,
    check_points,
    check_spread,
    check_time,
    in_one_dtype,
)


class Diffused(NamedTuple):
    """A Gaussian after a time of diffusion.

    Attributes:
        mean: (..., D).
        cov: In the form of the covariances given.
    """

    mean: Tensor
    cov: Tensor


def diffuse_gaussian(
    mean: Float[Tensor, "*batch_a D"],
    cov: Float[Tensor, "*form_a"],
    target_mean: Float[Tensor, "*batch_b D"],
    target_cov: Float[Tensor, "*form_b"],
    *,
    time: float,
) -> Diffused:
    r"""Return where the diffusion takes a Gaussian.

    .. math:: N(m, S) \mapsto N\bigl(m_\gamma + e^{-t} (m - m_\gamma),\;
              e^{-2t} S + (1 - e^{-2t}) \Sigma\bigr)

    Args:
        mean: (..., D).
        cov: (..., D) variances or (..., D, D) matrices, of the same form as ``target_cov``.
        target_mean: (..., D); leading dimensions broadcast.
        target_cov: Of the same form as ``cov``.
        time: t, at least 0.

    Raises:
        ValueError: For a negative time, covariances of two forms, shapes that do not fit, numbers that
            are not finite, negative variances, and matrices that are not symmetric or not positive
            semi-definite.
        TypeError: For tensors that are not floating.

    Example:
        >>> start, target = torch.tensor([4.0]), torch.tensor([0.0])
        >>> diffuse_gaussian(start, torch.ones(1), target, torch.ones(1), time=0.6931).mean
        tensor([2.0001])
    """
    check_time(time)
    mean, target_mean = check_points(mean=mean, target_mean=target_mean)
    check_spread("cov", cov, "mean", mean)
    check_spread("target_cov", target_cov, "target_mean", target_mean)
    if cov.ndim - mean.ndim != target_cov.ndim - target_mean.ndim:
        raise ValueError(
            "`cov` and `target_cov` should be of one form, variances (..., D) or matrices (..., D, D), "
            f"got shapes {tuple(cov.shape)} and {tuple(target_cov.shape)}."
        )
    mean, target_mean, cov, target_cov = in_one_dtype(mean, target_mean, cov, target_cov)
    kept = torch.exp(-torch.as_tensor(time, dtype=mean.dtype, device=mean.device))
    fresh = -torch.expm1(-2 * torch.as_tensor(time, dtype=mean.dtype, device=mean.device))
    return Diffused(
        target_mean + kept * (mean - target_mean), kept.square() * cov + fresh * target_cov
    )


def diffuse_sample(
    x: Float[Tensor, "*batch D"],
    noise: Float[Tensor, "*batch_noise D"],
    target_mean: Float[Tensor, "*batch_mean D"],
    target_factor: Float[Tensor, "*form"],
    *,
    time: float,
) -> Float[Tensor, "*pairs D"]:
    r"""Return points after a time of diffusion, by Mehler's formula: one step, whatever the time.

    .. math:: X_t = m + e^{-t} (x - m) + \sqrt{1 - e^{-2t}}\, L z, \qquad \Sigma = L L^\top

    With the same noise for both arguments of a difference, the difference has little variance.

    Args:
        x: (..., D).
        noise: z, standard normal; leading dimensions broadcast, so that many draws of one point are
            one call.
        target_mean: (..., D).
        target_factor: L: (..., D) standard deviations or (..., D, D) factors.
        time: t, at least 0.

    Raises:
        ValueError: For a negative time, shapes that do not fit, numbers that are not finite and negative
            deviations.
        TypeError: For tensors that are not floating.

    Example:
        >>> z = torch.randn(100_000, 1, generator=torch.Generator().manual_seed(0))
        >>> late = diffuse_sample(torch.full((1,), 9.0), z, torch.zeros(1), torch.ones(1), time=9.0)
        >>> bool(late.mean().abs() < 0.02), bool((late.var() - 1).abs() < 0.02)
        (True, True)
    """
    check_time(time)
    x, noise, target_mean = check_points(x=x, noise=noise, target_mean=target_mean)
    check_spread("target_factor", target_factor, "target_mean", target_mean, factor=True)
    x, noise, target_mean, target_factor = in_one_dtype(x, noise, target_mean, target_factor)
    when = torch.as_tensor(time, dtype=x.dtype, device=x.device)
    if target_factor.ndim == target_mean.ndim:
        spread = target_factor * noise
    else:
        spread = (target_factor @ noise.unsqueeze(-1)).squeeze(-1)
    return (
        target_mean
        + torch.exp(-when) * (x - target_mean)
        + (-torch.expm1(-2 * when)).sqrt() * spread
    )


def generator(
    function: Callable[[Tensor], Tensor],
    x: Float[Tensor, "N D"],
    target_mean: Float[Tensor, " D"],
    target_cov: Float[Tensor, "*form"],
) -> Float[Tensor, " N"]:
    r"""Return the generator of the diffusion applied to a function, at some points.

    .. math:: L g = \operatorname{tr}(\Sigma\, \nabla^2 g) - \langle x - m, \nabla g \rangle

    A measure is the target if and only if the mean of :math:`L g` under it is 0 for every smooth g.

    Args:
        function: From one point (D,) to a number, twice differentiable by torch.
        x: (N, D).
        target_mean: m, (D,).
        target_cov: Sigma, (D,) variances or a matrix (D, D).

    Raises:
        ValueError: For shapes that do not fit, numbers that are not finite, negative variances, and a
            matrix that is not symmetric or not positive semi-definite.
        TypeError: For tensors that are not floating.

    Example:
        >>> x = torch.tensor([[1.0], [2.0]])
        >>> generator(lambda p: p.square().sum(), x, torch.zeros(1), torch.ones(1))
        tensor([ 0., -6.])
    """
    check_floating("x", x)
    checks.check_shape("x", x, ("N", "D"))
    size = x.shape[1]
    check_floating("target_mean", target_mean)
    checks.check_shape("target_mean", target_mean, (size,))
    check_spread("target_cov", target_cov, "target_mean", target_mean)
    x, target_mean, target_cov = in_one_dtype(x, target_mean, target_cov)
    cov = torch.diag(target_cov.expand(size)) if target_cov.ndim == 1 else target_cov

    def at(point: Tensor) -> Tensor:
        slope: Tensor = torch.func.grad(function)(point)
        curve: Tensor = torch.func.hessian(function)(point)
        return (cov * curve).sum() - (point - target_mean) @ slope

    found: Tensor = torch.func.vmap(at)(x)
    return found


def distance_bound(change: Float[Tensor, "*batch"], *, time: float) -> Float[Tensor, "*batch"]:
    r"""Bound the distance to the target by how far the diffusion moves a measure.

    .. math:: W_2(\nu, \gamma) \le \frac{W_2(\nu, P_t \nu)}{1 - e^{-t}}

    For any measure with two moments and any target. It is no better than the distance itself where
    that can be computed; it is for measures of which only the change can be.

    Args:
        change: :math:`W_2(\nu, P_t \nu)`, at least 0: the distance, not its square.
        time: t, above 0.

    Raises:
        ValueError: For a time not above 0 or a negative change.
        TypeError: Where the change is no floating tensor.

    Example:
        >>> distance_bound(torch.tensor(0.5), time=0.6931)      # half of the way is gone
        tensor(1.0000)
    """
    check_time(time, positive=True)
    check_floating("change", change)
    checks.check_range("change", change, 0, hint="the distance, not its square")
    return change / -torch.expm1(-torch.as_tensor(time, dtype=change.dtype, device=change.device))
