r"""Smooth calibration error: no bins, and one bandwidth that the data fix.

The residuals :math:`c_i - a_i` (confidence less outcome) are smoothed along the confidences by a
kernel of bandwidth :math:`\sigma`,

.. math:: \mathrm{smECE}_\sigma = \int_0^1 \Big| \frac1N \sum_i K_\sigma(t, c_i) (c_i - a_i) \Big| dt,

with the Gaussian kernel *reflected* at 0 and 1, so that no mass leaves the interval: the default of
the authors. Smoothing more never makes it larger, so :math:`\mathrm{smECE}_\sigma = \sigma` has one
solution; that is the smooth ECE, and its own bandwidth. Another kernel (a Gaussian of logits, say)
gives another number, up to a tenth apart on the same arrays, so a row's variant names the kernel,
the bandwidth and the mode.

The reflected Gaussian is the heat kernel of an insulated rod: its eigenfunctions are cosines, and one
fast Fourier transform smooths residuals that were spread over a grid.

References:
    Błasiok and Nakkiran, Smooth ECE: principled reliability diagrams via kernel smoothing, ICLR
    (2024), definitions 7 and 8 and section 4.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain import checks, intervals
from uncertain.evaluation.calibration_rows import Mode, Rows
from uncertain.evaluation.calibration_sorted import SortedRows
from uncertain.intervals import Estimate

GRID = 1024
"""Cells of the grid that residuals are spread over; each row is split between two midpoints, which
keeps its place exactly and moves the figure by about (1 / GRID)^2."""
_NULL_GRID = 256
_STEPS = 40
_REASON = "the plug-in error is biased upwards: see smooth_ece_null"


def smooth_ece(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    mode: Mode = "top_label",
    bandwidth: float | None = None,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Return the smooth ECE, without an interval.

    Args:
        probabilities: (N, C), rows summing to one.
        labels: Class indices, (N,).
        mode: ``"top_label"``: the largest probability, and whether its class is the label;
            ``"positive"``: the probability of class 1 of two.
        bandwidth: In units of probability, above 0; default: the one that equals the error.
        weights: Non-negative row weights, (N,).
        groups: Only counted here.
        level: Reported with the estimate.

    Raises:
        ValueError: As :func:`uncertain.evaluation.calibration.ece`; for a bandwidth out of (0, 1].

    Example:
        >>> e = smooth_ece([[0.9, 0.1]] * 10, [0] * 5 + [1] * 5)
        >>> round(e.value, 6)                     # 0.9 said, 0.5 came true
        0.4
    """
    checks.check_choice("mode", mode, ("top_label", "positive"))
    if bandwidth is not None:
        checks.check_range("bandwidth", bandwidth, 0, 1, open_low=True)
    rows = Rows.read(probabilities, labels, mode, weights, groups, level)
    found = SortedRows.of(rows.confidence, rows.outcome, rows.weights)
    value = smooth_error(residuals(found), bandwidth)
    return plug_in(value, rows, level)


def smooth_ece_null(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    mode: Mode = "top_label",
    weights: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
    replicates: int = 200,
) -> Estimate:
    r"""Return what :func:`smooth_ece` would be, were the model calibrated: :math:`a_i \sim c_i`.

    Args:
        probabilities: (N, C).
        labels: (N,), for the p-value.
        mode: As in :func:`smooth_ece`.
        weights: (N,).
        level: Which point ``high`` is.
        seed: Of the draws.
        replicates: Number of draws.

    Returns:
        ``value`` is the mean and ``high`` the ``level`` point of the null; ``low`` is 0;
        ``p_value`` is the chance of an error at least as large as the observed one.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> p = 0.5 + rng.random(1000) / 2
        >>> y = (rng.random(1000) > p).astype(int)
        >>> e = smooth_ece_null(np.stack([p, 1 - p], axis=1), y)
        >>> 0.01 < e.value < e.high < 0.05        # and yet this model is calibrated
        True
    """
    checks.check_choice("mode", mode, ("top_label", "positive"))
    checks.check_range("replicates", replicates, 1)
    rows = Rows.read(probabilities, labels, mode, weights, None, level)
    found = SortedRows.of(rows.confidence, rows.outcome, rows.weights)
    observed = smooth_error(residuals(found), None)
    return null(found, observed, rows, level=level, seed=seed, replicates=replicates)


