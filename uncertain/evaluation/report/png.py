"""Images of a data set as PNG, encoded by hand: no imaging library is needed for a few tiles."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

_COLOUR_TYPE = {1: 0, 3: 2, 4: 6}
_LARGEST = 96
"""Pixels along the longer side; larger images are averaged down, so that a page stays small."""


def as_pixels(value: Any) -> NDArray[np.uint8] | None:
    """Return an image as (H, W, 1), (H, W, 3) or (H, W, 4) bytes, or ``None`` if it is none.

    Channels may come first or last. Floats in [0, 1] are scaled by 255, others from their least to
    their greatest value.

    Example:
        >>> as_pixels(np.ones((3, 8, 8))).shape, as_pixels("a sentence")
        ((8, 8, 3), None)
    """
    if isinstance(value, str | bytes):
        return None
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or array.ndim not in (2, 3) or array.size == 0:
        return None
    if array.ndim == 2:
        array = array[:, :, None]
    elif array.shape[2] not in _COLOUR_TYPE or (array.shape[0] in (1, 3) and array.shape[1] > 4):
        array = np.moveaxis(array, 0, 2)
    if array.shape[2] not in _COLOUR_TYPE or min(array.shape[:2]) < 2:
        return None
    return _as_bytes(_shrunk(array))


def encode(pixels: NDArray[np.uint8]) -> bytes:
    r"""Return a PNG file of (H, W, channels) bytes.

    References:
        ISO/IEC 15948:2004, Portable Network Graphics.

    Example:
        >>> encode(np.zeros((2, 2, 1), dtype=np.uint8))[:8]
        b'\x89PNG\r\n\x1a\n'
    """
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPE[channels], 0, 0, 0)
    rows = pixels.reshape(height, width * channels)
    # Each row starts with its filter: 0, none.
    filtered = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", zlib.compress(filtered.tobytes(), 9)),
            _chunk(b"IEND", b""),
        ]
    )


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """Return a PNG as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(encode(pixels)).decode("ascii")


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def _shrunk(array: NDArray[Any]) -> NDArray[Any]:
    factor = -(-max(array.shape[:2]) // _LARGEST)
    if factor == 1:
        return array
    height, width = (max(size // factor, 1) for size in array.shape[:2])
    cut = array[: height * factor, : width * factor]
    blocks = cut.reshape(
        height, min(factor, array.shape[0]), width, min(factor, array.shape[1]), -1
    )
    mean = blocks.mean(axis=(1, 3))
    return np.asarray(mean, dtype=array.dtype if array.dtype == np.uint8 else np.float64)


def _as_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    values = np.nan_to_num(array.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        values = (values - low) / ((high - low) or 1.0)
    return np.asarray(np.rint(values * 255), dtype=np.uint8)
