"""One number a row that says how uncertain a prediction is: larger is less certain."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from uncertain import families
from uncertain.evaluation.predictions import Predictions

CONTROL = "control:"
"""Prefix of the scores that look at no model; they stand in every OOD table."""


def uncertainty_scores(predictions: Predictions) -> dict[str, NDArray[np.float64]]:
    r"""Return every uncertainty score of the predictions, each (N,), larger is less certain.

    For classes: ``msp``, :math:`1 - \max_c p_c` (Hendrycks and Gimpel 2017), and ``entropy`` in
    nats; for real targets: ``sd``, the predictive standard deviation. Where the distribution has
    members or latent parts, ``epistemic`` is its epistemic part (mutual information, or variance).
    The method's own scores follow, by name.

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
        probabilities = families.class_probabilities(distribution)
        scores["msp"] = 1.0 - probabilities.max(axis=1).astype(np.float64)
        scores["entropy"] = _entropy(probabilities)
    else:
        scores["sd"] = np.sqrt(families.variance(distribution))
    scores |= _epistemic(distribution)
    for name, values in predictions.scores.items():
        scores[name] = np.asarray(values, dtype=np.float64)
    return scores


def models_scores(scores: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Return the scores that belong to the model, without the controls."""
    return {name: values for name, values in scores.items() if not name.startswith(CONTROL)}


def control_scores(predictions: Predictions) -> dict[str, NDArray[np.float64]]:
    """Return the scores that look at no model, without their prefix."""
    return {
        name.removeprefix(CONTROL): np.asarray(values, dtype=np.float64)
        for name, values in predictions.scores.items()
        if name.startswith(CONTROL)
    }


def _entropy(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    p = probabilities.astype(np.float64)
    # 0 log 0 = 0, and 1 log 1 must not come out as -0.
    logs = np.log(p, out=np.zeros_like(p), where=p > 0)
    entropy: NDArray[np.float64] = -(p * logs).sum(axis=1)
    return np.maximum(entropy, 0.0)


def _epistemic(distribution: families.ArrayDistribution) -> dict[str, NDArray[np.float64]]:
    try:
        return {"epistemic": np.asarray(families.decompose(distribution)[2], dtype=np.float64)}
    except TypeError:
        # A family without members or latent parts has no epistemic part to score.
        return {}
