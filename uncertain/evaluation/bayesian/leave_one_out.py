r"""Leave-one-out prediction from one posterior: importance sampling, its diagnostic, and its PIT.

Draws :math:`\theta_s` of the posterior of all rows stand for that without row i when weighted by
:math:`1 / p(y_i \mid \theta_s)`. The largest weights are smoothed by a fitted Pareto tail, whose
shape :math:`\hat k` says whether that can work: above min(1 - 1/log10 S, 0.7) the row moves the
posterior too far, and its figure can't be trusted. Weights and shapes come from ``arviz-stats``.

References:
    Vehtari, Gelman and Gabry, Practical Bayesian model evaluation using leave-one-out cross-validation
    and WAIC, Statistics and Computing (2017).
    Vehtari, Simpson, Gelman, Yao and Gabry, Pareto smoothed importance sampling, JMLR (2024).
    Gelfand, Dey and Chang, Model determination using predictive distributions with implementation via
    sampling-based methods, Bayesian Statistics 4 (1992) (the LOO-PIT).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain.checks import check_finite, check_not_empty, check_range, check_shape, require
from uncertain.evaluation.discrete_pit import largest_gap, pit_curve
from uncertain.evaluation.quantile_calibration import kolmogorov_p_value
from uncertain.intervals import Estimate, check_level, mean

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LeaveOneOut:
    """Leave-one-out prediction of N rows from S draws.

    Attributes:
        elpd: Mean log density of a row that was left out, nats, with its interval over rows; the
            reason counts the rows whose k-hat is too large.
        pointwise: The log density of each, (N,).
        pareto_k: k-hat of each row, (N,).
        log_weights: Normalised log weights of the draws without each row, (N, S).
        threshold: Above which a k-hat is too large.
        effective_parameters: How much the posterior was moved by the rows: the sum of the in-sample
            log densities less that of the left-out ones.
    """

    elpd: Estimate
    pointwise: Floats
    pareto_k: Floats
    log_weights: Floats
    threshold: float
    effective_parameters: float

    @property
    def failed(self) -> NDArray[np.intp]:
        """The rows whose k-hat is too large: refit without them."""
        return np.flatnonzero(~(self.pareto_k <= self.threshold))


def psis_loo(
    log_likelihood: ArrayLike, *, relative_efficiency: float = 1.0, level: float = 0.95
) -> LeaveOneOut:
    """Return leave-one-out densities by Pareto-smoothed importance sampling.

    Args:
        log_likelihood: (S, N): log p(y_i | theta_s) for each draw and row, at least 100 draws.
        relative_efficiency: Effective draws over S, in (0, 1]; below 1 for autocorrelated chains.
        level: Nominal coverage of the interval.

    Raises:
        ModuleNotFoundError: ``arviz-stats`` is not installed.
        ValueError: NaN or infinity, too few draws, a wrong shape.

    Example:
        >>> y = np.random.default_rng(0).normal(size=50)
        >>> mean = np.random.default_rng(1).normal(y.mean(), 1 / np.sqrt(50), (400, 1))
        >>> loo = psis_loo(-0.5 * (y - mean) ** 2 - 0.5 * np.log(2 * np.pi))
        >>> len(loo.failed), round(loo.effective_parameters)
        (0, 1)
    """
    check_level(level)
    check_range("relative_efficiency", relative_efficiency, 0, 1, open_low=True)
    values = np.asarray(log_likelihood, dtype=np.float64)
    check_shape("log_likelihood", values, ("S", "N"), hint="draws first")
    check_not_empty("log_likelihood", values)
    check_range("the number of draws", len(values), 100, hint="a tail needs some to be fitted")
    check_finite("log_likelihood", values)
    array_stats = require("arviz_stats.base", "bayesian").array_stats
    log_weights, shapes = array_stats.psislw(values.T, r_eff=relative_efficiency, axis=-1)
    log_weights = np.asarray(log_weights - _log_sum_exp(log_weights)[:, None], dtype=np.float64)
    pointwise = _log_sum_exp(log_weights + values.T)
    inside = _log_sum_exp(values.T) - math.log(len(values))
    k = np.asarray(shapes, dtype=np.float64)
    threshold = min(1 - 1 / math.log10(len(values)), 0.7)
    failed = int(np.sum(~(k <= threshold)))
    reason = (
        f"{failed} of {len(k)} rows have a Pareto k-hat above {threshold:.2f}: refit without them"
    )
    elpd = mean(pointwise, level=level)
    return LeaveOneOut(
        elpd._replace(reason=elpd.reason or reason) if failed else elpd,
        pointwise,
        k,
        log_weights,
        threshold,
        float((inside - pointwise).sum()),
    )


def loo_pit(
    loo: LeaveOneOut, below: ArrayLike, upto: ArrayLike | None = None
) -> tuple[Floats, Floats]:
    """Return P(Y < y) and P(Y <= y) of each row under the posterior without it, each (N,).

    Args:
        loo: From :func:`psis_loo`.
        below: (S, N): the cdf of row i's target under draw s (just below it, for counts); or whether
            a replicated target lies below it.
        upto: (S, N): the same with the target itself; ``below`` where nothing has mass.

    Raises:
        ValueError: Shapes differ from the draws', or values leave [0, 1].

    Example:
        >>> y = np.random.default_rng(0).normal(size=50)
        >>> mean = np.random.default_rng(1).normal(y.mean(), 1 / np.sqrt(50), (400, 1))
        >>> from scipy.special import ndtr
        >>> low, high = loo_pit(psis_loo(-0.5 * (y - mean) ** 2), ndtr(y - mean))
        >>> low.shape, bool((low == high).all())
        ((50,), True)
    """
    rows, draws = loo.log_weights.shape
    weights = np.exp(loo.log_weights)
    ends = []
    for label, given in (("below", below), ("upto", below if upto is None else upto)):
        cdf = np.asarray(given, dtype=np.float64)
        check_shape(label, cdf, (draws, rows), hint="as the log-likelihood")
        check_range(label, cdf, 0, 1)
        ends.append(np.clip((weights * cdf.T).sum(axis=1), 0.0, 1.0))
    return ends[0], ends[1]


def loo_pit_test(low: ArrayLike, high: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Test whether leave-one-out PIT values are uniform, by their Kolmogorov-Smirnov distance.

    The values share all but one row of their posteriors, so they are not quite independent: the
    p-value is approximate, and on the large side where the model has many parameters for its rows.
    Where there are steps the non-randomised PIT is tested by the law of continuous ones, on the large
    side too.

    Args:
        low: From :func:`loo_pit`, (N,).
        high: (N,).
        level: Of Massart's interval.

    Example:
        >>> u = np.random.default_rng(0).random(200)
        >>> loo_pit_test(u, u).p_value > 0.05, loo_pit_test(u**2, u**2).p_value < 0.001
        (True, True)
    """
    check_level(level)
    curve = pit_curve(low, high)
    n = len(np.asarray(low))
    distance = largest_gap(curve)
    slack = math.sqrt(math.log(2 / (1 - level)) / (2 * n))
    p_value = min(1.0, kolmogorov_p_value(distance, n))
    ends = max(0.0, distance - slack), min(1.0, distance + slack)
    return Estimate(distance, *ends, n, level, None, p_value)


def _log_sum_exp(values: Floats) -> Floats:
    top = values.max(axis=-1, keepdims=True)
    return np.asarray(np.log(np.exp(values - top).sum(axis=-1)) + top[..., 0])
