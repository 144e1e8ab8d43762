r"""CORP: what of a proper score is miscalibration, what is discrimination, what nobody can help.

With stated probabilities c, outcomes a, the *recalibrated* probabilities :math:`\hat c` (the isotonic
regression of a on c, by pooling adjacent violators) and the base rate :math:`\bar a`,

.. math:: S(c) = \underbrace{S(c) - S(\hat c)}_{\text{miscalibration}}
          - \underbrace{(S(\bar a) - S(\hat c))}_{\text{discrimination}}
          + \underbrace{S(\bar a)}_{\text{uncertainty}}

for the Brier score :math:`(c - a)^2` of one question (in [0, 1]: half of what two classes sum to) and
for the log score in nats. No bins, and nothing to tune; all three terms are at least 0.

Isotonic recalibration fits some of the noise, so a calibrated model has a positive miscalibration too,
of the order :math:`N^{-2/3}`, and discrimination is too large by as much: neither has an interval that
would cover. The uncertainty is a function of the base rate and has that of the rate.

Where a confidence of 1 was wrong, the log score and its miscalibration are infinite; the other two
terms are finite always.

References:
    Dimitriadis, Gneiting and Jordan, Stable reliability diagrams for probabilistic classifiers, PNAS
    (2021), equations 4 to 6 and theorem 1.
    Ayer et al., An empirical distribution function for sampling with incomplete information, Annals
    of Mathematical Statistics (1955): pooling adjacent violators.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain import checks, intervals
from uncertain.evaluation.calibration_rows import Mode, Rows
from uncertain.evaluation.calibration_sorted import SortedRows
from uncertain.intervals import Estimate

Score = Literal["brier", "log"]
SCORES: tuple[Score, ...] = ("brier", "log")
TERMS = ("miscalibration", "discrimination", "uncertainty")
_REASON = "isotonic recalibration fits noise: above 0 for a calibrated model too"


class Parts(NamedTuple):
    """A mean score and its three terms: ``score = miscalibration - discrimination + uncertainty``."""

    score: float
    miscalibration: float
    discrimination: float
    uncertainty: float


def score_decomposition(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    score: Score = "brier",
    mode: Mode = "top_label",
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Return ``miscalibration``, ``discrimination`` and ``uncertainty`` of a score.

    Args:
        probabilities: (N, C), rows summing to one.
        labels: Class indices, (N,).
        score: ``"brier"`` or ``"log"``.
        mode: ``"top_label"`` or, for two classes, ``"positive"``.
        weights: Non-negative row weights, (N,).
        groups: Resampling unit of each row, (N,), for the interval of the uncertainty.
        level: Nominal coverage.

    Raises:
        ValueError: As :func:`uncertain.evaluation.calibration.ece`; for an unknown score.

    Example:
        >>> p = np.array([0.2, 0.2, 0.8, 0.8])
        >>> found = score_decomposition(np.stack([1 - p, p], axis=1), [0, 0, 1, 1], mode="positive")
        >>> {name: round(e.value, 6) for name, e in found.items()}
        {'miscalibration': 0.04, 'discrimination': 0.25, 'uncertainty': 0.25}
    """
    checks.check_choice("score", score, SCORES)
    checks.check_choice("mode", mode, ("top_label", "positive"))
    rows = Rows.read(probabilities, labels, mode, weights, groups, level)
    found = SortedRows.of(rows.confidence, rows.outcome, rows.weights)
    parts = decompositions(found)[score]
    rate = intervals.proportion(rows.outcome, weights=rows.weights, groups=rows.ids, level=level)
    return estimates(score, parts, rows, rate)


