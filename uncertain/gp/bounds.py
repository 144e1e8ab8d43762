r"""The evidence lower bound of Gaussian regression with uncertain inputs, in two forms.

Inducing variables are whitened, :math:`u = L v` with :math:`L L^\top = K_{ZZ}` and
:math:`v \sim N(0, I)`. Given the statistics of the data,

.. math:: r = L^{-1} \Psi_1^\top W y, \qquad R = L^{-1} \Psi_2 L^{-\top}, \qquad
          B = I + R / \sigma^2,

the best :math:`q(v)` is :math:`N(B^{-1} r / \sigma^2, B^{-1})`. Putting it in gives the collapsed
bound, for all rows at once; keeping :math:`q(v)` gives the uncollapsed one, which is a sum over rows
and so can be estimated from some of them. ``M`` inducing points, ``N`` rows with weights ``W``.

References:
    M. K. Titsias, "Variational learning of inducing variables in sparse Gaussian processes", 2009,
    equations 9 and 10; M. K. Titsias and N. D. Lawrence, "Bayesian Gaussian process latent variable
    model", 2010, equation 14; J. Hensman, N. Fusi and N. D. Lawrence, "Gaussian processes for big
    data", 2013, equation 4.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain.gp.factors import cholesky
from uncertain.gp.psi_statistics import psi1, psi2


class Statistics(NamedTuple):
    r"""What the bound knows of the data, whitened.

    Attributes:
        count: The sum of the weights.
        squares: :math:`\sum_n w_n y_n^2`.
        prior: :math:`\psi_0 = \sum_n w_n \sigma_f^2`.
        cross: (M,), r.
        second: (M, M), R.
    """

    count: Float[Tensor, ""]  # type: ignore[assignment]  # hides tuple.count
    squares: Float[Tensor, ""]
    prior: Float[Tensor, ""]
    cross: Float[Tensor, " M"]
    second: Float[Tensor, "M M"]


class Posterior(NamedTuple):
    r"""A Gaussian over the whitened inducing variables.

    Attributes:
        mean: (M,).
        factor: (M, M), lower triangular, of the precision: the covariance is its inverse squared.
    """

    mean: Float[Tensor, " M"]
    factor: Float[Tensor, "M M"]


def statistics(
    mean: Float[Tensor, "N Q"],
    variance: Float[Tensor, "N Q"],
    y: Float[Tensor, " N"],
    weight: Float[Tensor, " N"],
    *,
    points: Float[Tensor, "M Q"],
    factor: Float[Tensor, "M M"],
    amplitude: Float[Tensor, ""],
) -> Statistics:
    """Return the whitened statistics of some rows; those of several batches add up.

    Args:
        mean: (N, Q), of the latent inputs.
        variance: (N, Q), of the latent inputs, at least 0.
        y: (N,) targets.
        weight: (N,) weights.
        points: (M, Q), inducing points.
        factor: (M, M), the Cholesky factor of their covariance at amplitude 1.
        amplitude: The kernel's variance, above 0.

    Returns:
        The statistics, in float64.
    """
    w, target = weight.double(), y.double()
    cross = amplitude.sqrt() * (psi1(mean, variance, points).T @ (w * target))
    half = _solve(factor, amplitude * psi2(mean, variance, points, w))
    second = _solve(factor, half.T)
    return Statistics(
        count=w.sum(),
        squares=(w * target.square()).sum(),
        prior=amplitude * w.sum(),
        cross=_solve(factor, cross[:, None])[:, 0],
        second=(second + second.T) / 2,
    )


def best_posterior(
    cross: Float[Tensor, " M"], second: Float[Tensor, "M M"], noise: Float[Tensor, ""]
) -> Posterior:
    """Return the q(v) that maximises the bound at these statistics.

    Args:
        cross: (M,), r.
        second: (M, M), R.
        noise: The variance of the noise, above 0.

    Raises:
        NotPositiveDefiniteError: Where rounding has made R / noise indefinite.
    """
    eye = torch.eye(len(cross), dtype=cross.dtype, device=cross.device)
    factor = cholesky(
        eye + second / noise,
        name="I + L^-1 Psi2 L^-T / noise",
        remedy=f"the noise variance is {float(noise.detach()):.3g} of the target's; raise `jitter` (its "
        "product with the noise should stay above rows * 2e-16), or take fewer inducing points",
    )
    whole = _solve(factor, cross[:, None] / noise)
    mean = torch.linalg.solve_triangular(factor.T, whole, upper=True)[:, 0]
    return Posterior(mean, factor)


def collapsed_bound(data: Statistics, noise: Float[Tensor, ""]) -> Float[Tensor, ""]:
    r"""Return the bound on :math:`\log p(y)` at the best q(v), in nats.

    .. math:: -\tfrac{n}{2} \log 2\pi\sigma^2 - \tfrac12 \log |B| - \frac{y^\top W y}{2 \sigma^2}
              + \frac{r^\top B^{-1} r}{2 \sigma^4} - \frac{\psi_0}{2 \sigma^2}
              + \frac{\mathrm{tr}\,R}{2 \sigma^2}

    It needs all rows: at those of a batch alone it is too high, since q(v) would fit the batch.

    Args:
        data: Statistics of all rows.
        noise: The variance of the noise, above 0.

    Raises:
        NotPositiveDefiniteError: As for ``best_posterior``.
    """
    q = best_posterior(data.cross, data.second, noise)
    explained = 0.5 * data.cross @ q.mean / noise
    unexplained = (data.squares + data.prior - data.second.trace()) / (2 * noise)
    logs = q.factor.diagonal().log().sum()
    return -0.5 * data.count * (2 * math.pi * noise).log() - logs - unexplained + explained


def uncollapsed_bound(
    data: Statistics, noise: Float[Tensor, ""], posterior: Posterior
) -> Float[Tensor, ""]:
    r"""Return the bound on :math:`\log p(y)` at any q(v) = N(m, S), in nats.

    .. math:: -\tfrac{n}{2} \log 2\pi\sigma^2 - \tfrac1{2 \sigma^2} \bigl\{ y^\top W y - 2 m^\top r
              + m^\top R m + \mathrm{tr}(S R) + \psi_0 - \mathrm{tr}\,R \bigr\} - \mathrm{KL}(q, p)

    All but the divergence is a sum over rows: with weights scaled to stand for the whole data set,
    a batch gives an unbiased estimate.

    Args:
        data: Statistics, scaled to the data set.
        noise: The variance of the noise, above 0.
        posterior: q(v).
    """
    m = posterior.mean
    spread = _solve(posterior.factor, _solve(posterior.factor, data.second).T).trace()
    misfit = data.squares - 2 * m @ data.cross + m @ data.second @ m + spread
    misfit = misfit + data.prior - data.second.trace()
    likelihood = -0.5 * data.count * (2 * math.pi * noise).log() - misfit / (2 * noise)
    return likelihood - divergence(posterior)


def divergence(posterior: Posterior) -> Float[Tensor, ""]:
    """Return KL(q(v), N(0, I)) in nats.

    Args:
        posterior: q(v).

    Example:
        >>> divergence(Posterior(torch.tensor([2.0]), torch.eye(1)))
        tensor(2.)
    """
    eye = torch.eye(len(posterior.mean)).to(posterior.mean)
    inverse = _solve(posterior.factor, eye)
    logs = posterior.factor.diagonal().log().sum()
    squares = inverse.square().sum() + posterior.mean.square().sum()
    return 0.5 * (squares - len(posterior.mean)) + logs


def _solve(factor: Tensor, right: Tensor) -> Tensor:
    value: Tensor = torch.linalg.solve_triangular(factor, right, upper=False)
    return value
