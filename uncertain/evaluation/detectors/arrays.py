"""Arrays that detectors read: checked by name, and gone through in blocks of rows.

``N`` rows, ``M`` rows of the bank, ``D`` features, ``C`` classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from uncertain import checks
from uncertain.families import ArrayDistribution

Scores = NDArray[np.float64]
"""(N,), larger is more out-of-distribution."""

BLOCK_VALUES = 2**21
"""Values of a block in float64: 16 MiB."""

_SHOWN_ROWS = 256


class Detector(Protocol):
    """A fitted, frozen value: from features (N, D) and logits (N, C) to scores (N,)."""

    def __call__(self, features: Any, logits: Any) -> Scores:
        """Return one score a row, larger is more out-of-distribution."""


def logits_array(logits: Any, *, raw: bool = False, classes: int | None = None) -> NDArray[Any]:
    """Return logits (N, C) as they are, checked; ``raw`` ones are not log-probabilities.

    Args:
        logits: (N, C).
        raw: Whether log-probabilities are refused.
        classes: How many classes there should be.

    Raises:
        TypeError: For a distribution, numbers that are not floating, and, where ``raw`` ones are
            needed, log-probabilities.
        ValueError: For another shape, NaN or infinity.

    Example:
        >>> logits_array(np.log([[0.5, 0.5]]), raw=True)
        Traceback (most recent call last):
        TypeError: `logits` should be raw logits, got log-probabilities (every row's exponentials sum to 1): their normaliser, which this score is made of, is gone; record raw ones with `uncertain.evaluation.collect`.
    """
    array = _floating("logits", logits)
    expected = "C" if classes is None else classes
    checks.check_shape("logits", array, ("N", expected), hint="one logit a class")
    if raw and len(array):
        totals = log_sum_exp(array[:_SHOWN_ROWS].astype(np.float64))
        if np.abs(totals).max() < (2e-2 if array.dtype == np.float16 else 1e-4):
            raise TypeError(
                "`logits` should be raw logits, got log-probabilities (every row's exponentials sum "
                "to 1): their normaliser, which this score is made of, is gone; record raw ones with "
                "`uncertain.evaluation.collect`."
            )
    return array


def features_array(features: Any, width: int | None = None) -> NDArray[Any]:
    """Return features (N, D) as they are, checked.

    Raises:
        TypeError: For a distribution, or numbers that are not floating.
        ValueError: For another shape, or another width than the bank's; NaN or infinity.
    """
    array = _floating("features", features)
    checks.check_shape(
        "features", array, ("N", "D" if width is None else width), hint="as wide as the bank's"
    )
    return array


def non_negative(features: NDArray[Any], name: str) -> NDArray[Any]:
    """Return features, or raise where one is negative: some methods are defined after a ReLU only.

    Raises:
        ValueError: A feature is negative.
    """
    checks.check_range(
        "features", features, 0, hint=f"{name} is defined for activations after a ReLU"
    )
    return features


def row_blocks(rows: int, width: int) -> Iterator[slice]:
    """Yield slices of rows whose values, ``width`` a row, stay within ``BLOCK_VALUES``.

    Example:
        >>> [part.stop - part.start for part in row_blocks(5, BLOCK_VALUES // 2)]
        [2, 2, 1]
    """
    size = max(1, BLOCK_VALUES // max(1, width))
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def by_block(
    function: Callable[..., NDArray[Any]], *arrays: NDArray[Any], width: int | None = None
) -> Scores:
    """Return the scores of all rows: ``function`` of each block in float64, put together.

    Args:
        function: From blocks of rows, in float64, to scores.
        arrays: Each with N rows.
        width: Values that a row takes meanwhile; by default those of the arrays.

    Raises:
        ValueError: The arrays have different lengths.
    """
    rows = checks.check_same_length(**dict(zip(("features", "logits"), arrays, strict=False)))
    if width is None:
        width = sum(array[:1].size for array in arrays)
    scores = np.empty(rows, dtype=np.float64)
    for part in row_blocks(rows, width):
        scores[part] = function(*(array[part].astype(np.float64) for array in arrays))
    return scores


def log_sum_exp(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log sum exp of each row, (N,)."""
    top = z.max(axis=1)
    total: NDArray[np.float64] = top + np.log(np.exp(z - top[:, None]).sum(axis=1))
    return total


def softmax(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the softmax of each row."""
    weights = np.exp(z - z.max(axis=1, keepdims=True))
    total: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return total


def _floating(name: str, value: Any) -> NDArray[Any]:
    if hasattr(value, "batch_shape") or isinstance(value, ArrayDistribution):
        raise TypeError(
            f"`{name}` should be an array of what the network computed, got a "
            f"{type(value).__name__}: a distribution keeps normalised log-probabilities, from which "
            "raw logits and features can't be told; record them with `uncertain.evaluation.collect`."
        )
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
    array = np.asarray(value)
    if array.dtype.kind != "f":
        raise TypeError(f"`{name}` should hold floating numbers, got dtype {array.dtype}.")
    checks.check_finite(name, array)
    return array
