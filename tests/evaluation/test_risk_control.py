"""Thresholds keep their promises in simulation, and say so where they can promise nothing."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from uncertain.evaluation.risk_control import (
    control_risk,
    control_selective_risk,
    learn_then_test,
    risk_p_values,
)

GRID = np.linspace(0, 1, 51)


def missed(p_label):
    """Loss of the set of classes with probability at least 1 - t: whether it misses the label."""
    return p_label[:, None] < 1 - GRID


def test_the_expected_loss_stays_below_what_is_allowed():
    risks = []
    for seed in range(400):
        p_label = np.random.default_rng(seed).beta(3, 1, 60)
        chosen = control_risk(missed(p_label), GRID, allowed=0.1)
        risks.append(stats.beta(3, 1).cdf(1 - chosen.threshold))
    mean, error = np.mean(risks), np.std(risks) / math.sqrt(400)
    assert mean <= 0.1 + 3 * error
    assert mean >= 0.05  # cautious by 1 / (n + 1) and the grid's step, not by more


def test_the_threshold_is_the_boldest_that_passes():
    p_label = np.random.default_rng(0).beta(3, 1, 60)
    losses = missed(p_label)
    chosen = control_risk(losses, GRID, allowed=0.1)
    place = int(np.flatnonzero(chosen.threshold == GRID)[0])
    adjusted = (60 * losses.mean(axis=0) + 1) / 61
    assert adjusted[place] <= 0.1 < adjusted[place - 1]
    assert chosen.risk == losses.mean(axis=0)[place]


def test_too_few_rows_or_too_much_risk_have_no_threshold():
    few = control_risk(np.zeros((8, 51)), GRID, allowed=0.1)
    assert math.isnan(few.threshold)
    assert few.reason == "8 rows are too few: at least 9"
    assert control_risk(np.zeros((9, 51)), GRID, allowed=0.1).threshold == 0
    lossy = control_risk(np.ones((50, 51)), GRID, allowed=0.1)
    assert lossy.reason == "the risk is never so low"


@given(st.integers(1, 40), st.floats(0.05, 0.95), st.integers(0, 1000))
def test_binary_losses_have_the_exact_binomial_p_value(n, allowed, seed):
    losses = np.random.default_rng(seed).integers(0, 2, (n, 2)).astype(float)
    expected = stats.binom.cdf(losses.sum(axis=0), n, allowed)
    np.testing.assert_allclose(risk_p_values(losses, allowed), expected, rtol=1e-9, atol=1e-300)


def test_p_values_of_bounded_losses_are_valid():
    rng = np.random.default_rng(0)
    small = []
    for _ in range(1000):
        losses = rng.beta(0.5, 2.0, (40, 1))  # mean .2: exactly at the border of the null
        small.append(risk_p_values(losses, 0.2)[0] <= 0.1)
    assert np.mean(small) <= 0.1


def test_any_returned_threshold_keeps_the_promise():
    truth = np.linspace(0.4, 0.0, 9)
    broken = 0
    for seed in range(400):
        losses = np.random.default_rng(seed).random((80, 9)) < truth
        kept = learn_then_test(losses, np.arange(9), allowed=0.2, confidence=0.9)
        broken += bool((truth[kept] > 0.2).any())
    assert broken / 400 <= 0.1 + 3 * math.sqrt(0.09 / 400)


def test_answers_are_wrong_as_rarely_as_promised():
    broken, answered = 0, []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        scores = rng.random(400)
        chosen = control_selective_risk(
            scores, rng.random(400) < scores**2, allowed=0.1, confidence=0.9
        )
        # Errors among scores up to t are t^2 / 3.
        broken += bool(chosen.threshold**2 / 3 > 0.1)
        answered.append(chosen.coverage)
    assert broken / 300 <= 0.1 + 3 * math.sqrt(0.09 / 300)
    assert np.mean(answered) > 0.35  # the best possible is sqrt(.3) = .55


def test_equal_scores_are_answered_together_and_order_does_not_matter():
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 10, 500) / 10
    wrong = rng.random(500) < scores**2 / 2
    chosen = control_selective_risk(scores, wrong, allowed=0.1, confidence=0.9)
    assert chosen.coverage == (scores <= chosen.threshold).mean()
    order = rng.permutation(500)
    again = control_selective_risk(scores[order], wrong[order], allowed=0.1, confidence=0.9)
    assert again == chosen


@pytest.mark.parametrize(
    ("scores", "wrong", "reason"),
    [
        (np.arange(10.0), np.zeros(10, bool), "10 rows are too few: at least 22"),
        (np.arange(200.0), np.ones(200, bool), "the most certain rows are wrong too often"),
    ],
)
def test_without_a_promise_the_reason_says_why(scores, wrong, reason):
    found = control_selective_risk(scores, wrong, allowed=0.1, confidence=0.9)
    assert found.reason == reason
    assert found.coverage == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: control_risk(np.zeros((3, 2)), [0, 1, 2], allowed=0.1),
            "`losses` should have shape",
        ),
        (lambda: control_risk([[0.0, 1.0]], [0, 1], allowed=0.1), "never rise with caution"),
        (lambda: control_risk([[2.0, 1.0]], [0, 1], allowed=0.1), "`losses`"),
        (lambda: control_risk([[np.nan, 1.0]], [0, 1], allowed=0.1), "`losses` should be finite"),
        (lambda: control_risk([[0.0, 0.0]], [0, 0], allowed=0.1), "rise or fall throughout"),
        (lambda: control_risk([[0.0]], [0], allowed=1.0), "`allowed`"),
        (lambda: learn_then_test([[1.5]], [0], allowed=0.1), "`losses`"),
        (lambda: learn_then_test([[0.5]], [0], allowed=0.1, confidence=1.0), "`confidence`"),
        (
            lambda: control_selective_risk([np.nan], [True], allowed=0.1),
            "`scores` should not be NaN",
        ),
        (lambda: control_selective_risk([1.0], [True, False], allowed=0.1), "as many rows"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_wrong_answers_are_booleans():
    with pytest.raises(TypeError, match="`wrong` should be booleans, got dtype int64"):
        control_selective_risk([1.0, 2.0], [0, 1], allowed=0.1)
