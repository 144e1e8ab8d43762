r"""Intervals of ranking figures from the bootstrap of score bins.

Rows are binned by score: where there are at most 512 distinct scores each is its own bin, else
bins hold equal shares of both classes' mass. A replicate draws the weight of every (bin, class)
cell, so it costs O(bins) whatever the number of rows; within a bin the two classes are taken as
evenly mixed. Replicates scatter about the figure of the *bins*, and that scatter is put round the
exact figure.

Where a figure sits on its bound the bootstrap sees no spread, and an exact bound takes its place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uncertain.evaluation import ranking_sums
from uncertain.evaluation.ranking_sums import (
    COVERAGES,
    RISKS,
    SELECTIVE,
    Ties,
    coverage_name,
    risk_name,
)
from uncertain.intervals import (
    Estimate,
    bootstrap_estimate,
    cell_weights,
    effective_rows,
    gamma_weights,
    group_ids,
    wilson_bounds,
)
from uncertain.intervals.estimate import t_quantile

BINS = 512
FEWEST_GROUPS = 10
"""Below it a bootstrap over groups covers too rarely (about .85 instead of .95 with 3), and says so."""
_BLOCK = 64
NAMES = ("aupr_positive", "aupr_negative", "fpr95_positive", "fpr95_negative", *SELECTIVE)
_BOUNDS = {"augrc": (0.0, 0.5)}


class Rows(NamedTuple):
    """Rows in canonical order: sorted by everything they hold.

    Attributes:
        scores: (N,) ascending.
        positive: (N,) booleans.
        weights: (N,) or ``None``.
        groups: (N,) or ``None``.
    """

    scores: NDArray[np.floating]
    positive: NDArray[np.bool_]
    weights: NDArray[np.float64] | None = None
    groups: NDArray[np.generic] | None = None

    def effective(self, chosen: NDArray[np.bool_] | slice = slice(None)) -> float:
        """Return how many independent rows of weight one the chosen rows are worth."""
        w = np.ones(len(self.scores)) if self.weights is None else self.weights
        groups = None if self.groups is None else self.groups[chosen]
        return effective_rows(w[chosen], groups=groups)


def estimates(
    values: Mapping[str, float],
    ties: Ties,
    rows: Rows | None,
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
        ties: The rows' table of tie groups, both classes present.
        rows: The rows in canonical order; ``None`` where they have neither weights nor groups.
        level: Nominal coverage.
        seed: Of the draws.
        replicates: B.
        tpr: True positive rate of the false positive rates.
        df: How well a variance is known from these rows (that of the AUROC is).
    """
    if rows is None:
        totals, exact = tie_bins(ties)
        drawn = gamma_weights(totals.ravel(), totals.ravel(), replicates=replicates, seed=seed)
        sizes, n_groups = (ties.positives, ties.negatives), None
    else:
        bins, exact = score_bins(rows.scores, rows.positive, rows.weights)
        n_bins = int(bins[-1]) + 1
        cells = 2 * bins + rows.positive
        w, groups = rows.weights, rows.groups
        drawn = cell_weights(
            cells, 2 * n_bins, weights=w, groups=groups, replicates=replicates, seed=seed
        )
        totals = np.bincount(cells, w, minlength=2 * n_bins).astype(np.float64)
        sizes = (rows.effective(rows.positive), rows.effective(~rows.positive))
        n_groups = None if groups is None else int(group_ids(groups).max()) + 1
    shape = (-1, totals.size // 2, 2)
    found = replicate_figures(drawn.reshape(shape), tpr=tpr, exact=exact)
    centre = replicate_figures(totals.reshape(shape), tpr=tpr, exact=exact)
    out = {}
    for name in NAMES:
        estimate = bootstrap_estimate(
            values[name],
            found[name],
            n=ties.rows,
            level=level,
            n_groups=n_groups,
            centre=float(centre[name][0]),
            bounds=_BOUNDS.get(name, (0.0, 1.0)),
            df=df,
        )
        out[name] = _remarked(_with_floor(name, estimate, *sizes))
    return _selective_floors(out, ties, ties.rows if rows is None else rows.effective())


def tie_bins(ties: Ties, *, bins: int = BINS) -> tuple[NDArray[np.float64], bool]:
    """Return the negatives and positives in each bin, (bins, 2), and whether bins are scores.

    The bins are those of :func:`score_bins`, found by bisection instead of row by row.

    Args:
        ties: Of rows without weights, both classes present.
        bins: The largest number of bins.

    Example:
        >>> tie_bins(Ties(np.array([1, 2]), np.array([1, 1]), 3))
        (array([[1., 1.],
               [0., 1.]]), True)
    """
    through = np.stack([ties.down, ties.up], axis=1) if len(ties.up) <= bins else None
    if through is not None:
        return np.diff(through, axis=0, prepend=0).astype(np.float64), True
    before = ties.up[:-1] / (2 * ties.positives)
    before += ties.down[:-1] / (2 * ties.negatives)
    # A tie group goes where it starts; the first one, at mass 0, starts the first bin.
    starts = np.unique(np.searchsorted(before, np.arange(1, bins) / bins))
    starts = starts[starts < len(before)]
    through = np.stack([np.append(x[starts], x[-1]) for x in (ties.down, ties.up)], axis=1)
    return np.diff(through, axis=0, prepend=0).astype(np.float64), False


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
    ups, downs = np.cumsum(up), np.cumsum(w - up)
    before = (ups - up) / (2 * ups[-1]) + (downs - (w - up)) / (2 * downs[-1])
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
            size, below = down + up, below_down + below_up
            out["aurc"][part] = _risk(up, size, below_up, below)
            for name, drawn in _selective(up, size, below_up, below).items():
                out[name][part] = drawn
            out["excess_aurc"][part] = out["aurc"][part] - _oracle(p / (n + p))[:, 0]
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


def _oracle(rate: NDArray[np.float64]) -> NDArray[np.float64]:
    """AURC of a score that accepts all mistakes last, at each error rate."""
    right = 1 - rate
    return rate + right * np.log(np.where(right > 0, right, 1.0))


def _selective(
    wrong: NDArray[np.float64],
    size: NDArray[np.float64],
    wrong_before: NDArray[np.float64],
    before: NDArray[np.float64],
) -> dict[str, NDArray[np.float64]]:
    """AUGRC, risks at coverages and coverages at risks, of each replicate."""
    total = before[:, -1:] + size[:, -1:]
    joint = np.sum(size * (wrong_before + wrong / 2), axis=1) / total[:, 0] ** 2
    out = {"augrc": joint}
    after, wrong_after = before + size, wrong_before + wrong
    for coverage in COVERAGES:
        target = coverage * total
        place = np.argmax(after >= target * (1 - 1e-6), axis=1)[:, None]
        at = [np.take_along_axis(x, place, axis=1) for x in (wrong, size, wrong_before, before)]
        part = np.clip((target - at[3]) / at[1], 0, 1)
        out[risk_name(coverage)] = ((at[2] + part * at[0]) / target)[:, 0]
    for risk in RISKS:
        out[coverage_name(risk)] = _coverage(wrong_after, after, risk)
    return out


def _coverage(
    wrong: NDArray[np.float64], covered: NDArray[np.float64], risk: float
) -> NDArray[np.float64]:
    """Largest coverage with at most ``risk``, interpolated in the bin where the risk crosses it."""
    fits = wrong <= risk * covered
    last = covered.shape[1] - 1 - np.argmax(fits[:, ::-1], axis=1)
    last = np.where(fits.any(axis=1), last, -1)
    rows = np.arange(len(covered))
    e0, c0 = (np.where(last >= 0, x[rows, last], 0.0) for x in (wrong, covered))
    following = np.minimum(last + 1, covered.shape[1] - 1)
    e1, c1 = wrong[rows, following], covered[rows, following]
    rate = np.where(c1 > c0, (e1 - e0) / (c1 - c0), np.inf)
    beyond = np.where(rate > risk, np.maximum(risk * c0 - e0, 0) / (rate - risk), 0.0)
    out: NDArray[np.float64] = (c0 + beyond) / covered[:, -1]
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


def _remarked(estimate: Estimate) -> Estimate:
    """Say on an interval that it rests on few groups."""
    groups = estimate.n_groups
    if groups is None or groups >= FEWEST_GROUPS or estimate.reason or math.isnan(estimate.low):
        return estimate
    return estimate._replace(reason=f"{groups} groups: the interval is too short to be trusted")


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


def _selective_floors(found: dict[str, Estimate], ties: Ties, rows: float) -> dict[str, Estimate]:
    """Widen points of the risk-coverage curve to what the accepted rows alone leave open.

    Where the threshold falls is uncertain too, and only adds to that. The risk at a coverage gets
    at least Wilson's interval; the coverage at a risk at least the inverted score test of the
    risk, without which a curve whose bins lie all above it would leave no doubt.
    """
    share = rows / ties.rows if ties.counts else rows / (ties.positives + ties.negatives)
    for coverage in COVERAGES:
        e = found[risk_name(coverage)]
        if not math.isnan(e.low):
            low, high = wilson_bounds(e.value, coverage * rows, level=e.level)
            found[risk_name(coverage)] = e._replace(low=min(low, e.low), high=max(high, e.high))
    for risk in RISKS:
        e = found[coverage_name(risk)]
        if not math.isnan(e.low):
            z = t_quantile((1 + e.level) / 2, math.inf)
            skew = (z * z - 1) / 6
            # Half a row for counting in whole ones, and the binomial's lean to few mistakes.
            ends = [
                ranking_sums.coverage_at(
                    ties, risk, slack=side * z / math.sqrt(share), more=(skew + side / 2) / share
                )
                for side in (-1, 1)
            ]
            found[coverage_name(risk)] = e._replace(
                low=min(ends[0], e.low), high=max(ends[1], e.high)
            )
    return found


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
