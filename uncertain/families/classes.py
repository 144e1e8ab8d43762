"""Class families: categorical, Bernoulli and Dirichlet-categorical, from log-probabilities.

Nothing is clamped: a class of probability zero scores minus infinity.
"""

from __future__ import annotations

import numpy as np

from .structure import Array, Parameters, f64, log, neg_x_log_x


def categorical_log_probs(p: Parameters) -> Array:
    """Return (..., C) log-probabilities of a categorical held as ``logits`` or ``probs``."""
    return f64(p["logits"]) if "logits" in p else log(p["probs"])


def categorical_log_prob(p: Parameters, y: Array) -> Array:
    """Return log P(Y = y): one value a row is read, so a wide float32 table is never copied."""
    table = p["logits"] if "logits" in p else p["probs"]
    table = table[(None,) * (y.ndim + 1 - table.ndim)]
    picked = np.take_along_axis(table, y[..., None].astype(np.int64), axis=-1)[..., 0]
    return f64(picked) if "logits" in p else log(picked)


def entropy_of(log_probs: Array) -> Array:
    """Return the entropy in nats of (..., C) log-probabilities."""
    return f64(neg_x_log_x(log_probs).sum(axis=-1))


def categorical_entropy(p: Parameters) -> Array:
    """Return -sum p log p."""
    return entropy_of(categorical_log_probs(p))


def sample_classes(log_probs: Array, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Draw class indices of the given batch shape by inverting the cumulative probabilities."""
    cumulative = np.cumsum(np.exp(log_probs), axis=-1)
    # Scaling by the last entry keeps rounding from ever naming a class past the end, and `>` (not
    # `>=`) from naming one of probability zero.
    level = rng.random(shape)[..., None] * cumulative[..., -1:]
    return np.asarray((level >= cumulative).sum(axis=-1), dtype=np.int64)


def categorical_sample(p: Parameters, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Draw class indices."""
    return sample_classes(categorical_log_probs(p), rng, shape)


def bernoulli_log_probs(p: Parameters) -> Array:
    """Return (..., 2): log P(Y = 0), log P(Y = 1)."""
    if "logits" in p:
        logits = f64(p["logits"])
        both = (-np.logaddexp(0.0, logits), -np.logaddexp(0.0, -logits))
    else:
        probs = f64(p["probs"])
        with np.errstate(divide="ignore"):
            both = (np.log1p(-probs), np.log(probs))
    return np.stack(both, axis=-1)


def bernoulli_log_prob(p: Parameters, y: Array) -> Array:
    """Return log P(Y = y)."""
    log_probs = bernoulli_log_probs(p)
    one = np.asarray(y) != 0
    return np.where(one, log_probs[..., 1], log_probs[..., 0])


def bernoulli_mean(p: Parameters) -> Array:
    """Return P(Y = 1)."""
    if "probs" in p:
        return f64(p["probs"])
    return np.asarray(np.exp(bernoulli_log_probs(p)[..., 1]))


def bernoulli_variance(p: Parameters) -> Array:
    """Return p (1 - p)."""
    return np.asarray(np.exp(bernoulli_log_probs(p).sum(axis=-1)))


def bernoulli_entropy(p: Parameters) -> Array:
    """Return the binary entropy in nats."""
    return entropy_of(bernoulli_log_probs(p))


def bernoulli_cdf(p: Parameters, y: Array) -> Array:
    """Return 0 below 0, 1 - p from 0, and 1 from 1."""
    zero = np.exp(bernoulli_log_probs(p)[..., 0])
    return np.where(y < 0, 0.0, np.where(y < 1, zero, 1.0))


def bernoulli_quantile(p: Parameters, q: Array) -> Array:
    """Return 0 up to level 1 - p and 1 above it."""
    return np.where(q <= np.exp(bernoulli_log_probs(p)[..., 0]), 0.0, 1.0)


def bernoulli_crps(p: Parameters, y: Array) -> Array:
    """Return (p - y)^2 for y in [0, 1]."""
    one = bernoulli_mean(p)
    outside = np.maximum(y - 1, 0) + np.maximum(-y, 0)
    y = np.clip(y, 0.0, 1.0)
    return f64((1 - one) ** 2 * y + one**2 * (1 - y) + outside)


def bernoulli_pit_bounds(p: Parameters, y: Array) -> tuple[Array, Array]:
    """Return P(Y < y) and P(Y <= y)."""
    return bernoulli_cdf(p, np.ceil(y) - 1), bernoulli_cdf(p, y)


def bernoulli_sample(p: Parameters, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Draw 0 or 1."""
    return sample_classes(bernoulli_log_probs(p), rng, shape)


def dirichlet_log_probs(p: Parameters) -> Array:
    """Return log(a / sum a): a class drawn from a Dirichlet draw is categorical at its mean."""
    concentration = f64(p["concentration"])
    return log(concentration) - log(concentration.sum(axis=-1, keepdims=True))


def dirichlet_log_prob(p: Parameters, y: Array) -> Array:
    """Return log(a_y / sum a)."""
    return categorical_log_prob({"logits": dirichlet_log_probs(p)}, y)


def dirichlet_entropy(p: Parameters) -> Array:
    """Return the entropy of the predictive distribution a / sum a."""
    return entropy_of(dirichlet_log_probs(p))


def dirichlet_sample(p: Parameters, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Draw class indices from the predictive distribution."""
    return sample_classes(dirichlet_log_probs(p), rng, shape)


def dirichlet_parts(p: Parameters) -> tuple[Array, Array]:
    """Return the expected entropy and the mutual information of class and Dirichlet draw.

    E H = -sum_c (a_c / a_0) (psi(a_c + 1) - psi(a_0 + 1)), and I = H(a / a_0) - E H.
    """
    from scipy.special import digamma

    concentration = f64(p["concentration"])
    log_probs = dirichlet_log_probs(p)
    total = concentration.sum(axis=-1, keepdims=True)
    gap = digamma(concentration + 1) - digamma(total + 1)
    mass = np.exp(log_probs)
    # Summed as one difference, so that a confident row keeps its digits: I = sum m (gap - log m).
    information = (mass * np.where(mass > 0, gap - log_probs, 0.0)).sum(axis=-1)
    return f64(-(mass * gap).sum(axis=-1)), f64(np.maximum(information, 0.0))
