r"""How good are predictions of numbers: scores, coverage and calibration, each with its interval.

| figure | what it averages, lower is better unless said |
|---|---|
| ``nll`` | minus the log density (nats, in y's units; joint over several targets) |
| ``crps`` | continuous ranked probability score (y's units) |
| ``rmse`` | root of the mean squared error of the *mean* |
| ``mae`` | absolute error of the *median*, which is what minimises it |
| ``coverage`` | rows inside the central interval of the given level (best: the level itself) |
| ``interval_score`` | width plus :math:`2/\alpha` times the miss, of that interval |
| ``sharpness`` | width of that interval; only comparable at equal coverage |
| ``pit_ks`` | largest distance of the PIT values' distribution from the uniform one |

Several targets a row (N, T) are averaged within the row for scores, and pooled for coverage and PIT
with the row as the group. A family that has no such figure gives an undefined one with the reason.

References:
    Gneiting and Raftery, Strictly proper scoring rules, prediction, and estimation, JASA (2007).
    Gneiting, Balabdaoui and Raftery, Probabilistic forecasts, calibration and sharpness, JRSS B
    (2007).
    Massart, The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality, Annals of Probability
    (1990).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain import families
from uncertain.checks import (
    check_finite,
    check_not_empty,
    check_range,
    check_same_length,
    check_shape,
)
from uncertain.families import ArrayDistribution
from uncertain.intervals import (
    Estimate,
    check_level,
    check_weights,
    effective_rows,
    group_ids,
    mean,
    proportion,
    undefined,
    wilson_bounds,
)

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Levels of the central intervals that are reported."""

DISCRETE = frozenset({"poisson", "negative_binomial", "bernoulli", "empirical", "quantiles"})
"""Families whose PIT values are not uniform even when the predictions are right."""


class MissingLevelError(ValueError):
    """Predicted quantiles do not reach a level that a figure needs."""


Scores = NDArray[np.float64]
Figure = tuple[str, str, str, Estimate]


