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
  expectation over the orders of the group; ``excess_aurc`` is what it has above the oracle's.
- ``augrc``: the same, of the share of all rows that is accepted and wrong.
- ``risk_at_80_coverage``, ``coverage_at_5_risk``: points of the same curve.

A row of weight k counts as k rows in every figure, and as one independent row in every interval.

References:
    Davis and Goadrich, The relationship between precision-recall and ROC curves, ICML (2006).
    Geifman, Uziel and El-Yaniv, Bias-reduced uncertainty estimation for deep neural classifiers,
    ICLR (2019).
    Traub et al., Overcoming common flaws in the evaluation of selective classification systems,
    NeurIPS (2024): AUGRC.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain import keyed
from uncertain.checks import check_range, check_same_length
from uncertain.evaluation import ranking_bootstrap, ranking_sums
from uncertain.evaluation.ranking_bootstrap import Rows
from uncertain.evaluation.ranking_one_class import one_class_estimates
from uncertain.evaluation.ranking_sort import count_rows
from uncertain.evaluation.ranking_sums import Ties, tie_table
from uncertain.intervals import (
    Estimate,
    area_bounds,
    area_variance,
    check_level,
    group_ids,
    placements,
    undefined,
)
from uncertain.intervals.areas import PRIOR_DF, checked_labels, checked_scores, one_class


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

    def ties(self) -> Ties:
        """The same weights counted from the smallest score up."""
        flipped = self.flipped()
        return Ties(flipped.false_positives, flipped.true_positives, self.rows, self.counts)


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
    if weights is None:
        counted = count_rows(*checked_labels(scores, positive))
        true, false = (_from_above(through) for through in (counted.up, counted.down))
        return Curve(counted.values[::-1], true, false, counted.rows)
    x, up, w = checked_scores(scores, positive, weights)
    order = np.lexsort((w, up, x))[::-1]
    ordered, labels = x[order], up[order]
    ends = np.flatnonzero(np.concatenate((ordered[1:] != ordered[:-1], [True]))[: len(x)])
    row_weights = w[order]
    true = np.cumsum(np.where(labels, row_weights, 0.0))[ends]
    false = np.cumsum(np.where(labels, 0.0, row_weights))[ends]
    return Curve(ordered[ends], true, false, len(x), bool((w == np.floor(w)).all()))


def _from_above(through: NDArray[np.integer]) -> NDArray[np.float64]:
    """Weight at or above each score, from the largest down, given that at or below each."""
    below = np.concatenate(([0], through[:-1]))[: len(through)]
    return np.ascontiguousarray((through[-1:] - below)[::-1], dtype=np.float64)


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
    return ranking_sums.sums(curve.ties()).auroc


def average_precision(curve: Curve) -> float:
    """Return the step-wise average precision of the positives; NaN without one.

    Example:
        >>> average_precision(rank_curve([1.0, 2.0, 3.0], [True, False, True]))
        0.8333333333333333
    """
    return ranking_sums.sums(curve.ties()).aupr_positive


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
    return ranking_sums.false_positives(curve.ties(), tpr)


def area_under_risk_coverage(curve: Curve) -> float:
    r"""Return the mean over coverages of the risk of the accepted rows, ties averaged.

    A tie group of n rows with e mistakes, after E mistakes in C rows, adds
    :math:`\sum_{j=1}^n \frac{E + ej/n}{C + j} = e + (E - eC/n)(H_{C+n} - H_C)`.
    Whole weights are counts; other weights are first scaled to a mean of 1.

    Example:
        >>> area_under_risk_coverage(rank_curve([0.1, 0.9], [False, True]))
        0.25
    """
    return ranking_sums.sums(curve.ties()).aurc


def area_under_generalised_risk_coverage(curve: Curve) -> float:
    r"""Return AUGRC, the area under the *generalised* risk: the share accepted and wrong.

    With the share of rows accepted on the horizontal axis, :math:`\int P(\text{wrong, accepted})`,
    a tie group drawn as the straight line that random orders of it average to. It equals
    :math:`(1 - \mathrm{AUROC})\,a (1 - a) + (1 - a)^2 / 2` at accuracy a: half the chance that of
    two rows drawn at random the less certain one is right and the other wrong, and of two mistakes.

    References:
        Traub et al., Overcoming common flaws in the evaluation of selective classification systems,
        NeurIPS (2024), equations 6 to 8.

    Example:
        >>> area_under_generalised_risk_coverage(rank_curve([0.1, 0.9], [False, True]))
        0.125
    """
    return ranking_sums.sums(curve.ties()).augrc


def excess_area_under_risk_coverage(curve: Curve) -> float:
    """Return AURC less that of the oracle with as many mistakes, all of them accepted last.

    References:
        Geifman, Uziel and El-Yaniv, Bias-reduced uncertainty estimation for deep neural
        classifiers, ICLR (2019), section 3; there with an integral for the oracle, here exact.

    Example:
        >>> excess_area_under_risk_coverage(rank_curve([0.1, 0.9], [False, True]))
        0.0
    """
    ties = curve.ties()
    return ranking_sums.excess(ties, ranking_sums.sums(ties))


def risk_at_coverage(curve: Curve, *, coverage: float) -> float:
    """Return the share of mistakes in the ``coverage`` of the rows that are most certain.

    A tie group, or a single row, that ``coverage`` ends in counts in part.

    Args:
        curve: From :func:`rank_curve` of uncertainty scores, with mistakes as the positives.
        coverage: Share of the weight to accept, in (0, 1].

    Example:
        >>> risk_at_coverage(rank_curve([0.1, 0.2, 0.2, 0.9], [0, 0, 1, 1]), coverage=0.5)
        0.25
    """
    check_range("coverage", coverage, 0, 1, open_low=True)
    return ranking_sums.risk_at(curve.ties(), coverage)


