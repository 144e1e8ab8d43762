r"""Conformal intervals of numbers: quantiles that are widened, and normalised residuals.

.. math::
    s_\text{CQR} = \max(\hat q_{\alpha/2} - y,\; y - \hat q_{1-\alpha/2}), \qquad
    s_\text{residual} = |y - \hat\mu| / \hat\sigma

CQR moves both predicted quantiles by the threshold, outwards or inwards; normalised residuals give the
mean plus and minus the threshold times the standard deviation. Both keep the promise whatever the model,
and are short where the model's spread is right.

References:
    Romano, Patterson, Candès, Conformalized quantile regression, NeurIPS (2019), equations 6 to 8.
    Lei, G'Sell, Rinaldo, Tibshirani, Wasserman, Distribution-free predictive inference for regression,
    JASA (2018), section 5.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from uncertain import families
from uncertain.evaluation.calibrators.rows import Float, as_arrays, rows_of
from uncertain.evaluation.conformal.scores import Scores, calibration_scores
from uncertain.evaluation.predictions import Predictions
from uncertain.families import ArrayDistribution
from uncertain.predictive.facts import CLASS_FAMILIES
from uncertain.predictive.provenance import FittedOn

Method = Literal["CQR", "normalised_residuals"]


@dataclass(frozen=True, eq=False)
class ConformalIntervals:
    """Fitted conformal intervals; the call maps predictions to intervals.

    Attributes:
        method: ``CQR`` or ``normalised_residuals``.
        scores: The calibration scores.
        fitted_on: Which rows it was fitted on.
    """

    method: Method
    scores: Scores
    fitted_on: FittedOn

    def __repr__(self) -> str:
        """Show the method and the goal, and from how many rows: not the rows' scores."""
        return f"ConformalIntervals({self.method!r}, {self.scores!r})"

    def __call__(self, predictions: Any, *, groups: Any = None, weights: Any = None) -> Float:
        """Return intervals (N, 2); infinite where the calibration rows were too few.

        An interval that a negative threshold would turn round is the point between its ends.

        Args:
            predictions: A distribution or ``Predictions``.
            groups: (N,), where the calibration rows had groups.
            weights: (N,) density ratios, where the calibration rows had weights.

        Raises:
            TypeError: For classes, and families without quantiles, or mean and variance.
            ValueError: As :meth:`Scores.thresholds`, and for predicted quantiles of other levels.
        """
        d = (
            predictions.distribution
            if isinstance(predictions, Predictions)
            else as_arrays(predictions)
        )
        limits = self.scores.thresholds(len(d), groups=groups, weights=weights)
        if self.method == "CQR":
            low, high = _ends(d, self.scores.alpha)
            middle = (low + high) / 2
            low, high = low - limits, high + limits
            crossed = low > high
            low, high = np.where(crossed, middle, low), np.where(crossed, middle, high)
        else:
            centre, spread = _moments(d)
            low, high = centre - limits * spread, centre + limits * spread
        return np.stack([low, high], axis=1)


def fit_cqr(
    predictions: Any,
    target: Any = None,
    *,
    alpha: float = 0.1,
    split: str | None = None,
    row_ids: Any = None,
    groups: Any = None,
    weights: Any = None,
) -> ConformalIntervals:
    """Return conformalised quantile regression: the central interval, moved by one threshold.

    Args:
        predictions: N predictions of numbers on calibration rows: a distribution with quantiles, or
            ``Predictions``, which bring target, split and row ids.
        target: (N,).
        alpha: The share of targets that may be missed.
        split: The name of these rows' split, ``validation`` by default.
        row_ids: (N,) ids.
        groups: (N,) groups, each to be covered by itself.
        weights: (N,) density ratios of new against calibration inputs.

    Raises:
        ValueError: Fewer than ten rows, NaN, wrong lengths, or predicted quantiles of other levels.
        TypeError: Classes, several outputs, or a family without quantiles.

    Example:
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(99), "scale": np.ones(99)})
        >>> fitted = fit_cqr(d, np.linspace(-5, 5, 99))
        >>> fitted(families.select(d, slice(1))).round(2)
        array([[-4.59,  4.59]])
    """
    return _fit("CQR", predictions, target, alpha, split, row_ids, groups, weights)


def fit_normalised_residuals(
    predictions: Any,
    target: Any = None,
    *,
    alpha: float = 0.1,
    split: str | None = None,
    row_ids: Any = None,
    groups: Any = None,
    weights: Any = None,
) -> ConformalIntervals:
    """Return the mean plus and minus a multiple of the standard deviation.

    Args:
        predictions: N predictions of numbers on calibration rows, with mean and variance.
        target: (N,).
        alpha: The share of targets that may be missed.
        split: The name of these rows' split, ``validation`` by default.
        row_ids: (N,) ids.
        groups: (N,) groups, each to be covered by itself.
        weights: (N,) density ratios of new against calibration inputs.

    Raises:
        ValueError: As :func:`fit_cqr`, and for a spread that is 0 or infinite.
        TypeError: Classes, several outputs, or a family without mean and variance.

    Example:
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(99), "scale": np.full(99, 2.0)})
        >>> fitted = fit_normalised_residuals(d, np.linspace(-5, 5, 99))
        >>> fitted(families.select(d, slice(1))).round(2)
        array([[-4.59,  4.59]])
    """
    return _fit("normalised_residuals", predictions, target, alpha, split, row_ids, groups, weights)


def _fit(
    method: Method,
    predictions: Any,
    target: Any,
    alpha: float,
    split: str | None,
    row_ids: Any,
    groups: Any,
    weights: Any,
) -> ConformalIntervals:
    rows = rows_of(
        predictions, target, method=method, split=split, row_ids=row_ids, weights=None, groups=None
    )
    d, y = rows.distribution, rows.target.astype(np.float64)
    # The level is checked before quantiles are asked for at it.
    calibration_scores(np.zeros(1), alpha=alpha)
    if method == "CQR":
        low, high = _ends(d, alpha)
        own = np.maximum(low - y, y - high)
    else:
        centre, spread = _moments(d)
        own = np.abs(y - centre) / spread
    scores = calibration_scores(own, alpha=alpha, groups=groups, weights=weights)
    return ConformalIntervals(method, scores, rows.fitted_on)


def _ends(d: ArrayDistribution, alpha: float) -> tuple[Float, Float]:
    _check_numbers(d)
    return families.quantile(d, round(alpha / 2, 12)), families.quantile(
        d, round(1 - alpha / 2, 12)
    )


def _moments(d: ArrayDistribution) -> tuple[Float, Float]:
    _check_numbers(d)
    centre, spread = families.mean(d), np.sqrt(families.variance(d))
    bad = ~(np.isfinite(centre) & np.isfinite(spread) & (spread > 0))
    if bad.any():
        raise ValueError(
            f"`predictions` should have a finite mean and a spread above 0, got {int(bad.sum())} of "
            f"{len(bad)} rows without, the first at row {int(np.argmax(bad))}: use `fit_cqr`."
        )
    return centre, spread


def _check_numbers(d: ArrayDistribution) -> None:
    if d.family in CLASS_FAMILIES or d.event_shape != ():
        what = "classes" if d.family in CLASS_FAMILIES else f"{d.event_shape[0]} outputs a row"
        raise TypeError(f"`predictions` should be of one number a row for intervals, got {what}.")
