"""What has to be known about a data set before a number on it is believed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

TaskKind = Literal["classification", "regression"]


@dataclass(frozen=True)
class Card:
    """Facts about one split of a data set; those that can be measured are measured on it.

    Attributes:
        name: As passed to ``load``.
        title: What the rows are.
        kind: What is predicted.
        source: Where the data come from.
        licence: The licence as its publisher states it.
        sizes: Rows of each part.
        shape: Shape of one input.
        classes: Class names; empty for regression.
        features: Column names; empty for images.
        groups: What a group of rows is: the unit to resample.
        distinct: How many different inputs there are in all parts together.
        duplicates: Test rows whose input also stands in the training part (``test_in_train``), those
            of them with the same target too (``test_in_train_same_target``), and the same for the
            validation part (``validation_in_train``). Inputs are compared by a hash of the row.
        target_grid: Spacing of the grid that all targets lie on; ``None`` where there is none that
            matters. Below about a tenth of a model's error it is harmless; above, densities can be
            gained by guessing the grid.
        target_range: Smallest and largest target; ``None`` for classes.
        filled: Columns that had missing values, and the share missing.
        problems: What is known to be wrong or odd about the set.
    """

    name: str
    title: str
    kind: TaskKind
    source: str
    licence: str
    sizes: Mapping[str, int]
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    features: tuple[str, ...]
    groups: str
    distinct: int
    duplicates: Mapping[str, int]
    target_grid: float | None = None
    target_range: tuple[float, float] | None = None
    filled: Mapping[str, float] | None = None
    problems: tuple[str, ...] = ()


def target_grid(y: NDArray[Any]) -> float | None:
    """Return the spacing of the coarsest decimal grid that holds all targets, or ``None``.

    Spacings 1, 2 and 5 times a power of ten down to 0.001 are tried. Where hardly any value occurs
    twice the grid is only the file's decimals and is not reported.

    Args:
        y: (N,) targets.

    Returns:
        The spacing.

    Example:
        >>> target_grid(np.array([5.0, 6.0, 8.0, 5.0]))
        1.0
        >>> target_grid(np.random.default_rng(0).normal(size=100)) is None
        True
    """
    if len(np.unique(y)) > 0.95 * len(y):
        return None
    for exponent in range(3, -4, -1):
        for leading in (5, 2, 1):
            spacing = leading * 10.0**exponent
            steps = y / spacing
            if np.all(np.abs(steps - np.round(steps)) < 1e-6 * np.maximum(1, np.abs(steps))):
                return float(f"{spacing:g}")
    return None


def count_duplicates(
    x_hashes: NDArray[Any],
    y: NDArray[Any],
    *,
    train: NDArray[Any],
    validation: NDArray[Any],
    test: NDArray[Any],
) -> dict[str, int]:
    """Count rows of the held-back parts whose input the training part has too.

    Args:
        x_hashes: (N,) hash of each row's input.
        y: (N,) targets.
        train: Row indices of the training part.
        validation: Row indices of the validation part.
        test: Row indices of the test part.

    Returns:
        The counts, named as in :class:`Card`.

    Example:
        >>> count_duplicates(
        ...     np.array([1, 1, 2, 1]), np.array([0, 0, 0, 5]),
        ...     train=np.array([0]), validation=np.array([2]), test=np.array([1, 3]))
        {'test_in_train': 2, 'test_in_train_same_target': 1, 'validation_in_train': 0}
    """
    targets: dict[int, set[float]] = {}
    for row in train.tolist():
        targets.setdefault(int(x_hashes[row]), set()).add(float(y[row]))
    same = [float(y[row]) in targets.get(int(x_hashes[row]), ()) for row in test.tolist()]
    return {
        "test_in_train": int(np.isin(x_hashes[test], x_hashes[train]).sum()),
        "test_in_train_same_target": sum(same),
        "validation_in_train": int(np.isin(x_hashes[validation], x_hashes[train]).sum()),
    }
