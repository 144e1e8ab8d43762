r"""Two sources of variation at once: test rows ("items") crossed with training runs.

A score :math:`y_{ki} = \mu + a_k + b_i + e_{ki}` of training k on item i can be averaged over both,
and three questions have three standard errors:

- ``over="items"``: these trained models on *new items*: :math:`V_I = s^2(\bar y_{\cdot i})/N`;
- ``over="trainings"``: *new trainings* on these items: :math:`V_T = s^2(\bar y_{k\cdot})/K`, with
  Student's t on K - 1;
- ``over="both"``: the method on the population: :math:`V_I + V_A` with :math:`V_A = (V_T - V_E)_+`,
  since :math:`V_E = s_e^2/(KN)` stands in both parts. Each part keeps the t quantile of its own
  degrees of freedom: the half-width is :math:`\sqrt{t_I^2 V_I + t_T^2 V_A}`, the modified large-sample
  interval. Satterthwaite's single number of degrees of freedom is estimated from the few trainings
  that it should correct for, and covers .87 to .92 instead of .95 where two or three trainings differ
  most (``benchmarks/interval_coverage.py``).

A spread over seeds alone answers the second question only, an interval over test rows the first.

References:
    Brennan, Generalizability theory (2001), chapter 6.
    Graybill and Wang, Confidence intervals on nonnegative linear combinations of variances, J. Amer.
    Statist. Assoc. 75 (1980), for the combination of limits.
    Satterthwaite, An approximate distribution of estimates of variance components, Biometrics
    Bulletin (1946), for parts of one kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain.checks import check_finite, check_shape
from uncertain.intervals.estimate import (
    NAN,
    Estimate,
    check_level,
    t_quantile,
    t_two_sided,
    undefined,
)
from uncertain.intervals.means import (
    check_weights,
    group_ids,
    ratio_sums,
    ratio_variance,
    t_estimate,
)

CLAIM_TRAININGS = 10
"""Fewest trainings that a claim about methods should rest on: below, a spread is a rumour.

