r"""Intervals for means and proportions: plain, weighted and clustered, all from one formula.

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
    Korn and Graubard, Confidence intervals for proportions with small expected number of positive
    counts estimated from survey data, Survey Methodology 24 (1998).
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

_PRIOR_DF = 6.0
"""Degrees of freedom that complete agreement within groups counts for beside the design effect that
was seen. Chosen by simulation (accuracy .5 to .99, groups of 5 and 10, correlation 0 to 1)."""


def wilson(
    successes: float,
    n: float,
    *,
    level: float = 0.95,
    design_effect: float = 1.0,
    df: float = math.inf,
) -> Estimate:
    r"""Return a proportion with Wilson's score interval, corrected next to 0 and 1.

    With one to three successes (or failures) Wilson's interval is a little short on that side: at an
    accuracy of .99 and 100 rows it covers 92 %. There the end is Brown, Cai and DasGupta's Poisson
    bound, the :math:`\lambda / n` with :math:`P(\mathrm{Poisson}(\lambda) \ge x) = 1 - \text{level}`.
    Everywhere else the interval is Wilson's own, which :func:`wilson_bounds` returns.

    Args:
        successes: Count (or weight) of successes, from 0 to ``n``.
        n: Count (or weight) of trials.
        level: Nominal coverage.
        design_effect: Variance of the proportion over that of ``n`` independent rows; the interval
            is Wilson's with ``n / design_effect`` rows. :func:`proportion` estimates it from
            weights and groups.
        df: Degrees of freedom of the estimated design effect; the normal quantile becomes a t one.

    Returns:
        The estimate; with no trials its value is NaN.

    Raises:
        ValueError: Where ``successes`` lies outside [0, n], or the other numbers out of range.

    References:
        Wilson, Probable inference, the law of succession, and statistical inference, JASA (1927).
        Brown, Cai and DasGupta, Interval estimation for a binomial proportion, Statistical Science
        (2001), section 4.1.1.

    Example:
        >>> e = wilson(90, 100)
        >>> round(e.low, 4), round(e.high, 4)
        (0.8256, 0.9448)
    """
    check_level(level)
    check_range("n", n, 0)
    check_range("successes", successes, 0, n)
    check_range("design_effect", design_effect, 0, open_low=True)
    if n == 0:
        return undefined("no rows", level=level)
    low, high = _corrected_bounds(successes / n, n / design_effect, level, df)
    return Estimate(successes / n, low, high, round(n), level)


def wilson_bounds(
    p: float, n: float, *, level: float = 0.95, df: float = math.inf
) -> tuple[float, float]:
    """Return Wilson's bounds for a proportion ``p`` seen in ``n`` (effective) rows.

    Example:
        >>> wilson_bounds(1.0, 50)[1]
        1.0
    """
    z2 = t_quantile((1 + level) / 2, df) ** 2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    # The bounds at p = 0 and 1 are exactly 0 and 1; rounding must not pull them inside.
    low = 0.0 if p == 0 else max(0.0, centre - half)
    high = 1.0 if p == 1 else min(1.0, centre + half)
    return low, high


def _corrected_bounds(p: float, n: float, level: float, df: float) -> tuple[float, float]:
    low, high = wilson_bounds(p, n, level=level, df=df)
    few = (3.0 if n > 50 else 2.0) + 1e-9
    if 0 < p * n <= few:
        low = min(low, _poisson_bound(p * n, 1 - level) / n)
    if 0 < (1 - p) * n <= few:
        high = max(high, 1 - _poisson_bound((1 - p) * n, 1 - level) / n)
    return low, high


def _poisson_bound(x: float, alpha: float) -> float:
    """Return the mean at which x or more events have probability ``alpha``; x may be fractional."""
    low, high = 0.0, x
    for _ in range(60):
        middle = (low + high) / 2
        # The incomplete gamma function's power series, quick for the small means we need.
        term = total = math.exp(x * math.log(middle) - middle - math.lgamma(x + 1))
        k = 0
        while term > 1e-17 * total:
            k += 1
            term *= middle / (x + k)
            total += term
        low, high = (middle, high) if total < alpha else (low, middle)
    return (low + high) / 2


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
    x, w, ids = _rows(values, weights, groups)
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


def proportion(
    hits: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Return a proportion of rows with Wilson's interval at the rows' effective number.

    Without weights and groups this is :func:`wilson`. With them the design effect is the
    cluster-robust variance over the binomial one, with the t quantile at its degrees of freedom.
    It is a poor estimate where few groups hold an error (a plain interval then covers 78 to 93 %),
    so it is drawn towards the effect of groups that agree completely by how little is known of it;
    where all rows agree each group counts as one row.

    Args:
        hits: Row outcomes, (N,): booleans, or numbers in [0, 1].
        weights: Non-negative row weights, (N,).
        groups: Resampling unit of each row, (N,).
        level: Nominal coverage.

    Example:
        >>> hits = np.repeat([True, True, True, False], 25)
        >>> alone = proportion(hits)
        >>> grouped = proportion(hits, groups=np.repeat(np.arange(4), 25))
        >>> bool(grouped.low < alone.low)
        True
    """
    check_level(level)
    x, w, ids = _rows(hits, weights, groups)
    check_range("hits", x, 0, 1)
    if weights is None and groups is None:
        return wilson(float(x.sum()), len(x), level=level)
    totals, sizes = ratio_sums(x, w, ids)
    n_groups = None if ids is None else len(sizes)
    p = float(np.clip(totals.sum() / sizes.sum(), 0, 1))
    if len(sizes) < 2:
        reason = "one group has no spread" if groups is not None else "one row has no spread"
        return undefined(reason, value=p, n=len(x), level=level, n_groups=n_groups)
    effect, df = design_effect(p, totals, sizes, len(x))
    low, high = _corrected_bounds(p, len(x) / effect, level, df)
    return Estimate(p, low, high, len(x), level, n_groups)


def design_effect(
    p: float, totals: NDArray[np.float64], sizes: NDArray[np.float64], rows: int
) -> tuple[float, float]:
    """Return the variance of a clustered proportion over that of independent rows, and its df.

    Args:
        p: The proportion.
        totals: Weighted successes of each group, (G,).
        sizes: Weight of each group, (G,).
        rows: Number of rows; the effect is at least 1.

    Example:
        >>> effect, _ = design_effect(0.5, np.array([5.0, 0.0] * 50), np.full(100, 5.0), 500)
        >>> round(effect, 1)                      # groups of five equal rows
        5.0
    """
    complete = rows * float(np.dot(sizes, sizes)) / float(sizes.sum()) ** 2
    if p in (0.0, 1.0):
        return max(1.0, complete), math.inf
    _, variance, df = ratio_variance(totals, sizes)
    seen = variance * (rows - 1) / (p * (1 - p))
    squares = (totals - p * sizes) ** 2
    total = float(squares.sum())
    noise = float(np.dot(squares, squares)) - total * total / len(squares)
    known = min(2 * total * total / noise, 1e9) if noise > 0 else 1e9
    effect = (known * seen + _PRIOR_DF * max(seen, complete)) / (known + _PRIOR_DF)
    return max(1.0, effect), min(df, known + _PRIOR_DF)


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


def _rows(
    values: ArrayLike, weights: ArrayLike | None, groups: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp] | None]:
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
