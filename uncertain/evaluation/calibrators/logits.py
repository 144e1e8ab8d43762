r"""Vector and matrix scaling: linear maps of a network's raw logits.

.. math:: p' = \mathrm{softmax}(w \odot z + b), \qquad p' = \mathrm{softmax}(W z + b)

They take *raw* logits, as the network gives them. A ``Categorical`` keeps logits less their
log-sum-exp, another number in every row: temperature scaling does not notice, these do. So a
distribution is refused, rather than a different method being run under the same name; on
log-probabilities the matrix is :mod:`Dirichlet calibration <uncertain.evaluation.calibrators.dirichlet>`.

References:
    Guo, Pleiss, Sun, Weinberger, On calibration of modern neural networks, ICML (2017), section 4.2.
    Kull et al., Beyond temperature scaling, NeurIPS (2019): the penalty ODIR.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from uncertain import checks
from uncertain.evaluation.calibrators.calibrator import check_count
from uncertain.evaluation.calibrators.linear import Linear, choose, fit_linear
from uncertain.evaluation.calibrators.rows import (
    Float,
    Rows,
    as_array,
    check_labels,
    check_raw,
    rows_of,
)
from uncertain.evaluation.predictions import Predictions
from uncertain.families import ArrayDistribution, log_softmax
from uncertain.predictive.provenance import FittedOn


@dataclass(frozen=True, eq=False)
class LogitScaling:
    """A fitted vector or matrix; its call maps raw logits to a categorical.

    Attributes:
        weight: (C,) or (C, C).
        intercept: (C,).
        fitted_on: Which rows it was fitted on.
        regularisation: The penalty that was taken, 0 for a vector.

    Example:
        >>> used = FittedOn("vector", "validation", 100)
        >>> scaling = LogitScaling(np.array([0.5, 0.5]), np.zeros(2), used)
        >>> scaling(np.array([[2.0, 0.0]])).parameters["logits"].round(3)
        array([[-0.313, -1.313]])
    """

    weight: Float
    intercept: Float
    fitted_on: FittedOn
    regularisation: float = 0.0

    def __call__(self, logits: Any) -> Any:
        """Return the calibrated categorical: of torch for a tensor, as arrays for an array.

        Args:
            logits: (N, C), raw.

        Raises:
            TypeError: For a distribution, probabilities or log-probabilities: the raw logits are lost.
            ValueError: For another number of classes, NaN or infinity.
        """
        z = _raw(logits, self.fitted_on.method)
        check_count("classes", z.shape[1], len(self.intercept), self.fitted_on.method)
        log_p = Linear(self.weight, self.intercept)(z)
        if not hasattr(logits, "detach"):
            return ArrayDistribution("categorical", {"logits": log_p})
        import torch

        from uncertain.predictive.composition import exact_categorical

        wide = logits.dtype if logits.element_size() >= 4 else torch.float32
        return exact_categorical(logits=torch.from_numpy(log_p).to(logits.device, wide))


def fit_vector(
    logits: Any,
    labels: Any,
    *,
    split: str = "validation",
    row_ids: Any = None,
    weights: Any = None,
) -> LogitScaling:
    """Return one factor and one shift a class, of the greatest likelihood.

    Args:
        logits: (N, C) raw logits, an array or a tensor.
        labels: (N,) class indices.
        split: The name of these rows' split.
        row_ids: (N,) ids, by which the judge knows these rows again.
        weights: (N,), at least 0.

    Raises:
        TypeError: For a distribution, probabilities or log-probabilities.
        ValueError: Fewer than ten rows, one class only, labels outside, NaN, or separable classes.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=(3000, 3)) * 2
        >>> labels = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
        >>> fitted = fit_vector(z / np.array([0.5, 1.0, 2.0]), labels)
        >>> fitted.weight.round(0)
        array([0., 1., 2.])
    """
    z, rows = _rows(logits, labels, "vector", split, row_ids, weights)
    found = fit_linear(z, rows.target, rows.weights, method="vector", diagonal=True)
    return LogitScaling(found.weight, found.intercept, rows.fitted_on)


def fit_matrix(
    logits: Any,
    labels: Any,
    *,
    regularisation: float | Sequence[float] = 0.01,
    split: str = "validation",
    row_ids: Any = None,
    weights: Any = None,
) -> LogitScaling:
    """Return a matrix and a shift, under a penalty on what is off the diagonal and on the shift.

    Args:
        logits: (N, C) raw logits, an array or a tensor.
        labels: (N,) class indices.
        regularisation: ODIR's two penalties; of several the one of the least loss in five folds.
        split: The name of these rows' split.
        row_ids: (N,) ids, by which the judge knows these rows again.
        weights: (N,), at least 0.

    Raises:
        TypeError: As :func:`fit_vector`.
        ValueError: As :func:`fit_vector`, and for a negative penalty.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=(3000, 3)) * 2
        >>> labels = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
        >>> fit_matrix(z @ np.diag([1.0, 0.5, 1.0]), labels).weight.shape
        (3, 3)
    """
    z, rows = _rows(logits, labels, "matrix", split, row_ids, weights)
    ids = None if row_ids is None else as_array(row_ids)
    penalty = choose(
        z, rows.target, rows.weights, method="matrix", regularisation=regularisation, row_ids=ids
    )
    found = fit_linear(
        z, rows.target, rows.weights, method="matrix", off_diagonal=penalty, intercept=penalty
    )
    return LogitScaling(found.weight, found.intercept, rows.fitted_on, penalty)


def _rows(
    logits: Any, labels: Any, method: str, split: str, row_ids: Any, weights: Any
) -> tuple[Float, Rows]:
    z = _raw(logits, method)
    stand_in = ArrayDistribution("categorical", {"logits": log_softmax(z)})
    rows = rows_of(
        stand_in, labels, method=method, split=split, row_ids=row_ids, weights=weights, groups=None
    )
    target = check_labels(rows.target, rows.weights, z.shape[1], method)
    return z, rows._replace(target=target)


def _raw(logits: Any, method: str) -> Float:
    """Return raw logits (N, C) in float64."""
    if isinstance(logits, Predictions | ArrayDistribution) or hasattr(logits, "batch_shape"):
        raise TypeError(
            f"`logits` should be the network's raw logits for {method} scaling, got "
            f"{type(logits).__name__}: a distribution keeps them less their log-sum-exp, another number "
            "in every row, which temperature scaling does not notice and this does. Pass the network's "
            "output, or use `fit_dirichlet` or `fit_temperature`."
        )
    z = as_array(logits)
    checks.check_shape("logits", z, ("N", "C"))
    checks.check_finite("logits", z)
    check_raw("logits", z, normalised=False)
    return z.astype(np.float64)
