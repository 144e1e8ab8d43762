r"""Intervals of ranking figures from the bootstrap of score bins.

Rows are binned by score: where there are at most 1,024 distinct scores each is its own bin, else
bins hold equal shares of both classes' mass. A replicate draws the weight of every (bin, class)
cell, so it costs O(bins) whatever the number of rows; within a bin the two classes are taken as
evenly mixed. Replicates scatter about the figure of the *bins*, and that scatter is put round the
exact figure.

Where a figure sits on its bound the bootstrap sees no spread, and an exact bound takes its place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from uncertain.intervals import (
    Estimate,
    bootstrap_estimate,
    cell_weights,
    effective_rows,
    group_ids,
    proportion,
    undefined,
    wilson_bounds,
)

BINS = 1024
_BLOCK = 64
NAMES = ("aupr_positive", "aupr_negative", "fpr95_positive", "fpr95_negative", "aurc")


def estimates(
    values: Mapping[str, float],
    scores: NDArray[np.floating],
    positive: NDArray[np.bool_],
    weights: NDArray[np.float64] | None,
    groups: NDArray[np.generic] | None,
    *,
    level: float,
    seed: int,
    replicates: int,
    tpr: float,
    df: float,
) -> dict[str, Estimate]:
    """Return each figure in ``values`` with its bootstrap interval.

    Args:
        values: The exact figures, by name.
        scores: (N,) ascending (canonical order), both classes present.
        positive: (N,) booleans.
        weights: (N,) or ``None``.
        groups: (N,) or ``None``.
        level: Nominal coverage.
        seed: Of the draws.
        replicates: B.
        tpr: True positive rate of the false positive rates.
        df: How well a variance is known from these rows (that of the AUROC is).
    """
    bins, exact = score_bins(scores, positive, weights)
    n_bins = int(bins[-1]) + 1
    cells = 2 * bins + positive
    drawn = cell_weights(
        cells, 2 * n_bins, weights=weights, groups=groups, replicates=replicates, seed=seed
    )
    found = replicate_figures(drawn.reshape(replicates, n_bins, 2), tpr=tpr, exact=exact)
    totals = np.bincount(cells, weights, minlength=2 * n_bins).astype(np.float64)
    centre = replicate_figures(totals.reshape(1, n_bins, 2), tpr=tpr, exact=exact)
    n_groups = None if groups is None else int(group_ids(groups).max()) + 1
    w = np.ones(len(scores)) if weights is None else weights
    sizes = [
        effective_rows(w[rows], groups=None if groups is None else groups[rows])
        for rows in (positive, ~positive)
    ]
    out = {}
    for name in NAMES:
        estimate = bootstrap_estimate(
            values[name],
            found[name],
            n=len(scores),
            level=level,
            n_groups=n_groups,
            centre=float(centre[name][0]),
            bounds=(0.0, 1.0),
            df=df,
        )
        out[name] = _with_floor(name, estimate, *sizes)
    return out


def score_bins(
    scores: NDArray[np.floating],
    positive: NDArray[np.bool_],
    weights: NDArray[np.float64] | None = None,
    *,
    bins: int = BINS,
) -> tuple[NDArray[np.intp], bool]:
    """Return the bin of each row of ascending scores, and whether bins are distinct scores.

    Args:
        scores: (N,) ascending.
        positive: (N,) booleans, both present.
        weights: (N,) or ``None``.
        bins: The largest number of bins.

    Example:
        >>> score_bins(np.array([1.0, 1.0, 2.0]), np.array([True, False, True]))
        (array([0, 0, 1]), True)
    """
    first = np.concatenate(([True], scores[1:] != scores[:-1]))
    tie = np.cumsum(first) - 1
    if tie[-1] < bins:
        return tie, True
    w = np.ones(len(scores)) if weights is None else weights
    up = np.where(positive, w, 0.0)
    mass = up / (2 * up.sum()) + (w - up) / (2 * (w - up).sum())
    before = np.cumsum(mass) - mass
    # A tie group goes where it starts; then bins that stayed empty are closed up.
    wanted = np.minimum((before[np.flatnonzero(first)] * bins).astype(np.intp), bins - 1)
    wanted = np.maximum.accumulate(wanted)
    used = np.concatenate(([0], np.cumsum(np.diff(wanted) > 0)))
    return used[tie], False


def replicate_figures(
    cells: NDArray[np.floating], *, tpr: float, exact: bool
) -> dict[str, NDArray[np.float64]]:
    """Return each ranking figure of each replicate.

    Args:
        cells: (B, bins, 2) weights of negatives and positives in bins of ascending score.
        tpr: True positive rate of the false positive rates.
        exact: Whether bins are single scores; else classes are evenly mixed within a bin.
    """
    out = {name: np.empty(len(cells)) for name in (*NAMES, "auroc")}
    for start in range(0, len(cells), _BLOCK):
        block = cells[start : start + _BLOCK].astype(np.float64)
        part = slice(start, start + len(block))
        down, up = block[:, :, 0], block[:, :, 1]
        below_down, below_up = (np.cumsum(x, axis=1) - x for x in (down, up))
        n, p = (x.sum(axis=1, keepdims=True) for x in (down, up))
        above_down, above_up = n - below_down - down, p - below_up - up
        np.maximum(above_down, 0, out=above_down)
        np.maximum(above_up, 0, out=above_up)
        with np.errstate(invalid="ignore", divide="ignore"):
            out["auroc"][part] = np.sum(up * (below_down + down / 2), axis=1) / (n * p)[:, 0]
            out["aupr_positive"][part] = _precision(up, down, above_up, above_down, exact) / p[:, 0]
            out["aupr_negative"][part] = _precision(down, up, below_down, below_up, exact) / n[:, 0]
            out["aurc"][part] = _risk(up, down + up, below_up, below_down + below_up)
            out["fpr95_positive"][part] = (
                _rate(
                    up[:, ::-1],
                    down[:, ::-1],
                    above_up[:, ::-1],
                    above_down[:, ::-1],
                    p,
                    tpr,
                    exact,
                )
                / n[:, 0]
            )
            out["fpr95_negative"][part] = (
                _rate(down, up, below_down, below_up, n, tpr, exact) / p[:, 0]
            )
    return out


def _precision(
    up: NDArray[np.float64],
    down: NDArray[np.float64],
    before_up: NDArray[np.float64],
    before_down: NDArray[np.float64],
    exact: bool,
) -> NDArray[np.float64]:
    """Sum over bins of weight times precision, read at the bin's end, or at its middle."""
    part = 1.0 if exact else 0.5
    caught = before_up + part * up
    precision = caught / (caught + before_down + part * down)
    out: NDArray[np.float64] = np.sum(np.where(up > 0, up * precision, 0.0), axis=1)
    return out


