r"""Temperature scaling: one number that sharpens or flattens every prediction.

.. math:: p'_c \propto p_c^{1/T}

Accuracy and the order of the classes stay. Log-probabilities may stand for logits: a constant added
to every class of a row cancels. The log-likelihood is concave in :math:`1/T`, so the optimum is one
root of its derivative, found to 12 digits.

Of members there are two orders, which give different predictions. *Pool then calibrate*, the default:
one temperature for the mixture. *Calibrate then pool*: each member has its own, and the mixture is
taken afterwards, so it need not be calibrated itself: an average of calibrated members is
under-confident where they disagree.

References:
    Guo, Pleiss, Sun, Weinberger, On calibration of modern neural networks, ICML (2017), section 4.2.
    Rahaman, Thiery, Uncertainty quantification and deep ensembles, NeurIPS (2021).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from uncertain import checks, families
from uncertain.evaluation.calibrators.calibrator import Calibrator, as_family, check_count, pooled
from uncertain.evaluation.calibrators.rows import (
    Float,
    Rows,
    as_array,
    check_classes,
    check_labels,
    check_raw,
    rows_of,
)
from uncertain.evaluation.predictions import Predictions
from uncertain.families import FAMILIES, ArrayDistribution
from uncertain.families.structure import log_sum_exp
from uncertain.intervals import check_level, group_ids, normal_quantile
from uncertain.predictive.provenance import FittedOn

Order = Literal["pool_then_calibrate", "calibrate_then_pool"]
ORDERS = ("pool_then_calibrate", "calibrate_then_pool")
COLDEST, HOTTEST = 0.05, 20.0
"""Between these a temperature is sought: separable labels have none above 0."""
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Temperature(Calibrator):
    """A fitted temperature; its call maps predictions of classes to predictions of classes.

    Attributes:
        temperatures: One, or one a member in the order ``calibrate_then_pool``.
        standard_errors: Of the logarithms of the temperatures, robust to a wrong model.
        classes: C.
        fitted_on: Which rows it was fitted on.
        order: What was done to members first.

    Example:
        >>> import torch
        >>> half = Temperature((2.0,), (0.1,), 2, FittedOn("temperature", "validation", 100))
        >>> half(torch.distributions.Categorical(logits=torch.tensor([[2.0, 0.0]]))).probs
        tensor([[0.7311, 0.2689]])
    """

    temperatures: tuple[float, ...]
    standard_errors: tuple[float, ...]
    classes: int
    fitted_on: FittedOn
    order: Order = "pool_then_calibrate"

    @property
    def at_bound(self) -> bool:
        """Whether a temperature stands at an end of its range: the labels know no better one."""
        return any(t in (COLDEST, HOTTEST) for t in self.temperatures)

    @property
    def label(self) -> str:
        """``temperature``, and the order where members were calibrated first."""
        first = self.order == "calibrate_then_pool"
        return "temperature, calibrate then pool" if first else "temperature"

    def intervals(self, level: float = 0.95) -> list[tuple[float, float]]:
        """Return an interval for each temperature, normal on the scale of its logarithm.

        Example:
            >>> t = Temperature((2.0,), (0.1,), 2, FittedOn("temperature", "validation", 100))
            >>> [round(end, 2) for end in t.intervals()[0]]
            [1.64, 2.43]
        """
        check_level(level)
        z = normal_quantile((1 + level) / 2)
        return [
            (t * math.exp(-z * error), t * math.exp(z * error))
            for t, error in zip(self.temperatures, self.standard_errors, strict=True)
        ]

    def calibrate(self, distribution: ArrayDistribution) -> ArrayDistribution:
        """Return the predictions at the temperature, as arrays."""
        if self.order == "pool_then_calibrate":
            log_p = pooled(distribution, self.classes, "temperature")
            return as_family(distribution.family, log_p / self.temperatures[0])
        members = _members(distribution)
        check_count("classes", members.shape[2], self.classes, "temperature")
        check_count("members", members.shape[1], len(self.temperatures), "temperature")
        scaled = members / np.asarray(self.temperatures)[:, None]
        return as_family(distribution.family, scaled, distribution.mixture_weights)


def fit_temperature(
    predictions: Any,
    labels: Any = None,
    *,
    order: Order = "pool_then_calibrate",
    split: str | None = None,
    row_ids: Any = None,
    weights: Any = None,
    groups: Any = None,
) -> Temperature:
    """Return the temperature of the greatest likelihood.

    Args:
        predictions: N predictions of classes: a distribution of torch or an ``ArrayDistribution``,
            logits (N, C) as an array or tensor, or ``Predictions``, which bring the rest.
        labels: (N,) class indices.
        order: What is done to members first.
        split: The name of these rows' split, ``validation`` by default.
        row_ids: (N,) ids, by which the judge knows these rows again.
        weights: (N,), at least 0; weight k equals the row k times.
        groups: (N,) the unit that was sampled, for the standard error.

    Returns:
        The fitted value. A temperature is sought from 0.05 to 20; see ``at_bound``.

    Raises:
        ValueError: Fewer than ten rows, one class only, labels outside, NaN, a label of probability
            0 (no temperature repairs it), an unknown order.
        TypeError: Predictions that are not over classes, an array of probabilities, or no members for
            ``calibrate_then_pool``.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> logits = rng.normal(size=(2000, 3)) * 2
        >>> labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
        >>> fitted = fit_temperature(3 * logits, labels)
        >>> low, high = fitted.intervals()[0]
        >>> low < 3 < high
        True
    """
    checks.check_choice("order", order, ORDERS)
    given = _with_logits(predictions)
    rows = rows_of(
        given, labels, method="temperature", split=split, row_ids=row_ids, weights=weights, groups=groups
    )  # fmt: skip
    check_classes(rows.distribution, "temperature")
    if order == "pool_then_calibrate":
        tables = [families.class_log_probabilities(rows.distribution)]
    else:
        members = _members(rows.distribution)
        tables = [members[:, s] for s in range(members.shape[1])]
    classes = tables[0].shape[1]
    labels = check_labels(rows.target, rows.weights, classes, "temperature")
    rows = rows._replace(target=labels)
    found = [_fit_one(table, rows) for table in tables]
    temperatures, errors = zip(*found, strict=True)
    return Temperature(temperatures, errors, classes, rows.fitted_on, order)


def _with_logits(predictions: Any) -> Any:
    """Return an array of logits as a categorical, anything else as it is."""
    if isinstance(predictions, Predictions | ArrayDistribution) or hasattr(predictions, "log_prob"):
        return predictions
    logits = as_array(predictions)
    checks.check_shape("predictions", logits, ("N", "C"), hint="logits")
    check_raw("predictions", logits, normalised=True)
    if logits.dtype == np.float16:
        logits = logits.astype(np.float32)
    return ArrayDistribution("categorical", {"logits": families.log_softmax(logits)})


def _members(distribution: ArrayDistribution) -> Float:
    """Return log-probabilities (N, S, C) of the members."""
    check_classes(distribution, "temperature")
    family = FAMILIES[distribution.family]
    if distribution.mixture_weights is None or family.class_log_probs is None:
        raise TypeError(
            "`predictions` should have members (a mixture) to be calibrated before they are pooled, "
            f"got a single {distribution.family}: use the order pool_then_calibrate."
        )
    return np.asarray(family.class_log_probs(distribution.parameters), dtype=np.float64)


def _fit_one(log_p: Float, rows: Rows) -> tuple[float, float]:
    """Return the best temperature and the standard error of its logarithm."""
    from scipy.optimize import brentq

    _check_possible(log_p, rows)

    def slope(log_sharpness: float) -> float:
        sharpness = math.exp(log_sharpness)
        return sum(float(w @ gradient) for w, gradient, _ in _terms(log_p, rows, sharpness))

    sharpest, flattest = -math.log(COLDEST), -math.log(HOTTEST)
    if slope(flattest) >= 0:
        best = flattest
    elif slope(sharpest) <= 0:
        best = sharpest
    else:
        best = brentq(slope, flattest, sharpest, xtol=1e-13, rtol=1e-14)
    # Exact where it stands at a bound, so that `at_bound` can tell.
    ends = {flattest: HOTTEST, sharpest: COLDEST}
    return ends.get(best, math.exp(-best)), _standard_error(log_p, rows, math.exp(best))


def _terms(log_p: Float, rows: Rows, sharpness: float) -> Iterator[tuple[Float, Float, Float]]:
    """Yield weights, and first and second derivative of each row's loss by the sharpness, 1/T."""
    step = max(1, _BLOCK // log_p.shape[1])
    for start in range(0, len(log_p), step):
        part = slice(start, start + step)
        # Minus infinity is an impossible class at every temperature: it has no share in the means.
        possible = np.isfinite(log_p[part])
        z = np.where(possible, log_p[part], 0.0)
        scaled = np.where(possible, sharpness * z, -np.inf)
        q = np.exp(scaled - log_sum_exp(scaled)[:, None])
        mean = np.einsum("nc,nc->n", q, z)
        spread = np.einsum("nc,nc->n", q, (z - mean[:, None]) ** 2)
        picked = z[np.arange(len(z)), rows.target[part]]
        yield rows.weights[part], mean - picked, spread


def _standard_error(log_p: Float, rows: Rows, sharpness: float) -> float:
    """Return the sandwich estimate: groups, where there are any, are what varies."""
    parts = list(_terms(log_p, rows, sharpness))
    gradient = np.concatenate([w * g for w, g, _ in parts])
    curvature = sum(float(w @ h) for w, _, h in parts)
    if rows.groups is not None:
        gradient = np.bincount(group_ids(rows.groups), gradient)
    if curvature <= 0:
        return math.inf
    return math.sqrt(float(gradient @ gradient)) / curvature / sharpness


def _check_possible(log_p: Float, rows: Rows) -> None:
    picked = log_p[np.arange(len(log_p)), rows.target]
    lost: NDArray[np.bool_] = np.isneginf(picked) & (rows.weights > 0)
    if lost.any():
        raise ValueError(
            f"`predictions` give {int(lost.sum())} of {len(log_p)} labels the probability 0, the first "
            f"at row {int(np.argmax(lost))}: no temperature repairs that. Smooth the predictions first, "
            "or use a calibrator of probabilities (isotonic, histogram_binning)."
        )
