"""The reliability diagram: how often came true what was called how likely.

Axis letters: ``N`` rows, ``C`` classes, ``B`` bins.

References:
    Murphy and Winkler, Reliability of subjective probability forecasts of precipitation and
    temperature, Applied Statistics (1977).
    Bröcker and Smith, Increasing the reliability of reliability diagrams, Weather and
    Forecasting (2007): the band that a calibrated model stays in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain import checks, intervals
from uncertain.evaluation import calibration_intervals as inversion
from uncertain.evaluation.calibration_bins import Binning, bin_table
from uncertain.evaluation.calibration_rows import Rows, edges_of, gap_model


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram; the columns are (B,), NaN in empty bins.

    Attributes:
        edges: (B + 1,).
        count: Rows, int64.
        share: Weight of the bin over all.
        confidence: Mean confidence.
        frequency: Share that came true.
        low: Lower end of the frequency's interval (Wilson's at the rows' effective number).
        high: Upper end.
        null_low: Where a calibrated model's frequency lies with probability ``level``: from here
        null_high: to here.
        level: Of both.
    """

    edges: NDArray[np.float64]
    count: NDArray[np.int64]
    share: NDArray[np.float64]
    confidence: NDArray[np.float64]
    frequency: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    null_low: NDArray[np.float64]
    null_high: NDArray[np.float64]
    level: float = 0.95


def reliability(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    binning: Binning = "equal_width",
    bins: int = 15,
    mode: Literal["top_label", "positive"] = "top_label",
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> Reliability:
    """Return the reliability diagram: frequency against confidence, bin by bin.

    Args:
        probabilities: (N, C), rows summing to one.
        labels: Class indices, (N,).
        binning: As in :func:`ece`.
        bins: As in :func:`ece`.
        mode: As in :func:`ece`.
        weights: Non-negative row weights, (N,).
        groups: Resampling unit of each row, (N,); they widen intervals and band.
        level: Coverage of each bin's interval and of the null band.

    Example:
        >>> r = reliability([[0.9, 0.1], [0.6, 0.4]], [0, 1], bins=5)
        >>> r.count.tolist(), r.frequency.tolist()
        ([0, 0, 0, 1, 1], [nan, nan, nan, 0.0, 1.0])
    """
    checks.check_choice("mode", mode, ("top_label", "positive"))
    rows = Rows.read(probabilities, labels, mode, weights, groups, level)
    return _diagram(rows, binning, bins, level)


def _diagram(rows: Rows, binning: Binning, bins: int, level: float) -> Reliability:
    edges = edges_of(rows.confidence, binning, bins)
    table = bin_table(rows.confidence, rows.outcome, edges, weights=rows.weights)
    model = gap_model(rows, binning, bins)
    columns = np.full((4, len(table.count)), np.nan)
    columns[:, table.weight > 0] = _bands(model, level)
    return Reliability(
        table.edges,
        table.count,
        table.share,
        table.confidence,
        table.frequency,
        *(columns[0], columns[1], columns[2], columns[3]),
        level,
    )


def _bands(model: inversion.GapModel, level: float) -> NDArray[np.float64]:
    """Interval and null band of each filled bin's frequency, (4, B)."""
    t = model.table
    df = np.inf if model.clusters is None else model.clusters.groups - 1
    size = model.size / model.effect()
    found = [
        intervals.wilson_bounds(float(np.clip(f, 0, 1)), float(n), level=level, df=df)
        for f, n in zip(t.frequency, size, strict=True)
    ]
    reach = intervals.t_quantile((1 + level) / 2, df) * np.sqrt(t.null_variance / size)
    low, high = np.transpose(found)
    return np.stack(
        [low, high, np.maximum(t.confidence - reach, 0), np.minimum(t.confidence + reach, 1)]
    )
