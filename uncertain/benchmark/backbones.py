"""A trained network whose features are computed once and shared by every head of its seed."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from uncertain import atomic, baselines, evaluation
from uncertain.baselines import NetworkParts
from uncertain.benchmark.tasks import targets
from uncertain.benchmark.training import Training, locked, network_path, shared_network

BACKBONES = {"classification": "softmax", "regression": "gaussian"}
"""The model whose tuned network carries the heads, by kind of task."""


@dataclass(frozen=True)
class Backbone:
    """What a head is fitted to.

    Attributes:
        model: The trained predictor: ``Softmax`` or ``GaussianRegression``.
        parts: Its body and its last layer.
        features: (N, D) of the training rows.
        y: (N,) their targets.
        seconds: CPU seconds that the network and the features took, whoever paid them.
    """

    model: nn.Module
    parts: NetworkParts
    features: Tensor
    y: Tensor
    seconds: float


def backbone(training: Training) -> Backbone:
    """Return the network of this seed that the plain model's tuning chose, and its features.

    The features lie beside the network, as :func:`uncertain.evaluation.collect` writes them:
    detectors run on the same numbers.
    """
    base = replace(training, settings=training.network_settings)
    model, seconds = shared_network(base)
    model.eval()
    path = network_path(base).with_suffix(".features.parquet")
    cost = path.with_suffix(".json")
    with locked(path.with_suffix(".lock")):
        started = time.process_time()
        collected = evaluation.collect(model.network, training.train.x, out=path)
        if not cost.is_file():
            spent = time.process_time() - started
            atomic.write_text(cost, json.dumps({"seconds": spent}))
        spent = float(json.loads(cost.read_text())["seconds"])
    return Backbone(
        model,
        baselines.split_network(model),
        torch.from_numpy(collected.features),
        targets(training.train),
        seconds + spent,
    )
