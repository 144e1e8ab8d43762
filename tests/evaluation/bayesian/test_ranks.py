"""The test of uniform ranks: its level, its power, and bands that are its acceptance region."""

import numpy as np
import pytest
from scipy import stats

from uncertain.evaluation.bayesian import uniform_rank_test


def test_the_level_holds():
    rng = np.random.default_rng(0)
    p = [
        uniform_rank_test(rng.integers(0, 10, 50), 9, replicates=200, seed=s).p_value
        for s in range(200)
    ]
    assert np.mean(np.array(p) <= 0.1) <= 0.16
    assert np.mean(np.array(p) <= 0.5) == pytest.approx(0.5, abs=0.12)


def test_a_point_outside_the_bands_is_a_small_p_value_and_none_is_not():
    rng = np.random.default_rng(1)
    outside, inside = 0, 0
    for power in (1.0, 1.2, 1.5):
        for _ in range(10):
            ranks = np.floor(20 * rng.random(80) ** power).astype(int)
            found = uniform_rank_test(ranks, 19)
            assert (found.outside > 0) == (found.p_value < 0.05) or found.p_value == pytest.approx(
                0.05, abs=0.01
            )
            outside += found.outside > 0
            inside += found.outside == 0
    assert outside > 5
    assert inside > 5


def test_the_statistic_is_the_smallest_binomial_tail():
    ranks = np.array([0, 0, 0, 0, 0, 0, 1, 3])
    found = uniform_rank_test(ranks, 3, replicates=5000)
    tails = []
    for j in (1, 2, 3):
        count = (ranks < j).sum()
        law = stats.binom(8, j / 4)
        tails.append(2 * min(law.cdf(count), law.sf(count - 1)))
    rng = np.random.default_rng(5)
    drawn = rng.multinomial(8, np.full(4, 0.25), 20_000).cumsum(axis=1)[:, :3]
    law = stats.binom(8, np.array([0.25, 0.5, 0.75]))
    null = np.minimum(1, 2 * np.minimum(law.cdf(drawn), law.sf(drawn - 1))).min(axis=1)
    expected = np.mean(null <= min(tails) * (1 + 1e-9))
    assert found.p_value == pytest.approx(expected, abs=0.01)
    np.testing.assert_allclose(found.share, [6 / 8, 7 / 8, 7 / 8])


@pytest.mark.parametrize(
    ("ranks", "draws", "match"),
    [
        ([0, 5], 4, r"`ranks` should lie in \[0, 4\], got 5"),
        ([0.5], 4, "whole numbers"),
        ([], 4, "`ranks`"),
        ([0], 0, "`draws` should lie in"),
    ],
)
def test_arguments_are_checked(ranks, draws, match):
    with pytest.raises(ValueError, match=match):
        uniform_rank_test(ranks, draws)


def test_few_replicates_are_refused():
    with pytest.raises(ValueError, match="`replicates` should lie in"):
        uniform_rank_test([0, 1], 4, replicates=10)
