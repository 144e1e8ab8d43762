"""Many comparisons at once: Holm's p-values, and rank groups as a compact letter display.

Error control: :func:`rank_groups` separates two models only where Holm's adjusted p-value is below
``1 - level``, so the chance that *any* two equally good models are separated is at most
``1 - level``, whatever the dependence between the comparisons (the models share their test rows).

References:
    Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statistics (1979).
    Piepho, An algorithm for a letter-based representation of all-pairwise comparisons, J. Comp.
    Graph. Statistics (2004).
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain.checks import check_choice, check_range, check_shape
from uncertain.intervals.estimate import check_level


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return Holm's adjusted p-values: rejecting those below alpha keeps false alarms below alpha.

    The chance of even one false rejection is at most alpha under any dependence.

    Args:
        p_values: (K,) in [0, 1]. NaN marks a comparison that could not be made: it stays NaN and
            counts for nothing.

    Returns:
        (K,) adjusted p-values, in the order given.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        array([0.03, 0.06, 0.06])
    """
    p = np.asarray(p_values, dtype=np.float64)
    check_shape("p_values", p, ("K",))
    made = ~np.isnan(p)
    check_range("p_values", p[made], 0, 1)
    found = p[made]
    order = np.argsort(found, kind="stable")
    steps = found[order] * np.arange(len(found), 0, -1)
    adjusted = np.empty_like(found)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1) if len(found) else steps
    out = np.full_like(p, np.nan)
    out[made] = adjusted
    return out


def rank_groups(
    values: ArrayLike,
    p_values: ArrayLike,
    *,
    level: float = 0.95,
    best: str = "high",
    adjusted: bool = False,
) -> list[str]:
    """Return letters such that two models share one unless the data tell them apart.

    Models with "a" are not worse than the best one as far as the data can say. A model may hold
    several letters ("ab"): being indistinguishable is not transitive, and ranks would hide it.

    Args:
        values: Figure of each model, (M,); NaN (no figure) gets no letter.
        p_values: Unadjusted p-value of each pair's difference, (M, M); only entries above the
            diagonal are read; NaN is a pair that could not be compared, and is not separated.
        level: One minus the chance that any two equal models are separated.
        best: ``"high"`` or ``"low"``: which figures are better, and so come first.
        adjusted: Whether the p-values are adjusted already, over a larger family than these pairs.

    Returns:
        One string a model, in the order given.

    Raises:
        ValueError: For shapes that do not fit, or p-values out of range.

    Example:
        >>> p = np.ones((3, 3))
        >>> p[0, 2] = 0.001                      # only the best and the worst can be told apart
        >>> rank_groups([0.92, 0.91, 0.88], p)
        ['a', 'ab', 'b']
    """
    check_level(level)
    check_choice("best", best, ("high", "low"))
    v = np.asarray(values, dtype=np.float64)
    p = np.asarray(p_values, dtype=np.float64)
    check_shape("values", v, ("M",))
    check_shape("p_values", p, (len(v), len(v)), hint="one p-value a pair of models")
    upper = np.triu_indices(len(v), k=1)
    split = np.zeros((len(v), len(v)), dtype=bool)
    split[upper] = (p[upper] if adjusted else holm(p[upper])) < 1 - level
    split |= split.T
    present = np.flatnonzero(~np.isnan(v))
    order = present[np.argsort(-v[present] if best == "high" else v[present], kind="stable")]
    letters = [""] * len(v)
    for letter, members in zip(_alphabet(), _letter_sets(split, order), strict=False):
        for member in members:
            letters[member] += letter
    return letters


def _letter_sets(split: NDArray[np.bool_], order: NDArray[np.intp]) -> list[list[int]]:
    """Insert and absorb: the fewest sets (nearly) such that exactly unsplit models share one."""
    position = {int(model): place for place, model in enumerate(order)}
    sets = [frozenset(position)] if position else []
    for i in order:
        for j in order[position[int(i)] + 1 :]:
            if not split[i, j]:
                continue
            found = []
            for group in sets:
                both = i in group and j in group
                found += [group - {int(i)}, group - {int(j)}] if both else [group]
            unique = list(dict.fromkeys(found))
            sets = [g for g in unique if not any(g < other for other in unique)]
    ranked = [sorted(group, key=position.__getitem__) for group in sets if group]
    return sorted(ranked, key=lambda group: [position[model] for model in group])


def _alphabet() -> Iterator[str]:
    """a, b, ..., z, (27), (28), ..."""
    yield from string.ascii_lowercase
    for number in itertools.count(27):
        yield f"({number})"
