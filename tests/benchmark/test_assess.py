"""From stored predictions to the table and the report."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from uncertain import data
from uncertain.benchmark import Task
from uncertain.benchmark.assess import assess, choices
from uncertain.benchmark.cells import run_cell, try_candidate, tuning_file
from uncertain.benchmark.plan import Plan, make_plan
from uncertain.benchmark.tasks import load_splits
from uncertain.evaluation import Results
from uncertain.evaluation.row_order import is_sanity

SMALL = "tests.benchmark.small_models"
DIGITS = Task("digits", "classification", "digits", "mlp", 3, 6, ood=("noise",))
MODELS = (f"{SMALL}:smoothed", f"{SMALL}:with_its_cost")


def silent(step: int, steps: int) -> None:
    pass


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    out = tmp_path_factory.mktemp("run")
    made = make_plan([DIGITS], models=MODELS, seeds=2, budget="desk", out=out)
    for number in range(2):
        try_candidate(out, DIGITS, MODELS[0], number, 0, "desk", silent)
    for cell in made.cells:
        run_cell(out, made.folder(cell), cell, "desk", silent)
    return made


@pytest.fixture(scope="module")
def results(plan: Plan) -> Results:
    return assess(plan, command="uncertain benchmark")


def test_a_run_that_is_not_done_is_not_judged(tmp_path: Path) -> None:
    begun = make_plan([DIGITS], models=MODELS, seeds=1, budget="desk", out=tmp_path)
    with pytest.raises(ValueError, match="2 cells are not done yet, the first is digits/"):
        assess(begun)


def test_the_table_is_what_was_written(plan: Plan, results: Results) -> None:
    assert Results.read(plan.out / "results.parquet") == results
    assert set(results.sources) >= set(MODELS)
    assert {row.split for row in results} == {"test", "ood:noise"}


def test_trainings_are_averaged_and_compared(results: Results) -> None:
    overs = {row.over for row in results.select(metric="nll", source=MODELS[0], kind="estimate")}
    assert overs == {"items", "trainings", "both"}
    assert len(results.select(metric="nll", kind="difference"))
    assert any(row.rank_group for row in results)


def test_classes_are_compared_after_temperature_scaling_too(plan: Plan, results: Results) -> None:
    scaled = [row for row in results if row.variant.startswith("temperature_scaled")]
    assert {row.source for row in scaled} == set(MODELS)
    assert {row.kind for row in scaled} >= {"estimate", "difference"}
    singles = [row for row in scaled if row.training and row.kind == "estimate"]
    assert all("rows of the validation split" in row.reason for row in singles)
    assert "And after temperature scaling?" in (plan.out / "report.html").read_text()
    assert "validation" not in {row.split for row in results}


def test_the_table_and_the_page_say_what_was_tuned(plan: Plan, results: Results) -> None:
    (line,) = choices(plan)
    tuned = json.loads(tuning_file(plan.out, DIGITS, MODELS[0], 0).read_text())
    best = min(tuned["trials"], key=lambda trial: trial["nll"])
    share = f"share {best['settings']['share']} (of 2 candidates, validation NLL {best['nll']:.4g})"
    assert line == f"digits {MODELS[0]}: {share}"
    assert results.metadata["settings"] == line
    assert results.metadata["budget"] == "desk"
    assert share in (plan.out / "report.html").read_text()


def test_costs_stand_beside_quality_and_their_mean_for_the_model(results: Results) -> None:
    rows = results.select(metric="train_seconds", source=MODELS[1])
    assert [(row.training, row.value) for row in rows] == [("", 1.5), ("0", 1.5), ("1", 1.5)]
    measured = results.select(metric="train_seconds", source=MODELS[0])
    mean = {row.training: row.value for row in measured}
    assert mean[""] == pytest.approx(np.mean([mean["0"], mean["1"]]))
    assert {row.metric for row in results} >= {"train_seconds", "parameters", "forward_passes"}


def test_the_page_shows_the_mistakes_as_images(plan: Plan, results: Results) -> None:
    page = (plan.out / "report.html").read_text()
    assert "data:image/png" in page
    assert "uncertain benchmark" in page


def test_conformal_sets_are_judged_by_method(plan: Plan, results: Results) -> None:
    rows = results.select(metric="conformal_coverage", split="test")
    assert {(row.source, row.variant) for row in rows} == {
        (model, f"{method},0.9") for model in MODELS for method in ("THR", "APS", "RAPS")
    }
    assert {row.training for row in rows} == {"", "0", "1"}
    page = (plan.out / "report.html").read_text()
    assert "Do conformal sets keep their promise?" in page


def test_judging_again_gives_the_same_table(plan: Plan, results: Results) -> None:
    again = assess(plan, command="uncertain benchmark")
    strip = [dataclasses.replace(row, versions="") for row in again]
    assert strip == [dataclasses.replace(row, versions="") for row in results]


def test_a_sanity_pair_says_so_on_every_row(plan: Plan, results: Results) -> None:
    noise, test = results.select(split="ood:noise"), results.select(split="test")
    assert len(noise)
    assert all(is_sanity(row) for row in noise)
    assert not any(is_sanity(row) for row in test)
    assert "sanity</span>" in (plan.out / "report.html").read_text()


def test_the_table_holds_the_hashes_of_its_rows(plan: Plan, results: Results) -> None:
    hashes = json.loads(results.metadata["splits"])
    rows = load_splits(DIGITS, 0)["test"].row_ids
    assert hashes["digits/0"]["test"] == data.split_hash(rows)
    assert results.metadata["half"] == "develop"
    assert "confirm_runs" not in results.metadata
