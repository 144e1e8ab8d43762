r"""How far a ranking figure of cells can be from that of the rows: certified, for every figure.

A cell holds p positives and n negatives whose order is not known. Above it (at larger scores) are P
positives and M negatives, below it E positives among C rows; :math:`P_\bullet`, :math:`M_\bullet`
and N count all. Over all orders of the rows in a cell, ties among them included, each figure stays
between two values, and no order in one cell changes what another cell adds, so their sums enclose
the figure.

- AUROC: a cell adds between 0 and :math:`pn`, and half of that where its rows are taken as tied, so
  the tied figure is off by at most :math:`\sum pn / (2 P_\bullet M_\bullet)`; both ends are reached.
- AUPR: the j-th positive of the cell from above is read at a threshold that catches at least
  :math:`P + j` positives and at most :math:`M + n` negatives, so it adds at least
  :math:`f(j) = (P + j)/(P + j + M + n)`. As f is concave, :math:`\sum_{j \le p} f(j)` is at least
  :math:`p\,(f(1) + f(p))/2`. It adds at most :math:`(P + p)/(P + p + M)`: precision grows with
  positives and falls with negatives, and no threshold in the cell catches more positives, or fewer
  negatives, than that. The upper end is reached, where the positives are tied above the negatives.
- FPR95: the threshold lies in the cell in which the needed positive is, so between :math:`M` and
  :math:`M + n` negatives are at or above it.
- AURC: at the j-th row of the cell from below, :math:`\min(j, p)` mistakes are the most and
  :math:`\max(0, j - n)` the fewest; rows taken as tied have :math:`pj/(n + p)`. Either distance,
  summed over j, is :math:`pn/2`, and none is more than :math:`pn/(n + p)`, so divided by the
  coverage :math:`C + j` the sums are at most :math:`pn / (2 (C + 1))`, and at most
  :math:`\frac{pn}{n + p}\,(H_{C + n + p} - H_C)`.
- Excess AURC: the oracle's part depends on :math:`P_\bullet` and :math:`M_\bullet` alone.
- AUGRC: the same distances without the division, so :math:`\sum pn / (2 N^2)`; reached.
- Risk at a coverage: t rows into the cell there are between :math:`\max(E, E + p - (n + p - t))` and
  :math:`\min(E + t, E + p)` mistakes, as the number of mistakes grows by at most one a row.
- Coverage at a risk r: the curve passes through the ends of the cells, so the largest end with a
  risk of at most r is reached. Inside a cell the fewest mistakes at t accepted rows are
  :math:`\max(E, E + p - (C + n + p - t))`, and the largest t that keeps r with them bounds it above.

Rounding in the sums is added: 1e-12, and 4e-15 a cell where harmonic numbers are subtracted.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uncertain.evaluation import ranking_sums
from uncertain.evaluation.ranking_sums import COVERAGES, RISKS, Ties, coverage_name, risk_name

_ROUNDING = 1e-12
_HARMONIC_ROUNDING = 4e-15

Ends = tuple[float, float]


class _Cells(NamedTuple):
    """Cells from the smallest score up: rows in each, and below it, as float64, (T,)."""

    up: NDArray[np.float64]
    down: NDArray[np.float64]
    up_below: NDArray[np.float64]
    down_below: NDArray[np.float64]
    positives: float
    negatives: float

    @classmethod
    def of(cls, ties: Ties) -> _Cells:
        columns = []
        for through in (ties.up, ties.down):
            edges = np.concatenate(([0.0], through))
            columns.append((np.diff(edges), edges[:-1]))
        (up, up_below), (down, down_below) = columns
        return cls(up, down, up_below, down_below, ties.positives, ties.negatives)

    def flipped(self) -> _Cells:
        """The same rows with the classes and the order exchanged."""
        up_above = self.positives - self.up_below - self.up
        down_above = self.negatives - self.down_below - self.down
        return _Cells(
            self.down[::-1],
            self.up[::-1],
            down_above[::-1],
            up_above[::-1],
            self.negatives,
            self.positives,
        )


def enclosures(ties: Ties, *, tpr: float = 0.95) -> dict[str, Ends]:
    """Return the smallest and largest value each figure of the rows can have, given their cells.

    Args:
        ties: Rows counted by cell, whole numbers.
        tpr: True positive rate at which false positive rates are read.

    Returns:
        The keys of :func:`uncertain.evaluation.ranking_sums.figures`; NaN where undefined.

    Example:
        >>> cells = Ties(np.array([0, 1, 4]), np.array([3, 4, 4]), 8)
        >>> enclosures(cells)["auroc"]       # one of 4 x 4 pairs shares a cell
        (0.937..., 1.0)
    """
    found = ranking_sums.figures(ties, tpr=tpr)
    cells = _Cells.of(ties)
    p, m = cells.positives, cells.negatives
    rows = p + m
    pairs = float(np.dot(cells.up, cells.down))
    flipped = cells.flipped()
    ends: dict[str, Ends] = {
        "aurc": _around(found["aurc"], _risk_area(cells, rows)),
        "augrc": _around(found["augrc"], pairs / 2 / rows**2 if rows else math.nan),
        **{risk_name(c): _risk_at(cells, c) for c in COVERAGES},
        **{coverage_name(r): _coverage_at(cells, r) for r in RISKS},
    }
    oracle = ranking_sums.sums(Ties(np.array([0, p]), np.array([m, m]), ties.rows)).aurc
    low, high = (end - oracle for end in ends["aurc"])
    ends["excess_aurc"] = (max(0.0, low), max(0.0, high)) if rows else (low, high)
    none = (math.nan, math.nan)
    return {
        "auroc": _around(found["auroc"], pairs / (2 * p * m)) if p and m else none,
        "aupr_positive": _precision(cells) if p else none,
        "aupr_negative": _precision(flipped) if m else none,
        "fpr95_positive": _rate(cells, tpr) if p and m else none,
        "fpr95_negative": _rate(flipped, tpr) if p and m else none,
        **ends,
    }


def _around(value: float, distance: float) -> Ends:
    if math.isnan(value):
        return math.nan, math.nan
    distance += _ROUNDING
    return max(0.0, value - distance), min(1.0, value + distance)


def _precision(cells: _Cells) -> Ends:
    held = cells.up > 0
    up, down = cells.up[held], cells.down[held]
    above = cells.positives - cells.up_below[held] - up
    false_above = cells.negatives - cells.down_below[held] - down

    def precision(caught: NDArray[np.float64], false: NDArray[np.float64]) -> NDArray[np.float64]:
        return caught / (caught + false)

    through = false_above + down
    low = up * (precision(above + 1, through) + precision(above + up, through)) / 2
    high = up * precision(above + up, false_above)
    ends = [math.fsum(end.tolist()) / cells.positives for end in (low, high)]
    return max(0.0, ends[0] - _ROUNDING), min(1.0, ends[1] + _ROUNDING)


def _rate(cells: _Cells, tpr: float) -> Ends:
    # As `ranking_sums.false_positives` asks, so that both find the same cell.
    missed = cells.positives - tpr * cells.positives * (1 - _ROUNDING)
    through = cells.up_below + cells.up
    place = min(int(np.searchsorted(through, missed, side="right")), len(through) - 1)
    high = cells.negatives - cells.down_below[place]
    low = high - cells.down[place]
    return float(low / cells.negatives), float(high / cells.negatives)


def _risk_area(cells: _Cells, rows: float) -> float:
    """Half the length of the AURC's enclosure."""
    if not rows:
        return math.nan
    held = cells.up * cells.down > 0
    up, down = cells.up[held], cells.down[held]
    before, size = cells.up_below[held] + cells.down_below[held], up + down
    first = 1 / (before + 1)
    harmonic = first + np.log((before + size) * first)
    most = np.minimum(up * down / 2 * first, up * down / size * harmonic)
    return math.fsum(most.tolist()) / rows + _HARMONIC_ROUNDING * len(cells.up)


