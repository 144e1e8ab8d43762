"""Differences of two sources' figures that are no means of row scores, one training each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain import families
from uncertain.evaluation.alignment import canonical_order, in_one_order
from uncertain.evaluation.comparison_bootstrap import calibration_difference
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.ranking import ranking_values
from uncertain.evaluation.regression import squared_errors
from uncertain.evaluation.row_scores import row_scores
from uncertain.evaluation.sides import both_groups, both_weights
from uncertain.evaluation.uncertainty import models_scores, uncertainty_scores
from uncertain.intervals import Estimate, delong_difference, mean, undefined

_WORK = 2e8
"""Rows times replicates that a bootstrap may cost: about two seconds of one core."""

Figure = tuple[str, str, str, Estimate]
"""Metric, variant, split, estimate."""


def figure_differences(
    first: Predictions,
    second: Predictions,
    strange: Sequence[tuple[Predictions, Predictions]],
    *,
    level: float,
    replicates: int,
    seed: int,
) -> Iterator[Figure]:
    """Yield the differences of calibration, AUGRC, AURC and RMSE, and of AUROC on strange rows.

    Args:
        first: Predictions of one source.
        second: Predictions of another, for the same rows in the same order.
        strange: The two sources' out-of-distribution predictions, partner by partner; they are
            paired by row id, as strange rows have no labels that could tell.
        level: Confidence level.
        replicates: Bootstrap replicates; fewer above 200,000 rows, to bound the time.
        seed: Of the bootstrap.

    Raises:
        ValueError: Strange rows have ids that differ, or other weights or groups.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> y = np.zeros(4)
        >>> near, far = (
        ...     Predictions(ArrayDistribution("normal", {"loc": loc, "scale": np.ones(4)}), y)
        ...     for loc in (np.array([0.0, 0.1, 0.1, 0.2]), np.array([1.0, 1.1, 0.9, 1.2]))
        ... )
        >>> [(metric, _, _, estimate)] = figure_differences(
        ...     near, far, [], level=0.95, replicates=100, seed=0
        ... )
        >>> metric, estimate.high < 0
        ('rmse', True)
    """
    draws = int(np.clip(_WORK / len(first), 100, replicates))
    if first.is_classification:
        yield _calibration(first, second, level, draws, seed)
        yield from _selective(first, second, level)
        for inside, outside in strange:
            yield from _told_apart(first, second, inside, outside, level)
    else:
        yield from _rmse(first, second, level)
        for inside, outside in strange:
            yield from _told_apart(first, second, inside, outside, level)


def _calibration(
    first: Predictions, second: Predictions, level: float, draws: int, seed: int
) -> Figure:
    a, b = _confidence(first), _confidence(second)
    # Row weights are drawn and summed in an order of the rows' own, not of the file.
    order = canonical_order([*a, *b], like=first)
    estimate = calibration_difference(
        (a[0][order], a[1][order]),
        (b[0][order], b[1][order]),
        units=_units(first, order),
        weights=None if first.weights is None else first.weights[order],
        level=level,
        seed=seed,
        replicates=draws,
    )
    return "squared_calibration_error_debiased", "equal_width,15,l2,top_label", "test", estimate


def _selective(first: Predictions, second: Predictions, level: float) -> Iterator[Figure]:
    """Yield differences of AUGRC, AURC and its excess; the models' mistakes differ."""
    figures: dict[str, list[float]] = {"augrc": [], "aurc": [], "excess_aurc": []}
    influences: dict[str, list[NDArray[np.float64]]] = {name: [] for name in figures}
    for case in (first, second):
        confidence, correct = _confidence(case)
        doubt, wrong = 1 - confidence, 1 - correct
        found = ranking_values(doubt, wrong == 1, weights=case.weights)
        area = risk_coverage_influence(doubt, wrong, case.weights)
        rate = mean(wrong, weights=case.weights, level=level).value
        # The oracle's area, r + (1 - r) ln(1 - r), moves by -ln(1 - r) with the error rate.
        oracle = -math.log1p(-min(rate, 1 - 1e-12)) * (wrong - rate)
        parts = {
            "augrc": generalised_risk_influence(doubt, wrong, case.weights),
            "aurc": area,
            "excess_aurc": area - oracle,
        }
        for name, influence in parts.items():
            figures[name].append(found[name])
            influences[name].append(influence)
    for name in figures:
        estimate = _by_influence(figures[name], influences[name], first, level)
        yield name, "error:msp", "test", estimate


