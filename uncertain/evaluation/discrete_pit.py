r"""Probability integral transforms where predictions have steps: counts, samples, quantiles.

Where :math:`P(Y = y) > 0` the value :math:`F(y)` of a right prediction is not uniform. What is
known of a row is the interval :math:`[l_i, h_i] = [P(Y < y_i), P(Y \le y_i)]`. Two ways lead back:

- *randomised*: :math:`l_i + v_i (h_i - l_i)` with :math:`v_i` uniform is uniform, but another seed
  gives other values;
- *non-randomised*: each row is spread evenly over its interval,

.. math:: \bar F(u) = \sum_i w_i \min\Big(1, \Big(\frac{u - l_i}{h_i - l_i}\Big)_+\Big),

the mean of the former over all :math:`v`; :math:`E \bar F(u) = u` under right predictions. Rows
without a step (:math:`l_i = h_i`) jump, so that mixed predictions are no special case.

The law of a distance of :math:`\bar F` from the diagonal is had by drawing targets from the
predictions themselves (an exact Monte Carlo test for independent rows). Where that costs too much,
or rows are grouped, the law of continuous predictions is used: the non-randomised curve varies less
than the randomised one, which has that law, so p-values are then on the large side.

References:
    Czado, Gneiting and Held, Predictive model assessment for count data, Biometrics (2009),
    equation (2).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain import families
from uncertain.checks import check_not_empty, check_range, check_same_length, check_shape
from uncertain.families import ArrayDistribution
from uncertain.intervals import check_weights

Scores = NDArray[np.float64]

STEPPED = frozenset({"poisson", "negative_binomial", "bernoulli", "empirical", "quantiles"})
"""Families whose distribution functions have steps."""
_POINTS = frozenset({"empirical", "empirical_sample"})
_NARROW = 1e-7
"""Steps below this are jumps: their slopes would drown the sums."""
_WORK = 400_000
_MOST_ROWS = 10_000
_FEWEST, _MOST = 99, 999


def target_bounds(distribution: ArrayDistribution, target: ArrayLike) -> tuple[Scores, Scores]:
    r"""Return the interval of each target on the scale of PIT values, each (N,) or (N, T).

    For K points a row (``empirical``, ``empirical_sample``) these are the target's ranks among the
    points, :math:`[\#\{x < y\}, \#\{x \le y\} + 1] / (K + 1)`: uniform where target and points are
    exchangeable. For predicted quantiles they are the levels next to the target.

    Args:
        distribution: N predictions over numbers.
        target: (N,) or (N, T).

    Example:
        >>> d = ArrayDistribution("empirical", {"samples": np.array([[1.0, 2.0, 3.0]])})
        >>> [float(end[0]) for end in target_bounds(d, np.array([2.5]))]
        [0.5, 0.75]
    """
    y = np.asarray(target, dtype=np.float64)
    single = distribution.mixture_weights is None
    if distribution.family in _POINTS and single:
        points = np.asarray(distribution.parameters["samples"], dtype=np.float64)
        below, upto = (points < y[..., None]).sum(axis=-1), (points <= y[..., None]).sum(axis=-1)
        count = points.shape[-1] + 1
        return below / count, (upto + 1) / count
    if distribution.family == "quantiles" and single:
        values = np.asarray(distribution.parameters["values"], dtype=np.float64)
        below, upto = (values < y[..., None]).sum(axis=-1), (values <= y[..., None]).sum(axis=-1)
        levels = _padded(distribution)
        # A target that equals a quantile lies below it, in the interval that ends there.
        return levels[below], levels[np.maximum(below + 1, upto)]
    return families.pit_bounds(distribution, y)


def _padded(distribution: ArrayDistribution) -> Scores:
    levels = np.asarray(distribution.parameters["levels"], dtype=np.float64)
    return np.concatenate([[0.0], levels, [1.0]])


def randomised_pit(low: ArrayLike, high: ArrayLike, *, seed: int = 0) -> Scores:
    """Return one uniform draw from each row's interval: uniform under right predictions.

    Args:
        low: P(Y < y) of each row, (N,).
        high: P(Y <= y), (N,); equal to ``low`` where there is no step.
        seed: Of the draws.

    Raises:
        TypeError: For a distribution in place of its bounds.

    Example:
        >>> randomised_pit([0.0, 0.5], [0.5, 0.5], seed=0).round(2)
        array([0.18, 0.5 ])
    """
    a, b = _checked(low, high)
    # A stream of its own: targets drawn with the same seed must not come back here.
    rng = np.random.default_rng([seed, 0x9E3779B9])
    return np.asarray(a + (b - a) * rng.random(a.shape))


class PitCurve(NamedTuple):
    """The non-randomised PIT's distribution function: linear between its knots, with jumps at them.

    Attributes:
        at: Knots from 0 to 1, (K,).
        before: Values just below each knot, (K,).
        after: Values at each knot, (K,).
    """

    at: Scores
    before: Scores
    after: Scores

    def values(self, u: ArrayLike) -> Scores:
        """Return the curve at any points in [0, 1]."""
        where = np.asarray(u, dtype=np.float64)
        k = np.searchsorted(self.at, where, side="right") - 1
        following = np.minimum(k + 1, len(self.at) - 1)
        gap = self.at[following] - self.at[k]
        share = np.divide(where - self.at[k], gap, out=np.zeros_like(where), where=gap > 0)
        return np.asarray(self.after[k] + share * (self.before[following] - self.after[k]))


def pit_curve(low: ArrayLike, high: ArrayLike, *, weights: ArrayLike | None = None) -> PitCurve:
    r"""Return :math:`\bar F`, the distribution function of the non-randomised PIT.

    Args:
        low: P(Y < y) of each row, (N,).
        high: P(Y <= y), (N,); equal to ``low`` where there is no step.
        weights: Non-negative row weights, (N,).

    Raises:
        ValueError: Lengths differ, or an interval leaves [0, 1] or is upside down.

    Example:
        >>> pit_curve([0.0, 0.5], [0.5, 1.0]).values([0.25, 0.5, 0.9])   # right on average
        array([0.25, 0.5 , 0.9 ])
    """
    a, b = _checked(low, high)
    w = check_weights(weights, len(a))
    return _curve(a, b, w / w.sum())


def _checked(low: ArrayLike, high: ArrayLike) -> tuple[Scores, Scores]:
    if isinstance(low, ArrayDistribution) or hasattr(low, "batch_shape"):
        raise TypeError(
            f"`low` should be P(Y < y) of each row, got the distribution {type(low).__name__}: give "
            "`low, high = families.pit_bounds(distribution, target)`, of an ArrayDistribution."
        )
    a, b = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    check_not_empty("low", a)
    check_shape("low", a, ("N",))
    check_same_length(low=a, high=b)
    check_range("low", a, 0, 1 + 1e-9)
    check_range("high", b, 0, 1 + 1e-9)
    if np.any(b < a - 1e-12):
        row = int(np.argmax(b < a - 1e-12))
        raise ValueError(f"`low` should not exceed `high`, got {a[row]} and {b[row]} at row {row}.")
    return np.clip(a, 0, 1), np.clip(b, 0, 1)


def _curve(low: Scores, high: Scores, shares: Scores) -> PitCurve:
    wide = high - low >= _NARROW
    slope = shares[wide] / (high[wide] - low[wide])
    at = np.concatenate([low[wide], high[wide], high[~wide]])
    bends = np.concatenate([slope, -slope, np.zeros(len(at) - 2 * len(slope))])
    jumps = np.concatenate([np.zeros(2 * len(slope)), shares[~wide]])
    # By everything a row holds: sums then have the same bits in any order of the rows.
    order = np.lexsort((bends, jumps, at))
    at, bends, jumps = at[order], bends[order], jumps[order]
    rises = np.cumsum(bends)[:-1] * np.diff(at)
    before = np.concatenate([[0.0], np.cumsum(jumps[:-1] + rises)])
    after = before + jumps
    return PitCurve(
        np.concatenate([[0.0], at, [1.0]]),
        np.concatenate([[0.0], np.clip(before, 0, 1), [1.0]]),
        np.concatenate([[0.0], np.clip(after, 0, 1), [1.0]]),
    )


def largest_gap(curve: PitCurve) -> float:
    """Return the largest distance of the curve from the diagonal (Kolmogorov-Smirnov).

    Example:
        >>> largest_gap(pit_curve([0.5], [0.5]))
        0.5
    """
    return float(max(np.abs(curve.after - curve.at).max(), np.abs(curve.before - curve.at).max()))


def rms_gap(curve: PitCurve) -> float:
    """Return the root mean square distance of the curve from the diagonal (Cramer-von Mises).

    Example:
        >>> round(rms_gap(pit_curve([0.5], [0.5])), 4)                # sqrt(1/12)
        0.2887
    """
    left, right = (curve.after - curve.at)[:-1], (curve.before - curve.at)[1:]
    squares = np.diff(curve.at) / 3 * (left * left + left * right + right * right)
    return float(np.sqrt(max(squares.sum(), 0.0)))


def has_steps(distribution: ArrayDistribution) -> bool:
    """Return whether PIT values of right predictions are not uniform for steps alone."""
    return distribution.family in STEPPED or distribution.family in _POINTS


def can_be_drawn(distribution: ArrayDistribution) -> bool:
    """Return whether the law of a stepped PIT is known: ranks in a mixture of samples are not."""
    pooled = distribution.mixture_weights is not None
    return not (pooled and distribution.family in _POINTS | {"quantiles"})


def null_gaps(
    distribution: ArrayDistribution,
    *,
    weights: ArrayLike | None = None,
    seed: int = 0,
    draws: int | None = None,
) -> NDArray[np.float64]:
    """Return largest and RMS gaps if targets came from the predictions, (B, 2).

    Args:
        distribution: N stepped predictions of one target, their rows independent.
        weights: (N,).
        seed: Of the draws.
        draws: B; by default from 99 to 999, fewer where there are more rows, and none above 10,000.

    Returns:
        (B, 2).
    """
    n = len(distribution)
    if n > _MOST_ROWS and draws is None:
        return np.zeros((0, 2))
    w = check_weights(weights, n)
    shares = w / w.sum()
    draws = int(np.clip(_WORK // n, _FEWEST, _MOST)) if draws is None else draws
    block = max(1, 1_000_000 // n)
    rng = np.random.default_rng(seed)
    found = [
        _gaps(*_drawn(distribution, min(block, draws - start), rng), shares)
        for start in range(0, draws, block)
    ]
    return np.concatenate(found) if found else np.zeros((0, 2))


def _gaps(low: Scores, high: Scores, shares: Scores) -> Scores:
    """Return :func:`largest_gap` and :func:`rms_gap` of many curves at once, (B, 2)."""
    width = high - low
    wide = width >= _NARROW
    slope = np.where(wide, shares / np.where(wide, width, 1.0), 0.0)
    at = np.concatenate([low, high], axis=1)
    bends = np.concatenate([slope, -slope], axis=1)
    jumps = np.concatenate([np.zeros_like(slope), np.where(wide, 0.0, shares)], axis=1)
    order = np.argsort(at, axis=1)
    at, bends, jumps = (np.take_along_axis(x, order, axis=1) for x in (at, bends, jumps))
    edge = np.zeros((len(at), 1))
    rises = np.cumsum(bends, axis=1)[:, :-1] * np.diff(at, axis=1)
    before = np.concatenate([edge, np.cumsum(jumps[:, :-1] + rises, axis=1)], axis=1)
    after = before + jumps
    knots = np.concatenate([edge, at, edge + 1], axis=1)
    left = np.concatenate([edge, after - at], axis=1)
    right = np.concatenate([before - at, edge], axis=1)
    squares = np.diff(knots, axis=1) / 3 * (left * left + left * right + right * right)
    largest = np.maximum(np.abs(left).max(axis=1), np.abs(right).max(axis=1))
    return np.stack([largest, np.sqrt(np.maximum(squares.sum(axis=1), 0.0))], axis=1)


def _drawn(
    distribution: ArrayDistribution, draws: int, rng: np.random.Generator
) -> tuple[Scores, Scores]:
    """Return the intervals of targets drawn from the predictions, each (draws, N)."""
    shape = (draws, len(distribution))
    if distribution.family in _POINTS:
        count = distribution.parameters["samples"].shape[-1] + 1
        ranks = rng.integers(0, count, shape)
        return ranks / count, (ranks + 1) / count
    if distribution.family == "quantiles":
        levels = _padded(distribution)
        place = np.searchsorted(levels, rng.random(shape), side="right") - 1
        return levels[place], levels[place + 1]
    return families.pit_bounds(distribution, families.sample(distribution, rng, draws))
