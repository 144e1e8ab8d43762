"""Splits that share rows and trainings that share items: formulas, and how often they are right."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tests.evaluation import simulate_comparison as simulate
from uncertain import intervals as iv


def test_the_corrected_variance_is_nadeau_and_bengios():
    x = np.random.default_rng(0).normal(0.2, 1, 10)
    found = iv.corrected_resampled_t(x, test_share=0.1, null=0.0, n=50)
    error = math.sqrt((1 / 10 + 10 / 90) * x.var(ddof=1))
    low, high = stats.t.interval(0.95, 9, x.mean(), error)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(x.mean() / error), 9), rel=1e-9)
    assert (found.over, found.n) == ("both", 50)


def test_more_splits_of_the_same_rows_do_not_shrink_the_interval_to_nothing():
    few = iv.corrected_resampled_t(np.tile([0.0, 1.0], 5), test_share=0.2)
    many = iv.corrected_resampled_t(np.tile([0.0, 1.0], 50_000), test_share=0.2)
    assert many.margin > 0.8 * 0.5 * 1.96 * 0.5
    assert many.margin < few.margin


def test_few_splits():
    assert iv.corrected_resampled_t([0.5], test_share=0.1).reason == "one split has no spread"
    assert iv.corrected_resampled_t([], test_share=0.1).reason == "no splits"


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_that_tests_nothing_or_everything_is_refused(share):
    with pytest.raises(ValueError, match=r"`test_share` should lie in \(0, 1\)"):
        iv.corrected_resampled_t([0.1, 0.2], test_share=share)


def test_a_figure_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match=r"`values` should be finite"):
        iv.corrected_resampled_t([0.1, np.nan], test_share=0.1)


def test_equally_good_models_are_told_apart_too_often_without_the_correction():
    rng = np.random.default_rng(0)
    draws = [simulate.split_differences(rng, 10) for _ in range(300)]
    wrong = np.mean([simulate.plain(d).p_value < 0.05 for d in draws])
    right = np.mean([simulate.corrected(d).p_value < 0.05 for d in draws])
    assert right <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)
    assert wrong > 0.12


@pytest.mark.parametrize("trainings", [3, 10])
def test_few_trainings_that_differ_much_are_covered(trainings):
    rng = np.random.default_rng(trainings)
    hits = [
        (e := simulate.crossed_scores(rng, trainings, 30, training_sd=0.5).both).low <= 0 <= e.high
        for _ in range(200)
    ]
    assert np.mean(hits) >= 0.94 - 3 * math.sqrt(0.94 * 0.06 / 200)


@pytest.mark.parametrize("trainings", [2, 3, 10])
def test_the_p_value_over_both_is_the_level_at_which_the_interval_ends_at_the_null(trainings):
    rng = np.random.default_rng(5)
    y = 0.4 + 0.3 * rng.normal(size=(trainings, 1)) + rng.normal(size=(trainings, 60))
    p = iv.crossed(y, null=0.0).both.p_value
    found = iv.crossed(y, level=1 - p).both
    assert min(abs(found.low), abs(found.high)) < 1e-6


def test_both_is_the_parts_each_with_its_own_quantile():
    rng = np.random.default_rng(1)
    k, n = 4, 50
    y = rng.normal(size=(k, 1)) + rng.normal(size=(1, n)) + rng.normal(size=(k, n))
    rest = y - y.mean(1, keepdims=True) - y.mean(0) + y.mean()
    noise = (rest**2).sum() / ((k - 1) * (n - 1)) / (k * n)
    items = y.mean(0).var(ddof=1) / n
    trainings = y.mean(1).var(ddof=1) / k - noise
    half = math.sqrt(
        items * stats.t.ppf(0.975, n - 1) ** 2 + trainings * stats.t.ppf(0.975, k - 1) ** 2
    )
    assert iv.crossed(y).both.margin == pytest.approx(half, rel=1e-9)


def test_scores_that_never_differ_have_a_point():
    found = iv.crossed(np.ones((3, 4)), null=1.0).both
    assert (found.low, found.high, found.p_value) == (1.0, 1.0, 1.0)
    assert iv.crossed(np.ones((3, 4)), null=0.0).both.p_value == 0.0


def test_letters_may_rest_on_p_values_adjusted_elsewhere():
    p = np.full((3, 3), 0.04)
    assert iv.rank_groups([3, 2, 1], p, adjusted=True) == ["a", "b", "c"]
    assert iv.rank_groups([3, 2, 1], p) == ["a", "a", "a"]