def generalised_risk_influence(
    uncertainty: NDArray[np.float64],
    wrong: NDArray[np.float64],
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    r"""Return what each row adds to the area under the generalised risk, to first order.

    The area averages over pairs of rows whether the less certain one is accepted by way of the
    other, so a row adds the share of mistakes that are more certain than it, and if it is a mistake
    itself, the share of rows that are less certain; ties half.

    Args:
        uncertainty: (N,), larger is less certain.
        wrong: (N,) 1 where the model errs, else 0.
        weights: (N,) or ``None``.

    Returns:
        (N,) with weighted mean 0; its standard error is that of the area.
    """
    group, s, e = _tie_groups(uncertainty, wrong, weights)
    total = s.sum()
    mistakes = np.cumsum(e) - e / 2
    below = np.cumsum(s) - s / 2
    area = float(np.dot(s, mistakes)) / total**2
    return np.asarray(mistakes[group] / total + wrong * (1 - below[group] / total) - 2 * area)


def risk_coverage_influence(
    uncertainty: NDArray[np.float64],
    wrong: NDArray[np.float64],
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    r"""Return what each row adds to the area under the risk-coverage curve, to first order.

    A tie group of weight s with mistakes e, after E mistakes in weight C, adds
    :math:`f = e + (E - eC/s) \ln(1 + s/C)`; a row's influence is the derivative of
    :math:`\sum f / W` by its weight, through its own group and every later one.

    Args:
        uncertainty: (N,), larger is less certain.
        wrong: (N,) 1 where the model errs, else 0.
        weights: (N,) or ``None``.

    Returns:
        (N,) with weighted mean 0; its standard error is that of the area.
    """
    group, s, e = _tie_groups(uncertainty, wrong, weights)
    C, E = np.cumsum(s) - s, np.cumsum(e) - e
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.log1p(s / C)
        left = E - e * C / s
        f = e + left * log
        by_C = -(e / s) * log + left * (1 / (C + s) - 1 / C)
        by_e = 1 - (C / s) * log
        by_s = e * C / s**2 * log + left / (C + s)
    # Nothing is covered before the first group, which adds just its mistakes; empty groups, nothing.
    none, empty = C == 0, s == 0
    log, by_C, by_s = (np.where(none | empty, 0.0, x) for x in (log, by_C, by_s))
    f, by_e = np.where(none, e, np.where(empty, 0.0, f)), np.where(none | empty, 1.0, by_e)
    later_E = np.cumsum(log[::-1])[::-1] - log
    later_C = np.cumsum(by_C[::-1])[::-1] - by_C
    by_row = wrong * (later_E + by_e)[group] + (later_C + by_s)[group]
    return np.asarray(by_row - f.sum() / s.sum())


def _tie_groups(
    uncertainty: NDArray[np.float64],
    wrong: NDArray[np.float64],
    weights: NDArray[np.float64] | None,
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Return the tie group of each row, and each group's weight and mistakes, most certain first."""
    # Inside a tie group too the order is the rows' own: sums of weights then keep their bits.
    keys = (uncertainty,) if weights is None else (wrong, weights, uncertainty)
    order = np.lexsort(keys)
    ties = np.cumsum(np.diff(uncertainty[order], prepend=-np.inf) > 0) - 1
    group = np.empty(len(order), dtype=np.intp)
    group[order] = ties
    w = np.ones(len(order)) if weights is None else weights * (len(order) / math.fsum(weights))
    s = np.bincount(ties, weights=w[order])
    e = np.bincount(ties, weights=(w * wrong)[order])
    return group, np.asarray(s, np.float64), np.asarray(e, np.float64)


def _by_influence(
    figures: Sequence[float],
    influences: Sequence[NDArray[np.float64]],
    first: Predictions,
    level: float,
) -> Estimate:
    """Return the difference of two figures by the delta method, paired row by row."""
    rows = influences[0] - influences[1]
    centre = mean(rows, weights=first.weights, level=level).value
    return mean(
        rows - centre + (figures[0] - figures[1]),
        weights=first.weights,
        groups=first.groups,
        level=level,
        null=0.0,
    )


def _told_apart(
    first: Predictions,
    second: Predictions,
    first_strange: Predictions,
    second_strange: Predictions,
    level: float,
) -> Iterator[Figure]:
    """Yield differences of AUROC, paired on test rows and on strange rows."""
    paired = first_strange.row_ids is not None and second_strange.row_ids is not None
    if paired:
        first_strange, second_strange = in_one_order([first_strange, second_strange])
    a, b = models_scores(uncertainty_scores(first)), models_scores(uncertainty_scores(second))
    c, d = uncertainty_scores(first_strange), uncertainty_scores(second_strange)
    strange = np.repeat([False, True], [len(first), len(first_strange)])
    split = first_strange.split
    for name in [name for name in a if name in b and name in c and name in d]:
        if not paired:
            yield "auroc", f"{split}:{name}", split, _unpaired(first, split, level)
            continue
        one, two = np.concatenate([a[name], c[name]]), np.concatenate([b[name], d[name]])
        estimate = _paired_areas(one, two, strange, first, first_strange, level)
        yield "auroc", f"{split}:{name}", split, estimate


def _unpaired(first: Predictions, split: str, level: float) -> Estimate:
    reason = f"rows of {split} have no labels to pair them by: give row ids to compare the sources"
    return undefined(reason, n=len(first), level=level)


def _paired_areas(
    one: NDArray[np.float64],
    two: NDArray[np.float64],
    strange: NDArray[np.bool_],
    first: Predictions,
    first_strange: Predictions,
    level: float,
) -> Estimate:
    weights, groups = both_weights(first, first_strange), both_groups(first, first_strange)
    keys: list[NDArray[Any]] = [one, two, strange]
    keys += [key for key in (weights, groups) if key is not None]
    order = np.lexsort(keys)
    return delong_difference(
        one[order],
        two[order],
        strange[order],
        weights=None if weights is None else weights[order],
        groups=None if groups is None else groups[order],
        level=level,
    )


def _rmse(first: Predictions, second: Predictions, level: float) -> Iterator[Figure]:
    figures, influences = [], []
    for case in (first, second):
        try:
            errors = squared_errors(case.distribution, np.asarray(case.target, dtype=np.float64))
        except TypeError:
            # A family without a mean has no RMSE; its own row says so.
            return
        squares = errors.reshape(len(case), -1).mean(axis=1)
        root = math.sqrt(mean(squares, weights=case.weights, level=level).value)
        figures.append(root)
        influences.append(squares / (2 * root) if root > 0 else squares)
    yield "rmse", "", "test", _by_influence(figures, influences, first, level)


def _confidence(case: Predictions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    p = families.class_probabilities(case.distribution)
    return p.max(axis=1).astype(np.float64), row_scores(case)["accuracy"]


def _units(case: Predictions, order: NDArray[np.intp] | slice) -> NDArray[np.generic]:
    """Return what the bootstrap draws, in the canonical order: groups, ids, or places in it."""
    if case.groups is not None:
        return np.asarray(case.groups[order])
    return np.arange(len(case)) if case.row_ids is None else np.asarray(case.row_ids)
