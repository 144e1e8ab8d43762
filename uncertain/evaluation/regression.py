r"""How good are predictions of numbers: scores, coverage and calibration, each with its interval.

| figure | what it averages, lower is better unless said |
|---|---|
| ``nll`` | minus the log density (nats, in y's units; joint over several targets) |
| ``grid_nll`` | minus log P(the target's cell), where targets lie on a grid |
| ``rps`` | ranked probability score over the grid's cells |
| ``crps`` | continuous ranked probability score (y's units) |
| ``rmse`` | root of the mean squared error of the *mean* |
| ``mae`` | absolute error of the *median*, which is what minimises it |
| ``coverage`` | rows inside the central interval of the given level (best: the level itself) |
| ``coverage_null`` | what it is if the predictions are right: counts and draws miss the level |
| ``interval_score`` | width plus :math:`2/\alpha` times the miss, of that interval |
| ``sharpness`` | width of that interval; only comparable at equal coverage |
| ``pit_ks`` | largest distance of the PIT values' distribution from the uniform one |
| ``quantile_calibration_error`` | its root mean square distance, over all levels |

Several targets a row (N, T) are averaged within the row for scores, and pooled for coverage and PIT
with the row as the group. A family that has no such figure gives an undefined one with the reason.

References:
    Gneiting and Raftery, Strictly proper scoring rules, prediction, and estimation, JASA (2007).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain import families, keyed
from uncertain.checks import (
    check_range,
    check_same_length,
)
from uncertain.evaluation.expected_coverage import expected_coverage
from uncertain.evaluation.ordinal import (
    DENSITIES,
    grid_ranked_probability_scores,
    grid_spacing,
    log_cell_probabilities,
)
from uncertain.evaluation.pit import checked_target, pit_histogram, pooled
from uncertain.evaluation.quantile_calibration import PitFigures, pit_figures, pit_ks
from uncertain.families import ArrayDistribution
from uncertain.intervals import (
    Estimate,
    check_level,
    check_weights,
    mean,
    proportion,
    undefined,
)

__all__ = [
    "LEVELS",
    "MissingLevelError",
    "central_interval",
    "coverage",
    "interval_scores",
    "pit_histogram",
    "pit_ks",
    "regression_estimates",
    "root",
    "squared_errors",
]

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Levels of the central intervals that are reported."""


class MissingLevelError(ValueError):
    """Predicted quantiles do not reach a level that a figure needs."""


Scores = NDArray[np.float64]
Figure = tuple[str, str, str, Estimate]


def crps_form(distribution: ArrayDistribution) -> str:
    """Return what a CRPS is taken of: ``""`` for a whole distribution, else what stands for it.

    A mean pinball score over a few quantiles and the score of an empirical distribution are other
    quantities than the integral over a whole distribution; they are not compared with it.

    Example:
        >>> values = np.zeros((2, 3)) + [0.0, 1.0, 2.0]
        >>> levels = np.array([0.1, 0.5, 0.9])
        >>> crps_form(ArrayDistribution("quantiles", {"levels": levels, "values": values}))
        'pinball,3'
    """
    if distribution.family == "quantiles":
        return f"pinball,{distribution.parameters['values'].shape[-1]}"
    return "ecdf" if distribution.family == "empirical" else ""


def regression_estimates(
    distribution: ArrayDistribution,
    target: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
    grid: float | None = None,
) -> list[Figure]:
    """Return every regression figure with its interval.

    Args:
        distribution: N predictions over numbers.
        target: (N,), or (N, T) for T targets a row.
        weights: Non-negative row weights, (N,).
        groups: Resampling unit of each row, (N,).
        level: Nominal coverage of the figures' own intervals.
        seed: Of the draws behind p-values of predictions with steps.
        grid: Spacing of the grid that the targets lie on: ``grid_nll`` and ``rps`` are had too.

    Returns:
        (metric, variant, kind, estimate); the variant is the level of central intervals, the spacing
        of a grid, else empty.

    Raises:
        ValueError: For wrong lengths, NaN or infinite targets.

    Example:
        >>> y = np.random.default_rng(0).normal(size=500)
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(500), "scale": np.ones(500)})
        >>> found = {(m, v): e for m, v, _, e in regression_estimates(d, y)}
        >>> found["coverage", "0.9"].low < 0.9 < found["coverage", "0.9"].high
        True
    """
    check_level(level)
    y = checked_target(distribution, target)
    n = len(y)
    check_weights(weights, n)
    check_same_length(target=y, groups=groups)
    n_groups = None if groups is None else keyed.count_distinct(np.asarray(groups))

    def averaged(scores: Callable[[], Scores]) -> Estimate:
        return _or_undefined(
            lambda: mean(_by_row(scores()), weights=weights, groups=groups, level=level),
            n,
            level,
            n_groups,
        )

    found: list[Figure] = [
        (
            "nll",
            "",
            "estimate",
            _warned(averaged(lambda: -families.log_prob(distribution, y)), distribution, y, grid),
        ),
        (
            "crps",
            crps_form(distribution),
            "estimate",
            averaged(lambda: families.crps(distribution, y)),
        ),
        ("rmse", "", "estimate", root(averaged(lambda: squared_errors(distribution, y)))),
        ("mae", "", "estimate", averaged(lambda: absolute_errors(distribution, y))),
    ]
    for inner in LEVELS:
        ends = _ends(distribution, inner)
        figures = {
            "coverage": _or_undefined(
                partial(_covered, ends, y, weights, groups, level), n, level, n_groups
            ),
            "interval_score": averaged(partial(_interval_scores, ends, y, inner)),
            "sharpness": averaged(partial(_widths, ends)),
        }
        found += [(name, f"{inner:g}", "estimate", figure) for name, figure in figures.items()]
        if not figures["coverage"].reason:
            expected = expected_coverage(distribution, ends(), inner, weights=weights, level=level)
            if expected is not None:
                found.append(("coverage_null", f"{inner:g}", "null", expected))
    if grid is not None:
        found += [
            (name, variant, "estimate", averaged(scores))
            for name, variant, scores in grid_scores(distribution, y, grid)
        ]
    return found + _pit_rows(
        partial(
            pit_figures, distribution, y, weights=weights, groups=groups, level=level, seed=seed
        ),
        partial(undefined, n=n, level=level, n_groups=n_groups),
    )


