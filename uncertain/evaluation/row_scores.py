"""The row scores whose means are figures of the table: what pairs and trainings are compared on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from uncertain import families
from uncertain.evaluation.predictions import Predictions

HIGHER_IS_BETTER = frozenset({"accuracy"})


def row_scores(case: Predictions) -> dict[str, NDArray[np.float64]]:
    """Return one score a row for every metric that is a mean of such scores.

    For classes ``accuracy``, ``nll`` and ``brier``; for real targets ``crps``, ``mae`` (the distance
    of the median) and, where the family has a density, ``nll``. T targets a row are averaged, except
    in ``nll``, which is joint.

    Args:
        case: Labelled predictions.

    Returns:
        Metric to scores, each (N,); ``nll`` may be infinite.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> p = np.array([[0.5, 0.5], [1.0, 0.0]])
        >>> case = Predictions(ArrayDistribution("categorical", {"probs": p}), np.array([0, 1]))
        >>> row_scores(case)["nll"]
        array([0.69314718,        inf])
    """
    if case.target is None:
        raise ValueError("`case` should have labels to be scored, got none.")
    return _of_classes(case) if case.is_classification else _of_values(case)


def _of_classes(case: Predictions) -> dict[str, NDArray[np.float64]]:
    labels = np.asarray(case.target, dtype=np.int64)
    p = families.class_probabilities(case.distribution)
    log_p = families.class_log_probabilities(case.distribution)
    rows = np.arange(len(labels))
    truth = p[rows, labels].astype(np.float64)
    squares = np.einsum("nc,nc->n", p, p, dtype=np.float64)
    return {
        "accuracy": (p.argmax(axis=1) == labels).astype(np.float64),
        "nll": 0.0 - log_p[rows, labels].astype(np.float64),
        "brier": squares - 2 * truth + 1,
    }


def _of_values(case: Predictions) -> dict[str, NDArray[np.float64]]:
    target = np.asarray(case.target, dtype=np.float64)
    distribution = case.distribution
    scores = {
        "crps": families.crps(distribution, target),
        "mae": np.abs(families.quantile(distribution, 0.5) - target),
    }
    if distribution.family not in ("empirical", "quantiles"):
        scores["nll"] = -families.log_prob(distribution, target)
    return {
        name: np.asarray(score).reshape(len(target), -1).mean(axis=1)
        for name, score in scores.items()
    }