def estimates(score: Score, parts: Parts, rows: Rows, rate: Estimate) -> dict[str, Estimate]:
    """Return the terms as estimates.

    Args:
        score: Which score.
        parts: Its terms.
        rows: The rows behind them.
        rate: The outcome's base rate with its interval.
    """
    out = {}
    for term in TERMS[:2]:
        value = getattr(parts, term)
        reason = _REASON
        if math.isinf(value):
            p = rows.confidence
            wrong = int(np.count_nonzero(np.where(rows.outcome, p <= 0, p >= 1)))
            reason = f"what came true had probability 0 in {wrong} of {rows.n} rows"
        out[term] = intervals.undefined(
            reason, value=value, n=rows.n, level=rate.level, n_groups=rows.n_groups
        )
    entropy = _ENTROPIES[score]
    ends = [float(entropy(np.array([x]))[0]) for x in (rate.low, rate.high)]
    # The base rate's entropy is largest at a half, which the interval may hold.
    high = float(entropy(np.array([0.5]))[0]) if rate.low <= 0.5 <= rate.high else max(ends)
    value = parts.uncertainty
    out["uncertainty"] = rate._replace(
        value=value, low=min(*ends, value), high=max(high, value), p_value=None
    )
    return out


def decompositions(rows: SortedRows) -> dict[Score, Parts]:
    """Return the terms of both scores, from one isotonic regression.

    Example:
        >>> rows = SortedRows.of(np.array([0.6, 0.6]), np.array([True, False]))
        >>> round(decompositions(rows)["brier"].miscalibration, 6)
        0.01
    """
    size, hits = _tie_groups(rows)
    blocks, right = pool(size, hits)
    total = float(blocks.sum())
    rate = np.array([float(right.sum()) / total])
    stated = _stated(rows)
    out: dict[Score, Parts] = {}
    for score, entropy in _ENTROPIES.items():
        # A calibrated probability's expected score is its own entropy.
        recalibrated = float(np.dot(blocks, entropy(right / blocks))) / total
        base = float(entropy(rate)[0])
        out[score] = Parts(
            stated[score],
            max(0.0, stated[score] - recalibrated),
            max(0.0, base - recalibrated),
            base,
        )
    return out


def pool(
    size: NDArray[np.float64], hits: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the blocks of the isotonic regression: adjacent ones that do not rise are joined.

    All runs that fall are joined at once, again and again: the answer does not depend on the order.

    Args:
        size: Weight of each group in the order of its confidence, (T,), positive.
        hits: Weight that came true, (T,).

    Example:
        >>> pool(np.ones(4), np.array([0.0, 1.0, 0.0, 1.0]))
        (array([1., 2., 1.]), array([0., 1., 1.]))
    """
    while True:
        rises = hits[1:] * size[:-1] > hits[:-1] * size[1:]
        if rises.all():
            return size, hits
        starts = np.concatenate([[0], np.flatnonzero(rises) + 1])
        size, hits = np.add.reduceat(size, starts), np.add.reduceat(hits, starts)


def _tie_groups(rows: SortedRows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    ends = rows.tie_ends()
    if rows.weights is None:
        hits = np.cumsum(rows.outcome, dtype=np.float64)[ends]
        size = np.diff(ends, prepend=-1).astype(np.float64)
        return size, np.diff(hits, prepend=0.0)
    through = np.cumsum(rows.weights)[ends]
    hits = np.cumsum(np.where(rows.outcome, rows.weights, 0.0))[ends]
    size, hits = np.diff(through, prepend=0.0), np.diff(hits, prepend=0.0)
    return size[size > 0], np.minimum(hits, size)[size > 0]


def _stated(rows: SortedRows) -> dict[Score, float]:
    brier, log = [], []
    for p, hit, w in rows.chunks():
        missed = np.where(hit, 1 - p, p)
        squares = missed * missed
        with np.errstate(divide="ignore"):
            logs = np.where(hit, -np.log(p), -np.log1p(-p)) + 0.0
        if w is not None:
            squares, logs = squares * w, np.where(w > 0, logs, 0.0) * w
        brier.append(float(squares.sum()))
        log.append(float(logs.sum()))
    total = rows.total
    return {"brier": sum(brier) / total, "log": sum(log) / total}


def _binary_entropy(p: NDArray[np.float64]) -> NDArray[np.float64]:
    both = np.stack([p, 1 - p])
    logs = np.log(both, out=np.zeros_like(both), where=both > 0)
    out: NDArray[np.float64] = -(both * logs).sum(axis=0)
    return np.maximum(out, 0.0)


def _variance(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return p * (1 - p)


_ENTROPIES: dict[Score, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "brier": _variance,
    "log": _binary_entropy,
}
