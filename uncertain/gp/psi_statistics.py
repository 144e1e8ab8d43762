r"""Expectations of a squared-exponential kernel under Gaussian inputs, in closed form.

The latent input of row n is Gaussian, :math:`h_n \sim N(\mu_n, \mathrm{diag}(s_n))`, and

.. math:: k(h, z) = \exp\bigl(-\tfrac12 \lVert h - z \rVert^2\bigr).

The statistics are :math:`\psi_0 = \sum_n w_n \mathrm E\,k(h_n, h_n)`, which is the sum of the weights,
:math:`\Psi_1 = \mathrm E\,k(h_n, z_i)` and
:math:`\Psi_2 = \sum_n w_n \mathrm E\,k(h_n, z_i) k(h_n, z_j)`. A kernel with amplitude
:math:`\sigma_f^2` multiplies them by its first, first and second power.

``N`` rows, ``Q`` latent dimensions, ``M`` inducing points, ``P`` = M (M + 1) / 2 pairs of them.
Whatever comes in, they are computed and returned in float64: at a noise of 1e-4 the smallest
eigenvalue of the matrix that the bound factorises is positive in float64 and far below zero in
float32.

References:
    M. K. Titsias and N. D. Lawrence, "Bayesian Gaussian process latent variable model", 2010,
    equations 17 and 18; M. K. Titsias and M. Lazaro-Gredilla, "Variational inference for Mahalanobis
    distance metrics in Gaussian process regression", 2013.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain import checks
from uncertain.gp.exponentials import exponential_products, exponential_sums


def psi1(
    mean: Float[Tensor, "N Q"], variance: Float[Tensor, "N Q"], points: Float[Tensor, "M Q"]
) -> Float[Tensor, "N M"]:
    r"""Return :math:`\mathrm E\,k(h_n, z_i)`.

    .. math:: \prod_q (1 + s_{nq})^{-1/2} \exp\Bigl(-\frac{(\mu_{nq} - z_{iq})^2}{2 (1 + s_{nq})}\Bigr)

    Args:
        mean: (N, Q), of the latent inputs, in units of the kernel's lengthscale.
        variance: (N, Q), at least 0.
        points: (M, Q), inducing points.

    Returns:
        (N, M) in float64, between 0 and 1.

    Raises:
        ValueError: Where shapes differ.

    Example:
        >>> psi1(torch.zeros(1, 1), torch.full((1, 1), 3.0), torch.zeros(1, 1))
        tensor([[0.5000]], dtype=torch.float64)
    """
    mu, s, z = _checked(mean, variance, points)
    centre = z.detach().mean(0)
    return (_rows(mu - centre, 1 + s) @ _columns(z - centre).T).exp()


def psi2(
    mean: Float[Tensor, "N Q"],
    variance: Float[Tensor, "N Q"],
    points: Float[Tensor, "M Q"],
    weight: Float[Tensor, " N"] | None = None,
) -> Float[Tensor, "M M"]:
    r"""Return :math:`\sum_n w_n \mathrm E\,k(h_n, z_i) k(h_n, z_j)`.

    .. math:: e^{-\lVert z_i - z_j \rVert^2 / 4} \sum_n w_n \prod_q (1 + 2 s_{nq})^{-1/2}
              \exp\Bigl(-\frac{(\mu_{nq} - \frac{z_{iq} + z_{jq}}2)^2}{1 + 2 s_{nq}}\Bigr)

    The exponents are one matrix product over the lower triangle of pairs, made a chunk of rows at a
    time and again for the gradient: memory is a chunk of rows times P, not N times P or Q N M M.

    Args:
        mean: (N, Q), of the latent inputs, in units of the kernel's lengthscale.
        variance: (N, Q), at least 0.
        points: (M, Q), inducing points.
        weight: (N,), ones by default. A row of weight k counts as k copies.

    Returns:
        (M, M) in float64, symmetric, differentiable once.

    Raises:
        ValueError: Where shapes differ.

    Example:
        >>> psi2(torch.zeros(5, 1), torch.zeros(5, 1), torch.tensor([[0.0], [1.0]]))
        tensor([[5.0000, 3.0327],
                [3.0327, 1.8394]], dtype=torch.float64)
    """
    mu, s, z = _checked(mean, variance, points)
    w = mu.new_ones(len(mu)) if weight is None else weight.to(mu)
    checks.check_shape("weight", w, (len(mu),), hint="one weight a row")
    centre = z.detach().mean(0)
    middles, factor, (i, j) = _pairs(z - centre)
    sums = factor * exponential_sums(_rows(mu - centre, 0.5 + s), _columns(middles), w)
    # One gather fills both triangles, so that a gradient is shared between them.
    place = torch.empty(len(z), len(z), dtype=torch.long, device=z.device)
    place[i, j] = place[j, i] = torch.arange(len(i), device=z.device)
    return sums[place]


def psi2_forms(
    mean: Float[Tensor, "N Q"],
    variance: Float[Tensor, "N Q"],
    points: Float[Tensor, "M Q"],
    matrices: Float[Tensor, "K M M"],
) -> Float[Tensor, "N K"]:
    r"""Return :math:`\sum_{ij} A_{kij} \mathrm E\,k(h_n, z_i) k(h_n, z_j)` for every row by itself.

    Args:
        mean: (N, Q), of the latent inputs, in units of the kernel's lengthscale.
        variance: (N, Q), at least 0.
        points: (M, Q), inducing points.
        matrices: (K, M, M), A; only their symmetric part counts.

    Returns:
        (N, K) in float64.

    Raises:
        ValueError: Where shapes differ.

    Example:
        >>> ones = torch.ones(1, 1, 1)
        >>> psi2_forms(torch.zeros(2, 1), torch.tensor([[0.0], [4.0]]), torch.zeros(1, 1), ones)
        tensor([[1.0000],
                [0.3333]], dtype=torch.float64)
    """
    mu, s, z = _checked(mean, variance, points)
    checks.check_shape("matrices", matrices, ("K", len(z), len(z)))
    centre = z.detach().mean(0)
    middles, factor, (i, j) = _pairs(z - centre)
    both = (matrices + matrices.mT).to(z)[:, i, j] * torch.where(i == j, 0.5, 1.0)
    rows = _rows(mu - centre, 0.5 + s)
    return exponential_products(rows, _columns(middles), (both * factor).T)


def _pairs(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the middles of all pairs (P, Q), the factors that no row changes, and their indices."""
    index = torch.tril_indices(len(points), len(points), device=points.device)
    first, second = points[index[0]], points[index[1]]
    apart = (first - second).square().sum(1)
    factor = 2 ** (-0.5 * points.shape[1]) * (-0.25 * apart).exp()
    return (first + second) / 2, factor, index


def _rows(mean: Tensor, spread: Tensor) -> Float[Tensor, "N F"]:
    r"""Features whose product with those of `_columns` is :math:`\log N(p; \mu, v)`, less a constant.

    Namely :math:`-\frac12 \sum_q \{\log v_q + (\mu_q - p_q)^2 / v_q\}`, as a product.
    """
    scaled = mean / spread
    constant = -0.5 * (spread.log() + mean * scaled).sum(1, keepdim=True)
    return torch.cat([scaled, -0.5 / spread, constant], 1)


def _columns(points: Tensor) -> Float[Tensor, "P F"]:
    return torch.cat([points, points.square(), points.new_ones(len(points), 1)], 1)


def _checked(mean: Any, variance: Any, points: Any) -> tuple[Tensor, Tensor, Tensor]:
    checks.check_shape("mean", mean, ("N", "Q"))
    checks.check_shape("variance", variance, tuple(mean.shape), hint="as `mean`")
    checks.check_shape("points", points, ("M", mean.shape[1]), hint="as wide as `mean`")
    return mean.double(), variance.double(), points.double()
