"""Methods over several tasks: mean ranks, and an exact test that needs no scale in common.

Figures of different tasks have no common unit; their ranks have. Whether two methods' mean ranks
differ is tested by flipping the sign of each task's difference of ranks: where the two are equally
good, each task favours either alike. All sign patterns are counted, so the test is exact for any
number of tasks. With T tasks no p-value is below ``2 ** (1 - T)``: five tasks can't reach .05.

References:
    Demsar, Statistical comparisons of classifiers over multiple data sets, J. Machine Learning
    Research 7 (2006).
    Fisher, The design of experiments (1935), section 21: the randomisation test of paired differences.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain.checks import check_choice, check_finite, check_not_empty, check_shape
from uncertain.intervals.multiple import holm, rank_groups


class MeanRanks(NamedTuple):
    """M methods ranked on T tasks.

    Attributes:
        ranks: Mean rank of each method, (M,); 1 is the best, ties share.
        p_values: (M, M) exact sign-flip p-values, unadjusted; NaN on the diagonal.
        adjusted: (M, M) Holm's over the pairs.
        letters: Rank groups: methods that share a letter are not told apart.
    """

    ranks: NDArray[np.float64]
    p_values: NDArray[np.float64]
    adjusted: NDArray[np.float64]
    letters: list[str]


def mean_ranks(values: ArrayLike, *, best: str = "high", level: float = 0.95) -> MeanRanks:
    """Rank methods on each task and compare the mean ranks in all pairs.

    Args:
        values: (T, M) figure of each method on each task.
        best: ``"high"`` or ``"low"``: which figures are better.
        level: One minus the chance that any two equally good methods are told apart.

    Raises:
        ValueError: A figure is not finite.

    Example:
        >>> found = mean_ranks([[0.9, 0.8], [0.7, 0.6], [0.5, 0.5], [0.8, 0.2]])
        >>> found.ranks.tolist(), float(found.p_values[0, 1]), found.letters
        ([1.125, 1.875], 0.25, ['a', 'a'])
    """
    x = np.asarray(values, dtype=np.float64)
    check_shape("values", x, ("T", "M"))
    check_not_empty("values", x)
    check_finite("values", x)
    check_choice("best", best, ("high", "low"))
    ranks = _ranks(-x if best == "high" else x)
    methods = x.shape[1]
    p_values = np.full((methods, methods), np.nan)
    for i, j in itertools.combinations(range(methods), 2):
        p_values[i, j] = p_values[j, i] = sign_flip(ranks[:, i] - ranks[:, j])
    upper = np.triu_indices(methods, k=1)
    adjusted = np.full_like(p_values, np.nan)
    adjusted[upper] = holm(p_values[upper])
    adjusted.T[upper] = adjusted[upper]
    mean = ranks.mean(axis=0)
    letters = rank_groups(mean, adjusted, level=level, best="low", adjusted=True)
    return MeanRanks(mean, p_values, adjusted, letters)


def sign_flip(differences: ArrayLike) -> float:
    r"""Return the exact two-sided p-value of no difference, of half-integer differences of ranks.

    The distribution of :math:`\sum \pm d_t` over all signs is a product of two-point distributions,
    convolved in turn: exact for any number of tasks.

    Args:
        differences: (T,) multiples of one half.

    Raises:
        ValueError: A difference is no multiple of one half.

    Example:
        >>> sign_flip([1, 1, 1, 1, 1, 1])
        0.03125
    """
    d = np.asarray(differences, dtype=np.float64)
    check_shape("differences", d, ("T",))
    steps = np.rint(2 * d)
    if not np.array_equal(steps, 2 * d):
        raise ValueError("`differences` should be multiples of 0.5, as differences of ranks are.")
    sizes = np.abs(steps).astype(int)
    reach = int(sizes.sum())
    share = np.zeros(2 * reach + 1)
    share[reach] = 1.0
    for size in sizes:
        share = (np.roll(share, size) + np.roll(share, -size)) / 2
    sums = np.arange(-reach, reach + 1)
    return float(min(share[np.abs(sums) >= abs(int(steps.sum()))].sum(), 1.0))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each row's ranks from 1, ties sharing the mean of theirs."""
    below = (values[:, None, :] < values[:, :, None]).sum(axis=2)
    equal = (values[:, None, :] == values[:, :, None]).sum(axis=2)
    return np.asarray(below + (equal + 1) / 2)
