"""What every fitted calibrator can be called with: a distribution of torch, arrays, or predictions."""

from __future__ import annotations

import abc
import dataclasses
import warnings
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np

from uncertain import families
from uncertain.evaluation.calibrators.rows import (
    Float,
    as_arrays,
    check_classes,
    is_torch,
)
from uncertain.evaluation.predictions import Predictions, RepeatedRowsWarning
from uncertain.families import ArrayDistribution
from uncertain.families.structure import log_sum_exp
from uncertain.predictive.provenance import FittedOn

if TYPE_CHECKING:
    from torch.distributions import Distribution

_Given = TypeVar("_Given", Predictions, ArrayDistribution)


class Calibrator(abc.ABC):
    """A fitted map from predictions to predictions.

    Attributes:
        fitted_on: Which rows it was fitted on.
    """

    fitted_on: FittedOn

    @abc.abstractmethod
    def calibrate(self, distribution: ArrayDistribution) -> ArrayDistribution:
        """Return calibrated predictions as arrays, in float64."""

    @property
    def label(self) -> str:
        """What the source is called after calibration, beside its name."""
        return self.fitted_on.method

    @overload
    def __call__(self, predictions: _Given) -> _Given: ...

    @overload
    def __call__(self, predictions: Distribution) -> Distribution: ...

    def __call__(self, predictions: Any) -> Any:
        """Return calibrated predictions of the kind that came.

        A distribution of torch keeps its dtype and device; gradients end here. ``Predictions`` get the
        calibrator's name after their source's, and the record of the rows it was fitted on.

        Raises:
            TypeError: For anything else, and for a family that it can't calibrate.
            ValueError: Where the number of classes or members is another than it was fitted on.
        """
        if isinstance(predictions, Predictions):
            # Rows were looked at when they were made: say it once.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RepeatedRowsWarning)
                return dataclasses.replace(
                    predictions,
                    distribution=self.calibrate(predictions.distribution),
                    source=f"{predictions.source} ({self.label})",
                    fitted_on=(*predictions.fitted_on, self.fitted_on),
                )
        found = self.calibrate(as_arrays(predictions))
        return _like(predictions, found) if is_torch(predictions) else found


class ClassCalibrator(Calibrator):
    """A calibrator of class probabilities; members are pooled first.

    Attributes:
        classes: C.
    """

    classes: int

    @abc.abstractmethod
    def log_probabilities(self, log_p: Float) -> Float:
        """Return calibrated log-probabilities (N, C) from log-probabilities (N, C)."""

    def calibrate(self, distribution: ArrayDistribution) -> ArrayDistribution:
        """Return a categorical, or a Bernoulli for a Bernoulli."""
        log_p = pooled(distribution, self.classes, self.fitted_on.method)
        return as_family(distribution.family, self.log_probabilities(log_p))


def pooled(distribution: ArrayDistribution, classes: int, method: str) -> Float:
    """Return log-probabilities (N, C) of as many classes as were fitted."""
    check_classes(distribution, method)
    log_p = families.class_log_probabilities(distribution)
    check_count("classes", log_p.shape[1], classes, method)
    return log_p


def check_count(what: str, got: int, expected: int, method: str) -> None:
    """Raise ``ValueError`` where there are other classes or members than were fitted."""
    if got != expected:
        raise ValueError(
            f"`predictions` should have {expected} {what}, as {method} was fitted on, got {got}."
        )


def as_family(family: str, log_p: Float, weights: Float | None = None) -> ArrayDistribution:
    """Return log-probabilities (N, C) as a categorical, or as the Bernoulli they came from.

    Members (N, S, C) come with their weights (N, S).
    """
    log_p = log_p - log_sum_exp(log_p)[..., None]
    if family == "bernoulli":
        with np.errstate(invalid="ignore"):
            odds = log_p[..., 1] - log_p[..., 0]
        return ArrayDistribution("bernoulli", {"logits": odds}, weights)
    return ArrayDistribution("categorical", {"logits": log_p}, weights)


def _like(given: Distribution, found: ArrayDistribution) -> Distribution:
    """Return arrays as a distribution of torch, of the dtype and on the device of another."""
    import torch

    from uncertain.predictive.arrays import from_arrays
    from uncertain.predictive.composition import parts

    tensors = [t for t in parts(given).tensors.values() if t.is_floating_point()]
    dtype = max((t.dtype for t in tensors), key=lambda d: torch.finfo(d).bits)
    wide = dtype if torch.finfo(dtype).bits >= 32 else torch.float32
    return from_arrays(found, dtype=wide, device=tensors[0].device)
