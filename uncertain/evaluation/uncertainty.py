"""One number a row that says how uncertain a prediction is: larger is less certain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from uncertain import families
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.top_label import chunk_rows, largest, top_label

CONTROL = "control:"
"""Prefix of the scores that look at no model; they stand in every OOD table."""

DETECTOR = "detector:"
"""Prefix of the scores read from a network's features and logits; they have a table of their own."""

_BLOCK = 65_536
_TINY = float(np.finfo(np.float64).tiny)


def uncertainty_scores(predictions: Predictions) -> dict[str, NDArray[np.float64]]:
    r"""Return every uncertainty score of the predictions, each (N,), larger is less certain.

    For classes: ``msp``, :math:`1 - \max_c p_c` (Hendrycks and Gimpel 2017), and ``entropy`` in
    nats; for real targets: ``sd``, the predictive standard deviation, or where a family has none
    ``width``, that of the central 90 % interval (of the widest, where quantiles stop
    short). Where the distribution has members or latent parts, ``epistemic`` is its epistemic part (mutual information, or variance). T targets a row are
    averaged, variances as such. The method's own scores follow, by name.

    Raises:
        ValueError: An own score has the name of a built-in one.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> p = np.array([[0.5, 0.5], [1.0, 0.0]])
        >>> predictions = Predictions(ArrayDistribution("categorical", {"probs": p}), None)
        >>> uncertainty_scores(predictions)["msp"]
        array([0.5, 0. ])
    """
    distribution = predictions.distribution
    scores: dict[str, NDArray[np.float64]] = {}
    if predictions.is_classification:
        p = stated_probabilities(distribution)
        if p is None:
            blocks = [_class_scores(block) for block in _blocks(distribution)]
        else:
            blocks = [_of_probabilities(p[part]) for part in _parts(p)]
        scores |= {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    else:
        scores |= _spread(distribution) | _epistemic(distribution)
    for name, values in predictions.scores.items():
        if name in scores:
            raise ValueError(
                f"`scores` should have names of their own, got {name!r}, which is computed from the "
                "predictions: call yours something else."
            )
        scores[name] = np.asarray(values, dtype=np.float64)
    return scores


def models_scores(scores: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Return the scores that belong to the model, without controls and detectors."""
    others = (CONTROL, DETECTOR)
    return {name: values for name, values in scores.items() if not name.startswith(others)}


def detectors_scores(predictions: Predictions) -> dict[str, NDArray[np.float64]]:
    """Return the scores of detectors, with their prefix."""
    return {
        name: np.asarray(values, dtype=np.float64)
        for name, values in predictions.scores.items()
        if name.startswith(DETECTOR)
    }


def predicted_classes(predictions: Predictions) -> NDArray[np.intp]:
    """Return the most probable class of each row, (N,), the first of equals."""
    found = [
        families.class_probabilities(block).argmax(axis=1)
        for block in _blocks(predictions.distribution)
    ]
    return np.concatenate(found)


def mistaken(predictions: Predictions) -> NDArray[np.bool_]:
    """Return whether the most probable class of each row, the first of equals, is not its label.

    Example:
        >>> p = np.array([[0.5, 0.5], [0.5, 0.5]])
        >>> d = families.ArrayDistribution("categorical", {"probs": p})
        >>> mistaken(Predictions(d, np.array([0, 1])))
        array([False,  True])
    """
    target = np.asarray(predictions.target)
    p = stated_probabilities(predictions.distribution)
    if p is None:
        return np.asarray(predicted_classes(predictions) != target)
    labels = target.astype(np.intp, copy=False)
    return np.concatenate([~top_label(p[part], labels[part])[1] for part in _parts(p)])


def stated_probabilities(
    distribution: families.ArrayDistribution,
) -> NDArray[np.floating] | None:
    """Return the probabilities (N, C) that a distribution was made from, as they are, if it was.

    They were checked when it was made: their rows can be read in place.

    Example:
        >>> p = np.array([[0.5, 0.5], [1.0, 0.0]])
        >>> stated_probabilities(families.ArrayDistribution("categorical", {"probs": p})) is not None
        True
    """
    parameters = distribution.parameters
    if distribution.family != "categorical" or distribution.mixture_weights is not None:
        return None
    return np.asarray(parameters["probs"]) if "probs" in parameters else None


def control_scores(predictions: Predictions) -> dict[str, NDArray[np.float64]]:
    """Return the scores that look at no model, without their prefix."""
    return {
        name.removeprefix(CONTROL): np.asarray(values, dtype=np.float64)
        for name, values in predictions.scores.items()
        if name.startswith(CONTROL)
    }


def _blocks(distribution: families.ArrayDistribution) -> Iterator[families.ArrayDistribution]:
    """Yield the rows in blocks, so that a million of them need no copies of a million."""
    if len(distribution) <= _BLOCK:
        yield distribution
        return
    for start in range(0, len(distribution), _BLOCK):
        yield families.select(distribution, slice(start, start + _BLOCK))


def _class_scores(distribution: families.ArrayDistribution) -> dict[str, NDArray[np.float64]]:
    return _of_probabilities(families.class_probabilities(distribution)) | _epistemic(distribution)


def _parts(p: NDArray[np.floating]) -> Iterator[slice]:
    """Yield slices of rows whose float64 copies stay in the processor's cache."""
    step = chunk_rows(p.shape[1])
    for start in range(0, len(p), step):
        yield slice(start, start + step)


def _of_probabilities(probabilities: NDArray[np.floating]) -> dict[str, NDArray[np.float64]]:
    return {
        "msp": 1.0 - largest(probabilities).astype(np.float64),
        "entropy": _entropy(probabilities),
    }


def _entropy(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    p = probabilities.astype(np.float64)
    # 0 log 0 = 0: the least positive number has a finite logarithm.
    terms = np.maximum(p, _TINY)
    np.log(terms, out=terms)
    entropy: NDArray[np.float64] = -np.einsum("nc,nc->n", p, terms)
    # 1 log 1 must not come out as -0.
    return np.maximum(entropy, 0.0)


def _spread(distribution: families.ArrayDistribution) -> dict[str, NDArray[np.float64]]:
    try:
        variance = families.variance(distribution)
        # Heavy tails have no variance, which would rank nothing.
        if np.isfinite(variance).all():
            return {"sd": np.sqrt(_by_row(variance))}
    except TypeError:
        pass
    try:
        ends = families.quantile(distribution, 0.95), families.quantile(distribution, 0.05)
    except TypeError:
        return {}
    except ValueError:
        # Predicted quantiles that stop short of these levels: the widest interval they have.
        values = np.asarray(distribution.parameters["values"], dtype=np.float64)
        ends = values[..., -1], values[..., 0]
    return {"width": _by_row(ends[0] - ends[1])}


def _epistemic(distribution: families.ArrayDistribution) -> dict[str, NDArray[np.float64]]:
    try:
        epistemic = families.decompose(distribution)[2]
    except TypeError:
        # A family without members or latent parts has no epistemic part to score.
        return {}
    return {"epistemic": _by_row(np.asarray(epistemic, dtype=np.float64))}


def _by_row(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values if values.ndim == 1 else values.reshape(len(values), -1).mean(axis=1)
