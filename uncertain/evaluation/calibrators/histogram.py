"""Histogram binning: a bin's probability is the share of hits in it.

References:
    Zadrozny, Elkan, Obtaining calibrated probability estimates from decision trees and naive Bayesian
    classifiers, ICML (2001).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from uncertain import checks
from uncertain.evaluation.calibrators.one_vs_rest import BinaryMap, OneVersusRest, fit_one_vs_rest
from uncertain.evaluation.calibrators.rows import Float

Binning = Literal["equal_mass", "equal_width"]


@dataclass(frozen=True, eq=False)
class HistogramMap(BinaryMap):
    """A step function.

    Attributes:
        edges: (B - 1,) inner edges; a score on an edge is in the bin above it.
        values: (B,) calibrated probabilities.

    Example:
        >>> steps = HistogramMap(np.array([0.5]), np.array([0.1, 0.8]))
        >>> steps(np.log([0.3, 0.5]), np.log([0.7, 0.5]))
        array([0.1, 0.8])
    """

    edges: Float
    values: Float

    def __call__(self, log_p: Float, log_rest: Float) -> Float:
        """Return calibrated probabilities (N,)."""
        return self.values[bins_of(np.exp(log_p), self.edges)]


def fit_histogram_binning(
    predictions: Any,
    labels: Any = None,
    *,
    bins: int = 15,
    binning: Binning = "equal_mass",
    split: str | None = None,
    row_ids: Any = None,
    weights: Any = None,
) -> OneVersusRest:
    """Return histogram binning of each class against the rest.

    Args:
        predictions: N predictions of classes: a distribution, or ``Predictions``, which bring the rest.
        labels: (N,) class indices.
        bins: How many; fewer where scores are tied.
        binning: Bins of equally many rows, or of equal width. An empty bin keeps its middle.
        split: The name of these rows' split, ``validation`` by default.
        row_ids: (N,) ids, by which the judge knows these rows again.
        weights: (N,), at least 0.

    Raises:
        ValueError: Fewer than ten rows, one class only, labels outside, NaN, no bins.
        TypeError: Predictions that are not over classes.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> p = np.linspace(0.01, 0.99, 40)
        >>> d = ArrayDistribution("bernoulli", {"probs": p})
        >>> fit_histogram_binning(d, p > 0.5, bins=2).maps[0].values
        array([0., 1.])
    """
    checks.check_range("bins", bins, 1)
    checks.check_choice("binning", binning, ("equal_mass", "equal_width"))
    edges = partial(equal_mass_edges, bins=bins)
    if binning == "equal_width":
        edges = partial(_equal_width_edges, bins=bins)
    return fit_one_vs_rest(
        predictions, labels, partial(_fit, edges=edges), method="histogram_binning",
        split=split, row_ids=row_ids, weights=weights,
    )  # fmt: skip


def _fit(
    log_p: Float,
    log_rest: Float,
    hits: NDArray[np.bool_],
    weights: Float,
    *,
    edges: Callable[[Float], Float],
) -> HistogramMap:
    p = np.exp(log_p)
    inner = edges(p)
    mass, hit = bin_counts(p, hits, weights, inner)
    middle = middles(inner)
    return HistogramMap(inner, np.where(mass > 0, hit / np.where(mass > 0, mass, 1.0), middle))


def equal_mass_edges(p: Float, *, bins: int) -> Float:
    """Return inner edges between equally many rows each, halfway between neighbouring scores.

    Example:
        >>> equal_mass_edges(np.array([0.1, 0.2, 0.6, 0.8]), bins=2)
        array([0.4])
    """
    ordered = np.sort(p)
    cuts = np.round(np.arange(1, bins) * len(p) / bins).astype(int)
    cuts = cuts[(cuts > 0) & (cuts < len(p))]
    edges = (ordered[cuts - 1] + ordered[cuts]) / 2
    # A cut between equal scores parts nothing: the edge moves to where they end.
    tied = ordered[cuts - 1] == ordered[cuts]
    above = np.searchsorted(ordered, ordered[cuts], side="right")
    ends = np.minimum(above, len(p) - 1)
    edges = np.where(tied, (ordered[cuts] + ordered[ends]) / 2, edges)
    return np.unique(edges[(above < len(p)) | ~tied])


def _equal_width_edges(p: Float, *, bins: int) -> Float:
    return np.arange(1, bins) / bins


def bins_of(p: Float, edges: Float) -> NDArray[np.intp]:
    """Return the bin of each score, bins being [low, high)."""
    return np.searchsorted(edges, p, side="right")


def bin_counts(
    p: Float, hits: NDArray[np.bool_], weights: Float, edges: Float
) -> tuple[Float, Float]:
    """Return the weight of rows and of hits in each bin."""
    place, size = bins_of(p, edges), len(edges) + 1
    mass, hit = np.bincount(place, weights, size), np.bincount(place, weights * hits, size)
    return mass.astype(np.float64), hit.astype(np.float64)


def middles(edges: Float) -> Float:
    """Return the middle of each bin, the outer ones reaching to 0 and 1."""
    whole = np.concatenate([[0.0], edges, [1.0]])
    out: Float = (whole[:-1] + whole[1:]) / 2
    return out
