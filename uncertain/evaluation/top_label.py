"""The largest probability of each row, and whether its class is the label: many short rows, fast.

A maximum over rows of a few classes spends its time between rows; over columns it does not. So few
classes are read as columns, a cache's worth of rows at a time.

Axis letters: ``N`` rows, ``C`` classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_FEW = 32
_ELEMENTS = 1 << 16


def chunk_rows(classes: int) -> int:
    """Return how many rows to read at a time.

    Example:
        >>> chunk_rows(1 << 16)
        1
    """
    return max(1, _ELEMENTS // classes)


def largest(p: NDArray[Any]) -> NDArray[Any]:
    """Return each row's largest probability, (N,), of a chunk (N, C).

    Example:
        >>> largest(np.array([[0.9, 0.1], [0.2, 0.8]]))
        array([0.9, 0.8])
    """
    if p.shape[1] > _FEW:
        return np.asarray(p.max(axis=1))
    return np.asarray(np.ascontiguousarray(p.T).max(axis=0))


def top_label(
    p: NDArray[Any], labels: NDArray[np.integer]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return confidence and correctness of a chunk; of equal probabilities the first class counts.

    Args:
        p: (N, C) probabilities.
        labels: (N,) class indices.

    Example:
        >>> top_label(np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([0, 1]))
        (array([0.5, 0.5]), array([ True, False]))
    """
    if p.shape[1] > _FEW:
        best = p.argmax(axis=1)
        return p[np.arange(len(p)), best], best == labels
    columns = np.ascontiguousarray(p.T)
    confidence = columns.max(axis=0)
    correct = p[np.arange(len(p)), labels] == confidence
    tied = np.flatnonzero((columns == confidence).sum(axis=0, dtype=np.uint8) > 1)
    correct[tied] = p[tied].argmax(axis=1) == labels[tied]
    return confidence, correct
