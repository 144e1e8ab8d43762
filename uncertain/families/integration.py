"""Mixtures where no closed form exists: root finding and integration, vectorised over rows.

Here members stand last: parameters (M, S, *trailing), weights (M, S), targets (M,).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .counts import TAIL, bisect_counts, sum_over_counts
from .structure import Array, Family, Parameters, f64, log, log_sum_exp, neg_x_log_x

_DECADES = np.array([1e-15, 1e-13, 1e-11, 1e-9, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.05])
_LOWER = np.concatenate([_DECADES, [0.15, 0.3, 0.5]])
LEVELS = np.concatenate([_LOWER, 1 - _LOWER[-2::-1]])
"""Members' quantiles at these levels cut the line into panels at the members' own scale."""

NODES = 10
"""Gauss-Legendre nodes a panel."""

PANELS = 160
"""Most panels: of many members' quantiles only some are boundaries, evenly taken in their order."""

ELEMENTS = 1 << 21
"""Largest working array."""


def mixture_cdf(family: Family, p: Parameters, w: Array, y: Array) -> Array:
    """Return sum_s w_s F_s(y)."""
    return f64((w * family.cdf(p, f64(y)[..., None])).sum(axis=-1))


def mixture_log_prob(family: Family, p: Parameters, w: Array, y: Array) -> Array:
    """Return log sum_s w_s p_s(y), for one-dimensional families."""
    return log_sum_exp(log(w) + family.log_prob(p, f64(y)[..., None]))


def mixture_quantile(family: Family, p: Parameters, w: Array, q: Array) -> Array:
    """Return the q-quantile of a mixture.

    The members' own quantiles bracket it. Continuous: Newton's steps kept inside the shrinking
    bracket, every third step a bisection; counts: bisection over whole numbers.
    """
    q = f64(q)
    member = np.where(w > 0, family.quantile(p, q[..., None]), np.nan)
    low, high = np.nanmin(member, axis=-1), np.nanmax(member, axis=-1)
    q = np.broadcast_to(q, low.shape)
    settled = ~(np.isfinite(low) & np.isfinite(high))
    # Levels 0 and 1: the end of the support that any member reaches.
    ends = np.where(q >= 1, high, low)
    low, high = np.where(settled, 0.0, low), np.where(settled, 0.0, high)
    if family.support in ("counts", "classes"):
        value = bisect_counts(lambda k: mixture_cdf(family, p, w, k), q, low - 1, high)[1]
    else:
        value = _root(family, p, w, q, low, high)
    return np.where(settled, ends, value)


def _root(family: Family, p: Parameters, w: Array, q: Array, low: Array, high: Array) -> Array:
    x = 0.5 * (low + high)
    smooth = isinstance(family.log_prob, type(_root))
    for step in range(400):
        gap = mixture_cdf(family, p, w, x) - q
        low, high = np.where(gap < 0, x, low), np.where(gap < 0, high, x)
        width = high - low
        if np.all(
            (width <= 2 * np.finfo(float).eps * np.maximum(np.abs(low), np.abs(high))) | (gap == 0)
        ):
            break
        middle = 0.5 * (low + high)
        if smooth and step % 3 != 2:
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                newton = x - gap / np.exp(mixture_log_prob(family, p, w, x))
            middle = np.where((newton > low) & (newton < high), newton, middle)
        moved = np.where(gap == 0, x, middle)
        if np.array_equal(moved, x):
            break
        x = moved
    return x


def mixture_crps(family: Family, p: Parameters, w: Array, y: Array) -> Array:
    """Return the integral of (F(x) - 1[y <= x])^2 dx: a sum for counts, quadrature otherwise."""
    p, w, y = _flat(p, w, y)
    shape = y.shape
    p, w, y = _rows(p, w, y)
    if family.support == "counts":
        return _count_crps(family, p, w, y).reshape(shape)

    def integrand(x: Array, rows: slice) -> Array:
        part = {name: value[rows, None] for name, value in p.items()}
        cdf = mixture_cdf(family, part, w[rows, None], x)
        return f64((cdf - (x >= y[rows, None])) ** 2)

    inner, low, high = _integrate(family, p, w, integrand, cut=y)
    # Where y lies beyond all mass, the step between is one wide panel of height one.
    beyond = np.maximum(low - y, 0) + np.maximum(y - high, 0)
    return f64(inner + beyond).reshape(shape)


def entropy(family: Family, p: Parameters, w: Array) -> Array:
    """Return -integral p log p: a sum for counts, quadrature otherwise."""
    shape = w.shape[:-1]
    p, w, _ = _rows(*_flat(p, w, np.zeros(shape)))
    if family.support == "counts":
        low, high = _count_range(family, p, w)

        def term(k: Array, rows: slice) -> Array:
            part = {name: value[rows, None] for name, value in p.items()}
            return neg_x_log_x(mixture_log_prob(family, part, w[rows, None], k))

        return sum_over_counts(term, low, high).reshape(shape)

    def integrand(x: Array, rows: slice) -> Array:
        part = {name: value[rows, None] for name, value in p.items()}
        return neg_x_log_x(mixture_log_prob(family, part, w[rows, None], x))

    return _integrate(family, p, w, integrand, cut=None)[0].reshape(shape)


