"""Several trainings: three intervals, each against its own formula, and nothing finite invented."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.cases import classifier, regressor
from uncertain import intervals
from uncertain.evaluation.across import across_trainings
from uncertain.evaluation.judge import evaluate, judge_one
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.row_scores import row_scores
from uncertain.families import ArrayDistribution


def trainings(k=3, make=classifier, **facts):
    return [make(80, seed=s, noise=0.8, training=f"seed {s}", **facts) for s in range(k)]


@pytest.mark.parametrize("make", [classifier, regressor])
@pytest.mark.parametrize("grouped", [False, True])
def test_means_of_row_scores_have_all_three_intervals(make, grouped):
    facts = {"groups": np.arange(80) // 4, "weights": 1.0 + np.arange(80) % 2} if grouped else {}
    cases = trainings(make=make, **facts)
    found = across_trainings([], cases)
    for metric in row_scores(cases[0]):
        table = np.stack([row_scores(case)[metric] for case in cases])
        expected = intervals.crossed(table, **facts)
        rows = {row.over: row for row in found if row.metric == metric}
        assert set(rows) == {"items", "trainings", "both"}
        for over, row in rows.items():
            estimate = getattr(expected, over)
            assert row.value == pytest.approx(estimate.value, rel=1e-12)
            if row.metric == "nll" or 0 <= estimate.low <= estimate.high <= 1:
                assert (row.low, row.high) == pytest.approx(estimate[1:3], rel=1e-12)
            assert row.training == ""


def test_other_figures_have_intervals_over_trainings_and_over_both():
    cases = trainings()
    single = [row for case in cases for row in judge_one(case, replicates=100)]
    of_rows = [row for row in single if row.metric == "ece_debiased" and "width" in row.variant]
    found = across_trainings(single, cases)
    spread, both = (
        next(r for r in found if (r.metric, r.variant, r.over) == (*name, over))
        for name in [("ece_debiased", of_rows[0].variant)]
        for over in ("trainings", "both")
    )
    expected = intervals.over_trainings([row.value for row in of_rows], n=80)
    assert (spread.value, spread.low, spread.high) == (
        expected.value,
        max(expected.low, 0),
        min(expected.high, 1),
    )
    above = np.sqrt(np.mean([(row.high - row.value) ** 2 for row in of_rows]))
    assert both.value == spread.value
    assert both.high == pytest.approx(both.value + np.hypot(expected.high - expected.value, above))
    assert 0 <= both.low <= spread.low


def test_the_plug_in_error_has_no_interval_over_trainings_either():
    cases = trainings()
    single = [row for case in cases for row in judge_one(case, replicates=100)]
    found = [row for row in across_trainings(single, cases) if row.metric == "ece"]
    assert found
    assert not any(row.has_interval for row in found)
    assert all(row.over == "trainings" for row in found)


def test_no_interval_leaves_the_range_of_its_metric():
    cases = trainings()
    single = [row for case in cases for row in judge_one(case, replicates=100)]
    for row in across_trainings(single, cases):
        if row.metric != "nll" and row.has_interval:
            assert row.low >= 0
        if row.metric in ("accuracy", "ece_debiased") and row.has_interval:
            assert row.high <= 1


def test_trainings_judged_on_different_rows_have_a_spread_only():
    cases = [
        classifier(40 + s, labels_seed=s, seed=s, noise=0.5, training=str(s)) for s in range(3)
    ]
    found = evaluate(cases, replicates=100).select(metric="accuracy", training="")
    (row,) = found
    values = [
        r.value for r in evaluate(cases, replicates=100).select(metric="accuracy") if r.training
    ]
    assert row.over == "trainings"
    assert row.value == pytest.approx(np.mean(values))


def test_splits_that_agree_by_chance_are_no_certainty():
    cases = [
        classifier(40, seed=s, training=str(s), row_ids=np.arange(40) + 5 * s, training_rows=360)
        for s in range(3)
    ]
    rows = [
        replace(row, value=0.0, low=0.0, high=high)
        for case, high in zip(cases, (0.1, 0.2, 0.3), strict=True)
        for row in judge_one(case, replicates=100)
        if row.metric == "ece_debiased"
    ]
    found = [row for row in across_trainings(rows, cases) if row.metric == "ece_debiased"]
    both = [row for row in found if row.over == "both"]
    assert both
    assert all((row.low, row.high) == (0.0, pytest.approx(0.2)) for row in both)


def test_trainings_with_ids_may_come_in_any_order():
    cases = trainings(row_ids=np.arange(80))
    moved = [cases[0], cases[1].select(np.arange(80)[::-1]), cases[2]]
    assert across_trainings([], moved) == across_trainings([], cases)


def test_a_single_training_has_no_mean_of_its_own():
    assert across_trainings([], [classifier(30, training="1")]) == []


def test_an_infinite_figure_is_not_left_out_of_the_mean():
    p = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
    broken = np.array([[1.0, 0.0], [0.5, 0.5], [0.2, 0.8]])
    y = np.array([1, 0, 1])
    cases = [
        Predictions(ArrayDistribution("categorical", {"probs": q}), y, training=str(k))
        for k, q in enumerate([p, broken, p])
    ]
    rows = evaluate(cases, replicates=100).select(metric="nll", training="")
    (row,) = rows
    assert row.value == math.inf
    assert row.reason == "1 of 3 trainings: the true class has probability 0 in 1 of 3 rows"
    assert not row.has_interval


def test_a_figure_that_a_training_lacks_has_no_mean():
    y = np.zeros(4, int)
    sure = np.tile([[0.9, 0.1]], (4, 1)) - np.arange(4)[:, None] * [[0.01, -0.01]]
    wrong = sure.copy()
    wrong[0] = [0.3, 0.7]
    cases = [
        Predictions(ArrayDistribution("categorical", {"probs": q}), y, training=str(k))
        for k, q in enumerate([wrong, sure])
    ]
    rows = evaluate(cases, replicates=100).select(metric="auroc", variant="error:msp", training="")
    (row,) = rows
    assert row.kind == "undefined"
    assert row.reason.startswith("1 of 2 trainings: ")


def test_labels_that_differ_between_trainings_are_refused():
    a = classifier(20, training="1", row_ids=np.arange(20))
    b = classifier(20, labels_seed=4, training="2", row_ids=np.arange(20))
    with pytest.raises(ValueError, match=r"\(training 1\) and .*\(training 2\) .*same target"):
        across_trainings([], [a, b])


def test_a_trivial_pair_stays_trivial_in_the_mean():
    cases = []
    for s in range(2):
        inside = {"control:mean": np.zeros(80)}
        cases.append(classifier(80, seed=s, noise=0.5, training=str(s), scores=inside))
        outside = {"control:mean": np.ones(30)}
        cases.append(
            classifier(30, seed=s, labelled=False, split="ood:x", training=str(s), scores=outside)
        )
    rows = [
        r for r in evaluate(cases, replicates=100) if r.split == "ood:x" and r.over == "trainings"
    ]
    assert rows
    assert all(r.reason.startswith("trivial: mean alone") for r in rows)
