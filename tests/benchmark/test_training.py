"""Networks that are trained once, shared, and lose nothing when their process ends."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

from uncertain import predictive
from uncertain.benchmark import Task, Training
from uncertain.benchmark import training as module
from uncertain.benchmark.tasks import load_splits
from uncertain.benchmark.training import member_trainings, probe_step_seconds, shared_network


@pytest.fixture
def training(tmp_path: Path) -> Training:
    splits = load_splits(Task("wine", "classification", "wine", "mlp", 20, 40), 0)
    return Training(
        task="wine",
        kind="classification",
        train=splits["train"],
        validation=splits["validation"],
        classes=3,
        network="mlp",
        steps=12,
        batch_size=16,
        seed=3,
        folder=tmp_path / "run",
        checkpoint_seconds=0.0,
    )


class StoppedError(Exception):
    """What ends a training in these tests."""


def stop_after(steps: int) -> object:
    def report(step: int, total: int) -> None:
        assert total == 12
        if step == steps:
            raise StoppedError

    return report


def state(network: torch.nn.Module) -> list[torch.Tensor]:
    return list(network.state_dict().values())


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(state(one), state(other), strict=True))


def test_a_network_is_trained_once(training: Training) -> None:
    first, seconds = shared_network(training)
    again = dataclasses.replace(training, report=stop_after(1))  # type: ignore[arg-type]
    second, told = shared_network(again)
    assert same(first, second)
    assert told == seconds > 0


@pytest.mark.parametrize(
    "change", [{"seed": 4}, {"steps": 13}, {"batch_size": 8}, {"settings": {"dropout": 0.3}}]
)
def test_what_changes_the_training_gives_another_network(
    training: Training, change: dict[str, object]
) -> None:
    first, _ = shared_network(training)
    second, _ = shared_network(dataclasses.replace(training, **change))  # type: ignore[arg-type]
    assert not same(first, second)
    assert len(list(training.folder.rglob("*.pt"))) == 2


def test_an_interrupted_training_goes_on_to_the_same_bits(
    training: Training, tmp_path: Path
) -> None:
    whole, _ = shared_network(dataclasses.replace(training, folder=tmp_path / "whole"))
    with pytest.raises(StoppedError):
        shared_network(dataclasses.replace(training, report=stop_after(7)))  # type: ignore[arg-type]
    seen: list[int] = []
    rest = dataclasses.replace(training, report=lambda step, steps: seen.append(step))
    resumed, _ = shared_network(rest)
    assert seen == list(range(7, 13))
    assert same(whole, resumed)


def test_the_cost_counts_what_an_interrupted_process_spent(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "process_time", lambda: now[0])

    def spend(step: int, steps: int) -> None:
        now[0] += 1.0
        if step == 7 and now[0] < 200:
            raise StoppedError

    with pytest.raises(StoppedError):
        shared_network(dataclasses.replace(training, report=spend))
    now[0] = 500.0
    _, seconds = shared_network(dataclasses.replace(training, report=spend))
    # Six steps of the first process were saved, the last six are the second one's.
    assert seconds == pytest.approx(12.0)


def test_checkpoints_stay_until_the_network_is_saved(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise StoppedError

    monkeypatch.setattr(predictive, "save", fail)
    with pytest.raises(StoppedError):
        shared_network(training)
    monkeypatch.undo()
    # Nothing is trained a second time: the first step would end it.
    shared_network(dataclasses.replace(training, report=stop_after(1)))  # type: ignore[arg-type]
    assert not list(training.folder.rglob("*.checkpoints"))


def test_a_network_without_its_cost_is_not_taken_for_whole(training: Training) -> None:
    first, _ = shared_network(training)
    (cost,) = training.folder.rglob("*.json")
    cost.unlink()
    second, _ = shared_network(training)
    assert same(first, second)
    assert json.loads(cost.read_text())["train_seconds"] > 0


def test_leftover_checkpoints_of_a_saved_network_are_removed(training: Training) -> None:
    shared_network(training)
    (network,) = training.folder.rglob("*.pt")
    network.with_suffix(".checkpoints").mkdir()
    shared_network(training)
    assert not network.with_suffix(".checkpoints").exists()


def test_members_differ_by_their_seed_and_the_first_is_shared(training: Training) -> None:
    seeds = [member.seed for member in member_trainings(training, 5)]
    assert seeds[0] == training.seed
    others = [m.seed for s in range(4) for m in member_trainings(
        dataclasses.replace(training, seed=s), 5
    )]  # fmt: skip
    assert len(set(others)) == 20


def test_probing_keeps_nothing(training: Training) -> None:
    assert 0 < probe_step_seconds(training) < 5
    assert not training.folder.exists()


def test_regression_networks_know_the_target(tmp_path: Path) -> None:
    splits = load_splits(Task("d", "regression", "diabetes", "mlp", 20, 40), 0)
    network, _ = shared_network(
        Training(
            task="d",
            kind="regression",
            train=splits["train"],
            validation=splits["validation"],
            classes=0,
            network="mlp",
            steps=3,
            batch_size=32,
            seed=0,
            folder=tmp_path,
        )
    )
    mean = predictive.predict(network, splits["validation"].x, batch_size=64).mean
    assert float(mean.mean()) == pytest.approx(152, abs=40)


def test_images_go_through_the_networks_made_for_them(tmp_path: Path) -> None:
    splits = load_splits(Task("digits", "classification", "digits", "mlp", 20, 40), 0)
    for name in ("convolutional", "resnet", "mlp"):
        network, _ = shared_network(
            Training(
                task="digits",
                kind="classification",
                train=splits["train"],
                validation=splits["validation"],
                classes=10,
                network=name,  # type: ignore[arg-type]
                steps=1,
                batch_size=8,
                seed=0,
                folder=tmp_path,
            )
        )
        predicted = predictive.predict(network, splits["validation"].x, batch_size=64)
        assert predicted.batch_shape == (len(splits["validation"]),)


def test_a_checkpoint_of_another_training_is_refused(training: Training) -> None:
    with pytest.raises(StoppedError):
        shared_network(dataclasses.replace(training, report=stop_after(7)))  # type: ignore[arg-type]
    other = dataclasses.replace(training, train=training.train[:50])
    with pytest.raises(ValueError, match="another training: the data changed"):
        shared_network(other)
    shutil.rmtree(training.folder)
    shared_network(other)


def test_a_training_under_way_reports_its_steps(training: Training) -> None:
    seen: list[tuple[int, int]] = []
    shared_network(dataclasses.replace(training, report=lambda *step: seen.append(step)))
    assert seen == [(step, 12) for step in range(1, 13)]
