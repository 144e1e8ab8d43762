"""The models a benchmark trains: each is a function from a :class:`Training` to a predictor.

A user's own model joins by an import path, ``package.module:function``; its function takes the same
:class:`Training` and returns a predictor (and, where it wants its cost counted exactly, a
:class:`Trained`).
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from uncertain import baselines, checks
from uncertain.benchmark import heads, networks
from uncertain.benchmark.training import (
    Predictor,
    Settings,
    Trained,
    Training,
    member_trainings,
    shared_network,
    trained,
)

MEMBERS = 5
"""Members of a deep ensemble, as in Lakshminarayanan et al. (2017)."""
MASKS = 20
"""Masks of MC dropout."""

Train = Callable[[Training], "Trained | Predictor"]


@dataclass(frozen=True)
class Model:
    """A way to train, the tasks it fits, and the settings among which validation chooses.

    Every built-in model has the same number of candidates, so that none is tuned harder than
    another; a model that ``tunes_as`` another takes that one's choice. One without ``images`` is
    tried on image tasks only where it is asked for by name, and one that is ``named`` on no task
    otherwise. ``networks`` is how many it takes from
    :func:`~uncertain.benchmark.training.shared_network`: these are trained as jobs of their own. One
    with a ``backbone`` stands on the network that the plain model's tuning chose, and its candidates
    are those of what it adds. ``work`` is about how many trainings of a network it takes by itself;
    it only orders the jobs and estimates their time.
    """

    train: Train
    kinds: frozenset[str]
    candidates: tuple[Settings, ...] = ({},)
    tunes_as: str = ""
    images: bool = True
    named: bool = False
    networks: int = 0
    backbone: bool = False
    work: float = 1.0


def softmax(training: Training) -> Trained:
    """One network with a softmax output."""
    model, seconds = shared_network(training)
    return trained(model, seconds)


def mc_dropout(training: Training) -> Trained:
    """The same network with dropout left on: an average over fixed masks (Gal, Ghahramani 2016)."""
    model, seconds = shared_network(training)
    inner = model.network if isinstance(model, baselines.Softmax) else model
    predictor = baselines.MonteCarloDropout(inner, members=MASKS, seed=training.seed)
    return trained(predictor, seconds, own_train_seconds=0.0)


def deep_ensemble(training: Training) -> Trained:
    """Several networks that differ in their seed (Lakshminarayanan et al. 2017)."""
    networks = []
    seconds = 0.0
    for done, member in enumerate(member_trainings(training, MEMBERS)):
        scaled = replace(member, report=_part(training, done, MEMBERS))
        network, cost = shared_network(scaled)
        networks.append(network)
        seconds += cost
    predictor = baselines.DeepEnsemble(networks)
    return trained(predictor, seconds)


def gaussian(training: Training) -> Trained:
    """One network with a Gaussian likelihood whose mean and scale depend on the input."""
    return softmax(training)


def random_forest(training: Training) -> Trained:
    """A random forest."""
    return _estimator(baselines.random_forest, training)


def gradient_boosted_trees(training: Training) -> Trained:
    """Gradient-boosted trees."""
    return _estimator(baselines.gradient_boosted_trees, training)


def _on_features(
    train: Train,
    kinds: frozenset[str],
    candidates: tuple[Settings, ...],
    images: bool = True,
    work: float = 0.05,
) -> Model:
    return Model(train, kinds, candidates, images=images, networks=1, backbone=True, work=work)


_CLASSIFICATION = frozenset({"classification"})
_REGRESSION = frozenset({"regression"})
_NETWORK_SETTINGS: tuple[Settings, ...] = tuple(
    {"learning_rate": rate, "dropout": dropout} for rate in (1e-3, 3e-3) for dropout in (0.1, 0.3)
)
_FOREST_SETTINGS: tuple[Settings, ...] = tuple(
    {"min_samples_leaf": leaf, "max_features": share} for leaf in (1, 5) for share in (0.33, 1.0)
)
_BOOSTING_SETTINGS: tuple[Settings, ...] = tuple(
    {"learning_rate": rate, "max_leaf_nodes": leaves} for rate in (0.03, 0.1) for leaves in (8, 31)
)
_RATE_SETTINGS: tuple[Settings, ...] = tuple(
    {"learning_rate": rate} for rate in (3e-4, 3e-3, 3e-2, 3e-1)
)
_COSINE_SETTINGS: tuple[Settings, ...] = tuple(
    {"learning_rate": rate, "scale": scale} for rate in (1e-3, 1e-2) for scale in (5.0, 20.0)
)
_MAHALANOBIS_SETTINGS: tuple[Settings, ...] = tuple(
    {"shrinkage": share, "temperature": heat} for share in (0.05, 0.5) for heat in (1.0, 8.0)
)
_NEIGHBOUR_SETTINGS: tuple[Settings, ...] = tuple(
    {"neighbours": k, "smoothing": share} for k in (5, 25) for share in (0.1, 0.5)
)
_PRIOR_SETTINGS: tuple[Settings, ...] = tuple(
    {"prior_precision": precision} for precision in (0.3, 3.0, 30.0, 300.0)
)
_PROCESS_SETTINGS: tuple[Settings, ...] = tuple(
    {"learning_rate": rate, "inducing": points} for rate in (1e-2, 5e-2) for points in (32, 96)
)
_SWAG_SETTINGS: tuple[Settings, ...] = tuple(
    {"learning_rate": rate} for rate in (1e-4, 1e-3, 3e-3, 1e-2)
)
_EVIDENTIAL_SETTINGS: tuple[Settings, ...] = tuple(
    {"learning_rate": rate, "regularisation": strength}
    for rate in (1e-3, 3e-3)
    for strength in (0.01, 0.1)
)
_SNGP_SETTINGS: tuple[Settings, ...] = tuple(
    {"learning_rate": rate, "relative_lengthscale": length}
    for rate in (1e-3, 3e-3)
    for length in (0.25, 1.0)
)

MODELS: dict[str, Model] = {
    "softmax": Model(softmax, _CLASSIFICATION, _NETWORK_SETTINGS, networks=1),
    "mc_dropout": Model(mc_dropout, _CLASSIFICATION | _REGRESSION, _NETWORK_SETTINGS, networks=1),
    "deep_ensemble": Model(deep_ensemble, _CLASSIFICATION, tunes_as="softmax", networks=MEMBERS),
    "gaussian": Model(gaussian, _REGRESSION, _NETWORK_SETTINGS, networks=1),
    "gaussian_ensemble": Model(deep_ensemble, _REGRESSION, tunes_as="gaussian", networks=MEMBERS),
    "random_forest": Model(
        random_forest, _CLASSIFICATION | _REGRESSION, _FOREST_SETTINGS, images=False
    ),
    "gradient_boosted_trees": Model(
        gradient_boosted_trees, _CLASSIFICATION | _REGRESSION, _BOOSTING_SETTINGS, images=False
    ),
    "batch_ensemble": Model(
        networks.batch_ensemble,
        _CLASSIFICATION | _REGRESSION,
        _NETWORK_SETTINGS,
        images=False,
        work=networks.RANKED_MEMBERS,
    ),
    "evidential": Model(
        networks.evidential, _CLASSIFICATION | _REGRESSION, _EVIDENTIAL_SETTINGS, images=False
    ),
    "sngp": Model(networks.sngp, _CLASSIFICATION, _SNGP_SETTINGS, images=False),
    "packed_ensemble": Model(
        networks.packed_ensemble,
        _CLASSIFICATION | _REGRESSION,
        _NETWORK_SETTINGS,
        named=True,
        work=networks.PACKED_MEMBERS,
    ),
    "prototype_network": Model(
        networks.prototype_network, _CLASSIFICATION, _NETWORK_SETTINGS, named=True
    ),
    "cosine_network": Model(
        networks.cosine_network, _CLASSIFICATION, _NETWORK_SETTINGS, named=True
    ),
    "swag": _on_features(heads.swag, _CLASSIFICATION | _REGRESSION, _SWAG_SETTINGS, False, 0.5),
    "kronecker_laplace": _on_features(
        heads.kronecker_laplace, _CLASSIFICATION | _REGRESSION, _PRIOR_SETTINGS, False
    ),
    "last_layer_laplace": _on_features(
        heads.last_layer_laplace, _CLASSIFICATION | _REGRESSION, _PRIOR_SETTINGS
    ),
    "gaussian_process_head": _on_features(
        heads.gaussian_process_head, _CLASSIFICATION | _REGRESSION, _PROCESS_SETTINGS, work=3.0
    ),
    "prototype_head": _on_features(heads.prototype_head, _CLASSIFICATION, _RATE_SETTINGS, work=0.5),
    "cosine_head": _on_features(heads.cosine_head, _CLASSIFICATION, _COSINE_SETTINGS, work=0.5),
    "mahalanobis_head": _on_features(
        heads.mahalanobis_head, _CLASSIFICATION, _MAHALANOBIS_SETTINGS
    ),
    "knn_head": _on_features(heads.knn_head, _CLASSIFICATION, _NEIGHBOUR_SETTINGS),
}

QUICK = {
    "classification": ("softmax", "mc_dropout", "deep_ensemble"),
    "regression": ("gaussian", "gaussian_ensemble", "random_forest", "gradient_boosted_trees"),
}
"""What the suite ``quick`` trains where no model is named: it is a first look."""


def resolve_model(name: str) -> Model:
    """Return a built-in model, or import ``package.module:function``.

    Raises:
        ValueError: An unknown name (the nearest are offered), or an import path that fails.
    """
    if ":" not in name:
        checks.check_choice("model", name, MODELS)
        return MODELS[name]
    module, _, attribute = name.partition(":")
    try:
        train = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever the user's module raises while it is imported
        raise ValueError(
            f"the model {name!r} can't be imported ({type(error).__name__}: {error}): it should be "
            "package.module:function, with the module in this folder or on PYTHONPATH."
        ) from error
    if not callable(train):
        raise ValueError(f"the model {name!r} should be a function of one Training, got {train!r}.")
    return Model(train, _kinds(name, train), _candidates(name, train))


def _kinds(name: str, train: Callable[..., Any]) -> frozenset[str]:
    known = _CLASSIFICATION | _REGRESSION
    stated = getattr(train, "kinds", known)
    kinds = frozenset((stated,) if isinstance(stated, str) else stated)
    for kind in kinds:
        checks.check_choice(f"kinds of {name}", kind, known)
    return kinds


def _candidates(name: str, train: Callable[..., Any]) -> tuple[Settings, ...]:
    candidates = tuple(getattr(train, "candidates", ({},)))
    if not candidates or not all(isinstance(settings, Mapping) for settings in candidates):
        raise ValueError(
            f"`candidates` of {name} should be mappings of settings, at least one, got {candidates!r}."
        )
    return candidates


def train_model(model: Model, training: Training) -> Trained:
    """Train, and measure the cost of a model that did not state it."""
    started = time.process_time()
    # A function that draws from torch's global generator gives the same model when it is run again.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        result = model.train(training)
    if isinstance(result, Trained):
        return result
    return trained(result, time.process_time() - started)


def _part(training: Training, done: int, parts: int) -> Callable[[int, int], None]:
    """Return a report that counts one member's steps as a part of all members'."""

    def report(step: int, steps: int) -> None:
        training.report(done * training.steps + step, parts * training.steps)

    return report


def _estimator(build: Callable[..., Predictor], training: Training) -> Trained:
    started = time.process_time()
    predictor = build(
        training.train.x, training.train.y, seed=training.seed, settings=training.settings
    )
    return trained(predictor, time.process_time() - started)
