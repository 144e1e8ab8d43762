"""What a calibrator is fitted on: predictions, the truth, and a record of which rows these were.

Axis letters: ``N`` rows, ``C`` classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uncertain import checks, families, keyed
from uncertain.evaluation.predictions import Predictions
from uncertain.families import ArrayDistribution
from uncertain.predictive.facts import CLASS_FAMILIES
from uncertain.predictive.provenance import FittedOn, fitted_on

if TYPE_CHECKING:
    from torch.distributions import Distribution

    Given = Predictions | ArrayDistribution | Distribution

FEWEST = 10
"""Rows below which nothing is fitted."""

_ROUNDING = 1e-2
"""How far probabilities of a row may be from a sum of 1: half precision, or two written digits."""

Float = NDArray[np.float64]


class Rows(NamedTuple):
    """Rows to fit on.

    Attributes:
        distribution: N predictions.
        target: (N,) class indices, or real numbers.
        weights: (N,), at least 0; ones where none were given.
        groups: (N,) the unit that was sampled, or ``None``.
        fitted_on: The record of them.
    """

    distribution: ArrayDistribution
    target: NDArray[Any]
    weights: Float
    groups: NDArray[Any] | None
    fitted_on: FittedOn


def rows_of(
    predictions: Any,
    target: Any,
    *,
    method: str,
    split: str | None,
    row_ids: Any,
    weights: Any,
    groups: Any,
) -> Rows:
    """Return the rows that a fit is given, checked.

    Args:
        predictions: :class:`~uncertain.evaluation.Predictions`, which bring their target, split, ids,
            weights and groups; a distribution of torch; or an
            :class:`~uncertain.families.ArrayDistribution`.
        target: (N,), for anything but ``Predictions``.
        method: What is fitted.
        split: The split's name; by default that of the predictions, else ``validation``.
        row_ids: (N,).
        weights: (N,).
        groups: (N,).

    Raises:
        TypeError: No distribution, or a target beside ``Predictions``.
        ValueError: Lengths differ, labels are outside, values are not finite, there are fewer than
            ten rows of a weight above 0.
    """
    if isinstance(predictions, Predictions):
        if target is not None:
            raise TypeError("`labels` should not stand beside Predictions, which hold their own.")
        case = predictions
        facts = (case.target, split or case.split, case.row_ids, case.weights, case.groups)
        target, split, row_ids, weights, groups = facts
        distribution = case.distribution
    else:
        distribution = as_arrays(predictions)
    if target is None:
        raise ValueError("`labels` should be given to fit on, got none.")
    target = as_array(target)
    checks.check_same_length(predictions=distribution, labels=target)
    checks.check_finite("labels", target)
    w = np.ones(len(target)) if weights is None else as_array(weights).astype(np.float64)
    checks.check_shape("weights", w, (len(target),), hint="one a row")
    checks.check_finite("weights", w)
    checks.check_range("weights", w, 0)
    if np.count_nonzero(w) < FEWEST:
        raise ValueError(
            f"`labels` should have at least {FEWEST} rows of a weight above 0 to fit {method} on, got "
            f"{np.count_nonzero(w)}."
        )
    ids = None if row_ids is None else as_array(row_ids)
    units = None if groups is None else as_array(groups)
    checks.check_same_length(labels=target, row_ids=ids, groups=units)
    record = fitted_on(method, split=split or "validation", row_ids=ids, target=target)
    return Rows(distribution, target, w, units, record)


def class_rows(predictions: Any, labels: Any, *, method: str, **facts: Any) -> tuple[Rows, Float]:
    """Return rows of classes and their log-probabilities (N, C), members pooled.

    Raises:
        TypeError: As :func:`rows_of`, and for predictions that are not over classes.
        ValueError: As :func:`rows_of`, and where labels are outside or all one class.
    """
    rows = rows_of(predictions, labels, method=method, **facts)
    check_classes(rows.distribution, method)
    log_p = families.class_log_probabilities(rows.distribution)
    labels = check_labels(rows.target, rows.weights, log_p.shape[1], method)
    return rows._replace(target=labels), log_p


def check_classes(distribution: ArrayDistribution, method: str) -> None:
    """Raise ``TypeError`` unless the predictions are of one class a row."""
    if distribution.family not in CLASS_FAMILIES or distribution.event_shape != ():
        shape = f" of {distribution.event_shape[0]} outputs" if distribution.event_shape else ""
        raise TypeError(
            f"`predictions` should be over classes, one a row, for {method} calibration, got "
            f"{distribution.family} predictions{shape}."
        )


def check_labels(labels: NDArray[Any], weights: Float, classes: int, method: str) -> NDArray[Any]:
    """Return class indices, at least two of which occur."""
    checks.check_labels("labels", labels, classes)
    whole = labels.astype(np.int64)
    if keyed.count_distinct(whole[weights > 0]) < 2:
        raise ValueError(
            f"`labels` should hold at least two classes to fit {method} on, got only class "
            f"{whole[weights > 0][0]}."
        )
    return whole


def as_arrays(predictions: Any) -> ArrayDistribution:
    """Return a distribution of either kind as arrays.

    Raises:
        TypeError: For anything else.
    """
    if isinstance(predictions, ArrayDistribution):
        return predictions
    if is_torch(predictions):
        from uncertain.predictive.arrays import to_arrays

        return to_arrays(predictions)
    raise TypeError(
        "`predictions` should be Predictions or a distribution, got "
        f"{type(predictions).__name__}: make one, `Categorical(logits=logits)`."
    )


def check_raw(name: str, logits: NDArray[Any], *, normalised: bool) -> None:
    """Raise ``TypeError`` where an array of logits (N, C) holds probabilities.

    Args:
        name: Of the argument.
        logits: (N, C); of fewer than ten rows nothing is said.
        normalised: Whether log-probabilities may stand for logits.
    """
    if len(logits) < FEWEST:
        return
    if ((logits >= 0) & (logits <= 1)).all() and _sum_to_one(logits):
        raise TypeError(
            f"`{name}` should be logits, got probabilities (every row lies in [0, 1] and sums to 1). "
            'Say so: `ArrayDistribution("categorical", {"probs": p})` or `Categorical(probs=p)`, for '
            "`fit_temperature` or `fit_dirichlet`."
        )
    if not normalised and (logits <= _ROUNDING).all() and _sum_to_one(np.exp(logits)):
        raise TypeError(
            f"`{name}` should be raw logits, got log-probabilities (every row's exponentials sum to 1): "
            'say so, `ArrayDistribution("categorical", {"logits": logits})`, and use `fit_dirichlet` '
            "or `fit_temperature`."
        )


def _sum_to_one(p: NDArray[Any]) -> bool:
    totals = p.sum(axis=1, dtype=np.float64)
    return bool((np.abs(totals - 1) <= _ROUNDING).all())


def is_torch(value: Any) -> bool:
    """Return whether a value is a distribution of torch, without importing torch."""
    return hasattr(value, "batch_shape") and hasattr(value, "log_prob")


def as_array(value: Any) -> NDArray[Any]:
    """Return a tensor on any device, or anything like an array, as an array on the host."""
    if hasattr(value, "detach"):
        value = value.detach()
        if value.is_floating_point() and value.element_size() < 4:
            value = value.float()
        value = value.cpu()
    return np.asarray(value)
