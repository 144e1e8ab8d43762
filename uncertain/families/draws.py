"""Distributions given by points: an empirical one, a sample from an unseen one, and quantiles.

``empirical`` is itself the prediction (equal mass on K points). ``empirical_sample`` holds K draws
from a prediction that was never written down; the two differ in the CRPS only, where the second
takes the unbiased ("fair") form. ``quantiles`` says where the quantile function passes at Q levels;
between them it is linear, and beyond them nothing is known.
"""

from __future__ import annotations

import numpy as np

from .structure import Array, Parameters, f64


def _samples(p: Parameters) -> Array:
    return f64(p["samples"])


def empirical_cdf(p: Parameters, y: Array) -> Array:
    """Return the share of points at or below y."""
    return f64((_samples(p) <= f64(y)[..., None]).mean(axis=-1))


def empirical_pit_bounds(p: Parameters, y: Array) -> tuple[Array, Array]:
    """Return the shares of points below y and at or below y."""
    return f64((_samples(p) < f64(y)[..., None]).mean(axis=-1)), empirical_cdf(p, y)


def order_statistic(q: Array, count: int) -> Array:
    """Return the place among ``count`` sorted points, from 0, of the quantile q."""
    # k / K * K may round up past k: an ulp is forgiven, so that quantile(cdf(x)) = x.
    rank = np.ceil(f64(q) * count * (1 - 4 * np.finfo(float).eps)) - 1
    return np.asarray(np.clip(rank, 0, count - 1), dtype=np.int64)


def empirical_quantile(p: Parameters, q: Array) -> Array:
    """Return the smallest point whose share of points at or below it reaches q."""
    samples = np.sort(_samples(p), axis=-1)
    count = samples.shape[-1]
    rank = order_statistic(q, count)[..., None]
    samples = samples[(None,) * (rank.ndim - samples.ndim)]
    return f64(np.take_along_axis(samples, rank, axis=-1)[..., 0])


def empirical_mean(p: Parameters) -> Array:
    """Return the mean of the points."""
    return f64(_samples(p).mean(axis=-1))


def empirical_variance(p: Parameters) -> Array:
    """Return the variance of the points, with divisor K: the points are the distribution."""
    return f64(_samples(p).var(axis=-1))


def sample_variance(p: Parameters) -> Array:
    """Return the unbiased variance, with divisor K - 1: the points are draws."""
    return f64(_samples(p).var(axis=-1, ddof=1))


