"""Counts: Poisson, and the negative binomial in torch's convention (mean = total_count e^logits)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .structure import Array, Parameters, f64

TAIL = 1e-13
"""Mass left out on either side where a sum over counts is cut."""

ELEMENTS = 1 << 20
"""Largest working array of a sum over counts."""


def _counts(y: Array, log_mass: Callable[[Array], Array]) -> Array:
    """Return the log mass at whole y >= 0, and minus infinity elsewhere."""
    y = f64(y)
    inside = (y >= 0) & (y == np.floor(y))
    return np.where(inside, log_mass(np.where(inside, y, 0.0)), -np.inf)


def poisson_log_prob(p: Parameters, y: Array) -> Array:
    """Return y log rate - rate - log y!."""
    from scipy.special import gammaln, xlogy

    rate = f64(p["rate"])
    return _counts(y, lambda k: xlogy(k, rate) - rate - gammaln(k + 1))


def poisson_cdf(p: Parameters, y: Array) -> Array:
    """Return Q(floor(y) + 1, rate), the regularised upper incomplete gamma function."""
    from scipy.special import gammaincc

    k = np.floor(f64(y))
    return np.where(k < 0, 0.0, gammaincc(np.maximum(k, 0) + 1, f64(p["rate"])))


def poisson_quantile(p: Parameters, q: Array) -> Array:
    """Return the smallest count whose cdf reaches q."""
    rate = f64(p["rate"])
    return count_quantile(lambda k: poisson_cdf(p, k), q, rate, np.sqrt(rate))


def poisson_mean(p: Parameters) -> Array:
    """Return the rate."""
    return f64(p["rate"])


def poisson_crps(p: Parameters, y: Array) -> Array:
    """Return (y - r)(2 F(y) - 1) + 2 r f(floor y) - r e^-2r (I_0(2r) + I_1(2r)), r the rate.

    References:
        W. Wei and L. Held, "Calibration tests for count data", 2014.
    """
    from scipy.special import ive

    rate, y = f64(p["rate"]), f64(y)
    floor = np.floor(y)
    mass = np.exp(poisson_log_prob(p, floor))
    spread = rate * (ive(0, 2 * rate) + ive(1, 2 * rate))
    return f64((y - rate) * (2 * poisson_cdf(p, floor) - 1) + 2 * rate * mass - spread)


def poisson_sample(p: Parameters, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Draw counts."""
    return f64(rng.poisson(np.broadcast_to(f64(p["rate"]), shape)))


def _negative_binomial(p: Parameters) -> tuple[Array, Array, Array, Array]:
    """Return total count, logits, and the probabilities of stopping and of going on."""
    logits = f64(p["logits"])
    stop = np.exp(-np.logaddexp(0.0, logits))
    return f64(p["total_count"]), logits, stop, np.exp(-np.logaddexp(0.0, -logits))


def negative_binomial_log_prob(p: Parameters, y: Array) -> Array:
    """Return log Gamma(y + n) / (Gamma(n) y!) (1 - s)^n s^y, s = sigmoid(logits)."""
    from scipy.special import betaln

    n, logits, _, _ = _negative_binomial(p)
    log_stop, log_go = -np.logaddexp(0.0, logits), -np.logaddexp(0.0, -logits)
    # betaln keeps the digits that a difference of two large gammaln loses.
    return _counts(y, lambda k: n * log_stop + k * log_go - betaln(n, k + 1) - np.log(n + k))


def negative_binomial_cdf(p: Parameters, y: Array) -> Array:
    """Return I_{1-s}(n, floor(y) + 1), the regularised incomplete beta function."""
    from scipy.special import betainc

    n, _, stop, _ = _negative_binomial(p)
    k = np.floor(f64(y))
    return np.where(k < 0, 0.0, betainc(n, np.maximum(k, 0) + 1, stop))


def negative_binomial_quantile(p: Parameters, q: Array) -> Array:
    """Return the smallest count whose cdf reaches q."""
    spread = np.sqrt(negative_binomial_variance(p))
    return count_quantile(
        lambda k: negative_binomial_cdf(p, k), q, negative_binomial_mean(p), spread
    )


def negative_binomial_mean(p: Parameters) -> Array:
    """Return n e^logits."""
    return f64(f64(p["total_count"]) * np.exp(f64(p["logits"])))


def negative_binomial_variance(p: Parameters) -> Array:
    """Return n e^logits (1 + e^logits)."""
    odds = np.exp(f64(p["logits"]))
    return f64(f64(p["total_count"]) * odds * (1 + odds))


