r"""Intervals for calibration error, by inverting a test of each possible error.

**What the interval is for.** Rows fall into bins b with shares :math:`\pi_b`; in each the true gap
is :math:`\delta_b = E[p - y \mid b]`. The truth is the *binned calibration error of the
distribution*, :math:`\psi = \sum_b \pi_b |\delta_b|` (l1) or
:math:`(\sum_b \pi_b \delta_b^2)^{1/2}` (l2), for the binning used (for equal-mass bins: for the
edges found). It is a lower bound on the error without bins.

**Why not a bootstrap.** The plug-in error T of the sample is biased upwards: noise in a bin has an
absolute value. Resampling adds the noise once more, so a percentile interval around T covers the
truth of a calibrated model with probability 0.

**What is done.** A value :math:`\psi` is kept where T is not surprising under it: T lies above the
:math:`\alpha/2` point and below the :math:`1 - \alpha/2` point of its distribution at gaps with error
:math:`\psi`. Which gaps these are is a nuisance, and each end takes a shape near its worst case:

* *lower end, l1*: the observed gaps shrunk by a non-negative garrote, which empties the doubtful
  bins first. Empty bins have the largest upward bias, so a large T is explained by the smallest
  error that can;
* *upper end, l1*: an equal number of standard errors in every bin, but no bin below what it shows
  by itself: errors hide best when spread out;
* *l2*: the observed gaps scaled, since the distribution of T depends on their shape only through
  unequal variances.

T is simulated as the norm of normal bin sums. Their variance is that of the hypothesis (as in
Wilson's interval), :math:`E[q(1-q)]` at :math:`q = p - \delta_b`, and the shares of bins vary too;
with groups it is the cluster-robust covariance over bins, with a multivariate t for few groups.
An upper end is never pulled down by a T that is small by luck: T counts as at least the 16 % point
of its distribution in a calibrated model (a power-constrained limit).

The value in l1 is the :math:`\psi` under which T would be the median, with the lower end's shapes:
0 for half of all calibrated models. ``benchmarks/interval_coverage.py`` measures the coverage.

References:
    Chuang and Lai, Hybrid resampling methods for confidence intervals, Statistica Sinica (2000).
    Breiman, Better subset regression using the nonnegative garrote, Technometrics (1995).
    Cowan, Cranmer, Gross and Vitells, Power-constrained limits, arXiv:1105.3166 (2011).
    Cai and Low, Testing composite hypotheses, Hermite polynomials and optimal estimation of a
    nonsmooth functional, Annals of Statistics (2011): why no unbiased estimate of l1 exists.
    Kumar, Liang and Ma, Verified uncertainty calibration, NeurIPS (2019): the debiased l2 error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uncertain.evaluation.calibration_bins import BinTable

Norm = Literal["l1", "l2"]

_STEPS = 18
"""Halvings of a bracket: the ends are found to 4e-6 of it, well below the draws' own noise."""
_SURE = 2.5
"""Standard errors below its observed gap that a bin keeps when errors are spread for the upper end."""
_POWER = 0.16
"""The quantile of a calibrated model's error below which an observed error does not count."""
_FEW = 25.0
"""Expected variance of a bin's count below which its null is drawn as a binomial, not a normal."""
_BLOCK = 1 << 16


class Clusters(NamedTuple):
    """Cluster-robust law of the bins' gaps.

    Attributes:
        deviation: Standard deviation of each bin's gap, (B,).
        root: (B, B), ``root @ root.T`` is the correlation of the gaps.
        groups: Independent groups.
    """

    deviation: NDArray[np.float64]
    root: NDArray[np.float64]
    groups: int


