"""What many comparisons allow to be said: Holm's p-values over one family, and letters from them.

A family is every pair of sources on every task, for one figure: a metric and variant on one split,
over items, trainings or both. The chance that any two equally good sources are told apart, on any
task, is at most one minus the level. Figures are families of their own.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from uncertain.evaluation.results import Row
from uncertain.evaluation.row_order import natural_key
from uncertain.intervals import CLAIM_TRAININGS, holm, rank_groups

_CLAIM = "a claim about methods needs at least"
Letters = dict[tuple[str, ...], tuple[str, str]]
"""A figure's task, split, metric, variant, source, training and over -> its letters and a remark."""


class Ranking(NamedTuple):
    """The figures of one task that letters are given to.

    Attributes:
        key: Task, split, metric, variant and over of the differences.
        values: Source to its figure.
        trainings: Source to the name of its only training, or to an empty one.
        counts: Source to how many trainings it has.
        best: ``"high"`` or ``"low"``.
        level: One minus the chance of a false split.
    """

    key: tuple[str, str, str, str, str]
    values: Mapping[str, float]
    trainings: Mapping[str, str]
    counts: Mapping[str, int]
    best: str
    level: float


def adjusted(rows: Sequence[Row], *, family: str = "figure") -> list[Row]:
    """Return differences with Holm's p-values over the pairs and tasks of one figure.

    Args:
        rows: Differences.
        family: ``figure``, or ``all`` for one family of all figures; items, trainings and both are
            families of their own either way.

    Example:
        >>> pairs = [("a", "b", 0.01), ("a", "c", 0.04), ("b", "c", 0.03)]
        >>> rows = [
        ...     Row("nll", 0.1, kind="difference", source=s, other=o, p_value=p) for s, o, p in pairs
        ... ]
        >>> [row.p_value for row in adjusted(rows)]
        [0.03, 0.06, 0.06]
    """
    families: dict[tuple[str, ...], list[int]] = {}
    for i, row in enumerate(rows):
        if row.p_value is not None:
            figure = (row.split, row.metric, row.variant) if family == "figure" else ()
            families.setdefault((*figure, row.over), []).append(i)
    found = list(rows)
    for members in families.values():
        values = holm([rows[i].p_value for i in members])  # type: ignore[arg-type,misc]
        for i, value in zip(members, values, strict=True):
            found[i] = dataclasses.replace(rows[i], p_value=float(value))
    return found


def letters_of(rankings: Sequence[Ranking], rows: Sequence[Row]) -> Letters:
    """Return rank groups by the adjusted p-values of the differences.

    Args:
        rankings: What is given letters.
        rows: Differences, adjusted.

    Example:
        >>> difference = Row("nll", 0.1, kind="difference", source="a", other="b", p_value=0.01)
        >>> key = ("", "test", "nll", "", "items")
        >>> one = {"a": 1, "b": 1}
        >>> ranking = Ranking(key, {"a": 0.4, "b": 0.3}, {"a": "", "b": ""}, one, "low", 0.95)
        >>> list(letters_of([ranking], [difference]).values())
        [('b', ''), ('a', '')]
    """
    p_of: dict[tuple[str, ...], float | None] = {
        (row.task, row.split, row.metric, row.variant, row.over, row.source, row.other): row.p_value
        for row in rows
    }
    found: Letters = {}
    for key, values, trainings, counts, best, level in rankings:
        names = list(values)
        p = np.full((len(names), len(names)), np.nan)
        for i, j in itertools.combinations(range(len(names)), 2):
            value = p_of.get((*key, names[i], names[j]))
            p[i, j] = np.nan if value is None else value
        groups = rank_groups(list(values.values()), p, level=level, best=best, adjusted=True)
        *figure, over = key
        fewest = min(counts.values())
        for name, letter in zip(names, groups, strict=True):
            remark = claim_remark(fewest) if over != "items" else ""
            found[(*figure, name, trainings[name], over)] = (letter, remark)
    return found


def augrc_rankings(
    differences: Sequence[Row], figures: Sequence[Row], counts: Mapping[tuple[str, str], int]
) -> list[Ranking]:
    """Return what ranks by AUGRC, the one figure that is no mean of row scores and still ranks.

    Args:
        differences: Differences in pairs; a ranking needs every pair of its sources.
        figures: The figures of single trainings and their means.
        counts: Task and source to its number of trainings.
    """
    families: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in differences:
        if row.metric == "augrc" and row.p_value is not None:
            families.setdefault((row.task, row.split, row.variant, row.over), []).append(row)
    rankings = []
    for (task, split, variant, over), rows in families.items():
        names = sorted({name for row in rows for name in (row.source, row.other)}, key=natural_key)
        ranked = {
            row.source: row
            for row in figures
            if (row.task, row.split, row.metric, row.variant) == (task, split, "augrc", variant)
            and row.over == over and row.source in names and (over == "items" or not row.training)
            and not row.subgroup
        }  # fmt: skip
        if len(ranked) < len(names) or 2 * len(rows) < len(names) * (len(names) - 1):
            continue
        rankings.append(
            Ranking(
                (task, split, "augrc", variant, over),
                {name: ranked[name].value for name in names},
                {name: ranked[name].training for name in names},
                {name: counts.get((task, name), 1) for name in names},
                "low",
                rows[0].level,
            )
        )
    return rankings


def marked(rows: Sequence[Row], counts: Mapping[tuple[str, str], int]) -> list[Row]:
    """Return differences with a remark where trainings are too few for a claim about methods.

    Args:
        rows: Differences.
        counts: Task and source to its number of trainings.
    """
    found = []
    for row in rows:
        few = min(counts.get((row.task, name), 1) for name in (row.source, row.other))
        remark = claim_remark(few) if row.over != "items" and not row.reason else ""
        found.append(dataclasses.replace(row, reason=remark) if remark else row)
    return found


def claim_remark(trainings: int) -> str:
    """Return what to say of a claim about methods that rests on so many trainings; mostly nothing.

    Example:
        >>> claim_remark(3)
        'from 3 trainings: a claim about methods needs at least 10'
        >>> claim_remark(10)
        ''
    """
    if trainings >= CLAIM_TRAININGS:
        return ""
    return f"from {trainings} trainings: {_CLAIM} {CLAIM_TRAININGS}"


def claim_remarks(rows: Iterable[Row]) -> list[str]:
    """Return what rank letters and differences say of resting on few trainings, each once.

    Example:
        >>> rows = [Row("nll", 0.3, source=s, reason=claim_remark(3)) for s in "ab"]
        >>> claim_remarks(rows)
        ['from 3 trainings: a claim about methods needs at least 10']
    """
    return list(dict.fromkeys(row.reason for row in rows if _CLAIM in row.reason))


def lettered(row: Row, letters: Letters) -> Row:
    """Return a row with its rank group, where it was compared.

    Example:
        >>> letters = {("", "test", "nll", "", "net", "", "items"): ("a", "")}
        >>> lettered(Row("nll", 0.3, source="net"), letters).rank_group
        'a'
    """
    key = (row.task, row.split, row.metric, row.variant, row.source, row.training, row.over)
    if key not in letters or row.subgroup:
        return row
    letter, remark = letters[key]
    return dataclasses.replace(row, rank_group=letter, reason=row.reason or remark)
