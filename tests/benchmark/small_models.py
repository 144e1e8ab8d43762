"""Models that a user may bring to a benchmark, by their import path."""

from __future__ import annotations

import torch
from torch.distributions import Categorical, Distribution

from uncertain.benchmark import Cost, Trained, Training


def class_frequencies(training: Training) -> object:
    """A predictor that looks at no input: a plain function, whose cost the benchmark measures."""
    assert training.train.y is not None
    counts = torch.bincount(training.train.y, minlength=training.classes).double()

    def predictor(x: torch.Tensor) -> Distribution:
        return Categorical(probs=(counts / counts.sum()).expand(len(x), -1))

    return predictor


def with_its_cost(training: Training) -> Trained:
    predictor = class_frequencies(training)
    return Trained(predictor, Cost(train_seconds=1.5, parameters=7, forward_passes=3))  # type: ignore[arg-type]


def failing(training: Training) -> object:
    raise ValueError("this model never works")


not_a_function = 3


def smoothed(training: Training) -> object:
    """Class frequencies mixed with equal ones: the setting ``share`` says how much."""
    frequencies = class_frequencies(training)
    share = float(training.settings["share"])

    def predictor(x: torch.Tensor) -> Distribution:
        p = frequencies(x).probs  # type: ignore[operator]
        return Categorical(probs=(1 - share) * p + share / training.classes)

    return predictor


smoothed.kinds = "classification"  # type: ignore[attr-defined]
smoothed.candidates = ({"share": 0.9}, {"share": 0.0})  # type: ignore[attr-defined]


def surely_wrong(training: Training) -> object:
    """Probability 0 for every label, in two ways: neither has a finite likelihood."""
    far = float(training.settings["far"])

    def predictor(x: torch.Tensor) -> Distribution:
        p = torch.zeros(len(x), training.classes, dtype=torch.float64)
        p[:, 0], p[:, 1] = 1 - far, far
        p[:, 2:] = 0
        return Categorical(logits=p.log())

    return predictor


surely_wrong.candidates = ({"far": 1.0}, {"far": 0.5})  # type: ignore[attr-defined]


def of_no_kind(training: Training) -> object:
    raise NotImplementedError


of_no_kind.kinds = {"ranking"}  # type: ignore[attr-defined]


def without_candidates(training: Training) -> object:
    raise NotImplementedError


without_candidates.candidates = ()  # type: ignore[attr-defined]
