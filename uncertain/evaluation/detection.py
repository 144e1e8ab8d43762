"""Does it notice? Mistakes and out-of-distribution rows, ranked by every uncertainty score.

Beside each out-of-distribution partner stand controls: scores that look at no model. Where one of
them already tells the partner apart, the pair is *trivial* and carries no claim.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from uncertain.evaluation.detector_rows import detector_rows
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.ranking import ranking_estimates
from uncertain.evaluation.ranking_sums import SELECTIVE
from uncertain.evaluation.results import Row
from uncertain.evaluation.scod import scod_cost
from uncertain.evaluation.scored_rows import ScoredRows
from uncertain.evaluation.sides import both_groups, both_weights
from uncertain.evaluation.uncertainty import (
    CONTROL,
    control_scores,
    mistaken,
    models_scores,
    uncertainty_scores,
)
from uncertain.intervals import Estimate

Judged = Predictions | ScoredRows
"""Predictions, or what is left of them after their scoring."""

TRIVIAL = 0.85
"""AUROC of a control (in its better direction) above which a pair carries no claim."""


def _scores(case: Judged) -> Mapping[str, NDArray[np.float64]]:
    return case.uncertainty if isinstance(case, ScoredRows) else uncertainty_scores(case)


def _controls(case: Judged) -> Mapping[str, NDArray[np.float64]]:
    if not isinstance(case, ScoredRows):
        return control_scores(case)
    found = {n: v for n, v in case.uncertainty.items() if n.startswith(CONTROL)}
    return {name.removeprefix(CONTROL): values for name, values in found.items()}


def _has_mistakes(case: Judged) -> bool:
    if isinstance(case, ScoredRows):
        return case.is_judged
    return case.is_classification and case.target is not None


def _mistakes(case: Judged) -> NDArray[np.bool_]:
    if not isinstance(case, ScoredRows):
        return mistaken(case)
    assert case.wrong is not None  # `detection_rows` asks first
    return case.wrong


def detection_rows(
    cases: Sequence[Judged], *, level: float, replicates: int, seed: int
) -> list[Row]:
    """Return the rows of error detection, out-of-distribution detection and controls."""
    rows: list[Row] = []
    tests = {(c.task, c.source, c.training): c for c in cases if c.split == "test"}
    for case in cases:
        if case.ood_name is not None:
            test = tests[case.task, case.source, case.training]
            rows += _ood_rows(test, case, level=level, replicates=replicates, seed=seed)
        elif _has_mistakes(case):
            rows += error_rows(case, level=level, replicates=replicates, seed=seed)
    whole = [case for case in cases if not isinstance(case, ScoredRows)]
    rows += detector_rows(whole, level=level)
    rows += _control_rows(cases, tests, level=level, seed=seed)
    return _mark_trivial(rows)


def error_rows(case: Judged, *, level: float, replicates: int, seed: int) -> list[Row]:
    """Return how well each score ranks the mistakes: AUROC, AUPR both ways, FPR95, selective risk."""
    wrong = _mistakes(case)
    rows: list[Row] = []
    for name, score in models_scores(_scores(case)).items():
        estimates = ranking_estimates(
            score,
            wrong,
            weights=case.weights,
            groups=case.groups,
            level=level,
            replicates=replicates,
            seed=seed,
        )
        names = {
            "auroc": ("auroc", "error"),
            "aupr_positive": ("aupr_error_positive", "error"),
            "aupr_negative": ("aupr_correct_positive", "correct"),
            "fpr95_positive": ("fpr95_error_positive", "error"),
            **{figure: (figure, "") for figure in SELECTIVE},
        }
        rows += _named(estimates, names, case, f"error:{name}", case.split)
    return rows


def _ood_rows(test: Judged, ood: Judged, *, level: float, replicates: int, seed: int) -> list[Row]:
    """Return how well each score tells the strange rows from the test rows."""
    inside, outside = _scores(test), _scores(ood)
    rows: list[Row] = []
    for name in models_scores(inside):
        if name not in outside:
            continue
        estimates = _told_apart(
            test, ood, inside[name], outside[name], level=level, replicates=replicates, seed=seed
        )
        names = dict(_OOD_NAMES)
        if _has_mistakes(test):
            estimates["scod_cost"] = scod_cost(
                np.concatenate([inside[name], outside[name]]),
                np.concatenate([_mistakes(test), np.zeros(len(ood), dtype=bool)]),
                np.repeat([False, True], [len(test), len(ood)]),
                weights=both_weights(test, ood),
                groups=both_groups(test, ood),
                level=level,
                seed=seed,
                replicates=replicates,
            )
            names["scod_cost"] = ("scod_cost", "")
        rows += _named(estimates, names, test, f"ood:{ood.ood_name}:{name}", ood.split)
    return rows


_OOD_NAMES = {
    "auroc": ("auroc", "ood"),
    "aupr_positive": ("aupr_ood_positive", "ood"),
    "aupr_negative": ("aupr_id_positive", "id"),
    "fpr95_positive": ("fpr95_ood_positive", "ood"),
}


def _control_rows(
    cases: Sequence[Judged],
    tests: dict[tuple[str, str, str], Judged],
    *,
    level: float,
    seed: int,
) -> list[Row]:
    """Return the controls' AUROC, once a task and partner: they are the same for every model."""
    rows: list[Row] = []
    strange = [case for case in cases if case.ood_name is not None]
    # By name: which source comes first in a list must not decide.
    for ood in sorted(strange, key=lambda case: (case.training, case.source)):
        test = tests[ood.task, ood.source, ood.training]
        inside, outside = _controls(test), _controls(ood)
        known = {row.source for row in rows if (row.task, row.split) == (ood.task, ood.split)}
        for name in inside.keys() & outside.keys():
            if f"control: {name}" not in known:
                rows.append(_control_row(test, ood, name, inside[name], outside[name], level, seed))
    return rows


