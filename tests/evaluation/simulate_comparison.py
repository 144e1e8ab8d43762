"""Comparisons whose truth is known: equally good methods on splits of one set, trainings, tasks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from uncertain.intervals import Crossed, Estimate, corrected_resampled_t, crossed, over_trainings

ROWS, SHARE = 100, 0.1


def split_differences(rng: np.random.Generator, splits: int) -> NDArray[np.float64]:
    """Return the difference of test errors of two equally good regressions, one a split.

    y = x1 + x2 + noise; one model knows x1, the other x2: by symmetry they are equally good on the
    population, whatever this data set says.
    """
    x = rng.normal(size=(ROWS, 2))
    y = x.sum(axis=1) + rng.normal(size=ROWS)
    tested = round(SHARE * ROWS)
    differences = np.empty(splits)
    for split in range(splits):
        order = rng.permutation(ROWS)
        test, train = order[:tested], order[tested:]
        slopes = (x[train] * y[train, None]).sum(axis=0) / (x[train] ** 2).sum(axis=0)
        errors = ((y[test, None] - x[test] * slopes) ** 2).mean(axis=0)
        differences[split] = errors[0] - errors[1]
    return differences


def corrected(differences: NDArray[np.float64]) -> Estimate:
    """Return what the corrected resampled t says of them."""
    return corrected_resampled_t(differences, test_share=SHARE, null=0.0)


def plain(differences: NDArray[np.float64]) -> Estimate:
    """Return what Student's t says, as if splits were independent data sets."""
    return over_trainings(differences, null=0.0)


def crossed_scores(
    rng: np.random.Generator,
    trainings: int,
    items: int,
    *,
    training_sd: float,
    item_sd: float = 1.0,
    noise_sd: float = 1.0,
) -> Crossed:
    """Return the intervals of scores crossed over trainings and items, whose true mean is 0."""
    scores = (
        training_sd * rng.normal(size=(trainings, 1))
        + item_sd * rng.normal(size=(1, items))
        + noise_sd * rng.normal(size=(trainings, items))
    )
    return crossed(scores)


def false_letters(letters: list[str]) -> bool:
    """Return whether equally good methods were told apart."""
    shared = set(letters[0]).intersection(*map(set, letters[1:]))
    return not shared
