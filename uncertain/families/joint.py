"""The multivariate normal: one joint distribution over T outputs."""

from __future__ import annotations

import numpy as np

from .continuous import LOG_SQRT_2PI
from .structure import Array, Parameters, f64


def _log_det(tril: Array) -> Array:
    return f64(np.log(np.diagonal(tril, axis1=-2, axis2=-1)).sum(axis=-1))


def multivariate_normal_log_prob(p: Parameters, y: Array) -> Array:
    """Return -|L^-1 (y - loc)|^2 / 2 - log det L - T log sqrt(2 pi)."""
    tril = f64(p["scale_tril"])
    z = np.linalg.solve(tril, (y - f64(p["loc"]))[..., None])[..., 0]
    return f64(-0.5 * (z * z).sum(axis=-1) - _log_det(tril) - tril.shape[-1] * LOG_SQRT_2PI)


def multivariate_normal_entropy(p: Parameters) -> Array:
    """Return log det L + T log sqrt(2 pi e)."""
    tril = f64(p["scale_tril"])
    return f64(_log_det(tril) + tril.shape[-1] * (LOG_SQRT_2PI + 0.5))


def multivariate_normal_mean(p: Parameters) -> Array:
    """Return loc (..., T)."""
    return f64(p["loc"])


def multivariate_normal_variance(p: Parameters) -> Array:
    """Return the diagonal of L L^T (..., T)."""
    return f64((f64(p["scale_tril"]) ** 2).sum(axis=-1))


def multivariate_normal_sample(
    p: Parameters, rng: np.random.Generator, shape: tuple[int, ...]
) -> Array:
    """Draw loc + L z."""
    tril = f64(p["scale_tril"])
    z = rng.standard_normal((*shape, tril.shape[-1], 1))
    return f64(f64(p["loc"]) + (tril @ z)[..., 0])
