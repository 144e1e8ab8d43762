r"""Differences of figures that are no means: both models on the same bootstrap weights.

A replicate gives each row (or group) a weight keyed by its id, so both models see the same resampled
data and what they have in common cancels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain import keyed
from uncertain.checks import check_finite, check_range, check_same_length, check_shape
from uncertain.evaluation import ranking, ranking_bootstrap
from uncertain.intervals import (
    Estimate,
    bootstrap_estimate,
    cell_weights,
    check_weights,
    delong_difference,
    group_ids,
)
from uncertain.intervals.areas import checked_scores, one_class

_ROWS = 1 << 13
"""Rows whose bins are tabled at a time."""


def ranking_differences(
    first: ArrayLike,
    second: ArrayLike,
    positive: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    row_ids: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
    replicates: int = 1000,
    tpr: float = 0.95,
) -> dict[str, Estimate]:
    """Return the differences of two scores' ranking figures on the same rows.

    AUROC is compared by DeLong's paired test, the others by a bootstrap in which both models see
    the same row weights. Time grows as rows x replicates: 10,000 rows take about 0.7 s.

    Args:
        first: (N,) scores of the first model, larger = more positive.
        second: (N,) scores of the second; its scale may be another.
        positive: (N,) booleans, shared: for error detection, where the models' mistakes differ,
            compare their AURC or AUROC with :func:`paired_bootstrap` instead.
        weights: (N,).
        groups: (N,) resampling unit.
        row_ids: (N,) keys of the bootstrap; default: what the rows hold.
        level: Nominal coverage.
        seed: Of the bootstrap.
        replicates: Of the bootstrap.
        tpr: True positive rate at which false positive rates are read.

    Returns:
        The keys of :func:`~uncertain.evaluation.ranking.ranking_estimates`, ``first - second``.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> y = np.arange(600) % 2 == 0
        >>> good = y + rng.normal(size=600)
        >>> found = ranking_differences(good, rng.normal(size=600), y, replicates=200)
        >>> found["auroc"].low > 0, found["fpr95_positive"].high < 0
        (True, True)
    """
    check_range("replicates", replicates, 10)
    a, up, w = checked_scores(first, positive, weights)
    b, _, _ = checked_scores(second, positive, weights)
    check_same_length(first=a, second=b, groups=groups, row_ids=row_ids)
    area = delong_difference(a, b, up, weights=weights, groups=groups, level=level)
    reason = one_class(up, w)
    if reason:
        return {"auroc": area, **dict.fromkeys(ranking_bootstrap.NAMES, area)}
    units = groups if groups is not None else row_ids
    if units is None:
        units = keyed.hash_rows(a, b, up, seed=seed)
    row_weights = None if weights is None else w
    figures = [
        _replicates(x, up, row_weights, np.asarray(units), seed, replicates, tpr) for x in (a, b)
    ]
    out = {"auroc": area}
    for name in ranking_bootstrap.NAMES:
        (value_a, draws_a), (value_b, draws_b) = (found[name] for found in figures)
        out[name] = bootstrap_estimate(
            value_a - value_b,
            draws_a - draws_b,
            n=len(a),
            level=level,
            n_groups=area.n_groups,
            null=0.0,
        )
    return out


def paired_bootstrap(
    difference: float,
    statistic: Callable[[NDArray[np.float32]], NDArray[np.floating]],
    *,
    units: ArrayLike,
    weights: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
    replicates: int = 1000,
) -> Estimate:
    """Return a difference of any two figures with an interval from shared bootstrap weights.

    Args:
        difference: The figure of the first model less that of the second, on the data.
        statistic: Row weights (b, N) -> that difference on each replicate, (b,).
        units: (N,) what is resampled: row ids, or groups of rows.
        weights: (N,) row weights; they multiply the bootstrap's.
        level: Nominal coverage.
        seed: Of the bootstrap.
        replicates: Of the bootstrap.

    Returns:
        The estimate with the p-value of no difference.

    Example:
        >>> gap = np.random.default_rng(0).normal(0.1, 1, 2000)
        >>> e = paired_bootstrap(gap.mean(), lambda w: w @ gap / w.sum(axis=1), units=np.arange(2000))
        >>> bool(abs(e.margin / (1.96 * gap.std() / 2000**0.5) - 1) < 0.1)       # as the t interval
        True
    """
    check_range("replicates", replicates, 10)
    labels = np.asarray(units)
    w = None if weights is None else check_weights(weights, len(labels)).astype(np.float32)
    ids = group_ids(labels)
    n_groups = int(ids.max()) + 1
    first = np.empty(n_groups, dtype=labels.dtype)
    first[ids] = labels
    hashes = keyed.hash_rows(first, seed=seed)
    block = max(8, int(2**22 / max(1, len(labels))) // 4 * 4)
    draws = []
    for start in range(0, replicates, block):
        drawn = keyed.exponential_weights(hashes, min(block, replicates - start), first=start)
        rows = drawn[:, ids]
        draws.append(statistic(rows if w is None else rows * w))
    return bootstrap_estimate(
        difference,
        np.concatenate(draws),
        n=len(labels),
        level=level,
        n_groups=None if n_groups == len(labels) else n_groups,
        null=0.0,
    )


def calibration_difference(
    first: tuple[ArrayLike, ArrayLike],
    second: tuple[ArrayLike, ArrayLike],
    *,
    units: ArrayLike,
    weights: ArrayLike | None = None,
    bins: int = 15,
    level: float = 0.95,
    seed: int = 0,
    replicates: int = 1000,
) -> Estimate:
    r"""Return the difference of two models' debiased squared calibration errors.

    .. math:: \sum_b \frac{n_b}{N} \Big[(\mathrm{conf}_b - \mathrm{acc}_b)^2
              - \frac{\mathrm{acc}_b(1 - \mathrm{acc}_b)}{n_b - 1}\Big]

    over equal-width bins, unbiased and so not cut off at zero: the difference of two plug-in errors
    would favour the model whose confidences fill fewer bins. Near perfect calibration of both the
    bootstrap's interval is too long, never too short.

    Args:
        first: Confidence (N,) in [0, 1] and correctness (N,) of the first model.
        second: The same of the second, for the same rows in the same order.
        units: (N,) what is resampled: row ids, or groups of rows.
        weights: (N,).
        bins: Number of equal-width bins.
        level: Nominal coverage.
        seed: Of the bootstrap.
        replicates: Of the bootstrap.

    References:
        Kumar, Liang and Ma, Verified uncertainty calibration, NeurIPS (2019).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> p = 0.5 + rng.random(4000) / 2
        >>> right = rng.random(4000) < p
        >>> bold = np.sqrt(p)                                         # over-confident
        >>> calibration_difference((bold, right), (p, right), units=np.arange(4000)).low > 0
        True
    """
    check_range("bins", bins, 1)
    tables = [_calibration_table(*model, bins) for model in (first, second)]
    check_same_length(first=tables[0][0], second=tables[1][0], units=units, weights=weights)
    w = check_weights(weights, len(tables[0][0]))
    # Weights that average 1 keep the bins' sizes in rows, which the subtracted noise needs.
    w = w / w.mean()

    def figure(row_weights: NDArray[np.floating]) -> NDArray[np.floating]:
        one, two = (_debiased_square(row_weights, *table, bins) for table in tables)
        return one - two

    return paired_bootstrap(
        float(figure(w[None])[0]),
        figure,
        units=units,
        weights=None if weights is None else w,
        level=level,
        seed=seed,
        replicates=replicates,
    )


def _calibration_table(
    confidence: ArrayLike, correct: ArrayLike, bins: int
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    p, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    check_shape("confidence", p, ("N",))
    check_same_length(confidence=p, correct=right)
    check_finite("confidence", p)
    check_range("confidence", p, 0, 1 + 1e-5)
    check_range("correct", right, 0, 1)
    return np.minimum((p * bins).astype(np.intp), bins - 1), p, right


def _debiased_square(
    weights: NDArray[np.floating],
    place: NDArray[np.intp],
    confidence: NDArray[np.float64],
    correct: NDArray[np.float64],
    bins: int,
) -> NDArray[np.floating]:
    """The debiased squared error for each row of weights, (b, N) -> (b,)."""
    sums = np.zeros((len(weights), 3 * bins))
    # A few thousand rows at a time: their table of bins stays in the processor's cache.
    for start in range(0, len(place), _ROWS):
        part = slice(start, start + _ROWS)
        at, right_here = place[part], correct[part]
        member = np.zeros((len(at), 3 * bins), dtype=weights.dtype)
        rows = np.arange(len(at))
        for k, column in enumerate((1.0, confidence[part] - right_here, right_here)):
            member[rows, k * bins + at] = column
        sums += weights[:, part] @ member
    size, gap, right = np.split(sums, 3, axis=1)
    total = size.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        accuracy = right / size
        term = (gap / size) ** 2 - accuracy * (1 - accuracy) / (size - 1)
    found = np.where(size > 1, size / total * term, 0.0)
    out: NDArray[np.floating] = found.sum(axis=1)
    return out


def _replicates(
    scores: NDArray[np.floating],
    positive: NDArray[np.bool_],
    weights: NDArray[np.float64] | None,
    units: NDArray[np.generic],
    seed: int,
    replicates: int,
    tpr: float,
) -> dict[str, tuple[float, NDArray[np.float64]]]:
    """Return each figure and its replicates, these moved to scatter about the exact figure."""
    x, up, w, ids = ranking.canonical_rows(scores, positive, weights, units)
    bins, exact = ranking_bootstrap.score_bins(x, up, w)
    n_bins = int(bins[-1]) + 1
    cells = 2 * bins + up
    drawn = cell_weights(
        cells, 2 * n_bins, weights=w, groups=ids, replicates=replicates, seed=seed
    ).reshape(replicates, n_bins, 2)
    totals = np.bincount(cells, w, minlength=2 * n_bins).astype(np.float64)
    found = ranking_bootstrap.replicate_figures(drawn, tpr=tpr, exact=exact)
    centre = ranking_bootstrap.replicate_figures(totals.reshape(1, n_bins, 2), tpr=tpr, exact=exact)
    values = ranking.ranking_values(x, up, weights=w, tpr=tpr)
    return {
        name: (values[name], found[name] - centre[name][0] + values[name])
        for name in ranking_bootstrap.NAMES
    }
