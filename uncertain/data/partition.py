"""Which rows are one row repeated, and which part each row goes to.

Parts are drawn from a hash of the group and the seed, never from a stream of random numbers, so a
row's place does not depend on the order in which rows are read.
"""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def row_hashes(x: NDArray[Any]) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each row's bytes; equal rows have equal hashes.

    Args:
        x: (N, ...); floats are hashed as float64, and -0 as 0.

    Returns:
        (N,) unsigned integers.

    Example:
        >>> a, b, c = row_hashes(np.array([[1.0, -0.0], [1.0, 0.0], [2.0, 0.0]]))
        >>> bool(a == b), bool(a == c)
        (True, False)
    """
    rows = x.reshape(len(x), -1)
    rows = rows if rows.dtype == np.uint8 else rows.astype(np.float64) + 0.0
    rows = np.ascontiguousarray(rows)
    digests = b"".join(hashlib.blake2b(row.data, digest_size=8).digest() for row in rows)
    return np.frombuffer(digests, np.uint64)


def split_hash(row_ids: ArrayLike) -> str:
    """Return a hash of which rows a part holds, whatever their order.

    It is the SHA-256 of the sorted ids as little-endian 64-bit integers, cut to 16 hexadecimal
    digits: enough to tell two protocols apart, short enough to print.

    Args:
        row_ids: (N,) whole numbers.

    Returns:
        16 hexadecimal digits.

    Example:
        >>> split_hash([3, 1, 2]) == split_hash([1, 2, 3]), split_hash([1, 2])
        (True, '...')
    """
    ids = np.sort(np.asarray(row_ids)).astype("<i8")
    return hashlib.sha256(ids.tobytes()).hexdigest()[:16]


def duplicate_groups(hashes: NDArray[Any]) -> NDArray[np.int64]:
    """Return for each row the first row that is equal to it: the group of its copies.

    Example:
        >>> duplicate_groups(np.array([7, 3, 7])).tolist()
        [0, 1, 0]
    """
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    return first[inverse].astype(np.int64)


def strata_of(y: NDArray[Any], groups: NDArray[Any]) -> NDArray[np.int64]:
    """Return each row's stratum: its class, or the tenth of the data that its target falls in.

    Groups are moved whole, so a row's stratum is that of its group: the class of the group's first
    row, or the tenth of the group's mean.

    Args:
        y: (N,) integers are classes, floats are targets.
        groups: (N,).

    Returns:
        (N,) integers.
    """
    _, first, place = np.unique(groups, return_index=True, return_inverse=True)
    if y.dtype.kind != "f":
        return y[first][place].astype(np.int64)
    means = np.bincount(place, weights=y) / np.bincount(place)
    edges = np.quantile(means, np.linspace(0, 1, 11)[1:-1])
    return np.searchsorted(edges, means, side="right")[place].astype(np.int64)


def choose(
    groups: NDArray[Any], strata: NDArray[Any], *, share: float, seed: int
) -> NDArray[np.bool_]:
    """Choose a stratified share of the rows, whole groups at a time.

    Groups are gone through stratum by stratum, shuffled within each, and one is taken whenever the
    rows taken so far lag by half of it: so every stratum gives its share to within one group, and so
    does the whole.

    Args:
        groups: (N,) resampling units, moved whole.
        strata: (N,) stratum of each row, constant within a group.
        share: Share of the rows to choose, in [0, 1].
        seed: Another seed shuffles otherwise.

    Returns:
        (N,) whether the row is chosen.

    Example:
        >>> labels = np.repeat([0, 1], [80, 20])
        >>> chosen = choose(np.arange(100), labels, share=0.25, seed=0)
        >>> np.bincount(labels[chosen]).tolist()
        [20, 5]
    """
    units, first, place, sizes = np.unique(
        groups, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((_shuffled(units, seed), strata[first]))
    taken = np.zeros(len(units), np.bool_)
    seen = rows = 0
    for unit, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        seen += size
        if rows + size / 2 <= seen * share:
            taken[unit] = True
            rows += size
    return taken[place]


def _shuffled(units: NDArray[Any], seed: int) -> NDArray[np.uint64]:
    """Return a hash of each unit and the seed (the finaliser of SplitMix64, twice)."""
    with np.errstate(over="ignore"):
        key = np.uint64(seed % 2**64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(
            0x1D8E4E27C47D124F
        )
        mixed = units.astype(np.int64).view(np.uint64)
        for _ in range(2):
            mixed = mixed + key
            mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            mixed = mixed ^ (mixed >> np.uint64(31))
    return np.asarray(mixed)
