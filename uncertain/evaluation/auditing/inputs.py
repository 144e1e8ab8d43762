"""What is wrong with inputs: shared rows, near copies, other sizes, and pairs that are told apart
by something that looks at no model.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from uncertain import keyed
from uncertain.evaluation.auditing.codec import as_images, check_codec
from uncertain.evaluation.auditing.findings import Finding
from uncertain.intervals import delong

TRIVIAL = 0.85
"""A pair that a plain statistic tells apart better than this supports no claim about a model."""
NEAR = 0.1
"""Root mean square distance, in standard deviations of the inputs, below which rows are near copies."""
FEATURES = 16
"""Fewest numbers a row for nearness to mean anything."""
MOST = 4096
"""Rows of each set that are held against each other for near copies."""


def read_inputs(path: Path) -> NDArray[np.generic]:
    """Return the inputs in a file: ``inputs`` or ``x`` of an ``.npz``, or a ``.npy``.

    Raises:
        ValueError: The file holds no inputs.
    """
    from uncertain.evaluation.readers import read_arrays

    arrays, _ = read_arrays(path)
    for name in ("inputs", "x", "X", "images"):
        if name in arrays:
            return arrays[name]
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    raise ValueError(f"{path}: it should hold `inputs` or `x`, got {', '.join(arrays)}.")


def check_inputs(inputs: Mapping[str, NDArray[np.generic]]) -> Iterator[Finding]:
    """Yield what is wrong between sets of inputs.

    Args:
        inputs: Name -> (N, ...) array. ``train``, ``validation`` and ``test`` belong together; every
            other name is a set of strange rows, held against ``test``.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(30, 20))
        >>> [f.check for f in check_inputs({"train": x[:20], "test": x[15:]})]
        ['input overlap']
    """
    for name, x in inputs.items():
        yield from _copies_within(name, x)
    own = ("train", "validation", "test")
    for (a, x), (b, z) in itertools.combinations(inputs.items(), 2):
        strange = a not in own or b not in own
        if strange and not {"test", "train"} & {a, b}:
            continue
        yield from _overlap(a, x, b, z)
        if strange and "test" in (a, b):
            other = b if a == "test" else a
            yield from _kinds(other, inputs["test"], inputs[other])


def _copies_within(name: str, x: NDArray[np.generic]) -> Iterator[Finding]:
    repeated = len(x) - keyed.count_distinct(_hashes(x))
    if repeated:
        yield Finding(
            "warn", "copies", f"inputs of {name}", f"{repeated:,} of {len(x):,} rows are copies.",
            {"repeated": repeated}, "Group them with --groups, or drop them.",
        )  # fmt: skip


def _overlap(a: str, x: NDArray[np.generic], b: str, z: NDArray[np.generic]) -> Iterator[Finding]:
    about = f"{a} and {b}"
    shared = len(np.intersect1d(_hashes(x), _hashes(z)))
    if shared:
        yield Finding(
            "fail" if "test" in (a, b) else "warn", "input overlap", about,
            f"{shared:,} inputs are in both, to the bit.", {"shared": shared},
            "Take them out of one: a model has seen them, or can't tell them apart.",
        )  # fmt: skip
    near = near_copies(x, z) - shared if x.shape[1:] == z.shape[1:] else 0
    if near > 0:
        yield Finding(
            "warn", "near copies", about,
            f"{near:,} inputs of {b} lie within {NEAR} standard deviations of one of {a}.",
            {"near": near}, "Look at them: crops and re-encodings of one picture are one picture.",
        )  # fmt: skip


def near_copies(x: NDArray[np.generic], z: NDArray[np.generic]) -> int:
    """Return how many rows of ``z`` nearly equal one of ``x``, of at most 4,096 of each.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(50, 64))
        >>> near_copies(x, x[:5] + 0.01)
        5
    """
    first, second = (_thinned(v).reshape(min(len(v), MOST), -1).astype(np.float64) for v in (x, z))
    if first.shape[1] < FEATURES or not first.std():
        return 0
    if x.ndim == 2:
        # Columns of a table have units of their own.
        spread = first.std(axis=0)
        first, second = (v[:, spread > 0] / spread[spread > 0] for v in (first, second))
    limit = (NEAR * float(first.std() if x.ndim > 2 else 1.0)) ** 2 * first.shape[1]
    norms = (first**2).sum(axis=1)
    found = 0
    for block in np.array_split(second, max(1, len(second) // 512)):
        distance = norms - 2 * block @ first.T + (block**2).sum(axis=1)[:, None]
        found += int((distance.min(axis=1) < limit).sum())
    return found


def _thinned(x: NDArray[np.generic]) -> NDArray[np.generic]:
    return x if len(x) <= MOST else x[np.linspace(0, len(x) - 1, MOST).astype(int)]


def _kinds(name: str, test: NDArray[np.generic], x: NDArray[np.generic]) -> Iterator[Finding]:
    about = f"test and {name}"
    if x.shape[1:] != test.shape[1:] or x.dtype != test.dtype:
        yield Finding(
            "fail", "size", about,
            f"Test inputs are {test.dtype} of shape {test.shape[1:]}, these {x.dtype} of shape "
            f"{x.shape[1:]}.", {}, "Put both through one pipeline: size, codec, channels and range.",
        )  # fmt: skip
        return
    for statistic, (inside, outside) in _statistics(test, x).items():
        strange = np.repeat([False, True], [len(inside), len(outside)])
        area = delong(np.concatenate([inside, outside]), strange).value
        area = max(area, 1 - area)
        if area > TRIVIAL:
            codec = statistic == "block edges"
            yield Finding(
                "warn", "codec" if codec else "trivial pair", about,
                f"The {statistic} of an input alone tells them apart: AUROC {area:.3f}.",
                {"auroc": area},
                "Were both stored by the same codec? " if codec else
                "A good AUROC of a model shows nothing here: take a pair that differs in content.",
            )  # fmt: skip
    yield from check_codec(about, _thinned(test), _thinned(x))


def _statistics(
    test: NDArray[np.generic], x: NDArray[np.generic]
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    pairs = [plain_statistics(_thinned(v)) for v in (test, x)]
    return {name: (pairs[0][name], pairs[1][name]) for name in pairs[0]}


def plain_statistics(x: NDArray[np.generic]) -> dict[str, NDArray[np.float64]]:
    """Return statistics of each input that look at no model: mean, spread, zeros, edges.

    ``block edges`` is how much larger the steps over every eighth pixel border are than the others,
    which is what JPEG leaves behind.

    Example:
        >>> sorted(plain_statistics(np.zeros((2, 16, 16))))
        ['block edges', 'border mean', 'mean', 'spread', 'total variation', 'zero share']
    """
    rows = x.reshape(len(x), -1).astype(np.float64)
    found = {
        "mean": rows.mean(axis=1),
        "spread": rows.std(axis=1),
        "zero share": (rows == 0).mean(axis=1),
    }
    images = as_images(x)
    if images is None:
        return found
    ring = np.ones(images.shape[-2:], dtype=bool)
    ring[1:-1, 1:-1] = False
    across = np.abs(np.diff(images, axis=3)).mean(axis=(1, 2))
    found["border mean"] = images[..., ring].mean(axis=(1, 2))
    found["total variation"] = across.mean(axis=1)
    edges = np.arange(across.shape[1]) % 8 == 7
    if edges.any():
        found["block edges"] = across[:, edges].mean(axis=1) - across[:, ~edges].mean(axis=1)
    return found


def _hashes(x: NDArray[np.generic]) -> NDArray[np.uint64]:
    rows = np.ascontiguousarray(x.reshape(len(x), -1))
    if rows.dtype.kind == "f":
        rows = rows.astype(np.float64) + 0.0
    digests = b"".join(hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in rows)
    return np.frombuffer(digests, np.uint64)
