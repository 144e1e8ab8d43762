"""Real-valued families in closed form: normal, Student-t, their marginals, and log-normal."""

from __future__ import annotations

import numpy as np

from .structure import Array, Parameters, f64, log

LOG_SQRT_2PI = 0.5 * np.log(2 * np.pi)
_BLOCK = 1 << 15
"""Members of a mixture's rows that are worked on at once, so that they stay in the cache."""


def _normal(p: Parameters) -> tuple[Array, Array]:
    return f64(p["loc"]), f64(p["scale"])


def marginal_as_normal(p: Parameters) -> dict[str, Array]:
    """Return the normal over y whose variance is the latent plus the noise variance."""
    return {"loc": p["loc"], "scale": np.hypot(f64(p["latent_scale"]), f64(p["noise_scale"]))}


def normal_log_prob(p: Parameters, y: Array) -> Array:
    """Return -z^2 / 2 - log scale - log sqrt(2 pi), z = (y - loc) / scale."""
    loc, scale = _normal(p)
    return f64(-0.5 * ((y - loc) / scale) ** 2 - np.log(scale) - LOG_SQRT_2PI)


def normal_cdf(p: Parameters, y: Array) -> Array:
    """Return Phi(z)."""
    from scipy.special import ndtr

    loc, scale = _normal(p)
    return f64(ndtr((y - loc) / scale))


def normal_quantile(p: Parameters, q: Array) -> Array:
    """Return loc + scale Phi^-1(q)."""
    from scipy.special import ndtri

    loc, scale = _normal(p)
    return f64(loc + scale * ndtri(q))


def normal_entropy(p: Parameters) -> Array:
    """Return log(scale sqrt(2 pi e))."""
    return f64(np.log(_normal(p)[1]) + LOG_SQRT_2PI + 0.5)


def normal_mean(p: Parameters) -> Array:
    """Return loc."""
    return f64(p["loc"])


def normal_variance(p: Parameters) -> Array:
    """Return scale^2."""
    return f64(f64(p["scale"]) ** 2)


def normal_crps(p: Parameters, y: Array) -> Array:
    """Return scale (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi))."""
    from scipy.special import erf

    loc, scale = _normal(p)
    z = (y - loc) / scale
    density = np.exp(-0.5 * z * z) * np.sqrt(2 / np.pi)
    return f64(scale * (z * erf(z * np.sqrt(0.5)) + density - 1 / np.sqrt(np.pi)))


