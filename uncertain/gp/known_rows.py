r"""An exact process given rows whose latent inputs and quadratic likelihoods are known.

With :math:`\pi_n` the precisions, :math:`t_n` the targets and :math:`B = I + \Pi^{1/2} K\, \Pi^{1/2}`, f at a
new place has

.. math:: \mathrm E f = k^\top \Pi^{1/2} B^{-1} \Pi^{1/2} t, \qquad
          \mathrm{Var} f = \sigma_f^2 - \lVert L_B^{-1} \Pi^{1/2} k \rVert^2 .

``N`` known rows, ``P`` new ones, ``Q`` latent dimensions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain.gp.factors import cholesky
from uncertain.gp.kernels import Kernel, base_kernel


class KnownRows(NamedTuple):
    """Rows, solved for.

    Attributes:
        h: (N, Q).
        root: (N,), of the precisions.
        factor: (N, N), lower triangular, of B.
        weights: (N,), of the rows' covariances in a mean.
        amplitude: The variance of f.
        kernel: Of f.
    """

    h: Float[Tensor, "N Q"]
    root: Float[Tensor, " N"]
    factor: Float[Tensor, "N N"]
    weights: Float[Tensor, " N"]
    amplitude: Float[Tensor, ""]
    kernel: Kernel


def solve(
    h: Float[Tensor, "N Q"],
    target: Float[Tensor, " N"],
    precision: Float[Tensor, " N"],
    amplitude: Float[Tensor, ""],
    kernel: Kernel,
) -> KnownRows:
    """Return what predictions need of the rows.

    Raises:
        NotPositiveDefiniteError: Where rounding has made B indefinite.
    """
    root = precision.sqrt()
    covariance = amplitude * base_kernel(h, h, kernel)
    matrix = torch.eye(len(h)).to(h) + root[:, None] * covariance * root
    factor = cholesky(matrix, name="I + K / noise", remedy="raise the noise")
    solved = torch.cholesky_solve((root * target)[:, None], factor)[:, 0]
    return KnownRows(h, root, factor, root * solved, amplitude, kernel)


def moments(
    known: KnownRows, h: Float[Tensor, "P Q"]
) -> tuple[Float[Tensor, " P"], Float[Tensor, " P"]]:
    """Return the mean and the variance of f at new places."""
    cross, half = _responses(known, h)
    return known.weights @ cross, known.amplitude - half.square().sum(0)


def joint(
    known: KnownRows, h: Float[Tensor, "B P Q"]
) -> tuple[Float[Tensor, "B P"], Float[Tensor, "B P P"]]:
    """Return the mean and the covariance of f over each of several sets of new places."""
    cross, half = _responses(known, h.flatten(0, 1))
    sets = h.shape[:2]
    half = half.unflatten(1, sets).movedim(0, 1)
    covariance = known.amplitude * base_kernel(h, h, known.kernel) - half.mT @ half
    return (known.weights @ cross).unflatten(0, sets), (covariance + covariance.mT) / 2


def _responses(known: KnownRows, h: Tensor) -> tuple[Tensor, Tensor]:
    cross = known.amplitude * base_kernel(known.h, h, known.kernel)
    scaled = known.root[:, None] * cross
    return cross, torch.linalg.solve_triangular(known.factor, scaled, upper=False)