class Bounds(NamedTuple):
    """A calibration error with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class GapModel:
    """The sampling law of a table's gaps. ``table`` has no empty bins."""

    table: BinTable
    clusters: Clusters | None = None

    @property
    def size(self) -> NDArray[np.float64]:
        """Effective rows of each bin, ``(sum w)^2 / sum w^2``, (B,)."""
        return np.asarray(self.table.weight**2 / self.table.squared_weight)

    @property
    def total(self) -> float:
        """Effective rows of all bins."""
        return float(self.table.weight.sum() ** 2 / self.table.squared_weight.sum())

    def statistic(self, norm: Norm) -> float:
        """The plug-in calibration error."""
        return float(_norm(self.table.gap[:, None], self.table.share, norm)[0])

    def deviation(self, gap: NDArray[np.float64]) -> NDArray[np.float64]:
        """Standard deviation of each bin's observed gap if the true sizes are ``gap``, (B,).

        The direction is the observed one, unless the frequency would leave [0, 1].
        """
        independent = self.independent(gap)
        if self.clusters is None:
            return independent
        return np.asarray(np.maximum(independent, self.clusters.deviation))

    def effect(self) -> NDArray[np.float64]:
        """Design effect of the groups on each bin, from 1 to its rows, (B,)."""
        if self.clusters is None:
            return np.ones(len(self.table.count))
        alone = self.independent(np.abs(self.table.gap))
        ratio = self.clusters.deviation / np.where(alone > 0, alone, np.inf)
        return np.asarray(np.clip(ratio**2, 1.0, np.maximum(self.size, 1.0)))

    def independent(self, gap: NDArray[np.float64]) -> NDArray[np.float64]:
        """As :meth:`deviation`, of independent rows."""
        t = self.table
        size = gap / t.share
        over = (t.gap >= 0) | (size > 1 - t.confidence)
        signed = np.where(over, size, -size)
        variance = t.null_variance - signed * (1 - 2 * t.confidence) - signed**2
        return np.asarray(t.share * np.sqrt(np.maximum(variance, 0.0) / self.size))

    def scale(self) -> NDArray[np.float64]:
        """A standard deviation of each bin that is never 0: the null's, or two hits and misses more."""
        t, n = self.table, self.size
        frequency = (t.frequency * n + 2) / (n + 4)
        observed = t.share * np.sqrt(frequency * (1 - frequency) / (n + 4))
        return np.maximum(self.deviation(np.zeros(len(n))), observed)


class Draws(NamedTuple):
    """Standard normal draws that all hypotheses share.

    Attributes:
        bins: (B, R), with the clusters' correlation where there is one.
        shares: (R,), for the sampling of the bins' shares; zero with clusters, whose law has it.
    """

    bins: NDArray[np.float64]
    shares: NDArray[np.float64]


def draw(model: GapModel, *, seed: int, replicates: int) -> Draws:
    """Return ``2 * replicates`` antithetic draws for the bins of ``model``."""
    rng = np.random.default_rng(seed)
    bins = len(model.table.count)
    half = rng.standard_normal((bins, replicates))
    shares = rng.standard_normal(replicates)
    both = np.concatenate([half, -half], axis=1)
    if model.clusters is None:
        return Draws(both, np.concatenate([shares, shares]))
    df = model.clusters.groups - 1
    spread = np.sqrt(rng.chisquare(df, replicates) / df)
    both = (model.clusters.root @ both) / np.concatenate([spread, spread])
    return Draws(both, np.zeros(2 * replicates))


def bounds(model: GapModel, draws: Draws, *, norm: Norm, level: float) -> Bounds:
    """Return the interval of the true binned error, and the value at which T is the median."""
    alpha = 1 - level
    observed, scale = model.statistic(norm), model.scale()
    null = _norm(scale[:, None] * draws.bins, model.table.share, norm)
    floor = max(observed, float(np.quantile(null, _POWER)))
    shrunk, spread = _shapes(model, scale, norm)
    low = _solve(model, draws, norm, shrunk, observed, 1 - alpha / 2)
    value = _solve(model, draws, norm, shrunk, observed, 0.5)
    high = _solve(model, draws, norm, spread, floor, alpha / 2)
    return Bounds(value, min(low, value), max(high, value))


def null_errors(model: GapModel, draws: Draws, *, norm: Norm, seed: int) -> NDArray[np.float64]:
    """Return plug-in errors of calibrated models with these confidences, (R,).

    Bin sums are normal with the exact variance ``sum p (1 - p)``; where that is small, a binomial
    with the bin's mean confidence, scaled to that variance, has the right shape at no more cost.
    With groups: normal, with each bin's design effect and the clusters' correlation.
    """
    t = model.table
    calibrated = model.independent(np.zeros(len(t.count))) * np.sqrt(model.effect())
    gaps = calibrated[:, None] * draws.bins
    if model.clusters is None:
        rng = np.random.default_rng(seed)
        p = np.clip(t.confidence, 0.0, 1.0)
        # A mean confidence that rounds to 0 or 1 has no binomial to scale: it stays normal.
        few = (t.null_variance * t.count < _FEW) & (t.null_variance > 0) & (p * (1 - p) > 0)
        n, p, share = t.count[few], p[few], t.share[few]
        hits = rng.binomial(n[:, None], p[:, None], (len(n), draws.bins.shape[1]))
        stretch = np.sqrt(t.null_variance[few] / (p * (1 - p)) * n / model.size[few])
        gaps[few] = (share * stretch)[:, None] * (hits / n[:, None] - p[:, None])
    return _norm(gaps, t.share, norm)


