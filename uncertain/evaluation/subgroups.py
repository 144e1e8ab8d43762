"""Every figure by subgroup: by class, by site, by severity, and the worst of them named.

A subgroup is the rows that share a value of a column. Its figures are those of all rows, taken on
its rows alone, and stand in the table under their names with ``subgroup`` set. Nothing small is left
out: a figure that too few rows have is undefined, with the reason.

Grouping by the *label* conditions on what the model can't know: a calibrated model is not calibrated
among the rows of one class, so figures of calibration have no meaning there and are undefined.
``predicted`` groups by the most probable class instead, which the model does know.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain import keyed
from uncertain.evaluation.detection import error_rows
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.results import Row
from uncertain.evaluation.row_order import natural_key
from uncertain.evaluation.uncertainty import predicted_classes
from uncertain.evaluation.worst import worst_rows
from uncertain.intervals import holm
from uncertain.predictive.facts import RESERVED

MOST = 1000
"""Subgroups that a column may make; more are a number or an id."""
_MOST_FRACTIONS = 50
"""Values that are no whole numbers that a column may hold."""
_GIVEN_THE_LABEL = (
    "grouped by the label: a calibrated model is not calibrated among the rows of one class; "
    "group by predicted"
)
_CALIBRATION = (
    "discrimination",
    "uncertainty",
    "ece",
    "calibration",
    "reliability",
    "spiegelhalter",
    "kuiper",
    "kolmogorov",
    "corp",
)


@dataclass(frozen=True)
class Subgroup:
    """The rows of one source that share a value of a column.

    Attributes:
        column: The column's name.
        value: Its value, as text.
        case: The rows; ``None`` where they can't be judged.
        rows: Their number.
        reason: Why they can't be judged.
        split: What their rows are named by, where the subgroups are splits themselves.
    """

    column: str
    value: str
    case: Predictions | None
    rows: int
    reason: str = ""
    split: str = ""

    @property
    def name(self) -> str:
        """``column=value``, as in the table of results."""
        return f"{self.column}={self.value}"


Judge = Callable[[Predictions], list[Row]]


def subgroups(cases: Sequence[Predictions], by: Sequence[str]) -> list[list[Subgroup]]:
    """Return the subgroups of each case and column, checked before anything is judged.

    Args:
        cases: Labelled predictions.
        by: Names of ``Predictions.columns``, or ``class`` or ``predicted``; ``severity``, where it is
            no column, makes subgroups of the splits ``shift:KIND:SEVERITY`` of one kind, which then
            are of the split ``shift:KIND:all``.

    Returns:
        One list a case and column, the subgroups in natural order of their values.

    Raises:
        TypeError: ``by`` is a single string.
        ValueError: A column is not there, comes twice, or has too many values to be a grouping.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(3), "scale": np.ones(3)})
        >>> case = Predictions(d, np.zeros(3), columns={"site": np.array(["b", "a", "b"])})
        >>> [(g.name, g.rows) for g in subgroups([case], ["site"])[0]]
        [('site=a', 1), ('site=b', 2)]
    """
    if isinstance(by, str):
        raise TypeError(f"`by` should be a list of columns, got the string {by!r}: pass [{by!r}].")
    if len(set(by)) < len(by):
        raise ValueError(f"`by` should name each column once, got {', '.join(by)}.")
    found = []
    for name in by:
        if name == "severity" and not any(name in case.columns for case in cases):
            found += _severities(cases)
        else:
            found += [_members(case, name) for case in cases]
    return found


def _severities(cases: Sequence[Predictions]) -> list[list[Subgroup]]:
    """Return the shifted splits of each source, training and kind as subgroups."""
    kinds: dict[tuple[str, ...], list[tuple[float, Predictions]]] = {}
    for case in cases:
        if case.shift is not None:
            kind, severity = case.shift
            key = (case.task, case.source, case.training, kind)
            kinds.setdefault(key, []).append((severity, case))
    if not kinds:
        raise ValueError(
            "`by` names severity, and there are neither columns of that name nor splits "
            "shift:KIND:SEVERITY: give it in `columns`."
        )
    return [
        [
            Subgroup("severity", f"{severity:g}", case, len(case), "", f"shift:{key[3]}:all")
            for severity, case in sorted(shifted, key=lambda pair: pair[0])
        ]
        for key, shifted in kinds.items()
    ]


def column_text(case: Predictions, name: str) -> NDArray[Any]:
    """Return the value of a column in each row as text, (N,).

    Args:
        case: Labelled predictions.
        name: One of ``case.columns``, or ``class`` or ``predicted``.

    Raises:
        ValueError: There is no such column, or it holds many fractions.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(2), "scale": np.ones(2)})
        >>> column_text(Predictions(d, np.zeros(2), columns={"site": np.array([1.0, 2.0])}), "site")
        array(['1', '2'], dtype='<U1')
    """
    return _as_text(name, _column(case, name))


def _members(case: Predictions, name: str) -> list[Subgroup]:
    labels = column_text(case, name)
    values, place = np.unique(labels, return_inverse=True)
    if len(values) > MOST:
        raise ValueError(
            f"`by` column {name!r} should have at most {MOST} values, got {len(values)} in "
            f"{len(case)} rows: it is an id or a number, put it in bins."
        )
    order = sorted(range(len(values)), key=lambda i: natural_key(str(values[i])))
    return [_member(case, name, str(values[i]), np.flatnonzero(place == i)) for i in order]


def _member(case: Predictions, name: str, value: str, index: NDArray[np.intp]) -> Subgroup:
    if case.weights is not None and not case.weights[index].any():
        reason = f"all {len(index)} rows have weight 0"
        return Subgroup(name, value, None, len(index), reason)
    chosen = case.select(index)
    # Groups of one row each say that rows are independent, as no groups do.
    if chosen.groups is not None and keyed.count_distinct(chosen.groups) == len(index):
        chosen = dataclasses.replace(chosen, groups=None)
    return Subgroup(name, value, chosen, len(index))


def _column(case: Predictions, name: str) -> NDArray[Any]:
    if name in RESERVED:
        if not case.is_classification:
            raise ValueError(
                f"`by` should name columns of {case.source!r}, got {name!r}, which only class "
                "predictions have."
            )
        classes = np.asarray(case.target) if name == "class" else predicted_classes(case)
        return classes if case.class_names is None else np.asarray(case.class_names)[classes]
    if name not in case.columns:
        have = ", ".join(map(repr, [*case.columns, *(RESERVED if case.is_classification else ())]))
        raise ValueError(
            f"`by` should name columns of {case.source!r} on {case.split!r}, got {name!r}, and there "
            f"are {have or 'none'}: give it in `columns`."
        )
    return case.columns[name]


def _as_text(name: str, column: NDArray[Any]) -> NDArray[Any]:
    """Return a column's values as text: whole numbers without a point."""
    if column.dtype.kind == "S":
        return np.char.decode(column, "utf-8")
    if column.dtype.kind != "f":
        return np.asarray(column.astype(str))
    values, place = np.unique(column, return_inverse=True)
    whole = np.all(values == np.floor(values))
    if not whole and len(values) > _MOST_FRACTIONS:
        raise ValueError(
            f"`by` column {name!r} should hold groups, got {len(values)} different numbers from "
            f"{values[0]:g} to {values[-1]:g}: put them in bins."
        )
    texts = [f"{v:.0f}" if whole else f"{v:g}" for v in values.tolist()]
    return np.asarray(texts)[place]