def regression_estimates(
    distribution: ArrayDistribution,
    target: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> list[Figure]:
    """Return every regression figure with its interval.

    Args:
        distribution: N predictions over numbers.
        target: (N,), or (N, T) for T targets a row.
        weights: Non-negative row weights, (N,).
        groups: Resampling unit of each row, (N,).
        level: Nominal coverage of the figures' own intervals.
        seed: Kept for the common signature of the judge; nothing here is random.

    Returns:
        (metric, variant, kind, estimate); the variant is the level of central intervals, else empty.

    Raises:
        ValueError: For wrong lengths, NaN or infinite targets.

    Example:
        >>> y = np.random.default_rng(0).normal(size=500)
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(500), "scale": np.ones(500)})
        >>> found = {(m, v): e for m, v, _, e in regression_estimates(d, y)}
        >>> found["coverage", "0.9"].low < 0.9 < found["coverage", "0.9"].high
        True
    """
    check_level(level)
    y = _target(distribution, target)
    n = len(y)
    check_weights(weights, n)
    check_same_length(target=y, groups=groups)
    n_groups = None if groups is None else len(np.unique(np.asarray(groups)))

    def averaged(scores: Callable[[], Scores]) -> Estimate:
        return _or_undefined(
            lambda: mean(_by_row(scores()), weights=weights, groups=groups, level=level),
            n,
            level,
            n_groups,
        )

    found: list[Figure] = [
        ("nll", "", "estimate", averaged(lambda: -families.log_prob(distribution, y))),
        ("crps", "", "estimate", averaged(lambda: families.crps(distribution, y))),
        ("rmse", "", "estimate", root(averaged(lambda: squared_errors(distribution, y)))),
        ("mae", "", "estimate", averaged(lambda: absolute_errors(distribution, y))),
    ]
    for inner in LEVELS:
        ends = _ends(distribution, inner)
        figures = {
            "coverage": _or_undefined(
                partial(_covered, ends, y, weights, groups, level), n, level, n_groups
            ),
            "interval_score": averaged(partial(_interval_scores, ends, y, inner)),
            "sharpness": averaged(partial(_widths, ends)),
        }
        found += [(name, f"{inner:g}", "estimate", figure) for name, figure in figures.items()]
    pit = _or_undefined(
        lambda: pit_ks(distribution, y, weights=weights, groups=groups, level=level),
        n,
        level,
        n_groups,
    )
    return [*found, ("pit_ks", "", "estimate", pit)]


def central_interval(distribution: ArrayDistribution, level: float) -> tuple[Scores, Scores]:
    r"""Return the ends of the central interval: the quantiles :math:`(1 \mp \text{level}) / 2`.

    Args:
        distribution: N predictions.
        level: In (0, 1).

    Returns:
        Lower and upper ends, (N,) or (N, T).

    Raises:
        TypeError: For families without quantiles.
        MissingLevelError: For ``quantiles`` predictions that lack these levels.

    Example:
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(1), "scale": np.ones(1)})
        >>> [round(float(end[0]), 3) for end in central_interval(d, 0.95)]
        [-1.96, 1.96]
    """
    check_range("level", level, 0, 1, open_low=True, open_high=True)
    # (1 - 0.8) / 2 is a rounding error below 0.1, the lowest level that may have been predicted.
    low, high = round((1 - level) / 2, 12), round((1 + level) / 2, 12)
    return _quantile(distribution, low), _quantile(distribution, high)


def coverage(
    ends: tuple[ArrayLike, ArrayLike],
    target: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Return the share of targets inside closed intervals, with Wilson's interval.

    Args:
        ends: Lower and upper ends, (N,) or (N, T) each.
        target: Of the same shape.
        weights: (N,).
        groups: (N,); T targets of a row are one group where none is given.
        level: Nominal coverage of Wilson's interval.

    Example:
        >>> coverage(([0.0, 0.0], [1.0, 1.0]), [0.5, 2.0]).value
        0.5
    """
    low, high = (np.asarray(end, dtype=np.float64) for end in ends)
    y = np.asarray(target, dtype=np.float64)
    check_same_length(low=low, high=high, target=y)
    hits, w, ids = _pooled((low <= y) & (y <= high), weights, groups)
    found = proportion(hits, weights=w, groups=ids, level=level)
    return found._replace(n=len(y), n_groups=None if groups is None else found.n_groups)


def interval_scores(
    ends: tuple[ArrayLike, ArrayLike], target: ArrayLike, *, level: float
) -> Scores:
    r"""Return the interval score of each target, proper for the central interval.

    .. math:: (u - l) + \frac{2}{\alpha}(l - y)_+ + \frac{2}{\alpha}(y - u)_+,
        \qquad \alpha = 1 - \text{level}

    Args:
        ends: Lower and upper ends, (N,) or (N, T) each.
        target: Of the same shape.
        level: The intervals' level.

    Example:
        >>> interval_scores(([0.0, 0.0], [1.0, 1.0]), [0.5, 2.0], level=0.5)
        array([1., 5.])
    """
    check_range("level", level, 0, 1, open_low=True, open_high=True)
    low, high = (np.asarray(end, dtype=np.float64) for end in ends)
    y = np.asarray(target, dtype=np.float64)
    miss = np.maximum(low - y, 0) + np.maximum(y - high, 0)
    out: Scores = high - low + 2 / (1 - level) * miss
    return out


def root(squared: Estimate) -> Estimate:
    """Return the square root of a mean square, its interval by the delta method on the log scale.

    The log keeps the interval above zero, and a mean of squares is more nearly log-normal.

    Example:
        >>> root(Estimate(4.0, 3.0, 5.0, n=100)).value
        2.0
    """
    value = math.sqrt(squared.value) if squared.value >= 0 else math.nan
    if math.isnan(squared.low) or value == 0:
        return squared._replace(value=value)
    factor = math.exp(squared.margin / (2 * squared.value))
    return squared._replace(value=value, low=value / factor, high=value * factor)


def pit_ks(
    distribution: ArrayDistribution,
    target: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    r"""Return the Kolmogorov-Smirnov distance of the PIT values from uniform.

    The p-value is Kolmogorov's with Stephens' finite-sample correction; the interval is Massart's,
    :math:`D \pm \sqrt{\log(2/\alpha)/(2n)}`, valid for any truth. With weights or groups n is their
    effective number, a group counting as one row (conservative). Discrete predictions have no
    uniform PIT, so no p-value is given.

    Args:
        distribution: N predictions over numbers.
        target: (N,) or (N, T).
        weights: (N,).
        groups: (N,).
        level: Of Massart's interval.

    Example:
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(400), "scale": np.ones(400)})
        >>> shifted = np.random.default_rng(0).normal(0.5, 1, 400)
        >>> pit_ks(d, shifted).p_value < 1e-6
        True
    """
    check_level(level)
    y = _target(distribution, target)
    values = families.pit(distribution, y)
    u, w, ids = _pooled(values, weights, groups)
    shares = check_weights(w, len(u))
    order = np.lexsort((shares, u))
    u, shares = u[order], shares[order] / shares.sum()
    above = np.cumsum(shares)
    distance = float(max(np.max(above - u), np.max(u - (above - shares)), 0.0))
    n = effective_rows(check_weights(w, len(u)), groups=ids)
    discrete = distribution.family in DISCRETE
    p_value = None if discrete else kolmogorov_p_value(distance, n)
    slack = math.sqrt(math.log(2 / (1 - level)) / (2 * n))
    reason = "discrete predictions: PIT values are not uniform" if discrete else ""
    n_groups = None if groups is None else int(group_ids(groups).max()) + 1
    return Estimate(
        distance,
        max(0.0, distance - slack),
        min(1.0, distance + slack),
        len(y),
        level,
        n_groups,
        p_value,
        reason,
    )


def kolmogorov_p_value(distance: float, n: float) -> float:
    """Return the chance of a Kolmogorov-Smirnov distance this large among n uniform values.

    References:
        Stephens, Use of the Kolmogorov-Smirnov, Cramer-von Mises and related statistics without
        extensive tables, JRSS B (1970).

    Example:
        >>> round(kolmogorov_p_value(1.358 / 100, 10_000), 2)
        0.05
    """
    from scipy.special import kolmogorov

    scaled = distance * (math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n))
    return float(kolmogorov(scaled))


class PitHistogram(NamedTuple):
    """Shares of PIT values in equal bins, and where they would lie for calibrated predictions.

    Attributes:
        edges: (bins + 1,).
        share: Share of the weight in each bin, (bins,).
        low: Wilson's lower bound of each share, (bins,).
        high: Upper bound, (bins,).
    """

    edges: Scores
    share: Scores
    low: Scores
    high: Scores


def pit_histogram(
    distribution: ArrayDistribution,
    target: ArrayLike,
    *,
    bins: int = 20,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> PitHistogram:
    """Return the histogram of PIT values with an interval a bin.

    A constant predicted scale, or all PIT values in one bin, are ordinary cases.

    Args:
        distribution: N predictions over numbers.
        target: (N,) or (N, T).
        bins: Number of equal bins on [0, 1].
        weights: (N,).
        groups: (N,).
        level: Nominal coverage of each bin's interval.

    Example:
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(3), "scale": np.ones(3)})
        >>> pit_histogram(d, np.array([-1.0, 0.1, 1.0]), bins=2).share.round(2)
        array([0.33, 0.67])
    """
    check_range("bins", bins, 1)
    y = _target(distribution, target)
    u, w, ids = _pooled(families.pit(distribution, y), weights, groups)
    shares = check_weights(w, len(u))
    place = np.minimum((u * bins).astype(np.intp), bins - 1)
    share = np.bincount(place, shares, minlength=bins) / shares.sum()
    n = effective_rows(shares, groups=ids)
    ends = np.array([wilson_bounds(float(min(p, 1.0)), n, level=level) for p in share])
    return PitHistogram(np.linspace(0, 1, bins + 1), share, ends[:, 0], ends[:, 1])


def _target(distribution: ArrayDistribution, target: ArrayLike) -> Scores:
    y = np.asarray(target, dtype=np.float64)
    check_not_empty("target", y)
    check_shape("target", y, (len(distribution), *distribution.event_shape), hint="one a row")
    check_finite("target", y)
    return y


def _quantile(distribution: ArrayDistribution, q: float) -> Scores:
    try:
        return families.quantile(distribution, q)
    except ValueError as error:
        # The level is ours and in range: only predicted quantiles can refuse it.
        raise MissingLevelError(str(error)) from error


def squared_errors(distribution: ArrayDistribution, y: Scores) -> Scores:
    """Return the squared error of the predicted mean for each target.

    Raises:
        TypeError: Where a prediction has no finite mean.

    Example:
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(1), "scale": np.ones(1)})
        >>> squared_errors(d, np.array([3.0]))
        array([9.])
    """
    centre = families.mean(distribution)
    if not np.isfinite(centre).all():
        raise TypeError(f"{int((~np.isfinite(centre)).sum())} predictions have no finite mean")
    out: Scores = (centre - y) ** 2
    return out


def absolute_errors(distribution: ArrayDistribution, y: Scores) -> Scores:
    """Return the absolute error of the predicted median for each target.

    Raises:
        TypeError: For families without quantiles.
        MissingLevelError: For ``quantiles`` predictions that do not reach the median.

    Example:
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(1), "scale": np.ones(1)})
        >>> absolute_errors(d, np.array([-3.0]))
        array([3.])
    """
    out: Scores = np.abs(_quantile(distribution, 0.5) - y)
    return out


def _ends(distribution: ArrayDistribution, level: float) -> Callable[[], tuple[Scores, Scores]]:
    """The central interval on demand, computed once for the three figures that need it."""
    kept: list[tuple[Scores, Scores]] = []

    def ends() -> tuple[Scores, Scores]:
        if not kept:
            kept.append(central_interval(distribution, level))
        return kept[0]

    return ends


def _covered(
    ends: Callable[[], tuple[Scores, Scores]],
    y: Scores,
    weights: ArrayLike | None,
    groups: ArrayLike | None,
    level: float,
) -> Estimate:
    return coverage(ends(), y, weights=weights, groups=groups, level=level)


def _interval_scores(ends: Callable[[], tuple[Scores, Scores]], y: Scores, level: float) -> Scores:
    return interval_scores(ends(), y, level=level)


def _widths(ends: Callable[[], tuple[Scores, Scores]]) -> Scores:
    low, high = ends()
    return high - low


def _by_row(scores: Scores) -> Scores:
    return scores if scores.ndim == 1 else scores.reshape(len(scores), -1).mean(axis=1)


def _pooled(
    values: NDArray[np.generic], weights: ArrayLike | None, groups: ArrayLike | None
) -> tuple[NDArray[np.generic], NDArray[np.float64] | None, NDArray[np.intp] | None]:
    """T targets a row as N T rows, the row (or its group) as the resampling unit."""
    n, targets = len(values), values.size // max(1, len(values))
    w = None if weights is None else np.repeat(np.asarray(weights, dtype=np.float64), targets)
    ids = None if groups is None else np.repeat(group_ids(groups), targets)
    if ids is None and targets > 1:
        ids = np.repeat(np.arange(n), targets)
    return values.reshape(-1), w, ids


def _or_undefined(
    figure: Callable[[], Estimate], n: int, level: float, n_groups: int | None
) -> Estimate:
    """A family that cannot answer raises TypeError, one that lacks a level ValueError."""
    try:
        return figure()
    except (TypeError, MissingLevelError) as error:
        return undefined(str(error).rstrip("."), n=n, level=level, n_groups=n_groups)
