"""Class predictions that are true, and numbers whose spread depends on the input."""

from __future__ import annotations

from typing import Any

import numpy as np

from uncertain.families import ArrayDistribution


def classes(n: int, seed: int = 0, c: int = 5, concentration: float = 0.5) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(c, concentration), n)
    y = np.minimum((p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1), c - 1)
    return ArrayDistribution("categorical", {"probs": p}), y


def numbers(n: int, seed: int = 0, factor: float = 0.5) -> tuple[Any, Any]:
    """Return normal predictions whose scale is too small by a factor, and targets."""
    rng = np.random.default_rng(seed)
    loc, scale = rng.normal(size=n), np.exp(rng.normal(0, 0.5, n))
    d = ArrayDistribution("normal", {"loc": loc, "scale": factor * scale})
    return d, loc + scale * rng.normal(size=n)
