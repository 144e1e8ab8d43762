"""Models that are fitted to the cached features of the shared network, or start from it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from uncertain import baselines, fit
from uncertain.baselines import OnFeatures
from uncertain.benchmark.backbones import Backbone, backbone
from uncertain.benchmark.tasks import targets
from uncertain.benchmark.training import Predictor, Trained, Training, trained

Fitted = Callable[[Backbone, Training], Predictor]


def prototype_head(training: Training) -> Trained:
    """Learned class means and squared distances (Snell et al. 2017)."""
    return _on_backbone(training, _prototypes)


def cosine_head(training: Training) -> Trained:
    """Scaled cosines to learned directions (Gidaris, Komodakis 2018)."""
    return _on_backbone(training, _cosines)


def mahalanobis_head(training: Training) -> Trained:
    """Gaussian classes of one covariance (Lee et al. 2018)."""
    return _on_backbone(training, _mahalanobis)


def knn_head(training: Training) -> Trained:
    """Classes of the nearest training features (Sun et al. 2022)."""
    return _on_backbone(training, _neighbours)


def last_layer_laplace(training: Training) -> Trained:
    """A Gaussian over the last layer's weights (Daxberger et al. 2021)."""
    return _on_backbone(training, _last_layer)


def gaussian_process_head(training: Training) -> Trained:
    """A sparse Gaussian process on features (Hensman et al. 2015)."""
    return _on_backbone(training, _process)


def kronecker_laplace(training: Training) -> Trained:
    """A Gaussian over all weights, one Kronecker product a layer (Ritter et al. 2018)."""
    return _on_backbone(training, _kronecker)


def swag(training: Training) -> Trained:
    """Iterates of SGD at a constant rate as a posterior (Maddox et al. 2019)."""
    return _on_backbone(training, _swag)


def _on_backbone(training: Training, build: Fitted) -> Trained:
    base = backbone(training)
    started = time.process_time()
    predictor = build(base, training)
    own = time.process_time() - started
    return trained(predictor, base.seconds + own, own_train_seconds=own)


def _prototypes(base: Backbone, training: Training) -> OnFeatures:
    head = baselines.PrototypeHead.from_data(base.features, base.y, classes=training.classes)
    return _descended(base, head, training)


def _cosines(base: Backbone, training: Training) -> OnFeatures:
    head = baselines.CosineHead.from_data(
        base.features, base.y, scale=float(training.settings["scale"]), classes=training.classes
    )
    return _descended(base, head, training)


def _mahalanobis(base: Backbone, training: Training) -> OnFeatures:
    head = baselines.MahalanobisHead.from_data(
        base.features,
        base.y,
        shrinkage=float(training.settings["shrinkage"]),
        temperature=float(training.settings["temperature"]),
        classes=training.classes,
    )
    return OnFeatures(base.parts.body, head)


def _neighbours(base: Backbone, training: Training) -> OnFeatures:
    head = baselines.KNNHead.from_data(
        base.features,
        base.y,
        neighbours=int(training.settings["neighbours"]),
        smoothing=float(training.settings["smoothing"]),
        classes=training.classes,
    )
    return OnFeatures(base.parts.body, head)


def _last_layer(base: Backbone, training: Training) -> OnFeatures:
    precision = float(training.settings["prior_precision"])
    head: nn.Module
    if isinstance(base.model, baselines.GaussianRegression):
        head = baselines.LaplaceRegressionHead.from_data(
            base.model, base.features, prior_precision=precision
        )
    else:
        head = baselines.LaplaceClassificationHead.from_data(
            base.parts.last, base.features, prior_precision=precision, seed=training.seed
        )
    return OnFeatures(base.parts.body, head)


def _process(base: Backbone, training: Training) -> OnFeatures:
    head = baselines.GaussianProcessHead.from_data(
        base.features,
        base.y,
        classes=training.classes or None,
        inducing=int(training.settings["inducing"]),
        seed=training.seed,
    )
    return _descended(base, head, training)


def _kronecker(base: Backbone, training: Training) -> nn.Module:
    return baselines.KroneckerLaplace.from_data(
        base.model,
        training.train.x,
        prior_precision=float(training.settings["prior_precision"]),
        seed=training.seed,
    )


def _swag(base: Backbone, training: Training) -> nn.Module:
    return baselines.swag(
        base.model,
        (training.train.x, targets(training.train)),
        steps=max(training.steps // 2, 20),
        batch_size=training.batch_size,
        learning_rate=float(training.settings["learning_rate"]),
        seed=training.seed,
        callbacks=(fit.clip_gradients(1.0),),
    )


def _descended(base: Backbone, head: Any, training: Training) -> OnFeatures:
    """Train a head on the features for as many steps as a network has."""
    rate = float(training.settings["learning_rate"])
    fit.fit(
        head,
        (base.features, base.y),
        optimizer=functools.partial(torch.optim.Adam, lr=rate),
        steps=training.steps,
        batch_size=training.batch_size,
        seed=training.seed,
        callbacks=[fit.schedule(fit.cosine(training.steps))],
    )
    return OnFeatures(base.parts.body, head.eval())
