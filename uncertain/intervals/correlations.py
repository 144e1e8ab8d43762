r"""Rank correlations with an interval that makes no assumption about the two variables.

Spearman's coefficient is the correlation of the ranks (mean ranks in ties). Its interval comes from
the delete-a-block jackknife on Fisher's scale :math:`z = \operatorname{artanh} r`: rows (or whole
groups) fall into at most 100 blocks by a hash of their place among the distinct units, one block at
a time is left out, ranks and all, and

.. math::
    \hat V = \frac{K - 1}{K} \sum_k (z_{(k)} - \bar z)^2, \qquad
    z \pm t_{K-1} \sqrt{\hat V}.

Axis letters: ``N`` rows, ``K`` blocks.

References:
    Efron and Stein, The jackknife estimate of variance, Annals of Statistics (1981).
    Fisher, On the probable error of a coefficient of correlation, Metron (1921).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain import keyed
from uncertain.checks import check_finite, check_same_length, check_shape
from uncertain.intervals.estimate import (
    Estimate,
    check_level,
    t_quantile,
    t_two_sided,
    undefined,
)
from uncertain.intervals.means import group_ids

BLOCKS = 100
LEAST_UNITS = 4
"""With three rows a rank correlation left one out is always -1 or 1."""


def rank_correlation(
    a: ArrayLike, b: ArrayLike, *, groups: ArrayLike | None = None, level: float = 0.95
) -> Estimate:
    """Return Spearman's rank correlation of two columns.

    Args:
        a: (N,) finite.
        b: (N,) finite.
        groups: Resampling unit of each row, (N,).
        level: Nominal coverage.

    Returns:
        The estimate in [-1, 1]; undefined where a column is constant, and without an interval where
        the ranks agree perfectly or fewer than four rows or groups are there.

    Raises:
        ValueError: For wrong lengths, NaN or infinite values.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=400)
        >>> found = rank_correlation(x, np.exp(x + rng.normal(size=400)))
        >>> found.low < 6 / math.pi * math.asin(math.sqrt(0.5) / 2) < found.high
        True
    """
    x, y = _column("a", a), _column("b", b)
    check_same_length(a=x, b=y, groups=groups)
    return _estimate(
        lambda rows: spearman(x[rows], y[rows]), len(x), groups, level, scale=math.atanh
    )


def rank_correlation_difference(
    a: ArrayLike,
    b: ArrayLike,
    c: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Return how much better ``a`` is correlated with ``c`` than ``b`` is, on the same rows.

    Args:
        a: (N,) finite.
        b: (N,) finite.
        c: (N,) finite: what both are held against.
        groups: Resampling unit of each row, (N,).
        level: Nominal coverage.

    Returns:
        Spearman(a, c) - Spearman(b, c), in [-2, 2], with a two-sided p-value of a true difference
        of 0.

    Raises:
        ValueError: As :func:`rank_correlation`.

    Example:
        >>> x = np.arange(50.0)
        >>> rank_correlation_difference(x, -x, x).value
        2.0
    """
    x, y, z = _column("a", a), _column("b", b), _column("c", c)
    check_same_length(a=x, b=y, c=z, groups=groups)
    return _estimate(
        lambda rows: spearman(x[rows], z[rows]) - spearman(y[rows], z[rows]),
        len(x),
        groups,
        level,
        scale=None,
    )


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return Spearman's coefficient, NaN where a column is constant.

    Example:
        >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 9.0]))
        1.0
    """
    x, y = _mean_ranks(a), _mean_ranks(b)
    x, y = x - x.mean(), y - y.mean()
    spread = math.sqrt(float(x @ x) * float(y @ y))
    return min(1.0, max(-1.0, float(x @ y) / spread)) if spread else math.nan


def _mean_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: NDArray[np.float64] = (ends - (counts - 1) / 2)[place]
    return ranks


def _estimate(
    statistic: Callable[[NDArray[np.bool_]], float],
    n: int,
    groups: ArrayLike | None,
    level: float,
    *,
    scale: Callable[[float], float] | None,
) -> Estimate:
    check_level(level)
    ids = None if groups is None else group_ids(np.asarray(groups))
    n_groups = None if ids is None else int(ids.max()) + 1
    value = statistic(np.ones(n, np.bool_)) if n else math.nan
    if math.isnan(value):
        reason = "a column is constant" if n else "no rows"
        return undefined(reason, n=n, level=level, n_groups=n_groups)
    if (n if n_groups is None else n_groups) < LEAST_UNITS:
        unit = "rows" if n_groups is None else "groups"
        reason = f"fewer than {LEAST_UNITS} {unit} have no spread"
        return undefined(reason, value=value, n=n, level=level, n_groups=n_groups)
    if scale is not None and abs(value) == 1:
        return undefined("the ranks agree", value=value, n=n, level=level, n_groups=n_groups)
    block = _blocks(n, ids)
    left_out = np.array([statistic(block != k) for k in range(int(block.max()) + 1)])
    # A block that holds all of a column's variety leaves a constant behind, or perfect agreement.
    if not np.isfinite(left_out).all() or (scale is not None and (np.abs(left_out) == 1).any()):
        reason = "the figure rests on one row or group"
        return undefined(reason, value=value, n=n, level=level, n_groups=n_groups)
    low, high, p_value = _jackknife(value, left_out, level, scale)
    return Estimate(value, low, high, n, level, n_groups, p_value)


def _jackknife(
    value: float,
    left_out: NDArray[np.float64],
    level: float,
    scale: Callable[[float], float] | None,
) -> tuple[float, float, float | None]:
    """Return the ends of the interval and the p-value of a true value of 0."""
    parts = left_out if scale is None else np.arctanh(left_out)
    centre = value if scale is None else scale(value)
    k = len(parts)
    error = math.sqrt((k - 1) / k * float(np.square(parts - parts.mean()).sum()))
    if error == 0:
        return value, value, None
    reach = t_quantile((1 + level) / 2, k - 1) * error
    ends = centre - reach, centre + reach
    p_value = t_two_sided(centre / error, k - 1)
    if scale is None:
        return max(-2.0, ends[0]), min(2.0, ends[1]), p_value
    return math.tanh(ends[0]), math.tanh(ends[1]), p_value


def _blocks(n: int, ids: NDArray[np.intp] | None) -> NDArray[np.intp]:
    """Return the block of each row: units are dealt out in the order of their hashes."""
    units = np.arange(n) if ids is None else ids
    count = int(units.max()) + 1
    order = np.argsort(keyed.hash_keys(np.arange(count)), kind="stable")
    block = np.empty(count, np.intp)
    block[order] = np.arange(count) % min(BLOCKS, count)
    return np.asarray(block[units], dtype=np.intp)


def _column(name: str, values: ArrayLike) -> NDArray[np.float64]:
    column = np.asarray(values, dtype=np.float64)
    check_shape(name, column, ("N",))
    check_finite(name, column)
    return column
