"""Conformal sets and intervals of a run: fitted on each cell's validation rows, judged on the others."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence

from uncertain.evaluation import Predictions, Row
from uncertain.evaluation.across import means_of_figures
from uncertain.evaluation.conformal import (
    ConformalIntervals,
    ConformalSets,
    conformal_rows,
    fit_aps,
    fit_cqr,
    fit_normalised_residuals,
    fit_raps,
    fit_thr,
)
from uncertain.evaluation.conformal.judging import Fit
from uncertain.intervals import undefined

ALPHA = 0.1
"""The share of targets that may be missed."""
SETS: dict[str, Fit] = {
    "THR": fit_thr,
    "APS": fit_aps,
    # With the usual five classes free it would be APS on most tasks: their sets have fewer.
    "RAPS": functools.partial(fit_raps, free_classes=1),
}
INTERVALS: dict[str, Fit] = {"CQR": fit_cqr, "normalised_residuals": fit_normalised_residuals}


def conformal_figures(
    predictions: Iterable[Predictions], validation: Iterable[Predictions], *, level: float = 0.95
) -> list[Row]:
    """Return coverage and size of every method that fits a task, and their means over trainings.

    Coverage by class and by size is that of the test split. A model whose predictions a method can't
    take has an undefined figure that says why.

    Args:
        predictions: Test and shifted splits; those without labels are left out.
        validation: One a task, source and training; a source without has no figures.
        level: Confidence level of every interval.
    """
    cases: dict[tuple[str, str, str], list[Predictions]] = {}
    for case in predictions:
        if case.target is not None and case.ood_name is None:
            cases.setdefault((case.task, case.source, case.training), []).append(case)
    rows: list[Row] = []
    for held in validation:
        judged = cases.get((held.task, held.source, held.training), [])
        for name, fit in (SETS if held.is_classification else INTERVALS).items():
            rows += _method_rows(name, fit, held, judged, level)
    return _with_means(rows, [case for judged in cases.values() for case in judged], level)


def _method_rows(
    name: str, fit: Fit, held: Predictions, judged: Sequence[Predictions], level: float
) -> list[Row]:
    fitted: ConformalSets | ConformalIntervals | Exception
    try:
        fitted = fit(held, alpha=ALPHA)
    except (TypeError, ValueError) as error:
        fitted = error
    rows: list[Row] = []
    for case in judged:
        try:
            if isinstance(fitted, Exception):
                raise fitted
            found = conformal_rows(fitted, case, level=level)
            rows += [row for row in found if case.split == "test" or "_by_" not in row.metric]
        except (TypeError, ValueError) as error:
            rows.append(_undefined_row(name, case, str(error), level))
    return rows


def _undefined_row(name: str, case: Predictions, reason: str, level: float) -> Row:
    return Row.from_estimate(
        "conformal_coverage",
        undefined(reason, n=len(case), level=level),
        source=case.source,
        variant=f"{name},{1 - ALPHA:.12g}",
        split=case.split,
        task=case.task,
        training=case.training,
    )


def _with_means(rows: list[Row], cases: Sequence[Predictions], level: float) -> list[Row]:
    """Add means over trainings; of parts keep the means only, and only of parts that all trainings have.

    A mean coverage has the smallest p-value of its trainings times their number (Bonferroni): they may
    share rows, so no p-value of their sum is known.
    """
    trained: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        trained.setdefault(_key(row), []).append(row)
    count = {
        key: len({c.training for c in cases if (c.task, c.source) == key})
        for key in {(c.task, c.source) for c in cases}
    }
    whole = [row for row in rows if len(trained[_key(row)]) == count[row.task, row.source]]
    means = []
    for mean in means_of_figures(whole, cases, level=level):
        found = [row.p_value for row in trained[_key(mean)] if row.p_value is not None]
        lowest = min(1.0, len(found) * min(found)) if found else None
        means.append(dataclasses.replace(mean, p_value=lowest))
    singles = [row for row in rows if "_by_" not in row.metric or count[row.task, row.source] == 1]
    return singles + means


def _key(row: Row) -> tuple[str, ...]:
    return row.task, row.source, row.split, row.metric, row.variant
