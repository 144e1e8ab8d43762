"""Data with a known truth, and how often an interval covers it.

Shared by the tests and by ``benchmarks/interval_coverage.py``. Axis letters: ``N`` rows, ``R``
repetitions, ``K`` trainings, ``M`` models.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uncertain.intervals import Estimate

NORMAL = NormalDist()
ACCURACIES = (0.5, 0.9, 0.99)
AREAS = (0.7, 0.95, 0.995)
SIZES = (100, 300, 2000)
NOMINAL = 0.95
REQUIRED = 0.93


class Sample(NamedTuple):
    """Rows for one repetition: scores (or outcomes), labels and groups where they apply."""

    scores: NDArray[np.float64]
    positive: NDArray[np.bool_]
    groups: NDArray[np.intp] | None = None


def coverage(estimate: Callable[[int], Estimate], truth: float, repetitions: int) -> float:
    """Return the share of repetitions whose interval holds ``truth``; no interval is a miss."""
    hits = 0
    for repetition in range(repetitions):
        found = estimate(repetition)
        hits += bool(found.low - 1e-12 <= truth <= found.high + 1e-12)
    return hits / repetitions


def outcomes(
    rng: np.random.Generator, p: float, n: int, *, cluster: int = 1, correlation: float = 0.0
) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Return Bernoulli rows of mean ``p`` and their groups.

    Within a group of ``cluster`` rows, each row copies the group's own draw with probability
    ``sqrt(correlation)``, so that two of its rows have that intra-class correlation.
    """
    groups = np.arange(n) // cluster
    own, shared = rng.random(n) < p, (rng.random(groups[-1] + 1) < p)[groups]
    return np.where(rng.random(n) < correlation**0.5, shared, own), groups


def ranked(
    rng: np.random.Generator,
    area: float,
    n: int,
    *,
    share: float = 0.5,
    kind: str = "normal",
    cluster: int = 1,
    correlation: float = 0.0,
) -> Sample:
    """Return n scores whose population area under the ROC curve is ``area``.

    Args:
        rng: Where the draws come from.
        area: P(positive > negative).
        n: Rows of both classes.
        share: Of the positives.
        kind: ``"normal"``; ``"exponential"`` (a Lehmann alternative); or ``"contaminated"``: all
            positives far above, but for a share ``2 (1 - area)`` that looks like the negatives.
        cluster: Rows of a group; every group holds both classes in the given share.
        correlation: Of normal scores within a group.
    """
    positives = round(n * share)
    positive = np.zeros(n, dtype=bool)
    # Spread evenly, so that consecutive rows (a group) hold both classes.
    positive[np.floor((np.arange(positives) + 0.5) / share).astype(int)] = True
    groups = np.arange(n) // cluster
    if kind == "normal":
        shared = rng.normal(size=groups[-1] + 1)[groups]
        noise = correlation**0.5 * shared + (1 - correlation) ** 0.5 * rng.normal(size=n)
        scores = noise + NORMAL.inv_cdf(area) * 2**0.5 * positive
    elif kind == "exponential":
        scores = rng.exponential(size=n) * np.where(positive, area / (1 - area), 1.0)
    else:
        clean = rng.random(n) >= 2 * (1 - area)
        scores = rng.normal(size=n) + 10 * (positive & clean)
    return Sample(scores, positive, groups)


def true_figures(area: float, share: float, *, rows: int = 2_000_001) -> dict[str, float]:
    """Return population figures of normal scores, on a grid of their quantiles."""
    grid = np.linspace(-9, 9 + NORMAL.inv_cdf(area) * 2**0.5, 40_001)
    gap = NORMAL.inv_cdf(area) * 2**0.5
    upper = np.array([1 - NORMAL.cdf(x) for x in grid])
    upper_p = np.array([1 - NORMAL.cdf(x - gap) for x in grid])
    lower, lower_p = 1 - upper, 1 - upper_p
    # Positives at or above, negatives at or above; trapezoids of precision over recall.
    tp, fp = share * upper_p, (1 - share) * upper
    precision = tp / np.maximum(tp + fp, 1e-300)
    aupr = -np.trapezoid(precision, upper_p)
    tn, fn = (1 - share) * lower, share * lower_p
    aupr_negative = np.trapezoid(tn / np.maximum(tn + fn, 1e-300), lower)
    risk = fn / np.maximum(tn + fn, 1e-300)
    return {
        "auroc": area,
        "aupr_positive": float(aupr),
        "aupr_negative": float(aupr_negative),
        "fpr95_positive": 1 - NORMAL.cdf(gap + NORMAL.inv_cdf(0.05)),
        "fpr95_negative": NORMAL.cdf(NORMAL.inv_cdf(0.95) - gap),
        "aurc": float(np.trapezoid(risk, tn + fn)),
    }


def crossed_models(
    rng: np.random.Generator,
    accuracies: NDArray[np.float64],
    *,
    items: int = 10_000,
    trainings: int = 10,
    item_spread: float = 1.5,
    training_spread: float = 0.003,
    own_spread: float = 0.8,
) -> NDArray[np.bool_]:
    """Return correctness of M methods, each trained K times, on the same N test rows.

    A row's difficulty is shared by all methods (``item_spread``), partly a method's own
    (``own_spread``), and each training has its own level, with a standard deviation of
    ``training_spread`` in accuracy; the rest is noise of each training on each row.

    Returns:
        (M, K, N) booleans; a method's expected accuracy is exactly the one asked for.
    """
    methods = len(accuracies)
    scale = (item_spread**2 + own_spread**2 + 1) ** 0.5
    difficulty = rng.normal(size=items).astype(np.float32) * item_spread
    out = np.empty((methods, trainings, items), dtype=bool)
    for m, accuracy in enumerate(accuracies):
        own = difficulty + rng.normal(size=items).astype(np.float32) * own_spread
        levels = np.clip(accuracy + training_spread * rng.normal(size=trainings), 1e-6, 1 - 1e-6)
        for k, level in enumerate(levels):
            noise = rng.standard_normal(items, dtype=np.float32)
            out[m, k] = own + noise < np.float32(NORMAL.inv_cdf(float(level)) * scale)
    return out
