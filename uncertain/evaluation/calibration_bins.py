r"""Bins of confidence: how often the outcome came true where the model said how likely it was.

A bin's table is counts (int64) and exact sums, so states merge to the same bits under any batching,
order or sharding, at any number of rows (float32 sums are wrong beyond a million rows in a bin).

A binning is its inner edges: a confidence belongs to the bin whose number is the number of inner
edges that are not above it, in float64. So bins are [low, high), the last one is closed and holds
confidences of exactly 1, and equal confidences always share a bin.

Axis letters: ``N`` rows, ``C`` classes, ``B`` bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain import checks
from uncertain.evaluation.exact import ExactSum

Binning = Literal["equal_width", "equal_mass"]
BINNINGS: tuple[Binning, ...] = ("equal_width", "equal_mass")

_CHUNK = 1 << 16


@dataclass(frozen=True)
class BinTable:
    """What a binning saw; the columns are (B,).

    Attributes:
        edges: Outer and inner edges, (B + 1,).
        count: Rows, int64.
        weight: Sum of weights (rows, where there are none).
        squared_weight: Sum of squared weights.
        confidence: Weighted mean confidence, NaN where the bin is empty.
        frequency: Weighted share of rows that came true, NaN where the bin is empty.
        gap: ``sum w (confidence - outcome) / sum w`` over all rows: signed, it adds up over bins.
        null_variance: Weighted mean of ``p (1 - p)``: the variance of an outcome if the
            confidences are true.
    """

    edges: NDArray[np.float64]
    count: NDArray[np.int64]
    weight: NDArray[np.float64]
    squared_weight: NDArray[np.float64]
    confidence: NDArray[np.float64]
    frequency: NDArray[np.float64]
    gap: NDArray[np.float64]
    null_variance: NDArray[np.float64]

    @property
    def share(self) -> NDArray[np.float64]:
        """The weight of each bin over that of all, (B,)."""
        return np.asarray(self.weight / self.weight.sum())

    @property
    def rows(self) -> int:
        """All rows."""
        return int(self.count.sum())

    def filled(self) -> BinTable:
        """Return the bins that hold weight, with the edges they start at."""
        kept = self.weight > 0
        edges = np.append(self.edges[:-1][kept], self.edges[-1])
        return type(self)(
            edges,
            self.count[kept],
            self.weight[kept],
            self.squared_weight[kept],
            self.confidence[kept],
            self.frequency[kept],
            self.gap[kept],
            self.null_variance[kept],
        )


def stacked(tables: Sequence[BinTable]) -> BinTable:
    """Return the bins of several tables of the same rows as one, whose gaps average over tables.

    Its edges mean nothing: bins of different tables overlap.
    """

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(table, name) for table in tables])

    names = ("count", "weight", "squared_weight", "confidence", "frequency", "gap", "null_variance")
    columns = {name: joined(name) for name in names}
    columns["gap"] /= len(tables)
    return BinTable(edges=np.arange(len(columns["count"]) + 1.0), **columns)


def equal_width_edges(bins: int) -> NDArray[np.float64]:
    """Return the edges ``k / bins`` from 0 to 1, (B + 1,), each the float64 nearest to it.

    Example:
        >>> equal_width_edges(4).tolist()
        [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    checks.check_range("bins", bins, 1)
    return np.arange(bins + 1) / bins


def equal_mass_edges(confidence: ArrayLike, bins: int) -> NDArray[np.float64]:
    """Return edges that split the rows as evenly as ties allow, (at most B + 1,).

    Inner edge k is the sorted confidence number ``ceil(k N / B)`` (from 0): the first of the rows
    above it. A tie stays in one bin, so many equal confidences give fewer and uneven bins.

    Example:
        >>> equal_mass_edges([0.6, 0.7, 0.8, 0.9], 2).tolist()
        [0.0, 0.8, 1.0]
        >>> equal_mass_edges([0.6, 1.0, 1.0, 1.0], 4).tolist()
        [0.0, 1.0, 1.0]
    """
    checks.check_range("bins", bins, 1)
    ordered = np.sort(np.asarray(confidence))
    places = -(-np.arange(1, bins) * len(ordered) // bins)
    inner = np.unique(ordered[places[places < len(ordered)]].astype(np.float64))
    inner = inner[inner > ordered[0]] if len(ordered) else inner
    return np.concatenate([[0.0], inner, [1.0]])


def bin_index(confidence: NDArray[Any], edges: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the bin of each confidence, (N,), from 0 to B - 1.

    Example:
        >>> bin_index(np.array([0.0, 0.5, 1.0]), equal_width_edges(2)).tolist()
        [0, 1, 1]
    """
    x = np.asarray(confidence, dtype=np.float64)
    bins = len(edges) - 1
    if not np.array_equal(edges, np.arange(bins + 1) / bins):
        return np.searchsorted(edges[1:-1], x, side="right")
    # A product finds the bin up to rounding; the edges themselves have the last word.
    guess = np.minimum((x * bins).astype(np.intp), bins - 1)
    guess -= x < edges[guess]
    guess += x >= np.append(edges[1:-1], np.inf)[guess]
    return guess


class ReliabilityState:
    """Mergeable counts and exact sums of a binning.

    Args:
        edges: (B + 1,), increasing (the last two may be equal: a bin of confidences of exactly 1).

    Example:
        >>> state = ReliabilityState(equal_width_edges(2))
        >>> table = state.update([0.6, 0.8, 1.0], [True, False, True]).compute()
        >>> table.count.tolist(), round(float(table.gap.sum()), 6)
        ([0, 3], 0.133333)
    """

    def __init__(self, edges: NDArray[np.float64]) -> None:
        checks.check_shape("edges", edges, ("B + 1",))
        bins = len(edges) - 1
        checks.check_range("len(edges)", len(edges), 2)
        self.edges = edges
        self._count = np.zeros(bins, np.int64)
        self._hits = np.zeros(bins, np.int64)
        self._sums = {name: ExactSum(bins) for name in ("confidence", "null")}
        self._weighted: dict[str, ExactSum] = {}

    def update(
        self, confidence: ArrayLike, outcome: ArrayLike, *, weights: ArrayLike | None = None
    ) -> ReliabilityState:
        """Add rows.

        Args:
            confidence: Predicted probabilities of the outcome, (N,), in [0, 1 + 1e-5].
            outcome: Whether it came true, bool, (N,).
            weights: Non-negative row weights, (N,); in every update or in none.
        """
        p, y = np.asarray(confidence), np.asarray(outcome)
        checks.check_same_length(confidence=p, outcome=y, weights=weights)
        checks.check_range("confidence", p, 0, 1 + checks.PROBABILITY_TOLERANCE)
        if len(p):
            self.check_weighted(weights is not None)
        w = None if weights is None else np.asarray(weights, dtype=np.float64)
        for start in range(0, len(p), _CHUNK):
            part = slice(start, start + _CHUNK)
            chunk = p[part].astype(np.float64)
            outcomes, index = y[part].astype(np.bool_), bin_index(chunk, self.edges)
            self._add(chunk, outcomes, None if w is None else w[part], index)
        return self

    def check_weighted(self, weighted: bool) -> None:
        """Raise ``ValueError`` where rows before had weights and these have none, or the reverse."""
        if self._count.any() and weighted != bool(self._weighted):
            raise ValueError("`weights` should be given in every update or in none, got both.")

    def merge(self, other: ReliabilityState) -> ReliabilityState:
        """Add another state with the same edges.

        Raises:
            ValueError: Where the edges differ, or only one of the two is weighted.
        """
        if not np.array_equal(self.edges, other.edges):
            raise ValueError("`other` should have the same edges to merge, got others.")
        both = self._count.any() and other._count.any()
        if both and bool(self._weighted) != bool(other._weighted):
            raise ValueError("`weights` should be given in every update or in none, got both.")
        self._count += other._count
        self._hits += other._hits
        for name, total in other._sums.items():
            self._sums[name].merge(total)
        for name, total in other._weighted.items():
            self._weighted.setdefault(name, ExactSum(len(self._count))).merge(total)
        return self

    def compute(self) -> BinTable:
        """Return the table of all rows seen."""
        return self._table(range(len(self._count)), self.edges)

    def _table(self, bins: range, edges: NDArray[np.float64]) -> BinTable:
        """Return the table of some of the bins."""
        weight = self._exact("weight", self._count, bins)
        hits = self._exact("hits", self._hits, bins)
        squared = self._exact("squared", self._count, bins)
        total = sum(weight, Fraction(0)) or Fraction(1)
        confidence, frequency, gap, null = [], [], [], []
        for b, w, hit in zip(bins, weight, hits, strict=True):
            expected = self._sums["confidence"].fraction(b)
            gap.append(float((expected - hit) / total))
            confidence.append(float(expected / w) if w else np.nan)
            frequency.append(float(hit / w) if w else np.nan)
            null.append(float(self._sums["null"].fraction(b) / w) if w else np.nan)
        return BinTable(
            edges,
            self._count[bins.start : bins.stop].copy(),
            np.array([float(w) for w in weight]),
            np.array([float(w) for w in squared]),
            np.array(confidence),
            np.array(frequency),
            np.array(gap),
            np.array(null),
        )

    def _exact(self, name: str, counts: NDArray[np.int64], bins: range) -> list[Fraction]:
        """A weighted column, or the counts that it is where no row has a weight."""
        if self._weighted:
            return [self._weighted[name].fraction(b) for b in bins]
        return [Fraction(int(counts[b])) for b in bins]

    def _add(
        self,
        p: NDArray[np.float64],
        y: NDArray[np.bool_],
        w: NDArray[np.float64] | None,
        index: NDArray[np.intp],
    ) -> None:
        bins = len(self._count)
        self._count += np.bincount(index, minlength=bins)
        self._hits += np.bincount(index[y], minlength=bins)
        # A float32 probability may exceed 1 by rounding; its variance is then 0, not negative.
        null = np.maximum(p * (1.0 - p), 0.0)
        self._sums["confidence"].update(p if w is None else w * p, index)
        self._sums["null"].update(null if w is None else w * null, index)
        if w is not None:
            for name, values in (("weight", w), ("hits", w * y), ("squared", w * w)):
                self._weighted.setdefault(name, ExactSum(bins)).update(values, index)


def bin_table(
    confidence: ArrayLike,
    outcome: ArrayLike,
    edges: NDArray[np.float64],
    *,
    weights: ArrayLike | None = None,
) -> BinTable:
    """Return the table of one set of rows; see :class:`ReliabilityState`."""
    return ReliabilityState(edges).update(confidence, outcome, weights=weights).compute()


class ClasswiseState:
    """A reliability table for each class: confidence ``p_c``, outcome ``y = c``.

    Args:
        classes: C.
        edges: (B + 1,).

    Example:
        >>> state = ClasswiseState(2, equal_width_edges(2))
        >>> tables = state.update(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 1])).compute()
        >>> [round(float(abs(table.gap).sum()), 6) for table in tables]
        [0.25, 0.25]
    """

    def __init__(self, classes: int, edges: NDArray[np.float64]) -> None:
        self.edges = edges
        self.classes = classes
        # One state whose bins are those of the first class, then those of the second, ...
        self._all = ReliabilityState(np.arange(classes * (len(edges) - 1) + 1.0))

    def update(
        self,
        probabilities: NDArray[Any],
        labels: NDArray[np.intp],
        *,
        weights: NDArray[np.float64] | None = None,
    ) -> ClasswiseState:
        """Add rows: probabilities (N, C), labels (N,), weights (N,).

        Raises:
            ValueError: For probabilities out of range, wrong lengths, or weights in some updates only.
        """
        p = np.asarray(probabilities)
        checks.check_same_length(probabilities=p, labels=labels, weights=weights)
        checks.check_range("probabilities", p, 0, 1 + checks.PROBABILITY_TOLERANCE)
        if len(p):
            self._all.check_weighted(weights is not None)
        bins = len(self.edges) - 1
        starts = bins * np.arange(self.classes)
        rows = max(1, _CHUNK // self.classes)
        for start in range(0, len(p), rows):
            part = slice(start, start + rows)
            flat = p[part].astype(np.float64).ravel()
            index = bin_index(flat, self.edges).reshape(-1, self.classes) + starts
            outcome = np.equal.outer(np.asarray(labels[part]), np.arange(self.classes))
            w = None if weights is None else np.repeat(weights[part], self.classes)
            self._all._add(flat, outcome.ravel(), w, index.ravel())
        return self

    def merge(self, other: ClasswiseState) -> ClasswiseState:
        """Add another state with the same classes and edges.

        Raises:
            ValueError: Where classes or edges differ, or only one of the two is weighted.
        """
        if self.classes != other.classes or not np.array_equal(self.edges, other.edges):
            raise ValueError("`other` should have the same classes and edges to merge, got others.")
        self._all.merge(other._all)
        return self

    def compute(self) -> list[BinTable]:
        """Return one table a class."""
        bins = len(self.edges) - 1
        return [
            self._all._table(range(c * bins, (c + 1) * bins), self.edges)
            for c in range(self.classes)
        ]
