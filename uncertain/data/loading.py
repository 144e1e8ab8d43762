"""From a name to the parts of a data set."""

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uncertain import checks, keyed
from uncertain.data import partition
from uncertain.data.card import Card, count_duplicates, target_grid
from uncertain.data.catalogue import CATALOGUE
from uncertain.data.dataset import ByteImages, DataSet, Split
from uncertain.data.local import check_files, found_folder
from uncertain.data.remote import REMOTE
from uncertain.data.sources import Source

TEST_SHARE = 0.2
"""Share of the rows that are test rows, where no split is standard."""

VALIDATION_SHARE = 0.125
"""Share of the rows that are not test rows that validate: always cut from the training part."""


def names() -> list[str]:
    """Return the name of every data set, available here or not.

    Example:
        >>> "mnist5k" in names()
        True
    """
    return list(CATALOGUE)


def load(
    name: str,
    *,
    seed: int = 0,
    split: int | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    dtype: torch.dtype = torch.float32,
) -> DataSet:
    """Load a data set, split into training, validation and test parts.

    Where a set has S standard splits, the test part is the standard one and seed s uses split s modulo
    S; elsewhere a fifth of the rows is drawn by the seed. The validation part, an eighth of the rest,
    is always cut from the training part. Parts are stratified by class, or by tenths of the target,
    and rows of one group (copies of a row, flights of a day) stay together, except where a standard
    test part tears them apart; the card counts those.

    Args:
        name: One of :func:`names`.
        seed: Draws the parts.
        split: The standard split to use, from 0; by default the seed's. Sets with one standard test
            part, or none, take no other.
        data_dir: Folder of local data; by default the one that ``UNCERTAIN_DATA`` names. What is not
            there is looked for among what :func:`~uncertain.data.fetch` fetched.
        dtype: Of inputs and regression targets. Files hold float64; float32 rounds a target by at
            most 6e-8 of its size.

    Returns:
        The parts and the card. Images are (N, channels, H, W) in [0, 1], tables (N, D) in original
        units with missing values filled by the training part's median and flagged; class labels
        int64.

    Raises:
        ValueError: The name is unknown, or the set has no such split.
        FileNotFoundError: Local data are not where they are looked for.
        ModuleNotFoundError: The package that carries the set is not installed.

    Example:
        >>> digits = load("digits")
        >>> digits.test.x.shape, digits.card.duplicates["test_in_train"]
        (torch.Size([359, 1, 8, 8]), 0)
    """
    checks.check_choice("name", name, CATALOGUE)
    source, hashes = _read(name, data_dir)
    test = _test_rows(name, source, seed, split)
    groups = partition.duplicate_groups(hashes) if source.groups is None else source.groups
    rows = _split_rows(source, groups, test, seed)
    return _assemble(name, source, rows, hashes, groups, dtype)


def show(name: str, *, data_dir: str | os.PathLike[str] | None = None) -> Card:
    """Return the card of a data set's first split; the set is read for it.

    Args:
        name: One of :func:`names`.
        data_dir: Folder of local data; by default the one that ``UNCERTAIN_DATA`` names.

    Returns:
        The card.

    Example:
        >>> show("iris").classes
        ('setosa', 'versicolor', 'virginica')
    """
    return load(name, data_dir=data_dir).card


def _split_rows(
    source: Source, groups: NDArray[Any], test: NDArray[Any] | None, seed: int
) -> dict[str, NDArray[Any]]:
    """Return the row indices of each part."""
    strata = partition.strata_of(source.y, groups)
    rest = np.ones(len(groups), np.bool_)
    if test is None:
        rest = ~partition.choose(groups, strata, share=TEST_SHARE, seed=2 * seed)
        test = np.flatnonzero(~rest)
    else:
        rest[test] = False
    held = np.zeros_like(rest)
    held[rest] = partition.choose(
        groups[rest], strata[rest], share=VALIDATION_SHARE, seed=2 * seed + 1
    )
    return {"train": np.flatnonzero(rest & ~held), "validation": np.flatnonzero(held), "test": test}


def _test_rows(name: str, source: Source, seed: int, split: int | None) -> NDArray[Any] | None:
    """Return the standard test part that is asked for, or ``None`` where no split is standard."""
    several = len(source.tests) > 1
    if split is not None and not several:
        raise ValueError(
            f"`split` chooses among standard splits, and {name} has "
            f"{'one test part' if source.tests else 'none'}, got {split}: pass `seed` instead."
        )
    if not source.tests:
        return None
    if not several:
        return source.tests[0]
    if split is None:
        return source.tests[seed % len(source.tests)]
    last = len(source.tests) - 1
    checks.check_range("split", split, 0, last, hint=f"{name} has {last + 1} standard splits")
    return source.tests[split]


