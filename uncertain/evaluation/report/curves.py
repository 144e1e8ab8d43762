"""What the plots are drawn from: the same bins, ranks and scores as the table, kept short.

A curve over a million rows has a million points; :func:`thin` keeps the few that a reader could tell
apart, so that a page stays small and the area under a drawn curve is still the figure in the table.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from uncertain import families
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.ranking import rank_curve, risk_coverage_points, roc_points
from uncertain.evaluation.reliability import Reliability, reliability
from uncertain.intervals import normal_quantile

Floats = NDArray[np.float64]
BINS = 15


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


@dataclass(frozen=True)
class PitHistogram:
    """Densities of PIT values over equal bins: 1 everywhere for calibrated predictions.

    Attributes:
        edges: (B + 1,).
        density: (B,).
        null_low: Where a density would stay above if the predictions were true.
        null_high: Where a density would stay below.
    """

    edges: Floats
    density: Floats
    null_low: float
    null_high: float


def pit_histogram(predictions: Predictions, *, bins: int = 20, level: float = 0.95) -> PitHistogram:
    """Return the histogram of the predictive cdf at the targets.

    Args:
        predictions: Labelled real-valued predictions; several outputs are pooled.
        bins: How many.
        level: Of the band around 1.
    """
    values = np.asarray(families.pit(predictions.distribution, predictions.target))
    values = values.reshape(len(predictions), -1)
    weights = np.ones(len(predictions)) if predictions.weights is None else predictions.weights
    spread = np.broadcast_to(weights[:, None], values.shape)
    sums, edges = np.histogram(values, bins=bins, range=(0, 1), weights=spread)
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    if predictions.groups is not None:
        effective = min(effective, len(np.unique(predictions.groups)))
    p = 1 / bins
    reach = bins * normal_quantile((1 + level) / 2) * math.sqrt(p * (1 - p) / effective)
    return PitHistogram(edges, bins * sums / sums.sum(), max(0.0, 1 - reach), 1 + reach)


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
