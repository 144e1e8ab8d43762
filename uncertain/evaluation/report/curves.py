"""What the plots are drawn from: the same bins, ranks and scores as the table, kept short.

A curve over a million rows has a million points; :func:`thin` keeps the few that a reader could tell
apart, so that a page stays small and the area under a drawn curve is still the figure in the table.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uncertain import keyed
from uncertain.evaluation.pit import pit_histogram
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.ranking import rank_curve, risk_coverage_points, roc_points
from uncertain.evaluation.reliability import Reliability, reliability
from uncertain.intervals import normal_quantile

Floats = NDArray[np.float64]
BINS = 15
PIT_BINS = 20


@dataclass(frozen=True)
class TopLabel:
    """A reliability diagram of the predicted class, empty bins left out, and its means.

    Attributes:
        bins: Edges, and the columns (B,) of the bins that hold rows.
        confidence: Mean confidence over all rows.
        accuracy: Share of rows that came true.
    """

    bins: Reliability
    confidence: float
    accuracy: float

    @property
    def rows(self) -> int:
        """All rows."""
        return int(self.bins.count.sum())

    @property
    def outside(self) -> int:
        """How many bins lie outside what a calibrated model would show."""
        f = self.bins.frequency
        return int(np.sum((f < self.bins.null_low) | (f > self.bins.null_high)))


def top_label(predictions: Predictions, probabilities: Floats) -> TopLabel:
    """Return the top-label reliability diagram over 15 equal-width bins, as ``ece`` has them.

    Args:
        predictions: Labelled class predictions.
        probabilities: Their class probabilities, (N, C).
    """
    assert predictions.target is not None
    found = reliability(
        probabilities,
        predictions.target,
        bins=BINS,
        weights=predictions.weights,
        groups=predictions.groups,
    )
    kept = found.share > 0
    columns = {
        name: getattr(found, name)[kept]
        for name in (
            "count",
            "share",
            "confidence",
            "frequency",
            "low",
            "high",
            "null_low",
            "null_high",
        )
    }
    bins = dataclasses.replace(found, **columns)
    return TopLabel(bins, float(bins.share @ bins.confidence), float(bins.share @ bins.frequency))


class Pit(NamedTuple):
    """Densities of PIT values over equal bins, (B,): 1 everywhere for calibrated predictions.

    ``low`` and ``high`` are the ends of their intervals; ``null_low`` and ``null_high`` are where a
    calibrated model's densities would lie.
    """

    edges: Floats
    density: Floats
    low: Floats
    high: Floats
    null_low: float
    null_high: float


def pit(predictions: Predictions, *, level: float = 0.95) -> Pit:
    """Return the histogram of the predictive cdf at the targets, as densities."""
    assert predictions.target is not None
    found = pit_histogram(
        predictions.distribution,
        predictions.target,
        bins=PIT_BINS,
        weights=predictions.weights,
        groups=predictions.groups,
        level=level,
    )
    weights = np.ones(len(predictions)) if predictions.weights is None else predictions.weights
    rows = float(weights.sum() ** 2 / (weights**2).sum())
    if predictions.groups is not None:
        rows = min(rows, keyed.count_distinct(predictions.groups))
    p = 1 / PIT_BINS
    reach = PIT_BINS * normal_quantile((1 + level) / 2) * math.sqrt(p * (1 - p) / rows)
    low, high = max(0.0, 1 - reach), 1 + reach
    share, *ends = (PIT_BINS * v for v in (found.share, found.low, found.high))
    return Pit(found.edges, share, ends[0], ends[1], low, high)


def roc(
    scores: Floats, positive: NDArray[np.bool_], weights: Floats | None, *, most: int
) -> tuple[Floats, Floats]:
    """Return false and true positive rates of the ROC curve, thinned."""
    curve = rank_curve(scores, positive, weights=weights)
    fpr, tpr, _ = roc_points(curve)
    return thin(fpr, tpr, most=most)


def risk_coverage(
    scores: Floats, wrong: NDArray[np.bool_], weights: Floats | None, *, most: int
) -> tuple[Floats, Floats]:
    """Return coverage and error rate from the most certain rows on, thinned.

    The first group of equal scores has its own error rate at any coverage inside it; inside later
    groups points are added, because the expected rate is curved there.
    """
    coverage, risk, _ = risk_coverage_points(rank_curve(scores, wrong, weights=weights))
    coverage, risk = _through_ties(coverage, risk)
    return thin(np.concatenate([[0.0], coverage]), np.concatenate([risk[:1], risk]), most=most)


def _through_ties(coverage: Floats, risk: Floats) -> tuple[Floats, Floats]:
    jumps = np.flatnonzero(np.diff(coverage) > 0.01)
    if not len(jumps):
        return coverage, risk
    more_c, more_r = [coverage], [risk]
    for j in jumps:
        inside = np.linspace(coverage[j], coverage[j + 1], 12)[1:-1]
        errors = np.interp(inside, coverage[j : j + 2], risk[j : j + 2] * coverage[j : j + 2])
        more_c.append(inside)
        more_r.append(errors / inside)
    c, r = np.concatenate(more_c), np.concatenate(more_r)
    order = np.argsort(c, kind="stable")
    return c[order], r[order]


def thin(x: Floats, y: Floats, *, most: int) -> tuple[Floats, Floats]:
    """Return at most about ``most`` points of a curve, evenly spaced along it, both ends kept.

    Example:
        >>> x = np.linspace(0, 1, 100_001)
        >>> few_x, few_y = thin(x, np.sqrt(x), most=200)
        >>> len(few_x) <= 202, bool(abs(np.trapezoid(few_y, few_x) - 2 / 3) < 1e-4)
        (True, True)
    """
    if len(x) <= most:
        return x, y
    rise = float(y.max() - y.min()) or 1.0
    length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y) / rise))])
    places = np.searchsorted(length, np.linspace(0, length[-1], most))
    kept = np.unique(np.concatenate([[0], np.minimum(places, len(x) - 1), [len(x) - 1]]))
    return x[kept], y[kept]
