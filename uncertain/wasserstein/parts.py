"""What a distance to a label measure is made of."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from uncertain.discrepancy import Wasserstein2Parts


class DistanceParts(NamedTuple):
    """The squared distance to the nearest label measure, and what it is made of; all (N,).

    ``location + shape`` is the mean over particles of the squared distance; ``location`` holds the
    particles' spread, ``between``, on top of what their mean is off. ``within`` and ``between`` are
    the two parts of the moment-matched covariance, unbiased for every number of particles.

    Attributes:
        nearest: The class of the nearest label measure.
        location: Mean over particles of the squared distance between means.
        shape: Mean over particles of the squared Bures distance between covariances.
        within: Mean over particles of the trace of a particle's covariance.
        between: Trace of the covariance of the particles' means, the sum of squares over M - 1;
            NaN for one particle, which says nothing of it.
    """

    nearest: Tensor
    location: Tensor
    shape: Tensor
    within: Tensor
    between: Tensor


def particle_spread(mean: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``within`` and ``between`` of Gaussian particles (N, M, D)."""
    particles = mean.shape[1]
    squares = factor.square().flatten(2).sum(-1)
    off = (mean - mean.mean(1, keepdim=True)).square().sum((1, 2))
    # The plain mean of squares would miss 1/M of it: the particles are off their own mean.
    between = off / (particles - 1) if particles > 1 else torch.full_like(off, torch.nan)
    return squares.mean(1), between


def averaged(parts: Wasserstein2Parts) -> Wasserstein2Parts:
    """Return means over particles, (N, C) of (N, M, C)."""
    return Wasserstein2Parts(parts.location.mean(1), parts.shape.mean(1))


def at_labels(values: Tensor, y: Tensor) -> Tensor:
    """Return each row's value (N, C) at its label, or the mean by its shares (N, C)."""
    return values.gather(1, y[:, None])[:, 0] if y.ndim == 1 else (values * y).sum(-1)
