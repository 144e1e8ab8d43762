r"""An exact process given rows whose quadratic likelihoods are known, whatever its kernel.

With :math:`\pi_n` the precisions, :math:`t_n` the targets, less the prior mean, and
:math:`B = I + \Pi^{1/2} K\, \Pi^{1/2}`, f at a new place has

.. math:: \mathrm E f = k^\top \Pi^{1/2} B^{-1} \Pi^{1/2} t, \qquad
          \mathrm{Var} f = k_{**} - \lVert L_B^{-1} \Pi^{1/2} k \rVert^2 .

``N`` known rows, ``P`` new ones.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain.gp.factors import cholesky


class KnownRows(NamedTuple):
    """Rows, solved for.

    Attributes:
        root: (N,), of the precisions.
        factor: (N, N), lower triangular, of B.
        weights: (N,), of the rows' covariances in a mean.
    """

    root: Float[Tensor, " N"]
    factor: Float[Tensor, "N N"]
    weights: Float[Tensor, " N"]


def solve(
    covariance: Float[Tensor, "N N"],
    target: Float[Tensor, " N"],
    precision: Float[Tensor, " N"],
    *,
    remedy: str = "raise the noise",
) -> KnownRows:
    """Return what predictions need of the rows.

    Args:
        covariance: (N, N), of f.
        target: (N,), less the prior mean.
        precision: (N,), at least 0; a row of precision 0 says nothing.
        remedy: What an error advises.

    Raises:
        NotPositiveDefiniteError: Where rounding has made B indefinite.
    """
    root = precision.sqrt()
    matrix = torch.eye(len(target)).to(target) + root[:, None] * covariance * root
    factor = cholesky(matrix, name="I + K / noise", remedy=remedy)
    solved = torch.cholesky_solve((root * target)[:, None], factor)[:, 0]
    return KnownRows(root, factor, root * solved)


def moments(
    known: KnownRows, cross: Float[Tensor, "N P"], prior: Float[Tensor, "*#P"]
) -> tuple[Float[Tensor, " P"], Float[Tensor, " P"]]:
    """Return the mean, less the prior's, and the variance of f at new places.

    Args:
        known: The rows.
        cross: (N, P), covariances of f at the rows and at the places.
        prior: (P,), variances of f there, or one for all.
    """
    return known.weights @ cross, prior - _explained(known, cross).square().sum(0)


def joint(
    known: KnownRows, cross: Float[Tensor, "N R"], prior: Float[Tensor, "B P P"]
) -> tuple[Float[Tensor, "B P"], Float[Tensor, "B P P"]]:
    """Return the mean, less the prior's, and the covariance of f over each of several sets of places.

    Args:
        known: The rows.
        cross: (N, B P), covariances of f at the rows and at the places of all sets.
        prior: (B, P, P), of f over each set.
    """
    half = _explained(known, cross).unflatten(1, prior.shape[:2]).movedim(0, 1)
    covariance = prior - half.mT @ half
    mean = (known.weights @ cross).unflatten(0, prior.shape[:2])
    return mean, (covariance + covariance.mT) / 2


def _explained(known: KnownRows, cross: Tensor) -> Tensor:
    scaled = known.root[:, None] * cross
    half: Tensor = torch.linalg.solve_triangular(known.factor, scaled, upper=False)
    return half
