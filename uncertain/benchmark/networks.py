"""Models that are trained end to end in a way of their own."""

from __future__ import annotations

import math
import time

from torch import nn

from uncertain import baselines
from uncertain.benchmark.tasks import targets
from uncertain.benchmark.training import Trained, Training, make_network, shared_network, trained

RANKED_MEMBERS = 4
"""Members of a batch ensemble, as in Wen et al. (2020)."""


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
