r"""Bayesian binning into quantiles (BBQ): an average over many histograms, weighted by evidence.

For :math:`B` bins of equally many rows, with :math:`N_b` rows and :math:`m_b` hits in bin :math:`b`,
prior strength :math:`N' = 2`, middle :math:`p_b` and :math:`\alpha_b = N' p_b / B`,
:math:`\beta_b = N' (1 - p_b) / B`, the evidence is

.. math::
    \prod_b \frac{\Gamma(N'/B)}{\Gamma(N_b + N'/B)}
    \frac{\Gamma(m_b + \alpha_b)}{\Gamma(\alpha_b)}
    \frac{\Gamma(N_b - m_b + \beta_b)}{\Gamma(\beta_b)}

and the bin's probability :math:`(m_b + \alpha_b) / (N_b + N'/B)`. :math:`B` goes from
:math:`N^{1/3} / 10` to :math:`10 N^{1/3}`.

References:
    Naeini, Cooper, Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, AAAI
    (2015), equations 1 to 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain.evaluation.calibrators.histogram import (
    HistogramMap,
    bin_counts,
    equal_mass_edges,
    middles,
)
from uncertain.evaluation.calibrators.one_vs_rest import BinaryMap, OneVersusRest, fit_one_vs_rest
from uncertain.evaluation.calibrators.rows import Float

PRIOR_STRENGTH = 2.0
RANGE = 10.0
NEGLIGIBLE = 1e-12
"""Histograms of a smaller share of the evidence are left out."""


@dataclass(frozen=True, eq=False)
class AveragedMap(BinaryMap):
    """A weighted average of step functions.

    Attributes:
        models: M histograms.
        shares: (M,), summing to one.

    Example:
        >>> low = HistogramMap(np.array([0.5]), np.array([0.0, 0.5]))
        >>> high = HistogramMap(np.array([0.5]), np.array([0.5, 1.0]))
        >>> AveragedMap((low, high), np.array([0.5, 0.5]))(np.log([0.3]), np.log([0.7]))
        array([0.25])
    """

    models: Sequence[HistogramMap]
    shares: Float

    def __call__(self, log_p: Float, log_rest: Float) -> Float:
        """Return calibrated probabilities (N,)."""
        total = np.zeros(len(log_p))
        for share, model in zip(self.shares, self.models, strict=True):
            total += share * model(log_p, log_rest)
        return total


def fit_bbq(
    predictions: Any,
    labels: Any = None,
    *,
    split: str | None = None,
    row_ids: Any = None,
    weights: Any = None,
) -> OneVersusRest:
    """Return Bayesian binning of each class against the rest.

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
        >>> p = np.linspace(0.01, 0.99, 400)
        >>> fitted = fit_bbq(ArrayDistribution("bernoulli", {"probs": p}), p > 0.5)
        >>> sum(fitted.maps[0].shares).round(6)
        np.float64(1.0)
    """
    return fit_one_vs_rest(
        predictions, labels, _fit, method="bbq", split=split, row_ids=row_ids, weights=weights
    )


def _fit(log_p: Float, log_rest: Float, hits: NDArray[np.bool_], weights: Float) -> AveragedMap:
    p = np.exp(log_p)
    root = len(p) ** (1 / 3)
    counts = range(max(1, math.floor(root / RANGE)), min(math.ceil(root * RANGE), len(p)) + 1)
    models, evidence, seen = [], [], set()
    for count in counts:
        edges = equal_mass_edges(p, bins=count)
        # Ties make several counts the same histogram: it has one share.
        if edges.tobytes() in seen:
            continue
        seen.add(edges.tobytes())
        model, log_evidence = _histogram(p, hits, weights, edges)
        models.append(model)
        evidence.append(log_evidence)
    shares = np.exp(np.asarray(evidence) - max(evidence))
    shares /= shares.sum()
    kept = np.flatnonzero(shares >= NEGLIGIBLE)
    return AveragedMap(tuple(models[i] for i in kept), shares[kept] / shares[kept].sum())


def _histogram(
    p: Float, hits: NDArray[np.bool_], weights: Float, edges: Float
) -> tuple[HistogramMap, float]:
    """Return the posterior mean of each bin, and the logarithm of the evidence."""
    from scipy.special import gammaln

    mass, hit = bin_counts(p, hits, weights, edges)
    strength = PRIOR_STRENGTH / len(mass)
    middle = middles(edges)
    alpha, beta = strength * middle, strength * (1 - middle)
    terms = (
        gammaln(strength) - gammaln(mass + strength)
        + gammaln(hit + alpha) - gammaln(alpha)
        + gammaln(mass - hit + beta) - gammaln(beta)
    )  # fmt: skip
    return HistogramMap(edges, (hit + alpha) / (mass + strength)), float(terms.sum())
