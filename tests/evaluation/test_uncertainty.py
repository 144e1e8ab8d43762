"""Uncertainty scores: closed forms, one number a row, and names that can't be taken."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.evaluation.cases import classifier, probabilities_of, regressor
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.uncertainty import control_scores, models_scores, uncertainty_scores
from uncertain.families import ArrayDistribution


def test_scores_of_classes_are_their_definitions():
    case = classifier(40, classes=5, noise=1.0)
    p = case.distribution.parameters["probs"]
    found = uncertainty_scores(case)
    np.testing.assert_array_equal(found["msp"], 1 - p.max(1))
    np.testing.assert_allclose(found["entropy"], stats.entropy(p, axis=1), rtol=1e-13)
    assert set(found) == {"msp", "entropy"}


def test_certainty_has_no_entropy_and_no_sign():
    d = ArrayDistribution("categorical", {"probs": np.array([[1.0, 0.0, 0.0]])})
    entropy = uncertainty_scores(Predictions(d, None))["entropy"]
    assert entropy[0] == 0
    assert not np.signbit(entropy[0])


@given(st.integers(0, 10**6), st.integers(2, 5))
def test_mutual_information_is_the_entropy_that_members_disagree_on(seed, members):
    p = probabilities_of(7 * members, 4, seed).reshape(7, members, 4)
    weights = np.full((7, members), 1 / members)
    scores = uncertainty_scores(
        Predictions(ArrayDistribution("categorical", {"probs": p}, weights), None)
    )
    inside = stats.entropy(p, axis=2).mean(axis=1)
    np.testing.assert_allclose(scores["epistemic"], scores["entropy"] - inside, atol=1e-12)
    assert (scores["epistemic"] >= -1e-12).all()


def test_equal_members_know_nothing_of_each_other():
    p = np.repeat(probabilities_of(6)[:, None], 3, axis=1)
    d = ArrayDistribution("categorical", {"probs": p}, np.full((6, 3), 1 / 3))
    np.testing.assert_allclose(uncertainty_scores(Predictions(d, None))["epistemic"], 0, atol=1e-14)


def test_spread_of_a_normal_and_of_its_mixture():
    assert set(uncertainty_scores(regressor(5))) == {"sd"}
    loc = np.array([[-1.0, 1.0], [0.0, 0.0]])
    d = ArrayDistribution("normal", {"loc": loc, "scale": np.ones((2, 2))}, np.full((2, 2), 0.5))
    found = uncertainty_scores(Predictions(d, None))
    np.testing.assert_allclose(found["sd"], np.sqrt([2.0, 1.0]))
    np.testing.assert_allclose(found["epistemic"], [1.0, 0.0], atol=1e-15)


def test_heavy_tails_are_ranked_by_the_width_of_an_interval():
    scale = np.array([1.0, 2.0, 3.0])
    d = ArrayDistribution("student_t", {"df": np.ones(3), "loc": np.zeros(3), "scale": scale})
    found = uncertainty_scores(Predictions(d, None))
    np.testing.assert_allclose(found["width"], 2 * scale * stats.t(1).ppf(0.95), rtol=1e-9)
    assert "sd" not in found


@pytest.mark.parametrize("levels", [[0.05, 0.5, 0.95], [0.25, 0.5, 0.75]])
def test_predicted_quantiles_are_ranked_by_their_width(levels):
    values = np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 5.0]])
    d = ArrayDistribution("quantiles", {"levels": np.array(levels), "values": values})
    np.testing.assert_allclose(uncertainty_scores(Predictions(d, None))["width"], [2.0, 5.0])


def test_several_targets_have_one_spread():
    scale = np.array([[1.0, 7.0], [3.0, 3.0]])
    d = ArrayDistribution("normal", {"loc": np.zeros((2, 2)), "scale": scale}, event_ndim=1)
    np.testing.assert_allclose(uncertainty_scores(Predictions(d, None))["sd"], [5.0, 3.0])


def test_controls_are_told_from_the_models_scores():
    own = {"control:mean": np.arange(4.0), "distance": np.arange(4)}
    found = uncertainty_scores(classifier(4, scores=own))
    assert set(models_scores(found)) == {"msp", "entropy", "distance"}
    assert list(control_scores(classifier(4, scores=own))) == ["mean"]
    assert found["distance"].dtype == np.float64


def test_a_score_may_not_take_the_name_of_another():
    case = classifier(4, scores={"msp": np.zeros(4)})
    with pytest.raises(ValueError, match="names of their own, got 'msp'"):
        uncertainty_scores(case)


@pytest.mark.parametrize(("bad", "message"), [(np.nan, "finite"), (np.inf, None)])
def test_a_score_may_be_infinite_but_not_nan(bad, message):
    scores = {"distance": np.array([0.0, 1.0, bad, 2.0])}
    if message is None:
        assert uncertainty_scores(classifier(4, scores=scores))["distance"][2] == np.inf
        return
    with pytest.raises(ValueError, match=message):
        classifier(4, scores=scores)


def test_scores_hold_numbers_one_a_row():
    with pytest.raises(TypeError, match="hold numbers"):
        classifier(2, scores={"distance": np.array(["a", "b"])})
    with pytest.raises(ValueError, match="one score a row"):
        classifier(3, scores={"distance": np.zeros(2)})
