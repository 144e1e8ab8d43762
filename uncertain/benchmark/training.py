"""What a model is given to train on, what it gives back, and networks trained once and shared."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.distributions import Distribution

import uncertain
from uncertain import atomic, baselines, fit, predictive
from uncertain.benchmark.tasks import targets
from uncertain.data import Split

Predictor = Callable[[Any], Distribution]
Settings = Mapping[str, float | int]


@dataclass(frozen=True)
class Training:
    """Everything a model's train function is given.

    Attributes:
        task: Name of the task.
        kind: ``classification`` or ``regression``.
        train: The rows to train on.
        validation: Rows for early stopping, calibration and tuning; never scored in the report.
        classes: How many classes; 0 for regression.
        network: Which small network the neural baselines use.
        steps: Optimiser steps of one network: the budget every model has.
        batch_size: Rows a step.
        seed: The training's seed.
        settings: Hyper-parameters chosen on validation.
        network_settings: Those of the shared network, for a model that stands on it.
        checkpoint_seconds: Wall time between checkpoints.
        folder: Where checkpoints and shared networks lie.
        report: Called with steps done and steps in all.
    """

    task: str
    kind: Literal["classification", "regression"]
    train: Split
    validation: Split
    classes: int
    network: Literal["convolutional", "resnet", "mlp"]
    steps: int
    batch_size: int
    seed: int
    folder: Path
    settings: Settings = field(default_factory=dict)
    network_settings: Settings = field(default_factory=dict)
    checkpoint_seconds: float = 20.0
    report: Callable[[int, int], None] = lambda step, steps: None


@dataclass(frozen=True)
class Cost:
    """What a predictor cost.

    Attributes:
        train_seconds: CPU seconds from nothing to the predictor, shared networks included.
        parameters: Numbers learnt by gradient.
        forward_passes: Network passes a row.
        own_train_seconds: CPU seconds of it that are paid by who has the shared network already;
            ``None``: not known.
        stored_numbers: Numbers kept beside the parameters; ``None``: not known.
    """

    train_seconds: float
    parameters: int
    forward_passes: int
    own_train_seconds: float | None = None
    stored_numbers: int | None = None


@dataclass(frozen=True)
class Trained:
    """A predictor and what it cost."""

    predictor: Predictor
    cost: Cost


def shared_network(
    training: Training,
    *,
    name: str = "",
    build: Callable[[Training], nn.Module] | None = None,
) -> tuple[nn.Module, float]:
    """Return the task's network of this seed and these settings, trained once a run.

    The softmax network of seed s is also member 0 of the ensemble of seed s, and the network that
    MC dropout draws from where their settings agree. A lock lets one worker train and the others
    wait; it falls with its process, so a killed run leaves none behind. An interrupted training
    resumes from its checkpoint, and equals an uninterrupted one bit for bit.

    Args:
        training: What to train on.
        name: Of another model than the plain network.
        build: Makes that model, untrained.

    Returns:
        The trained predictor and the CPU seconds its training took, whoever paid them.
    """
    path = network_path(training, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    cost, checkpoints = path.with_suffix(".json"), path.with_suffix(".checkpoints")
    with locked(path.with_suffix(".lock")):
        if path.is_file() and cost.is_file():
            model = predictive.load(path)
            seconds = float(json.loads(cost.read_text())["train_seconds"])
        else:
            model = (build or _build)(training)
            seconds = _train(model, training, checkpoints)
            predictive.save(model, path)
            atomic.write_text(cost, json.dumps({"train_seconds": seconds}))
        # Only now: before, they are all that a killed run has of this training.
        shutil.rmtree(checkpoints, ignore_errors=True)
    return model, seconds


def probe_step_seconds(training: Training) -> float:
    """Return the seconds one optimiser step takes, by taking a few; nothing is kept."""
    model = _build(training)
    fit.fit(
        model,
        (training.train.x, targets(training.train)),
        steps=1,
        batch_size=training.batch_size,
        seed=training.seed,
    )
    started = time.perf_counter()
    fit.fit(
        model,
        (training.train.x, targets(training.train)),
        steps=training.steps,
        batch_size=training.batch_size,
        seed=training.seed,
    )
    return (time.perf_counter() - started) / training.steps


def member_trainings(training: Training, members: int) -> list[Training]:
    """Return one training a member: the first has the training's own seed, so it is shared."""
    seeds = [training.seed, *(1000 * (training.seed + 1) + j for j in range(1, members))]
    return [replace(training, seed=seed) for seed in seeds]


