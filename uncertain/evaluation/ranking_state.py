"""Ranking figures of rows that arrive in pieces: batches, files, ranks.

Order-based figures need every score, so the state keeps the rows (8 to 17 bytes each, more with
weights and groups) and sorts them by everything they hold before anything is computed: any
batching, order or sharding gives the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain.checks import check_same_length
from uncertain.evaluation.ranking import Curve, rank_curve, ranking_estimates
from uncertain.intervals import Estimate
from uncertain.intervals.areas import checked_scores


@dataclass
class RankState:
    """Rows of a ranking, mergeable. Updating and merging change the state in place and return it.

    Attributes:
        chunks: One (scores, positive, weights, groups) a piece.

    Example:
        >>> scores, positive = np.array([0.1, 0.9, 0.4, 0.6]), np.array([False, True, True, False])
        >>> whole = RankState().update(scores, positive)
        >>> pieces = RankState().update(scores[2:], positive[2:]).merge(
        ...     RankState().update(scores[:2], positive[:2])
        ... )
        >>> whole.compute() == pieces.compute()
        True
    """

    chunks: tuple[
        tuple[
            NDArray[np.floating],
            NDArray[np.bool_],
            NDArray[np.float64] | None,
            NDArray[np.generic] | None,
        ],
        ...,
    ] = ()

    def __len__(self) -> int:
        return sum(len(chunk[0]) for chunk in self.chunks)

    def update(
        self,
        scores: ArrayLike,
        positive: ArrayLike,
        *,
        weights: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> RankState:
        """Add rows, and return the state.

        Args:
            scores: (N,) without NaN, any scale, larger = more positive. float32 is kept as it is.
            positive: (N,) booleans.
            weights: Non-negative row weights, (N,): in all pieces, or in none.
            groups: Resampling unit of each row, (N,): in all pieces, or in none.

        Raises:
            ValueError: For NaN, wrong lengths, or weights or groups in some pieces only.

        Example:
            >>> state = RankState()
            >>> for batch in ([0.1, 0.9], [0.4]):
            ...     _ = state.update(batch, [score > 0.5 for score in batch])
            >>> len(state)
            3
        """
        # A piece may hold zero weights only; the whole is checked when it is computed.
        x, up, _ = checked_scores(scores, positive, None)
        w = None if weights is None else np.asarray(weights, dtype=np.float64)
        labels = None if groups is None else np.asarray(groups)
        check_same_length(scores=x, weights=w, groups=labels)
        return self.merge(RankState(((x, up, w, labels),) if len(x) else ()))

    def merge(self, other: RankState) -> RankState:
        """Add the rows of another state, and return the state.

        Raises:
            ValueError: Where only one of them has weights, or groups.
        """
        for place, name in ((2, "weights"), (3, "groups")):
            given = {chunk[place] is not None for chunk in (*self.chunks, *other.chunks)}
            if len(given) > 1:
                raise ValueError(f"`{name}` should be given with every piece or with none.")
        self.chunks += other.chunks
        return self

    def rows(
        self,
    ) -> tuple[
        NDArray[np.floating],
        NDArray[np.bool_],
        NDArray[np.float64] | None,
        NDArray[np.generic] | None,
    ]:
        """Return all rows, in the order in which they came."""
        if not self.chunks:
            return np.empty(0), np.empty(0, dtype=bool), None, None
        x, up, w, labels = zip(*self.chunks, strict=True)
        return (
            np.concatenate(x),
            np.concatenate(up),
            None if w[0] is None else np.concatenate(w),
            None if labels[0] is None else np.concatenate(labels),
        )

    def curve(self) -> Curve:
        """Return the curve of all rows, for plots."""
        x, up, w, _ = self.rows()
        return rank_curve(x, up, weights=w)

    def compute(
        self, *, level: float = 0.95, seed: int = 0, replicates: int = 1000, tpr: float = 0.95
    ) -> dict[str, Estimate]:
        """Return :func:`~uncertain.evaluation.ranking.ranking_estimates` of all rows.

        Args:
            level: Nominal coverage.
            seed: Of the bootstrap.
            replicates: Of the bootstrap.
            tpr: True positive rate at which false positive rates are read.
        """
        x, up, w, labels = self.rows()
        return ranking_estimates(
            x,
            up,
            weights=w,
            groups=labels,
            level=level,
            seed=seed,
            replicates=replicates,
            tpr=tpr,
        )
