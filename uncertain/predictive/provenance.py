"""What a calibrator was fitted on, kept with the predictions it made; without torch.

A calibration that has seen the rows it is judged on flatters itself. So a fitted calibrator remembers
its rows, writes that into the predictions it changes, and the judge compares.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain import checks
from uncertain.keyed import hash_keys

SAMPLE = 4096
"""How many rows are remembered one by one; of more rows those with the smallest hashes."""

AGREEMENT = 0.9
"""The share of equal targets above which rows of equal ids are the same rows."""

FEWEST = 10
"""Targets below which an equal order of them may well be chance."""

_WIDTH = 24


@dataclass(frozen=True)
class FittedOn:
    """Which rows something was fitted on: made by :func:`fitted_on`.

    Attributes:
        method: What was fitted: ``temperature``, ``isotonic``, ``LAC``, ...
        split: The split's name.
        rows: How many rows.
        digest: SHA-256 over the sorted hashes of all row ids; empty where rows had no ids.
        sample: The hash of each remembered row's id and of its target, as hexadecimal digits.
        targets: SHA-256 over the hashes of all targets in the order of the rows; empty where they are
            fewer than ten, all equal or unknown. It is no part of equality.

    Example:
        >>> used = fitted_on("temperature", split="validation", row_ids=[4, 5, 6], target=[0, 1, 1])
        >>> used.rows, used.shared_rows([6, 7], [1, 0]), used.shared_rows([6, 7], [0, 0])
        (3, 1, 0)
    """

    method: str
    split: str
    rows: int
    digest: str = ""
    sample: str = ""
    targets: str = field(default="", compare=False)

    def shared_rows(self, row_ids: ArrayLike | None, target: ArrayLike | None = None) -> int:
        """Return how many of these rows it was fitted on: exact up to 4,096 fitted rows.

        Files often number their rows from 0, each anew. Equal ids count as the same rows only where
        their targets agree too, in nine of ten; without targets every equal id counts.

        Args:
            row_ids: (N,) ids; ``None`` counts nothing.
            target: (N,) or (N, T), where known.

        Returns:
            The number of shared rows; of a larger calibration set, the number among its remembered
            rows, each kept with the same probability.
        """
        if row_ids is None or not self.sample:
            return 0
        known = dict(self._pairs())
        hashes = _ids(row_ids).tolist()
        found = [(place, known[key]) for place, key in enumerate(hashes) if key in known]
        if not found or target is None:
            return len(found)
        targets = _targets(target)
        equal = sum(int(targets[place]) == expected for place, expected in found)
        return equal if equal >= AGREEMENT * len(found) else 0

    def same_targets(self, row_ids: ArrayLike | None, target: ArrayLike | None) -> bool:
        """Return whether rows have the targets it was fitted to, in the same order.

        That is asked only where ids can't tell: where those that it was fitted on or these have none.

        Args:
            row_ids: (N,) ids, ``None`` where there are none.
            target: (N,) or (N, T), where known.

        Example:
            >>> labels = [0, 1, 1, 0, 2, 1, 0, 2, 2, 1]
            >>> used = fitted_on("temperature", split="validation", target=labels)
            >>> used.same_targets(None, labels), used.same_targets(None, labels[::-1])
            (True, False)
        """
        if not self.targets or target is None or (self.digest and row_ids is not None):
            return False
        return len(np.asarray(target)) == self.rows and _digest(target) == self.targets

    def _pairs(self) -> list[tuple[int, int]]:
        starts = range(0, len(self.sample), _WIDTH)
        words = [self.sample[start : start + _WIDTH] for start in starts]
        return [(int(word[:16], 16), int(word[16:], 16)) for word in words]

    def to_record(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        names = ("method", "split", "rows", "digest", "sample", "targets")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> FittedOn:
        """Return what :meth:`to_record` wrote.

        Raises:
            ValueError: Where a part is missing or of another kind.
        """
        try:
            words = {name: str(record[name]) for name in ("method", "split", "digest", "sample")}
            # Files of older versions have no hash of the targets.
            targets = str(record.get("targets", ""))
            return cls(rows=int(record["rows"]), targets=targets, **words)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"`fitted_on` should hold method, split, rows, digest and sample, got {record!r:.200}."
            ) from error


def fitted_on(
    method: str,
    *,
    split: str,
    row_ids: ArrayLike | None = None,
    target: ArrayLike | None = None,
    rows: int | None = None,
) -> FittedOn:
    """Return the record of a fit.

    Args:
        method: What was fitted.
        split: The name of the rows' split.
        row_ids: (N,) whole numbers or strings, where known: they tell rows that are judged again.
        target: (N,) or (N, T), what the rows were fitted to. Without ids it tells rows that are judged
            again, all of them and in the same order.
        rows: N, where there are neither ids nor targets.

    Raises:
        ValueError: Lengths differ.

    Example:
        >>> fitted_on("isotonic", split="validation", rows=500).rows
        500
    """
    checks.check_same_length(row_ids=_sized(row_ids), target=_sized(target))
    sized = next((value for value in (row_ids, target) if value is not None), None)
    count = len(np.asarray(sized)) if sized is not None else int(rows or 0)
    whole = "" if target is None else _digest(target)
    if row_ids is None:
        return FittedOn(method, split, count, targets=whole)
    ids = _ids(row_ids)
    order = np.argsort(ids, kind="stable")
    targets = np.zeros(count, np.uint64) if target is None else _targets(target)
    words = [f"{int(ids[row]):016x}{int(targets[row]):08x}" for row in order[:SAMPLE].tolist()]
    digest = hashlib.sha256(ids[order].astype("<u8").tobytes()).hexdigest()
    return FittedOn(method, split, count, digest, "".join(words), whole)


def _sized(value: ArrayLike | None) -> NDArray[Any] | None:
    return None if value is None else np.asarray(value)


def _ids(row_ids: ArrayLike) -> NDArray[np.uint64]:
    array = np.asarray(row_ids)
    # Floating ids are whole numbers that a table widened, or rows named by a number: by value.
    return _bits(array) if array.dtype.kind == "f" else hash_keys(array)


def _targets(target: ArrayLike) -> NDArray[np.uint64]:
    """Return 32 bits a row: equal targets always agree, others almost never."""
    array = np.asarray(target)
    array = array.reshape(len(array), -1)
    state = np.zeros(len(array), np.uint64)
    for column in array.T:
        state = hash_keys(np.stack([state.view(np.int64), _bits(column).view(np.int64)], axis=1))
    return state >> np.uint64(32)


def _digest(target: ArrayLike) -> str:
    """Return a hash of all targets in their order, empty where they are too few or all alike."""
    if len(np.asarray(target)) < FEWEST:
        return ""
    hashes = _targets(target)
    if (hashes == hashes[0]).all():
        return ""
    return hashlib.sha256(hashes.astype("<u8").tobytes()).hexdigest()


def _bits(column: NDArray[Any]) -> NDArray[np.uint64]:
    # By value: int64 1 and float 1.0 are one label; adding 0.0 makes -0.0 and 0.0 alike.
    return (column.astype(np.float64) + 0.0).view(np.uint64)
