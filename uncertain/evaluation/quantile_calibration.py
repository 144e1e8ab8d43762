r"""Are quantiles right at every level? The distance of the PIT from uniform, in root mean square.

A model is calibrated where a share :math:`p` of the targets lies below its p-quantile, at every
:math:`p`. With :math:`\hat p(p)` the observed share,

.. math:: \mathrm{QCE} = \Big( \int_0^1 (\hat p(p) - p)^2 \, dp \Big)^{1/2},

the error of Kuleshov, Fenner and Ermon (2018, equation 9) with equal weights, in the limit of all
levels, and its root, so that it is in units of probability. :math:`\hat p` is the distribution
function of the PIT values (non-randomised where there are steps), so nothing is binned: neither the
levels nor the predicted spreads, and a constant spread is an ordinary case.

For continuous predictions :math:`n\,\mathrm{QCE}^2` is the Cramer-von Mises statistic, which gives
the p-value and the null level. The interval holds for any truth: :math:`\hat p` lies within a
distance r of its expectation (in root mean square) with the nominal probability, and by the triangle
inequality so does its distance from the diagonal; r is the quantile of a weighted sum of chi-squares,
by its two first moments.

References:
    Kuleshov, Fenner and Ermon, Accurate uncertainties for deep learning using calibrated regression,
    ICML (2018).
    Anderson and Darling, Asymptotic theory of certain goodness of fit criteria based on stochastic
    processes, Annals of Mathematical Statistics (1952).
    Massart, The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality, Annals of Probability
    (1990).
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain.evaluation.discrete_pit import (
    PitCurve,
    can_be_drawn,
    has_steps,
    largest_gap,
    null_gaps,
    pit_curve,
    rms_gap,
    target_bounds,
)
from uncertain.evaluation.pit import as_arrays, checked_target, pooled
from uncertain.families import ArrayDistribution
from uncertain.intervals import (
    Estimate,
    check_level,
    check_weights,
    effective_rows,
    group_ids,
)

if TYPE_CHECKING:
    from torch.distributions import Distribution

_GRID = 128
_NOT_KNOWN = "a mixture of samples or quantiles: the law of its PIT is not known"


class PitFigures(NamedTuple):
    """What PIT values say, from one pass over them."""

    pit_ks: Estimate
    quantile_calibration_error: Estimate
    quantile_calibration_error_null: Estimate


def quantile_calibration_error(
    distribution: ArrayDistribution | Distribution,
    target: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[Estimate, Estimate]:
    """Return the quantile calibration error, and what it would be if the model were calibrated.

    Args:
        distribution: N predictions over numbers, as arrays or of torch.
        target: (N,) or (N, T).
        weights: (N,).
        groups: (N,), the resampling unit of each row.
        level: Nominal coverage.
        seed: Of the draws behind the p-value of stepped predictions.

    Returns:
        The error with interval and p-value; and its null, the mean and (as ``high``) the quantile
        at ``level`` under right predictions.

    Raises:
        TypeError: For classes without order and for joint distributions.
        ValueError: Lengths differ, NaN.

    Example:
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(400), "scale": np.ones(400)})
        >>> y = np.random.default_rng(0).normal(0, 2, 400)           # twice as wide as it says
        >>> error, null = quantile_calibration_error(d, y)
        >>> error.low > null.high
        True
    """
    found = pit_figures(
        distribution, target, weights=weights, groups=groups, level=level, seed=seed
    )
    return found.quantile_calibration_error, found.quantile_calibration_error_null


def pit_ks(
    distribution: ArrayDistribution | Distribution,
    target: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    r"""Return the Kolmogorov-Smirnov distance of the PIT values from uniform.

    The p-value is Kolmogorov's with Stephens' finite-sample correction; where predictions have steps
    it comes from targets drawn from them, the distance being that of the non-randomised PIT. The
    interval is Massart's, :math:`D \pm \sqrt{\log(2/\alpha)/(2n)}`, valid for any truth. With
    weights or groups n is their effective number, a group counting as one row (conservative).

    Args:
        distribution: N predictions over numbers, as arrays or of torch.
        target: (N,) or (N, T).
        weights: (N,).
        groups: (N,).
        level: Of Massart's interval.
        seed: Of the draws behind the p-value of stepped predictions.

    Example:
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(400), "scale": np.ones(400)})
        >>> shifted = np.random.default_rng(0).normal(0.5, 1, 400)
        >>> pit_ks(d, shifted).p_value < 1e-6
        True
    """
    return pit_figures(
        distribution, target, weights=weights, groups=groups, level=level, seed=seed
    ).pit_ks


def pit_figures(
    distribution: ArrayDistribution | Distribution,
    target: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> PitFigures:
    """Return the figures of PIT values together, which share their draws."""
    check_level(level)
    d = as_arrays(distribution)
    y = checked_target(d, target)
    low, high = target_bounds(d, y)
    ends, w, ids = pooled(low, weights, groups)
    curve = pit_curve(ends, high.reshape(-1), weights=w)
    n = effective_rows(check_weights(w, len(ends)), groups=ids)
    gaps = _null_gaps(d, weights, independent=ids is None, seed=seed)
    known = not has_steps(d) or can_be_drawn(d)
    facts = _Facts(len(y), n, level, None if groups is None else int(group_ids(groups).max()) + 1)
    return PitFigures(
        _largest(curve, gaps, facts, known),
        _rms(curve, gaps, facts, known),
        _null(gaps, facts, known),
    )


class _Facts(NamedTuple):
    rows: int
    effective: float
    level: float
    n_groups: int | None


def _null_gaps(
    distribution: ArrayDistribution, weights: ArrayLike | None, *, independent: bool, seed: int
) -> NDArray[np.float64]:
    drawn = has_steps(distribution) and can_be_drawn(distribution) and independent
    if drawn and distribution.event_shape == ():
        return null_gaps(distribution, weights=weights, seed=seed)
    return np.zeros((0, 2))


def _p_value(distance: float, gaps: NDArray[np.float64], law: float, known: bool) -> float | None:
    if not known:
        return None
    if not len(gaps):
        return min(1.0, max(0.0, law))
    # Rounding must not make a distance less than itself.
    return float(1 + np.sum(gaps >= distance * (1 - 1e-9))) / (len(gaps) + 1)


def _largest(curve: PitCurve, gaps: NDArray[np.float64], facts: _Facts, known: bool) -> Estimate:
    distance, n = largest_gap(curve), facts.effective
    slack = math.sqrt(math.log(2 / (1 - facts.level)) / (2 * n))
    p_value = _p_value(distance, gaps[:, 0], kolmogorov_p_value(distance, n), known)
    return _estimate(distance, slack, p_value, facts, known)


def _rms(curve: PitCurve, gaps: NDArray[np.float64], facts: _Facts, known: bool) -> Estimate:
    distance, n = rms_gap(curve), facts.effective
    p_value = _p_value(distance, gaps[:, 1], 1 - cramer_von_mises_cdf(n * distance**2), known)
    return _estimate(distance, _radius(curve, facts), p_value, facts, known)


def _estimate(
    distance: float, slack: float, p_value: float | None, facts: _Facts, known: bool
) -> Estimate:
    return Estimate(
        distance,
        max(0.0, distance - slack),
        min(1.0, distance + slack),
        facts.rows,
        facts.level,
        facts.n_groups,
        p_value,
        "" if known else _NOT_KNOWN,
    )


def _radius(curve: PitCurve, facts: _Facts) -> float:
    """Return how far, in root mean square, the curve lies from its expectation at most."""
    from scipy.special import gammaincinv

    values = curve.values((np.arange(_GRID) + 0.5) / _GRID)
    # Of a step function; a curve without jumps varies less.
    covariance = np.minimum.outer(values, values) - np.outer(values, values)
    total = float(np.trace(covariance)) / _GRID
    squares = float((covariance**2).sum()) / _GRID**2
    if total <= 0:
        return 0.5 / math.sqrt(facts.effective)
    scale, df = squares / total, total**2 / squares
    return math.sqrt(2 * scale * float(gammaincinv(df / 2, facts.level)) / facts.effective)


def _null(gaps: NDArray[np.float64], facts: _Facts, known: bool) -> Estimate:
    if not known:
        nan = math.nan
        return Estimate(nan, nan, nan, facts.rows, facts.level, facts.n_groups, reason=_NOT_KNOWN)
    if len(gaps):
        mean, high = float(gaps[:, 1].mean()), float(np.quantile(gaps[:, 1], facts.level))
    else:
        x, cdf = _root_law()
        root = math.sqrt(facts.effective)
        mean = float(np.trapezoid(1 - cdf, x)) / root
        high = float(np.interp(facts.level, cdf, x)) / root
    return Estimate(mean, 0.0, high, facts.rows, facts.level, facts.n_groups)


@cache
def _root_law() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The distribution function of the root of the limiting statistic, on a grid."""
    x = np.linspace(0, 2, 2001)
    cdf = np.array([cramer_von_mises_cdf(float(value) ** 2) for value in x])
    return x, np.maximum.accumulate(cdf)


