"""Every comparison once more, after each model got its best temperature: the same rules for all.

A model that is only too sure of itself loses to one that is not, though one number would repair it. So
sources are also compared after temperature scaling of all of them. The temperature is fitted on
validation rows of the same source and training. Without any, the judged rows are cut in two halves, by
group, and each is scaled by the temperature of the other.

Intervals are about rows and trainings; a temperature counts as a part of its model.

References:
    Ashukha, Lyzhov, Molchanov, Vetrov, Pitfalls of in-domain uncertainty estimation and ensembling in
    deep learning, ICLR (2020), section 4.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uncertain import families
from uncertain.evaluation.across import across_trainings
from uncertain.evaluation.leakage import with_leaks
from uncertain.evaluation.predictions import Predictions, RepeatedRowsWarning
from uncertain.evaluation.results import Results, Row
from uncertain.evaluation.row import NAN
from uncertain.keyed import hash_rows, uniforms

SCALED = "temperature_scaled"
"""What the variant of such a figure is, or starts with."""
_UNCHANGED = frozenset({"accuracy"})
_LOST = ("nll", "brier", "ece_debiased")
"""What is missing where a source can't be scaled."""

Judge = Callable[[Predictions], list[Row]]
Key = tuple[str, str, str]


class _Scaled(NamedTuple):
    case: Predictions
    how: str


def scaled_rows(
    cases: Sequence[Predictions],
    validation: Iterable[Predictions],
    *,
    judge: Judge,
    compare: bool = True,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
) -> list[Row]:
    """Return the figures of classes after temperature scaling: those that it changes.

    Args:
        cases: What is judged; out-of-distribution and unlabelled rows, and numbers, are left alone.
        validation: Rows to fit on, by task, source and training; ``validation`` splits among the
            cases are taken too.
        judge: From predictions to their figures.
        compare: Whether sources are compared in pairs.
        level: Confidence level.
        replicates: Bootstrap replicates.
        seed: Of the bootstrap.

    Returns:
        Rows whose variant starts with ``temperature_scaled``, and whose reason says how.

    Raises:
        ValueError: Validation rows of one source and training come twice, or belong to none.
    """
    judged = [
        case
        for case in cases
        if case.is_classification and case.target is not None and case.ood_name is None
    ]
    known = _by_key(validation, cases)
    scaled, lost = _scaled_cases(judged, known)
    made = [each.case for each in scaled]
    rows = [row for case in made for row in judge(case)]
    rows += across_trainings(rows, made, level=level)
    if compare and len({case.source for case in made}) > 1:
        from uncertain.evaluation.pair_letters import lettered
        from uncertain.evaluation.pairs import compare_sources

        pairs, letters = compare_sources(made, rows, level=level, replicates=replicates, seed=seed)
        kept = {row.metric for row in rows} | {"squared_calibration_error_debiased"}
        rows = [lettered(row, letters) for row in rows]
        rows += [row for row in pairs if row.metric in kept and ":" not in row.variant]
    how = {(c.task, c.source, c.training, c.split): words for c, words in scaled}
    named = [_named(row, how) for row in rows if row.metric not in _UNCHANGED]
    return [*with_leaks(named, made), *lost]


def is_scaled(row: Row) -> bool:
    """Return whether a figure was taken after temperature scaling.

    Example:
        >>> is_scaled(Row("nll", 0.3, variant="temperature_scaled")), is_scaled(Row("nll", 0.4))
        (True, False)
    """
    return row.variant.partition(",")[0] == SCALED


def as_raw(results: Results) -> Results:
    """Return the figures after temperature scaling under the names of those before it.

    Example:
        >>> table = Results([Row("nll", 0.3, variant="temperature_scaled"), Row("nll", 0.4)])
        >>> [(row.value, row.variant) for row in as_raw(table)]
        [(0.3, '')]
    """
    rows = [row for row in results.rows if is_scaled(row)]
    renamed = [dataclasses.replace(row, variant=row.variant.partition(",")[2]) for row in rows]
    return Results(renamed, results.metadata)


def _key(case: Predictions) -> Key:
    return case.task, case.source, case.training