def plug_in(value: float, rows: Rows, level: float) -> Estimate:
    """Return the smooth ECE as an estimate that has no interval of its own."""
    return intervals.undefined(_REASON, value=value, n=rows.n, level=level, n_groups=rows.n_groups)


def null(
    found: SortedRows,
    observed: float,
    rows: Rows,
    *,
    level: float,
    seed: int,
    replicates: int = 200,
) -> Estimate:
    """Return the null of rows sorted already; with groups only its mean, as rows are dependent."""
    spread = np.sqrt(_deposit(found, _NULL_GRID, variance=True))
    rng = np.random.default_rng(seed)
    errors = _fixed_points(rng.standard_normal((replicates, _NULL_GRID)) * spread)
    value = float(errors.mean())
    if rows.ids is not None:
        reason = "the null treats the rows of a group as independent"
        return intervals.undefined(
            reason, value=value, n=rows.n, level=level, n_groups=rows.n_groups
        )
    p_value = (1 + int(np.count_nonzero(errors >= observed))) / (1 + replicates)
    return Estimate(value, 0.0, float(np.quantile(errors, level)), rows.n, level, None, p_value)


def residuals(rows: SortedRows, *, grid: int = GRID) -> NDArray[np.float64]:
    """Return the mean residual that falls on each midpoint of the grid, (grid,)."""
    return _deposit(rows, grid, variance=False)


def smooth_error(cells: NDArray[np.float64], bandwidth: float | None) -> float:
    """Return the smooth error of residuals on a grid, at a bandwidth or at its fixed point.

    Example:
        >>> cells = np.zeros(100)
        >>> cells[50] = 0.3
        >>> round(smooth_error(cells, 0.05), 6)   # one sign: smoothing moves mass, it loses none
        0.3
    """
    if bandwidth is None:
        return float(_fixed_points(cells[None])[0])
    return float(_errors(np.fft.rfft(_mirrored(cells[None])), np.array([bandwidth]))[0])


def _deposit(rows: SortedRows, grid: int, *, variance: bool) -> NDArray[np.float64]:
    """Split each row's residual (or its variance if calibrated) between its two nearest midpoints."""
    cells = np.zeros(grid + 2)
    for p, hit, w in rows.chunks():
        value = p * (1 - p) if variance else p - hit
        if w is not None:
            value *= w * w if variance else w
        place = p * grid + 0.5
        index = place.astype(np.intp)
        part = (place - index) * value
        cells += np.bincount(index, value - part, grid + 2)
        cells[1:] += np.bincount(index, part, grid + 1)
    # Half a cell beyond either end is reflected.
    cells[1] += cells[0]
    cells[grid] += cells[grid + 1]
    total = rows.total
    return cells[1:-1] / (total * total if variance else total)


def _mirrored(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([cells, cells[..., ::-1]], axis=-1)


def _errors(
    spectrum: NDArray[np.complex128], bandwidth: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the smooth error of each row of spectra at its bandwidth, (R,)."""
    frequency = np.pi * np.arange(spectrum.shape[1])
    decay = np.exp(-0.5 * (bandwidth[:, None] * frequency) ** 2)
    smooth = np.fft.irfft(spectrum * decay)
    out: NDArray[np.float64] = np.abs(smooth[:, : smooth.shape[1] // 2]).sum(axis=1)
    return out


def _fixed_points(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bisect each row's bandwidth for where the error equals it: one falls, the other rises."""
    spectrum = np.fft.rfft(_mirrored(cells))
    low, high = np.zeros(len(cells)), np.ones(len(cells))
    steps = _STEPS if len(cells) == 1 else 14
    for _ in range(steps):
        middle = (low + high) / 2
        above = _errors(spectrum, middle) > middle
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return (low + high) / 2
