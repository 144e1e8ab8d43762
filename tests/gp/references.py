"""Slow, obvious transcriptions of the formulas, written from the papers and not from the code."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def psi1(mean: Tensor, variance: Tensor, points: Tensor) -> Tensor:
    """One row, one point, one dimension after the other."""
    found = mean.new_ones(len(mean), len(points))
    for n in range(len(mean)):
        for i in range(len(points)):
            for q in range(mean.shape[1]):
                c = 1 + variance[n, q]
                square = (mean[n, q] - points[i, q]) ** 2
                found[n, i] *= c**-0.5 * math.exp(-square / (2 * c))
    return found


def psi2_rows(mean: Tensor, variance: Tensor, points: Tensor) -> Tensor:
    """(N, M, M), as it is printed: all of Q x N x M x M at once."""
    first, second = points[:, None, :], points[None, :, :]
    apart = (-(first - second).square() / 4).exp().prod(-1)
    c = (1 + 2 * variance)[:, None, None, :]
    middle = ((first + second) / 2)[None]
    terms = c**-0.5 * (-((mean[:, None, None, :] - middle) ** 2) / c).exp()
    return apart * terms.prod(-1)


def kernel(a: Tensor, b: Tensor) -> Tensor:
    return (-0.5 * (a[:, None] - b[None]).square().sum(-1)).exp()


def sparse_regression_bound(
    inputs: Tensor, y: Tensor, points: Tensor, *, amplitude: float, noise: float, jitter: float
) -> Tensor:
    """Titsias's bound of 2009 by N x N matrices: log N(y; 0, Q + s I) - tr(K - Q) / 2 s."""
    k_zz = kernel(points, points) + jitter * torch.eye(len(points), dtype=points.dtype)
    k_xz = amplitude * kernel(inputs, points) / math.sqrt(amplitude)
    q = k_xz @ torch.linalg.inv(k_zz) @ k_xz.T
    covariance = q + noise * torch.eye(len(y), dtype=y.dtype)
    marginal = torch.distributions.MultivariateNormal(torch.zeros_like(y), covariance)
    return marginal.log_prob(y) - (amplitude * len(y) - q.trace()) / (2 * noise)
