r"""Intervals for means: plain, weighted and clustered, all from one formula.

Write a row score's weighted sum in group :math:`g` as :math:`A_g`, its weight as :math:`W_g`, the
share :math:`h_g = W_g / \sum W` and :math:`\hat\theta = \sum A_g / \sum W_g`. Then

.. math::
    \hat V = \sum_g \frac{(A_g - \hat\theta W_g)^2}{(\sum W)^2 (1 - h_g)}, \qquad
    \nu = \Big(\sum h_g^2 + \big(\sum c_g\big)^2 - \sum c_g^2\Big)^{-1},\;
    c_g = \frac{h_g^2}{1 - h_g}

is the bias-reduced linearisation (CR2) variance of a weighted mean and its Satterthwaite degrees of
freedom. Groups of equal weight give the ordinary ``s^2 / G`` and ``G - 1``; single rows of weight
one give Student's t. A row of weight k equals k copies of it *in one group*: weights never pretend
to more independent rows than there are.

References:
    Bell and McCaffrey, Bias reduction in standard errors for linear regression with multi-stage
    samples, Survey Methodology 28 (2002).
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain.checks import (
    check_finite,
    check_not_empty,
    check_range,
    check_same_length,
    check_shape,
)
from uncertain.intervals.estimate import (
    NAN,
    Estimate,
    check_level,
    t_quantile,
    t_two_sided,
    undefined,
)


def mean_t(
    n: float,
    total: float | Fraction,
    squares: float | Fraction,
    *,
    level: float = 0.95,
) -> Estimate:
    """Return a mean of row scores with Student's t interval, from three sums.

    Args:
        n: Number of rows.
        total: Sum of the scores. Exact sums (``fractions.Fraction``) are kept exact, so that the
            variance below loses no digits; :func:`mean` centres first and needs no such care.
        squares: Sum of their squares.
        level: Nominal coverage.

    Returns:
        The estimate. An infinite total gives an infinite value without an interval.

    Example:
        >>> e = mean_t(4, 10, 30)          # 1, 2, 3, 4
        >>> e.value, round(e.low, 4)
        (2.5, 0.4457)
    """
    check_level(level)
    check_range("n", n, 0)
    if n == 0:
        return undefined("no rows", level=level)
    value = float(total / n) if math.isfinite(total) else float(total)
    if not (math.isfinite(total) and math.isfinite(squares)):
        return undefined("a row score is not finite", value=value, n=round(n), level=level)
    if n < 2:
        return undefined("one row has no spread", value=value, n=1, level=level)
    variance = max(0.0, float(squares - total * total / _same(total, n))) / (n - 1)
    return t_estimate(value, variance / n, n - 1, n=round(n), level=level)


def mean(
    values: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    null: float | None = None,
) -> Estimate:
    """Return a (weighted) mean of row scores with its t or cluster-robust t interval.

    Args:
        values: Row scores, (N,). ``inf`` is allowed and gives an infinite mean, NaN is an error.
        weights: Non-negative row weights, (N,); their scale does not matter.
        groups: Resampling unit of each row, (N,): whatever shares a value is dependent.
        level: Nominal coverage.
        null: A true mean to test against: 0 for the paired differences of two models.

    Returns:
        The estimate; ``n_groups`` is set where groups were given.

    Raises:
        ValueError: For wrong lengths, NaN or negative weights.

    Example:
        >>> rows = np.array([1.0, 2.0, 3.0, 4.0])
        >>> twice = mean(np.repeat(rows, 2), groups=np.repeat(np.arange(4), 2))
        >>> round(twice.low, 4) == round(mean(rows).low, 4)      # copies bring no information
        True
    """
    check_level(level)
    x, w, ids = checked_rows(values, weights, groups)
    n_groups = None if ids is None else int(ids.max()) + 1
    if np.isinf(x).any():
        count = int(np.isinf(x[w > 0]).sum())
        if count:
            infinite = x[np.isinf(x) & (w > 0)]
            value = float(infinite[0]) if np.ptp(np.sign(infinite)) == 0 else NAN
            reason = f"{count} of {len(x)} row scores are infinite"
            return undefined(reason, value=value, n=len(x), level=level, n_groups=n_groups)
        x = np.where(w > 0, x, 0.0)
    # Centring first: sums of A - theta W lose digits where the mean is large against the spread.
    centre = float(np.dot(w, x) / w.sum())
    sums = ratio_sums(x - centre, w, ids)
    found = ratio_t(*sums, n=len(x), level=level, n_groups=n_groups, null=_shifted(null, centre))
    return found._replace(
        value=found.value + centre, low=found.low + centre, high=found.high + centre
    )


def effective_rows(weights: ArrayLike, *, groups: ArrayLike | None = None) -> float:
    r"""Return Kish's number of independent rows, :math:`(\sum w)^2 / \sum w^2`, groups as one row.

    Args:
        weights: Non-negative row weights, (N,).
        groups: Resampling unit of each row, (N,); its weights are added first.

    Example:
        >>> effective_rows([1.0, 1.0, 2.0]), effective_rows([1.0, 1.0, 2.0], groups=[0, 0, 1])
        (2.6666666666666665, 2.0)
    """
    sizes = np.asarray(weights, dtype=np.float64)
    if groups is not None:
        sizes = np.bincount(group_ids(groups), sizes).astype(np.float64)
    squares = float(np.dot(sizes, sizes))
    return float(sizes.sum()) ** 2 / squares if squares > 0 else 0.0


def ratio_sums(
    values: NDArray[np.float64], weights: NDArray[np.float64], ids: NDArray[np.intp] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weighted sum of ``values`` and of one, a group; each row its own without ``ids``.

    Groups of weight 0 are left out.
    """
    totals, sizes = weights * values, weights
    if ids is not None:
        totals = np.bincount(ids, totals).astype(np.float64)
        sizes = np.bincount(ids, sizes).astype(np.float64)
    kept = sizes > 0
    return (totals, sizes) if kept.all() else (totals[kept], sizes[kept])


