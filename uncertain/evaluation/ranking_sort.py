r"""Rows without weights, sorted and counted at their distinct scores: the one costly step of ranking.

No index sort is needed. A float's bits, read as a whole number, are in the order of its value (for
negative ones after a complement), so score and class travel in one word,
:math:`2\,\mathrm{key}(x) + [\text{positive}]`, and the processor's vectorised sort of whole numbers
does the rest. The sign needs no bit, as the two signs are sorted apart. Equal scores may come in any
order: only their counts are read.

Axis letters: ``N`` rows, ``T`` distinct scores.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 15
"""Words at a time: what is made of them stays in the processor's cache."""

_WORDS: dict[np.dtype[Any], type[np.unsignedinteger[Any]]] = {
    np.dtype(np.float32): np.uint32,
    np.dtype(np.float64): np.uint64,
}


class Counted(NamedTuple):
    """Rows counted at their distinct scores.

    Attributes:
        values: Distinct scores, ascending, (T,).
        up: Positives at or below each, whole numbers, (T,).
        down: Negatives at or below each, (T,).
    """

    values: NDArray[np.floating]
    up: NDArray[Any]
    down: NDArray[Any]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.up[-1] + self.down[-1]) if len(self.up) else 0


def count_rows(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> Counted:
    """Sort rows and count them at their distinct scores.

    Args:
        scores: (N,) float32 or float64 without NaN.
        positive: (N,) booleans.

    Example:
        >>> found = count_rows(np.array([3.0, 1.0, 3.0]), np.array([True, False, False]))
        >>> found.values.tolist(), found.up.tolist(), found.down.tolist()
        ([1.0, 3.0], [0, 1], [1, 2])
    """
    parts = _words(scores, positive)
    for words, _ in parts:
        words.sort()
    distinct = sum(int(np.count_nonzero(_ends(w, at))) for w, _ in parts for at in _places(w))
    whole: np.dtype[Any] = np.dtype(np.int32 if len(scores) < 2**31 else np.int64)
    values = np.empty(distinct, dtype=scores.dtype)
    up, down = np.empty(distinct, dtype=whole), np.empty(distinct, dtype=whole)
    done, rows, positives = 0, 0, 0
    for block, ends, complement in _blocks(parts):
        last = np.flatnonzero(ends)
        through = np.cumsum(block & 1, dtype=whole)
        out = slice(done, done + len(last))
        values[out] = _values(block[last], scores.dtype, complement=complement)
        np.add(through[last], positives, out=up[out])
        np.subtract(last + (rows + 1), up[out], out=down[out], casting="same_kind")
        done, rows, positives = out.stop, rows + len(block), positives + int(through[-1])
    return Counted(values, up, down)


def _words(
    x: NDArray[np.floating], positive: NDArray[np.bool_]
) -> list[tuple[NDArray[np.unsignedinteger[Any]], bool]]:
    """Return words of (key, class) of the negative scores, and of the others."""
    bits = (x + x.dtype.type(0)).view(_WORDS[x.dtype])  # -0.0 becomes 0.0
    below = x < 0
    if not below.any():
        bits <<= 1
        bits |= positive
        return [(bits, False)]
    words = []
    for rows, complement in ((below, True), (~below, False)):
        part = bits[rows]
        if complement:
            np.invert(part, out=part)
        part <<= 1
        part |= positive[rows]
        words.append((part, complement))
    return words


def _blocks(
    parts: list[tuple[NDArray[np.unsignedinteger[Any]], bool]],
) -> Iterator[tuple[NDArray[np.unsignedinteger[Any]], NDArray[np.bool_], bool]]:
    for words, complement in parts:
        for at in _places(words):
            yield words[at : at + _BLOCK], _ends(words, at), complement


def _places(words: NDArray[np.unsignedinteger[Any]]) -> range:
    return range(0, len(words), _BLOCK)


def _ends(words: NDArray[np.unsignedinteger[Any]], at: int) -> NDArray[np.bool_]:
    """Where in a block of sorted words the last of equal scores stands."""
    block, after = words[at : at + _BLOCK], at + _BLOCK
    out = np.empty(len(block), dtype=bool)
    np.greater(block[1:] ^ block[:-1], 1, out=out[:-1])
    out[-1] = after >= len(words) or bool((words[after] ^ block[-1]) > 1)
    return out


def _values(
    words: NDArray[np.unsignedinteger[Any]], dtype: np.dtype[Any], *, complement: bool
) -> NDArray[np.floating]:
    """Return the scores that words hold."""
    bits = words >> 1
    if complement:
        np.invert(bits, out=bits)
    out: NDArray[np.floating] = bits.view(dtype)
    return out
