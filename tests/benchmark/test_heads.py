"""Every built-in model trains on a small task; heads share a network and its features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from uncertain import evaluation, predictive
from uncertain.benchmark import MODELS, Task, Training
from uncertain.benchmark.backbones import backbone
from uncertain.benchmark.models import QUICK, train_model
from uncertain.benchmark.tasks import load_splits

TASKS = {
    "classification": Task("wine", "classification", "wine", "mlp", 20, 40),
    "regression": Task("diabetes", "regression", "diabetes", "mlp", 20, 40),
}
NEW = [
    (kind, name)
    for name, model in MODELS.items()
    for kind in sorted(model.kinds)
    if model.backbone or model.named or name in ("batch_ensemble", "evidential", "sngp")
] + [("regression", "mc_dropout")]


def training(folder: Path, kind: str, name: str) -> Training:
    task = TASKS[kind]
    splits = load_splits(task, 0)
    return Training(
        task=task.name,
        kind=kind,  # type: ignore[arg-type]
        train=splits["train"],
        validation=splits["validation"],
        classes=3 if kind == "classification" else 0,
        network="mlp",
        steps=20,
        batch_size=32,
        seed=1,
        folder=folder,
        settings=MODELS[name].candidates[0],
        network_settings={"learning_rate": 1e-3, "dropout": 0.1},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.mark.parametrize(("kind", "name"), NEW)
def test_it_predicts_says_its_cost_and_comes_out_the_same_again(
    folder: Path, kind: str, name: str
) -> None:
    asked = training(folder, kind, name)
    found = train_model(MODELS[name], asked)
    predicted = predictive.predict(found.predictor, asked.validation.x, batch_size=64)
    assert asked.validation.y is not None
    assert predictive.log_prob(predicted, asked.validation.y).isfinite().all()
    again = predictive.predict(
        train_model(MODELS[name], asked).predictor, asked.validation.x, batch_size=64
    )
    for key, value in predictive.parts(predicted).tensors.items():
        assert torch.equal(predictive.parts(again).tensors[key], value)
    cost = found.cost
    assert cost.own_train_seconds is not None
    assert 0 <= cost.own_train_seconds <= cost.train_seconds
    assert cost.parameters > 0
    assert cost.stored_numbers is not None
    if name == "mc_dropout":
        assert cost.own_train_seconds == 0


def test_heads_share_one_network_and_its_features(folder: Path) -> None:
    asked = training(folder, "classification", "knn_head")
    base = backbone(asked)
    files = {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.suffix != ".lock"}
    train_model(
        MODELS["mahalanobis_head"],
        replace(asked, settings=MODELS["mahalanobis_head"].candidates[0]),
    )
    train_model(MODELS["knn_head"], asked)
    assert files == {
        file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.suffix != ".lock"
    }
    (path,) = {f for f in folder.rglob("*.features.parquet") if "wine" in str(f)}
    stored = evaluation.load_collected(path)
    np.testing.assert_array_equal(stored.features, base.features.numpy())
    with torch.no_grad():
        torch.testing.assert_close(base.parts.body(asked.train.x[:]), base.features)


def test_the_suites_have_eight_methods_at_least_and_quick_stays_a_first_look() -> None:
    for kind in ("classification", "regression"):
        assert sum(kind in m.kinds and not m.named for m in MODELS.values()) >= 8
        assert set(QUICK[kind]) <= {n for n, model in MODELS.items() if kind in model.kinds}


def test_packed_ensembles_are_for_tables(folder: Path) -> None:
    asked = replace(training(folder, "classification", "packed_ensemble"), network="convolutional")
    with pytest.raises(
        ValueError, match="packs perceptrons, got a task of the convolutional network"
    ):
        train_model(MODELS["packed_ensemble"], replace(asked, seed=2))