def subgroup_rows(
    members: Sequence[Subgroup],
    *,
    judge: Judge,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
) -> list[Row]:
    """Return the figures of each subgroup of one column and case, and the worst of each figure.

    P-values are Holm's over the subgroups.

    Args:
        members: From :func:`subgroups`.
        judge: What judges one labelled case.
        level: Confidence level; of all subgroups together for the worst.
        replicates: Bootstrap replicates.
        seed: Of the bootstrap.

    Example:
        >>> from uncertain.evaluation.judge import judge_one
        >>> from uncertain.families import ArrayDistribution
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(40), "scale": np.ones(40)})
        >>> y = np.r_[np.linspace(-1, 1, 20), np.linspace(4, 6, 20)]
        >>> case = Predictions(d, y, columns={"site": np.repeat(["a", "b"], 20)})
        >>> rows = subgroup_rows(subgroups([case], ["site"])[0], judge=judge_one)
        >>> [(r.subgroup, round(r.value, 1)) for r in rows if r.metric == "rmse"]
        [('site=a', 0.6), ('site=b', 5.0), ('worst site', 5.0)]
    """
    found: dict[str, list[Row]] = {}
    for member in members:
        if member.case is None:
            continue
        rows = judge(member.case)
        if member.case.is_classification:
            rows += error_rows(member.case, level=level, replicates=replicates, seed=seed)
        found[member.name] = [
            dataclasses.replace(row, subgroup=member.name, split=member.split or row.split)
            for row in rows
        ]
    if members and members[0].column == "class":
        found = {name: list(_without_calibration(rows)) for name, rows in found.items()}
    rows = _adjusted([row for rows in found.values() for row in rows])
    rows += _unjudged(members, next(iter(found.values()), []))
    return rows + worst_rows(members, rows, level=level)


def _without_calibration(rows: Iterable[Row]) -> Iterable[Row]:
    """Yield rows given the label: those of calibration without a value, and without their nulls."""
    for row in rows:
        if not any(word in row.metric for word in _CALIBRATION):
            yield row
        elif row.kind != "null":
            yield _emptied(row, _GIVEN_THE_LABEL)


def _emptied(row: Row, reason: str) -> Row:
    return dataclasses.replace(
        row,
        value=np.nan,
        low=np.nan,
        high=np.nan,
        p_value=None,
        n_groups=None,
        kind="undefined",
        reason=reason,
    )


def _unjudged(members: Sequence[Subgroup], like: Sequence[Row]) -> list[Row]:
    """Return rows without a value for subgroups that can't be judged."""
    return [
        dataclasses.replace(_emptied(row, m.reason), n=m.rows, subgroup=m.name)
        for m in members
        if m.case is None
        for row in like
        if row.kind != "null"
    ]


def _adjusted(rows: Sequence[Row]) -> list[Row]:
    figures: dict[tuple[str, ...], list[int]] = {}
    for i, row in enumerate(rows):
        if row.p_value is not None:
            figures.setdefault((row.metric, row.variant, row.kind), []).append(i)
    adjusted = list(rows)
    for places in figures.values():
        values = holm([rows[i].p_value for i in places])  # type: ignore[arg-type,misc]
        for i, value in zip(places, values, strict=True):
            adjusted[i] = dataclasses.replace(rows[i], p_value=float(value))
    return adjusted
