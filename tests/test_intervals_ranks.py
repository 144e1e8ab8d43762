"""Mean ranks over tasks: against scipy's ranks and permutation test, and their false alarms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.evaluation.simulate_comparison import false_letters
from uncertain import intervals as iv


def test_ranks_are_scipys():
    x = np.random.default_rng(0).integers(0, 4, size=(7, 5)).astype(float)
    expected = np.apply_along_axis(stats.rankdata, 1, x).mean(axis=0)
    np.testing.assert_allclose(iv.mean_ranks(x, best="low").ranks, expected)
    np.testing.assert_allclose(iv.mean_ranks(-x).ranks, expected)


def test_the_sign_flip_test_is_scipys_permutation_test():
    d = np.array([1.0, -0.5, 2.0, 1.5, 0.0, 1.0, -1.0, 2.0])
    exact = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert iv.sign_flip(d) == pytest.approx(exact.pvalue)


@pytest.mark.parametrize("tasks", [1, 5, 6, 40])
def test_the_smallest_p_value_is_known(tasks):
    assert iv.sign_flip(np.ones(tasks)) == pytest.approx(2.0 ** (1 - tasks))


def test_no_difference_is_certain():
    assert iv.sign_flip([0, 0]) == 1.0
    assert iv.sign_flip([1, -1]) == 1.0


def test_methods_that_always_differ_get_letters():
    found = iv.mean_ranks(np.tile([3.0, 2.0, 1.0], (12, 1)))
    assert found.letters == ["a", "b", "c"]
    np.testing.assert_allclose(found.adjusted[0, 1], 3 * 2.0**-11)


def test_equal_methods_are_rarely_told_apart():
    rng = np.random.default_rng(0)
    wrong = [false_letters(iv.mean_ranks(rng.normal(size=(10, 4))).letters) for _ in range(300)]
    assert np.mean(wrong) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


def test_what_is_not_a_rank_is_refused():
    with pytest.raises(ValueError, match=r"multiples of 0\.5"):
        iv.sign_flip([0.3])
    with pytest.raises(ValueError, match="`values` should be finite"):
        iv.mean_ranks([[np.nan, 1.0]])
    with pytest.raises(ValueError, match="at least one row"):
        iv.mean_ranks(np.empty((0, 2)))