def count_entropy(family: Callable[[], Family]) -> Callable[[Parameters], Array]:
    """Return the entropy function of a count family: that of a mixture with one member."""

    def compute(p: Parameters) -> Array:
        single = {name: f64(value)[..., None] for name, value in p.items()}
        shape = np.broadcast_shapes(*(value.shape for value in single.values()))
        return entropy(family(), single, np.ones(shape))

    return compute


def _flat(p: Parameters, w: Array, y: Array) -> tuple[dict[str, Array], Array, Array]:
    """Broadcast parameters, weights and targets to one batch shape."""
    shape = np.broadcast_shapes(w.shape[:-1], np.shape(y))
    members = w.shape[-1]
    batch = w.ndim
    grown = {
        name: np.broadcast_to(value, (*shape, members, *value.shape[batch:]))
        if value.ndim >= batch
        else value
        for name, value in p.items()
    }
    return grown, np.broadcast_to(w, (*shape, members)), np.broadcast_to(f64(y), shape)


def _rows(p: dict[str, Array], w: Array, y: Array) -> tuple[dict[str, Array], Array, Array]:
    """Flatten the batch axes into one axis of rows."""
    batch = w.ndim - 1
    rows = {
        name: value.reshape(-1, *value.shape[batch:]) if value.ndim >= batch else value
        for name, value in p.items()
    }
    return rows, w.reshape(-1, w.shape[-1]), y.reshape(-1)


def _count_range(family: Family, p: Parameters, w: Array) -> tuple[Array, Array]:
    low = family.quantile(p, np.full((*w.shape[:-1], 1), TAIL)).min(axis=-1)
    high = family.quantile(p, np.full((*w.shape[:-1], 1), 1 - TAIL)).max(axis=-1)
    return low, high


def _count_crps(family: Family, p: Parameters, w: Array, y: Array) -> Array:
    low, high = _count_range(family, p, w)

    def term(k: Array, rows: slice) -> Array:
        part = {name: value[rows, None] for name, value in p.items()}
        weights = w[rows, None]
        # One cdf, then a running sum of masses: an incomplete beta function at every count would
        # cost ten times as much.
        start = mixture_cdf(family, part, weights, k[:, :1] - 1)
        mass = np.exp(mixture_log_prob(family, part, weights, k))
        cdf = np.minimum(start + np.cumsum(mass, axis=-1), 1.0)
        # A target between two counts splits its unit interval in two.
        target = y[rows, None]
        share = np.clip(k + 1 - target, 0.0, 1.0)
        return f64(share * (cdf - 1) ** 2 + (1 - share) * cdf**2)

    inner = sum_over_counts(term, low, high)
    # Beyond the summed range F is 0 or 1, and the distance to y counts in full.
    return f64(inner + np.maximum(low - y, 0) + np.maximum(y - high - 1, 0))


def _integrate(
    family: Family,
    p: Parameters,
    w: Array,
    integrand: Callable[[Array, slice], Array],
    *,
    cut: Array | None,
) -> tuple[Array, Array, Array]:
    """Integrate over panels between all members' quantiles, with ``cut`` as one more boundary."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    total, members = w.shape
    out, lows, highs = np.empty(total), np.empty(total), np.empty(total)
    edges_of_all = members * len(LEVELS)
    kept = np.unique(
        np.linspace(0, edges_of_all - 1, min(edges_of_all, PANELS + 1)).round().astype(int)
    )
    per_row = (len(kept) + 1) * NODES * members
    step = max(1, ELEMENTS // per_row)
    for start in range(0, total, step):
        rows = slice(start, min(total, start + step))
        part = {name: value[rows, :, None] for name, value in p.items()}
        edges = family.quantile(part, LEVELS).reshape(w[rows].shape[0], -1)
        if family.support == "positive":
            edges = np.clip(edges, 1e-300, 1e300)
        edges = np.sort(edges, axis=-1)[:, kept]
        lows[rows], highs[rows] = edges[:, 0], edges[:, -1]
        if cut is not None:
            inside = np.clip(cut[rows], lows[rows], highs[rows])
            edges = np.concatenate([edges, inside[:, None]], axis=-1)
        # Positive numbers spread over orders of magnitude: their panels are cut in the logarithm.
        edges = np.sort(np.log(edges) if family.support == "positive" else edges, axis=-1)
        half = 0.5 * np.diff(edges, axis=-1)[..., None]
        x = edges[:, :-1, None] + half * (nodes + 1)
        slope = half * weights
        if family.support == "positive":
            x = np.exp(x)
            slope = slope * x
        value = integrand(x.reshape(len(x), -1), rows).reshape(x.shape)
        out[rows] = (slope * value).sum(axis=(-2, -1))
    return out, lows, highs
