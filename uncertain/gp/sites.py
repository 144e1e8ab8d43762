r"""The bound of independent output processes through any likelihood.

Inducing variables are whitened, as in :mod:`uncertain.gp.bounds`. Where a quadratic
:math:`c_n + \sum_k (l_{nk} f_k - \frac12 p_{nk} f_k^2)` stands for the log likelihood of row n, the best
posterior of process k is Gaussian with natural parameters

.. math:: r_k = L^{-1} \sum_n w_n l_{nk} \mathrm E\,k(Z, h_n), \qquad
          R_k = L^{-1} \sum_n w_n p_{nk} \mathrm E\,k(Z, h_n) k(h_n, Z)\, L^{-\top},

namely precision :math:`I + R_k` and mean :math:`(I + R_k)^{-1} r_k`. Where the quadratic only touches
the likelihood, moving the parameters some way towards these is a step of natural gradient.

``N`` rows, ``F`` latent functions, ``M`` inducing points, ``Q`` latent dimensions.

References:
    M. E. Khan and W. Lin, "Conjugate-computation variational inference", 2017, equation 9.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain.gp.factors import cholesky
from uncertain.gp.kernels import Kernel, base_kernel
from uncertain.gp.likelihoods import Quadratic
from uncertain.gp.psi_statistics import psi1, psi2, psi2_forms


class Sites(NamedTuple):
    r"""Natural parameters that some rows add up to.

    Attributes:
        constant: :math:`\sum_n w_n c_n`.
        prior: (F,), :math:`\sum_n w_n p_{nk} \sigma_k^2`.
        linear: (F, M), r.
        precision: (F, M, M), R.
    """

    constant: Float[Tensor, ""]
    prior: Float[Tensor, " F"]
    linear: Float[Tensor, "F M"]
    precision: Float[Tensor, "F M M"]


class Posteriors(NamedTuple):
    """Gaussians over the whitened inducing variables of F processes.

    Attributes:
        mean: (F, M).
        factor: (F, M, M), lower triangular, of the precision.
    """

    mean: Float[Tensor, "F M"]
    factor: Float[Tensor, "F M M"]


class Processes(NamedTuple):
    """F sparse processes on one latent space.

    Attributes:
        points: (M, Q), their inducing points.
        factor: (M, M), the Cholesky factor of the points' covariance at amplitude 1.
        amplitude: (F,), the kernels' variances.
        kernel: The base kernel.
    """

    points: Float[Tensor, "M Q"]
    factor: Float[Tensor, "M M"]
    amplitude: Float[Tensor, " F"]
    kernel: Kernel

    def responses(self, h: Float[Tensor, "N Q"]) -> Float[Tensor, "M N"]:
        """Return the whitened inducing variables' part in f at known h, at amplitude 1."""
        offset = self.points.detach().mean(0)
        cross = base_kernel(self.points - offset, h - offset, self.kernel)
        return _solve(self.factor, cross)


def posteriors(linear: Float[Tensor, "F M"], precision: Float[Tensor, "F M M"]) -> Posteriors:
    """Return the posteriors of these natural parameters.

    Raises:
        NotPositiveDefiniteError: Where rounding has made a precision indefinite.
    """
    eye = torch.eye(linear.shape[1]).to(linear)
    factor = cholesky(
        eye + precision,
        name="I + R of f",
        remedy="raise `jitter` or the noise, or take fewer inducing points",
    )
    whole = _solve(factor, linear[..., None])
    mean = torch.linalg.solve_triangular(factor.mT, whole, upper=True)[..., 0]
    return Posteriors(mean, factor)


def averaged_sites(
    processes: Processes,
    mean: Float[Tensor, "N Q"],
    variance: Float[Tensor, "N Q"],
    quadratic: Quadratic,
    weight: Float[Tensor, " N"],
) -> Sites:
    """Return the sites of rows whose h is Gaussian, in closed form.

    For the squared-exponential kernel. Functions whose precisions are the same in every row share
    one pass over the rows.
    """
    points, factor, amplitude, _ = processes
    linear = psi1(mean, variance, points).T @ (weight[:, None] * quadratic.linear)
    precision = weight[:, None] * quadratic.precision
    varies = bool((quadratic.precision != quadratic.precision[:1]).any())
    if varies:
        second = torch.stack([psi2(mean, variance, points, column) for column in precision.T])
    else:
        each = quadratic.precision[0] if len(quadratic.precision) else precision.sum(0)
        second = psi2(mean, variance, points, weight) * each[:, None, None]
    second = amplitude[:, None, None] * second
    whitened = _solve(factor, _solve(factor, second).mT)
    return Sites(
        constant=(weight * quadratic.constant).sum(),
        prior=amplitude * precision.sum(0),
        linear=amplitude.sqrt()[:, None] * _solve(factor, linear).T,
        precision=(whitened + whitened.mT) / 2,
    )