def cramer_von_mises_cdf(x: float) -> float:
    """Return the limiting distribution function of the Cramer-von Mises statistic.

    References:
        Anderson and Darling (1952), equation (4.35).

    Example:
        >>> round(cramer_von_mises_cdf(0.46136), 4)
        0.95
    """
    from scipy.special import gammaln, kve

    if x <= 0.008:
        return 0.0
    j = np.arange(max(20, int(4 * math.sqrt(x)) + 20), dtype=np.float64)
    argument = (4 * j + 1) ** 2 / (16 * x)
    logs = gammaln(j + 0.5) - gammaln(j + 1) + 0.5 * np.log(4 * j + 1) - 2 * argument
    terms = np.exp(logs) * kve(0.25, argument)
    return float(min(1.0, terms.sum() / (math.pi**1.5 * math.sqrt(x))))


def kolmogorov_p_value(distance: float, n: float) -> float:
    """Return the chance of a Kolmogorov-Smirnov distance this large among n uniform values.

    References:
        Stephens, Use of the Kolmogorov-Smirnov, Cramer-von Mises and related statistics without
        extensive tables, JRSS B (1970).

    Example:
        >>> round(kolmogorov_p_value(1.358 / 100, 10_000), 2)
        0.05
    """
    from scipy.special import kolmogorov

    scaled = distance * (math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n))
    return float(kolmogorov(scaled))