def negative_binomial_crps(p: Parameters, y: Array) -> Array:
    """Return y (2 F_n(y) - 1) - m (2 F_{n+1}(y - 1) - 1) - E|X - X'| / 2, m the mean.

    With c = e^logits (1 + e^logits), half the mean difference is
    1 / (2 pi) int_0^{pi/2} (1 - (1 + 4 c sin^2 t)^-n) / sin^2 t dt, the inversion of the
    characteristic function of X - X'. The published hypergeometric form underflows for large n.

    References:
        W. Wei and L. Held, "Calibration tests for count data", 2014 (the first two terms).
    """
    y, floor = f64(y), np.floor(f64(y))
    following = {"total_count": f64(p["total_count"]) + 1, "logits": p["logits"]}
    first = y * (2 * negative_binomial_cdf(p, floor) - 1)
    second = negative_binomial_mean(p) * (2 * negative_binomial_cdf(following, floor - 1) - 1)
    return f64(first - second - _half_mean_difference(p))


def _half_mean_difference(p: Parameters) -> Array:
    n, logits = np.broadcast_arrays(f64(p["total_count"]), f64(p["logits"]))
    odds = np.exp(logits)
    curvature = 4 * odds * (1 + odds)
    # Panels that halve towards 0 resolve the integrand's width 1 / sqrt(4 c n), whatever it is.
    nodes, weights = np.polynomial.legendre.leggauss(8)
    out = np.zeros(n.shape)
    for level in range(40):
        half = 0.25 * np.pi * 0.5 ** (level + 1)
        low = 2 * half if level < 39 else 0.0
        half = half if level < 39 else 2 * half
        for node, weight in zip(low + half * (nodes + 1), weights, strict=True):
            square = np.sin(node) ** 2
            out += half * weight * -np.expm1(-n * np.log1p(curvature * square)) / square
    return f64(out / (2 * np.pi))


def negative_binomial_sample(
    p: Parameters, rng: np.random.Generator, shape: tuple[int, ...]
) -> Array:
    """Draw counts: Poisson of a gamma draw, which takes any positive total count."""
    n, logits, _, _ = _negative_binomial(p)
    rate = rng.standard_gamma(np.broadcast_to(n, shape)) * np.exp(logits)
    return f64(rng.poisson(rate))


def count_quantile(cdf: Callable[[Array], Array], q: Array, mean: Array, spread: Array) -> Array:
    """Return the smallest whole k >= 0 with cdf(k) >= q, by doubling and bisection over rows.

    Level 1 gives infinity.
    """
    q, mean, spread = np.broadcast_arrays(f64(q), mean, spread)
    last = q >= 1
    q = np.where(last, 0.5, q)
    step = np.ceil(spread + 1)
    high = np.ceil(mean + step)
    low = np.full(q.shape, -1.0)
    short = cdf(high) < q
    while short.any():
        low = np.where(short, high, low)
        step = np.where(short, 2 * step, step)
        high = np.where(short, high + step, high)
        short = cdf(high) < q
    low, high = bisect_counts(cdf, q, low, high)
    return np.where(last, np.inf, high)


def bisect_counts(
    cdf: Callable[[Array], Array], q: Array, low: Array, high: Array
) -> tuple[Array, Array]:
    """Shrink whole brackets with cdf(low) < q <= cdf(high) until they are one apart."""
    while (high - low > 1).any():
        middle = np.floor(0.5 * (low + high))
        enough = cdf(middle) >= q
        high = np.where(enough & (high - low > 1), middle, high)
        low = np.where(~enough & (high - low > 1), middle, low)
    return low, high


def sum_over_counts(term: Callable[[Array, slice], Array], low: Array, high: Array) -> Array:
    """Return sum_{k = low}^{high} term(k) for every row, in working arrays of bounded size.

    Args:
        term: (counts (n, K), slice of rows) -> (n, K).
        low: (N,) first count of every row.
        high: (N,) last count of every row.
    """
    out = np.zeros(low.shape)
    start = 0
    while start < len(low):
        width = int(np.max(high[start : start + 1] - low[start : start + 1])) + 1
        stop = min(len(low), start + max(1, ELEMENTS // max(width, 64)))
        rows = slice(start, stop)
        width = int(np.max(high[rows] - low[rows])) + 1
        block = max(1, ELEMENTS // (stop - start))
        for offset in range(0, width, block):
            k = low[rows, None] + np.arange(offset, min(width, offset + block), dtype=np.float64)
            out[rows] += np.where(k <= high[rows, None], term(k, rows), 0.0).sum(axis=-1)
        start = stop
    return out


def bounds(
    cdf: Callable[[Parameters, Array], Array], p: Parameters, y: Array
) -> tuple[Array, Array]:
    """Return P(Y < y) and P(Y <= y) of a count family."""
    return cdf(p, np.ceil(y) - 1), cdf(p, y)
