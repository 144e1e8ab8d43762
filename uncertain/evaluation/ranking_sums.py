r"""Every ranking figure from one table of tie groups, in one pass over it.

Rows are sorted by score and equal scores are one *tie group*: what a figure needs of a group is the
weight of positives and of negatives in it and below it, so the order of equal scores never matters.
The table is read a few thousand groups at a time, which keeps all that a figure needs in the
processor's cache, and every sum is taken in the order of the scores: the same bits for any batching.

Axis letters: ``N`` rows, ``T`` tie groups.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uncertain.intervals.areas import AreaVariance

_CHUNK = 1 << 15
_ROUNDING = 1e-12
COVERAGES = (0.8, 0.9, 0.95)
"""Coverages at which the risk is reported."""
RISKS = (0.01, 0.05)
"""Risks at which the coverage is reported."""


class Ties(NamedTuple):
    """Cumulative weights at the T distinct scores, from the smallest up.

    Attributes:
        up: Weight of positives at or below each score, (T,).
        down: Weight of negatives at or below each, (T,).
        rows: Number of rows.
        counts: Whether all weights are whole numbers.
    """

    up: NDArray[Any]
    down: NDArray[Any]
    rows: int
    counts: bool = True

    @property
    def positives(self) -> float:
        """Weight of all positives."""
        return float(self.up[-1]) if len(self.up) else 0.0

    @property
    def negatives(self) -> float:
        """Weight of all negatives."""
        return float(self.down[-1]) if len(self.down) else 0.0


def tie_table(
    scores: NDArray[np.floating],
    positive: NDArray[np.bool_],
    weights: NDArray[np.float64] | None = None,
) -> Ties:
    """Return the table of rows that are sorted by score.

    Args:
        scores: (N,) ascending.
        positive: (N,) booleans.
        weights: (N,) or ``None``.

    Example:
        >>> tie_table(np.array([1.0, 2.0, 2.0]), np.array([False, True, False])).up.tolist()
        [0, 1]
    """
    n = len(scores)
    ends = np.flatnonzero(np.append(scores[1:] != scores[:-1], n > 0)[:n])
    if weights is None:
        whole = np.dtype(np.int32 if n < 2**31 else np.int64)
        up: NDArray[Any] = np.cumsum(positive, dtype=whole)
        if len(ends) < n:
            up = up[ends]
        return Ties(up, (ends + 1).astype(whole) - up, n)
    up = np.cumsum(np.where(positive, weights, 0.0))[ends]
    down = np.cumsum(np.where(positive, 0.0, weights))[ends]
    return Ties(up, down, n, bool((weights == np.floor(weights)).all()))


class Sums(NamedTuple):
    """The sums over tie groups that figures are made of, and the weight of each class.

    Attributes:
        positives: P, weight of the positives.
        negatives: M, weight of the negatives.
        auroc: Area under the ROC curve.
        aupr_positive: Average precision of the positives.
        aupr_negative: Average precision of the negatives.
        aurc: Area under the risk-coverage curve.
        augrc: Area under the generalised risk-coverage curve.
    """

    positives: float
    negatives: float
    auroc: float
    aupr_positive: float
    aupr_negative: float
    aurc: float
    augrc: float


def sums(ties: Ties) -> Sums:
    """Return all areas; NaN where a class that one needs is absent."""
    p, m = ties.positives, ties.negatives
    total = p + m
    # Whole weights are counts; others are relative, and are scaled to average one row.
    scale = 1.0 if ties.counts or not total else ties.rows / total
    parts: list[list[float]] = [[], [], [], [], []]
    for up0, up1, down0, down1 in _chunks(ties):
        up, down, caught = up1 - up0, down1 - down0, p - up0
        parts[0].append(float(np.dot(up, down0 + down1)) / 2)
        with np.errstate(invalid="ignore", divide="ignore"):
            parts[1].append(_filled(up * caught / (caught + (m - down0)), up))
            parts[2].append(_filled(down * down1 / (down1 + up1), down))
        parts[3].append(_risk_area(up0 * scale, up * scale, down0 * scale, down * scale))
        parts[4].append(float(np.dot(up + down, up0 + up1)) / 2)
    ranks, precise, recalled, risk, joint = (math.fsum(part) for part in parts)
    nan = math.nan
    return Sums(
        p,
        m,
        min(1.0, ranks / (p * m)) if p and m else nan,
        precise / p if p else nan,
        recalled / m if m else nan,
        risk / (total * scale) if total else nan,
        joint / total**2 if total else nan,
    )


def area_spread(ties: Ties, area: float) -> AreaVariance:
    """Return DeLong's variance of the area, as :func:`uncertain.intervals.area_variance` does.

    For rows without weights or groups, whose placements are those of their tie groups.

    Args:
        ties: Both classes present, whole weights that count independent rows.
        area: From :func:`sums`.
    """
    p, m = ties.positives, ties.negatives
    squares, fourths = [], []
    share = [
        1 / (p * p * (1 - 1 / p)) if p > 1 else 0.0,
        1 / (m * m * (1 - 1 / m)) if m > 1 else 0.0,
    ]
    for up0, up1, down0, down1 in _chunks(ties):
        first = ((down0 + down1) / (2 * m) - area) ** 2
        second = (1 - (up0 + up1) / (2 * p) - area) ** 2
        up, down = up1 - up0, down1 - down0
        for weight, deviation, each in ((up, first, share[0]), (down, second, share[1])):
            square = deviation * each
            squares.append(float(np.dot(weight, square)))
            fourths.append(float(np.dot(weight, square * square)))
    variance = math.fsum(squares)
    noise = math.fsum(fourths) - variance**2 / (p + m)
    df = 0.0 if variance <= 0 else min(2 * variance**2 / noise, 1e9) if noise > 0 else 1e9
    return AreaVariance(variance, df, p, m, min(p, m))


def figures(ties: Ties, *, tpr: float = 0.95) -> dict[str, float]:
    """Return every ranking figure, NaN where undefined; see :mod:`uncertain.evaluation.ranking`.

    Args:
        ties: From :func:`tie_table`.
        tpr: True positive rate at which false positive rates are read.
    """
    found = sums(ties)
    return {
        "auroc": found.auroc,
        "aupr_positive": found.aupr_positive,
        "aupr_negative": found.aupr_negative,
        "fpr95_positive": false_positives(ties, tpr),
        "fpr95_negative": false_negatives(ties, tpr),
        "aurc": found.aurc,
        "augrc": found.augrc,
        "excess_aurc": excess(ties, found),
        **{risk_name(c): risk_at(ties, c) for c in COVERAGES},
        **{coverage_name(r): coverage_at(ties, r) for r in RISKS},
    }


def risk_name(coverage: float) -> str:
    """Return ``risk_at_80_coverage`` for 0.8.

    Example:
        >>> risk_name(0.8)
        'risk_at_80_coverage'
    """
    return f"risk_at_{100 * coverage:g}_coverage"


def coverage_name(risk: float) -> str:
    """Return ``coverage_at_5_risk`` for 0.05.

    Example:
        >>> coverage_name(0.05)
        'coverage_at_5_risk'
    """
    return f"coverage_at_{100 * risk:g}_risk"


SELECTIVE = (
    "aurc",
    "augrc",
    "excess_aurc",
    *map(risk_name, COVERAGES),
    *map(coverage_name, RISKS),
)
"""Figures of selective prediction, where positives are mistakes and rows are accepted from the
smallest score on."""


def excess(ties: Ties, found: Sums) -> float:
    """Return the AURC less that of the oracle, which accepts every mistake last."""
    total = found.positives + found.negatives
    if not total:
        return math.nan
    scale = 1.0 if ties.counts else ties.rows / total
    p, m = (np.array([x * scale]) for x in (found.positives, found.negatives))
    oracle = _risk_area(np.zeros(1), p, m, np.zeros(1)) / (total * scale)
    return max(0.0, found.aurc - oracle)


def false_positives(ties: Ties, tpr: float) -> float:
    """Return the share of negatives at or above the threshold that catches ``tpr`` of positives."""
    p, m = ties.positives, ties.negatives
    if not (p and m):
        return math.nan
    # 0.95 x 20 rows must ask for 19 of them, not for 19 and a rounding error.
    missed = p - tpr * p * (1 - _ROUNDING)
    place = min(int(np.searchsorted(ties.up, missed, side="right")), len(ties.up) - 1)
    return (m - float(ties.down[place - 1] if place else 0)) / m


def false_negatives(ties: Ties, tpr: float) -> float:
    """Return the share of positives at or below the threshold that holds ``tpr`` of negatives."""
    p, m = ties.positives, ties.negatives
    if not (p and m):
        return math.nan
    place = int(np.searchsorted(ties.down, tpr * m * (1 - _ROUNDING), side="left"))
    return float(ties.up[place]) / p


def risk_at(ties: Ties, coverage: float) -> float:
    """Return the risk of the ``coverage`` of the weight with the smallest scores."""
    total = ties.positives + ties.negatives
    if not total:
        return math.nan
    target = coverage * total
    # The sum of two increasing columns is increasing: bisect it without building it.
    low, high = 0, len(ties.up) - 1
    while low < high:
        middle = (low + high) // 2
        if float(ties.up[middle]) + float(ties.down[middle]) >= target * (1 - _ROUNDING):
            high = middle
        else:
            low = middle + 1
    up0, down0 = _through(ties, low - 1)
    up1, down1 = _through(ties, low)
    size = up1 + down1 - up0 - down0
    part = min(1.0, (target - up0 - down0) / size)
    return (up0 + part * (up1 - up0)) / target


def coverage_at(ties: Ties, risk: float, *, slack: float = 0.0, more: float = 0.0) -> float:
    r"""Return the largest coverage with a risk of at most ``risk``, 0 where there is none.

    Args:
        ties: From :func:`tie_table`.
        risk: The largest accepted share of mistakes.
        slack: Standard errors :math:`\sqrt{r (1 - r) C}` that the number of mistakes in a weight C
            of accepted rows may exceed (or, negative, must fall short of) :math:`r C` by.
        more: Mistakes beyond that: what the normal law leaves out of a small binomial.
    """
    total = ties.positives + ties.negatives
    if not total:
        return math.nan
    last = -1
    for start in reversed(range(0, len(ties.up), _CHUNK)):
        up = ties.up[start : start + _CHUNK].astype(np.float64)
        covered = up + ties.down[start : start + _CHUNK]
        fits = up <= _allowed(covered, risk, slack) * (1 + _ROUNDING) + more
        if fits.any():
            last = start + len(fits) - 1 - int(np.argmax(fits[::-1]))
            break
    up0, down0 = _through(ties, last)
    if last == len(ties.up) - 1 or slack:
        return (up0 + down0) / total
    up1, down1 = _through(ties, last + 1)
    rate = (up1 - up0) / (up1 + down1 - up0 - down0)
    return (up0 + down0 + max(0.0, risk * (up0 + down0) - up0) / (rate - risk)) / total


def _allowed(covered: NDArray[np.float64], risk: float, slack: float) -> NDArray[np.float64]:
    allowed = risk * covered
    return allowed + slack * np.sqrt(risk * (1 - risk) * covered) if slack else allowed


def _through(ties: Ties, place: int) -> tuple[float, float]:
    return (float(ties.up[place]), float(ties.down[place])) if place >= 0 else (0.0, 0.0)


def _chunks(ties: Ties) -> Iterator[tuple[NDArray[np.float64], ...]]:
    """Yield positives below and through each group, then negatives, a chunk of groups at a time."""
    for start in range(0, len(ties.up), _CHUNK):
        stop = min(start + _CHUNK, len(ties.up))
        out: list[NDArray[np.float64]] = []
        for column in (ties.up, ties.down):
            edges = np.empty(stop - start + 1)
            edges[0] = column[start - 1] if start else 0.0
            edges[1:] = column[start:stop]
            out += [edges[:-1], edges[1:]]
        yield tuple(out)


def _filled(values: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """Sum, without the groups of no weight, which are 0 / 0 where nothing came before them."""
    total = float(values.sum())
    return total if math.isfinite(total) else float(values[weight > 0].sum())


def _risk_area(
    before_errors: NDArray[np.float64],
    wrong: NDArray[np.float64],
    before_right: NDArray[np.float64],
    right: NDArray[np.float64],
) -> float:
    r"""Sum over groups :math:`e + (E - eC/n)(H_{C+n} - H_C)`: a group's risks, ties averaged."""
    before, size = before_errors + before_right, wrong + right
    if not size.all():
        kept = size > 0
        before_errors, wrong, before, size = (x[kept] for x in (before_errors, wrong, before, size))
    after = before + size
    harmonic = 1 / after
    tied = size != 1
    if tied.any():
        harmonic[tied] = harmonic_number(after[tied]) - harmonic_number(before[tied])
    return float(np.sum(wrong + (before_errors - wrong / size * before) * harmonic))


def harmonic_number(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return H(x) = psi(x + 1) + gamma of real x >= 0, to 1e-14.

    Example:
        >>> harmonic_number(np.array([1.0, 2.0])).round(12).tolist()
        [1.0, 1.5]
    """
    shift = np.zeros_like(x)
    y = x + 1
    for _ in range(10):
        small = y < 10
        if not small.any():
            break
        shift[small] -= 1 / y[small]
        y = np.where(small, y + 1, y)
    z = 1 / (y * y)
    series = z * (1 / 12 - z * (1 / 120 - z * (1 / 252 - z * (1 / 240 - z * (5 / 660)))))
    out: NDArray[np.float64] = np.log(y) - 0.5 / y - series + shift + np.euler_gamma
    return out