def _read(name: str, data_dir: str | os.PathLike[str] | None) -> tuple[Source, NDArray[np.uint64]]:
    """Return a set and its row hashes; read once a process, and again when its files change."""
    entry = CATALOGUE[name]
    if not entry.files:
        return _cached(name, Path(), ())
    found = found_folder(entry.files, data_dir)
    check_files(name, entry.files, found, fetchable=name in REMOTE)
    folder = Path(found or "").resolve()
    return _cached(name, folder, tuple((folder / file).stat().st_mtime_ns for file in entry.files))


@functools.lru_cache(maxsize=4)
def _cached(name: str, folder: Path, stamps: tuple[int, ...]) -> tuple[Source, NDArray[np.uint64]]:
    source = CATALOGUE[name].read(folder)
    return source, partition.row_hashes(source.x)


def _assemble(
    name: str,
    source: Source,
    rows: dict[str, NDArray[Any]],
    hashes: NDArray[np.uint64],
    groups: NDArray[Any],
    dtype: torch.dtype,
) -> DataSet:
    x, features = source.x, source.features
    filled: dict[str, float] = {}
    if x.dtype.kind == "f" and np.isnan(x).any():
        x, features, filled = fill_missing(x, features, train=rows["train"])
    row_ids = np.arange(len(x)) if source.row_ids is None else source.row_ids
    splits = {
        part: Split(
            _inputs(x[index], lazy=source.lazy, dtype=dtype),
            torch.from_numpy(source.y[index]).to(dtype if source.y.dtype.kind == "f" else None),
            row_ids[index].astype(np.int64),
            groups[index],
        )
        for part, index in rows.items()
    }
    entry = CATALOGUE[name]
    regression = source.y.dtype.kind == "f"
    card = Card(
        name=name,
        title=entry.title,
        kind=entry.kind,
        source=entry.source,
        licence=entry.licence,
        sizes={part: len(index) for part, index in rows.items()},
        shape=x.shape[1:],
        classes=source.classes,
        features=features,
        groups=entry.groups,
        distinct=keyed.count_distinct(hashes),
        duplicates=count_duplicates(hashes, source.y, **rows),
        target_grid=target_grid(source.y) if regression else None,
        target_range=(float(source.y.min()), float(source.y.max())) if regression else None,
        filled=filled,
        problems=entry.problems,
    )
    return DataSet(splits["train"], splits["validation"], splits["test"], card)


def fill_missing(
    x: NDArray[Any], features: tuple[str, ...], *, train: NDArray[Any]
) -> tuple[NDArray[Any], tuple[str, ...], dict[str, float]]:
    """Fill missing values with the training part's median, and flag them in columns of their own.

    Args:
        x: (N, D), NaN where a value is missing.
        features: Names of the D columns.
        train: Row indices of the training part: only they decide the medians.

    Returns:
        (N, D + number of columns with missing values), the names of its columns, and the share of
        missing values by column. Columns that miss exactly the same rows share one flag.

    Example:
        >>> x = np.array([[1.0, 5.0], [np.nan, 6.0], [3.0, 7.0]])
        >>> fill_missing(x, ("a", "b"), train=np.array([0, 2]))[0].tolist()
        [[1.0, 5.0, 0.0], [2.0, 6.0, 1.0], [3.0, 7.0, 0.0]]
    """
    missing = np.isnan(x)
    medians = np.nanmedian(x[train], axis=0)
    flags: dict[bytes, tuple[str, NDArray[Any]]] = {}
    for column in np.flatnonzero(missing.any(axis=0)):
        mask = missing[:, column]
        flags.setdefault(mask.tobytes(), (f"{features[column]}_missing", mask))
    filled = np.column_stack([np.where(missing, medians, x), *(mask for _, mask in flags.values())])
    shares = {
        name: float(share)
        for name, share in zip(features, missing.mean(axis=0), strict=True)
        if share
    }
    return filled, (*features, *(name for name, _ in flags.values())), shares


def _inputs(x: NDArray[Any], *, lazy: bool, dtype: torch.dtype) -> Tensor | ByteImages:
    tensor = torch.from_numpy(np.ascontiguousarray(x))
    if lazy:
        return ByteImages(tensor)
    return tensor.to(dtype) / 255 if tensor.dtype == torch.uint8 else tensor.to(dtype)
