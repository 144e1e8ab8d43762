"""From a model to its answers on every case, and what its scores are worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from perturbed.storage import Judged
from perturbed.tasks import Task
from uncertain import evaluation

VIEWS = 4
"""Views of each validation row that a temperature is fitted on."""

BATCH = 500

Array = NDArray[np.floating[Any]]


class Answer(NamedTuple):
    """Log-probabilities (N, C) of rows, and the model's own score (N,) where it has one."""

    log_probs: Tensor
    score: Tensor | None


Model = Callable[[Tensor], Answer]


def judge(model: Model, task: Task, cases: Mapping[tuple[str, int], Tensor]) -> Judged:
    """Judge a model: temperature from views of the validation rows, then every case.

    Args:
        model: Trained.
        task: What it was trained on.
        cases: The test rows under each corruption, the rows as they are first.

    Returns:
        Its answers and figures. Scores of its probabilities are taken after temperature scaling.
    """
    temperature = validated_temperature(model, task)
    labels = _labels(task.test.y)
    correct, nll, raw, scores = [], [], [], []
    for rows in cases.values():
        log_probs, own = answers(model, rows)
        scaled = scaled_log_probs(log_probs, temperature)
        correct.append(log_probs.argmax(axis=1) == labels)
        nll.append(-scaled[np.arange(len(labels)), labels])
        raw.append(-log_probs[np.arange(len(labels)), labels])
        scores.append(all_scores(scaled, own))
    wrong = ~np.array(correct)
    pooled = {name: np.stack([s[name] for s in scores]) for name in scores[0]}
    figures = {"temperature": temperature, **_error_figures(pooled, wrong)}
    if task.strange is not None:
        log_probs, own = answers(model, task.strange.x[:])
        strange = all_scores(scaled_log_probs(log_probs, temperature), own)
        figures |= _near_figures({name: s[0] for name, s in pooled.items()}, strange)
    return Judged(np.array(correct), np.array(nll), np.array(raw), figures)


def answers(model: Model, x: Tensor) -> tuple[Array, Array | None]:
    """Return log-probabilities in float64, and the model's own scores, batch by batch."""
    with torch.inference_mode():
        found = [model(as_inputs(part)) for part in x.split(BATCH)]
    log_probs = torch.cat([answer.log_probs for answer in found]).double()
    own = [answer.score for answer in found if answer.score is not None]
    return log_probs.numpy(), torch.cat(own).double().numpy() if own else None


def as_inputs(x: Tensor) -> Tensor:
    """Return bytes as numbers from 0 to 1, anything else as it is."""
    return x.to(torch.float32) / 255 if x.dtype == torch.uint8 else x


def validated_temperature(model: Model, task: Task) -> float:
    """Return the temperature of the greatest likelihood on views of the validation rows."""
    generator = torch.Generator().manual_seed(0)
    x = task.perturb(task.validation.x[:].repeat_interleave(VIEWS, dim=0), generator)
    labels = np.repeat(_labels(task.validation.y), VIEWS)
    log_probs, _ = answers(model, x)
    return evaluation.fit_temperature(np.maximum(log_probs, -1e4), labels).temperatures[0]


def scaled_log_probs(log_probs: Array, temperature: float) -> Array:
    """Return log-probabilities at a temperature."""
    scaled = torch.from_numpy(log_probs / temperature).log_softmax(dim=1)
    return np.asarray(scaled.numpy())


def all_scores(log_probs: Array, own: Array | None) -> dict[str, Array]:
    """Return uncertainty scores, larger for less certain: of the probabilities, and the model's own."""
    p = np.exp(log_probs)
    ordered = np.sort(p, axis=1)
    scores = {
        "max_probability": 1 - ordered[:, -1],
        "margin": 1 - (ordered[:, -1] - ordered[:, -2]),
        "entropy": -(p * np.where(p > 0, log_probs, 0)).sum(axis=1),
    }
    return scores if own is None else {"own": own, **scores}


def _error_figures(scores: Mapping[str, Array], wrong: NDArray[np.bool_]) -> dict[str, float]:
    """How well mistakes are told from right answers, all cases together and the clean rows alone."""
    figures = {}
    for name, values in scores.items():
        for part, rows in (("", slice(None)), ("_clean", slice(0, 1))):
            curve = evaluation.rank_curve(values[rows].ravel(), wrong[rows].ravel())
            figures[f"augrc{part}_{name}"] = evaluation.area_under_generalised_risk_coverage(curve)
            figures[f"risk_at_90{part}_{name}"] = evaluation.risk_at_coverage(curve, coverage=0.9)
    return figures


def _near_figures(known: Mapping[str, Array], strange: Mapping[str, Array]) -> dict[str, float]:
    """How well rows of held-out classes are told from clean rows of known ones."""
    figures = {}
    for name, values in known.items():
        both = np.concatenate([values, strange[name]])
        positive = np.arange(len(both)) >= len(values)
        curve = evaluation.rank_curve(both, positive)
        figures[f"near_ood_auroc_{name}"] = evaluation.area_under_roc(curve)
    return figures


def _labels(y: Tensor | None) -> NDArray[np.int64]:
    assert y is not None
    return y.numpy()
