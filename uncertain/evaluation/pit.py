r"""Probability integral transforms: where each target fell in its own predicted distribution.

Under right predictions of continuous targets the values are uniform; a U of them is over-confidence,
a hump under-confidence, a slope a bias.

References:
    Gneiting, Balabdaoui and Raftery, Probabilistic forecasts, calibration and sharpness, JRSS B
    (2007).
    Massart, The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality, Annals of Probability
    (1990).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain import families
from uncertain.checks import check_finite, check_not_empty, check_range, check_shape
from uncertain.families import ArrayDistribution
from uncertain.intervals import (
    Estimate,
    check_level,
    check_weights,
    effective_rows,
    group_ids,
    wilson_bounds,
)

Scores = NDArray[np.float64]

DISCRETE = frozenset({"poisson", "negative_binomial", "bernoulli", "empirical", "quantiles"})
"""Families whose PIT values are not uniform even when the predictions are right."""


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
    y = checked_target(distribution, target)
    values = families.pit(distribution, y)
    u, w, ids = pooled(values, weights, groups)
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
    y = checked_target(distribution, target)
    u, w, ids = pooled(families.pit(distribution, y), weights, groups)
    shares = check_weights(w, len(u))
    place = np.minimum((u * bins).astype(np.intp), bins - 1)
    share = np.bincount(place, shares, minlength=bins) / shares.sum()
    n = effective_rows(shares, groups=ids)
    ends = np.array([wilson_bounds(float(min(p, 1.0)), n, level=level) for p in share])
    return PitHistogram(np.linspace(0, 1, bins + 1), share, ends[:, 0], ends[:, 1])


def checked_target(distribution: ArrayDistribution, target: ArrayLike) -> Scores:
    """Return targets as float64, checked for shape, NaN and infinities.

    Example:
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(2), "scale": np.ones(2)})
        >>> checked_target(d, [1, 2])
        array([1., 2.])
    """
    y = np.asarray(target, dtype=np.float64)
    check_not_empty("target", y)
    check_shape("target", y, (len(distribution), *distribution.event_shape), hint="one a row")
    check_finite("target", y)
    return y


def pooled(
    values: NDArray[np.generic], weights: ArrayLike | None, groups: ArrayLike | None
) -> tuple[NDArray[np.generic], NDArray[np.float64] | None, NDArray[np.intp] | None]:
    """T targets a row as N T rows, the row (or its group) as the resampling unit."""
    n, targets = len(values), values.size // max(1, len(values))
    w = None if weights is None else np.repeat(np.asarray(weights, dtype=np.float64), targets)
    ids = None if groups is None else np.repeat(group_ids(groups), targets)
    if ids is None and targets > 1:
        ids = np.repeat(np.arange(n), targets)
    return values.reshape(-1), w, ids
