r"""The worst subgroup of a figure, with an interval that knows it was picked.

The worst of G figures looks worse than the worst subgroup is: it was picked for its noise too. The
interval of the worst *true* figure takes each subgroup's interval :math:`[L_g, U_g]` at level
:math:`1 - \alpha / G`, so that all hold together with probability :math:`1 - \alpha` (Bonferroni),
under any dependence; then

.. math:: \max_g \theta_g \in [\max_g L_g, \max_g U_g], \qquad
    \min_g \theta_g \in [\min_g L_g, \min_g U_g],

and every subgroup whose interval reaches into that one may be the worst: these are named.

Shares (accuracy, coverage) have Clopper and Pearson's exact interval at that level, at the rows'
effective number: the worst is picked on one side, and Wilson's interval is not right on each side
this far out. Means of row scores, RMSE and AUROC have their usual one made anew. Other
figures (calibration, AUPR, FPR95, AURC) have theirs widened on each side by the ratio of the normal
quantiles, since a bootstrap of 1,000 replicates does not reach so far out: an approximation.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uncertain.evaluation.pit import pooled
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.results import Row
from uncertain.evaluation.row_scores import row_scores, split_variant
from uncertain.evaluation.uncertainty import models_scores, predicted_classes, uncertainty_scores
from uncertain.intervals import (
    Estimate,
    clopper_pearson,
    delong,
    design_effect,
    mean,
    normal_quantile,
    undefined,
)

if TYPE_CHECKING:
    from uncertain.evaluation.subgroups import Subgroup

FEWEST = 10
"""Rows that a subgroup needs to stand for the worst: fewer say next to nothing, and widen all."""
WORST = " is the worst of "
_NAMED = 5
Figures = dict[tuple[str, str], Estimate]


def worst_rows(
    members: Sequence[Subgroup], rows: Sequence[Row], *, level: float = 0.95
) -> list[Row]:
    """Return the worst subgroup of every figure that has a better and a worse.

    Subgroups of fewer than 10 rows, or without an interval, take no part: the reason names them.
    Coverage is worst where it is lowest.

    Args:
        members: The subgroups of one column and case.
        rows: Their figures.
        level: Confidence level of the interval of the worst.

    Returns:
        One row a figure, ``subgroup`` being ``worst COLUMN`` and the reason naming it.
    """
    figures: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.kind != "null" and _better(row.metric) in ("higher", "lower", "nominal"):
            figures.setdefault((row.metric, row.variant), []).append(row)
    taking_part = _taking_part(figures)
    cases = {member.name: member.case for member in members}
    anew: dict[tuple[str, int], Figures] = {}
    found = []
    for key, all_rows in figures.items():
        part, out = taking_part[key]
        # A figure that has no interval anywhere, as the plug-in ECE, has no worst to name.
        if not part and not any(row.n < FEWEST or math.isinf(row.value) for row in out):
            continue
        for row in part:
            case = cases[row.subgroup]
            if case is not None and (row.subgroup, len(part)) not in anew:
                at = 1 - (1 - level) / len(part)
                anew[row.subgroup, len(part)] = _figures(case, at, {k[0] for k in figures})
        ends = [_ends(row, anew[row.subgroup, len(part)], len(part), level) for row in part]
        found.append(_worst(members[0].column, all_rows, part, ends, out, level))
    return found


def _better(metric: str) -> str:
    # The glossary says it once, for tables and for this; the page is loaded only where it is asked.
    from uncertain.evaluation.report.glossary import entry

    return entry(metric).better


def _taking_part(
    figures: Mapping[tuple[str, str], Sequence[Row]],
) -> dict[tuple[str, str], tuple[list[Row], list[Row]]]:
    """Return of each figure the rows that may be the worst, and those that can't be told."""
    return {
        key: (
            [r for r in rows if r.n >= FEWEST and r.has_interval and math.isfinite(r.value)],
            [r for r in rows if r.n < FEWEST or not r.has_interval or not math.isfinite(r.value)],
        )
        for key, rows in figures.items()
    }


def _worst(
    column: str,
    rows: Sequence[Row],
    part: Sequence[Row],
    ends: Sequence[tuple[float, float]],
    out: Sequence[Row],
    level: float,
) -> Row:
    first = rows[0]
    left_out = _left_out(out)
    endless = [row for row in rows if row.value == math.inf]
    if endless and _better(first.metric) == "lower":
        reason = f"{_listed([_value(row) for row in endless])}{WORST}{len(rows)}: infinite"
        n = max(row.n for row in endless)
        return _row(first, column, Estimate(math.inf, math.nan, math.nan, n, level, reason=reason))
    if not part:
        reason = f"no subgroup of {FEWEST} rows has an interval{left_out}"
        estimate = Estimate(math.nan, math.nan, math.nan, 0, level, reason=reason)
        return _row(first, column, estimate)
    lowest = _better(first.metric) != "lower"
    pick = min if lowest else max
    worst = pick(part, key=lambda row: row.value)
    low, high = pick(end[0] for end in ends), pick(end[1] for end in ends)
    rivals = [
        _value(row)
        for row, (a, b) in zip(part, ends, strict=True)
        if row is not worst and (a <= high if lowest else b >= low)
    ]
    reason = f"{_value(worst)}{WORST}{len(part)}"
    if rivals:
        reason += f"; not told apart from {_listed(rivals)}"
    reason += f"; simultaneous {100 * level:g} % interval{left_out}"
    estimate = Estimate(worst.value, low, high, worst.n, level, worst.n_groups, None, reason)
    return _row(first, column, estimate)


