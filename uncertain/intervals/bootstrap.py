r"""The bootstrap at the cost of a histogram: replicates of cell weights, and the interval from them.

A statistic of many rows is usually a function of the weight in a few cells (score bins by class,
confidence bins by correctness). One replicate of the *Bayesian* bootstrap gives each independent row
a standard exponential weight, so a cell of c rows gets a Gamma(c) weight, drawn at once: B
replicates cost O(B x cells) whatever the number of rows. No replicate is ever without a class, and
row weights and groups keep their meaning:

- weights: a cell of weights w gets a Gamma of mean :math:`\sum w` and variance :math:`\sum w^2`;
- groups: all rows of a group share its exponential weight, keyed by the group's label, so that two
  models on the same rows get the same replicates and no order of rows changes a bit.

References:
    Rubin, The Bayesian bootstrap, Annals of Statistics (1981).
    Chamandy et al., Estimating uncertainty for massive data streams, Google technical report (2012).
    Wilson and Hilferty, The distribution of chi-square, PNAS (1931): large cells' Gamma weights.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain import keyed
from uncertain.checks import check_range, check_same_length, check_shape
from uncertain.intervals.estimate import (
    Estimate,
    check_level,
    t_quantile,
    t_two_sided,
    undefined,
)
from uncertain.intervals.means import group_ids

_DENSE_ENTRIES = 2**24
"""Groups x cells up to here go through one matrix product (64 MiB of float32)."""


_NORMAL_SHAPE = 64.0
"""Rows of a cell from which its Gamma weight is drawn through a normal, at a third of the time."""
_DRAWN = 64


def cell_weights(
    cells: ArrayLike,
    n_cells: int,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Return bootstrap replicates of the weight in each cell.

    Args:
        cells: The cell of each row, (N,), whole numbers below ``n_cells``.
        n_cells: Number of cells.
        weights: Non-negative row weights, (N,).
        groups: Resampling unit of each row, (N,): labels or row ids. Give row ids to pair
            replicates of two models row by row.
        replicates: B.
        seed: Of the draws.

    Returns:
        (B, n_cells); a cell without rows has weight 0.

    Example:
        >>> w = cell_weights([0, 0, 1, 2, 2, 2], 4, replicates=4000)
        >>> np.round(w.mean(axis=0)), w.shape
        (array([2., 1., 3., 0.], dtype=float32), (4000, 4))
    """
    index = np.asarray(cells)
    check_shape("cells", index, ("N",))
    check_range("cells", index, 0, n_cells - 1)
    check_range("replicates", replicates, 1)
    w = None if weights is None else np.asarray(weights, dtype=np.float64)
    check_same_length(cells=index, weights=w, groups=groups)
    if groups is None:
        totals = np.bincount(index, w, minlength=n_cells).astype(np.float64)
        squares = totals if w is None else np.bincount(index, w * w, minlength=n_cells)
        return gamma_weights(totals, squares.astype(np.float64), replicates=replicates, seed=seed)
    return _grouped(index, n_cells, w, np.asarray(groups), replicates, seed)