def _control_row(
    test: Judged,
    ood: Judged,
    name: str,
    inside: NDArray[np.float64],
    outside: NDArray[np.float64],
    level: float,
    seed: int,
) -> Row:
    def area(sign: int) -> Estimate:
        return _told_apart(
            test, ood, sign * inside, sign * outside, level=level, replicates=100, seed=seed
        )["auroc"]

    # A control gives a pair away in either direction.
    larger = area(1)
    estimate, reason = (larger, "") if larger.value >= 0.5 else (area(-1), "smaller is ood")
    return Row.from_estimate(
        "auroc",
        estimate._replace(reason=estimate.reason or reason),
        source=f"control: {name}",
        variant=f"ood:{ood.ood_name}:{name}",
        split=ood.split,
        task=ood.task,
        positive_class="ood",
    )


def _told_apart(
    test: Judged,
    ood: Judged,
    inside: NDArray[np.float64],
    outside: NDArray[np.float64],
    *,
    level: float,
    replicates: int,
    seed: int,
) -> dict[str, Estimate]:
    strange = np.repeat([False, True], [len(inside), len(outside)])
    return ranking_estimates(
        np.concatenate([inside, outside]),
        strange,
        weights=both_weights(test, ood),
        groups=both_groups(test, ood),
        level=level,
        replicates=replicates,
        seed=seed,
    )


def _named(
    estimates: dict[str, Estimate],
    names: dict[str, tuple[str, str]],
    case: Judged,
    variant: str,
    split: str,
) -> Iterable[Row]:
    for key, (metric, positive) in names.items():
        yield Row.from_estimate(
            metric,
            estimates[key],
            source=case.source,
            variant=variant,
            split=split,
            task=case.task,
            training=case.training,
            positive_class=positive,
        )


def _mark_trivial(rows: Sequence[Row]) -> list[Row]:
    """Say on every row of a pair that a control gives away that it carries no claim."""
    giveaways: dict[tuple[str, str], Row] = {}
    for row in rows:
        if row.source.startswith("control: ") and row.value > TRIVIAL:
            best = giveaways.get((row.task, row.split))
            if best is None or row.value > best.value:
                giveaways[row.task, row.split] = row
    return [
        dataclasses.replace(row, reason=_trivial(row, giveaways[row.task, row.split]))
        if (row.task, row.split) in giveaways and row.split.startswith("ood:")
        else row
        for row in rows
    ]


def _trivial(row: Row, control: Row) -> str:
    told = (
        f"trivial: {control.source.removeprefix('control: ')} alone has AUROC {control.value:.4f}"
    )
    return f"{row.reason}; {told}" if row.reason else told
