"""Calibrators of one probability, for several classes: each against the rest, then normalised.

With two classes the second is calibrated and the first is what it leaves. With more, each class's
probability is calibrated by itself and rows are divided by their sums; a row that sums to 0 becomes
uniform, which is the same as in scikit-learn.

Axis letters: ``N`` rows, ``C`` classes.

References:
    Zadrozny, Elkan, Transforming classifier scores into accurate multiclass probability estimates,
    KDD (2002).
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain.evaluation.calibrators.calibrator import ClassCalibrator
from uncertain.evaluation.calibrators.rows import Float, Rows, class_rows
from uncertain.families.structure import log
from uncertain.predictive.provenance import FittedOn


class BinaryMap(abc.ABC):
    """A fitted map of the probability of one class."""

    @abc.abstractmethod
    def __call__(self, log_p: Float, log_rest: Float) -> Float:
        """Return calibrated probabilities (N,) from log p and log(1 - p), (N,) each."""


Fit = Callable[[Float, Float, NDArray[np.bool_], Float], BinaryMap]
"""From log p, log(1 - p), hits and weights, (N,) each, to a map."""


@dataclass(frozen=True, eq=False)
class OneVersusRest(ClassCalibrator):
    """A fitted map a class; of two classes only the second has one.

    Attributes:
        maps: C maps, or one for two classes.
        classes: C.
        fitted_on: Which rows it was fitted on.
    """

    maps: Sequence[BinaryMap]
    classes: int
    fitted_on: FittedOn

    def log_probabilities(self, log_p: Float) -> Float:
        """Return calibrated log-probabilities (N, C)."""
        if self.classes == 2:
            one = self.maps[0](*_against_rest(log_p, 1))
            return log(np.stack([1 - one, one], axis=1))
        found = [each(*_against_rest(log_p, c)) for c, each in enumerate(self.maps)]
        table = np.stack(found, axis=1)
        total = table.sum(axis=1, keepdims=True)
        empty = total == 0
        share = np.where(empty, 1 / self.classes, table / np.where(empty, 1.0, total))
        return log(share)


def fit_one_vs_rest(
    predictions: Any, labels: Any, fit: Fit, *, method: str, **facts: Any
) -> OneVersusRest:
    """Return one fitted map a class.

    Raises:
        ValueError: Fewer than ten rows, one class only, labels outside, NaN.
        TypeError: Predictions that are not over classes.
    """
    rows, log_p = class_rows(predictions, labels, method=method, groups=None, **facts)
    classes = log_p.shape[1]
    judged = [1] if classes == 2 else range(classes)
    maps = [_fit_class(rows, log_p, c, fit) for c in judged]
    return OneVersusRest(tuple(maps), classes, rows.fitted_on)


def _fit_class(rows: Rows, log_p: Float, c: int, fit: Fit) -> BinaryMap:
    kept = rows.weights > 0
    own, rest = _against_rest(log_p[kept], c)
    return fit(own, rest, rows.target[kept] == c, rows.weights[kept])


def _against_rest(log_p: Float, c: int) -> tuple[Float, Float]:
    """Return log p and log(1 - p) of a class; with two classes both keep all their digits."""
    own = log_p[:, c]
    if log_p.shape[1] == 2:
        return own, log_p[:, 1 - c]
    return own, log(-np.expm1(np.minimum(own, 0.0)))
