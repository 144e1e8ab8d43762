"""Detection: scores of any scale, groups and weights of both sides, pairs that carry no claim."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluation.cases import classifier, figures, regressor
from uncertain.evaluation.detection import TRIVIAL, detection_rows
from uncertain.evaluation.judge import evaluate
from uncertain.evaluation.ranking import ranking_estimates
from uncertain.evaluation.ranking_sums import SELECTIVE
from uncertain.evaluation.sides import both_groups, both_weights

OPTIONS = {"level": 0.95, "replicates": 100, "seed": 0}


def strange(n=50, **facts):
    return classifier(n, labels_seed=9, labelled=False, split="ood:x", **facts)


def with_scores(inside, outside, name="distance"):
    """Two sides whose only own score is ``name``."""
    return [
        classifier(len(inside), scores={name: inside}),
        strange(len(outside), scores={name: outside}),
    ]


def row(rows, metric, variant):
    (found,) = [r for r in rows if r.metric == metric and r.variant == variant]
    return found


# F2 and F3: distances are scores, and no score is ever squashed


def test_distances_far_outside_the_unit_interval_are_ranked_as_they_are():
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(20, 2, 400), rng.normal(23, 2, 300)
    found = detection_rows(with_scores(inside, outside), **OPTIONS)
    truth = 0.5 * (1 + math.erf(3 / (2 * math.sqrt(2)) / math.sqrt(2)))
    area = row(found, "auroc", "ood:x:distance")
    expected = sklearn.metrics.roc_auc_score(
        np.repeat([0, 1], [400, 300]), np.concatenate([inside, outside])
    )
    assert area.value == pytest.approx(expected, abs=1e-12)
    assert area.low < truth < area.high


@given(st.sampled_from([lambda x: 1e6 * x - 3, np.exp, np.arctan, lambda x: x**3, np.float64]))
def test_a_monotone_transform_changes_no_bit(transform):
    rng = np.random.default_rng(1)
    inside, outside = rng.integers(-8, 8, 60) / 4, rng.integers(-6, 10, 40) / 4
    plain = detection_rows(with_scores(inside, outside), **OPTIONS)
    moved = detection_rows(with_scores(transform(inside), transform(outside)), **OPTIONS)
    for metric in ("auroc", "aupr_ood_positive", "aupr_id_positive", "fpr95_ood_positive"):
        one, two = (row(rows, metric, "ood:x:distance") for rows in (plain, moved))
        assert (one.value, one.low, one.high) == (two.value, two.low, two.high)


def test_infinite_distances_have_a_rank():
    found = detection_rows(with_scores(np.zeros(4), np.full(3, np.inf)), **OPTIONS)
    assert row(found, "auroc", "ood:x:distance").value == 1


def test_an_area_of_one_has_an_exact_one_sided_interval():
    found = row(
        detection_rows(with_scores(np.zeros(40), np.ones(30)), **OPTIONS), "auroc", "ood:x:distance"
    )
    assert found.high == 1
    assert found.low <= 0.05 ** (1 / 30) + 1e-12


def test_both_classes_can_be_the_positive_one():
    rng = np.random.default_rng(2)
    inside, outside = rng.normal(size=80), rng.normal(1, 1, 20)
    found = detection_rows(with_scores(inside, outside), **OPTIONS)
    y, scores = np.repeat([0, 1], [80, 20]), np.concatenate([inside, outside])
    ap = sklearn.metrics.average_precision_score
    for metric, expected, positive in (
        ("aupr_ood_positive", ap(y, scores), "ood"),
        ("aupr_id_positive", ap(1 - y, -scores), "id"),
    ):
        found_row = row(found, metric, "ood:x:distance")
        assert found_row.value == pytest.approx(expected, abs=1e-12)
        assert found_row.positive_class == positive


def test_mistakes_are_ranked_by_every_score_of_the_model():
    case = classifier(
        200, noise=1.5, scores={"distance": np.arange(200.0), "control:size": np.ones(200)}
    )
    found = detection_rows([case], **OPTIONS)
    assert {r.variant for r in found} == {"error:msp", "error:entropy", "error:distance"}
    assert {r.metric for r in found} == {
        "auroc",
        *SELECTIVE,
        "aupr_error_positive",
        "aupr_correct_positive",
        "fpr95_error_positive",
    }
    p = case.distribution.parameters["probs"]
    expected = sklearn.metrics.roc_auc_score(p.argmax(1) != case.target, np.arange(200))
    assert row(found, "auroc", "error:distance").value == pytest.approx(expected, abs=1e-12)


def test_regressions_are_told_apart_by_their_spread():
    cases = [regressor(40), regressor(40, noise=2.0, split="ood:x")]
    assert row(detection_rows(cases, **OPTIONS), "auroc", "ood:x:sd").value > 0.9


def test_a_score_that_one_side_lacks_is_left_out():
    cases = [classifier(20, scores={"distance": np.arange(20.0)}), strange(10)]
    found = detection_rows(cases, **OPTIONS)
    assert not [r for r in found if r.variant == "ood:x:distance"]


# Weights and groups


def test_weights_that_are_counts_stay_and_others_average_one():
    test, other = classifier(3, weights=np.array([1.0, 2.0, 4.0])), strange(2)
    np.testing.assert_array_equal(both_weights(test, other), [1, 2, 4, 1, 1])
    half = dataclasses.replace(test, weights=np.array([0.5, 1.0, 1.5]))
    np.testing.assert_array_equal(both_weights(half, other), [0.5, 1, 1.5, 1, 1])
    tiny = dataclasses.replace(test, weights=half.weights * 1e-4)
    np.testing.assert_allclose(both_weights(tiny, other), [0.5, 1, 1.5, 1, 1])
    assert both_weights(classifier(3), other) is None


def test_groups_of_the_two_sides_are_different_units():
    test = classifier(4, groups=np.array(["a", "a", "b", "b"]))
    other = strange(3, groups=np.array(["a", "b", "b"]))
    np.testing.assert_array_equal(both_groups(test, other), [0, 0, 1, 1, 2, 3, 3])
    np.testing.assert_array_equal(both_groups(test, strange(2)), [0, 0, 1, 1, 2, 3])
    assert both_groups(classifier(4), other.select([0, 1]))[0] == 0
    assert both_groups(classifier(4), strange(3)) is None


def test_groups_widen_the_interval():
    rng = np.random.default_rng(0)
    inside, outside = np.repeat(rng.normal(size=20), 5), np.repeat(rng.normal(1, 1, 20), 5)
    alone = with_scores(inside, outside)
    groups = np.repeat(np.arange(20), 5)
    grouped = [dataclasses.replace(case, groups=groups) for case in alone]
    one, two = (
        row(detection_rows(c, **OPTIONS), "auroc", "ood:x:distance") for c in (alone, grouped)
    )
    assert one.value == two.value
    assert two.high - two.low > 1.5 * (one.high - one.low)
    assert two.n_groups == 40


# Controls


def controlled(area, *, sources=("a", "b"), sign=1):
    """A control whose AUROC is ``area`` exactly, on the strange rows of every source."""
    inside = np.arange(100.0) + 0.5
    outside = np.full(20, 100 * area)
    return [
        case
        for source in sources
        for case in (
            classifier(100, source=source, scores={"control:mean": sign * inside}),
            strange(20, source=source, scores={"control:mean": sign * outside}),
        )
    ]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_pair_that_a_control_gives_away_carries_no_claim(sign):
    found = detection_rows(controlled(0.9, sign=sign), **OPTIONS)
    outside = [r for r in found if r.split == "ood:x"]
    assert outside
    assert all("trivial: mean alone has AUROC 0.9000" in r.reason for r in outside)
    assert not any("trivial" in r.reason for r in found if r.split == "test")
    (control,) = [r for r in found if r.source == "control: mean"]
    assert control.value == 0.9
    assert control.low < 0.9 < control.high
    assert ("smaller is ood" in control.reason) == (sign < 0)


@pytest.mark.parametrize("area", [0.5, TRIVIAL])
def test_a_pair_that_no_control_gives_away_is_not_marked(area):
    assert not any("trivial" in r.reason for r in detection_rows(controlled(area), **OPTIONS))


def test_a_control_stands_once_for_all_models_whatever_their_order():
    cases = controlled(0.7)
    found = detection_rows(cases, **OPTIONS)
    assert sum(r.source == "control: mean" for r in found) == 1
    again = detection_rows(cases[::-1], **OPTIONS)
    assert figures(again).keys() == figures(found).keys()


def test_controls_are_no_scores_of_the_model():
    variants = {r.variant for r in detection_rows(controlled(0.7), **OPTIONS) if r.source == "a"}
    assert variants == {"error:msp", "error:entropy", "ood:x:msp", "ood:x:entropy"}


def test_strange_rows_of_another_kind_of_model_are_refused():
    test = classifier(30)
    other = dataclasses.replace(regressor(30), split="ood:x", target=None)
    with pytest.raises(ValueError, match=r"should hold predictions of 3 classes.*got numbers"):
        evaluate([test, dataclasses.replace(other, source=test.source)], replicates=100)


def test_one_group_has_figures_without_intervals():
    scores = np.arange(20.0)
    found = ranking_estimates(scores, scores > 12, groups=np.zeros(20), replicates=100)
    assert all(np.isnan(e.low) and np.isnan(e.high) for e in found.values())
    assert all(e.reason == "one group has no spread" for e in found.values())
    assert found["auroc"].value == 1.0
