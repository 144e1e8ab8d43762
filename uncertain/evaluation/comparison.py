r"""Compare models on the same rows: is a difference more than the choice of rows and seeds allows.


Models are compared on *paired* rows: what is hard for one is usually hard for the other, and the
difference is known far better than either figure. Rows are paired by row id, or where the label
vectors are equal; nothing else is accepted, since silently mispaired rows give honest-looking
nonsense.

- means of row scores (accuracy, NLL, Brier, CRPS): :func:`paired_mean`, Student's t on differences;
- AUROC: :func:`uncertain.intervals.delong_difference`;
- other ranking figures, calibration and anything else: :mod:`.comparison_bootstrap`, both models on
  the same bootstrap weights;
- several trainings a model: :func:`compare_methods`, with rank groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain.checks import check_choice, check_same_length, check_shape
from uncertain.intervals import (
    Crossed,
    Estimate,
    check_weights,
    crossed_difference,
    group_ids,
    holm,
    mean,
    rank_groups,
    undefined,
)


def align(
    first_target: ArrayLike,
    second_target: ArrayLike,
    *,
    first_ids: ArrayLike | None = None,
    second_ids: ArrayLike | None = None,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return which rows of two models to compare: ``first[i]`` is the same row as ``second[j]``.

    Args:
        first_target: (N,) targets of the first model's rows.
        second_target: (N,) targets of the second's.
        first_ids: (N,) unique row ids of the first; the answer is in their sorted order.
        second_ids: (N,) unique row ids of the second.

    Returns:
        Two index arrays, (N,) each.

    Raises:
        ValueError: Where the rows cannot be paired: repeated ids, different sets of ids, targets
            that differ on the same id, or no ids and label vectors that differ.

    Example:
        >>> align([5, 6], [6, 5], first_ids=["a", "b"], second_ids=["b", "a"])
        (array([0, 1]), array([1, 0]))
    """
    a, b = np.asarray(first_target), np.asarray(second_target)
    if first_ids is None or second_ids is None:
        if a.shape != b.shape or not np.array_equal(a, b):
            what = (
                f"{len(a)} and {len(b)} rows"
                if len(a) != len(b)
                else f"targets that differ in {int(np.sum(a != b))} of {len(a)} rows"
            )
            raise ValueError(
                f"Two models should be compared on the same rows, got {what}: give row ids, "
                "or predictions of the same rows in the same order."
            )
        return np.arange(len(a)), np.arange(len(b))
    order_a, ids_a = _sorted_ids("first_ids", first_ids, len(a))
    order_b, ids_b = _sorted_ids("second_ids", second_ids, len(b))
    if len(ids_a) != len(ids_b) or not np.array_equal(ids_a, ids_b):
        shared = len(np.intersect1d(ids_a, ids_b))
        raise ValueError(
            f"Two models should be compared on the same rows, got {len(ids_a)} and {len(ids_b)} "
            f"row ids of which {shared} are shared: select the shared rows first."
        )
    differ = a[order_a] != b[order_b]
    if differ.any():
        raise ValueError(
            "Rows with the same id should have the same target, got different ones in "
            f"{int(differ.sum())} of {len(a)} rows, the first for id {ids_a[np.argmax(differ)]!r}."
        )
    return order_a, order_b


