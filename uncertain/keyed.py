r"""Random draws that belong to a row, not to its position: sampling that no reordering can change.

A row's key (its id, its group's label, or what it contains) is hashed to 64 bits, and every draw is
a function of (hash, seed, number of the draw). So a bootstrap, a subsample or an exponential race
gives the same answer for any order, batching or sharding of the rows, and two models judged on the
same rows get the same replicates, which is what makes a paired comparison paired.

The mixing function is the finaliser of splitmix64: 64 bits in, 64 bits out, one to one.

References:
    Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA (2014).
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain.checks import check_range, check_shape

_Entry = TypeVar("_Entry", bound=np.generic)

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
# Keys of different types never share a hash by accident: 1, "1" and b"1" are three rows.
_DOMAINS = {"i": 1, "u": 1, "b": 1, "U": 2, "S": 3, "M": 4}


def hash_keys(keys: ArrayLike, *, seed: int = 0) -> NDArray[np.uint64]:
    """Hash row keys to 64 bits.

    Args:
        keys: (N,), or (N, k) for keys of k parts: integers, strings, bytes or dates. The width of
            the dtype does not matter (``int32`` and ``int64``, ``"<U4"`` and ``"<U9"`` agree).
        seed: Another seed gives an unrelated hash.

    Returns:
        (N,) unsigned 64-bit integers; equal keys have equal hashes.

    Raises:
        TypeError: For floating keys, which round, and for mixed objects.

    Example:
        >>> a = hash_keys([3, 1, 2])
        >>> bool((hash_keys(np.array([1, 2, 3], dtype=np.int16)) == a[[1, 2, 0]]).all())
        True
    """
    array = np.asarray(keys)
    if array.dtype.kind == "O":
        array = _plain(array)
    if array.dtype.kind not in _DOMAINS:
        raise TypeError(
            f"`keys` should be integers, strings, bytes or dates, got dtype {array.dtype}: "
            "give each row an id, or hash what it contains with `hash_rows`."
        )
    if array.ndim not in (1, 2):
        check_shape("keys", array, ("N",), hint="or (N, k) for keys of k parts")
    start = np.uint64((seed ^ (_DOMAINS[array.dtype.kind] << 56)) & 0xFFFFFFFFFFFFFFFF)
    state = np.full(len(array), mix(np.array(start)), dtype=np.uint64)
    for part in array.T if array.ndim == 2 else (array,):
        state = mix(state ^ _bits(part))
    return state


def hash_rows(*columns: ArrayLike, seed: int = 0) -> NDArray[np.uint64]:
    """Hash rows by what they contain, equal rows told apart by how many came before.

    The *set* of hashes is the same for every order of the rows, and which of several equal rows
    holds which of their hashes cannot matter to anything computed from the rows. So rows without
    an id can be bootstrapped order-invariantly too.

    Args:
        columns: Arrays of N rows each: any of the types of :func:`hash_keys`, or floats (by value:
            ``-0.0`` equals ``0.0``).
        seed: Another seed gives an unrelated hash.

    Returns:
        (N,), all different (up to chance collisions of 64 bits).

    Example:
        >>> h = hash_rows([0.5, 0.7, 0.5])
        >>> len(set(h.tolist())), sorted(h) == sorted(hash_rows([0.7, 0.5, 0.5]))
        (3, True)
    """
    if not columns:
        raise TypeError("`hash_rows` needs at least one column, got none.")
    state: NDArray[np.uint64] | None = None
    for column in columns:
        array = np.asarray(column)
        if array.dtype.kind == "f":
            array = (array.astype(np.float64) + 0.0).view(np.int64)
        found = hash_keys(array, seed=seed)
        state = found if state is None else mix(state ^ found)
    assert state is not None
    return mix(state ^ occurrence(state).astype(np.uint64))


def count_distinct(values: ArrayLike) -> int:
    """Return how many different values there are.

    Sorted and compared: where most values differ, quicker than the table that ``numpy.unique`` keeps.

    Args:
        values: Of any shape and of one type that can be sorted, without NaN.

    Example:
        >>> count_distinct(["b", "a", "b"])
        2
    """
    ordered = np.sort(np.asarray(values), axis=None)
    return int(np.count_nonzero(ordered[1:] != ordered[:-1])) + min(1, ordered.size)


def occurrence(keys: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Return for each entry how many equal entries come before it.

    Example:
        >>> occurrence(np.array([7, 7, 5, 7], dtype=np.uint64))
        array([0, 1, 0, 2])
    """
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    first = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1]))[: len(keys)])
    sizes = np.diff(np.append(first, len(keys)))
    out = np.empty(len(keys), dtype=np.intp)
    out[order] = np.arange(len(keys)) - np.repeat(first, sizes)
    return out


def mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Apply the finaliser of splitmix64 to each entry (after one step of its counter).

    Example:
        >>> hex(mix(np.zeros(1, dtype=np.uint64))[0])     # the first output of splitmix64(0)
        '0xe220a8397b1dcdaf'
    """
    z = np.atleast_1d(x).astype(np.uint64) + _GOLDEN
    z ^= z >> np.uint64(30)
    z *= _MIX_1
    z ^= z >> np.uint64(27)
    z *= _MIX_2
    z ^= z >> np.uint64(31)
    return z.reshape(np.shape(x))


def uniforms(hashes: NDArray[np.uint64], *, draw: int = 0) -> NDArray[np.float64]:
    """Return one uniform number in (0, 1) a row.

    Args:
        hashes: (N,) from :func:`hash_keys`.
        draw: Which of a row's unlimited draws.

    Example:
        >>> u = uniforms(hash_keys(np.arange(10_000)))
        >>> bool(abs(u.mean() - 0.5) < 0.01)
        True
    """
    bits = mix(hashes ^ _counter(draw)) >> np.uint64(11)
    return (bits.astype(np.float64) + 0.5) * 2.0**-53


def exponentials(hashes: NDArray[np.uint64], *, draw: int = 0) -> NDArray[np.float64]:
    """Return one standard exponential a row: divided by weights, the arrival times of a race.

    The k rows with the smallest ``exponentials / weights`` are a weighted sample of size k without
    replacement, the same in any order and merged from any shards.

    References:
        Efraimidis and Spirakis, Weighted random sampling with a reservoir, Inf. Proc. Letters
        (2006).

    Example:
        >>> times = exponentials(hash_keys(["a", "b", "c"]))
        >>> bool((times > 0).all())
        True
    """
    out: NDArray[np.float64] = -np.log(uniforms(hashes, draw=draw))
    return out


def exponential_weights(
    hashes: NDArray[np.uint64], replicates: int, *, first: int = 0
) -> NDArray[np.float32]:
    """Return bootstrap weights of mean 1 and variance 1, exponential (the Bayesian bootstrap).

    Sixteen random bits an entry through a table: 1e7 weights take about 0.1 s.

    Args:
        hashes: (N,).
        replicates: B.
        first: Number of the first replicate, a multiple of 4, so that blocks join.

    Returns:
        (B, N), not negative.

    References:
        Rubin, The Bayesian bootstrap, Annals of Statistics (1981).
    """
    return _through(_exponential_table(), hashes, replicates, first)


def poisson_weights(
    hashes: NDArray[np.uint64], replicates: int, *, first: int = 0
) -> NDArray[np.uint8]:
    """Return bootstrap counts, Poisson with mean 1 (to within 1e-4: sixteen bits an entry).

    Args:
        hashes: (N,).
        replicates: B.
        first: Number of the first replicate, a multiple of 4, so that blocks join.

    Returns:
        (B, N) counts: how often each row stands in each replicate.

    Example:
        >>> counts = poisson_weights(hash_keys(np.arange(1000)), 100)
        >>> bool(abs(counts.mean() - 1) < 0.01), bool(abs(counts.var() - 1) < 0.02)
        (True, True)
    """
    return _through(_poisson_table(), hashes, replicates, first)


def _through(
    table: NDArray[_Entry], hashes: NDArray[np.uint64], replicates: int, first: int
) -> NDArray[_Entry]:
    check_range("replicates", replicates, 0)
    if first % 4:
        raise ValueError(f"`first` should be a multiple of 4, got {first}.")
    out = np.empty((replicates, len(hashes)), dtype=table.dtype)
    for block in range(0, replicates, 4):
        bits = mix(hashes ^ _counter((first + block) // 4))
        for part in range(min(4, replicates - block)):
            np.take(table, (bits >> np.uint64(16 * part)).astype(np.uint16), out=out[block + part])
    return out


def _counter(draw: int) -> np.uint64:
    return np.uint64(mix(np.array(draw + 1, dtype=np.uint64))[()])


def _exponential_table() -> NDArray[np.float32]:
    u = (np.arange(65536) + 0.5) / 65536
    table = -np.log(u)
    # Midpoints lose a little of the tail: put mean and variance back to exactly one.
    table = 1 + (table - table.mean()) / table.std()
    return np.asarray(np.maximum(table, 0), dtype=np.float32)


def _poisson_table() -> NDArray[np.uint8]:
    pmf = [math.exp(-1) / math.factorial(k) for k in range(10)]
    counts = np.floor(np.cumsum(pmf) * 65536 + 0.5).astype(np.int64)
    counts[-1] = 65536
    return np.searchsorted(counts, np.arange(65536), side="right").astype(np.uint8)


def _bits(part: NDArray[np.generic]) -> NDArray[np.uint64]:
    """One column of keys as 64 bits each; strings are folded one character position at a time."""
    kind = part.dtype.kind
    if kind in "iub":
        return part.astype(np.int64).view(np.uint64) if kind != "u" else part.astype(np.uint64)
    if kind == "M":
        return part.astype("datetime64[ns]").view(np.uint64)
    unit = np.uint32 if kind == "U" else np.uint8
    width = max(1, part.dtype.itemsize // np.dtype(unit).itemsize)
    text = np.ascontiguousarray(part).view(unit).reshape(len(part), width)
    state = np.zeros(len(part), dtype=np.uint64)
    for position in range(width):
        letters = text[:, position].astype(np.uint64)
        # Zeros pad short strings: they must not change the hash, or it would depend on the dtype.
        state = np.where(letters > 0, mix(state ^ letters), state)
    return state


def _plain(array: NDArray[np.object_]) -> NDArray[np.generic]:
    """An object array of one plain type as an array of that type."""
    kinds = {type(value) for value in array.ravel()}
    if kinds <= {str} or kinds <= {bytes} or kinds <= {int, bool}:
        return np.asarray(array.tolist())
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise TypeError(
        f"`keys` should be of one type, integers, strings or bytes, got objects of type {names}."
    )
