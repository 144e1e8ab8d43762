"""Trainings on splits of one data set: recognised, corrected, and marked where they are few."""

from __future__ import annotations

import numpy as np
import pytest

from tests.evaluation.cases import classifier, regressor
from uncertain import intervals
from uncertain.evaluation.console import print_results
from uncertain.evaluation.judge import evaluate
from uncertain.evaluation.report import render_report
from uncertain.evaluation.resampling import overlap
from uncertain.evaluation.row_scores import row_scores

TRAIN, TEST = 180, 20


def splits(source="a", noise=0.3, k=3, ids=True, train=TRAIN, **facts):
    """Return k trainings, each tested on other rows of one set of 200."""
    cases = []
    for s in range(k):
        rows = np.random.default_rng(s).permutation(200)[:TEST] if ids else None
        cases.append(
            regressor(
                TEST, seed=s, noise=noise, source=source, training=str(s),
                row_ids=rows, training_rows=train, **facts,
            )
        )  # fmt: skip
    return cases


def test_the_share_tested_is_known_where_every_training_says_its_size():
    assert overlap(splits()) == pytest.approx(0.1)
    assert overlap(splits(ids=False)) == pytest.approx(0.1)
    assert overlap([*splits(), *splits(train=None)]) is None
    assert overlap([]) is None


def test_rows_of_several_data_sets_are_no_splits_of_one():
    apart = [
        regressor(20, training=str(s), row_ids=np.arange(20) + 100 * s, training_rows=20)
        for s in range(3)
    ]
    assert overlap(apart) is None


def test_a_size_below_one_is_refused():
    with pytest.raises(ValueError, match=r"`training_rows` should lie in \[1, inf\]"):
        classifier(10, training_rows=0)


def test_means_over_splits_of_one_set_have_the_corrected_interval_over_both():
    cases = splits()
    rows = {r.over: r for r in evaluate(cases, replicates=100).select(metric="nll", training="")}
    values = [row_scores(case)["nll"].mean() for case in cases]
    corrected = intervals.corrected_resampled_t(values, test_share=0.1)
    assert set(rows) == {"trainings", "both"}
    assert (rows["both"].low, rows["both"].high) == pytest.approx(corrected[1:3], rel=1e-9)
    plain = intervals.over_trainings(values)
    assert (rows["trainings"].low, rows["trainings"].high) == pytest.approx(plain[1:3], rel=1e-9)


@pytest.mark.parametrize("metric", ["nll", "rmse"])
def test_differences_over_splits_of_one_set_are_corrected(metric):
    results = evaluate([*splits("a"), *splits("b", noise=0.5)], replicates=100)
    values = {(r.source, r.training): r.value for r in results.select(metric=metric) if r.training}
    differences = [values["a", str(s)] - values["b", str(s)] for s in range(3)]
    corrected = intervals.corrected_resampled_t(differences, test_share=0.1, null=0.0)
    (row,) = results.select(metric=metric, kind="difference", over="both")
    assert (row.value, row.low, row.high) == pytest.approx(corrected[:3], rel=1e-9)
    assert row.p_value == pytest.approx(corrected.p_value, rel=1e-9)


def test_sources_judged_on_splits_have_letters_over_both():
    results = evaluate([*splits("a", 0.1, k=10), *splits("b", 2.0, k=10)], replicates=100)
    lettered = {
        (r.source, r.over): r.rank_group for r in results.select(metric="nll") if r.rank_group
    }
    assert lettered == {("a", "both"): "a", ("b", "both"): "b"}
    assert not any(r.reason for r in results.select(metric="nll"))


def test_claims_from_fewer_than_ten_trainings_are_marked(capsys):
    results = evaluate([*splits("a", 0.1), *splits("b", 2.0)], replicates=100)
    said = {r.reason for r in results.select(metric="nll", over="both")}
    assert said == {"from 3 trainings: a claim about methods needs at least 10"}
    words = "Letters from 3 trainings: a claim about methods needs at least 10."
    assert words in render_report(results, [], title="x")
    print_results(results)
    assert words in capsys.readouterr().out.replace("\n", " ")


def test_p_values_and_letters_are_holms_over_tasks_too():
    cases = [
        classifier(60, seed=i, noise=noise, source=s, task=t, labels_seed=k)
        for k, t in enumerate("xyz")
        for i, (s, noise) in enumerate([("a", 0.0), ("b", 0.7)])
    ]
    together = evaluate(cases, replicates=100).select(metric="nll", kind="difference")
    alone = [
        row
        for t in "xyz"
        for row in evaluate([c for c in cases if c.task == t], replicates=100).select(
            metric="nll", kind="difference"
        )
    ]
    expected = intervals.holm([row.p_value for row in alone])
    np.testing.assert_allclose([row.p_value for row in together], expected)
