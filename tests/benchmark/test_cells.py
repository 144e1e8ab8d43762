"""What a worker does for one candidate, one network and one cell."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from uncertain import evaluation
from uncertain.benchmark import MODELS, Task
from uncertain.benchmark import cells as module
from uncertain.benchmark.cells import (
    chosen_settings,
    prediction_file,
    run_cell,
    train_network,
    try_candidate,
    tuning_file,
)
from uncertain.benchmark.detection import features_file
from uncertain.benchmark.plan import Cell
from uncertain.benchmark.tasks import load_splits, targets
from uncertain.evaluation import detectors, read_predictions
from uncertain.evaluation.detectors import DETECTORS

SMALL = "tests.benchmark.small_models"
IRIS = Task("iris", "classification", "iris", "mlp", 10, 20, batch_size=16)
DIGITS = Task(
    "digits", "classification", "digits", "mlp", 3, 6, class_split=1, ood=("noise",),
    shifts=(("rotation", (2,)),),
)  # fmt: skip


def silent(step: int, steps: int) -> None:
    pass


def tune(out: Path, task: Task, name: str, numbers: range | None = None) -> None:
    for number in numbers or range(4):
        try_candidate(out, task, name, number, 0, "desk", silent)


def cell(out: Path, task: Task, name: str, seed: int = 0) -> Path:
    found = Cell(task, name, seed)
    folder = out / "cells" / found.key
    run_cell(out, folder, found, "desk", silent)
    return folder


def test_the_candidate_of_the_lowest_validation_nll_is_chosen(tmp_path: Path) -> None:
    tune(tmp_path, IRIS, "softmax")
    tuned = json.loads(tuning_file(tmp_path, IRIS, "softmax", 0).read_text())
    tried = [trial["settings"] for trial in tuned["trials"]]
    assert tried == [dict(settings) for settings in MODELS["softmax"].candidates]
    best = min(tuned["trials"], key=lambda trial: trial["nll"])
    assert tuned["settings"] == best["settings"]
    assert all(0 < trial["error"] < 2 for trial in tuned["trials"])
    for name in ("softmax", "deep_ensemble"):
        assert chosen_settings(tmp_path, IRIS, name, 0) == best["settings"]


def test_a_choice_waits_for_every_candidate(tmp_path: Path) -> None:
    tune(tmp_path, IRIS, "softmax", range(3))
    assert not tuning_file(tmp_path, IRIS, "softmax", 0).exists()
    tune(tmp_path, IRIS, "softmax", range(3, 4))
    assert tuning_file(tmp_path, IRIS, "softmax", 0).is_file()


def test_a_tried_candidate_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune(tmp_path, IRIS, "softmax")
    chosen = tuning_file(tmp_path, IRIS, "softmax", 0)
    before = chosen.read_text()
    chosen.unlink()

    def never(*args: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(module, "train_model", never)
    tune(tmp_path, IRIS, "softmax", range(2, 3))
    assert chosen.read_text() == before


def test_tuning_looks_at_validation_rows_only(tmp_path: Path) -> None:
    name = f"{SMALL}:smoothed"
    tune(tmp_path, IRIS, name, range(2))
    tuned = json.loads(tuning_file(tmp_path, IRIS, name, 0).read_text())
    splits = load_splits(IRIS, 0)
    counts = np.bincount(targets(splits["train"]), minlength=3)
    for trial in tuned["trials"]:
        share = trial["settings"]["share"]
        p = (1 - share) * counts / counts.sum() + share / 3
        expected = -np.log(p[targets(splits["validation"])]).mean()
        assert trial["nll"] == pytest.approx(expected, rel=1e-6)


def test_where_no_likelihood_is_finite_the_error_chooses(tmp_path: Path) -> None:
    name = f"{SMALL}:surely_wrong"
    tune(tmp_path, IRIS, name, range(2))
    tuned = json.loads(tuning_file(tmp_path, IRIS, name, 0).read_text())
    assert [trial["nll"] for trial in tuned["trials"]] == [None, None]
    errors = [trial["error"] for trial in tuned["trials"]]
    assert tuned["settings"] == tuned["trials"][int(np.argmin(errors))]["settings"]
    assert tuned["settings"] == {"far": 0.5}


def test_regression_is_tuned_by_nll_then_crps(tmp_path: Path) -> None:
    task = Task("diabetes", "regression", "diabetes", "mlp", 5, 10)
    tune(tmp_path, task, "gaussian")
    tuned = json.loads(tuning_file(tmp_path, task, "gaussian", 0).read_text())
    assert all(math.isfinite(trial["nll"]) for trial in tuned["trials"])
    assert all(20 < trial["error"] < 200 for trial in tuned["trials"])


def test_candidates_are_trained_with_a_seed_of_their_own(tmp_path: Path) -> None:
    tune(tmp_path, IRIS, "softmax")
    before = set((tmp_path / "networks").rglob("*.pt"))
    train_network(tmp_path, IRIS, "softmax", 0, 0, "desk", silent)
    assert len(set((tmp_path / "networks").rglob("*.pt")) - before) == 1


def test_a_cell_takes_the_networks_that_are_there(tmp_path: Path) -> None:
    tune(tmp_path, IRIS, "softmax")
    for member in range(5):
        train_network(tmp_path, IRIS, "deep_ensemble", 0, member, "desk", silent)
    before = set((tmp_path / "networks").rglob("*.pt"))
    folder = cell(tmp_path, IRIS, "deep_ensemble")
    assert set((tmp_path / "networks").rglob("*.pt")) == before
    facts = json.loads((folder / "cell.json").read_text())
    assert facts["settings"] == dict(chosen_settings(tmp_path, IRIS, "softmax", 0))
    assert facts["cost"]["forward_passes"] == 5
    assert facts["splits"] == ["test"]


def test_a_cell_predicts_every_split_with_what_is_known_of_its_rows(tmp_path: Path) -> None:
    folder = cell(tmp_path, DIGITS, f"{SMALL}:class_frequencies", seed=2)
    splits = load_splits(DIGITS, 2)
    names = json.loads((folder / "cell.json").read_text())["splits"]
    assert names == ["test", "ood:held_out", "ood:noise", "shift:rotation:2"]
    for name in names:
        found = read_predictions(prediction_file(folder, name), split=name)
        assert found.row_ids is not None
        assert found.row_ids.tolist() == splits[name].row_ids.tolist()
        assert (found.target is None) == name.startswith("ood:")
        assert (found.training, found.task, found.split) == ("2", "digits", name)
        # A corrupted test row looks strange to a control too; only strange inputs are told apart.
        assert bool(found.scores) == (not name.startswith("shift:"))
        assert all(score.startswith("control:") for score in found.scores)


def test_validation_is_predicted_for_temperatures_but_not_judged(tmp_path: Path) -> None:
    folder = cell(tmp_path, DIGITS, f"{SMALL}:class_frequencies")
    assert "validation" not in json.loads((folder / "cell.json").read_text())["splits"]
    found = read_predictions(prediction_file(folder, "validation"), split="validation")
    assert found.row_ids is not None
    assert found.row_ids.tolist() == load_splits(DIGITS, 0)["validation"].row_ids.tolist()
    assert not found.scores


def test_tables_have_no_image_controls(tmp_path: Path) -> None:
    folder = cell(tmp_path, IRIS, f"{SMALL}:class_frequencies")
    assert not read_predictions(prediction_file(folder, "test")).scores


def test_each_split_is_tuned_on_its_own_validation_rows(tmp_path: Path) -> None:
    task = dataclasses.replace(IRIS, split_by_seed=True)
    name = f"{SMALL}:smoothed"
    for seed in (0, 1):
        for number in range(2):
            try_candidate(tmp_path, task, name, number, seed, "desk", silent)
        tuned = json.loads(tuning_file(tmp_path, task, name, seed).read_text())
        splits = load_splits(task, seed)
        counts = np.bincount(targets(splits["train"]), minlength=3)
        for trial in tuned["trials"]:
            share = trial["settings"]["share"]
            p = (1 - share) * counts / counts.sum() + share / 3
            expected = -np.log(p[targets(splits["validation"])]).mean()
            assert trial["nll"] == pytest.approx(expected, rel=1e-6)
        assert chosen_settings(tmp_path, task, name, seed) == tuned["settings"]
        tuning = set(splits["validation"].row_ids.tolist())
        assert not tuning & set(splits["test"].row_ids.tolist())
    assert tuning_file(tmp_path, task, name, 0) != tuning_file(tmp_path, task, name, 1)


def test_no_candidate_shares_a_network_with_a_training() -> None:
    # Members of seed s train with 1000 (s + 1) + j, and seeds go to 119.
    assert module.TUNING_SEED > 1000 * 121


def test_a_cell_writes_down_its_rows(tmp_path: Path) -> None:
    cell(tmp_path, IRIS, f"{SMALL}:class_frequencies")
    facts = json.loads((tmp_path / "splits" / "iris" / "0.json").read_text())
    assert facts["parts"]["test"]["row_ids"] == load_splits(IRIS, 0)["test"].row_ids.tolist()


def test_detectors_score_the_test_and_strange_rows_of_a_softmax(tmp_path: Path) -> None:
    tune(tmp_path, DIGITS, "softmax")
    folder = cell(tmp_path, DIGITS, "softmax")
    # After three steps a class may have no correct row, which patterns are means of.
    skipped = json.loads((folder / "cell.json").read_text())["detectors_skipped"]
    assert set(skipped) <= {"she"}
    assert all("correctly classified" in reason for reason in skipped.values())
    named = {f"detector:{name}" for name in {*DETECTORS, "odin"} - set(skipped)}
    for split in ("test", "ood:held_out", "ood:noise"):
        stored = read_predictions(prediction_file(folder, split), split=split)
        assert {name for name in stored.scores if name.startswith("detector:")} == named
        assert all(np.isfinite(score).all() for score in stored.scores.values())
    shifted = read_predictions(prediction_file(folder, "shift:rotation:2"))
    assert not [name for name in shifted.scores if name.startswith("detector:")]
    features = evaluation.load_collected(
        features_file(tmp_path, Cell(DIGITS, "softmax", 0), "ood:held_out")
    )
    stored = read_predictions(prediction_file(folder, "ood:held_out"), split="ood:held_out")
    np.testing.assert_array_equal(stored.row_ids, features.row_ids)
    # What is stored is what a user gets from the recorded features.
    (bank,) = (tmp_path / "networks").rglob("*.features.parquet")
    train = dataclasses.replace(
        evaluation.load_collected(bank), labels=targets(load_splits(DIGITS, 0)["train"]).numpy()
    )
    again = detectors.detector_scores(detectors.fit_detectors(train), features)
    for name, score in again.items():
        np.testing.assert_allclose(stored.scores[name], score)


@pytest.mark.parametrize(("task", "name"), [(DIGITS, "mc_dropout"), (IRIS, "softmax")])
def test_no_detectors_for_several_networks_or_without_partners(
    tmp_path: Path, task: Task, name: str
) -> None:
    tune(tmp_path, task, name)
    folder = cell(tmp_path, task, name)
    stored = read_predictions(prediction_file(folder, "test"))
    assert not [score for score in stored.scores if score.startswith("detector:")]
    assert not (tmp_path / "features").exists()