def _row(first: Row, column: str, estimate: Estimate) -> Row:
    return Row.from_estimate(
        first.metric,
        estimate,
        source=first.source,
        variant=first.variant,
        split=first.split,
        task=first.task,
        training=first.training,
        positive_class=first.positive_class,
        subgroup=f"worst {column}",
    )


def _left_out(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    small = [_value(row) for row in rows if row.n < FEWEST]
    bare = [_value(row) for row in rows if row.n >= FEWEST]
    parts = [f"{_listed(small)} (fewer than {FEWEST} rows)"] if small else []
    parts += [f"{_listed(bare)} (no interval)"] if bare else []
    return f"; left out: {', '.join(parts)}"


def _value(row: Row) -> str:
    return row.subgroup.partition("=")[2]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def worst_name(row: Row) -> str:
    """Return the value of the column that a ``worst`` row names, empty where it names none.

    Example:
        >>> worst_name(Row("accuracy", 0.8, subgroup="worst site", reason="B is the worst of 3"))
        'B'
    """
    name, found, _ = row.reason.partition(WORST)
    return name if found and row.subgroup.startswith("worst ") else ""


def worst_of_trainings(rows: Sequence[Row]) -> str:
    """Return which subgroup was the worst in each training, empty for other rows."""
    names = [worst_name(row) for row in rows]
    if not any(names):
        return ""
    times = {name: names.count(name) for name in dict.fromkeys(filter(None, names))}
    listed = ", ".join(f"{name} ({count})" for name, count in times.items())
    return f"worst in each training: {listed}"


def _ends(row: Row, figures: Figures, groups: int, level: float) -> tuple[float, float]:
    """Return a figure's interval at the level that holds for all subgroups together."""
    anew = figures.get((row.metric, row.variant))
    if anew is not None and math.isfinite(anew.low):
        return anew.low, anew.high
    alpha = 1 - level
    ratio = normal_quantile(1 - alpha / 2 / groups) / normal_quantile(1 - alpha / 2)
    low = row.value - ratio * (row.value - row.low)
    high = row.value + ratio * (row.high - row.value)
    # What starts at 0, or ends at 1, as a share does, goes no further.
    shares = row.low >= 0 and row.high <= 1
    return (max(low, 0.0) if row.low >= 0 else low), (min(high, 1.0) if shares else high)


def _figures(case: Predictions, level: float, wanted: Collection[str]) -> Figures:
    """Return the figures whose intervals are made anew at a level."""
    facts: dict[str, Any] = {"weights": case.weights, "groups": case.groups, "level": level}
    found: Figures = {}
    for name, scores in row_scores(case).items():
        if np.isfinite(scores).all():
            made = _share if name == "accuracy" else mean
            found[split_variant(name)] = made(scores, **facts)
    if not case.is_classification:
        return found | _of_values(case, facts)
    return found | (_of_errors(case, facts) if "auroc" in wanted else {})


def _share(
    hits: NDArray[Any],
    *,
    weights: NDArray[Any] | None,
    groups: NDArray[Any] | None,
    level: float,
) -> Estimate:
    """Return a share with the exact interval, at the effective number of rows."""
    x = np.asarray(hits, dtype=np.float64)
    n: float = len(x)
    p = float(np.average(x, weights=weights))
    if weights is not None or groups is not None:
        w = np.ones(len(x)) if weights is None else weights
        ids = np.arange(len(x)) if groups is None else np.unique(groups, return_inverse=True)[1]
        sizes = np.asarray(np.bincount(ids, weights=w), dtype=np.float64)
        totals = np.asarray(np.bincount(ids, weights=w * x)[sizes > 0], dtype=np.float64)
        sizes = sizes[sizes > 0]
        if len(sizes) < 2:
            return undefined("one group has no spread", value=p, n=len(x), level=level)
        n /= design_effect(p, totals, sizes, len(x))[0]
    return clopper_pearson(p * n, n, level=level)


def _of_errors(case: Predictions, facts: Mapping[str, Any]) -> Figures:
    wrong = predicted_classes(case) != np.asarray(case.target)
    scores = models_scores(uncertainty_scores(case))
    return {("auroc", f"error:{name}"): delong(s, wrong, **facts) for name, s in scores.items()}


def _of_values(case: Predictions, facts: Mapping[str, Any]) -> Figures:
    from uncertain.evaluation import regression

    y = np.asarray(case.target, dtype=np.float64)
    found: Figures = {}
    for inner in regression.LEVELS:
        # What a family can't answer is undefined in the table, with its reason.
        with contextlib.suppress(TypeError, regression.MissingLevelError):
            low, high = regression.central_interval(case.distribution, inner)
            hits, w, ids = pooled((low <= y) & (y <= high), facts["weights"], facts["groups"])
            shares = {"weights": w, "groups": ids, "level": facts["level"]}
            found["coverage", f"{inner:g}"] = _share(hits, **shares)
    with contextlib.suppress(TypeError):
        squares = regression.squared_errors(case.distribution, y).reshape(len(y), -1).mean(axis=1)
        found["rmse", ""] = regression.root(mean(squares, **facts))
    return found
