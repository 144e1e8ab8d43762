r"""Rows of one binary question in the order of their confidence: sorted once, read by every figure.

A confidence in [0, 1] is a float whose bits, read as a whole number, are in its own order, and whose
two highest bits are 0. So the outcome goes into the lowest place of the shifted bits, and one sort of
whole numbers, the fastest that there is, orders confidences and outcomes together. Rows sorted by all
they hold give sums the same bits for any order, batching or sharding.

Axis letters: ``N`` rows, ``B`` bins, ``T`` distinct confidences.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uncertain import checks
from uncertain.evaluation.calibration_bins import (
    BINNINGS,
    Binning,
    BinTable,
    equal_width_edges,
)

_CHUNK = 1 << 16
_BLOCK = 1 << 18
_TURNED = 1 << 22


class SortedRows(NamedTuple):
    """Rows by ascending confidence, then outcome, then weight.

    Attributes:
        confidence: (N,) in [0, 1 + 1e-5], in its own dtype.
        outcome: (N,) booleans.
        weights: (N,) or ``None``.
    """

    confidence: NDArray[Any]
    outcome: NDArray[np.bool_]
    weights: NDArray[np.float64] | None = None

    @classmethod
    def of(
        cls,
        confidence: NDArray[Any],
        outcome: NDArray[np.bool_],
        weights: NDArray[np.float64] | None = None,
    ) -> SortedRows:
        """Sort rows.

        Args:
            confidence: (N,), checked to lie in [0, 1 + 1e-5].
            outcome: (N,) booleans.
            weights: (N,) or ``None``.

        Example:
            >>> SortedRows.of(np.array([0.9, 0.6]), np.array([True, False])).outcome.tolist()
            [False, True]
        """
        if weights is not None:
            order = np.lexsort((weights, outcome, confidence))
            return cls(confidence[order], outcome[order], weights[order])
        return cls(*_sorted_together(confidence, outcome))

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.outcome)

    @property
    def total(self) -> float:
        """Weight of all rows."""
        return float(self.n) if self.weights is None else float(self.weights.sum())

    def chunks(
        self,
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64] | None]]:
        """Yield confidences as float64, at most 1, outcomes and weights, a piece at a time."""
        for start in range(0, self.n, _CHUNK):
            part = slice(start, start + _CHUNK)
            p = self.confidence[part].astype(np.float64)
            np.minimum(p, 1.0, out=p)  # a float32 probability may exceed 1 by rounding
            yield p, self.outcome[part], None if self.weights is None else self.weights[part]

    def tie_ends(self) -> NDArray[np.intp]:
        """Return the place of the last row of each distinct confidence, (T,)."""
        last = np.empty(self.n, dtype=bool)
        last[-1:] = True
        np.not_equal(self.confidence[1:], self.confidence[:-1], out=last[:-1])
        return np.flatnonzero(last)

    def places(self, edges: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return where each bin starts, and N: bins are [low, high), the last one is closed."""
        inner = edges[1:-1].astype(self.confidence.dtype)
        # The smallest confidence of this dtype that is not below the edge.
        below = inner.astype(np.float64) < edges[1:-1]
        inner[below] = np.nextafter(inner[below], inner.dtype.type(2))
        found = np.searchsorted(self.confidence, inner, side="left")
        return np.concatenate([[0], found, [self.n]])

    def equal_mass_edges(self, bins: int) -> NDArray[np.float64]:
        """Return :func:`~uncertain.evaluation.calibration_bins.equal_mass_edges` of the rows."""
        checks.check_range("bins", bins, 1)
        places = -(-np.arange(1, bins) * self.n // bins)
        inner = np.unique(self.confidence[places[places < self.n]].astype(np.float64))
        inner = inner[inner > self.confidence[0]] if self.n else inner
        return np.concatenate([[0.0], inner, [1.0]])

    def table(self, edges: NDArray[np.float64]) -> BinTable:
        """Return what the bins hold; of rows without weights.

        Example:
            >>> rows = SortedRows.of(np.array([0.9, 0.6]), np.array([True, False]))
            >>> rows.table(np.array([0.0, 0.5, 1.0])).gap.round(12).tolist()
            [0.0, 0.25]
        """
        places = self.places(edges)
        bins = len(places) - 1
        hits, sums, squares = np.zeros(bins), np.zeros(bins), np.zeros(bins)
        for b in np.flatnonzero(np.diff(places)):
            inside = slice(places[b], places[b + 1])
            part = SortedRows(self.confidence[inside], self.outcome[inside])
            hits[b] = np.count_nonzero(part.outcome)
            for p, _, _ in part.chunks():
                sums[b] += p.sum()
                squares[b] += np.dot(p, p)
        return _table(edges, np.diff(places), hits, sums, squares)


def _table(
    edges: NDArray[np.float64],
    count: NDArray[np.intp],
    hits: NDArray[np.float64],
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> BinTable:
    with np.errstate(invalid="ignore"):
        confidence, frequency = sums / count, hits / count
        null = np.maximum(sums - squares, 0.0) / count
    weight = count.astype(np.float64)
    gap = (sums - hits) / max(1, count.sum())
    return BinTable(
        edges, count.astype(np.int64), weight, weight.copy(), confidence, frequency, gap, null
    )


def _sorted_together(
    confidence: NDArray[Any], outcome: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Sort confidences and outcomes, (..., N), along the last axis."""
    narrow = confidence.dtype in (np.float16, np.float32)
    floating: type[Any] = np.float32 if narrow else np.float64
    # Adding 0 makes a -0 a 0, whose bits are lowest.
    values: NDArray[Any] = confidence.astype(floating) + floating(0)
    bits: NDArray[Any] = values.view(np.uint32 if narrow else np.uint64)
    bits <<= 1
    bits |= outcome
    bits.sort(axis=-1)
    hit = (bits & 1).astype(np.bool_)
    bits >>= 1
    return bits.view(floating), hit


def classwise_sorted(
    probabilities: NDArray[Any],
    labels: NDArray[np.intp],
    bins: int,
    binnings: tuple[Binning, ...] = BINNINGS,
) -> Iterator[tuple[BinTable, ...]]:
    """Yield a class's tables, one a binning, all from one sort of its column.

    Args:
        probabilities: (N, C), checked.
        labels: (N,) class indices.
        bins: Of each table.
        binnings: The tables wanted, in their order.
    """
    edges = equal_width_edges(bins)
    classes = probabilities.shape[1]
    many, few = (max(1, min(64, size // max(1, len(labels)))) for size in (_TURNED, _BLOCK))
    for start in range(0, classes, many):
        # Many columns are turned at a time: a page of memory is visited once for all of them.
        turned = np.ascontiguousarray(probabilities[:, start : start + many].T)
        for first in range(0, len(turned), few):
            columns = turned[first : first + few]
            own = np.arange(start + first, start + first + len(columns))
            together = _sorted_together(columns, labels == own[:, None])
            block = [SortedRows(*rows) for rows in zip(*together, strict=True)]
            wanted = [
                [edges if b == "equal_width" else rows.equal_mass_edges(bins) for rows in block]
                for b in binnings
            ]
            yield from zip(*_tables(block, wanted), strict=True)


def _tables(
    block: list[SortedRows], wanted: list[list[NDArray[np.float64]]]
) -> list[list[BinTable]]:
    """Return the tables of columns of equal length for each list of their edges."""
    n = block[0].n
    if not 0 < n <= _BLOCK:
        return [[rows.table(e) for rows, e in zip(block, of, strict=True)] for of in wanted]
    p = np.concatenate([piece for rows in block for piece, _, _ in rows.chunks()])
    hit = np.concatenate([rows.outcome for rows in block]).astype(np.float64)
    return [_tables_at(block, of, (hit, p, p * p)) for of in wanted]


def _tables_at(
    block: list[SortedRows],
    edges: list[NDArray[np.float64]],
    terms: tuple[NDArray[np.float64], ...],
) -> list[BinTable]:
    """Return the tables of columns that lie end to end in ``terms``: the bins of all in one pass."""
    places = [rows.places(e) for rows, e in zip(block, edges, strict=True)]
    counts = [np.diff(at) for at in places]
    count = np.concatenate(counts)
    starts = np.concatenate([at[:-1] + c * block[0].n for c, at in enumerate(places)])
    sums = np.zeros((len(terms), len(count)))
    filled = count > 0
    for total, term in zip(sums, terms, strict=True):
        total[filled] = np.add.reduceat(term, starts[filled])
    ends = np.cumsum([len(c) for c in counts])[:-1]
    parts = np.split(sums, ends, axis=1)
    return [_table(e, c, *part) for e, c, part in zip(edges, counts, parts, strict=True)]