def clusters(
    table: BinTable,
    index: NDArray[np.intp],
    residual: NDArray[np.float64],
    weights: NDArray[np.float64],
    ids: NDArray[np.intp],
) -> Clusters:
    """Return the cluster-robust law of the gaps of ``table``, all of whose bins are filled.

    Args:
        table: With B bins.
        index: Bin of each row, (N,).
        residual: ``confidence - outcome``, (N,).
        weights: Row weights, (N,).
        ids: Group of each row, 0..G-1, *sorted*, (N,).
    """
    bins, groups = len(table.count), int(ids[-1]) + 1
    total = float(table.weight.sum())
    covariance = np.zeros((bins, bins))
    for first in range(0, groups, _BLOCK):
        last = min(first + _BLOCK, groups)
        rows = slice(*np.searchsorted(ids, [first, last]))
        cell = (ids[rows] - first) * bins + index[rows]
        size = (last - first) * bins
        sums = np.bincount(cell, weights[rows] * residual[rows], size).reshape(-1, bins)
        weight = np.bincount(ids[rows] - first, weights[rows], last - first)
        influence = sums - weight[:, None] * table.gap
        covariance += influence.T @ influence
    covariance *= groups / max(groups - 1, 1) / total**2
    deviation = np.sqrt(np.diag(covariance))
    unit = np.where(deviation > 0, deviation, 1.0)
    correlation = covariance / np.outer(unit, unit)
    np.fill_diagonal(correlation, 1.0)
    values, vectors = np.linalg.eigh(correlation)
    return Clusters(deviation, vectors * np.sqrt(np.maximum(values, 0.0)), groups)


Shape = tuple[Callable[[float], NDArray[np.float64]], float, float]
"""Gaps as a function of a dial, and the dial's ends: from the smallest error to the largest."""


def _shapes(model: GapModel, scale: NDArray[np.float64], norm: Norm) -> tuple[Shape, Shape]:
    size = np.abs(model.table.gap)
    if norm == "l2":
        # A table without any gap still needs a direction to look in.
        shape = size if size.any() else scale
        reach = _norm(scale[:, None], model.table.share, norm)[0]
        top = 1 + 8 * reach / _norm(shape[:, None], model.table.share, norm)[0]
        scaled: Shape = (lambda dial: shape * dial, 0.0, float(top))
        return scaled, scaled
    nonzero = np.where(size > 0, size, 1.0)
    # A little beyond the last bin to go, so that rounding leaves exactly no gap there.
    start = float((size / scale).max()) * (1 + 1e-9)

    def garrote(dial: float) -> NDArray[np.float64]:
        return np.maximum(size - (dial * scale) ** 2 / nonzero, 0.0)

    base = np.maximum(size - _SURE * scale, 0.0)

    def spread(dial: float) -> NDArray[np.float64]:
        return np.maximum(base, dial * scale)

    return (garrote, start, 0.0), (spread, 0.0, start + 8.0)


def _solve(
    model: GapModel, draws: Draws, norm: Norm, shape: Shape, observed: float, probability: float
) -> float:
    """Return the error at which ``P(T <= observed) = probability``; 0 where all make it smaller."""
    gaps, low, high = shape
    share = model.table.share

    def below(dial: float) -> float:
        gap = gaps(dial)
        noisy = gap[:, None] + model.deviation(gap)[:, None] * draws.bins
        simulated = _norm(noisy, share, norm)
        simulated = simulated + _share_noise(gap / share, share, norm, model.total) * draws.shares
        return float(np.mean(simulated <= observed))

    if below(low) >= probability:
        for _ in range(_STEPS):
            middle = (low + high) / 2
            low, high = (middle, high) if below(middle) >= probability else (low, middle)
    return float(_norm(gaps(low)[:, None], share, norm)[0])


def _share_noise(
    size: NDArray[np.float64], share: NDArray[np.float64], norm: Norm, total: float
) -> float:
    """Standard deviation of the error that comes from the bins' shares alone."""
    error = size if norm == "l1" else size**2
    mean = float(share @ error)
    variance = max(float(share @ error**2) - mean**2, 0.0) / total
    if norm == "l1":
        return float(np.sqrt(variance))
    return float(np.sqrt(variance) / (2 * np.sqrt(mean))) if mean > 0 else 0.0


def _norm(gaps: NDArray[np.float64], share: NDArray[np.float64], norm: Norm) -> NDArray[np.float64]:
    """Return the error of each column of ``gaps`` (B, R), (R,)."""
    if norm == "l1":
        return np.asarray(np.abs(gaps).sum(axis=0))
    return np.asarray(np.sqrt((gaps * gaps / share[:, None]).sum(axis=0)))
