r"""Venn-Abers calibration: isotonic regression that admits how little it knows.

For a new score s the calibration rows are fitted twice, with s added as a miss and as a hit; the fits
at s are :math:`p_0 \le p_1`. Under exchangeability one of the two, the one of the true label, is a
calibrated probability, whatever the number of rows. They are merged into the probability that regrets
least in log loss, :math:`p = p_1 / (1 - p_0 + p_1)`, which is never 0 or 1: unlike isotonic regression
it can't lose infinitely.

The pair changes only where s passes a calibration score, so 2 K + 1 pairs of fits hold all of it: the
cost of fitting is that of 4 K + 2 isotonic regressions of K points, seconds at K = 5,000.

References:
    Vovk, Petej, Fedorova, Large-scale probabilistic predictors with and without guarantees of
    validity, NeurIPS (2015), sections 3 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain.evaluation.calibrators.one_vs_rest import BinaryMap, OneVersusRest, fit_one_vs_rest
from uncertain.evaluation.calibrators.rows import Float


@dataclass(frozen=True, eq=False)
class VennAbersMap(BinaryMap):
    """Both fits at every place that a score can have among the calibration scores.

    Attributes:
        knots: (K,) increasing probabilities.
        as_miss: (2 K + 1,) the fit with the score as a miss: below the first knot, at it, above it...
        as_hit: (2 K + 1,) the fit with the score as a hit.

    Example:
        >>> one = VennAbersMap(np.array([0.5]), np.array([0.0, 0.3, 0.5]), np.array([0.5, 0.6, 1.0]))
        >>> one(np.log([0.1, 0.5, 0.9]), np.log([0.9, 0.5, 0.1])).round(3)
        array([0.333, 0.462, 0.667])
    """

    knots: Float
    as_miss: Float
    as_hit: Float

    def __call__(self, log_p: Float, log_rest: Float) -> Float:
        """Return merged probabilities (N,)."""
        miss, hit = self.bounds(log_p)
        return np.asarray(hit / (1 - miss + hit))

    def bounds(self, log_p: Float) -> tuple[Float, Float]:
        """Return the fits as a miss and as a hit, (N,) each."""
        p = np.exp(log_p)
        right = np.searchsorted(self.knots, p, side="right")
        left = np.searchsorted(self.knots, p, side="left")
        place = left + right
        return self.as_miss[place], self.as_hit[place]


def fit_venn_abers(
    predictions: Any,
    labels: Any = None,
    *,
    split: str | None = None,
    row_ids: Any = None,
    weights: Any = None,
) -> OneVersusRest:
    """Return inductive Venn-Abers calibration of each class against the rest.

    Args:
        predictions: N predictions of classes: a distribution, or ``Predictions``, which bring the rest.
        labels: (N,) class indices.
        split: The name of these rows' split, ``validation`` by default.
        row_ids: (N,) ids, by which the judge knows these rows again.
        weights: (N,), at least 0; a new row weighs 1.

    Raises:
        ValueError: Fewer than ten rows, one class only, labels outside, NaN.
        TypeError: Predictions that are not over classes.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> p = np.linspace(0.01, 0.99, 40)
        >>> fitted = fit_venn_abers(ArrayDistribution("bernoulli", {"probs": p}), p > 0.5)
        >>> fitted.maps[0](np.log([0.001, 0.999]), np.log([0.999, 0.001])).round(3)
        array([0.045, 0.955])
    """
    return fit_one_vs_rest(
        predictions,
        labels,
        _fit,
        method="venn_abers",
        split=split,
        row_ids=row_ids,
        weights=weights,
    )


def _fit(log_p: Float, log_rest: Float, hits: NDArray[np.bool_], weights: Float) -> VennAbersMap:
    knots, place = np.unique(np.exp(log_p), return_inverse=True)
    mass = np.asarray(np.bincount(place, weights), np.float64)
    hit_mass = np.asarray(np.bincount(place, weights * hits), np.float64)
    places = range(2 * len(knots) + 1)
    as_miss, as_hit = (
        np.array([_with_one_more(mass, hit_mass, at, label) for at in places]) for label in (0, 1)
    )
    return VennAbersMap(knots, as_miss, as_hit)


def _with_one_more(mass: Float, hit_mass: Float, at: int, label: int) -> float:
    """Return the isotonic fit at one more row: of an even place between knots, of an odd one at one."""
    from scipy.optimize import isotonic_regression

    knot, between = at // 2, at % 2 == 0
    if between:
        w, h = np.insert(mass, knot, 1.0), np.insert(hit_mass, knot, float(label))
    else:
        w, h = mass.copy(), hit_mass.copy()
        w[knot] += 1
        h[knot] += label
    return float(isotonic_regression(h / w, weights=w).x[knot])
