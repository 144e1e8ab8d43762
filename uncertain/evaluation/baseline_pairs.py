"""Figures beside those of a baseline: by their intervals, or row by row where rows were kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain import checks
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.results import Results, Row
from uncertain.evaluation.row_scores import row_scores, split_variant
from uncertain.evaluation.subgroups import column_text
from uncertain.intervals import Estimate, group_ids, mean, normal_quantile, normal_two_sided


def unpaired_difference(first: Row | Estimate, second: Row | Estimate) -> Estimate:
    """Return ``first - second`` of two figures known by their intervals alone, as if independent.

    Raises:
        ValueError: The intervals have different levels.

    Example:
        >>> e = unpaired_difference(Row("nll", 0.5, 0.4, 0.6), Row("nll", 0.2, 0.1, 0.3))
        >>> round(e.low, 3), round(e.high, 3)
        (0.159, 0.441)
    """
    if first.level != second.level:
        raise ValueError(
            f"two figures should have intervals of one level, got {first.level} and {second.level}: "
            f"judge again with --level {second.level}."
        )
    value = first.value - second.value
    below = math.hypot(first.value - first.low, second.high - second.value)
    above = math.hypot(first.high - first.value, second.value - second.low)
    p_value = None
    towards_zero = below if value > 0 else above
    if math.isfinite(value) and math.isfinite(towards_zero):
        z = normal_quantile((1 + first.level) / 2) * abs(value)
        p_value = normal_two_sided(z / towards_zero) if towards_zero else float(value == 0)
    n = min(first.n, second.n)
    over = str(getattr(first, "over", "items"))
    return Estimate(
        value, value - below, value + above, n, first.level, None, p_value, "unpaired", over
    )


def _counterpart(source: str, now: Sequence[str], then: Sequence[str]) -> str:
    """Return which stored source a new one is held against: one of its name, or the only one."""
    if source in then:
        return source
    if len(set(now)) == len(set(then)) == 1:
        return then[0]
    checks.check_choice("a source of the baseline", source, set(then))
    return source


def pairs_from_results(figures: Sequence[Row], stored: Results) -> list[tuple[Row, Estimate]]:
    """Return figures with their differences from a table of results, as far as it holds them."""
    then = [r for r in stored if r.kind != "difference" and not r.other]
    sources = [row.source for row in then if not row.source.startswith("control")]
    pairs = []
    for row in figures:
        source = _counterpart(row.source, [r.source for r in figures], sources)
        same = [
            r
            for r in then
            if (r.task, r.split, r.metric, r.variant, r.subgroup)
            == (row.task, row.split, row.metric, row.variant, row.subgroup)
            and r.source == source
            and (r.over, bool(r.training)) == (row.over, bool(row.training))
        ]
        same = [r for r in same if r.training == row.training] or same
        # A figure that was undefined says nothing of what comes after it.
        if same and same[0].has_interval and math.isfinite(same[0].value):
            pairs.append((row, unpaired_difference(row, same[0])))
    return pairs


def pairs_from_rows(
    figures: Sequence[Row],
    stored: Mapping[str, NDArray[Any]],
    predictions: Sequence[Predictions],
    level: float,
) -> list[tuple[Row, Estimate]]:
    """Return figures with their differences from per-row scores, as far as these hold them."""
    pairs = []
    then = list(dict.fromkeys(stored["source"].astype(str).tolist()))
    for row in figures:
        case = next(
            (
                c
                for c in predictions
                if (c.task, c.split, c.source, c.training)
                == (row.task, row.split, row.source, row.training)
            ),
            None,
        )
        if case is None or case.target is None or row.metric not in stored:
            continue
        scores = {split_variant(name)[0]: score for name, score in row_scores(case).items()}
        inside = _inside(case, row.subgroup)
        if row.metric not in scores or inside is None:
            continue
        source = _counterpart(row.source, [r.source for r in figures], then)
        chosen = (stored["source"].astype(str) == source) & (
            stored["split"].astype(str) == row.split
        )
        if chosen.any():
            taken = {name: column[chosen] for name, column in stored.items()}
            estimate = _paired(row, scores[row.metric], case, taken, level, inside)
            pairs += [] if estimate is None else [(row, estimate)]
    return pairs


def _inside(case: Predictions, subgroup: str) -> NDArray[np.bool_] | None:
    """Return which rows are of a subgroup; ``None`` for the worst, which rows alone don't name."""
    if not subgroup:
        return np.ones(len(case), dtype=bool)
    column, named, value = subgroup.partition("=")
    return column_text(case, column) == value if named else None


def _paired(
    row: Row,
    scores: NDArray[Any],
    case: Predictions,
    stored: Mapping[str, NDArray[Any]],
    level: float,
    inside: NDArray[np.bool_],
) -> Estimate | None:
    """Return the paired difference on the same rows; of the two means where they are not the same.

    A subgroup's rows are known by pairing alone: nothing is returned where they are not the same.
    """
    before = np.asarray(stored[row.metric], dtype=np.float64)
    ids = np.arange(len(case)) if case.row_ids is None else np.asarray(case.row_ids)
    here, there = np.argsort(ids.astype(str)), np.argsort(stored["row_id"].astype(str))
    same = len(ids) == len(before) and np.array_equal(
        ids.astype(str)[here], stored["row_id"].astype(str)[there]
    )
    if not same or not _same_targets(case, stored, here, there):
        if not inside.all():
            return None
        now = mean(scores, weights=case.weights, groups=case.groups, level=level)
        return unpaired_difference(now, mean(before, level=level))
    kept = inside[here]
    here, there = here[kept], there[kept]
    if case.weights is not None and not case.weights[here].any():
        return None
    groups = None if case.groups is None else group_ids(case.groups[here])
    weights = None if case.weights is None else case.weights[here]
    a, b = scores[here], before[there]
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        value = float(np.average(a, weights=weights)) - float(np.average(b, weights=weights))
        return Estimate(value, math.nan, math.nan, len(a), level, reason="paired")
    found = mean(a - b, weights=weights, groups=groups, level=level, null=0.0)
    return found._replace(reason="paired")


def _same_targets(
    case: Predictions,
    stored: Mapping[str, NDArray[Any]],
    here: NDArray[Any],
    there: NDArray[Any],
) -> bool:
    """Return whether the same ids have the same labels: ids that are mere positions may not."""
    if "label" in stored:
        target = np.asarray(case.target)
        named = target if case.class_names is None else np.asarray(case.class_names)[target]
        return np.array_equal(named.astype(str)[here], stored["label"].astype(str)[there])
    if "target" in stored:
        return np.allclose(np.asarray(case.target, float)[here], stored["target"][there], rtol=1e-6)
    return True
