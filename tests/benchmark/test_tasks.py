"""Suites, and the splits that a task asks for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from uncertain import data
from uncertain.benchmark import MODELS, SUITES, Task
from uncertain.benchmark.tasks import PARTNERS, SANITY, class_count, load_splits, targets
from uncertain.data import DataSet

IRIS = Task("iris", "classification", "iris", "mlp", 20, 40, batch_size=16)


def test_every_suite_has_tasks_of_different_names_and_models_that_fit() -> None:
    for name, tasks in SUITES.items():
        assert len({task.name for task in tasks}) == len(tasks), name
        for task in tasks:
            assert task.steps < task.full_steps
            assert any(task.kind in model.kinds for model in MODELS.values())
            if isinstance(task.data, str):
                assert task.data in data.names()


def test_the_budget_decides_the_steps() -> None:
    assert (IRIS.steps_of("desk"), IRIS.steps_of("full")) == (20, 40)


def test_the_quick_task_holds_out_classes_and_shifts_the_test_rows() -> None:
    task = SUITES["quick"][0]
    splits = load_splits(task, 0)
    assert {"train", "validation", "test", "ood:held_out", "ood:glyphs"} <= set(splits)
    shifts = [name for name in splits if name.startswith("shift:")]
    assert shifts == ["shift:rotation:1", "shift:rotation:3", "shift:rotation:5"]
    test = splits["test"]
    for name in shifts:
        shifted = splits[name]
        assert shifted.row_ids.tolist() == test.row_ids.tolist()
        assert torch.equal(targets(shifted), targets(test))
        assert not torch.equal(shifted.x[:], test.x[:])
    known = set(targets(splits["train"]).tolist())
    assert known == set(range(7)) == set(targets(test).tolist())
    assert class_count(task, splits["train"]) == 7
    parts = [set(splits[name].row_ids.tolist()) for name in ("train", "validation", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts))


def test_strange_and_shifted_rows_are_made_only_when_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*args: object, **options: object) -> None:
        raise AssertionError("made without need")

    monkeypatch.setattr(data, "glyphs", never)
    monkeypatch.setattr(data, "corrupt", never)
    splits = load_splits(SUITES["quick"][0], 0)
    assert len(splits["train"]) > len(splits["validation"])
    with pytest.raises(AssertionError, match="made without need"):
        splits["shift:rotation:1"]


def test_a_training_seed_moves_rows_only_where_splits_are_standard() -> None:
    one, two = (load_splits(IRIS, seed)["test"].row_ids for seed in (0, 1))
    assert one.tolist() == two.tolist()
    moved = dataclasses.replace(IRIS, split_by_seed=True)
    one, two = (load_splits(moved, seed)["test"].row_ids for seed in (0, 1))
    assert one.tolist() != two.tolist()


def test_a_set_is_loaded_once_and_tables_are_scaled() -> None:
    first, again = load_splits(IRIS, 0)["train"], load_splits(IRIS, 1)["train"]
    assert first.x is again.x
    scaled = first.x[:].double()
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(0, correction=0), 1, atol=1e-5)


def own_data(seed: int) -> DataSet:
    return data.load("wine", seed=seed)


def test_a_task_may_bring_its_own_data() -> None:
    task = Task("mine", "classification", own_data, "mlp", 20, 40)
    wine = data.standardise(data.load("wine"))
    assert torch.equal(load_splits(task, 0)["test"].x[:], wine.test.x[:])


@pytest.mark.parametrize("task", SUITES["tabular"], ids=lambda task: task.name)
def test_tables_hold_out_rows_that_no_part_has(task: Task) -> None:
    splits = load_splits(task, 101)
    strange = set(splits["ood:held_out"].row_ids.tolist())
    known = [set(splits[name].row_ids.tolist()) for name in ("train", "validation", "test")]
    assert len(strange) >= 10
    assert sum(map(len, known)) + len(strange) == len(set.union(strange, *known))
    test = splits["test"].x[:].flatten(1)
    for name in ("dependence_break", "dependence_break_within_class"):
        broken = splits[f"ood:{name}"]
        assert broken.y is None
        assert torch.equal(broken.x[:].flatten(1).sort(0).values, test.sort(0).values)


def test_a_seed_draws_rows_and_what_is_held_out() -> None:
    task = next(task for task in SUITES["tabular"] if task.name == "digits")
    held = [load_splits(task, seed)["ood:held_out"] for seed in (0, 1, 5)]
    out = [set(targets(split).tolist()) for split in held]
    assert out[0] != out[1]
    assert out[0] == out[2]
    first, sixth = (load_splits(task, seed)["test"].row_ids for seed in (0, 5))
    assert set(first.tolist()) != set(sixth.tolist())


def test_digits_exchange_their_left_and_right_halves() -> None:
    task = next(task for task in SUITES["tabular"] if task.name == "digits")
    splits = load_splits(task, 0)
    test, broken = splits["test"].x[:], splits["ood:dependence_break"].x[:]
    assert torch.equal(test[..., :4], broken[..., :4])
    assert not torch.equal(test[..., 4:], broken[..., 4:])


@pytest.mark.parametrize("name", ["diabetes", "flights_sample"])
def test_regressions_are_judged_beyond_their_training_inputs(name: str) -> None:
    task = next(task for task in SUITES["regression"] if task.name == f"{name}-extrapolation")
    splits = load_splits(task, 1)
    far = splits["ood:extrapolation"].row_ids.tolist()
    thirds = [splits[f"shift:extrapolation:{k}"] for k in (1, 2, 3)]
    assert [row for third in thirds for row in third.row_ids.tolist()] == far
    assert all(third.y is not None for third in thirds)
    assert not set(far) & set(splits["train"].row_ids.tolist())


def test_the_local_regressions_follow_the_standard_splits(data_dir: Callable[..., Path]) -> None:
    folder = data_dir("uci/concrete.npz")
    task = next(task for task in SUITES["regression"] if task.name == "concrete")
    with np.load(folder / "uci/concrete.npz") as arrays:
        for seed, split in ((3, 3), (107, 7)):
            assert (
                load_splits(task, seed)["test"].row_ids.tolist() == arrays[f"test_{split}"].tolist()
            )


def test_strange_images_pass_the_codec_of_what_is_known() -> None:
    task = next(task for task in SUITES["images"] if task.name == "cifar10-classes0")
    digits = data.load("digits")
    few = dataclasses.replace(digits, card=dataclasses.replace(digits.card, name="cifar10"))
    made, plain = PARTNERS["noise"](task, few), PARTNERS["noise"](task, digits)
    again = data.matched(data.noise(few.test), few.train, jpeg_quality=75)
    assert torch.equal(made.x[:], again.x[:])
    assert not torch.equal(made.x[:], plain.x[:])
    assert made.y is None


def test_letters_come_in_the_digits_size_and_statistics(data_dir: Callable[..., Path]) -> None:
    data_dir("notmnist_t10k.npz")
    task = SUITES["images"][0]
    strange, known = (load_splits(task, 0)[name] for name in ("ood:notmnist", "train"))
    assert strange.y is None
    assert abs(strange.x[:].mean() - known.x[:].mean()) < 0.01
    assert SANITY >= {"notmnist", "glyphs", "noise"} == {*task.ood}


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_partner_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`ood` should be one of .*did you mean dependence_break"):
        dataclasses.replace(IRIS, ood=("dependence_brake",))


def test_regression_has_no_classes() -> None:
    task = Task("diabetes", "regression", "diabetes", "mlp", 20, 40)
    assert class_count(task, load_splits(task, 0)["train"]) == 0


def test_noise_is_a_partner_of_images() -> None:
    task = Task("digits", "classification", "digits", "mlp", 20, 40, ood=("noise",))
    splits = load_splits(task, 0)
    assert splits["ood:noise"].x.shape[1:] == splits["test"].x.shape[1:]
    assert splits["ood:noise"].y is None
    with pytest.raises(ValueError, match="should have targets"):
        targets(splits["ood:noise"])