def normal_sample(p: Parameters, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Draw loc + scale times standard normals."""
    loc, scale = _normal(p)
    return f64(loc + scale * rng.standard_normal(shape))


def normal_mixture_crps(p: Parameters, w: Array, y: Array) -> Array:
    """Return the CRPS of a mixture of normals in closed form.

    sum_i w_i A(y - m_i, s_i^2) - 1/2 sum_ij w_i w_j A(m_i - m_j, s_i^2 + s_j^2), with
    A(m, s^2) = 2 s phi(m / s) + m (2 Phi(m / s) - 1) the mean of |X|, X ~ N(m, s^2).

    References:
        E. P. Grimit, T. Gneiting, V. J. Berrocal and N. A. Johnson, "The continuous ranked
        probability score for circular variables and its application to mesoscale forecast ensemble
        verification", 2006, equation 5.
    """
    loc, scale = _normal(p)
    loc, scale, w, y = np.broadcast_arrays(loc, scale, w, y)
    members = loc.shape[-1]
    flat = [a.reshape(-1, members) for a in (loc, scale, w, y)]
    found = np.empty(len(flat[0]))
    step = max(1, _BLOCK // members)
    for start in range(0, len(found), step):
        rows = slice(start, start + step)
        # In one layout, so that a row's sum is added up alike whatever rows stand beside it.
        found[rows] = _mixture_crps(*(np.array(a[rows], order="C") for a in flat))
    return found.reshape(loc.shape[:-1])


def _mixture_crps(loc: Array, scale: Array, w: Array, y: Array) -> Array:
    first = (w * _mean_absolute(y - loc, scale)).sum(axis=-1)
    spread = np.zeros(len(loc))
    # One member at a time against those before it and itself: never an (N, S, S) array.
    for i in range(loc.shape[-1]):
        near = slice(i + 1)
        apart = np.hypot(scale[:, [i]], scale[:, near])
        pair = w[:, near] * _mean_absolute(loc[:, [i]] - loc[:, near], apart)
        spread += w[:, i] * (2 * pair.sum(axis=-1) - pair[:, i])
    return f64(first - 0.5 * spread)


def _mean_absolute(mean: Array, scale: Array) -> Array:
    from scipy.special import erf

    z = mean / scale
    return f64(scale * np.sqrt(2 / np.pi) * np.exp(-0.5 * z * z) + mean * erf(z * np.sqrt(0.5)))


def marginal_parts(p: Parameters) -> tuple[Array, Array]:
    """Return the noise variance and the latent variance."""
    return f64(f64(p["noise_scale"]) ** 2), f64(f64(p["latent_scale"]) ** 2)


def marginal_as_student_t(p: Parameters) -> dict[str, Array]:
    """Return the Student-t over y whose squared scale is the latent plus the noise one."""
    return {"df": p["df"], **marginal_as_normal(p)}


def student_t_marginal_parts(p: Parameters) -> tuple[Array, Array]:
    """Return the expected noise variance and the latent variance; infinite up to df 2."""
    df = f64(p["df"])
    factor = np.where(df > 2, df / np.where(df > 2, df - 2, 1.0), np.inf)
    noise, latent = marginal_parts(p)
    # A part of exactly 0 stays 0.
    return tuple(np.where(v > 0, factor, 1.0) * v for v in (noise, latent))  # type: ignore[return-value]


def _student(p: Parameters) -> tuple[Array, Array, Array]:
    return f64(p["df"]), f64(p["loc"]), f64(p["scale"])


def student_t_log_prob(p: Parameters, y: Array) -> Array:
    """Return the log density of loc + scale T, T with df degrees of freedom."""
    from scipy.special import betaln

    df, loc, scale = _student(p)
    z = (y - loc) / scale
    normaliser = 0.5 * np.log(df) + betaln(0.5, 0.5 * df) + np.log(scale)
    # |z| = sqrt(df) sinh-like growth: log1p of the square overflows only past 1e154, where the
    # square is replaced by twice the logarithm.
    ratio = np.abs(z) / np.sqrt(df)
    far = ratio > 1e150
    growth = np.where(
        far, 2 * log(np.where(far, ratio, 1.0)), np.log1p(np.where(far, 0, ratio) ** 2)
    )
    return f64(-0.5 * (df + 1) * growth - normaliser)


def student_t_cdf(p: Parameters, y: Array) -> Array:
    """Return P(T <= z)."""
    from scipy.special import stdtr

    df, loc, scale = _student(p)
    return f64(stdtr(df, (y - loc) / scale))


def student_t_quantile(p: Parameters, q: Array) -> Array:
    """Return loc + scale times the quantile of T."""
    from scipy.special import stdtrit

    df, loc, scale = _student(p)
    # stdtrit answers +inf at q = 0 for some df: the ends are set by hand.
    z = np.where(q <= 0, -np.inf, np.where(q >= 1, np.inf, stdtrit(df, np.clip(q, 1e-300, 1))))
    return f64(loc + scale * z)


def student_t_entropy(p: Parameters) -> Array:
    """Return log scale + (df+1)/2 (psi((df+1)/2) - psi(df/2)) + log(sqrt(df) B(df/2, 1/2))."""
    from scipy.special import betaln, digamma

    df, _, scale = _student(p)
    gap = digamma(0.5 * (df + 1)) - digamma(0.5 * df)
    return f64(np.log(scale) + 0.5 * (df + 1) * gap + 0.5 * np.log(df) + betaln(0.5 * df, 0.5))


def student_t_mean(p: Parameters) -> Array:
    """Return loc; NaN where df <= 1, because the mean does not exist."""
    df, loc, _ = _student(p)
    return f64(np.where(df > 1, loc, np.nan))


def student_t_variance(p: Parameters) -> Array:
    """Return scale^2 df / (df - 2); infinite for df in (1, 2], NaN for df <= 1."""
    df, _, scale = _student(p)
    with np.errstate(divide="ignore", invalid="ignore"):
        finite = scale**2 * df / (df - 2)
    return f64(np.where(df > 2, finite, np.where(df > 1, np.inf, np.nan)))


def student_t_crps(p: Parameters, y: Array) -> Array:
    """Return the CRPS in closed form; infinite where df <= 1/2.

    scale (z (2 F(z) - 1) + 2 f(z) (df + z^2) / (df - 1)
    - 2 sqrt(df) / (df - 1) B(1/2, df - 1/2) / B(1/2, df/2)^2).

    The integral of (F - 1)^2 is analytic in df > 1/2, so the formula holds below df = 1 as well.
    Around its removable pole at df = 1 the value is interpolated from four neighbours in df.

    References:
        A. Jordan, F. Krueger and S. Lerch, "Evaluating probabilistic forecasts with scoringRules",
        2019, appendix A.
    """
    df, loc, scale = _student(p)
    df, z, scale = np.broadcast_arrays(df, (y - loc) / scale, scale)
    near = np.abs(df - 1) < 1e-3
    out = _standard_t_crps(np.where(near, 3.0, np.maximum(df, 0.6)), z)
    lower = (df > 0.5) & (df < 0.6)
    if lower.any():
        out[lower] = _standard_t_crps(df[lower], z[lower])
    if near.any():
        # Cubic Lagrange interpolation from df = 1 -+ 4e-3, 1 -+ 2e-3: error about 1e-11.
        nodes = 1 + np.array([-4e-3, -2e-3, 2e-3, 4e-3])
        out[near] = 0.0
        for i, node in enumerate(nodes):
            others = np.delete(nodes, i)
            weight = np.prod([(df[near] - o) / (node - o) for o in others], axis=0)
            out[near] += weight * _standard_t_crps(np.full(int(near.sum()), node), z[near])
    return f64(scale * np.where(df > 0.5, out, np.inf))


def _standard_t_crps(df: Array, z: Array) -> Array:
    from scipy.special import betaln, stdtr

    density = np.exp(
        -0.5 * (df + 1) * np.log1p(z * z / df) - 0.5 * np.log(df) - betaln(0.5, 0.5 * df)
    )
    spread = np.exp(betaln(0.5, df - 0.5) - 2 * betaln(0.5, 0.5 * df) + 0.5 * np.log(df))
    centre = 2 * (density * (df + z * z) - spread) / (df - 1)
    return f64(z * (2 * stdtr(df, z) - 1) + centre)


def student_t_sample(p: Parameters, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Draw loc + scale T."""
    df, loc, scale = _student(p)
    return f64(loc + scale * rng.standard_t(np.broadcast_to(df, shape)))


def _positive_log(y: Array) -> Array:
    return log(np.maximum(y, 0.0))


def log_normal_log_prob(p: Parameters, y: Array) -> Array:
    """Return the log density of exp(loc + scale Z); minus infinity for y <= 0."""
    log_y = _positive_log(y)
    finite = np.where(np.isneginf(log_y), 0.0, log_y)
    return np.where(np.isneginf(log_y), -np.inf, normal_log_prob(p, finite) - finite)


def log_normal_cdf(p: Parameters, y: Array) -> Array:
    """Return Phi((log y - loc) / scale); 0 for y <= 0."""
    return normal_cdf(p, _positive_log(y))


def log_normal_quantile(p: Parameters, q: Array) -> Array:
    """Return exp(loc + scale Phi^-1(q))."""
    return f64(np.exp(normal_quantile(p, q)))


def log_normal_entropy(p: Parameters) -> Array:
    """Return loc + log(scale sqrt(2 pi e))."""
    return f64(normal_entropy(p) + f64(p["loc"]))


def log_normal_mean(p: Parameters) -> Array:
    """Return exp(loc + scale^2 / 2)."""
    loc, scale = _normal(p)
    return f64(np.exp(loc + 0.5 * scale**2))


def log_normal_variance(p: Parameters) -> Array:
    """Return (exp(scale^2) - 1) exp(2 loc + scale^2)."""
    loc, scale = _normal(p)
    return f64(np.expm1(scale**2) * np.exp(2 * loc + scale**2))


def log_normal_crps(p: Parameters, y: Array) -> Array:
    """Return y (2 F(y) - 1) - 2 m (Phi((log y - loc - scale^2) / scale) + Phi(scale / sqrt 2) - 1).

    m is the mean. For y <= 0 both cdf terms vanish.
    """
    from scipy.special import ndtr

    loc, scale = _normal(p)
    log_y = _positive_log(y)
    shifted = ndtr((log_y - loc - scale**2) / scale)
    # Phi(a) - 1 is written as -Phi(-a): no cancellation for wide distributions.
    bracket = shifted - ndtr(-scale * np.sqrt(0.5))
    cdf = ndtr((log_y - loc) / scale)
    return f64(y * (2 * cdf - 1) - 2 * log_normal_mean(p) * bracket)


def log_normal_sample(p: Parameters, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Draw exp(loc + scale Z)."""
    return f64(np.exp(normal_sample(p, rng, shape)))
