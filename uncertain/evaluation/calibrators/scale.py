r"""Scaling of spreads: one factor that widens or narrows every prediction of a number.

.. math:: F'(y) = F\big(\mu + (y - \mu) / s\big)

with :math:`\mu` a prediction's centre, which stays. For normal predictions it is the temperature of
their density, and the best factor is the root mean square of the standardised errors. Members of a
mixture move away from, or towards, their mean by the same factor, so that the parts of the uncertainty
keep their shares. A log-normal is scaled on the logarithm's scale.

References:
    Laves, Ihler, Fast, Kahrs, Ortmaier, Recalibration of aleatoric and epistemic regression uncertainty
    in medical imaging, MELBA (2021), equation 13.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from uncertain import families
from uncertain.evaluation.calibrators.calibrator import Calibrator
from uncertain.evaluation.calibrators.rows import Float, Rows, rows_of
from uncertain.families import ArrayDistribution
from uncertain.predictive.provenance import FittedOn

NARROWEST, WIDEST = 1e-3, 1e3
_SPREADS = {
    "normal": ("scale",),
    "gaussian_marginal": ("latent_scale", "noise_scale"),
    "student_t": ("scale",),
    "log_normal": ("scale",),
}
"""Families with a location and a scale, and which parameters are the scale."""


@dataclass(frozen=True)
class Scale(Calibrator):
    """A fitted factor; its call maps predictions of numbers to predictions of numbers.

    Attributes:
        factor: What every spread is multiplied by.
        fitted_on: Which rows it was fitted on.

    Example:
        >>> import torch
        >>> wider = Scale(2.0, FittedOn("scale", "validation", 100))
        >>> wider(torch.distributions.Normal(torch.zeros(2), 0.5)).scale
        tensor([1., 1.])
    """

    factor: float
    fitted_on: FittedOn

    def calibrate(self, distribution: ArrayDistribution) -> ArrayDistribution:
        """Return the predictions with their spreads multiplied."""
        _check_family(distribution)
        return _scaled(distribution, self.factor)


def fit_scale(
    predictions: Any,
    target: Any = None,
    *,
    split: str | None = None,
    row_ids: Any = None,
    weights: Any = None,
) -> Scale:
    """Return the factor of the greatest likelihood.

    Args:
        predictions: N normal, Gaussian marginal, Student-t or log-normal predictions or mixtures of
            them: a distribution, or ``Predictions``, which bring the rest.
        target: (N,) or (N, T).
        split: The name of these rows' split, ``validation`` by default.
        row_ids: (N,) ids, by which the judge knows these rows again.
        weights: (N,), at least 0.

    Raises:
        ValueError: Fewer than ten rows, NaN, or no best factor between 0.001 and 1,000.
        TypeError: Another family.

    Example:
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(10), "scale": np.ones(10)})
        >>> fit_scale(d, np.repeat([-3.0, 3.0], 5)).factor
        3.0
    """
    rows = rows_of(
        predictions, target, method="scale", split=split, row_ids=row_ids, weights=weights, groups=None
    )  # fmt: skip
    _check_family(rows.distribution)
    factor = _closed_form(rows) if _is_single_normal(rows.distribution) else _search(rows)
    if not NARROWEST < factor < WIDEST:
        raise ValueError(
            f"`target` should lie about as far from the predictions as these say, got a best factor of "
            f"{factor:.3g}: no scaling repairs that."
        )
    return Scale(factor, rows.fitted_on)


def _check_family(distribution: ArrayDistribution) -> None:
    if distribution.family not in _SPREADS:
        raise TypeError(
            f"`predictions` should have a location and a scale ({', '.join(_SPREADS)}), got "
            f"{distribution.family}: use `fit_quantile_recalibration`, or conformal intervals."
        )


def _is_single_normal(distribution: ArrayDistribution) -> bool:
    normal = distribution.family in ("normal", "gaussian_marginal")
    return normal and distribution.mixture_weights is None


def _closed_form(rows: Rows) -> float:
    d = rows.distribution
    spread = np.sqrt(families.variance(d))
    z = (rows.target - np.asarray(d.parameters["loc"], dtype=np.float64)) / spread
    each = (z * z).reshape(len(z), -1).mean(axis=1)
    return math.sqrt(float(rows.weights @ each) / float(rows.weights.sum()))


def _search(rows: Rows) -> float:
    from scipy.optimize import minimize_scalar

    def loss(log_factor: float) -> float:
        log_p = families.log_prob(_scaled(rows.distribution, math.exp(log_factor)), rows.target)
        return -float(rows.weights @ log_p)

    # A grid first: the likelihood of a mixture need not have one maximum.
    grid = np.linspace(math.log(NARROWEST), math.log(WIDEST), 43)
    values = [loss(x) for x in grid]
    best = int(np.argmin(values))
    ends = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-10})
    return math.exp(float(found.x))


def _scaled(distribution: ArrayDistribution, factor: float) -> ArrayDistribution:
    parameters: dict[str, Float] = {
        name: np.asarray(value, dtype=np.float64) for name, value in distribution.parameters.items()
    }
    for name in _SPREADS[distribution.family]:
        parameters[name] = parameters[name] * factor
    weights = distribution.mixture_weights
    if weights is not None:
        loc = parameters["loc"]
        over = np.asarray(weights, dtype=np.float64)
        over = over[..., None] if distribution.event_ndim else over
        centre = (over * loc).sum(axis=1, keepdims=True)
        parameters["loc"] = centre + factor * (loc - centre)
    return ArrayDistribution(distribution.family, parameters, weights, distribution.event_ndim)
