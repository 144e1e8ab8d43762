r"""Calibration: what is predicted with probability p should come true in a share p of the cases.

| figure | what it is | its interval |
|---|---|---|
| :func:`ece` | the plug-in expected calibration error | none: it is biased upwards, see its null |
| :func:`ece_null` | mean and 95 % point of the plug-in ECE of a calibrated model | from 0 to that point |
| :func:`ece_debiased` | the true binned error, from a test of each value | covers it, may hold 0 |
| :func:`rms_calibration_error_debiased` | the same in root mean square (Kumar et al. 2019) | likewise |

The diagram behind them is :func:`uncertain.evaluation.reliability.reliability`.

``mode="top_label"`` bins the largest probability, and the outcome is that its class is the label.
``mode="positive"`` is for two classes: it bins the probability of class 1 (what torchmetrics calls
binary). ``mode="classwise"`` bins each class's probability and averages over classes; it has a
plug-in error and a null, no debiased estimate. Binnings are those of
:mod:`uncertain.evaluation.calibration_bins`.

Axis letters: ``N`` rows, ``C`` classes, ``B`` bins.

References:
    Naeini, Cooper and Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning,
    AAAI (2015). Guo et al., On calibration of modern neural networks, ICML (2017).
    Kull et al., Beyond temperature scaling, NeurIPS (2019): classwise.
    Kumar, Liang and Ma, Verified uncertainty calibration, NeurIPS (2019).
    Roelofs et al., Mitigating bias in calibration error estimation, AISTATS (2022).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from uncertain import checks
from uncertain.evaluation import calibration_intervals as inversion
from uncertain.evaluation.calibration_bins import BINNINGS, Binning
from uncertain.evaluation.calibration_rows import (
    BIASED,
    Mode,
    Rows,
    adaptive_error,
    check_draws,
    classwise_error,
    classwise_null,
    classwise_tables,
    gap_model,
    inverted,
    null_estimate,
    plug_in,
)
from uncertain.intervals import Estimate


def ece(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    binning: Binning = "equal_width",
    bins: int = 15,
    mode: Mode = "top_label",
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    r"""Return the plug-in expected calibration error, without an interval.

    .. math:: \sum_b \frac{n_b}{N} \left| \mathrm{conf}_b - \mathrm{acc}_b \right|

    A calibrated model's is not 0: read it beside :func:`ece_null`, or read :func:`ece_debiased`.

    Args:
        probabilities: (N, C), rows summing to one.
        labels: Class indices, (N,).
        binning: ``"equal_width"`` (edges k / bins) or ``"equal_mass"`` (ties stay together).
        bins: How many, at least 1.
        mode: What is binned; see the module.
        weights: Non-negative row weights, (N,).
        groups: Only counted here; they change the null and the intervals.
        level: Reported with the estimate.

    Raises:
        ValueError: As :func:`uncertain.evaluation.classification.accuracy`, for an unknown
            ``binning`` or ``mode``, and for ``mode="positive"`` without exactly two classes.

    Example:
        >>> e = ece([[0.9, 0.1], [0.9, 0.1]], [0, 1])
        >>> round(e.value, 6), e.low
        (0.4, nan)
    """
    rows = Rows.read(probabilities, labels, mode, weights, groups, level)
    if mode == "classwise":
        checks.check_choice("binning", binning, BINNINGS)
        value = classwise_error(
            classwise_tables(probabilities, labels, rows, bins, (binning,))[binning]
        )
    else:
        value = float(np.abs(gap_model(rows, binning, bins, cluster=False).table.gap).sum())
    return plug_in(value, rows, level)


def adaptive_calibration_error(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    bins: int = 15,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    r"""Return the adaptive calibration error of Nixon et al., without an interval.

    .. math:: \frac{1}{C R} \sum_c \sum_r \left| \mathrm{acc}(r, c) - \mathrm{conf}(r, c) \right|

    where the R ranges of class c hold equal numbers of its probabilities, all classes' and not only
    the top one's. Equal probabilities stay in one range, so ties leave fewer. "ACE" elsewhere is often
    the equal-mass ECE of the top label, which is ``ece(binning="equal_mass")`` here. Most of many
    classes' probabilities are near 0, and so are their gaps: with C classes it is of the order 1 / C.

    Args:
        probabilities: (N, C), rows summing to one.
        labels: Class indices, (N,).
        bins: R, at least 1.
        weights: Non-negative row weights, (N,); ranges still hold equal numbers of rows.
        groups: Only counted here.
        level: Reported with the estimate.

    Raises:
        ValueError: As :func:`ece`.

    References:
        Nixon, Dusenberry, Zhang, Jerfel and Tran, Measuring calibration in deep learning, CVPR
        workshops (2019), section 3.3.

    Example:
        >>> round(adaptive_calibration_error([[0.9, 0.1], [0.6, 0.4]], [0, 1], bins=2).value, 6)
        0.35
    """
    rows = Rows.read(probabilities, labels, "classwise", weights, groups, level)
    tables = classwise_tables(probabilities, labels, rows, bins, ("equal_mass",))["equal_mass"]
    return plug_in(adaptive_error(tables), rows, level, reason=BIASED)


def ece_null(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    binning: Binning = "equal_width",
    bins: int = 15,
    mode: Mode = "top_label",
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
    replicates: int = 1000,
) -> Estimate:
    r"""Return what :func:`ece` would be, were the model calibrated: :math:`y_i \sim p_i`.

    Args:
        probabilities: (N, C).
        labels: (N,). They enter with groups only, through the dependence inside a group.
        binning: As in :func:`ece`.
        bins: As in :func:`ece`.
        mode: As in :func:`ece`. Classes are drawn independently in ``"classwise"``, which leaves
            the mean right and the upper point a little too near to it.
        weights: (N,).
        groups: (N,).
        level: Which point ``high`` is.
        seed: Of the draws.
        replicates: Half the number of draws.

    Returns:
        ``value`` is the mean and ``high`` the ``level`` point of the null; ``low`` is 0;
        ``p_value`` is the chance of an ECE at least as large as the observed one.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> p = 0.5 + rng.random(1000) / 2
        >>> y = (rng.random(1000) > p).astype(int)
        >>> e = ece_null(np.stack([p, 1 - p], axis=1), y)
        >>> 0.02 < e.value < 0.04 < e.high       # and yet this model is calibrated
        True
    """
    check_draws(replicates)
    rows = Rows.read(probabilities, labels, mode, weights, groups, level)
    if mode == "classwise":
        checks.check_choice("binning", binning, BINNINGS)
        tables = classwise_tables(probabilities, labels, rows, bins, (binning,))[binning]
        return classwise_null(tables, rows, level, seed, replicates)
    model = gap_model(rows, binning, bins)
    return null_estimate(
        model, inversion.draw(model, seed=seed, replicates=replicates), rows, level, seed
    )


def ece_debiased(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    binning: Binning = "equal_width",
    bins: int = 15,
    mode: Literal["top_label", "positive"] = "top_label",
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
    replicates: int = 1000,
) -> Estimate:
    r"""Return the binned calibration error :math:`\sum_b \pi_b |E[p - y \mid b]|` of the truth.

    The value is the error under which the plug-in ECE would be the median; half of all calibrated
    models get 0. The interval inverts a test (:mod:`uncertain.evaluation.calibration_intervals`);
    ``p_value`` is that of calibration, as in :func:`ece_null`.

    Args:
        probabilities: (N, C), rows summing to one.
        labels: Class indices, (N,).
        binning: As in :func:`ece`.
        bins: As in :func:`ece`.
        mode: As in :func:`ece`.
        weights: Non-negative row weights, (N,).
        groups: Resampling unit of each row, (N,); the law of the bins is then cluster-robust.
        level: Nominal coverage.
        seed: Of the draws; they move the ends by a few per cent of the interval's length.
        replicates: Half the number of draws.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> p = 0.6 + 0.4 * rng.random(4000)
        >>> wrong = (rng.random(4000) > p - 0.05).astype(int)          # confident by 0.05 too much
        >>> e = ece_debiased(np.stack([p, 1 - p], axis=1), wrong)
        >>> bool(0 < e.low < 0.05 < e.high < 0.1)
        True
    """
    return _debiased(
        "l1", probabilities, labels, binning, bins, mode, weights, groups, level, seed, replicates
    )


def rms_calibration_error_debiased(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    binning: Binning = "equal_width",
    bins: int = 15,
    mode: Literal["top_label", "positive"] = "top_label",
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
    replicates: int = 1000,
) -> Estimate:
    r"""Return the root mean square binned calibration error, its noise subtracted.

    .. math:: \max\Big(0, \sum_b \frac{n_b}{N} \Big[ (\mathrm{conf}_b - \mathrm{acc}_b)^2
              - \frac{\mathrm{acc}_b (1 - \mathrm{acc}_b)}{n_b - 1} \Big] \Big)^{1/2}

    where bins of a single row count 0. With weights or groups the subtracted variance is that of
    the weighted or clustered bin.

    Args:
        probabilities: (N, C), rows summing to one.
        labels: Class indices, (N,).
        binning: As in :func:`ece`.
        bins: As in :func:`ece`.
        mode: As in :func:`ece`.
        weights: Non-negative row weights, (N,).
        groups: Resampling unit of each row, (N,).
        level: Nominal coverage.
        seed: Of the draws behind the interval.
        replicates: Half their number.

    References:
        Kumar, Liang and Ma, Verified uncertainty calibration (2019), definition 5.2.

    Example:
        >>> p = np.repeat([[0.75, 0.25]], 400, axis=0)
        >>> rms_calibration_error_debiased(p, np.arange(400) % 4 == 0).value   # as good as it says
        0.0
    """
    return _debiased(
        "l2", probabilities, labels, binning, bins, mode, weights, groups, level, seed, replicates
    )


def _debiased(
    norm: inversion.Norm,
    probabilities: ArrayLike,
    labels: ArrayLike,
    binning: Binning,
    bins: int,
    mode: Mode,
    weights: ArrayLike | None,
    groups: ArrayLike | None,
    level: float,
    seed: int,
    replicates: int,
) -> Estimate:
    check_draws(replicates)
    checks.check_choice("mode", mode, ("top_label", "positive"))
    rows = Rows.read(probabilities, labels, mode, weights, groups, level)
    model = gap_model(rows, binning, bins)
    draws = inversion.draw(model, seed=seed, replicates=replicates)
    found = inverted(model, draws, rows, level, norm)
    if norm == "l1":
        found = found._replace(p_value=null_estimate(model, draws, rows, level, seed).p_value)
    return found
