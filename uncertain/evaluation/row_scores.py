"""The row scores whose means are figures of the table: what pairs and trainings are compared on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain import families
from uncertain.evaluation import classification, ordinal
from uncertain.evaluation.predictions import Predictions

HIGHER_IS_BETTER = frozenset({"accuracy"})


def row_scores(case: Predictions) -> dict[str, NDArray[np.float64]]:
    """Return one score a row for every metric that is a mean of such scores.

    For classes ``accuracy``, ``nll`` and ``brier``, and ``rps`` where they are ordinal; for real
    targets those of ``crps``, ``mae`` (the distance of the median) and ``nll``, and on a grid
    ``grid_nll`` and ``rps``, that the family can answer. T targets a row are averaged, except in
    ``nll``, which is joint.

    Args:
        case: Labelled predictions.

    Returns:
        Metric (``metric|variant`` where it has one) to scores, each (N,); ``nll`` may be infinite.

    Raises:
        ValueError: There are no labels.

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


def split_variant(name: str) -> tuple[str, str]:
    """Return metric and variant of a key of :func:`row_scores`.

    Example:
        >>> split_variant("crps|ecdf"), split_variant("nll")
        (('crps', 'ecdf'), ('nll', ''))
    """
    metric, _, variant = name.partition("|")
    return metric, variant


def _named(metric: str, variant: str) -> str:
    return f"{metric}|{variant}" if variant else metric


def class_arrays(case: Predictions) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    """Return class probabilities (N, C) and, where they say more, log-probabilities.

    Probabilities that a user gave come back as they are, without a copy: their logarithms hold
    nothing that they do not.
    """
    parameters = case.distribution.parameters
    single = case.distribution.mixture_weights is None
    if case.distribution.family == "categorical" and "probs" in parameters and single:
        return np.asarray(parameters["probs"]), None
    log_p = families.class_log_probabilities(case.distribution)
    return families.class_probabilities(case.distribution), log_p


def _of_classes(case: Predictions) -> dict[str, NDArray[np.float64]]:
    p, log_p = class_arrays(case)
    scores = classification.row_scores(p, np.asarray(case.target), log_probabilities=log_p)
    found = {
        "accuracy": scores.correct.astype(np.float64),
        "nll": scores.nll,
        "brier": scores.brier,
    }
    if case.ordinal:
        found["rps"] = ordinal.ranked_probability_scores(p, np.asarray(case.target))
    return found


def _of_values(case: Predictions) -> dict[str, NDArray[np.float64]]:
    from uncertain.evaluation import regression

    target = np.asarray(case.target, dtype=np.float64)
    distribution = case.distribution
    figures: dict[str, Callable[[], NDArray[np.float64]]] = {
        _named("crps", regression.crps_form(distribution)): lambda: families.crps(
            distribution, target
        ),
        "mae": lambda: regression.absolute_errors(distribution, target),
        "nll": lambda: -families.log_prob(distribution, target),
    }
    if case.grid is not None:
        figures |= {
            _named(name, variant): figure
            for name, variant, figure in regression.grid_scores(distribution, target, case.grid)
        }
    scores = {}
    for name, figure in figures.items():
        # What a family can't answer has no row scores; its figure in the table says why.
        with contextlib.suppress(TypeError, regression.MissingLevelError):
            scores[name] = np.asarray(figure()).reshape(len(target), -1).mean(axis=1)
    return scores
