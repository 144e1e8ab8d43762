r"""Tests of calibration that need no bins: Kolmogorov-Smirnov, Kuiper, Spiegelhalter.

With rows by ascending confidence, the cumulative difference :math:`D_k = \sum_{i \le k} w_i (a_i -
c_i) / \sum w` wanders like a Brownian motion where the model is calibrated, and drifts where it is not.
Its slope over a stretch is the miscalibration there.

- ``calibration_ks``: :math:`\max_k |D_k|`, the largest miscalibration of any set of rows below a
  confidence, times the set's share;
- ``calibration_kuiper``: :math:`\max_k D_k - \min_k D_k` with :math:`D_0 = 0`, of any set of rows
  between two confidences;
- ``spiegelhalter_z``: :math:`\sum (a - c)(1 - 2c) / \sqrt{\sum (1 - 2c)^2 c (1 - c)}`, standard normal
  for a calibrated model: whether the Brier score is what the confidences promise.

:math:`D` is read at the ends of groups of equal confidence, so no order of the rows matters. (With the
order of ties left to chance, as elsewhere, the same rows have several p-values.)

**Intervals.** The first two estimate the same functional of the population's :math:`D`. The sample's
lies within the supremum (or range) of a process that varies no more than a Brownian motion of variance
:math:`\sum w^2 (a - c)^2 / (\sum w)^2`, whatever the truth (Anderson's inequality); so the interval is
the value plus or minus that supremum's ``level`` point, cut at 0. It is wide rather than narrow.

References:
    Arrieta-Ibarra, Gujral, Tannen, Tygert and Xu, Metrics of calibration for probabilistic
    predictions, JMLR (2022), sections 2 and 3.
    Spiegelhalter, Probabilistic prediction in patient management and clinical trials, Statistics in
    Medicine (1986).
    Feller, The asymptotic distribution of the range of sums of independent random variables,
    Annals of Mathematical Statistics (1951).
    Anderson, The integral of a symmetric unimodal function over a symmetric convex set, Proceedings
    of the AMS (1955).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from uncertain import checks, intervals
from uncertain.evaluation.calibration_rows import Mode, Rows
from uncertain.evaluation.calibration_sorted import SortedRows
from uncertain.intervals import Estimate
from uncertain.intervals.estimate import normal_two_sided

METRICS = ("calibration_ks", "calibration_kuiper", "spiegelhalter_z")


class Cumulative(NamedTuple):
    """What one pass over the sorted rows leaves.

    Attributes:
        largest: Largest cumulative difference, at least 0.
        smallest: Smallest, at most 0.
        null_deviation: Standard deviation of the last one if the model is calibrated.
        deviation: The same with the outcomes' own squared residuals.
        z: Spiegelhalter's statistic; NaN where no row can speak.
    """

    largest: float
    smallest: float
    null_deviation: float
    deviation: float
    z: float


def calibration_tests(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    mode: Mode = "top_label",
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Return the three statistics, each with the two-sided p-value of calibration.

    Args:
        probabilities: (N, C), rows summing to one.
        labels: Class indices, (N,).
        mode: ``"top_label"`` or, for two classes, ``"positive"``.
        weights: Non-negative row weights, (N,), of independent rows.
        groups: Resampling unit of each row, (N,). Spiegelhalter's test is then cluster-robust; the
            other two have no null law and no interval, with the reason.
        level: Nominal coverage of the intervals.

    Raises:
        ValueError: As :func:`uncertain.evaluation.calibration.ece`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> p = rng.random(2000)
        >>> stated = np.stack([1 - p, p], axis=1)
        >>> good = calibration_tests(stated, rng.random(2000) < p, mode="positive")
        >>> bad = calibration_tests(stated, rng.random(2000) < p**2, mode="positive")
        >>> [e.p_value > 0.05 for e in good.values()], bad["calibration_ks"].p_value < 1e-3
        ([True, True, True], True)
    """
    checks.check_choice("mode", mode, ("top_label", "positive"))
    rows = Rows.read(probabilities, labels, mode, weights, groups, level)
    found = SortedRows.of(rows.confidence, rows.outcome, rows.weights)
    return estimates(cumulative(found), rows, level)


