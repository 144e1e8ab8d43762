r"""Multinomial logistic regression on logits or log-probabilities, the core of three calibrators.

.. math::
    p' = \mathrm{softmax}(W z + b), \qquad
    \min_{W, b}\; -\sum_i \frac{w_i}{\sum w} \log p'_{i y_i}
    + \frac{\lambda}{C (C - 1)} \sum_{i \ne j} W_{ij}^2 + \frac{\mu}{C} \sum_j b_j^2

The penalty on what is off the diagonal, and on the intercept, is ODIR. The objective is convex; it is
minimised from the identity by L-BFGS with its gradient, in float64.

Axis letters: ``N`` rows, ``C`` classes.

References:
    Kull, Perello-Nieto, Kaengsepp, Silva Filho, Song, Flach, Beyond temperature scaling: obtaining
    well-calibrated multiclass probabilities with Dirichlet calibration, NeurIPS (2019), section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uncertain import checks
from uncertain.evaluation.calibrators.rows import Float
from uncertain.families.structure import log_sum_exp
from uncertain.keyed import hash_rows, uniforms

LARGEST = 100.0
"""Bound of every coefficient: where one runs into it, the likelihood has no maximum."""
FOLDS = 5


class Linear(NamedTuple):
    """Weights (C, C), or (C,) of a diagonal, and the intercept (C,)."""

    weight: Float
    intercept: Float

    def __call__(self, z: Float) -> Float:
        """Return log-probabilities (N, C) of (N, C)."""
        scores = z * self.weight if self.weight.ndim == 1 else z @ self.weight.T
        scores = scores + self.intercept
        return scores - log_sum_exp(scores)[:, None]


def fit_linear(
    z: Float,
    labels: NDArray[Any],
    weights: Float,
    *,
    method: str,
    diagonal: bool = False,
    off_diagonal: float = 0.0,
    intercept: float = 0.0,
) -> Linear:
    """Return the minimiser of the penalised mean loss.

    Args:
        z: (N, C) finite scores.
        labels: (N,) class indices.
        weights: (N,).
        method: What is fitted, for messages.
        diagonal: Whether the matrix is a diagonal.
        off_diagonal: The penalty of the other entries.
        intercept: The penalty of the intercept.

    Raises:
        ValueError: A coefficient runs off: the classes are separable by what is fitted.
    """
    from scipy.optimize import minimize

    classes = z.shape[1]
    share = weights / weights.sum()
    objective = _Objective(z, labels, share, diagonal, off_diagonal, intercept)
    start = np.ones(classes) if diagonal else np.eye(classes).ravel()
    size = len(start)
    found = minimize(
        objective,
        np.concatenate([start, np.zeros(classes)]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-LARGEST, LARGEST)] * (size + classes),
        options={"maxiter": 2000, "maxfun": 4000, "ftol": 1e-14, "gtol": 1e-8},
    )
    if np.abs(found.x).max() >= LARGEST:
        raise ValueError(
            f"`labels` should not be separable by {method} scaling, got coefficients beyond "
            f"{LARGEST:g}: the likelihood has no maximum. Give more rows, or a larger `regularisation`."
        )
    if not found.success:
        raise ValueError(f"{method} scaling did not converge: {found.message}.")
    weight = found.x[:size] if diagonal else found.x[:size].reshape(classes, classes)
    return Linear(weight, found.x[size:])


class _Objective:
    """The penalised mean loss with its gradient."""

    def __init__(
        self,
        z: Float,
        labels: NDArray[Any],
        share: Float,
        diagonal: bool,
        off_diagonal: float,
        intercept: float,
    ) -> None:
        self.z, self.labels, self.share = z, labels, share
        self.diagonal = diagonal
        classes = z.shape[1]
        self.off = off_diagonal / max(1, classes * (classes - 1))
        self.intercept = intercept / classes

    def __call__(self, x: Float) -> tuple[float, Float]:
        classes = self.z.shape[1]
        flat, b = x[:-classes], x[-classes:]
        w = flat if self.diagonal else flat.reshape(classes, classes)
        log_p = Linear(w, b)(self.z)
        rows = np.arange(len(self.z))
        loss = -float(self.share @ log_p[rows, self.labels])
        error = np.exp(log_p) * self.share[:, None]
        error[rows, self.labels] -= self.share
        slope_b = error.sum(axis=0) + 2 * self.intercept * b
        loss += self.intercept * float(b @ b)
        if self.diagonal:
            return loss, np.concatenate([(error * self.z).sum(axis=0), slope_b])
        others = w - np.diag(np.diag(w))
        loss += self.off * float((others * others).sum())
        slope = error.T @ self.z + 2 * self.off * others
        return loss, np.concatenate([slope.ravel(), slope_b])


def choose(
    z: Float,
    labels: NDArray[Any],
    weights: Float,
    *,
    method: str,
    regularisation: float | Sequence[float],
    row_ids: NDArray[Any] | None,
) -> float:
    """Return the penalty of the least held-out loss among several, by five folds of the rows.

    Args:
        z: (N, C).
        labels: (N,).
        weights: (N,).
        method: What is fitted.
        regularisation: One penalty, which is returned, or several.
        row_ids: (N,) ids that give the folds; by default what a row contains.

    Raises:
        ValueError: None at all, or a negative one.
    """
    tried = [regularisation] if isinstance(regularisation, int | float) else list(regularisation)
    checks.check_not_empty("regularisation", tried)
    checks.check_range("regularisation", np.asarray(tried, dtype=np.float64), 0)
    if len(tried) == 1:
        return float(tried[0])
    keys = hash_rows(*z.T, labels) if row_ids is None else hash_rows(row_ids)
    fold = (uniforms(keys) * FOLDS).astype(int)
    losses = [_held_out(z, labels, weights, fold, float(p), method) for p in tried]
    return float(tried[int(np.argmin(losses))])


def _held_out(
    z: Float, labels: NDArray[Any], weights: Float, fold: NDArray[Any], penalty: float, method: str
) -> float:
    total = 0.0
    for k in range(FOLDS):
        inside, outside = fold != k, fold == k
        if not weights[inside].any() or not outside.any():
            continue
        try:
            fitted = fit_linear(
                z[inside], labels[inside], weights[inside], method=method,
                off_diagonal=penalty, intercept=penalty,
            )  # fmt: skip
        except ValueError:
            return float("inf")
        log_p = fitted(z[outside])
        total -= float(weights[outside] @ log_p[np.arange(len(log_p)), labels[outside]])
    return total
