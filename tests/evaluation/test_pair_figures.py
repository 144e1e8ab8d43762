"""Figures that are no means of row scores: influence functions against finite differences."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluation.cases import classifier, regressor
from uncertain.evaluation.pair_figures import figure_differences, risk_coverage_influence
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.ranking import area_under_risk_coverage, rank_curve
from uncertain.evaluation.sides import both_groups, both_weights
from uncertain.families import ArrayDistribution
from uncertain.intervals import delong_difference

OPTIONS = {"level": 0.95, "replicates": 100, "seed": 0}


def smooth_area(u, wrong, w):
    """The area under the risk-coverage curve as an integral over weight: sums become logarithms."""
    total, area, before, errors = w.sum(), 0.0, 0.0, 0.0
    for value in np.unique(u):
        here = u == value
        s, e = w[here].sum(), (w * wrong)[here].sum()
        area += e if before == 0 else e + (errors - e * before / s) * np.log1p(s / before)
        before, errors = before + s, errors + e
    return area / total


@given(st.integers(0, 10**6), st.booleans(), st.booleans())
def test_the_influence_is_the_derivative_by_a_rows_weight(seed, tied, weighted):
    rng = np.random.default_rng(seed)
    n = 12
    u = rng.integers(0, 5, n) / 4 if tied else rng.random(n)
    wrong = (rng.random(n) < 0.4).astype(float)
    w = rng.random(n) + 0.5 if weighted else np.ones(n)
    found = risk_coverage_influence(u, wrong, w if weighted else None)
    step = 1e-5
    slopes = []
    for i in range(n):
        shift = step * np.eye(n)[i]
        slopes.append(
            (smooth_area(u, wrong, w + shift) - smooth_area(u, wrong, w - shift)) / 2 / step
        )
    np.testing.assert_allclose(found, np.array(slopes) * w.sum(), atol=1e-6)
    assert np.average(found, weights=w) == pytest.approx(0, abs=1e-12)


def test_the_smooth_area_is_the_area_of_many_rows():
    rng = np.random.default_rng(0)
    u = rng.random(4000).round(2)
    wrong = rng.random(4000) < u / 2
    exact = area_under_risk_coverage(rank_curve(u, wrong))
    assert smooth_area(u, wrong.astype(float), np.ones(4000)) == pytest.approx(exact, abs=2e-4)


@given(st.permutations(range(12)))
def test_influences_keep_their_bits_in_any_order(order):
    rng = np.random.default_rng(0)
    u, wrong, w = rng.integers(0, 4, 12) / 3, (rng.random(12) < 0.5) * 1.0, rng.random(12)
    order = list(order)
    plain = risk_coverage_influence(u, wrong, w)
    np.testing.assert_array_equal(
        risk_coverage_influence(u[order], wrong[order], w[order]), plain[order]
    )


def test_rows_of_no_weight_have_no_say():
    u, wrong = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.0, 1.0, 0.0, 1.0])
    w = np.array([1.0, 0.0, 2.0, 1.0])
    kept = w > 0
    np.testing.assert_allclose(
        risk_coverage_influence(u, wrong, w)[kept],
        risk_coverage_influence(u[kept], wrong[kept], w[kept]),
        rtol=1e-12,
    )


def differences(first, second, strange=()):
    found = figure_differences(first, second, strange, **OPTIONS)
    return {(metric, variant): estimate for metric, variant, _, estimate in found}


def test_aurc_differs_by_what_the_curves_do():
    a, b = classifier(300, noise=0.3), classifier(300, seed=1, noise=1.5)
    found = differences(a, b)["aurc", "error:msp"]
    areas = []
    for case in (a, b):
        p = case.distribution.parameters["probs"]
        areas.append(area_under_risk_coverage(rank_curve(1 - p.max(1), p.argmax(1) != case.target)))
    assert found.value == pytest.approx(areas[0] - areas[1], abs=1e-12)
    assert found.low < found.value < found.high


def paired_truth(n, seed):
    """Two scores of one row, one more telling, with mistakes of their own."""
    rng = np.random.default_rng(seed)
    hard = rng.random(n)
    scores = [hard + s * rng.random(n) for s in (0.2, 1.0)]
    wrong = [rng.random(n) < hard * c for c in (0.4, 0.5)]
    return scores, [w.astype(float) for w in wrong]


def test_the_interval_of_an_aurc_difference_covers_the_truth():
    scores, wrong = paired_truth(400_000, 10**6)
    truth = np.subtract(
        *(
            area_under_risk_coverage(rank_curve(s, w > 0))
            for s, w in zip(scores, wrong, strict=True)
        )
    )
    hits, repetitions, n = 0, 600, 300
    for seed in range(repetitions):
        scores, wrong = paired_truth(n, seed)
        rows, value = np.zeros(n), 0.0
        for sign, s, w in zip((1, -1), scores, wrong, strict=True):
            rows += sign * risk_coverage_influence(s, w)
            value += sign * area_under_risk_coverage(rank_curve(s, w > 0))
        hits += abs(value - truth) <= 1.968 * rows.std(ddof=1) / np.sqrt(n)
    # 95 % nominal; three standard errors of 600 repetitions are 2.7 points.
    assert hits / repetitions > 0.923


def test_a_model_does_not_differ_from_itself():
    case = classifier(60, noise=1.0, row_ids=np.arange(60))
    strange = dataclasses.replace(case, target=None, split="ood:x")
    for estimate in differences(case, case, [(strange, strange)]).values():
        assert estimate.value == 0
        assert estimate.p_value == 1


def test_rmse_differs_by_the_delta_method():
    a, b = regressor(400, noise=0.3), regressor(400, seed=3, noise=0.5)
    found = differences(a, b)["rmse", ""]
    roots = [
        np.sqrt(sklearn.metrics.mean_squared_error(c.target, c.distribution.parameters["loc"]))
        for c in (a, b)
    ]
    assert found.value == pytest.approx(roots[0] - roots[1], rel=1e-12)
    boot = []
    rng = np.random.default_rng(0)
    errors = [(c.distribution.parameters["loc"] - c.target) ** 2 for c in (a, b)]
    for _ in range(2000):
        rows = rng.integers(0, 400, 400)
        boot.append(np.sqrt(errors[0][rows].mean()) - np.sqrt(errors[1][rows].mean()))
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * np.std(boot), rel=0.1)


def test_predictions_without_a_mean_have_no_difference_of_rmse():
    a = regressor(20)
    tails = {"df": np.ones(20), "loc": np.zeros(20), "scale": np.ones(20)}
    b = dataclasses.replace(a, distribution=ArrayDistribution("student_t", tails))
    assert ("rmse", "") not in differences(a, b)


def test_a_perfect_regression_can_be_compared():
    a = regressor(20)
    exact = {"loc": np.asarray(a.target), "scale": np.ones(20)}
    b = dataclasses.replace(a, distribution=ArrayDistribution("normal", exact))
    assert differences(a, b)["rmse", ""].value > 0


# Strange rows


def strange_pair(**facts):
    inside = [classifier(80, seed=s, noise=s, row_ids=np.arange(80), **facts) for s in (0, 1)]
    outside = [
        classifier(
            40, seed=s, labels_seed=8, noise=s, labelled=False, split="ood:x", row_ids=np.arange(40)
        )
        for s in (0, 1)
    ]
    return inside, outside


@pytest.mark.parametrize(
    "facts", [{}, {"groups": np.arange(80) // 4}, {"weights": 1.0 + np.arange(80) % 2}]
)
def test_areas_on_strange_rows_differ_by_delongs_paired_test(facts):
    inside, outside = strange_pair(**facts)
    found = differences(*inside, [tuple(outside)])["auroc", "ood:x:msp"]
    scores = [
        np.concatenate([1 - c.distribution.parameters["probs"].max(1) for c in pair])
        for pair in zip(inside, outside, strict=True)
    ]
    expected = delong_difference(
        *scores,
        np.repeat([False, True], [80, 40]),
        weights=both_weights(inside[0], outside[0]),
        groups=both_groups(inside[0], outside[0]),
    )
    assert found[:3] == pytest.approx(expected[:3], rel=1e-9)


def test_strange_rows_are_paired_by_id():
    inside, outside = strange_pair()
    moved = outside[1].select(np.random.default_rng(0).permutation(40))
    plain = differences(*inside, [tuple(outside)])
    assert differences(*inside, [(outside[0], moved)]) == plain
    other = dataclasses.replace(outside[1], row_ids=np.arange(40) + 5)
    with pytest.raises(ValueError, match="row ids of which 35 are shared"):
        differences(*inside, [(outside[0], other)])


def test_strange_rows_without_ids_are_not_paired_by_hope():
    inside, outside = strange_pair()
    bare = [dataclasses.replace(case, row_ids=None) for case in outside]
    found = differences(*inside, [tuple(bare)])["auroc", "ood:x:msp"]
    assert np.isnan(found.value)
    assert "no labels to pair them by: give row ids" in found.reason


def test_regressions_are_compared_on_strange_rows_too():
    a, b = (regressor(30, seed=s, row_ids=np.arange(30)) for s in (0, 1))
    far = [regressor(30, seed=s, noise=2.0, split="ood:x", row_ids=np.arange(30)) for s in (0, 1)]
    assert ("auroc", "ood:x:sd") in differences(a, b, [tuple(far)])


def test_calibration_differs_by_the_debiased_squares():
    truth = classifier(3000)
    bold = np.array(truth.distribution.parameters["probs"]) ** 2
    bold /= bold.sum(axis=1, keepdims=True)
    over = Predictions(ArrayDistribution("categorical", {"probs": bold}), truth.target)
    found = differences(over, truth)
    variant = "equal_width,15,l2,top_label"
    assert found["squared_calibration_error_debiased", variant].low > 0
