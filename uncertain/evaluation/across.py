"""Several trainings of one source: their mean, and two intervals that answer different questions.

Over ``items`` (new rows, these trainings), over ``trainings`` (a new training, these rows) and over
``both``. A spread over seeds says nothing of the rows, an interval over rows nothing of the seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.results import Row
from uncertain.evaluation.row_scores import row_scores
from uncertain.intervals import Estimate, crossed, over_trainings


def across_trainings(
    rows: Sequence[Row], cases: Sequence[Predictions], *, level: float = 0.95
) -> list[Row]:
    """Return the rows of means over trainings, for sources that have more than one.

    Means of row scores on shared rows have all three intervals; other figures (AUROC, ECE) the one
    over trainings, as does everything where trainings were judged on different rows.

    Args:
        rows: The figures of single trainings.
        cases: The predictions behind them.
        level: Confidence level.

    Returns:
        Rows with an empty ``training``.
    """
    runs: dict[tuple[str, str, str], list[Predictions]] = {}
    for case in cases:
        if case.target is not None and case.ood_name is None:
            runs.setdefault((case.task, case.source, case.split), []).append(case)
    found: list[Row] = []
    covered: set[tuple[str, str, str, str]] = set()
    for key, trained in runs.items():
        if len(trained) > 1 and same_rows(trained):
            for row in _crossed_rows(trained, level):
                found.append(row)
                covered.add((*key, row.metric))
    return found + _spreads(rows, covered, level)


def same_rows(cases: Sequence[Predictions]) -> bool:
    """Return whether predictions are of the same rows in the same order."""
    first = cases[0]
    if any(len(case) != len(first) for case in cases):
        return False
    if all(case.row_ids is not None for case in cases):
        return all(np.array_equal(case.row_ids, first.row_ids) for case in cases)  # type: ignore[arg-type]
    return all(np.array_equal(case.target, first.target) for case in cases)  # type: ignore[arg-type]


def _crossed_rows(trained: Sequence[Predictions], level: float) -> list[Row]:
    scores = [row_scores(case) for case in trained]
    first = trained[0]
    rows = []
    for metric in scores[0]:
        table = np.stack([score[metric] for score in scores])
        # An infinite NLL has no spread; the single trainings' rows say so already.
        if not np.isfinite(table).all():
            continue
        estimates = crossed(table, weights=first.weights, groups=first.groups, level=level)
        rows += [_row(first, metric, "", first.split, estimate) for estimate in estimates]
    return rows


def _spreads(
    rows: Sequence[Row], covered: set[tuple[str, str, str, str]], level: float
) -> list[Row]:
    """Return mean and t interval over trainings of every other figure."""
    figures: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        done = (row.task, row.source, row.split, row.metric) in covered
        if row.training and not done and row.kind == "estimate" and math.isfinite(row.value):
            key = (row.task, row.source, row.split, row.metric, row.variant)
            figures.setdefault(key, []).append(row)
    found = []
    for trained in figures.values():
        if len(trained) > 1:
            first = trained[0]
            estimate = over_trainings([row.value for row in trained], level=level, n=first.n)
            reason = first.reason if first.reason.startswith("trivial") else ""
            found.append(
                Row.from_estimate(
                    first.metric,
                    estimate._replace(reason=reason or estimate.reason),
                    source=first.source,
                    variant=first.variant,
                    split=first.split,
                    task=first.task,
                    positive_class=first.positive_class,
                )
            )
    return found


def _row(case: Predictions, metric: str, variant: str, split: str, estimate: Estimate) -> Row:
    return Row.from_estimate(
        metric, estimate, source=case.source, variant=variant, split=split, task=case.task
    )