def grid_scores(
    distribution: ArrayDistribution, y: Scores, spacing: float
) -> list[tuple[str, str, Callable[[], Scores]]]:
    """Return the scores of targets on a grid, by metric and variant, computed when called.

    Example:
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(2), "scale": np.ones(2)})
        >>> [(name, variant) for name, variant, _ in grid_scores(d, np.array([0.0, 1.0]), 1.0)]
        [('grid_nll', '1'), ('rps', '1')]
    """
    variant = f"{spacing:g}"
    return [
        ("grid_nll", variant, lambda: -log_cell_probabilities(distribution, y, spacing)),
        ("rps", variant, lambda: grid_ranked_probability_scores(distribution, y, spacing)),
    ]


def _warned(
    nll: Estimate, distribution: ArrayDistribution, y: Scores, grid: float | None
) -> Estimate:
    """Say on a density's log score that its targets lie on a grid, where spikes pay."""
    spacing = grid_spacing(y) if grid is None else grid
    if spacing is None or nll.reason or distribution.family not in DENSITIES:
        return nll
    remedy = (
        f"give grid={spacing:g} to score log P(cell)"
        if grid is None
        else "grid_nll is the score that this can't improve"
    )
    reason = f"targets lie on a grid of {spacing:g}, where a density may spike: {remedy}"
    return nll._replace(reason=reason)


def _pit_rows(figures: Callable[[], PitFigures], absent: Callable[[str], Estimate]) -> list[Figure]:
    try:
        found = figures()
    except TypeError as error:
        # A family without order, or a joint one, has no PIT.
        nothing = absent(str(error).rstrip("."))
        found = PitFigures(nothing, nothing, nothing)
    observed, null = found.quantile_calibration_error, found.quantile_calibration_error_null
    return [
        ("pit_ks", "", "estimate", found.pit_ks),
        ("quantile_calibration_error", "l2", "estimate", observed),
        ("quantile_calibration_error_null", "l2", "null", null),
    ]


def central_interval(distribution: ArrayDistribution, level: float) -> tuple[Scores, Scores]:
    r"""Return the ends of the central interval: the quantiles :math:`(1 \mp \text{level}) / 2`.

    Args:
        distribution: N predictions.
        level: In (0, 1).

    Returns:
        Lower and upper ends, (N,) or (N, T).

    Raises:
        TypeError: For families without quantiles.
        MissingLevelError: For ``quantiles`` predictions that lack one of these levels: between
            predicted quantiles nothing was claimed.

    Example:
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(1), "scale": np.ones(1)})
        >>> [round(float(end[0]), 3) for end in central_interval(d, 0.95)]
        [-1.96, 1.96]
    """
    check_range("level", level, 0, 1, open_low=True, open_high=True)
    # (1 - 0.8) / 2 is a rounding error below 0.1, the lowest level that may have been predicted.
    low, high = round((1 - level) / 2, 12), round((1 + level) / 2, 12)
    if distribution.family == "quantiles":
        _check_predicted(distribution, low, high)
    return _quantile(distribution, low), _quantile(distribution, high)


