"""Isotonic calibration: the non-decreasing step function that fits best in squared error.

It assumes nothing but the order, and overfits small sets. Where no row of a class lies below a score
it answers 0 there, and an infinite loss where it is wrong.

References:
    Zadrozny, Elkan, Transforming classifier scores into accurate multiclass probability estimates,
    KDD (2002).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain.evaluation.calibrators.one_vs_rest import BinaryMap, OneVersusRest, fit_one_vs_rest
from uncertain.evaluation.calibrators.rows import Float


@dataclass(frozen=True, eq=False)
class IsotonicMap(BinaryMap):
    """A non-decreasing function: linear between its knots, constant beyond them.

    Attributes:
        knots: (K,) increasing probabilities.
        values: (K,) calibrated probabilities.

    Example:
        >>> rises = IsotonicMap(np.array([0.2, 0.6]), np.array([0.1, 0.5]))
        >>> rises(np.log([0.1, 0.4, 0.9]), np.log([0.9, 0.6, 0.1])).round(2)
        array([0.1, 0.3, 0.5])
    """

    knots: Float
    values: Float

    def __call__(self, log_p: Float, log_rest: Float) -> Float:
        """Return calibrated probabilities (N,)."""
        return np.interp(np.exp(log_p), self.knots, self.values)


def fit_isotonic(
    predictions: Any,
    labels: Any = None,
    *,
    split: str | None = None,
    row_ids: Any = None,
    weights: Any = None,
) -> OneVersusRest:
    """Return isotonic calibration of each class against the rest.

    Args:
        predictions: N predictions of classes: a distribution, or ``Predictions``, which bring the rest.
        labels: (N,) class indices.
        split: The name of these rows' split, ``validation`` by default.
        row_ids: (N,) ids, by which the judge knows these rows again.
        weights: (N,), at least 0.

    Raises:
        ValueError: Fewer than ten rows, one class only, labels outside, NaN.
        TypeError: Predictions that are not over classes.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> p = np.linspace(0.01, 0.99, 40)
        >>> fitted = fit_isotonic(ArrayDistribution("bernoulli", {"probs": p}), p > 0.5)
        >>> fitted.maps[0].values[[0, -1]]
        array([0., 1.])
    """
    return fit_one_vs_rest(
        predictions, labels, _fit, method="isotonic", split=split, row_ids=row_ids, weights=weights
    )


def _fit(log_p: Float, log_rest: Float, hits: NDArray[np.bool_], weights: Float) -> IsotonicMap:
    from scipy.optimize import isotonic_regression

    # Equal scores are one point: the order of a file must not decide between them.
    knots, place = np.unique(np.exp(log_p), return_inverse=True)
    mass = np.bincount(place, weights)
    mean = np.bincount(place, weights * hits) / mass
    return IsotonicMap(knots, isotonic_regression(mean, weights=mass).x)
