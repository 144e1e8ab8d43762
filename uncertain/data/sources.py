"""What a reader hands over: one whole data set as plain arrays, before it is split."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class Source:
    """One data set as its files hold it.

    Attributes:
        x: (N, D) float64, NaN where a value is missing; or (N, channels, H, W) images, uint8 or
            float64 in [0, 1].
        y: (N,) int64 class indices, or float64 targets in their original units.
        features: Names of the D columns; empty for images.
        classes: Names of the classes; empty for regression.
        groups: (N,) int64 resampling units; ``None`` means repeated rows, found by hashing.
        row_ids: (N,) int64 places in the original file; ``None`` means 0 to N - 1.
        tests: Row indices of the test part of each standard split; empty means none is standard.
        lazy: Keep the images as bytes and turn each batch to float32 when it is asked for.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    features: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    groups: NDArray[Any] | None = None
    row_ids: NDArray[Any] | None = None
    tests: tuple[NDArray[Any], ...] = ()
    lazy: bool = False


Reader = Callable[[Path], Source]
"""Reads a set, given the folder of local data (packaged sets ignore it)."""