def coverage(
    ends: tuple[ArrayLike, ArrayLike],
    target: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Return the share of targets inside closed intervals, with Wilson's interval.

    Args:
        ends: Lower and upper ends, (N,) or (N, T) each.
        target: Of the same shape.
        weights: (N,).
        groups: (N,); T targets of a row are one group where none is given.
        level: Nominal coverage of Wilson's interval.

    Example:
        >>> coverage(([0.0, 0.0], [1.0, 1.0]), [0.5, 2.0]).value
        0.5
    """
    low, high = (np.asarray(end, dtype=np.float64) for end in ends)
    y = np.asarray(target, dtype=np.float64)
    check_same_length(low=low, high=high, target=y)
    hits, w, ids = pooled((low <= y) & (y <= high), weights, groups)
    found = proportion(hits, weights=w, groups=ids, level=level)
    return found._replace(n=len(y), n_groups=None if groups is None else found.n_groups)


def interval_scores(
    ends: tuple[ArrayLike, ArrayLike], target: ArrayLike, *, level: float
) -> Scores:
    r"""Return the interval score of each target, proper for the central interval.

    .. math:: (u - l) + \frac{2}{\alpha}(l - y)_+ + \frac{2}{\alpha}(y - u)_+,
        \qquad \alpha = 1 - \text{level}

    Args:
        ends: Lower and upper ends, (N,) or (N, T) each.
        target: Of the same shape.
        level: The intervals' level.

    Example:
        >>> interval_scores(([0.0, 0.0], [1.0, 1.0]), [0.5, 2.0], level=0.5)
        array([1., 5.])
    """
    check_range("level", level, 0, 1, open_low=True, open_high=True)
    low, high = (np.asarray(end, dtype=np.float64) for end in ends)
    y = np.asarray(target, dtype=np.float64)
    miss = np.maximum(low - y, 0) + np.maximum(y - high, 0)
    out: Scores = high - low + 2 / (1 - level) * miss
    return out


def root(squared: Estimate) -> Estimate:
    """Return the square root of a mean square, its interval by the delta method on the log scale.

    The log keeps the interval above zero, and a mean of squares is more nearly log-normal.

    Example:
        >>> root(Estimate(4.0, 3.0, 5.0, n=100)).value
        2.0
    """
    value = math.sqrt(squared.value) if squared.value >= 0 else math.nan
    if math.isnan(squared.low) or value == 0:
        return squared._replace(value=value)
    factor = math.exp(squared.margin / (2 * squared.value))
    return squared._replace(value=value, low=value / factor, high=value * factor)


def _check_predicted(distribution: ArrayDistribution, low: float, high: float) -> None:
    levels = np.asarray(distribution.parameters["levels"], dtype=np.float64)
    for q in (low, high):
        if not np.isclose(levels, q, rtol=0, atol=1e-6).any():
            raise MissingLevelError(
                f"the quantiles {low:g} and {high:g} should be predicted ones, got none at {q:g}: "
                "an interpolated end is no prediction."
            )


def _quantile(distribution: ArrayDistribution, q: float) -> Scores:
    try:
        return families.quantile(distribution, q)
    except ValueError as error:
        # The level is ours and in range: only predicted quantiles can refuse it.
        raise MissingLevelError(str(error)) from error


def squared_errors(distribution: ArrayDistribution, y: Scores) -> Scores:
    """Return the squared error of the predicted mean for each target.

    Raises:
        TypeError: Where a prediction has no finite mean.

    Example:
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(1), "scale": np.ones(1)})
        >>> squared_errors(d, np.array([3.0]))
        array([9.])
    """
    centre = families.mean(distribution)
    if not np.isfinite(centre).all():
        raise TypeError(f"{int((~np.isfinite(centre)).sum())} predictions have no finite mean")
    out: Scores = (centre - y) ** 2
    return out


def absolute_errors(distribution: ArrayDistribution, y: Scores) -> Scores:
    """Return the absolute error of the predicted median for each target.

    Raises:
        TypeError: For families without quantiles.
        MissingLevelError: For ``quantiles`` predictions that do not reach the median.

    Example:
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(1), "scale": np.ones(1)})
        >>> absolute_errors(d, np.array([-3.0]))
        array([3.])
    """
    out: Scores = np.abs(_quantile(distribution, 0.5) - y)
    return out


def _ends(distribution: ArrayDistribution, level: float) -> Callable[[], tuple[Scores, Scores]]:
    """The central interval on demand, computed once for the three figures that need it."""
    kept: list[tuple[Scores, Scores]] = []

    def ends() -> tuple[Scores, Scores]:
        if not kept:
            kept.append(central_interval(distribution, level))
        return kept[0]

    return ends


def _covered(
    ends: Callable[[], tuple[Scores, Scores]],
    y: Scores,
    weights: ArrayLike | None,
    groups: ArrayLike | None,
    level: float,
) -> Estimate:
    return coverage(ends(), y, weights=weights, groups=groups, level=level)


def _interval_scores(ends: Callable[[], tuple[Scores, Scores]], y: Scores, level: float) -> Scores:
    return interval_scores(ends(), y, level=level)


def _widths(ends: Callable[[], tuple[Scores, Scores]]) -> Scores:
    low, high = ends()
    return high - low


def _by_row(scores: Scores) -> Scores:
    return scores if scores.ndim == 1 else scores.reshape(len(scores), -1).mean(axis=1)


def _or_undefined(
    figure: Callable[[], Estimate], n: int, level: float, n_groups: int | None
) -> Estimate:
    """A family that cannot answer raises TypeError, one that lacks a level ValueError."""
    try:
        return figure()
    except (TypeError, MissingLevelError) as error:
        return undefined(str(error).rstrip("."), n=n, level=level, n_groups=n_groups)
