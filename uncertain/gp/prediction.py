"""What the output process says of rows whose latent inputs are uncertain.

``N`` rows, ``Q`` latent dimensions, ``M`` inducing points, ``S`` nodes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain.gp.bounds import Posterior
from uncertain.gp.exponentials import chunk_numbers
from uncertain.gp.kernels import unit_kernel
from uncertain.gp.psi_statistics import psi1, psi2_forms


class Process(NamedTuple):
    """A sparse Gaussian process on the latent space.

    Attributes:
        points: (M, Q), its inducing points.
        factor: (M, M), the Cholesky factor of their covariance at amplitude 1.
        posterior: Of the whitened inducing variables.
        amplitude: The kernel's variance.
    """

    points: Float[Tensor, "M Q"]
    factor: Float[Tensor, "M M"]
    posterior: Posterior
    amplitude: Float[Tensor, ""]


class Moments(NamedTuple):
    """Mean and variance of f."""

    mean: Float[Tensor, ...]
    variance: Float[Tensor, ...]


def at_nodes(
    process: Process,
    mean: Float[Tensor, "N Q"],
    variance: Float[Tensor, "N Q"],
    nodes: Float[Tensor, "S Q"],
) -> Moments:
    """Return the moments (N, S) of f given that h is the row's Gaussian at a standard normal node.

    Args:
        process: The output process.
        mean: (N, Q), of h.
        variance: (N, Q), of h, above 0.
        nodes: (S, Q).
    """
    rows = max(1, chunk_numbers(mean) // (len(nodes) * len(process.points)))
    parts = []
    for centre, spread in zip(mean.split(rows), variance.split(rows), strict=True):
        h = centre[:, None] + spread.sqrt()[:, None] * nodes
        found = given_latent(process, h.flatten(0, 1))
        parts.append([t.unflatten(0, h.shape[:2]) for t in found])
    return Moments(*(torch.cat(each) for each in zip(*parts, strict=True)))


def given_latent(process: Process, h: Float[Tensor, "N Q"]) -> Moments:
    """Return the moments (N,) of f at known latent inputs."""
    points, factor, posterior, amplitude = process
    offset = points.detach().mean(0)
    kernel = unit_kernel(points - offset, h - offset)
    response = torch.linalg.solve_triangular(factor, kernel, upper=False)
    spread = torch.linalg.solve_triangular(posterior.factor, response, upper=False)
    known = response.square().sum(0) - spread.square().sum(0)
    return Moments(amplitude.sqrt() * (posterior.mean @ response), amplitude * (1 - known))


def averaged(
    process: Process, mean: Float[Tensor, "N Q"], variance: Float[Tensor, "N Q"]
) -> Moments:
    r"""Return the exact moments (N,) of f over Gaussian latent inputs.

    With whitened posterior N(m, S) and :math:`\Psi^{(n)}` the second statistic of row n,

    .. math:: \mathrm E f = \sigma_f \Psi_1 L^{-\top} m, \qquad
              \mathrm E f^2 = \sigma_f^2 \{1 + \mathrm{tr}(L^{-\top} (S + m m^\top - I) L^{-1}
              \Psi^{(n)})\}.
    """
    points, factor, posterior, amplitude = process
    eye = torch.eye(len(points)).to(points)
    back = torch.linalg.solve_triangular(factor.T, eye, upper=True)
    root = torch.linalg.solve_triangular(posterior.factor, back.T, upper=False)
    pull = back @ posterior.mean
    forms = root.T @ root - back @ back.T + pull.outer(pull)
    centre = psi1(mean, variance, points) @ pull
    square = 1 + psi2_forms(mean, variance, points, forms[None])[:, 0]
    return Moments(amplitude.sqrt() * centre, amplitude * (square - centre.square()))