def _risk_at(cells: _Cells, coverage: float) -> Ends:
    rows = cells.positives + cells.negatives
    if not rows:
        return math.nan, math.nan
    target = coverage * rows
    after = cells.up_below + cells.up + cells.down_below + cells.down
    place = min(int(np.searchsorted(after, target * (1 - _ROUNDING))), len(after) - 1)
    errors, wrong = cells.up_below[place], cells.up[place]
    into = target - errors - cells.down_below[place]
    low = max(errors, errors + wrong - (after[place] - target))
    high = min(errors + into, errors + wrong)
    return max(0.0, float(low / target) - _ROUNDING), min(1.0, float(high / target) + _ROUNDING)


def _coverage_at(cells: _Cells, risk: float) -> Ends:
    rows = cells.positives + cells.negatives
    if not rows:
        return math.nan, math.nan
    before = cells.up_below + cells.down_below
    after, errors = before + cells.up + cells.down, cells.up_below + cells.up
    allowed = risk * (1 + _ROUNDING)
    fits = errors <= allowed * after
    low = float(after[fits][-1]) if fits.any() else 0.0
    # The mistakes last: as many as before at first, then one a row.
    most = np.minimum(after, (after - errors) / (1 - allowed))
    inside = (most >= before) & (cells.up_below <= allowed * most)
    high = float(most[inside].max()) if inside.any() else 0.0
    return max(0.0, low / rows - _ROUNDING), min(1.0, max(low, high) / rows + _ROUNDING)