def ratio_variance(
    totals: NDArray[np.float64], sizes: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Return ``sum(totals) / sum(sizes)``, its CR2 variance and Satterthwaite degrees of freedom.

    Args:
        totals: Weighted sum of scores of each group, (G,).
        sizes: Weight of each group, (G,), positive.

    Example:
        >>> value, variance, df = ratio_variance(np.array([1.0, 2.0, 3.0, 4.0]), np.ones(4))
        >>> value, round(variance * 4, 6), round(df, 9)       # the sample variance, and G - 1
        (2.5, 1.666667, 3.0)
    """
    total = float(sizes.sum())
    value = float(totals.sum()) / total
    share = sizes / total
    if len(sizes) < 2 or share.max() >= 1:
        return value, NAN, NAN
    residual = (totals - value * sizes) / total
    variance = float(np.dot(residual, residual / (1 - share)))
    c = share * share / (1 - share)
    df = 1 / float(np.dot(share, share) + c.sum() ** 2 - np.dot(c, c))
    return value, variance, df


def ratio_t(
    totals: ArrayLike,
    sizes: ArrayLike,
    *,
    n: int,
    level: float = 0.95,
    n_groups: int | None = None,
    null: float | None = None,
) -> Estimate:
    """Return a ratio of group sums with its cluster-robust t interval.

    Args:
        totals: Weighted sum of scores of each group, (G,).
        sizes: Weight of each group, (G,), positive.
        n: Rows behind the sums.
        level: Nominal coverage.
        n_groups: What to report as the number of groups; ``None`` where each row is its own.
        null: A true ratio to test against.

    Example:
        >>> e = ratio_t([3.0, 5.0], [2.0, 2.0], n=4, n_groups=2)
        >>> e.value, e.n_groups
        (2.0, 2)
    """
    check_level(level)
    a, s = np.asarray(totals, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    check_same_length(totals=a, sizes=s)
    check_range("sizes", s, 0, open_low=True)
    if len(s) == 0:
        return undefined("no rows", n=n, level=level, n_groups=n_groups)
    value, variance, df = ratio_variance(a, s)
    if math.isnan(variance):
        reason = "one group has no spread" if n_groups is not None else "one row has no spread"
        return undefined(reason, value=value, n=n, level=level, n_groups=n_groups)
    return t_estimate(value, variance, df, n=n, level=level, n_groups=n_groups, null=null)


def t_estimate(
    value: float,
    variance: float,
    df: float,
    *,
    n: int,
    level: float = 0.95,
    n_groups: int | None = None,
    null: float | None = None,
    over: str = "items",
) -> Estimate:
    """Return ``value`` with a t interval; with ``null``, also the p-value of that true value.

    Args:
        value: The estimate.
        variance: Of the estimate, not of one row.
        df: Degrees of freedom of the variance.
        n: Rows behind it.
        level: Nominal coverage.
        n_groups: Groups behind it, if any.
        null: The value to test against.
        over: What varies.

    Example:
        >>> t_estimate(0.0, 1.0, 10, n=11, null=0.0).p_value
        1.0
    """
    error = math.sqrt(variance)
    half = t_quantile((1 + level) / 2, df) * error
    p_value = None
    if null is not None:
        distance = value - null
        t = distance / error if error > 0 else (math.inf if distance else 0.0)
        p_value = t_two_sided(t, df)
    return Estimate(value, value - half, value + half, n, level, n_groups, p_value, "", over)


def group_ids(groups: ArrayLike) -> NDArray[np.intp]:
    """Return groups as whole numbers 0..G-1 in sorted order of their labels (order-invariant).

    Example:
        >>> group_ids(["b", "a", "b"])
        array([1, 0, 1])
    """
    labels = np.asarray(groups)
    check_shape("groups", labels, ("N",))
    check_finite("groups", labels)
    if labels.dtype.kind in "iu" and labels.size:
        # Whole numbers in a small range need no sort: a million rows in 5 ms instead of 80.
        low, high = int(labels.min()), int(labels.max())
        if high - low < 4 * labels.size + 1024:
            seen = np.bincount(labels - low, minlength=1) > 0
            return np.asarray((np.cumsum(seen) - 1)[labels - low], dtype=np.intp)
    _, ids = np.unique(labels, return_inverse=True)
    return np.asarray(ids, dtype=np.intp).reshape(-1)


def check_weights(weights: ArrayLike | None, n: int) -> NDArray[np.float64]:
    """Return row weights as float64 (ones where ``None``), checked.

    Raises:
        ValueError: For a wrong length, negative or non-finite weights, or weights that are all 0.
    """
    if weights is None:
        return np.ones(n)
    w = np.asarray(weights, dtype=np.float64)
    check_shape("weights", w, (n,), hint="one weight a row")
    check_finite("weights", w)
    check_range("weights", w, 0)
    if n and not w.any():
        raise ValueError("`weights` should have a positive entry, got only zeros.")
    return w


def checked_rows(
    values: ArrayLike, weights: ArrayLike | None, groups: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp] | None]:
    """Return row scores, weights and group numbers, checked and in canonical order.

    Example:
        >>> checked_rows([2.0, 1.0], None, None)[0]
        array([1., 2.])
    """
    x = np.asarray(values, dtype=np.float64)
    check_shape("values", x, ("N",))
    check_not_empty("values", x)
    if np.isnan(x).any():
        raise ValueError(
            f"`values` should have no NaN, got {int(np.isnan(x).sum())} of {x.size}, the first at "
            f"row {int(np.argmax(np.isnan(x)))}."
        )
    w = check_weights(weights, len(x))
    ids = None if groups is None else group_ids(groups)
    check_same_length(values=x, groups=ids)
    # In canonical order the sums below have the same bits whatever the order of the rows.
    if weights is None and ids is None:
        return np.sort(x), w, None
    order = np.lexsort((w, x) if ids is None else (w, x, ids))
    return x[order], w[order], None if ids is None else ids[order]


def _shifted(null: float | None, by: float) -> float | None:
    return None if null is None else null - by


def _same(like: float | Fraction, n: float) -> float | Fraction:
    """``n`` in the arithmetic of ``like``, so that exact sums stay exact."""
    return Fraction(n) if isinstance(like, Fraction) else n
