"""Conformal figures of a run: those of each training, their means, and what can't be had."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.evaluation.conformal.cases import classes, numbers
from uncertain.benchmark.conformal import conformal_figures
from uncertain.evaluation import Predictions, Row
from uncertain.evaluation.conformal import evaluate_conformal, fit_aps, fit_thr
from uncertain.families import ArrayDistribution


def cases(make=classes, trainings=3, split="test", n=300):
    """Return one case a training, each on rows of its own, as splits of one data set have."""
    place = {"test": 0, "validation": 100, "shift:noise:2": 200}[split]
    found = []
    for k in range(trainings):
        d, y = make(n, place + k)
        ids = np.arange(n) + 1000 * (place + k)
        found.append(Predictions(d, y, source="net", training=str(k), split=split, row_ids=ids))
    return found


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    judged = cases() + cases(split="shift:noise:2")
    strange = dataclasses.replace(judged[0], split="ood:far", target=None)
    return conformal_figures([*judged, strange], cases(split="validation"))


def test_each_training_has_the_figures_of_its_own_fit(rows: list[Row]) -> None:
    expected = evaluate_conformal(
        cases(), validation=cases(split="validation"), methods=[fit_thr, fit_aps]
    )
    for row in expected:
        if "_by_" not in row.metric:
            assert dataclasses.replace(row, versions="") in rows
    assert {row.split for row in rows} == {"test", "shift:noise:2"}
    assert {row.variant.partition(",")[0] for row in rows} == {"THR", "APS", "RAPS"}


def test_the_mean_has_the_p_value_of_its_worst_training_times_their_number(rows: list[Row]) -> None:
    coverage = [r for r in rows if r.metric == "conformal_coverage" and r.variant == "THR,0.9"]
    singles = [row for row in coverage if row.training and row.split == "test"]
    means = [row for row in coverage if not row.training and row.split == "test"]
    assert len(singles) == 3
    assert {row.over for row in means} >= {"trainings"}
    for mean in means:
        assert mean.value == pytest.approx(np.mean([row.value for row in singles]))
        assert 0 <= mean.low <= mean.value <= mean.high <= 1
        assert mean.p_value == pytest.approx(min(1, 3 * min(row.p_value for row in singles)))
    assert all(row.p_value is None for row in coverage if row.split != "test")


def test_parts_are_those_of_the_test_rows_and_means_that_all_trainings_have(
    rows: list[Row],
) -> None:
    parts = [row for row in rows if "_by_" in row.metric]
    assert {row.metric for row in parts} >= {"conformal_coverage_by_class"}
    assert {(row.split, row.training) for row in parts} == {("test", "")}
    alone = conformal_figures(cases(trainings=1), cases(trainings=1, split="validation"))
    assert {row.training for row in alone if "_by_" in row.metric} == {"0"}


def test_what_a_method_can_not_take_is_undefined_and_says_why() -> None:
    test, held = cases(numbers, 1), cases(numbers, 1, "validation")
    one = np.ones(300)
    endless = ArrayDistribution("student_t", {"df": one, "loc": 0 * one, "scale": one})
    found = conformal_figures([dataclasses.replace(test[0], distribution=endless)], held)
    by_method = {r.variant.partition(",")[0]: r for r in found if r.metric == "conformal_coverage"}
    assert by_method["normalised_residuals"].kind == "undefined"
    assert "a spread above 0" in by_method["normalised_residuals"].reason
    few = conformal_figures(test, [held[0].select(slice(5))])
    assert {(row.kind, row.metric) for row in few} == {("undefined", "conformal_coverage")}
    assert conformal_figures(test, []) == []