def cumulative(rows: SortedRows) -> Cumulative:
    """Read sorted rows once.

    Example:
        >>> rows = SortedRows.of(np.array([0.5, 0.5]), np.array([True, False]))
        >>> cumulative(rows).largest              # a tie is finished before it is read
        0.0
    """
    ends = np.zeros(rows.n, dtype=bool)
    ends[rows.tie_ends()] = True
    at, start, high, low = 0.0, 0, 0.0, 0.0
    null, own, top, bottom = [], [], [], []
    for p, hit, w in rows.chunks():
        residual = hit - p
        variance = p * (1 - p)
        tilt = 1 - 2 * p
        weight = np.ones(1) if w is None else w
        path = at + np.cumsum(residual * weight)
        at = float(path[-1])
        read = path[ends[start : start + len(p)]]
        start += len(p)
        high, low = max(high, float(read.max(initial=0))), min(low, float(read.min(initial=0)))
        null.append(float((variance * weight**2).sum()))
        own.append(float(((residual * weight) ** 2).sum()))
        top.append(float((residual * tilt * weight).sum()))
        bottom.append(float((variance * (tilt * weight) ** 2).sum()))
    total = rows.total
    below = math.sqrt(math.fsum(bottom))
    return Cumulative(
        high / total,
        low / total,
        math.sqrt(math.fsum(null)) / total,
        math.sqrt(math.fsum(own)) / total,
        math.fsum(top) / below if below > 0 else math.nan,
    )


def estimates(found: Cumulative, rows: Rows, level: float) -> dict[str, Estimate]:
    """Return the statistics as estimates."""
    ks = max(found.largest, -found.smallest)
    kuiper = found.largest - found.smallest
    out = {}
    for name, value, tail in (
        ("calibration_ks", ks, supremum_tail),
        ("calibration_kuiper", kuiper, range_tail),
    ):
        if rows.ids is not None:
            reason = "rows of a group are dependent: the law of the statistic is not known"
            out[name] = intervals.undefined(
                reason, value=value, n=rows.n, level=level, n_groups=rows.n_groups
            )
            continue
        scaled = value / found.null_deviation if found.null_deviation > 0 else math.inf
        p_value = tail(scaled) if value > 0 else 1.0
        reach = _quantile(tail, level) * found.deviation
        out[name] = Estimate(
            value, max(0.0, value - reach), min(1.0, value + reach), rows.n, level, None, p_value
        )
    out["spiegelhalter_z"] = _spiegelhalter(found, rows, level)
    return out


def _spiegelhalter(found: Cumulative, rows: Rows, level: float) -> Estimate:
    z, p_value = found.z, normal_two_sided(found.z)
    reason = "a test statistic: read its p-value"
    if rows.ids is not None:
        p = np.minimum(rows.confidence.astype(np.float64), 1.0)
        terms = (rows.outcome - p) * (1 - 2 * p)
        robust = intervals.mean(terms, weights=rows.weights, groups=rows.ids, level=level, null=0.0)
        if robust.p_value is None:
            reason = robust.reason
        else:
            half = (robust.high - robust.low) / 2
            z = (
                robust.value / half * intervals.t_quantile((1 + level) / 2, math.inf)
                if half
                else 0.0
            )
            p_value = robust.p_value
    if math.isnan(z):
        return intervals.undefined(
            "every confidence is 0, 0.5 or 1", n=rows.n, level=level, n_groups=rows.n_groups
        )
    return intervals.undefined(
        reason, value=z, n=rows.n, level=level, n_groups=rows.n_groups
    )._replace(p_value=p_value)


def supremum_tail(x: float) -> float:
    """Return P(sup abs(B) >= x) of a Brownian motion B on [0, 1].

    Example:
        >>> round(supremum_tail(2.2414), 4)
        0.05
    """
    if x < 0.2:
        return 1.0
    if x < 1:
        odd = [2 * k + 1 for k in range(20)]
        terms = [(-1) ** k / n * math.exp(-((n * math.pi / x) ** 2) / 8) for k, n in enumerate(odd)]
        return max(0.0, min(1.0, 1 - 4 / math.pi * math.fsum(terms)))
    terms = [(-1) ** k * _normal_tail((2 * k + 1) * x) for k in range(6)]
    return max(0.0, min(1.0, 4 * math.fsum(terms)))


def range_tail(x: float) -> float:
    """Return P(sup B - inf B >= x) of a Brownian motion B on [0, 1].

    Example:
        >>> round(range_tail(2.4977), 3)
        0.05
    """
    if x < 0.3:
        return 1.0
    # Beyond ten standard deviations a term is below 1e-22.
    terms = [(-1) ** (k - 1) * k * _normal_tail(k * x) for k in range(1, math.ceil(10 / x) + 2)]
    return max(0.0, min(1.0, 8 * math.fsum(terms)))


def _normal_tail(x: float) -> float:
    return 0.5 * math.erfc(x / math.sqrt(2))


@functools.lru_cache
def _quantile(tail: Callable[[float], float], level: float) -> float:
    low, high = 0.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(middle) > 1 - level else (low, middle)
    return (low + high) / 2
