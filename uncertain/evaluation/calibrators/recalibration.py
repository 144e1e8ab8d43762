r"""Recalibrated quantiles: where a stated level holds another share of targets, it is renamed.

With :math:`R(p)` the share of calibration rows whose target lies below their own quantile of level
:math:`p`, the calibrated distribution function is :math:`R \circ F`, so its quantiles are

.. math:: F'^{-1}(\tau) = F^{-1}\big(R^{-1}(\tau)\big)

:math:`R` is the distribution function of the PIT values :math:`F_i(y_i)`, which is the isotonic
regression of their ranks. What comes out is ``Quantiles`` at the levels asked for: nothing is claimed
beyond the outermost level that the calibration rows can tell.

References:
    Kuleshov, Fenner, Ermon, Accurate uncertainties for deep learning using calibrated regression, ICML
    (2018), algorithm 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from uncertain import checks, families
from uncertain.evaluation.calibrators.calibrator import Calibrator
from uncertain.evaluation.calibrators.rows import Float, rows_of
from uncertain.families import FAMILIES, ArrayDistribution
from uncertain.predictive.provenance import FittedOn

LEVELS = tuple(round(k / 200, 3) for k in range(1, 200))
"""Levels of the recalibrated quantiles: every half percent."""


@dataclass(frozen=True, eq=False)
class QuantileRecalibration(Calibrator):
    """A fitted renaming of levels; its call maps predictions of numbers to ``Quantiles``.

    Attributes:
        levels: (Q,) levels of what comes out.
        stated: (Q,) the level that the model calls each by.
        fitted_on: Which rows it was fitted on.

    Example:
        >>> used = FittedOn("quantile_recalibration", "validation", 100)
        >>> renamed = QuantileRecalibration(np.array([0.5]), np.array([0.9]), used)
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(1), "scale": np.ones(1)})
        >>> renamed(d).parameters["values"].round(3)
        array([[1.282]])
    """

    levels: Float
    stated: Float
    fitted_on: FittedOn

    def calibrate(self, distribution: ArrayDistribution) -> ArrayDistribution:
        """Return the quantiles at the calibrated levels."""
        _check_continuous(distribution)
        values = families.quantile(distribution, self.stated[:, None])
        return ArrayDistribution(
            "quantiles", {"levels": self.levels, "values": np.ascontiguousarray(values.T)}
        )


def fit_quantile_recalibration(
    predictions: Any,
    target: Any = None,
    *,
    levels: Sequence[float] = LEVELS,
    split: str | None = None,
    row_ids: Any = None,
    weights: Any = None,
) -> QuantileRecalibration:
    """Return the levels that hold what they say on the calibration rows.

    Args:
        predictions: N predictions of a continuous family: a distribution, or ``Predictions``, which
            bring the rest.
        target: (N,).
        levels: Levels of the quantiles that come out, increasing; those nearer to 0 or 1 than
            1 / (N + 1) are left out, as no row can tell them, and so are those at which the model gave
            targets the probability 0.
        split: The name of these rows' split, ``validation`` by default.
        row_ids: (N,) ids, by which the judge knows these rows again.
        weights: (N,), at least 0.

    Raises:
        ValueError: Fewer than ten rows, NaN, or levels outside (0, 1).
        TypeError: Classes, counts, samples, quantiles, or several outputs.

    Example:
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(99), "scale": np.ones(99)})
        >>> y = 2 * families.quantile(d, np.arange(1, 100) / 100)
        >>> fitted = fit_quantile_recalibration(d, y, levels=[0.1, 0.5, 0.9])
        >>> fitted(d).parameters["values"][0].round(2)
        array([-2.56,  0.  ,  2.56])
    """
    wanted = np.asarray(levels, dtype=np.float64)
    checks.check_shape("levels", wanted, ("Q",))
    checks.check_not_empty("levels", wanted)
    checks.check_range("levels", wanted, 0, 1, open_low=True, open_high=True)
    rows = rows_of(
        predictions, target, method="quantile_recalibration",
        split=split, row_ids=row_ids, weights=weights, groups=None,
    )  # fmt: skip
    _check_continuous(rows.distribution)
    kept = rows.weights > 0
    pit = families.cdf(rows.distribution, rows.target)[kept]
    order = np.argsort(pit, kind="stable")
    mass = rows.weights[kept][order]
    # Plotting positions i / (N + 1): the chance that a new row falls below the i-th.
    positions = np.cumsum(mass) / (mass.sum() + mass.mean())
    # Half a rounding error inside, so that 0.01 is among the levels of 99 rows.
    inside = (wanted > positions[0] - 1e-9) & (wanted < positions[-1] + 1e-9)
    stated = np.interp(wanted, positions, pit[order])
    # A level that the model calls 0 or 1 has no finite quantile: the target was impossible to it.
    inside &= (stated > 0) & (stated < 1)
    if not inside.any():
        raise ValueError(
            f"`levels` should lie between {positions[0]:.3g} and {positions[-1]:.3g} to be told from "
            f"{len(pit)} rows, got {wanted.min():g} to {wanted.max():g}."
        )
    return QuantileRecalibration(wanted[inside], stated[inside], rows.fitted_on)


def _check_continuous(distribution: ArrayDistribution) -> None:
    family = FAMILIES[distribution.family]
    discrete = family.pit_bounds is not None or family.support in ("classes", "counts")
    if discrete or distribution.event_shape != ():
        raise TypeError(
            "`predictions` should be of a continuous family and one output a row, got "
            f"{distribution.family}: levels of samples, counts and quantiles are steps; use conformal "
            "intervals."
        )
