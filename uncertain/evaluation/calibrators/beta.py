r"""Beta calibration: a logistic regression on :math:`\log p` and :math:`-\log(1 - p)`.

.. math:: p' = \sigma\big(a \log p - b \log(1 - p) + c\big), \qquad a, b \ge 0

It is right where scores of hits and of misses are beta distributed, holds the identity
(:math:`a = b = 1, c = 0`), and unlike a sigmoid of logits can bend either way.

References:
    Kull, Silva Filho, Flach, Beyond sigmoids: how to obtain well-calibrated probabilities from binary
    classifiers with beta calibration, Electronic Journal of Statistics 11 (2017), equation 8.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain import checks
from uncertain.evaluation.calibrators.linear import LARGEST
from uncertain.evaluation.calibrators.one_vs_rest import BinaryMap, OneVersusRest, fit_one_vs_rest
from uncertain.evaluation.calibrators.rows import Float


@dataclass(frozen=True)
class BetaMap(BinaryMap):
    """A fitted beta calibration of one probability.

    Attributes:
        a: Slope of log p, at least 0.
        b: Slope of -log(1 - p), at least 0.
        c: Intercept.
        floor: Probabilities below it, and above one less it, counted as these.

    Example:
        >>> BetaMap(1.0, 1.0, 0.0)(np.log([0.3]), np.log([0.7])).round(6)
        array([0.3])
    """

    a: float
    b: float
    c: float
    floor: float = 1e-12

    def __call__(self, log_p: Float, log_rest: Float) -> Float:
        """Return calibrated probabilities (N,)."""
        scores = _features(log_p, log_rest, self.floor) @ np.array([self.a, self.b, self.c])
        out: Float = np.exp(-np.logaddexp(0.0, -scores))
        return out


def fit_beta(
    predictions: Any,
    labels: Any = None,
    *,
    floor: float = 1e-12,
    split: str | None = None,
    row_ids: Any = None,
    weights: Any = None,
) -> OneVersusRest:
    """Return beta calibration of each class against the rest.

    Args:
        predictions: N predictions of classes: a distribution, or ``Predictions``, which bring the rest.
        labels: (N,) class indices.
        floor: Probabilities below it, and above one less it, count as these.
        split: The name of these rows' split, ``validation`` by default.
        row_ids: (N,) ids, by which the judge knows these rows again.
        weights: (N,), at least 0.

    Raises:
        ValueError: Fewer than ten rows, one class only, labels outside, NaN, or classes that the
            scores separate, for which no slope is best.
        TypeError: Predictions that are not over classes.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> rng = np.random.default_rng(0)
        >>> p = rng.beta(1, 1, 4000)
        >>> fitted = fit_beta(ArrayDistribution("bernoulli", {"probs": p}), rng.random(4000) < p)
        >>> abs(fitted.maps[0].a - 1) < 0.2
        True
    """
    checks.check_range("floor", floor, 0, 0.5, open_low=True, open_high=True)
    return fit_one_vs_rest(
        predictions, labels, partial(_fit, floor=floor), method="beta",
        split=split, row_ids=row_ids, weights=weights,
    )  # fmt: skip


def _features(log_p: Float, log_rest: Float, floor: float) -> Float:
    least = math.log(floor)
    own, rest = np.maximum(log_p, least), np.maximum(log_rest, least)
    return np.stack([own, -rest, np.ones(len(own))], axis=1)


def _fit(
    log_p: Float, log_rest: Float, hits: NDArray[np.bool_], weights: Float, *, floor: float
) -> BetaMap:
    from scipy.optimize import minimize

    x = _features(log_p, log_rest, floor)
    share = weights / weights.sum()
    sign = np.where(hits, 1.0, -1.0)

    def loss(theta: Float) -> tuple[float, Float]:
        margin = sign * (x @ theta)
        value = np.logaddexp(0.0, -margin)
        slope = -sign * np.exp(-np.logaddexp(0.0, margin)) * share
        return float(share @ value), x.T @ slope

    bounds = [(0.0, LARGEST), (0.0, LARGEST), (-LARGEST, LARGEST)]
    found = minimize(
        loss, np.array([1.0, 1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds,
        options={"maxiter": 2000, "ftol": 1e-15, "gtol": 1e-10},
    )  # fmt: skip
    if np.abs(found.x).max() >= LARGEST:
        raise ValueError(
            "`labels` should not be separable by beta calibration, got coefficients beyond "
            f"{LARGEST:g}: the likelihood has no maximum. Give more rows, or use fit_temperature."
        )
    a, b, c = found.x.tolist()
    return BetaMap(a, b, c, floor)
