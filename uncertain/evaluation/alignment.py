"""Which predictions are of the same rows, and in what order those rows are compared.

Rows are the same where their ids are the same, or, without ids, where the label vectors are equal.
Sums over paired rows are then taken in an order that the rows themselves give, so that no shuffling
of a file changes a bit of the answer.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain import keyed
from uncertain.evaluation.comparison import align
from uncertain.evaluation.predictions import Predictions, RepeatedRowsWarning
from uncertain.intervals import group_ids


def same_rows(cases: Sequence[Predictions]) -> bool:
    """Return whether predictions are of the same rows, in any order where there are row ids.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> d = ArrayDistribution("categorical", {"probs": np.array([[0.9, 0.1], [0.2, 0.8]])})
        >>> a = Predictions(d, np.array([0, 1]), row_ids=np.array([7, 8]))
        >>> b = Predictions(d, np.array([1, 0]), row_ids=np.array([8, 7]))
        >>> same_rows([a, b]), same_rows([a, Predictions(d, np.array([1, 0]))])
        (True, False)
    """
    first = cases[0]
    if any(len(case) != len(first) for case in cases):
        return False
    ids = [case.row_ids for case in cases]
    if all(i is not None for i in ids):
        ordered = [np.sort(i) for i in ids if i is not None]
        return all(np.array_equal(ordered[0], other) for other in ordered)
    return all(np.array_equal(case.target, first.target) for case in cases)  # type: ignore[arg-type]


def in_one_order(cases: Sequence[Predictions]) -> list[Predictions]:
    """Return predictions with their rows in one order, that of the ids where there are any.

    Args:
        cases: Predictions of the same rows; all labelled, or none.

    Raises:
        ValueError: The rows can't be paired, or their targets, weights or groups contradict.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> d = ArrayDistribution("categorical", {"probs": np.array([[0.9, 0.1], [0.2, 0.8]])})
        >>> a = Predictions(d, np.array([1, 0]), row_ids=np.array(["b", "a"]))
        >>> [case.target.tolist() for case in in_one_order([a, a])]
        [[0, 1], [0, 1]]
    """
    first = cases[0]
    by_id = all(case.row_ids is not None for case in cases)
    ordered = []
    for case in cases:
        try:
            _, rows = align(
                _targets(first),
                _targets(case),
                first_ids=first.row_ids if by_id else None,
                second_ids=case.row_ids if by_id else None,
            )
        except ValueError as error:
            raise _refusal(first, case, str(error)) from error
        ordered.append(_taken(case, rows))
    known = [case.row_ids for case in cases if case.row_ids is not None]
    if known and not by_id:
        # Paired by equal labels; the ids that are there still give the order of addition.
        rows = np.argsort(known[0], kind="stable")
        ordered = [_taken(case, rows) for case in ordered]
    for case in ordered[1:]:
        _check_shared("weights", ordered[0], case)
        _check_shared("groups", ordered[0], case)
    return ordered


def canonical_order(
    columns: Sequence[NDArray[Any]], *, like: Predictions
) -> NDArray[np.intp] | slice:
    """Return the order in which paired rows are added up, the same for any order of the rows.

    Args:
        columns: What is known of each row, (N,) each, larger keys last.
        like: The rows' ids, weights and groups; rows with ids are in their order already.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(3), "scale": np.ones(3)})
        >>> canonical_order([np.array([0.3, 0.1, 0.2])], like=Predictions(d, np.arange(3.0)))
        array([1, 2, 0])
    """
    if like.row_ids is not None:
        return slice(None)
    keys: list[NDArray[Any]] = list(columns)
    if like.weights is not None:
        keys.append(like.weights)
    if like.groups is not None:
        keys.append(group_ids(like.groups))
    return np.lexsort(keys)


def _taken(case: Predictions, rows: NDArray[np.intp]) -> Predictions:
    return case if np.array_equal(rows, np.arange(len(rows))) else case.select(rows)


def _targets(case: Predictions) -> NDArray[Any]:
    return np.zeros(len(case)) if case.target is None else np.asarray(case.target)


def _check_shared(name: str, first: Predictions, case: Predictions) -> None:
    """Weights and groups belong to the rows, so that sources of the same rows share them."""
    a, b = getattr(first, name), getattr(case, name)
    if (a is None) != (b is None):
        has, lacks = (first, case) if b is None else (case, first)
        raise _refusal(
            first,
            case,
            f"`{name}` should be given for both, got them for {has.source!r} and none for "
            f"{lacks.source!r}.",
        )
    if a is not None and not np.array_equal(a, b):
        raise _refusal(first, case, f"`{name}` should be the same on the same rows, got others.")


def _refusal(first: Predictions, case: Predictions, why: str) -> ValueError:
    return ValueError(f"{_name(first)} and {_name(case)} can't be compared: {why}")


def _name(case: Predictions) -> str:
    return f"{case.source!r} (training {case.training})" if case.training else repr(case.source)


def without_trivial_groups(case: Predictions) -> Predictions:
    """Drop groups of one row each: they say that rows are independent, as no groups do.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(2), "scale": np.ones(2)})
        >>> without_trivial_groups(Predictions(d, np.zeros(2), groups=np.arange(2))).groups is None
        True
    """
    if case.groups is None or keyed.count_distinct(case.groups) < len(case):
        return case
    with warnings.catch_warnings():
        # Rows that look repeated are told apart by their groups.
        warnings.simplefilter("ignore", RepeatedRowsWarning)
        return dataclasses.replace(case, groups=None)
