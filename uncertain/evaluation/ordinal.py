r"""Scores where targets have an order and a grid: classes that are ranks, numbers that are whole.

**Ranked probability score.** With cumulative probabilities :math:`F_k = P(Y \le k)`,

.. math:: \mathrm{RPS} = \sum_{k < C} (F_k - 1[y \le k])^2,

summed over the C - 1 thresholds between classes (not averaged), so that a miss by two ranks costs
more than a miss by one. Proper; for two classes half the Brier score, which is summed over classes.

**Log P(cell).** Where targets lie on a grid (whole grades, prices in steps) a *density* can be made
as large as one likes by spikes at the grid's points, so its negative logarithm compares nothing. The
probability of the target's cell can't be gamed so:

.. math:: -\log \Big( F(y + s/2) - F(y - s/2) \Big),

:math:`s` being the grid's spacing. It is the log score of the prediction rounded to the grid, in
nats, at least 0, and independent of the target's unit.

References:
    Epstein, A scoring system for probability forecasts of ranked categories, J. Applied Meteorology
    (1969).
    Murphy, A note on the ranked probability score, J. Applied Meteorology (1971).
    Gneiting and Raftery, Strictly proper scoring rules, prediction, and estimation, JASA (2007),
    section 4.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain import families
from uncertain.checks import (
    check_finite,
    check_labels,
    check_probabilities,
    check_range,
    check_same_length,
)
from uncertain.families import ArrayDistribution

Scores = NDArray[np.float64]

DENSITIES = frozenset({"normal", "gaussian_marginal", "student_t", "log_normal"})
"""Families of one number that have a density."""
_COUNTS = frozenset({"poisson", "negative_binomial"})
_FEWEST_ROWS = 20
_MOST_CELLS = 1000
_EXACT = 1e-6
"""A difference of two distribution functions above this has ten digits left."""
_BLOCK = 1 << 20


def ranked_probability_scores(probabilities: ArrayLike, labels: ArrayLike) -> Scores:
    """Return the ranked probability score of each row, for classes in their order, (N,).

    Args:
        probabilities: (N, C), rows summing to one.
        labels: (N,) class indices.

    Raises:
        ValueError: Rows that do not sum to one, labels out of range, other lengths.

    Example:
        >>> ranked_probability_scores([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], [1, 2])
        array([1., 2.])
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    check_probabilities("probabilities", p)
    check_labels("labels", y, p.shape[1])
    check_same_length(probabilities=p, labels=y)
    below = np.cumsum(p[:, :-1], axis=1)
    return np.asarray(((below - (y[:, None] <= np.arange(p.shape[1] - 1))) ** 2).sum(axis=1))


def grid_spacing(target: ArrayLike) -> float | None:
    """Return the spacing of the grid that targets lie on, ``None`` where they don't.

    A grid is what at least half of 20 or more targets share their values on, all differences being
    multiples of the smallest, over at most 1,000 cells.

    Example:
        >>> grid_spacing(np.repeat([3, 5, 6, 8], 10)), grid_spacing(np.random.rand(100))
        (1.0, None)
    """
    y = np.asarray(target, dtype=np.float64).reshape(-1)
    values, counts = np.unique(y, return_counts=True)
    if len(y) < _FEWEST_ROWS or len(values) < 2 or counts[counts > 1].sum() < len(y) / 2:
        return None
    spacing = float(np.diff(values).min())
    spacing = _rounded(spacing)
    cells = (values[-1] - values[0]) / spacing
    return spacing if cells <= _MOST_CELLS and not _off(values, spacing).any() else None


def _rounded(spacing: float) -> float:
    """Take rounding errors of a decimal spacing away: 0.09999999999999998 is 0.1."""
    return float(f"{spacing:.9g}")


def _off(values: Scores, spacing: float) -> NDArray[np.bool_]:
    steps = (values - values.min()) / spacing
    return np.asarray(np.abs(steps - np.round(steps)) > 1e-6 * np.maximum(1.0, np.abs(steps)))


def check_grid(target: ArrayLike, spacing: float) -> None:
    """Raise ``ValueError`` unless targets lie on a grid of this spacing.

    Example:
        >>> check_grid([1.0, 2.5], 1.0)
        Traceback (most recent call last):
        ValueError: `grid` should be the spacing of the targets, got 1 beside targets 1 and 2.5.
    """
    y = np.asarray(target, dtype=np.float64).reshape(-1)
    check_range("grid", spacing, 0, np.inf, open_low=True, open_high=True)
    check_finite("target", y)
    off = _off(y, spacing)
    if off.any():
        raise ValueError(
            f"`grid` should be the spacing of the targets, got {spacing:g} beside targets "
            f"{y.min():g} and {y[off][0]:g}."
        )


