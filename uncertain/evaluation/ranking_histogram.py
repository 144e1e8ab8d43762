r"""Ranking figures of any number of rows in at most 8 MiB: counts of rows at keyed scores.

Scores of 16 bits have 65,536 values, so counts of them lose nothing: every figure is that of the
rows in memory, to the bit. Wider scores share *cells*: a cell is a range of neighbouring scores,
its rows are counted by class, and every figure is known up to the order inside the cells, so it
comes with a certified bound (:mod:`uncertain.evaluation.ranking_bounds`) that is part of the answer.

Cells follow the scores. Each sign and exponent that occurs has a page of equally many cells, evenly
spaced, as many as :math:`2^{19}` cells in all allow: scores in [0.5, 1) get a relative width of
:math:`2^{-19}`, scores that fill 40 exponents one of :math:`2^{-13}`. When a new exponent occurs
neighbouring cells are joined. Which pages there are and how wide cells are depends only on *which*
scores were seen, never on their order, so states merge to the bits that one pass gives. Where the
bits that cells leave out were 0 in every score (whole numbers, scores once rounded to 16 bits),
each cell holds one score and the figures are exact again.

Axis letters: ``N`` rows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain.checks import check_choice, check_same_length, check_shape
from uncertain.evaluation import ranking_bounds, ranking_sums
from uncertain.evaluation.ranking import tie_estimates
from uncertain.evaluation.ranking_sums import Ties
from uncertain.evaluation.score_keys import (
    LAYOUTS,
    Layout,
    Words,
    score_words,
    scores_of,
)
from uncertain.intervals import Estimate

MAX_CELLS = 1 << 19
"""Two int64 counts a cell: 8 MiB."""

_CHUNK = 1 << 15


class RankHistogram:
    """Counts of rows by score and class, mergeable.

    Args:
        dtype: Type of the scores: ``float16``, ``bfloat16``, ``uint16``, ``int16``, ``float32`` or
            ``float64``; by default that of the first piece.

    Attributes:
        dtype: Type of the scores, ``None`` before the first.

    Raises:
        ValueError: For another ``dtype``.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> scores, positive = rng.normal(size=1000).astype(np.float16), rng.random(1000) < 0.3
        >>> state = RankHistogram().update(scores, positive)
        >>> state.is_exact, len(state)
        (True, 1000)
    """

    def __init__(self, dtype: str | None = None) -> None:
        self.dtype: str | None = None
        self._pages: NDArray[np.int64] = np.empty(0, np.int64)
        self._shift = 0
        self._seen_bits = 0
        self._counts: NDArray[np.int64] = np.zeros((0, 1, 2), np.int64)
        self._places: NDArray[np.int64] = np.empty(0, np.int64)
        if dtype is not None:
            check_choice("dtype", dtype, LAYOUTS)
            self._set_type(dtype)

    def __len__(self) -> int:
        return int(self._counts.sum())

    @property
    def nbytes(self) -> int:
        """Bytes of the state."""
        return self._counts.nbytes + self._pages.nbytes + self._places.nbytes

    @property
    def is_exact(self) -> bool:
        """Whether every cell holds one score, so that nothing about the ranking is lost."""
        return self._seen_bits & ((1 << self._shift) - 1) == 0

    def update(self, scores: Any, positive: ArrayLike) -> RankHistogram:
        """Add rows.

        Args:
            scores: (N,) without NaN: float16, float32, float64, int16, uint16, a torch tensor of
                these or of bfloat16, or the bits of bfloat16 as uint16 where the state was made for
                ``"bfloat16"``. The same type in every piece; larger = more positive.
            positive: (N,) booleans.

        Returns:
            The state itself.

        Raises:
            ValueError: For NaN, wrong lengths, or values other than 0 and 1 in ``positive``.
            TypeError: For scores of another type than before.
        """
        words, found = score_words(scores, self.dtype)
        labels = _booleans(positive)
        check_same_length(scores=words, positive=labels)
        if self.dtype is None:
            self._set_type(found)
        for start in range(0, len(words), _CHUNK):
            self._add(words[start : start + _CHUNK], labels[start : start + _CHUNK])
        return self

    def merge(self, other: RankHistogram) -> RankHistogram:
        """Add the rows of another state to this one.

        Raises:
            TypeError: Where the states hold scores of different types.
        """
        if other.dtype is None:
            return self
        if self.dtype is None:
            self._set_type(other.dtype)
        if other.dtype != self.dtype:
            raise TypeError(
                f"`other` should hold {self.dtype} scores, got {other.dtype}: give every piece in "
                "one type."
            )
        self._open(other._pages)
        into = np.searchsorted(self._pages, other._pages)
        # This state has all pages of the other, so its cells are at least as wide.
        self._counts[into] += _joined(other._counts, self._shift - other._shift)
        self._seen_bits |= other._seen_bits
        return self

    def cells(self) -> tuple[NDArray[np.floating], NDArray[np.int64], NDArray[np.int64]]:
        """Return the filled cells from the smallest score up.

        Returns:
            The end of each cell that is nearer to zero (the score itself where cells are exact),
            its negatives and its positives, (T,) each.
        """
        if self.dtype is None:
            return np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64)
        layout = self._layout
        half = layout.pages // 2 if layout.signed else layout.pages
        below = np.flatnonzero(self._pages >= half)[::-1]
        above = np.flatnonzero(self._pages < half)
        inside = np.arange(self._counts.shape[1], dtype=np.uint64) << np.uint64(self._shift)
        words, counts = [], []
        for order, step in ((below, -1), (above, 1)):
            starts = self._pages[order].astype(np.uint64) << np.uint64(layout.fine)
            words.append((starts[:, None] + inside[::step]).ravel())
            counts.append(self._counts[order, ::step].reshape(-1, 2))
        joined = np.concatenate(counts)
        filled = np.flatnonzero(joined.any(axis=1))
        scores = scores_of(np.concatenate(words)[filled].astype(layout.word), self.dtype)
        return scores, joined[filled, 0], joined[filled, 1]

    def ties(self) -> Ties:
        """Return the table of cells that ranking figures are made of."""
        _, negatives, positives = self.cells()
        return Ties(np.cumsum(positives), np.cumsum(negatives), len(self))

    def enclosures(self, *, tpr: float = 0.95) -> dict[str, tuple[float, float]]:
        """Return the smallest and largest value that each figure of the rows can have.

        Both are the figure itself where cells are exact. See
        :mod:`uncertain.evaluation.ranking_bounds` for the proofs.

        Args:
            tpr: True positive rate at which false positive rates are read.

        Example:
            >>> scores = np.random.default_rng(0).normal(size=10_000)
            >>> low, high = RankHistogram().update(scores, scores > 1).enclosures()["auroc"]
            >>> 0 <= high - low < 1e-3
            True
        """
        ties = self.ties()
        if self.is_exact:
            found = ranking_sums.figures(ties, tpr=tpr)
            return {name: (value, value) for name, value in found.items()}
        return ranking_bounds.enclosures(ties, tpr=tpr)

    def compute(
        self, *, level: float = 0.95, seed: int = 0, replicates: int = 1000, tpr: float = 0.95
    ) -> dict[str, Estimate]:
        """Return every ranking figure with its interval.

        Exact cells give :func:`~uncertain.evaluation.ranking.ranking_estimates` of the rows, to the
        bit. Others give the middle of each figure's enclosure: ``reason`` says how far the figure of
        the rows can be from it, and that distance is added to the interval on both sides.

        Args:
            level: Nominal coverage.
            seed: Of the bootstrap.
            replicates: Of the bootstrap.
            tpr: True positive rate at which false positive rates are read.

        Example:
            >>> scores = np.random.default_rng(0).normal(size=10_000)
            >>> found = RankHistogram().update(scores, scores + scores[::-1] > 0).compute()
            >>> found["auroc"].reason
            'from ... cells of scores: within ... of the figure of the rows'
        """
        ties = self.ties()
        found = tie_estimates(ties, level=level, seed=seed, replicates=replicates, tpr=tpr)
        if self.is_exact:
            return found
        ends = ranking_bounds.enclosures(ties, tpr=tpr)
        return {name: _enclosed(e, *ends[name], cells=len(ties.up)) for name, e in found.items()}

    @property
    def _layout(self) -> Layout:
        assert self.dtype is not None
        return LAYOUTS[self.dtype]

    def _set_type(self, dtype: str) -> None:
        self.dtype = dtype
        layout = LAYOUTS[dtype]
        self._shift = max(0, layout.fine - MAX_CELLS.bit_length() + 1)
        self._counts = np.zeros((0, 1 << (layout.fine - self._shift), 2), np.int64)
        self._places = np.full(layout.pages, -1, np.int64)

    def _add(self, words: Words, positive: NDArray[np.bool_]) -> None:
        layout = self._layout
        self._seen_bits |= int(np.bitwise_or.reduce(words)) & ((1 << layout.fine) - 1)
        pages = words >> layout.word(layout.fine)
        places = self._places[pages]
        if places.min() < 0:
            self._open(np.unique(pages).astype(np.int64))
            places = self._places[pages]
        cells = words & layout.word((1 << layout.fine) - 1)
        cells >>= layout.word(self._shift)
        places += cells.astype(np.int64)
        places *= 2
        places += positive
        np.add.at(self._counts.reshape(-1), places, 1)

    def _open(self, pages: NDArray[np.int64]) -> None:
        """Make room for the scores of some pages, with wider cells where there are many."""
        wanted = np.union1d(self._pages, pages)
        if len(wanted) == len(self._pages):
            return
        fine = self._layout.fine
        shift = max(0, fine - (MAX_CELLS // len(wanted)).bit_length() + 1)
        counts = np.zeros((len(wanted), 1 << (fine - shift), 2), np.int64)
        counts[np.searchsorted(wanted, self._pages)] = _joined(self._counts, shift - self._shift)
        self._pages, self._shift, self._counts = wanted, shift, counts
        self._places[wanted] = np.arange(len(wanted)) * counts.shape[1]


def _enclosed(e: Estimate, low: float, high: float, *, cells: int) -> Estimate:
    """An estimate of cells as one of the rows, wherever in the enclosure their figure is."""
    if math.isnan(e.value) or math.isnan(low):
        return e
    value, bound = (low + high) / 2, (high - low) / 2
    said = f"from {cells:,} cells of scores: within {bound:.1e} of the figure of the rows"
    return e._replace(
        value=value,
        # Wherever the figure is, its interval reaches about as far from it as from that of cells.
        low=min(value, max(0.0, e.low - max(0.0, e.value - low))),
        high=max(value, min(1.0, e.high + max(0.0, high - e.value))),
        reason=f"{e.reason}; {said}" if e.reason else said,
    )


def _joined(counts: NDArray[np.int64], doublings: int) -> NDArray[np.int64]:
    """Return counts (pages, cells, 2) with neighbouring cells joined."""
    pages, cells, _ = counts.shape
    out: NDArray[np.int64] = counts.reshape(pages, cells >> doublings, 1 << doublings, 2).sum(
        axis=2
    )
    return out


def _booleans(positive: ArrayLike) -> NDArray[np.bool_]:
    labels = np.asarray(positive)
    check_shape("positive", labels, ("N",))
    if labels.dtype != bool:
        if not np.isin(labels, (0, 1)).all():
            raise ValueError("`positive` should hold only 0 and 1 (or booleans), got other values.")
        labels = labels.astype(bool)
    return labels
