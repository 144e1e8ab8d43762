"""Models that are trained end to end in a way of their own."""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor, nn

from uncertain import baselines, evaluation
from uncertain.benchmark.tasks import targets
from uncertain.benchmark.training import Trained, Training, make_network, shared_network, trained

RANKED_MEMBERS = 4
"""Members of a batch ensemble, as in Wen et al. (2020)."""
PACKED_MEMBERS = 4
"""Members of a packed ensemble, as in Laurent et al. (2023)."""


def batch_ensemble(training: Training) -> Trained:
    """An ensemble of weights that differ in a factor of rank one (Wen et al. 2020)."""
    model, seconds = shared_network(training, name="batch_ensemble", build=_batch_ensemble)
    return trained(model, seconds)


def evidential(training: Training) -> Trained:
    """A network that predicts a Dirichlet or a normal inverse gamma (Sensoy 2018, Amini 2020)."""
    model, seconds = shared_network(training, name="evidential", build=_evidential)
    return trained(model, seconds)


def sngp(training: Training) -> Trained:
    """Spectral normalisation and a random-feature Gaussian process (Liu et al. 2020)."""
    model, seconds = shared_network(training, name="sngp", build=_sngp)
    assert isinstance(model, baselines.SNGP)
    started = time.process_time()
    model.fit_covariance(training.train.x)
    return trained(model, seconds + time.process_time() - started)


def prototype_network(training: Training) -> Trained:
    """The prototype head, trained with its body from the start instead of on its features."""
    model, seconds = shared_network(training, name="prototype_network", build=_prototypes)
    return trained(model, seconds)


def cosine_network(training: Training) -> Trained:
    """The cosine head, trained with its body from the start instead of on its features."""
    model, seconds = shared_network(training, name="cosine_network", build=_cosines)
    return trained(model, seconds)


def packed_ensemble(training: Training) -> Trained:
    """Small perceptrons in one, by layers in groups (Laurent et al. 2023)."""
    model, seconds = shared_network(training, name="packed_ensemble", build=_packed)
    return trained(model, seconds)


def _prototypes(training: Training) -> nn.Module:
    body, features, y = _first_features(training)
    head = baselines.PrototypeHead.from_data(features, y, classes=training.classes)
    return baselines.OnFeatures(body, head)


def _cosines(training: Training) -> nn.Module:
    body, features, y = _first_features(training)
    head = baselines.CosineHead.from_data(features, y, classes=training.classes)
    return baselines.OnFeatures(body, head)


def _first_features(training: Training) -> tuple[nn.Module, Tensor, Tensor]:
    """Return an untrained body with its features, where a head starts."""
    network = make_network(training, training.classes)
    collected = evaluation.collect(network, training.train.x)
    body, _ = baselines.split_network(network)
    return body, torch.from_numpy(collected.features), targets(training.train)


def _packed(training: Training) -> nn.Module:
    if training.network != "mlp":
        raise ValueError(
            f"`packed_ensemble` packs perceptrons, got a task of the {training.network} network: "
            "leave it out there, or name other models."
        )
    network = baselines.packed_mlp(
        math.prod(training.train.x.shape[1:]),
        training.classes or 2,
        members=PACKED_MEMBERS,
        dropout=float(training.settings.get("dropout", 0.1)),
        seed=training.seed,
    )
    single: nn.Module = baselines.Softmax(network)
    if training.kind == "regression":
        single = baselines.GaussianRegression.from_data(network, targets(training.train))
    return baselines.PackedEnsemble(single, members=PACKED_MEMBERS)


def _batch_ensemble(training: Training) -> nn.Module:
    network = make_network(training, training.classes or 2)
    single: nn.Module = baselines.Softmax(network)
    if training.kind == "regression":
        single = baselines.GaussianRegression.from_data(network, targets(training.train))
    return baselines.BatchEnsemble(single, members=RANKED_MEMBERS, seed=training.seed)


def _evidential(training: Training) -> nn.Module:
    strength = float(training.settings["regularisation"])
    network = make_network(training, training.classes or 4)
    if training.kind == "classification":
        return baselines.EvidentialClassification(network, regularisation=strength)
    y = targets(training.train)
    return baselines.EvidentialRegression.from_data(network, y, regularisation=strength)


def _sngp(training: Training) -> nn.Module:
    body, last = baselines.split_network(make_network(training, training.classes))
    return baselines.SNGP(
        body,
        features=last.in_features,
        classes=training.classes,
        lengthscale=float(training.settings["relative_lengthscale"]) * math.sqrt(last.in_features),
        seed=training.seed,
    )