def log_cell_probabilities(
    distribution: ArrayDistribution, target: ArrayLike, spacing: float
) -> Scores:
    """Return log P(y - s/2 < Y <= y + s/2) of each target, (N,) or (N, T): nats, never clamped.

    From the distribution function where that leaves digits; in the tails of a density by quadrature
    of the density on nodes that crowd at the cell's two ends.

    Args:
        distribution: N predictions over numbers.
        target: (N,) or (N, T), on the grid.
        spacing: The grid's s, in the target's unit.

    Raises:
        TypeError: For quantile predictions, which have no tails, and for joint distributions.
        ValueError: Targets off the grid.

    Example:
        >>> d = ArrayDistribution("normal", {"loc": np.array([0.0, 0.0]), "scale": np.ones(2)})
        >>> log_cell_probabilities(d, np.array([0.0, 40.0]), 1.0).round(3)
        array([  -0.96 , -784.721])
    """
    y = np.asarray(target, dtype=np.float64)
    check_grid(y, spacing)
    if distribution.family == "quantiles":
        raise TypeError("Quantile predictions say nothing about their tails: P(cell) is undefined.")
    if distribution.family in _COUNTS and spacing == 1 and not distribution.event_ndim:
        return families.log_prob(distribution, y)
    mass = families.cdf(distribution, y + spacing / 2) - families.cdf(distribution, y - spacing / 2)
    with np.errstate(divide="ignore"):
        out = np.log(np.maximum(mass, 0.0))
    if distribution.family not in DENSITIES:
        return np.asarray(out)
    if not distribution.event_ndim:
        return _with_tails(distribution, y, spacing, mass, out)
    each = [
        _with_tails(d, y[:, t], spacing, mass[:, t], out[:, t])
        for t, d in enumerate(_by_target(distribution))
    ]
    return np.stack(each, axis=1)


def _by_target(distribution: ArrayDistribution) -> Iterator[ArrayDistribution]:
    """Yield the T targets' own predictions, N each."""
    shared = {p.name for p in distribution.form if p.shared}
    axis = 1 if distribution.mixture_weights is None else 2
    for t in range(distribution.event_shape[0]):
        parameters = {
            name: value if name in shared else np.take(value, t, axis=axis)
            for name, value in distribution.parameters.items()
        }
        yield ArrayDistribution(distribution.family, parameters, distribution.mixture_weights)


def _with_tails(
    distribution: ArrayDistribution, y: Scores, spacing: float, mass: Scores, logs: Scores
) -> Scores:
    rows = np.flatnonzero(mass < _EXACT)
    out = np.array(logs, dtype=np.float64)
    nodes, log_weights = _nodes(spacing)
    block = max(1, _BLOCK // len(nodes))
    for start in range(0, len(rows), block):
        chosen = rows[start : start + block]
        part = families.select(distribution, chosen)
        values = families.log_prob(part, y[chosen] + nodes[:, None]) + log_weights[:, None]
        top = values.max(axis=0)
        safe = np.where(np.isfinite(top), top, 0.0)
        with np.errstate(divide="ignore"):
            out[chosen] = np.log(np.exp(values - safe).sum(axis=0)) + safe
    return out


def _nodes(spacing: float) -> tuple[Scores, Scores]:
    """Return nodes and log weights over a cell: Gauss-Legendre on panels that halve to both ends."""
    x, w = np.polynomial.legendre.leggauss(16)
    edges = np.concatenate([[0.0], 0.5 ** np.arange(20, 0, -1)])
    edges = np.concatenate([edges, 1 - edges[-2::-1]]) - 0.5
    half = np.diff(edges) / 2
    nodes = (edges[:-1] + half)[:, None] + half[:, None] * x
    weights = half[:, None] * w
    return nodes.ravel() * spacing, np.log(weights.ravel() * spacing)


def grid_ranked_probability_scores(
    distribution: ArrayDistribution, target: ArrayLike, spacing: float
) -> Scores:
    """Return the ranked probability score of each target on its grid, (N,) or (N, T).

    The classes are the cells from the smallest target to the largest, the outer two open to their
    sides; the thresholds are the cells' borders.

    Args:
        distribution: N predictions over numbers.
        target: (N,) or (N, T), on the grid.
        spacing: The grid's, in the target's unit.

    Raises:
        TypeError: For joint distributions.
        ValueError: Targets off the grid, or more than 1,000 cells.

    Example:
        >>> d = ArrayDistribution("normal", {"loc": np.array([3.0, 3.0]), "scale": np.full(2, 1e-3)})
        >>> grid_ranked_probability_scores(d, np.array([3.0, 5.0]), 1.0)
        array([0., 2.])
    """
    y = np.asarray(target, dtype=np.float64)
    check_grid(y, spacing)
    cells = round((y.max() - y.min()) / spacing)
    if cells > _MOST_CELLS:
        raise ValueError(
            f"`grid` should make at most {_MOST_CELLS} cells, got {cells}: such a grid is as good as "
            "none, score the CRPS."
        )
    total = np.zeros(y.shape)
    for k in range(cells):
        threshold = y.min() + (k + 0.5) * spacing
        below = families.cdf(distribution, np.full(y.shape, threshold))
        total += (below - (y <= threshold)) ** 2
    return total
