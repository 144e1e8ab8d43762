"""Predictions whose truth is known, and the same ones distorted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain.families import ArrayDistribution, log_softmax


def logits_of(n: int = 2000, classes: int = 3, seed: int = 0) -> tuple[Any, NDArray[np.int64]]:
    """Return raw logits (N, C), and labels drawn from their softmax."""
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=(n, classes))
    return z, (z + rng.gumbel(size=z.shape)).argmax(axis=1)


def categorical(z: Any) -> ArrayDistribution:
    return ArrayDistribution("categorical", {"logits": log_softmax(z)})


def binary(n: int = 500, seed: int = 0) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[Any]]:
    """Return stated probabilities of class 1, labels, and the true probabilities."""
    rng = np.random.default_rng(seed)
    truth = rng.beta(0.6, 0.8, n)
    return truth**1.7, (rng.random(n) < truth).astype(np.int64), truth


def bernoulli(p: Any) -> ArrayDistribution:
    return ArrayDistribution("bernoulli", {"probs": np.asarray(p)})


def ensemble(n: int = 1500, members: int = 3, sharp: float = 2.0) -> tuple[Any, Any]:
    """Return a mixture of over-confident members that scatter about the truth, and labels."""
    z, labels = logits_of(n)
    rng = np.random.default_rng(5)
    scattered = sharp * (z[:, None] + rng.normal(size=(n, members, z.shape[1])))
    weights = np.full((n, members), 1 / members)
    return ArrayDistribution("categorical", {"logits": log_softmax(scattered)}, weights), labels
