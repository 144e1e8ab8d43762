r"""How well a score ranks one class above another: ROC, precision-recall, risk-coverage.

Scores may have any scale and are never transformed; *larger means more positive*. For
out-of-distribution detection the positives are the OOD rows, for error detection the mistakes.
All figures come from one sort, and from tie groups, never from the order of equal scores:

- ``auroc``: ties count half.
- ``aupr_positive``, ``aupr_negative``: step-wise average precision
  :math:`\sum_t (R_t - R_{t-1}) P_t` over distinct thresholds, for either class as the positive one
  (the trapezoid is optimistic).
- ``fpr95_positive``: the share of negatives at or above the highest threshold that catches 95 % of
  the positives; a tie group is finished before it is read.
- ``aurc``: positives are mistakes, rows are accepted from the lowest score on, and the risk of the
  accepted ones is averaged over the N coverages 1/N, ..., 1; within a tie group the risk is its
  expectation over the orders of the group.

A row of weight k counts as k rows in every figure, and as one independent row in every interval.

References:
    Davis and Goadrich, The relationship between precision-recall and ROC curves, ICML (2006).
    Geifman, Uziel and El-Yaniv, Bias-reduced uncertainty estimation for deep neural classifiers,
    ICLR (2019).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain.checks import check_range, check_same_length
from uncertain.evaluation import ranking_bootstrap
from uncertain.intervals import (
    Estimate,
    area_bounds,
    area_variance,
    check_level,
    group_ids,
    placements,
    undefined,
)
from uncertain.intervals.areas import PRIOR_DF, checked_scores, one_class


@dataclass(frozen=True)
class Curve:
    """Cumulative weights at the T distinct scores, from the largest down.

    Attributes:
        thresholds: Distinct scores, descending, (T,).
        true_positives: Weight of positives at or above each, (T,).
        false_positives: Weight of negatives at or above each, (T,).
        rows: Number of rows.
        counts: Whether all weights are whole numbers.
    """

    thresholds: NDArray[np.floating]
    true_positives: NDArray[np.float64]
    false_positives: NDArray[np.float64]
    rows: int
    counts: bool = True

    @property
    def positives(self) -> float:
        """Weight of all positives."""
        return float(self.true_positives[-1]) if len(self.thresholds) else 0.0

    @property
    def negatives(self) -> float:
        """Weight of all negatives."""
        return float(self.false_positives[-1]) if len(self.thresholds) else 0.0

    def flipped(self) -> Curve:
        """The same rows with the classes and the sign of the score exchanged."""
        up = np.diff(self.true_positives, prepend=0.0)[::-1]
        down = np.diff(self.false_positives, prepend=0.0)[::-1]
        return Curve(-self.thresholds[::-1], np.cumsum(down), np.cumsum(up), self.rows, self.counts)


def rank_curve(
    scores: ArrayLike, positive: ArrayLike, *, weights: ArrayLike | None = None
) -> Curve:
    """Sort once; every ranking figure and plot comes from the result.

    Args:
        scores: (N,) without NaN, any scale, larger = more positive.
        positive: (N,) booleans.
        weights: Non-negative row weights, (N,).

    Raises:
        ValueError: For NaN, wrong lengths or negative weights.

    Example:
        >>> curve = rank_curve([3.0, 1.0, 3.0, 2.0], [True, False, False, True])
        >>> curve.thresholds, curve.true_positives, curve.false_positives
        (array([3., 2., 1.]), array([1., 2., 2.]), array([1., 1., 2.]))
    """
    x, up, w = checked_scores(scores, positive, weights)
    order = np.argsort(x) if weights is None else np.lexsort((w, up, x))
    order = order[::-1]
    ordered, labels = x[order], up[order]
    last = np.concatenate((ordered[1:] != ordered[:-1], [True]))[: len(x)]
    ends = np.flatnonzero(last)
    if weights is None:
        true = np.cumsum(labels)[ends].astype(np.float64)
        false = ends + 1.0 - true
        return Curve(ordered[ends], true, false, len(x))
    row_weights = w[order]
    true = np.cumsum(np.where(labels, row_weights, 0.0))[ends]
    false = np.cumsum(np.where(labels, 0.0, row_weights))[ends]
    return Curve(ordered[ends], true, false, len(x), bool((w == np.floor(w)).all()))


def roc_points(
    curve: Curve,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.floating]]:
    """Return false positive rate, true positive rate and threshold along the ROC curve.

    Args:
        curve: From :func:`rank_curve`, with both classes.

    Returns:
        Three arrays of length T + 1; the first point is (0, 0) at an infinite threshold.

    Example:
        >>> fpr, tpr, _ = roc_points(rank_curve([1.0, 2.0, 3.0], [False, True, True]))
        >>> fpr, tpr
        (array([0., 0., 0., 1.]), array([0. , 0.5, 1. , 1. ]))
    """
    fpr = np.concatenate(([0.0], curve.false_positives / curve.negatives))
    tpr = np.concatenate(([0.0], curve.true_positives / curve.positives))
    return fpr, tpr, np.concatenate(([np.inf], curve.thresholds))


def precision_recall_points(
    curve: Curve,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.floating]]:
    """Return precision, recall and threshold at each distinct score, (T,) each.

    Example:
        >>> precision, recall, _ = precision_recall_points(rank_curve([1.0, 2.0], [False, True]))
        >>> precision, recall
        (array([1. , 0.5]), array([1., 1.]))
    """
    accepted = curve.true_positives + curve.false_positives
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = curve.true_positives / accepted
    return precision, curve.true_positives / curve.positives, curve.thresholds


def risk_coverage_points(
    curve: Curve,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.floating]]:
    """Return coverage, risk and the highest accepted score, from the most certain row on.

    Args:
        curve: From :func:`rank_curve` of uncertainty scores, with mistakes as the positives.

    Returns:
        Three arrays (T,): accepting every row with a score up to ``threshold`` covers ``coverage``
        of the weight and errs on ``risk`` of it.

    Example:
        >>> coverage, risk, _ = risk_coverage_points(rank_curve([0.1, 0.9], [False, True]))
        >>> coverage, risk
        (array([0.5, 1. ]), array([0. , 0.5]))
    """
    flipped = curve.flipped()
    accepted = flipped.true_positives + flipped.false_positives
    kept = accepted > 0
    risk = flipped.false_positives[kept] / accepted[kept]
    return accepted[kept] / accepted[-1], risk, -flipped.thresholds[kept]


def area_under_roc(curve: Curve) -> float:
    """Return the area under the ROC curve, ties half; NaN with one class.

    Example:
        >>> area_under_roc(rank_curve([1.0, 1.0], [False, True]))
        0.5
    """
    if not (curve.positives and curve.negatives):
        return math.nan
    up = np.diff(curve.true_positives, prepend=0.0)
    below = 2 * curve.negatives - curve.false_positives
    below[1:] -= curve.false_positives[:-1]
    return min(1.0, float(np.dot(up, below) / (2 * curve.positives * curve.negatives)))


def average_precision(curve: Curve) -> float:
    """Return the step-wise average precision of the positives; NaN without one.

    Example:
        >>> average_precision(rank_curve([1.0, 2.0, 3.0], [True, False, True]))
        0.8333333333333333
    """
    if not curve.positives:
        return math.nan
    up = np.diff(curve.true_positives, prepend=0.0)
    found = up > 0
    accepted = curve.true_positives[found] + curve.false_positives[found]
    return float(np.dot(up[found], curve.true_positives[found] / accepted) / curve.positives)


def false_positive_rate(curve: Curve, *, tpr: float = 0.95) -> float:
    """Return the share of negatives accepted where at least ``tpr`` of the positives are.

    Args:
        curve: From :func:`rank_curve`.
        tpr: True positive rate to reach, in (0, 1].

    Example:
        >>> false_positive_rate(rank_curve([1.0, 1.0, 2.0], [True, False, True]))
        1.0
    """
    check_range("tpr", tpr, 0, 1, open_low=True)
    if not (curve.positives and curve.negatives):
        return math.nan
    # 0.95 x 20 rows must ask for 19 of them, not for 19 and a rounding error.
    needed = tpr * curve.positives * (1 - 1e-12)
    place = int(np.searchsorted(curve.true_positives, needed, side="left"))
    return float(curve.false_positives[place]) / curve.negatives


def area_under_risk_coverage(curve: Curve) -> float:
    r"""Return the mean over coverages of the risk of the accepted rows, ties averaged.

    A tie group of n rows with e mistakes, after E mistakes in C rows, adds
    :math:`\sum_{j=1}^n \frac{E + ej/n}{C + j} = e + (E - eC/n)(H_{C+n} - H_C)`.
    Whole weights are counts; other weights are first scaled to a mean of 1.

    Example:
        >>> area_under_risk_coverage(rank_curve([0.1, 0.9], [False, True]))
        0.25
    """
    if curve.rows == 0:
        return math.nan
    flipped = curve.flipped()
    total = curve.positives + curve.negatives
    scale = 1.0 if curve.counts else curve.rows / total
    errors = flipped.false_positives * scale
    accepted = errors + flipped.true_positives * scale
    before_errors = np.concatenate(([0.0], errors[:-1]))
    before = np.concatenate(([0.0], accepted[:-1]))
    size, wrong = accepted - before, errors - before_errors
    kept = size > 0
    rate = wrong[kept] / size[kept]
    harmonic = 1 / accepted[kept]
    tied = size[kept] != 1
    harmonic[tied] = _harmonic(accepted[kept][tied]) - _harmonic(before[kept][tied])
    area = wrong[kept] + (before_errors[kept] - rate * before[kept]) * harmonic
    return float(area.sum() / (total * scale))


def ranking_estimates(
    scores: ArrayLike,
    positive: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
    replicates: int = 1000,
    tpr: float = 0.95,
) -> dict[str, Estimate]:
    """Return every ranking figure with its interval, from one sort and one bootstrap.

    AUROC has an interval from DeLong's variance, the others from the bootstrap of at most 1,024
    score bins (:func:`uncertain.intervals.cell_weights`). No order, batching or sharding of the
    rows changes a bit of the answer.

    Args:
        scores: (N,) without NaN, any scale, larger = more positive.
        positive: (N,) booleans: the OOD rows, or the mistakes.
        weights: Non-negative row weights, (N,).
        groups: Resampling unit of each row, (N,).
        level: Nominal coverage.
        seed: Of the bootstrap.
        replicates: Of the bootstrap.
        tpr: True positive rate at which ``fpr95_positive`` is read.

    Returns:
        Keys ``auroc``, ``aupr_positive``, ``aupr_negative``, ``fpr95_positive``,
        ``fpr95_negative`` and ``aurc``. With one class all but ``aurc`` are undefined, with the
        reason.

    Raises:
        ValueError: For NaN, wrong lengths or values out of range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> distances = np.concatenate([rng.normal(20, 1, 500), rng.normal(22, 1, 500)])
        >>> found = ranking_estimates(distances, np.arange(1000) >= 500)
        >>> round(found["auroc"].value, 2), found["auroc"].low < 0.921 < found["auroc"].high
        (0.92, True)
    """
    check_level(level)
    check_range("tpr", tpr, 0, 1, open_low=True)
    check_range("replicates", replicates, 10)
    x, up, w = checked_scores(scores, positive, weights)
    check_same_length(scores=x, groups=groups)
    rows = canonical_rows(x, up, None if weights is None else w, groups)
    return _estimates(*rows, level=level, seed=seed, replicates=replicates, tpr=tpr)


def ranking_values(
    scores: ArrayLike,
    positive: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    tpr: float = 0.95,
) -> dict[str, float]:
    """Return every ranking figure without intervals, NaN where undefined.

    Args:
        scores: (N,) without NaN, any scale, larger = more positive.
        positive: (N,) booleans.
        weights: Non-negative row weights, (N,).
        tpr: True positive rate at which false positive rates are read.

    Example:
        >>> ranking_values([1.0, 2.0, 3.0, 4.0], [False, True, False, True])["auroc"]
        0.75
    """
    curve = rank_curve(scores, positive, weights=weights)
    flipped = curve.flipped()
    return {
        "auroc": area_under_roc(curve),
        "aupr_positive": average_precision(curve),
        "aupr_negative": average_precision(flipped),
        "fpr95_positive": false_positive_rate(curve, tpr=tpr),
        "fpr95_negative": false_positive_rate(flipped, tpr=tpr),
        "aurc": area_under_risk_coverage(curve),
    }


def canonical_rows(
    scores: NDArray[np.floating],
    positive: NDArray[np.bool_],
    weights: NDArray[np.float64] | None = None,
    groups: ArrayLike | None = None,
) -> tuple[
    NDArray[np.floating],
    NDArray[np.bool_],
    NDArray[np.float64] | None,
    NDArray[np.generic] | None,
]:
    """Return the rows sorted by everything they hold, so that sums have the same bits.

    Example:
        >>> canonical_rows(np.array([2.0, 1.0]), np.array([True, False]))[0]
        array([1., 2.])
    """
    labels = None if groups is None else np.asarray(groups)
    if weights is None and labels is None:
        # Counts are exact, so the order inside a tie cannot matter: the quick sort will do.
        order = np.argsort(scores)
        return scores[order], positive[order], None, None
    keys: list[NDArray[np.generic]] = [positive, scores]
    if weights is not None:
        keys.insert(0, weights)
    if labels is not None:
        keys.insert(0, group_ids(labels))
    order = np.lexsort(keys)
    return (
        scores[order],
        positive[order],
        None if weights is None else weights[order],
        None if labels is None else labels[order],
    )


def _estimates(
    scores: NDArray[np.floating],
    positive: NDArray[np.bool_],
    weights: NDArray[np.float64] | None,
    groups: NDArray[np.generic] | None,
    *,
    level: float,
    seed: int,
    replicates: int,
    tpr: float,
) -> dict[str, Estimate]:
    values = ranking_values(scores, positive, weights=weights, tpr=tpr)
    area = values.pop("auroc")
    n = len(scores)
    n_groups = None if groups is None else len(np.unique(groups))
    reason = one_class(positive, np.ones(n) if weights is None else weights)
    if reason:
        names = ["auroc", *values]
        undecided = {name: undefined(reason, n=n, level=level, n_groups=n_groups) for name in names}
        aurc = ranking_bootstrap.one_class_risk(
            values["aurc"], positive, weights, groups, level=level
        )
        return {**undecided, "aurc": aurc}
    spread = area_variance(
        placements(scores, positive, weights=weights), positive, weights=weights, groups=groups
    )
    auroc = Estimate(area, *area_bounds(area, spread, level=level), n, level, n_groups)
    intervals = ranking_bootstrap.estimates(
        values,
        scores,
        positive,
        weights,
        groups,
        level=level,
        seed=seed,
        replicates=replicates,
        tpr=tpr,
        df=spread.df + PRIOR_DF,
    )
    found = {"auroc": auroc, **intervals}
    if n_groups == 1:
        # One unit can't be resampled: the figures stand, without an interval.
        reason = "one group has no spread"
        return {k: e._replace(low=math.nan, high=math.nan, reason=reason) for k, e in found.items()}
    return found


def _harmonic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Harmonic numbers H(x) = psi(x + 1) + gamma of real x >= 0, to 1e-14."""
    shift = np.zeros_like(x)
    y = x + 1
    for _ in range(10):
        small = y < 10
        if not small.any():
            break
        shift[small] -= 1 / y[small]
        y = np.where(small, y + 1, y)
    z = 1 / (y * y)
    series = z * (1 / 12 - z * (1 / 120 - z * (1 / 252 - z * (1 / 240 - z * (5 / 660)))))
    out: NDArray[np.float64] = np.log(y) - 0.5 / y - series + shift + np.euler_gamma
    return out
