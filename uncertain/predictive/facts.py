"""What may be said of rows beside their predictions: columns to group by, and the targets' order."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from uncertain import checks

CLASS_FAMILIES = frozenset({"bernoulli", "categorical", "dirichlet_categorical"})
"""Families over classes."""

RESERVED = ("class", "predicted")
"""What subgroups are made of without a column: the label, and the most probable class."""


def check_column_names(names: Iterable[str]) -> None:
    """Raise ``ValueError`` where a column is called what subgroups have without one.

    Example:
        >>> check_column_names(["site", "class"])
        Traceback (most recent call last):
        ValueError: `columns` should have names other than class and predicted, which are the label and
        the most probable class, got 'class': call it something else.
    """
    for name in names:
        if not isinstance(name, str) or not name:
            raise ValueError(
                f"`columns` should be named by strings that say something, got {name!r}."
            )
        if name in RESERVED:
            raise ValueError(
                f"`columns` should have names other than {' and '.join(RESERVED)}, which are the "
                f"label and the most probable class, got {name!r}: call it something else."
            )


def check_order(*, grid: float | None, ordinal: bool, classes: bool) -> None:
    """Raise ``ValueError`` where numbers are called ordinal, or classes are given a grid.

    Example:
        >>> check_order(grid=1.0, ordinal=False, classes=False)
    """
    if ordinal and not classes:
        raise ValueError(
            "`ordinal` should be False for predictions of numbers, which have an order: say what "
            "their `grid` is."
        )
    if grid is None:
        return
    if classes:
        raise ValueError(
            f"`grid` should be None for classes, got {grid}: say that they are `ordinal`."
        )
    checks.check_range("grid", grid, 0, np.inf, open_low=True, open_high=True)


_SPLIT = re.compile(r"test|validation|train|ood:.+|shift:[^:]+:[^:]+", re.DOTALL)


def check_split(split: str) -> None:
    """Raise ``ValueError`` unless ``split`` is a name that the judge knows.

    Example:
        >>> check_split("shift:blur:3")
        >>> check_split("tset")
        Traceback (most recent call last):
        ValueError: `split` should be test, validation, train, ood:NAME or shift:KIND:SEVERITY, got 'tset'.
    """
    if not _SPLIT.fullmatch(split):
        raise ValueError(
            f"`split` should be test, validation, train, ood:NAME or shift:KIND:SEVERITY, got {split!r}."
        )
    if split.startswith("shift:"):
        severity = split.rpartition(":")[2]
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", severity):
            raise ValueError(f"`split` should end in a severity, got {split!r}.")