def gamma_weights(
    totals: NDArray[np.float64],
    squares: NDArray[np.float64],
    *,
    replicates: int = 1000,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Return replicates of cell weights from their sums: for states that keep no rows.

    Args:
        totals: Sum of row weights in each cell, (n_cells,).
        squares: Sum of squared row weights, (n_cells,); equal to ``totals`` for rows of weight 1.
        replicates: B.
        seed: Of the draws.

    Returns:
        (B, n_cells) independent Gamma variables with mean ``totals`` and variance ``squares``.
    """
    full = squares > 0
    shape = np.zeros(len(totals), dtype=np.float32)
    scale = np.zeros(len(totals), dtype=np.float32)
    shape[full] = totals[full] ** 2 / squares[full]
    scale[full] = squares[full] / totals[full]
    generator = np.random.Generator(np.random.SFC64([seed & 0xFFFFFFFFFFFFFFFF, len(totals)]))
    out = np.empty((replicates, len(shape)), dtype=np.float32)
    many = shape >= _NORMAL_SHAPE
    few = np.flatnonzero(~many)
    if len(few):
        wanted = np.broadcast_to(shape[few], (replicates, len(few)))
        drawn = generator.standard_gamma(wanted, dtype=np.float32)
        if len(few) == len(shape):
            out = drawn
        else:
            out[:, few] = drawn
    if many.any():
        _wilson_hilferty(generator, shape, np.flatnonzero(many), out)
    out *= scale
    return out


def _wilson_hilferty(
    generator: np.random.Generator,
    shape: NDArray[np.float32],
    cells: NDArray[np.intp],
    out: NDArray[np.float32],
) -> None:
    r"""Fill columns with :math:`k (1 - \frac{1}{9k} + \frac{z}{3 \sqrt k})^3` of normal z.

    From a shape k of 64 on, mean, variance and skewness are a Gamma's to within 1e-4, 1e-3 and 1 %.
    """
    k = shape[cells]
    centre, spread = 1 - 1 / (9 * k), 1 / (3 * np.sqrt(k))
    for start in range(0, len(out), _DRAWN):
        z = generator.standard_normal((min(_DRAWN, len(out) - start), len(cells)), dtype=np.float32)
        z *= spread
        z += centre
        cube = z * z
        cube *= z
        cube *= k
        # Ten standard deviations below the mean; a weight is never negative.
        np.maximum(cube, 0, out=cube)
        out[start : start + len(z), cells] = cube


def _grouped(
    index: NDArray[np.integer],
    n_cells: int,
    weights: NDArray[np.float64] | None,
    groups: NDArray[np.generic],
    replicates: int,
    seed: int,
) -> NDArray[np.float32]:
    ids = group_ids(groups)
    n_groups = int(ids.max()) + 1 if len(ids) else 0
    labels = np.empty(n_groups, dtype=groups.dtype)
    labels[ids] = groups
    hashes = _group_hashes(labels, seed)
    if n_groups * n_cells <= _DENSE_ENTRIES:
        table = np.bincount(ids * n_cells + index, weights, minlength=n_groups * n_cells)
        table = table.reshape(n_groups, n_cells).astype(np.float32)
        return np.asarray(keyed.exponential_weights(hashes, replicates) @ table)
    # Rows in cell order: a replicate is one gather and one segmented sum.
    order = np.lexsort((ids, index))
    rows, ordered = ids[order], index[order]
    row_weights = None if weights is None else weights[order].astype(np.float32)
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    out = np.zeros((replicates, n_cells), dtype=np.float32)
    for block in range(0, replicates, 4):
        drawn = keyed.exponential_weights(hashes, min(4, replicates - block), first=block)
        for b, group_weights in enumerate(drawn):
            values = group_weights[rows]
            if row_weights is not None:
                values *= row_weights
            out[block + b, ordered[starts]] = np.add.reduceat(values, starts)
    return out


def _group_hashes(labels: NDArray[np.generic], seed: int) -> NDArray[np.uint64]:
    if labels.dtype.kind == "f":
        return keyed.hash_rows(labels, seed=seed)
    if labels.dtype.kind == "O":
        labels = labels.astype(str)
    return keyed.hash_keys(labels, seed=seed)


def bootstrap_estimate(
    value: float,
    replicates: ArrayLike,
    *,
    n: int,
    level: float = 0.95,
    n_groups: int | None = None,
    centre: float | None = None,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    null: float | None = None,
    df: float = math.inf,
) -> Estimate:
    r"""Return ``value`` with an interval from bootstrap replicates.

    Within finite ``bounds`` the interval is normal on the logit scale, with the replicates' standard
    error there; without them it is normal on the plain scale. Percentiles would need far more
    replicates and cover less in small samples. With few independent rows the t-like factor
    :math:`\sqrt{(n+1)/(n-1)}` corrects the Bayesian bootstrap's variance.

    Args:
        value: The statistic on the data.
        replicates: The statistic on each replicate, (B,); non-finite ones are left out.
        n: Rows.
        level: Nominal coverage.
        n_groups: Independent groups, where rows are grouped.
        centre: What the replicates scatter about, where cells are coarser than rows: the statistic
            on the cells. Default: ``value``.
        bounds: Lowest and highest possible value.
        null: Value to test against; a two-sided p-value is added.
        df: Degrees of freedom of the replicates' spread, where it is known to rest on few rows.

    Example:
        >>> draws = np.random.default_rng(0).normal(0.5, 0.01, 2000)
        >>> e = bootstrap_estimate(0.5, draws, n=1000)
        >>> round(e.low, 2), round(e.high, 2)
        (0.48, 0.52)
    """
    check_level(level)
    draws = np.asarray(replicates, dtype=np.float64)
    draws = draws[np.isfinite(draws)]
    if not math.isfinite(value) or len(draws) < 10:
        reason = "too few defined bootstrap replicates" if math.isfinite(value) else "undefined"
        return undefined(reason, value=value, n=n, level=level, n_groups=n_groups)
    units = n if n_groups is None else n_groups
    factor = math.sqrt((units + 1) / max(1, units - 1))
    middle = value if centre is None else centre
    error = math.sqrt(float(np.mean((draws - draws.mean()) ** 2))) * factor
    z = t_quantile((1 + level) / 2, df)
    p_value = None if null is None else _two_sided(value - null, error, df)
    low, high = bounds
    if error == 0 or not (math.isfinite(low) and math.isfinite(high)):
        ends = (max(low, value - z * error), min(high, value + z * error))
    else:
        ends = _on_logit(value, draws - middle + value, bounds, z * factor)
    return Estimate(value, ends[0], ends[1], n, level, n_groups, p_value)


def _two_sided(distance: float, error: float, df: float) -> float:
    if error == 0:
        return 1.0 if distance == 0 else 0.0
    return t_two_sided(distance / error, df)


def _on_logit(
    value: float, draws: NDArray[np.float64], bounds: tuple[float, float], z: float
) -> tuple[float, float]:
    low, high = bounds
    span = high - low
    # A value on a bound has no logit: the draws' own distance from it sets the smallest step in.
    step = max(float(np.std(draws)) / span / 8, 1e-12)
    share = np.clip((np.append(draws, value) - low) / span, step, 1 - step)
    logits = np.log(share) - np.log1p(-share)
    half = z * float(np.std(logits[:-1]))
    ends = [low + span / (1 + math.exp(-(float(logits[-1]) + side))) for side in (-half, half)]
    return min(ends[0], value), max(ends[1], value)
