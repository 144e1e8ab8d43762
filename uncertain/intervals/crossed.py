r"""Two sources of variation at once: test rows ("items") crossed with training runs.

A score :math:`y_{ki} = \mu + a_k + b_i + e_{ki}` of training k on item i can be averaged over both,
and three questions have three standard errors:

- ``over="items"``: these trained models on *new items*: :math:`V_I = s^2(\bar y_{\cdot i})/N`;
- ``over="trainings"``: *new trainings* on these items: :math:`V_T = s^2(\bar y_{k\cdot})/K`, with
  Student's t on K - 1;
- ``over="both"``: the method on the population: :math:`V_T + V_I - V_E`, where
  :math:`V_E = s_e^2/(KN)` stands in both. It is never taken below either part, and its degrees of
  freedom are Satterthwaite's.

A spread over seeds alone answers the second question only, an interval over test rows the first.

References:
    Brennan, Generalizability theory (2001), chapter 6.
    Satterthwaite, An approximate distribution of estimates of variance components, Biometrics
    Bulletin (1946).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain.checks import check_finite, check_shape
from uncertain.intervals.estimate import NAN, Estimate, check_level, undefined
from uncertain.intervals.means import (
    check_weights,
    group_ids,
    ratio_sums,
    ratio_variance,
    t_estimate,
)


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
    over_both = _both(items, over_trainings, add_components(noise, squares))

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

    return Crossed(
        finish(items, "items"),
        finish(over_trainings, "trainings"),
        finish(over_both, "both"),
    )


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


def _both(items: Component, trainings: Component, noise: Component) -> Component:
    if math.isnan(items.variance) or math.isnan(trainings.variance):
        return Component(NAN, NAN)
    shared = 0.0 if math.isnan(noise.variance) else noise.variance
    total = max(items.variance + trainings.variance - shared, items.variance, trainings.variance)
    spread = items.variance**2 / items.df + trainings.variance**2 / trainings.df
    if shared:
        spread += shared**2 / noise.df
    return Component(total, total * total / spread if spread > 0 else math.inf)


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