def _by_key(
    validation: Iterable[Predictions], cases: Sequence[Predictions]
) -> dict[Key, Predictions]:
    known = {_key(case): case for case in cases if case.split == "validation"}
    sources = {_key(case) for case in cases}
    given: dict[Key, Predictions] = {}
    for case in validation:
        name = f"source {case.source!r}, training {case.training!r}, task {case.task!r}"
        if _key(case) in given:
            raise ValueError(f"`validation` should come once, got {name} twice.")
        if _key(case) not in sources:
            raise ValueError(
                f"`validation` should belong to what is judged, got {name}, of which there is nothing."
            )
        given[_key(case)] = case
    return known | given


def _scaled_cases(
    judged: Sequence[Predictions], known: dict[Key, Predictions]
) -> tuple[list[_Scaled], list[Row]]:
    """Return the scaled cases, and for sources of which one can't be scaled why."""
    scaled: list[_Scaled] = []
    lost: dict[tuple[str, str], str] = {}
    for case in judged:
        rows = known.get(_key(case))
        try:
            if rows is None or rows.split == case.split == "validation":
                scaled.append(_cross_fitted(case))
            else:
                scaled.append(_fitted(case, rows))
        except ValueError as error:
            lost.setdefault((case.task, case.source), str(error).rstrip("."))
    # A mean over the trainings that can be scaled would flatter the source.
    left = [each for each in scaled if (each.case.task, each.case.source) not in lost]
    missing = [
        Row(
            metric, NAN, kind="undefined", source=case.source, variant=SCALED, split=case.split,
            task=case.task, training=case.training, n=len(case), reason=lost[case.task, case.source],
        )
        for case in judged
        if (case.task, case.source) in lost
        for metric in _LOST
    ]  # fmt: skip
    return left, missing


def _fitted(case: Predictions, rows: Predictions) -> _Scaled:
    from uncertain.evaluation.calibrators.temperature import fit_temperature

    fitted = fit_temperature(rows)
    bound = ", an end of its range" if fitted.at_bound else ""
    pooled = "" if case.distribution.mixture_weights is None else " of the pooled members"
    how = (
        f"temperature {fitted.temperatures[0]:.3g}{pooled}{bound}, fitted on {len(rows):,} rows of the "
        f"{rows.split} split"
    )
    made = _quietly(
        case,
        distribution=fitted.calibrate(case.distribution),
        fitted_on=(*case.fitted_on, fitted.fitted_on),
    )
    return _Scaled(made, how)


def _cross_fitted(case: Predictions) -> _Scaled:
    from uncertain.evaluation.calibrators.temperature import fit_temperature

    log_p = families.class_log_probabilities(case.distribution)
    half = _halves(case, log_p)
    found = np.empty_like(log_p)
    temperatures = []
    for inside in (half, ~half):
        d = families.select(case.distribution, inside)
        target = np.asarray(case.target)[inside]
        weights = None if case.weights is None else case.weights[inside]
        fitted = fit_temperature(d, target, weights=weights)
        other = families.select(case.distribution, ~inside)
        found[~inside] = families.class_log_probabilities(fitted.calibrate(other))
        temperatures.append(f"{fitted.temperatures[0]:.3g}")
    how = f"temperatures {' and '.join(temperatures)}, each half of the rows scaled by the other's"
    distribution = families.ArrayDistribution("categorical", {"logits": found})
    return _Scaled(_quietly(case, distribution=distribution), how)


def _halves(case: Predictions, log_p: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return one half of the rows: groups stay whole, and the order of the rows changes nothing."""
    if case.groups is not None:
        values, place = np.unique(case.groups, return_inverse=True)
        return np.asarray(uniforms(hash_rows(values))[place] < 0.5)
    if case.row_ids is not None:
        return np.asarray(uniforms(hash_rows(case.row_ids)) < 0.5)
    return np.asarray(uniforms(hash_rows(*log_p.T, np.asarray(case.target))) < 0.5)


def _quietly(case: Predictions, **changes: object) -> Predictions:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RepeatedRowsWarning)
        return dataclasses.replace(case, **changes)  # type: ignore[arg-type]


def _named(row: Row, how: dict[tuple[str, str, str, str], str]) -> Row:
    words = how.get(
        (row.task, row.source, row.training, row.split), "temperatures of each training"
    )
    if row.other:
        words = "both temperature scaled"
    reason = f"{words}; {row.reason}" if row.reason else words
    variant = f"{SCALED},{row.variant}" if row.variant else SCALED
    return dataclasses.replace(row, variant=variant, reason=reason)
