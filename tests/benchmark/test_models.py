"""Built-in models compete on equal terms; a user's own joins by its import path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from tests.benchmark.small_models import class_frequencies
from uncertain import predictive
from uncertain.benchmark import MODELS, Task, Trained, Training, resolve_model
from uncertain.benchmark.models import train_model
from uncertain.benchmark.tasks import load_splits

SMALL = "tests.benchmark.small_models"
IRIS = Task("iris", "classification", "iris", "mlp", 20, 40, batch_size=16)


@pytest.fixture
def training(tmp_path: Path) -> Training:
    splits = load_splits(IRIS, 0)
    return Training(
        task="iris",
        kind="classification",
        train=splits["train"],
        validation=splits["validation"],
        classes=3,
        network="mlp",
        steps=5,
        batch_size=16,
        seed=0,
        folder=tmp_path,
    )


def test_models_have_equal_tuning_budgets() -> None:
    """Networks have the same number of candidates as trees, or take a twin's choice."""
    assert {len(model.candidates) for model in MODELS.values() if not model.tunes_as} == {4}
    for model in MODELS.values():
        assert len({str(settings) for settings in model.candidates}) == len(model.candidates)
        assert not model.tunes_as or len(MODELS[model.tunes_as].candidates) > 1


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no.such.module:train", "can't be imported .ModuleNotFoundError.*PYTHONPATH"),
        (f"{SMALL}:missing", "can't be imported .AttributeError"),
        (":train", "can't be imported .ValueError"),
        (f"{SMALL}:", "can't be imported .AttributeError"),
        (f"{SMALL}:not_a_function", "should be a function of one Training, got 3"),
        (f"{SMALL}:of_no_kind", "kinds of .* should be one of classification, regression"),
        (f"{SMALL}:without_candidates", "`candidates` of .* should be mappings"),
        ("sofmax", "did you mean softmax"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_is_no_model_is_refused(path: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve_model(path)


def test_a_module_that_fails_to_load_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spoilt_model.py").write_text("def train(:\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match=r"can't be imported .SyntaxError"):
        resolve_model("spoilt_model:train")
    sys.modules.pop("spoilt_model", None)


def test_user_models_resolve_with_what_they_state() -> None:
    plain = resolve_model(f"{SMALL}:class_frequencies")
    assert plain.kinds == {"classification", "regression"}
    assert plain.candidates == ({},)
    stated = resolve_model(f"{SMALL}:smoothed")
    assert stated.kinds == {"classification"}
    assert len(stated.candidates) == 2


def test_a_plain_predictor_has_its_cost_measured(training: Training) -> None:
    model = resolve_model(f"{SMALL}:class_frequencies")
    found = train_model(model, training)
    assert isinstance(found, Trained)
    assert found.cost.train_seconds >= 0
    assert found.cost.forward_passes == 1
    expected = class_frequencies(training)(training.validation.x[:]).probs  # type: ignore[operator]
    assert torch.equal(found.predictor(training.validation.x[:]).probs, expected)  # type: ignore[attr-defined]


def test_a_stated_cost_is_kept(training: Training) -> None:
    cost = train_model(resolve_model(f"{SMALL}:with_its_cost"), training).cost
    assert (cost.train_seconds, cost.parameters, cost.forward_passes) == (1.5, 7, 3)


@pytest.mark.parametrize("name", ["softmax", "mc_dropout", "deep_ensemble", "random_forest"])
def test_a_built_in_model_predicts_the_classes(training: Training, name: str) -> None:
    found = train_model(MODELS[name], training)
    predicted = found.predictor(training.validation.x[:])
    assert predicted.batch_shape == (len(training.validation),)
    assert found.cost.train_seconds > 0


def test_models_share_the_networks_they_can(training: Training) -> None:
    ensemble = train_model(MODELS["deep_ensemble"], training)
    files = sorted((training.folder / "networks").rglob("*.pt"))
    assert len(files) == MODELS["deep_ensemble"].networks == ensemble.cost.forward_passes
    times = [file.stat().st_mtime_ns for file in files]
    softmax = train_model(MODELS["softmax"], training)
    dropout = train_model(MODELS["mc_dropout"], training)
    assert sorted((training.folder / "networks").rglob("*.pt")) == files
    assert [file.stat().st_mtime_ns for file in files] == times
    assert softmax.cost.train_seconds == dropout.cost.train_seconds < ensemble.cost.train_seconds
    assert dropout.cost.forward_passes == 20
    member = ensemble.predictor.members[0]  # type: ignore[attr-defined]
    alone, inside = (
        predictive.predict(predictor, training.validation.x, batch_size=64)
        for predictor in (softmax.predictor, member)
    )
    assert torch.equal(predictive.class_log_probs(alone), predictive.class_log_probs(inside))
