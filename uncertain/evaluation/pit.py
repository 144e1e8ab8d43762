r"""Probability integral transforms: where each target fell in its own predicted distribution.

Under right predictions the histogram is flat; a U is over-confidence, a hump under-confidence, a
slope a bias. Where predictions have steps the non-randomised PIT is drawn, which is flat too; see
:mod:`uncertain.evaluation.discrete_pit`.

References:
    Gneiting, Balabdaoui and Raftery, Probabilistic forecasts, calibration and sharpness, JRSS B
    (2007).
    Czado, Gneiting and Held, Predictive model assessment for count data, Biometrics (2009).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain.checks import check_finite, check_not_empty, check_range, check_shape
from uncertain.evaluation.discrete_pit import pit_curve, target_bounds
from uncertain.families import ArrayDistribution
from uncertain.intervals import (
    check_weights,
    effective_rows,
    group_ids,
    wilson_bounds,
)

if TYPE_CHECKING:
    from torch.distributions import Distribution

Scores = NDArray[np.float64]


class PitHistogram(NamedTuple):
    """Shares of PIT values in equal bins, and where they would lie for calibrated predictions.

    Attributes:
        edges: (bins + 1,).
        share: Share of the weight in each bin, (bins,).
        low: Wilson's lower bound of each share, (bins,).
        high: Upper bound, (bins,).
    """

    edges: Scores
    share: Scores
    low: Scores
    high: Scores


def pit_histogram(
    distribution: ArrayDistribution | Distribution,
    target: ArrayLike,
    *,
    bins: int = 20,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> PitHistogram:
    """Return the histogram of PIT values with an interval a bin.

    A constant predicted scale, or all PIT values in one bin, are ordinary cases.

    Args:
        distribution: N predictions over numbers, as arrays or of torch.
        target: (N,) or (N, T).
        bins: Number of equal bins on [0, 1].
        weights: (N,).
        groups: (N,).
        level: Nominal coverage of each bin's interval.

    Example:
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(3), "scale": np.ones(3)})
        >>> pit_histogram(d, np.array([-1.0, 0.1, 1.0]), bins=2).share.round(2)
        array([0.33, 0.67])
    """
    check_range("bins", bins, 1)
    d = as_arrays(distribution)
    y = checked_target(d, target)
    low, high = target_bounds(d, y)
    u, w, ids = pooled(low, weights, groups)
    shares = check_weights(w, len(u))
    if np.array_equal(low, high):
        place = np.minimum((u * bins).astype(np.intp), bins - 1)
        share = np.bincount(place, shares, minlength=bins) / shares.sum()
    else:
        curve = pit_curve(u, high.reshape(-1), weights=w)
        # A value of exactly 1 joins the last bin.
        share = np.diff(np.append(curve.values(np.arange(bins) / bins), 1.0))
    n = effective_rows(shares, groups=ids)
    ends = np.array([wilson_bounds(float(min(p, 1.0)), n, level=level) for p in share])
    return PitHistogram(np.linspace(0, 1, bins + 1), share, ends[:, 0], ends[:, 1])


def as_arrays(distribution: ArrayDistribution | Distribution) -> ArrayDistribution:
    """Return a distribution of either kind as arrays; torch is loaded only for one of its own.

    Raises:
        TypeError: For anything else.

    Example:
        >>> as_arrays([0.5])
        Traceback (most recent call last):
        TypeError: `distribution` should be an ArrayDistribution or a torch distribution, got list.
    """
    if isinstance(distribution, ArrayDistribution):
        return distribution
    if not hasattr(distribution, "batch_shape"):
        raise TypeError(
            "`distribution` should be an ArrayDistribution or a torch distribution, got "
            f"{type(distribution).__name__}."
        )
    from uncertain.predictive.arrays import to_arrays

    return to_arrays(distribution)


def checked_target(distribution: ArrayDistribution, target: ArrayLike) -> Scores:
    """Return targets as float64, checked for shape, NaN and infinities.

    Example:
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(2), "scale": np.ones(2)})
        >>> checked_target(d, [1, 2])
        array([1., 2.])
    """
    y = np.asarray(target, dtype=np.float64)
    check_not_empty("target", y)
    check_shape("target", y, (len(distribution), *distribution.event_shape), hint="one a row")
    check_finite("target", y)
    return y


def pooled(
    values: NDArray[Any], weights: ArrayLike | None, groups: ArrayLike | None
) -> tuple[NDArray[Any], NDArray[np.float64] | None, NDArray[np.intp] | None]:
    """T targets a row as N T rows, the row (or its group) as the resampling unit."""
    n, targets = len(values), values.size // max(1, len(values))
    w = None if weights is None else np.repeat(np.asarray(weights, dtype=np.float64), targets)
    ids = None if groups is None else np.repeat(group_ids(groups), targets)
    if ids is None and targets > 1:
        ids = np.repeat(np.arange(n), targets)
    return values.reshape(-1), w, ids