def coverage_at_risk(curve: Curve, *, risk: float) -> float:
    """Return the largest coverage at which at most a share ``risk`` of the accepted is wrong.

    The inverse of :func:`risk_at_coverage` at its last crossing; 0 where every coverage errs more.

    Args:
        curve: From :func:`rank_curve` of uncertainty scores, with mistakes as the positives.
        risk: Largest share of mistakes, in [0, 1).

    Example:
        >>> coverage_at_risk(rank_curve([0.1, 0.2, 0.2, 0.9], [0, 0, 1, 1]), risk=0.25)
        0.5
    """
    check_range("risk", risk, 0, 1, open_high=True)
    return ranking_sums.coverage_at(curve.ties(), risk)


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

    AUROC has an interval from DeLong's variance, the others from the bootstrap of at most 512
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
        ``fpr95_negative``, and those of selective prediction: ``aurc``, ``augrc``,
        ``excess_aurc``, ``risk_at_80_coverage`` (90, 95), ``coverage_at_1_risk`` (5). With one
        class all but the latter are undefined, with the reason.

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
    if weights is None and groups is None:
        ties = _counted(scores, positive)
        return tie_estimates(ties, level=level, seed=seed, replicates=replicates, tpr=tpr)
    x, up, w = checked_scores(scores, positive, weights)
    check_same_length(scores=x, groups=groups)
    rows = canonical_rows(x, up, None if weights is None else w, groups)
    ties = tie_table(rows.scores, rows.positive, rows.weights)
    return _estimates(ties, rows, level=level, seed=seed, replicates=replicates, tpr=tpr)


def tie_estimates(
    ties: Ties,
    *,
    level: float = 0.95,
    seed: int = 0,
    replicates: int = 1000,
    tpr: float = 0.95,
) -> dict[str, Estimate]:
    """Return what :func:`ranking_estimates` does, of rows that are counted already.

    Args:
        ties: Rows without weights or groups, counted by score.
        level: Nominal coverage.
        seed: Of the bootstrap.
        replicates: Of the bootstrap.
        tpr: True positive rate at which false positive rates are read.

    Example:
        >>> ties = Ties(np.array([0, 1, 2]), np.array([1, 2, 2]), 4)
        >>> tie_estimates(ties)["auroc"].value == ranking_estimates([1, 2, 2, 3], [0, 0, 1, 1])["auroc"].value
        True
    """
    check_level(level)
    check_range("tpr", tpr, 0, 1, open_low=True)
    check_range("replicates", replicates, 10)
    return _estimates(ties, None, level=level, seed=seed, replicates=replicates, tpr=tpr)


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
    check_range("tpr", tpr, 0, 1, open_low=True)
    if weights is None:
        return ranking_sums.figures(_counted(scores, positive), tpr=tpr)
    rows = canonical_rows(*checked_scores(scores, positive, weights))
    return ranking_sums.figures(tie_table(*rows[:3]), tpr=tpr)


def canonical_rows(
    scores: NDArray[np.floating],
    positive: NDArray[np.bool_],
    weights: NDArray[np.float64] | None = None,
    groups: ArrayLike | None = None,
) -> Rows:
    """Return the rows sorted by everything they hold, so that sums have the same bits.

    Example:
        >>> canonical_rows(np.array([2.0, 1.0]), np.array([True, False])).scores
        array([1., 2.])
    """
    labels = None if groups is None else np.asarray(groups)
    if weights is None and labels is None:
        # Counts are exact, so the order inside a tie cannot matter: the quick sort will do.
        order = np.argsort(scores)
        return Rows(scores[order], positive[order])
    keys: list[NDArray[np.generic]] = [positive, scores]
    if weights is not None:
        keys.insert(0, weights)
    if labels is not None:
        keys.insert(0, group_ids(labels))
    order = np.lexsort(keys)
    return Rows(
        scores[order],
        positive[order],
        None if weights is None else weights[order],
        None if labels is None else labels[order],
    )


def _counted(scores: ArrayLike, positive: ArrayLike) -> Ties:
    found = count_rows(*checked_labels(scores, positive))
    return Ties(found.up, found.down, found.rows)


def _estimates(
    ties: Ties,
    rows: Rows | None,
    *,
    level: float,
    seed: int,
    replicates: int,
    tpr: float,
) -> dict[str, Estimate]:
    values = ranking_sums.figures(ties, tpr=tpr)
    area = values.pop("auroc")
    groups = None if rows is None else rows.groups
    n_groups = None if groups is None else keyed.count_distinct(groups)
    reason = _one_class(ties)
    if reason:
        names = ["auroc", *values]
        n = ties.rows
        undecided = {name: undefined(reason, n=n, level=level, n_groups=n_groups) for name in names}
        alike = np.broadcast_to(np.array(ties.positives > 0), n)
        given = (alike, None, None) if rows is None else rows[1:]
        return {**undecided, **one_class_estimates(values, *given, level=level)}
    if rows is None:
        spread = ranking_sums.area_spread(ties, area)
    else:
        placed = placements(rows.scores, rows.positive, weights=rows.weights)
        spread = area_variance(placed, rows.positive, weights=rows.weights, groups=groups)
    auroc = Estimate(area, *area_bounds(area, spread, level=level), ties.rows, level, n_groups)
    intervals = ranking_bootstrap.estimates(
        values,
        ties,
        rows,
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


def _one_class(ties: Ties) -> str:
    """Why the area is undefined, or an empty string where it is defined."""
    sides = np.array([True, False])[: 2 * bool(ties.rows)]
    return one_class(sides, np.array([ties.positives, ties.negatives])[: len(sides)])