def trained(
    predictor: Predictor, train_seconds: float, *, own_train_seconds: float | None = None
) -> Trained:
    """Return a predictor with its whole cost; all of its training is its own where not said."""
    size = baselines.cost(predictor)
    own = train_seconds if own_train_seconds is None else own_train_seconds
    stored = size.stored if isinstance(predictor, nn.Module) else None
    cost = Cost(train_seconds, size.parameters, size.forward_passes, own, stored)
    return Trained(predictor, cost)


def network_path(training: Training, name: str = "") -> Path:
    """Return where the shared network of a training lies."""
    return training.folder / "networks" / training.task / f"{_key(training, name)}.pt"


def _build(training: Training) -> nn.Module:
    network = make_network(training, training.classes or 2)
    if training.kind == "classification":
        return baselines.Softmax(network)
    return baselines.GaussianRegression.from_data(network, targets(training.train))


def make_network(training: Training, outputs: int) -> nn.Module:
    """Return the task's small network with its first weights, for so many outputs."""
    dropout = float(training.settings.get("dropout", 0.1))
    shape = tuple(training.train.x.shape[1:])
    if training.network == "convolutional":
        return baselines.convolutional(shape, outputs, dropout=dropout, seed=training.seed)
    if training.network == "resnet":
        return baselines.resnet(shape, outputs, dropout=dropout, seed=training.seed)
    return baselines.mlp(math.prod(shape), outputs, dropout=dropout, seed=training.seed)


def _train(model: nn.Module, training: Training, checkpoints: Path) -> float:
    """Train in place, resuming what an earlier process began; return the CPU seconds of all."""
    rate = float(training.settings.get("learning_rate", 1e-3))
    clock = _Clock()
    fit.fit(
        model,
        (training.train.x, targets(training.train)),
        optimizer=functools.partial(torch.optim.AdamW, lr=rate, weight_decay=1e-4),
        steps=training.steps,
        batch_size=training.batch_size,
        seed=training.seed,
        callbacks=[
            fit.schedule(fit.cosine(training.steps)),
            fit.checkpoints(checkpoints, seconds=training.checkpoint_seconds),
            _reporting(training),
            clock,
        ],
    )
    return clock.seconds


class _Clock:
    """A callback that counts CPU seconds, those before an interruption too."""

    def __init__(self) -> None:
        self._before = 0.0
        self._started = time.process_time()

    @property
    def seconds(self) -> float:
        return self._before + time.process_time() - self._started

    def __call__(self, run: fit.Run) -> fit.Hooks:
        return fit.Hooks(state=lambda: {"cpu_seconds": self.seconds}, load=self._load)

    def _load(self, state: Mapping[str, float]) -> None:
        self._before = state["cpu_seconds"]


def _reporting(training: Training) -> fit.Callback:
    def start(run: fit.Run) -> fit.Hooks:
        return fit.Hooks(step=lambda: training.report(run.step, run.steps))

    return start


def _key(training: Training, name: str) -> str:
    facts: dict[str, Any] = {
        "task": training.task,
        "network": training.network,
        "settings": dict(sorted(training.settings.items())),
        "seed": training.seed,
        "steps": training.steps,
        "batch_size": training.batch_size,
        "version": uncertain.__version__,
    }
    if name:
        facts["model"] = name
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file's lock while the block runs."""
    import fcntl

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
