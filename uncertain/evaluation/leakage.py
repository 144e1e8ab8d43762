"""A calibration that has seen the rows it is judged on: found out, and said in every figure.

``Predictions.fitted_on`` tells which rows the calibrators of a source were fitted on. Where these are
among the rows that are judged, no figure of the source is left without the reason: not its means over
trainings, not its differences from others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.results import Row

LEAK = "calibrated on the rows judged: "
"""What the reason of such a figure starts with."""


def leak(case: Predictions) -> str:
    """Return why predictions must not be judged on their rows, empty where nothing speaks against it.

    Example:
        >>> import numpy as np
        >>> from uncertain.families import ArrayDistribution
        >>> from uncertain.predictive import fitted_on
        >>> d = ArrayDistribution("categorical", {"probs": np.array([[0.9, 0.1], [0.2, 0.8]])})
        >>> used = fitted_on("temperature", split="test", rows=2)
        >>> leak(Predictions(d, np.array([0, 1]), fitted_on=(used,)))
        'calibrated on the rows judged: temperature was fitted on 2 rows of the test split'
    """
    for used in case.fitted_on:
        shared = used.shared_rows(case.row_ids, case.target)
        if used.split == case.split:
            return f"{LEAK}{used.method} was fitted on {used.rows:,} rows of the {case.split} split"
        if shared:
            words = f"{shared:,} of them are among the {used.rows:,} of the {used.split} split"
            return f"{LEAK}{words} that {used.method} was fitted on"
        if used.same_targets(case.row_ids, case.target):
            return (
                f"{LEAK}the same targets in the same order as the {used.rows:,} rows of the "
                f"{used.split} split that {used.method} was fitted on; row ids on both would tell"
            )
    return ""


def with_leaks(rows: Sequence[Row], cases: Iterable[Predictions]) -> list[Row]:
    """Return the rows, those of a source that has seen its own with the reason in front.

    Args:
        rows: Figures of any kind.
        cases: The predictions behind them.
    """
    found: dict[tuple[str, str], str] = {}
    for case in cases:
        if why := leak(case):
            found.setdefault((case.task, case.source), why)
    if not found:
        return list(rows)
    return [_marked(row, found) for row in rows]


def leaks_of(rows: Iterable[Row]) -> dict[str, str]:
    """Return source -> why its figures flatter it, from a table alone.

    Example:
        >>> leaks_of([Row("accuracy", 0.9, source="net", reason=f"{LEAK}all of them")])
        {'net': 'calibrated on the rows judged: all of them'}
    """
    return {
        row.source: row.reason.partition("; ")[0]
        for row in rows
        if row.reason.startswith(LEAK) and not row.other
    }


def _marked(row: Row, found: dict[tuple[str, str], str]) -> Row:
    for source in (row.source, row.other):
        if why := found.get((row.task, source), ""):
            words = f"{why}; {row.reason}" if row.reason else why
            return dataclasses.replace(row, reason=words)
    return row