def paired_mean(
    first: ArrayLike,
    second: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Return the mean difference of row scores, ``first - second``, with a paired t interval.

    Args:
        first: (N,) row scores of the first model.
        second: (N,) row scores of the second, for the same rows in the same order.
        weights: (N,).
        groups: (N,) resampling unit.
        level: Nominal coverage.

    Returns:
        The estimate with the p-value of no difference. Rows on which both scores are infinite have
        no difference: the answer is then undefined, with the reason.

    Example:
        >>> e = paired_mean([1.0, 2.0, 3.0], [0.9, 1.9, 2.8])
        >>> round(e.value, 3), e.p_value < 0.1
        (0.133, True)
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    check_shape("first", a, ("N",))
    check_same_length(first=a, second=b)
    both = np.isinf(a) & np.isinf(b)
    if both.any():
        n_groups = None if groups is None else int(group_ids(groups).max()) + 1
        return undefined(
            f"both models' scores are infinite on {int(both.sum())} of {len(a)} rows",
            n=len(a),
            level=level,
            n_groups=n_groups,
        )
    return mean(a - b, weights=weights, groups=groups, level=level, null=0.0)


@dataclass(frozen=True)
class Comparison:
    """M methods compared in all pairs.

    Attributes:
        values: Mean score of each method, (M,).
        differences: For each pair (i, j) with i < j, ``score(i) - score(j)`` over items, over
            trainings and over both.
        p_values: (M, M) of what ``over`` asked for, unadjusted; NaN on the diagonal.
        adjusted: (M, M) Holm's.
        letters: Rank group of each method: those that share a letter are not told apart.
        over: What would vary in a repetition.
    """

    values: NDArray[np.float64]
    differences: dict[tuple[int, int], Crossed]
    p_values: NDArray[np.float64]
    adjusted: NDArray[np.float64]
    letters: list[str]
    over: str


def compare_methods(
    scores: Sequence[ArrayLike],
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    over: str | None = None,
    best: str = "high",
) -> Comparison:
    """Compare M methods in all pairs on shared rows, each with its own trainings.

    The chance that any two equally good methods are put in different groups is at most
    ``1 - level`` (Holm), in the population that ``over`` names.

    Args:
        scores: One (K_m, N) array of row scores a method (or (N,) for a single training).
        weights: (N,).
        groups: (N,) resampling unit of the rows.
        level: Nominal coverage of intervals; ``1 - level`` is the chance of a false split.
        over: ``"items"``, ``"trainings"`` or ``"both"``. Default: both where every method has at
            least two trainings, else items.
        best: ``"high"`` or ``"low"``: which scores are better.

    Raises:
        ValueError: For fewer than two methods, or rows that differ in number.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> right = [rng.random((5, 4000)) < p for p in (0.9, 0.8, 0.8)]
        >>> compare_methods(right).letters
        ['a', 'b', 'b']
    """
    tables = [np.atleast_2d(np.asarray(table, dtype=np.float64)) for table in scores]
    if len(tables) < 2:
        raise ValueError(f"`scores` should hold at least two methods, got {len(tables)}.")
    if over is None:
        over = "both" if all(len(table) > 1 for table in tables) else "items"
    check_choice("over", over, ("items", "trainings", "both"))
    p_values = np.full((len(tables), len(tables)), np.nan)
    differences = {}
    for i, first in enumerate(tables):
        for j in range(i + 1, len(tables)):
            found = crossed_difference(
                first, tables[j], weights=weights, groups=groups, level=level
            )
            differences[i, j] = found
            p_value = getattr(found, over).p_value
            p_values[i, j] = p_values[j, i] = np.nan if p_value is None else p_value
    upper = np.triu_indices(len(tables), k=1)
    adjusted = np.full_like(p_values, np.nan)
    adjusted[upper] = holm(p_values[upper])
    adjusted.T[upper] = adjusted[upper]
    w = check_weights(weights, tables[0].shape[1])
    values = np.array([float(table.mean(axis=0) @ w / w.sum()) for table in tables])
    letters = rank_groups(values, p_values, level=level, best=best)
    return Comparison(values, differences, p_values, adjusted, letters, over)


def _sorted_ids(name: str, ids: ArrayLike, n: int) -> tuple[NDArray[np.intp], NDArray[np.generic]]:
    array = np.asarray(ids)
    check_shape(name, array, (n,), hint="one id a row")
    order = np.argsort(array, kind="stable")
    ordered = array[order]
    repeated = ordered[1:] == ordered[:-1]
    if repeated.any():
        raise ValueError(
            f"`{name}` should be unique, got {ordered[1:][repeated][0]!r} more than once."
        )
    return order, ordered
