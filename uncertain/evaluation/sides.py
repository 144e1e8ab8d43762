"""Test rows and strange rows put side by side: their weights and groups together."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.scored_rows import ScoredRows

Side = Predictions | ScoredRows
"""Predictions, or what is left of them after their scoring."""


def both_weights(test: Side, ood: Side) -> NDArray[np.float64] | None:
    """Return the weights of test rows and strange rows together, ``None`` where neither has any.

    Whole numbers are counts and stay. Other weights are relative: they are scaled to average 1, so
    that neither side's scale tips the figures that depend on how common strange rows are.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(2), "scale": np.ones(2)})
        >>> test = Predictions(d, np.arange(2.0), weights=np.array([0.1, 0.3]))
        >>> both_weights(test, Predictions(d, None, split="ood:x"))
        array([0.5, 1.5, 1. , 1. ])
    """
    if test.weights is None and ood.weights is None:
        return None
    sides = [np.ones(len(p)) if p.weights is None else p.weights for p in (test, ood)]
    # An exact sum: the order of the rows must not show in the last bit of a weight.
    return np.concatenate(
        [w if (w == np.floor(w)).all() else w * (len(w) / math.fsum(w)) for w in sides]
    )


def both_groups(test: Side, ood: Side) -> NDArray[np.int64] | None:
    """Return joint group numbers, ``None`` where neither side has groups.

    Groups of the two sides are different units, whatever they are called.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(2), "scale": np.ones(2)})
        >>> test = Predictions(d, np.arange(2.0), groups=np.array(["a", "a"]))
        >>> both_groups(test, Predictions(d, None, split="ood:x"))
        array([0, 0, 1, 2])
    """
    if test.groups is None and ood.groups is None:
        return None
    numbers = [
        np.arange(len(p)) if p.groups is None else np.unique(p.groups, return_inverse=True)[1]
        for p in (test, ood)
    ]
    return np.concatenate([numbers[0], numbers[0].max() + 1 + numbers[1]])
