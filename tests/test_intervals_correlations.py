"""Rank correlations: scipy's values, invariances, and intervals that cover."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from uncertain import intervals
from uncertain.intervals.correlations import spearman

values = hnp.arrays(np.float64, st.integers(4, 30), elements=st.integers(-5, 5).map(float))


@given(values, st.integers(0, 100))
def test_the_value_is_scipys_ties_included(a, seed):
    b = np.random.default_rng(seed).permutation(a) + a
    found = intervals.rank_correlation(a, b)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert found.reason == "a column is constant"
    else:
        assert found.value == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)


def test_a_monotone_change_of_either_column_changes_nothing():
    a, b = np.random.default_rng(0).normal(size=(2, 200))
    assert intervals.rank_correlation(a, b) == intervals.rank_correlation(np.exp(a), b**3)


def test_the_difference_is_one_of_the_two_values():
    a, b, c = np.random.default_rng(1).normal(size=(3, 60))
    found = intervals.rank_correlation_difference(a, b, c)
    assert found.value == pytest.approx(spearman(a, c) - spearman(b, c))
    swapped = intervals.rank_correlation_difference(b, a, c)
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low))


def coverage(draw, truth, groups=None, repetitions=150):
    hits = 0
    for seed in range(repetitions):
        a, b = draw(np.random.default_rng(seed))
        found = intervals.rank_correlation(a, b, groups=groups)
        hits += found.low <= truth <= found.high
    return hits / repetitions


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_the_interval_covers(correlation):
    def draw(rng):
        return rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], size=60).T

    truth = 6 / math.pi * math.asin(correlation / 2)
    # Three standard errors of 150 repetitions below the nominal level.
    assert coverage(draw, truth) >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 150)


def test_copies_in_a_group_bring_no_information():
    a, b = np.random.default_rng(3).normal(size=(2, 90))
    once = intervals.rank_correlation(a, b)
    ids = np.repeat(np.arange(90), 3)
    copied = intervals.rank_correlation(np.repeat(a, 3), np.repeat(b, 3), groups=ids)
    assert copied.n_groups == 90
    assert copied[:3] == pytest.approx(once[:3], abs=2e-3)  # tied ranks differ from single ones


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        ([1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0], "a column is constant"),
        ([1.0, 2.0, 3.0], [1.0, 3.0, 2.0], "fewer than 4 rows have no spread"),
        ([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0], "the ranks agree"),
        (
            [0.0, 0.0, 0.0, 0.0, 1.0],
            [1.0, 2.0, 3.0, 4.0, 4.5],
            "the figure rests on one row or group",
        ),
    ],
)
def test_where_there_is_no_interval_the_reason_says_why(a, b, reason):
    assert intervals.rank_correlation(a, b).reason == reason


def test_bad_columns_are_refused():
    with pytest.raises(ValueError, match=r"`a` should be finite"):
        intervals.rank_correlation([1.0, math.nan], [1.0, 2.0])
    with pytest.raises(ValueError, match="as many rows as each other"):
        intervals.rank_correlation([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="`c`"):
        intervals.rank_correlation_difference([1.0, 2.0], [1.0, 2.0], [[1.0, 2.0]])
