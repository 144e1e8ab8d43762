r"""Which whole number a score is: the order of the keys is the order of the scores.

A floating-point number's bits are its sign, its exponent and its mantissa, so within one sign and
exponent (a *page*) the mantissa counts through the scores in order, evenly. Integers of 16 bits are
split in the same way by their high bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uncertain.checks import check_choice, check_shape
from uncertain.intervals.areas import check_no_nan

Words = NDArray[np.unsignedinteger[Any]]


class Layout(NamedTuple):
    """How the bits of a score type are split.

    Attributes:
        word: Unsigned integers of the type's width.
        fine: Bits of the mantissa: a page holds ``2**fine`` scores.
        pages: Number of pages.
        signed: Whether the highest bit is a sign, of magnitudes (not of a complement).
    """

    word: type[np.unsignedinteger[Any]]
    fine: int
    pages: int
    signed: bool


LAYOUTS: dict[str, Layout] = {
    "float16": Layout(np.uint16, 10, 1 << 6, True),
    "bfloat16": Layout(np.uint16, 7, 1 << 9, True),
    "uint16": Layout(np.uint16, 10, 1 << 6, False),
    "int16": Layout(np.uint16, 10, 1 << 6, False),
    "float32": Layout(np.uint32, 23, 1 << 9, True),
    "float64": Layout(np.uint64, 52, 1 << 12, True),
}
_BF16_INFINITY = 0x7F80


def score_words(scores: Any, dtype: str | None = None) -> tuple[Words, str]:
    """Return the bits of scores, and their type.

    Args:
        scores: (N,) of float16, float32, float64, int16 or uint16; a torch tensor of these or of
            bfloat16; or the bits of bfloat16 scores as uint16, with ``dtype="bfloat16"``.
        dtype: What the bits are; by default what the array says.

    Returns:
        Unsigned integers, (N,), where both zeros are one (int16 is shifted by 2^15), and the type.

    Raises:
        TypeError: For other types of scores.
        ValueError: For NaN, a wrong shape or an unknown ``dtype``.

    Example:
        >>> score_words(np.array([1.0, -0.0], dtype=np.float16))
        (array([15360,     0], dtype=uint16), 'float16')
    """
    array, own = _array(scores)
    check_shape("scores", array, ("N",))
    found = own if dtype is None else dtype
    if dtype is not None:
        check_choice("dtype", dtype, LAYOUTS)
        if own != dtype and not (dtype == "bfloat16" and own == "uint16"):
            raise TypeError(f"`scores` should be {dtype}, got {own}: convert them.")
    if found not in LAYOUTS:
        raise TypeError(
            f"`scores` should be one of {', '.join(LAYOUTS)}, got {own}: convert them to float64."
        )
    if found == "bfloat16":
        return _bfloat16(array), found
    if found == "int16":
        return array.view(np.uint16) ^ np.uint16(1 << 15), found
    if found == "uint16":
        return array, found
    check_no_nan("scores", array)
    words: Words = (array + array.dtype.type(0)).view(LAYOUTS[found].word)
    return words, found


def scores_of(words: Words, dtype: str) -> NDArray[np.floating]:
    """Return the scores that words are the bits of, as floating-point numbers.

    Example:
        >>> scores_of(np.array([15360], dtype=np.uint16), "float16")
        array([1.], dtype=float16)
    """
    out: NDArray[np.floating]
    if dtype == "bfloat16":
        out = (words.astype(np.uint32) << np.uint32(16)).view(np.float32)
    elif dtype == "uint16":
        out = words.astype(np.float64)
    elif dtype == "int16":
        out = words.astype(np.float64) - 2.0**15
    else:
        out = words.view(np.dtype(dtype))
    return out


def _bfloat16(bits: Words) -> Words:
    magnitude = bits & np.uint16(0x7FFF)
    bad = magnitude > _BF16_INFINITY
    if bad.any():
        check_no_nan("scores", np.where(bad, np.nan, 0.0))
    return np.where(magnitude == 0, np.uint16(0), bits)


def _array(scores: Any) -> tuple[NDArray[Any], str]:
    if hasattr(scores, "detach"):
        tensor = scores.detach().cpu()
        if str(tensor.dtype) == "torch.bfloat16":
            import torch

            return tensor.contiguous().view(torch.int16).numpy().view(np.uint16), "bfloat16"
        scores = tensor.numpy()
    array = np.asarray(scores)
    return array, array.dtype.name
