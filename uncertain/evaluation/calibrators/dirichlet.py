r"""Dirichlet calibration: a linear map of log-probabilities.

.. math:: p' = \mathrm{softmax}(W \log p + b)

It is what Bayes' rule gives where predictions of each class are Dirichlet distributed, holds
temperature scaling (:math:`W = I / T`), and takes predictions from anywhere. With two classes it is
beta calibration.

References:
    Kull, Perello-Nieto, Kaengsepp, Silva Filho, Song, Flach, Beyond temperature scaling: obtaining
    well-calibrated multiclass probabilities with Dirichlet calibration, NeurIPS (2019).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from uncertain import checks
from uncertain.evaluation.calibrators.calibrator import ClassCalibrator
from uncertain.evaluation.calibrators.linear import Linear, choose, fit_linear
from uncertain.evaluation.calibrators.rows import Float, class_rows
from uncertain.predictive.provenance import FittedOn


@dataclass(frozen=True, eq=False)
class Dirichlet(ClassCalibrator):
    """A fitted Dirichlet calibration.

    Attributes:
        weight: (C, C).
        intercept: (C,).
        classes: C.
        fitted_on: Which rows it was fitted on.
        regularisation: The penalty that was taken.
        floor: Probabilities below it counted as it.

    Example:
        >>> used = FittedOn("dirichlet", "validation", 100)
        >>> halved = Dirichlet(np.eye(2) / 2, np.zeros(2), 2, used)
        >>> np.exp(halved.log_probabilities(np.log([[0.8, 0.2]]))).round(3)
        array([[0.667, 0.333]])
    """

    weight: Float
    intercept: Float
    classes: int
    fitted_on: FittedOn
    regularisation: float = 0.0
    floor: float = 1e-12

    def log_probabilities(self, log_p: Float) -> Float:
        """Return calibrated log-probabilities (N, C)."""
        return Linear(self.weight, self.intercept)(np.maximum(log_p, math.log(self.floor)))


def fit_dirichlet(
    predictions: Any,
    labels: Any = None,
    *,
    regularisation: float | Sequence[float] = 0.01,
    floor: float = 1e-12,
    split: str | None = None,
    row_ids: Any = None,
    weights: Any = None,
) -> Dirichlet:
    """Return Dirichlet calibration with the ODIR penalty.

    Args:
        predictions: N predictions of classes: a distribution, or ``Predictions``, which bring the rest.
        labels: (N,) class indices.
        regularisation: Penalty of the entries off the diagonal and of the intercept; of several the
            one of the least loss in five folds.
        floor: Probabilities below it count as it: the logarithm of 0 has no image under a matrix.
        split: The name of these rows' split, ``validation`` by default.
        row_ids: (N,) ids, by which the judge knows these rows again.
        weights: (N,), at least 0.

    Raises:
        ValueError: Fewer than ten rows, one class only, labels outside, NaN, separable classes.
        TypeError: Predictions that are not over classes.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> p = np.random.default_rng(0).dirichlet([1, 1, 1], 500)
        >>> labels = (p.cumsum(axis=1) > np.random.default_rng(1).random((500, 1))).argmax(axis=1)
        >>> fit_dirichlet(ArrayDistribution("categorical", {"probs": p}), labels).weight.shape
        (3, 3)
    """
    checks.check_range("floor", floor, 0, 1, open_low=True, open_high=True)
    rows, log_p = class_rows(
        predictions, labels, method="dirichlet",
        split=split, row_ids=row_ids, weights=weights, groups=None,
    )  # fmt: skip
    z = np.maximum(log_p, math.log(floor))
    penalty = choose(
        z,
        rows.target,
        rows.weights,
        method="dirichlet",
        regularisation=regularisation,
        row_ids=None,
    )
    found = fit_linear(
        z, rows.target, rows.weights, method="dirichlet", off_diagonal=penalty, intercept=penalty
    )
    return Dirichlet(*found, z.shape[1], rows.fitted_on, penalty, floor)