def known_sites(
    processes: Processes,
    responses: Float[Tensor, "M N"],
    quadratic: Quadratic,
    weight: Float[Tensor, " N"],
) -> Sites:
    """Return the sites of rows whose h is known."""
    amplitude = processes.amplitude
    precision = weight[:, None] * quadratic.precision
    linear = responses @ (weight[:, None] * quadratic.linear)
    second = torch.stack([(responses * column) @ responses.T for column in precision.T])
    return Sites(
        constant=(weight * quadratic.constant).sum(),
        prior=amplitude * precision.sum(0),
        linear=amplitude.sqrt()[:, None] * linear.T,
        precision=amplitude[:, None, None] * (second + second.mT) / 2,
    )


def bound(sites: Sites, posterior: Posteriors) -> Float[Tensor, ""]:
    r"""Return the evidence lower bound without the hidden layers' divergence, in nats.

    .. math:: \sum_n w_n c_n + \sum_k m_k^\top r_k - \tfrac12 \{ m_k^\top R_k m_k + \mathrm{tr}(S_k R_k)
              + \psi_k - \mathrm{tr}\,R_k \} - \mathrm{KL}(q_k, p)
    """
    m = posterior.mean
    solved = _solve(posterior.factor, _solve(posterior.factor, sites.precision).mT)
    square = torch.einsum("fi,fij,fj->f", m, sites.precision, m) + _trace(solved)
    square = square + sites.prior - _trace(sites.precision)
    return sites.constant + (m * sites.linear).sum() - 0.5 * square.sum() - divergence(posterior)


def divergence(posterior: Posteriors) -> Float[Tensor, ""]:
    """Return the divergences of all processes from N(0, I), in nats."""
    eye = torch.eye(posterior.mean.shape[1]).to(posterior.mean)
    inverse = _solve(posterior.factor, eye.expand_as(posterior.factor))
    logs = posterior.factor.diagonal(dim1=1, dim2=2).log().sum()
    squares = inverse.square().sum() + posterior.mean.square().sum()
    return 0.5 * (squares - posterior.mean.numel()) + logs


def known_moments(
    processes: Processes, posterior: Posteriors, responses: Float[Tensor, "M N"]
) -> tuple[Float[Tensor, "N F"], Float[Tensor, "N F"]]:
    """Return the mean and the variance of f where h is known."""
    spread = _solve(posterior.factor, responses.expand(len(posterior.mean), -1, -1))
    known = responses.square().sum(0) - spread.square().sum(1)
    amplitude = processes.amplitude[:, None]
    mean = amplitude.sqrt() * (posterior.mean @ responses)
    return mean.T, (amplitude * (1 - known)).T


def averaged_moments(
    processes: Processes,
    posterior: Posteriors,
    mean: Float[Tensor, "N Q"],
    variance: Float[Tensor, "N Q"],
) -> tuple[Float[Tensor, "N F"], Float[Tensor, "N F"]]:
    """Return the exact mean and variance of f over Gaussian h; for the squared-exponential kernel."""
    points, factor, amplitude, _ = processes
    eye = torch.eye(len(points)).to(points)
    back = torch.linalg.solve_triangular(factor.T, eye, upper=True)
    root = _solve(posterior.factor, back.T.expand_as(posterior.factor))
    pull = posterior.mean @ back.T
    forms = root.mT @ root - back @ back.T + pull[:, :, None] * pull[:, None]
    centre = psi1(mean, variance, points) @ pull.T
    square = 1 + psi2_forms(mean, variance, points, forms)
    return amplitude.sqrt() * centre, amplitude * (square - centre.square())


def _trace(matrices: Float[Tensor, "F M M"]) -> Float[Tensor, " F"]:
    return matrices.diagonal(dim1=-2, dim2=-1).sum(-1)


def _solve(factor: Tensor, right: Tensor) -> Tensor:
    value: Tensor = torch.linalg.solve_triangular(factor, right, upper=False)
    return value