The standard deviation of K trainings is itself uncertain by about ``1 / sqrt(2 (K - 1))``: half of it
at three trainings, a quarter at ten.
"""


class Component(NamedTuple):
    """A variance of the mean and its degrees of freedom; NaN where it cannot be estimated."""

    variance: float
    df: float


class Crossed(NamedTuple):
    """A mean over trainings and items with its three intervals.

    Attributes:
        items: Over new items, these trainings.
        trainings: Over new trainings, these items; undefined with one training.
        both: Over both; undefined with one training.
    """

    items: Estimate
    trainings: Estimate
    both: Estimate


def crossed(
    scores: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    null: float | None = None,
) -> Crossed:
    """Return the mean of scores crossed over trainings and items, with all three intervals.

    Args:
        scores: (K, N): one row a training, one column an item. For a difference of two models
            trained with shared seeds, give the difference of their scores; for independent
            trainings use :func:`crossed_difference`.
        weights: Item weights, (N,).
        groups: Resampling unit of each item, (N,).
        level: Nominal coverage.
        null: A value to test against, each way.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> y = rng.normal(size=(5, 1)) + rng.normal(size=(1, 400))     # trainings differ most
        >>> found = crossed(y)
        >>> 2 * found.items.margin < found.trainings.margin
        True
    """
    return crossed_contrast([scores], [1.0], weights=weights, groups=groups, level=level, null=null)


def crossed_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> Crossed:
    """Return the mean difference of two models on the same items, trained independently.

    Args:
        first: (K, N) scores of the first model.
        second: (L, N) scores of the second, on the same items.
        weights: Item weights, (N,).
        groups: Resampling unit of each item, (N,).
        level: Nominal coverage.

    Returns:
        ``mean(first) - mean(second)``, with p-values against no difference.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> a, b = rng.normal(0.1, 1, (10, 5000)), rng.normal(0, 1, (10, 5000))
        >>> bool(crossed_difference(a, b).both.p_value < 0.01)
        True
    """
    return crossed_contrast(
        [first, second], [1.0, -1.0], weights=weights, groups=groups, level=level, null=0.0
    )


def crossed_contrast(
    models: Sequence[ArrayLike],
    signs: Sequence[float],
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    null: float | None = None,
) -> Crossed:
    """Return a signed sum of models' means: items are shared by all, trainings by none.

    Args:
        models: One (K_m, N) array a model.
        signs: One factor a model.
        weights: Item weights, (N,).
        groups: Resampling unit of each item, (N,).
        level: Nominal coverage.
        null: A value to test against.
    """
    check_level(level)
    tables = [np.asarray(table, dtype=np.float64) for table in models]
    n_items = tables[0].shape[-1] if tables[0].ndim else 0
    for table in tables:
        check_shape("scores", table, ("K", n_items), hint="trainings by items, the same items")
        check_finite("scores", table)
    w = check_weights(weights, n_items)
    ids = None if groups is None else group_ids(groups)
    n_groups = None if ids is None else int(ids.max()) + 1
    item_scores = sum(s * t.mean(axis=0) for s, t in zip(signs, tables, strict=True))
    value, *item_part = _item_component(np.asarray(item_scores), w, ids)
    items = Component(*item_part)
    trainings = [_training_component(table, w) for table in tables]
    noise = [_noise_component(table, w, ids) for table in tables]
    squares = [s * s for s in signs]
    over_trainings = add_components(trainings, squares)
    unshared = _without(over_trainings, add_components(noise, squares))

    def finish(part: Component, over: str) -> Estimate:
        if math.isnan(part.variance):
            reason = "one training has no spread" if over != "items" else "one item has no spread"
            return undefined(
                reason, value=value, n=n_items, level=level, n_groups=n_groups, over=over
            )
        return t_estimate(
            value,
            part.variance,
            part.df,
            n=n_items,
            level=level,
            n_groups=n_groups,
            null=null,
            over=over,
        )

    both = finish(over_trainings, "both")
    if not (math.isnan(items.variance) or math.isnan(unshared.variance)):
        both = _combined(both, items, unshared, null)
    return Crossed(finish(items, "items"), finish(over_trainings, "trainings"), both)


def over_trainings(
    values: ArrayLike, *, level: float = 0.95, n: int = 0, null: float | None = None
) -> Estimate:
    """Return the mean of one figure a training, with Student's t over trainings.

    For metrics that are not means of row scores (AUROC, ECE); ``values`` may be differences of two
    models trained with shared seeds.

    Args:
        values: (K,).
        level: Nominal coverage.
        n: Rows behind each figure.
        null: A value to test against.

    Example:
        >>> e = over_trainings([0.91, 0.92, 0.93])
        >>> e.over, round(e.low, 3)
        ('trainings', 0.895)
    """
    x = np.asarray(values, dtype=np.float64)
    check_shape("values", x, ("K",))
    check_finite("values", x)
    check_level(level)
    if len(x) < 2:
        value = float(x[0]) if len(x) else NAN
        reason = "one training has no spread" if len(x) else "no trainings"
        return undefined(reason, value=value, n=n, level=level, over="trainings")
    variance = float(x.var(ddof=1)) / len(x)
    return t_estimate(
        float(x.mean()), variance, len(x) - 1, n=n, level=level, null=null, over="trainings"
    )


def add_components(parts: Sequence[Component], factors: Sequence[float]) -> Component:
    """Add independent variances (each times its factor) with Satterthwaite's degrees of freedom.

    Example:
        >>> add_components([Component(1.0, 9.0), Component(1.0, 9.0)], [1.0, 1.0])
        Component(variance=2.0, df=18.0)
    """
    scaled = [(f * part.variance, part.df) for f, part in zip(factors, parts, strict=True) if f]
    total = sum(v for v, _ in scaled)
    spread = sum(v * v / df for v, df in scaled)
    if math.isnan(total):
        return Component(NAN, NAN)
    return Component(total, total * total / spread if spread > 0 else math.inf)


def _without(trainings: Component, noise: Component) -> Component:
    """Return the part of the variance over trainings that the variance over items does not hold."""
    shared = 0.0 if math.isnan(noise.variance) else noise.variance
    return Component(max(trainings.variance - shared, 0.0), trainings.df)


def _combined(
    centre: Estimate, first: Component, second: Component, null: float | None
) -> Estimate:
    """Return the interval of two independent parts, each with its own degrees of freedom."""
    parts = [part for part in (first, second) if part.variance > 0]
    p = (1 + centre.level) / 2
    half = math.sqrt(sum(part.variance * t_quantile(p, part.df) ** 2 for part in parts))
    p_value = None if null is None else _combined_p(abs(centre.value - null), parts)
    value = centre.value
    return centre._replace(low=value - half, high=value + half, p_value=p_value)


def _combined_p(distance: float, parts: Sequence[Component]) -> float:
    """Return the p at which the combined interval ends at ``distance`` from its centre."""
    total = sum(part.variance for part in parts)
    if total == 0 or distance == 0:
        return 0.0 if distance else 1.0
    t = distance / math.sqrt(total)

    def excess(log_p: float) -> float:
        tail = min(math.exp(log_p) / 2, 0.5)
        reach = sum(part.variance * t_quantile(tail, part.df) ** 2 for part in parts)
        return reach / distance**2 - 1

    # The combined quantile lies between those of the parts: so does p.
    ends = sorted(math.log(max(t_two_sided(t, part.df), 1e-300)) for part in parts)
    return min(math.exp(_root(excess, ends[0], ends[-1])), 1.0)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a decreasing function is 0, by false position (Illinois) in a bracket."""
    at_low, at_high = function(low), function(high)
    for _ in range(100):
        if at_low <= 0 or high - low < 1e-9:
            return low
        if at_high >= 0:
            return high
        middle = high - at_high * (high - low) / (at_high - at_low)
        at_middle = function(middle)
        if abs(at_middle) < 1e-9:
            return middle
        if at_middle > 0:
            low, at_low, at_high = middle, at_middle, at_high / 2
        else:
            high, at_high, at_low = middle, at_middle, at_low / 2
    return (low + high) / 2


def _item_component(
    scores: NDArray[np.float64], weights: NDArray[np.float64], ids: NDArray[np.intp] | None
) -> tuple[float, float, float]:
    return ratio_variance(*ratio_sums(scores, weights, ids))


def _training_component(table: NDArray[np.float64], weights: NDArray[np.float64]) -> Component:
    trainings = len(table)
    if trainings < 2:
        return Component(NAN, NAN)
    means = table @ (weights / weights.sum())
    return Component(float(means.var(ddof=1)) / trainings, trainings - 1.0)


def _noise_component(
    table: NDArray[np.float64], weights: NDArray[np.float64], ids: NDArray[np.intp] | None
) -> Component:
    """Variance of the mean due to the interaction of trainings and items alone."""
    trainings = len(table)
    if trainings < 2:
        return Component(NAN, NAN)
    means = table @ (weights / weights.sum())
    residual = table - means[:, None] - (table - means[:, None]).mean(axis=0)
    parts = [_item_component(row, weights, ids) for row in residual]
    variance = sum(v for _, v, _ in parts) / (trainings - 1) / trainings
    df = parts[0][2] * (trainings - 1)
    return Component(variance, df)
