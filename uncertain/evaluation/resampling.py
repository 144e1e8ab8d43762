"""Trainings on several splits of one data set: which they are, and the one interval they allow.

Standard splits (those of the UCI regression sets, say) draw their test rows from the same rows again
and again. The spread over splits is then no spread over data sets: the corrected resampled t of
:func:`uncertain.intervals.corrected_resampled_t` accounts for the rows that trainings share.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from uncertain import keyed
from uncertain.evaluation.alignment import same_rows
from uncertain.evaluation.predictions import Predictions


def overlap(cases: Sequence[Predictions]) -> float | None:
    """Return the share of rows that each split tests, where trainings are splits of one data set.

    Args:
        cases: Trainings of one source, each on the rows that it was tested on.

    Returns:
        Test rows over all rows, averaged over trainings; ``None`` where a training does not say how
        many rows it was trained on, or where the row ids name more rows than one data set of that
        size has, so that trainings saw different data.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(5), "scale": np.ones(5)})
        >>> a = Predictions(d, np.arange(5.0), row_ids=np.arange(5), training_rows=45)
        >>> b = Predictions(d, np.arange(5.0), row_ids=np.arange(3, 8), training_rows=45)
        >>> overlap([a, b])
        0.1
    """
    known = [(len(case), case.training_rows) for case in cases if case.training_rows is not None]
    if len(known) < len(cases) or not known:
        return None
    sizes = [test + train for test, train in known]
    ids = [case.row_ids for case in cases if case.row_ids is not None]
    if len(ids) == len(cases) and keyed.count_distinct(np.concatenate(ids)) > max(sizes):
        return None
    shares = [test / size for (test, _), size in zip(known, sizes, strict=True)]
    return float(np.mean(shares))


def shares_tested(cases: Sequence[Predictions]) -> dict[tuple[str, str], float | None]:
    """Return :func:`overlap` by task and source; ``None`` where trainings share their test rows."""
    runs: dict[tuple[str, str], list[Predictions]] = {}
    for case in cases:
        if case.split == "test" and case.target is not None:
            runs.setdefault((case.task, case.source), []).append(case)
    return {key: None if same_rows(trained) else overlap(trained) for key, trained in runs.items()}
