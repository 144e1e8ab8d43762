"""Predictions to judge, drawn with a seed: shared by the tests of the judge and of its parts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain.evaluation.predictions import Predictions
from uncertain.families import ArrayDistribution


def labels_of(probabilities: NDArray[Any], seed: int = 0) -> NDArray[np.int64]:
    """Return classes drawn from the probabilities, so that these are calibrated."""
    draws = np.random.default_rng(seed).random((len(probabilities), 1))
    classes = (probabilities.cumsum(axis=1) > draws).argmax(axis=1)
    return np.asarray(classes, dtype=np.int64)


def probabilities_of(n: int, classes: int = 3, seed: int = 0, concentration: float = 0.6) -> Any:
    return np.random.default_rng(seed).dirichlet(np.full(classes, concentration), n)


def classifier(
    n: int = 60,
    *,
    classes: int = 3,
    seed: int = 0,
    labels_seed: int = 0,
    noise: float = 0.0,
    labelled: bool = True,
    **facts: Any,
) -> Predictions:
    """Predict the same rows for every ``seed``: the truth hangs on ``labels_seed`` alone."""
    truth = probabilities_of(n, classes, labels_seed)
    target = labels_of(truth, labels_seed + 1)
    logits = np.log(truth) + noise * np.random.default_rng(seed + 7).normal(size=truth.shape)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    d = ArrayDistribution("categorical", {"probs": p})
    return Predictions(d, target if labelled else None, **facts)


def regressor(n: int = 60, *, seed: int = 0, noise: float = 0.3, **facts: Any) -> Predictions:
    rng = np.random.default_rng(0)
    target = rng.normal(size=n)
    loc = target + noise * np.random.default_rng(seed + 5).normal(size=n)
    scale = np.full(n, max(noise, 0.1)) * np.exp(rng.normal(0, 0.2, n))
    return Predictions(ArrayDistribution("normal", {"loc": loc, "scale": scale}), target, **facts)


def figures(results: Any) -> dict[tuple[str, ...], Any]:
    """Return the rows of a table by what names them."""
    return {
        (r.metric, r.variant, r.source, r.other, r.split, r.training, r.over, r.task): r
        for r in results
    }


def value(results: Any, metric: str, **facts: Any) -> float:
    (row,) = [
        r
        for r in results
        if r.metric == metric and all(getattr(r, k) == v for k, v in facts.items())
    ]
    return float(row.value)