def empirical_sample(p: Parameters, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Draw points with replacement."""
    samples = _samples(p)
    rank = rng.integers(samples.shape[-1], size=shape)[..., None]
    samples = samples[(None,) * (rank.ndim - samples.ndim)]
    return f64(np.take_along_axis(samples, rank, axis=-1)[..., 0])


def _pair_sum(samples: Array) -> Array:
    """Return sum_kl |x_k - x_l| over all ordered pairs, from the sorted points."""
    ordered = np.sort(samples, axis=-1)
    count = ordered.shape[-1]
    # Centring first: the coefficients sum to zero, and large common offsets would cost digits.
    ordered = ordered - ordered[..., :1]
    return f64(2 * (ordered * (2 * np.arange(count) - count + 1)).sum(axis=-1))


def empirical_crps(p: Parameters, y: Array) -> Array:
    """Return mean |x - y| - sum_kl |x_k - x_l| / (2 K^2): the score of the ecdf itself."""
    samples = _samples(p)
    first = np.abs(samples - f64(y)[..., None]).mean(axis=-1)
    return f64(first - 0.5 * _pair_sum(samples) / samples.shape[-1] ** 2)


def fair_crps(p: Parameters, y: Array) -> Array:
    """Return mean |x - y| - sum_kl |x_k - x_l| / (2 K (K - 1)): unbiased for what was sampled.

    References:
        C. A. T. Ferro, "Fair scores for ensemble forecasts", 2014.
    """
    samples = _samples(p)
    count = samples.shape[-1]
    first = np.abs(samples - f64(y)[..., None]).mean(axis=-1)
    return f64(first - 0.5 * _pair_sum(samples) / (count * (count - 1)))


def pooled(p: Parameters, w: Array) -> tuple[Array, Array]:
    """Return all members' points, sorted, with their weights: (..., S K) each."""
    samples = _samples(p)
    weights = np.broadcast_to((f64(w) / samples.shape[-1])[..., None], samples.shape)
    flat = samples.reshape(*samples.shape[:-2], samples.shape[-2] * samples.shape[-1])
    order = np.argsort(flat, axis=-1, kind="stable")
    weights = weights.reshape(flat.shape)
    return (
        np.take_along_axis(flat, order, axis=-1),
        np.take_along_axis(weights, order, axis=-1),
    )


def pooled_quantile(p: Parameters, w: Array, q: Array) -> Array:
    """Return the smallest point of any member whose pooled mass at or below it reaches q."""
    points, weights = pooled(p, w)
    cumulative = np.cumsum(weights, axis=-1)
    # Twelve digits of slack for the order of summation, so that quantile(cdf(x)) = x.
    rank = (cumulative < f64(q)[..., None] - 1e-12).sum(axis=-1, keepdims=True)
    rank = np.minimum(rank, points.shape[-1] - 1)
    points = points[(None,) * (rank.ndim - points.ndim)]
    return f64(np.take_along_axis(points, rank, axis=-1)[..., 0])


def pooled_crps(p: Parameters, w: Array, y: Array) -> Array:
    """Return the CRPS of the pooled ecdf of a mixture of empirical distributions."""
    points, weights = pooled(p, w)
    points = points - f64(y)
    first = (weights * np.abs(points)).sum(axis=-1)
    cumulative = np.cumsum(weights, axis=-1)
    total = cumulative[..., -1:]
    pairs = 2 * (weights * points * (2 * cumulative - weights - total)).sum(axis=-1)
    return f64(first - 0.5 * pairs)


def pooled_fair_crps(p: Parameters, w: Array, y: Array) -> Array:
    """Return the fair CRPS of a mixture of samples: no point is paired with itself.

    The expected distance between two draws splits over pairs of members; between different members
    every pair of points is fair, within one the divisor is K (K - 1).
    """
    samples = _samples(p)
    count = samples.shape[-1]
    excess = 1 / (count * (count - 1)) - 1 / count**2
    within = (f64(w) ** 2 * _pair_sum(samples)).sum(axis=-1) * excess
    return f64(pooled_crps(p, w, y) - 0.5 * within)


def quantiles_bounds(p: Parameters, y: Array) -> tuple[Array, Array]:
    """Return what is known of P(Y <= y): an interval beyond the outer quantiles and at ties.

    Below the lowest quantile the interval is [0, lowest level], above the highest [highest level,
    1]; between two quantiles it is one value by linear interpolation; where several quantiles
    share the value y it spans their levels.
    """
    values, levels = f64(p["values"]), f64(p["levels"])
    y = f64(y)[..., None]
    below = (values < y).sum(axis=-1)
    upto = (values <= y).sum(axis=-1)
    count = levels.shape[-1]
    tied = upto > below
    padded = np.concatenate([[0.0], levels, [1.0]])
    left, right = padded[below], padded[np.minimum(below + 1, count + 1)]
    inner = (below > 0) & (below < count)
    shape = np.broadcast_shapes(values.shape[:-1], y.shape[:-1])
    values = np.broadcast_to(values, (*shape, count))
    at = np.broadcast_to(below, shape)[..., None]
    under = np.take_along_axis(values, np.clip(at - 1, 0, count - 1), axis=-1)[..., 0]
    over = np.take_along_axis(values, np.clip(at, 0, count - 1), axis=-1)[..., 0]
    gap = np.where(inner & (over > under), over - under, 1.0)
    between = left + (right - left) * (y[..., 0] - under) / gap
    low = np.where(tied, right, np.where(inner, between, left))
    high = np.where(tied, padded[upto], np.where(inner, between, right))
    return f64(low), f64(high)


def quantiles_cdf(p: Parameters, y: Array) -> Array:
    """Return the cdf by interpolation between quantiles; 0 below the lowest, 1 above the highest.

    At the outer quantiles themselves it is their level. The mass beyond them has no known place;
    0 and 1 are its limits, and :func:`pit` uses the middle of what is possible.
    """
    high = quantiles_bounds(p, y)[1]
    values = f64(p["values"])
    return f64(np.where(y < values[..., 0], 0.0, np.where(y > values[..., -1], 1.0, high)))


def quantiles_quantile(p: Parameters, q: Array) -> Array:
    """Return the linear interpolation of the quantile function between the given levels."""
    values, levels = f64(p["values"]), f64(p["levels"])
    q = f64(q)
    if q.size and (q.min() < levels[0] or q.max() > levels[-1]):
        worst = float(q.min() if q.min() < levels[0] else q.max())
        raise ValueError(
            f"`q` should lie within the predicted levels [{levels[0]:g}, {levels[-1]:g}], got "
            f"{worst:g}: quantile predictions say nothing about their tails."
        )
    if len(levels) == 1:
        return f64(np.broadcast_to(values[..., 0], np.broadcast_shapes(q.shape, values.shape[:-1])))
    index = np.clip(np.searchsorted(levels, q, side="left") - 1, 0, len(levels) - 2)
    fraction = (q - levels[index]) / (levels[index + 1] - levels[index])
    shape = np.broadcast_shapes(q.shape, values.shape[:-1])
    values = np.broadcast_to(values, (*shape, len(levels)))
    at = np.broadcast_to(index, shape)[..., None]
    low = np.take_along_axis(values, at, axis=-1)[..., 0]
    high = np.take_along_axis(values, at + 1, axis=-1)[..., 0]
    return f64(low + fraction * (high - low))


def quantiles_crps(p: Parameters, y: Array) -> Array:
    """Return twice the mean pinball loss over the levels: an approximation of the CRPS.

    The CRPS is twice the integral of the pinball loss over all levels. The mean over Q levels is
    its midpoint rule where the levels are (i - 1/2) / Q, and otherwise weighs the levels as given.
    """
    error = f64(y)[..., None] - f64(p["values"])
    levels = f64(p["levels"])
    return f64(2 * np.maximum(levels * error, (levels - 1) * error).mean(axis=-1))