def _risk(
    wrong: NDArray[np.float64],
    size: NDArray[np.float64],
    wrong_before: NDArray[np.float64],
    before: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Mean over coverages of the risk at each bin's middle."""
    risk = (wrong_before + wrong / 2) / (before + size / 2)
    total = size.sum(axis=1)
    out: NDArray[np.float64] = np.sum(np.where(size > 0, size * risk, 0.0), axis=1) / total
    return out


def _rate(
    up: NDArray[np.float64],
    down: NDArray[np.float64],
    before_up: NDArray[np.float64],
    before_down: NDArray[np.float64],
    total: NDArray[np.float64],
    tpr: float,
    exact: bool,
) -> NDArray[np.float64]:
    """Weight of negatives accepted where ``tpr`` of the positives are; bins in accepting order."""
    needed = tpr * total * (1 - 1e-12)
    place = np.argmax(before_up + up >= needed, axis=1)[:, None]
    at = [np.take_along_axis(x, place, axis=1) for x in (up, down, before_up, before_down)]
    part = np.ones_like(at[0]) if exact else np.clip((needed - at[2]) / at[0], 0, 1)
    out: NDArray[np.float64] = (at[3] + part * at[1])[:, 0]
    return out


def _with_floor(name: str, estimate: Estimate, positives: float, negatives: float) -> Estimate:
    if math.isnan(estimate.low):
        return estimate
    own, other = (negatives, positives) if name.endswith("negative") else (positives, negatives)
    if name.startswith("fpr"):
        # The threshold's uncertainty only adds to the binomial one of the rate at it.
        low, high = wilson_bounds(estimate.value, other, level=estimate.level)
        return estimate._replace(low=min(low, estimate.low), high=max(high, estimate.high))
    if name.startswith("aupr") and estimate.value == 1:
        low = perfect_precision_bound(own, other, level=estimate.level)
        return estimate._replace(low=min(low, estimate.low))
    return estimate


def perfect_precision_bound(positives: float, negatives: float, *, level: float = 0.95) -> float:
    r"""Return a lower bound of the average precision when all positives stood above all negatives.

    Two ways in which rows may be misplaced that were not seen, each at the largest share q that m
    clean rows leave possible (:math:`q = 1 - (1-\text{level})^{1/m}`): a share of the positives
    below everything, or a share of the negatives above everything. The lower of the two.

    Example:
        >>> round(perfect_precision_bound(100, 100), 3)
        0.895
    """
    hidden = 1 - (1 - level) ** (1 / positives)
    below = 1 - hidden + hidden * positives / (positives + negatives)
    above = (1 - (1 - level) ** (1 / negatives)) * negatives
    return float(min(below, 1 - above / positives * math.log1p(positives / above)))


def one_class_risk(
    value: float,
    positive: NDArray[np.bool_],
    weights: NDArray[np.float64] | None,
    groups: NDArray[np.generic] | None,
    *,
    level: float,
) -> Estimate:
    """Return the area under risk-coverage where all rows are right, or all are wrong.

    The area is then exactly 0 or 1, and its interval is that of the error rate.
    """
    if len(positive) == 0:
        return undefined("no rows", level=level)
    rate = proportion(positive, weights=weights, groups=groups, level=level)
    what = "every row is a mistake" if rate.value == 1 else "no row is a mistake"
    return rate._replace(value=value, reason=f"{what}: the interval is that of the error rate")
