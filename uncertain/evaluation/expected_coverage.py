r"""What share of targets a central interval would hold if the predictions were right.

It is the interval's level for a continuous distribution, and for predicted quantiles. Otherwise:

- whole numbers: :math:`P(l \le Y \le u)` under the prediction, which is at least the level;
- S draws: the ends are the order statistics i and j, and a target that is exchangeable with the
  draws falls into each of their :math:`S + 1` spacings with the same chance, so that the share is
  :math:`(j - i) / (S + 1)`. Draws that tie with an end hold the targets that tie with it too.

References:
    David and Nagaraja, Order Statistics (2003), section 7.2.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain import families
from uncertain.evaluation.discrete_pit import can_be_drawn, has_steps
from uncertain.evaluation.pit import pooled
from uncertain.families import ArrayDistribution
from uncertain.families.draws import order_statistic
from uncertain.intervals import Estimate, undefined

Scores = NDArray[np.float64]


def expected_coverage(
    distribution: ArrayDistribution,
    ends: tuple[Scores, Scores],
    inner: float,
    *,
    weights: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate | None:
    """Return the coverage of central intervals if the predictions are right, where not their level.

    Args:
        distribution: N predictions over numbers.
        ends: Of their central intervals, (N,) or (N, T) each.
        inner: The intervals' level.
        weights: (N,).
        level: What the row says it is; the figure has no interval.

    Returns:
        The mean over rows, its reason saying what it comes from; undefined for a mixture of samples
        or of quantiles, and for one draw; ``None`` where it is ``inner``.

    Example:
        >>> d = ArrayDistribution("empirical", {"samples": np.arange(20.0)[None]})
        >>> found = expected_coverage(d, (np.array([0.0]), np.array([18.0])), 0.9)
        >>> round(found.value, 3), found.reason                                         # 18/21
        (0.857, 'from 20 draws')
    """
    n = len(distribution)
    if not can_be_drawn(distribution):
        return undefined(
            "a mixture of samples or quantiles: expected coverage unknown", n=n, level=level
        )
    if not has_steps(distribution) or distribution.family == "quantiles":
        return None
    if "samples" in distribution.parameters:
        samples = np.asarray(distribution.parameters["samples"])
        if samples.shape[-1] < 2:
            return undefined("one draw has no central interval", n=n, level=level)
        shares, reason = _between_draws(samples, inner), f"from {samples.shape[-1]} draws"
    else:
        below, _ = families.pit_bounds(distribution, ends[0])
        _, upto = families.pit_bounds(distribution, ends[1])
        shares, reason = upto - below, "from whole numbers"
    values, w, _ = pooled(shares, weights, None)
    mean = float(np.average(values, weights=w))
    return Estimate(mean, math.nan, math.nan, n, level, reason=reason)


def _between_draws(samples: NDArray[np.generic], inner: float) -> Scores:
    """Return the chance of a target between the draws that end each central interval, two or more."""
    x = np.sort(samples, axis=-1)
    count = x.shape[-1]
    low, high = (
        int(order_statistic(np.asarray(round((1 + sign * inner) / 2, 12)), count))
        for sign in (-1, 1)
    )
    # Of S + 1 exchangeable values those beyond an end that equal it, read off S of them.
    beyond_low = (x[..., : low + 1] == x[..., low + 1, None]).sum(axis=-1)
    beyond_high = (x[..., high:] == x[..., high - 1, None]).sum(axis=-1)
    return np.asarray((high - low + beyond_low + beyond_high) / (count + 1))
