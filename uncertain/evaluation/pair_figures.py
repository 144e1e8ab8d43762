"""Differences of two sources' figures that are no means of row scores, one training each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from uncertain import families
from uncertain.evaluation.comparison_bootstrap import calibration_difference
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.ranking import area_under_risk_coverage, rank_curve
from uncertain.evaluation.row_scores import row_scores
from uncertain.evaluation.uncertainty import models_scores, uncertainty_scores
from uncertain.intervals import Estimate, delong_difference, mean

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
    """Yield the differences of calibration, AURC and RMSE, and of AUROC on strange rows.

    Args:
        first: Predictions of one source.
        second: Predictions of another, for the same rows in the same order.
        strange: The two sources' out-of-distribution predictions, partner by partner.
        level: Confidence level.
        replicates: Bootstrap replicates; fewer above 200,000 rows, to bound the time.
        seed: Of the bootstrap.
    """
    draws = int(np.clip(_WORK / len(first), 100, replicates))
    if first.is_classification:
        yield _calibration(first, second, level, draws, seed)
        yield _risk_coverage(first, second, level)
        for inside, outside in strange:
            yield from _told_apart(first, second, inside, outside, level)
    else:
        yield _rmse(first, second, level)


def _calibration(
    first: Predictions, second: Predictions, level: float, draws: int, seed: int
) -> Figure:
    estimate = calibration_difference(
        _confidence(first),
        _confidence(second),
        units=_units(first),
        weights=first.weights,
        level=level,
        seed=seed,
        replicates=draws,
    )
    return "squared_calibration_error_debiased", "equal_width,15,l2,top_label", "test", estimate


def _risk_coverage(first: Predictions, second: Predictions, level: float) -> Figure:
    """Return the difference of AURC by maximum probability; the models' mistakes differ."""
    figures, influences = [], []
    for case in (first, second):
        confidence, correct = _confidence(case)
        curve = rank_curve(1 - confidence, correct == 0, weights=case.weights)
        figures.append(area_under_risk_coverage(curve))
        influences.append(risk_coverage_influence(1 - confidence, 1 - correct, case.weights))
    estimate = _by_influence(figures, influences, first, level)
    return "aurc", "error:msp", "test", estimate


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
    order = np.argsort(uncertainty, kind="stable")
    ties = np.cumsum(np.diff(uncertainty[order], prepend=-np.inf) > 0) - 1
    group = np.empty(len(order), dtype=np.intp)
    group[order] = ties
    w = np.ones(len(order)) if weights is None else weights / weights.mean()
    s = np.bincount(group, weights=w)
    e = np.bincount(group, weights=w * wrong)
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


def _by_influence(
    figures: Sequence[float],
    influences: Sequence[NDArray[np.float64]],
    first: Predictions,
    level: float,
) -> Estimate:
    """Return the difference of two figures by the delta method, paired row by row."""
    rows = influences[0] - influences[1]
    centre = np.average(rows, weights=first.weights)
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
    """Yield paired differences of AUROC where both sources' strange rows are the same."""
    if len(first_strange) != len(second_strange):
        return
    a, b = models_scores(uncertainty_scores(first)), models_scores(uncertainty_scores(second))
    c, d = uncertainty_scores(first_strange), uncertainty_scores(second_strange)
    strange = np.repeat([False, True], [len(first), len(first_strange)])
    for name in a:
        if name in b and name in c and name in d:
            estimate = delong_difference(
                np.concatenate([a[name], c[name]]),
                np.concatenate([b[name], d[name]]),
                strange,
                level=level,
            )
            split = first_strange.split
            yield "auroc", f"{split}:{name}", split, estimate


def _rmse(first: Predictions, second: Predictions, level: float) -> Figure:
    figures, influences = [], []
    for case in (first, second):
        errors = (families.mean(case.distribution) - np.asarray(case.target)) ** 2
        squares = errors.reshape(len(case), -1).mean(axis=1)
        root = float(np.sqrt(np.average(squares, weights=first.weights)))
        figures.append(root)
        influences.append(squares / (2 * root) if root > 0 else squares)
    return "rmse", "", "test", _by_influence(figures, influences, first, level)


def _confidence(case: Predictions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    p = families.class_probabilities(case.distribution)
    return p.max(axis=1).astype(np.float64), row_scores(case)["accuracy"]


def _units(case: Predictions) -> NDArray[np.generic]:
    if case.groups is not None:
        return np.asarray(case.groups)
    return np.arange(len(case)) if case.row_ids is None else np.asarray(case.row_ids)
