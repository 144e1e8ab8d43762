"""Joint predictions: what members say together, and what marginals can't see."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from uncertain import families
from uncertain.evaluation import Predictions, evaluate
from uncertain.evaluation.joint import (
    block_scores,
    disjoint_blocks,
    dyadic_blocks,
    energy_scores,
    gaussian_block_scores,
    joint_log_likelihoods,
    joint_nll,
    sampled_energy_scores,
)
from uncertain.families import ArrayDistribution


def ensemble(p: np.ndarray) -> ArrayDistribution:
    """``p`` is (N, S, C)."""
    return ArrayDistribution("categorical", {"probs": p}, np.full(p.shape[:2], 1 / p.shape[1]))


def test_block_scores_are_the_definition():
    rng = np.random.default_rng(0)
    p, y = rng.dirichlet(np.ones(3), (30, 4)), rng.integers(0, 3, 30)
    w = rng.dirichlet(np.ones(4))
    d = ArrayDistribution("categorical", {"probs": p}, np.tile(w, (30, 1)))
    blocks = dyadic_blocks(30, size=5)
    expected = [
        -np.log(sum(w[s] * np.prod([p[i, s, y[i]] for i in block]) for s in range(4)))
        for block in blocks
    ]
    np.testing.assert_allclose(block_scores(d, y, blocks), expected, rtol=1e-10)


def test_blocks_of_one_row_are_the_marginal_score():
    rng = np.random.default_rng(0)
    d = ArrayDistribution(
        "normal",
        {"loc": rng.normal(size=(20, 3)), "scale": np.ones((20, 3))},
        np.full((20, 3), 1 / 3),
    )
    y = rng.normal(size=20)
    found = block_scores(d, y, np.arange(20)[:, None])
    np.testing.assert_allclose(found, -families.log_prob(d, y), rtol=1e-10)


def test_without_members_rows_are_independent():
    d = ArrayDistribution("normal", {"loc": np.zeros(20), "scale": np.ones(20)})
    y = np.linspace(-1, 1, 20)
    blocks = disjoint_blocks(20, size=4)
    np.testing.assert_allclose(
        block_scores(d, y, blocks), -families.log_prob(d, y)[blocks].sum(axis=1)
    )


def test_it_tells_ignorance_from_noise_where_marginals_do_not():
    """Coins: unknown and the same every toss, or fair. Both models say one half of each toss."""
    rng = np.random.default_rng(0)
    n, size = 200, 8
    unsure = ensemble(np.tile([[[0.98, 0.02], [0.02, 0.98]]], (n, 1, 1)))
    noise = ensemble(np.full((n, 2, 2), 0.5))
    blocks = dyadic_blocks(n, size=size)
    fair = rng.integers(0, 2, blocks.shape)
    side = rng.integers(0, 2, (len(blocks), 1))
    biased = np.where(rng.random(blocks.shape) < 0.98, side, 1 - side)
    one = np.arange(n) % 2
    assert families.log_prob(unsure, one) == pytest.approx(families.log_prob(noise, one))
    assert joint_nll(unsure, biased, blocks).high < joint_nll(noise, biased, blocks).low
    assert joint_nll(noise, fair, blocks).high < joint_nll(unsure, fair, blocks).low


def test_the_interval_covers():
    rng = np.random.default_rng(0)
    d = ensemble(np.tile([[[0.9, 0.1], [0.3, 0.7]]], (60, 1, 1)))
    blocks = disjoint_blocks(60, size=5)
    ways = np.array(np.meshgrid(*[[0, 1]] * 5)).reshape(5, -1).T
    members = np.array([[0.9, 0.1], [0.3, 0.7]])
    chance = np.prod(members[:, ways], axis=2).mean(axis=0)
    truth = -(chance * np.log(chance)).sum()
    covered = 0
    for _ in range(60):
        member = rng.integers(0, 2, (len(blocks), 1))
        y = (rng.random(blocks.shape) < members[member, 1]).astype(int)
        found = joint_nll(d, y, blocks)
        covered += found.low <= truth <= found.high
    assert covered >= 53


def test_far_members_do_not_underflow():
    found = joint_log_likelihoods(np.full((1, 3, 2), -1e5))
    assert found[0] == pytest.approx(-3e5)
    assert joint_log_likelihoods(np.full((1, 3, 2), -np.inf))[0] == -np.inf


def test_one_normal_over_all_rows():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(12, 12))
    cov, mu, y = a @ a.T + np.eye(12), rng.normal(size=12), rng.normal(size=12)
    blocks = disjoint_blocks(12, size=4)
    expected = [-stats.multivariate_normal(mu[b], cov[np.ix_(b, b)]).logpdf(y[b]) for b in blocks]
    np.testing.assert_allclose(gaussian_block_scores(mu, cov, y, blocks), expected, rtol=1e-9)


@settings(max_examples=25)
@given(st.integers(2, 60), st.integers(2, 12), st.integers(0, 5))
def test_dyadic_blocks_hold_two_anchors_each_used_once(rows, size, seed):
    blocks = dyadic_blocks(rows, size=size, seed=seed)
    assert blocks.shape == (rows // 2, size)
    used = [np.unique(block) for block in blocks]
    assert all(len(u) <= 2 for u in used)
    together = np.concatenate(used)
    assert len(np.unique(together)) == len(together)


def test_neighbours_stand_for_copies():
    x = np.arange(40)
    near = np.argsort(np.abs(x[:, None] - x), axis=1)[:, :10]
    blocks = dyadic_blocks(40, size=8, neighbours=near, seed=1)
    anchors = dyadic_blocks(40, size=8, seed=1)
    assert np.abs(blocks - anchors).max() <= 10
    assert all(len(np.unique(b)) >= 4 for b in blocks)
    assert np.mean([len(np.unique(b)) for b in blocks]) > 7


def test_disjoint_blocks_hold_each_row_once():
    blocks = disjoint_blocks(47, size=10)
    assert len(np.unique(blocks)) == 40
    assert not np.array_equal(blocks, disjoint_blocks(47, size=10, seed=1))


def test_energy_scores_against_scoringrules():
    scoringrules = pytest.importorskip("scoringrules")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 15, 3)), rng.normal(size=(20, 3))
    expected = scoringrules.es_ensemble(y, x, m_axis=-2, v_axis=-1)
    np.testing.assert_allclose(energy_scores(x, y, fair=False), expected, rtol=1e-10)
    fair = scoringrules.es_ensemble(y, x, m_axis=-2, v_axis=-1, estimator="fair")
    np.testing.assert_allclose(energy_scores(x, y), fair, rtol=1e-10)


def test_of_one_target_the_energy_score_is_the_crps():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(10, 7)), rng.normal(size=10)
    for family, fair in (("empirical", False), ("empirical_sample", True)):
        expected = families.crps(ArrayDistribution(family, {"samples": x}), y)
        found = energy_scores(x[..., None], y[:, None], fair=fair)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_fair_form_does_not_hang_on_the_number_of_draws():
    n = 4000
    tril = np.broadcast_to(np.eye(2), (n, 2, 2))
    d = ArrayDistribution("multivariate_normal", {"loc": np.zeros((n, 2)), "scale_tril": tril})
    y = np.zeros((n, 2))
    # E|X| is sqrt(pi/2) and E|X - X'| sqrt(2) times that.
    truth = np.sqrt(np.pi / 2) * (1 - np.sqrt(2) / 2)
    for draws in (2, 20):
        found = sampled_energy_scores(d, y, draws=draws)
        assert found.mean() == pytest.approx(truth, abs=4 * found.std() / np.sqrt(n))


def test_evaluate_has_both():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 60)
    case = Predictions(ensemble(rng.dirichlet(np.ones(2), (60, 3))), y)
    (row,) = evaluate(case, replicates=100).select(metric="joint_nll")
    assert (row.variant, row.n) == ("disjoint,10", 60)
    assert row.value == pytest.approx(joint_nll(case.distribution, y).value)
    tril = np.broadcast_to(np.eye(2), (50, 2, 2))
    d = ArrayDistribution("multivariate_normal", {"loc": np.zeros((50, 2)), "scale_tril": tril})
    (row,) = evaluate(Predictions(d, rng.normal(size=(50, 2)))).select(metric="energy_score")
    assert row.variant == "fair,200"
    assert row.low < 0.9 < row.high


def test_gates_have_no_joint_distribution():
    rng = np.random.default_rng(0)
    d = ArrayDistribution(
        "categorical",
        {"probs": rng.dirichlet(np.ones(2), (40, 3))},
        rng.dirichlet(np.ones(3), 40),
    )
    with pytest.raises(TypeError, match="Member weights differ between rows"):
        block_scores(d, np.zeros(40, dtype=int), [[0, 1]])
    found = evaluate(Predictions(d, np.arange(40) % 2), replicates=100)
    (row,) = found.select(metric="joint_nll")
    assert row.kind == "undefined"
    assert row.reason.startswith("Member weights differ")


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: disjoint_blocks(5), ValueError, "`rows` should lie in .*a block has 10 rows"),
        (lambda: dyadic_blocks(1), ValueError, "a block has two anchors"),
        (lambda: dyadic_blocks(4, neighbours=np.zeros((3, 1), int)), ValueError, "`neighbours`"),
        (lambda: block_scores(COIN, np.zeros(1, int), [[0, 7]]), ValueError, "`blocks` should lie"),
        (lambda: block_scores(COIN, np.zeros(3, int), [[0, 0]]), ValueError, "one a row of each"),
        (
            lambda: joint_log_likelihoods(np.full((1, 1, 1), np.nan)),
            ValueError,
            "`log_likelihoods` should be finite",
        ),
        (
            lambda: gaussian_block_scores([0.0, 0], np.eye(2), [0.0, 0], [[0, 0]]),
            ValueError,
            "`blocks` should hold a row once each",
        ),
        (
            lambda: gaussian_block_scores([0.0, 0], -np.eye(2), [0.0, 0], [[0, 1]]),
            ValueError,
            "`covariance` should be positive definite",
        ),
        (lambda: energy_scores(np.zeros((1, 1, 2)), np.zeros((1, 2))), ValueError, "number of"),
        (
            lambda: sampled_energy_scores(COIN, np.zeros(1)),
            TypeError,
            "of one it is the CRPS",
        ),
    ],
)
def test_arguments_are_checked(call, error, match):
    with pytest.raises(error, match=match):
        call()


COIN = ensemble(np.array([[[0.5, 0.5]]]))


def test_log_sum_exp_is_scipys():
    values = np.random.default_rng(0).normal(0, 100, (6, 4, 5))
    expected = special.logsumexp(values.sum(axis=1) - np.log(5), axis=1)
    np.testing.assert_allclose(joint_log_likelihoods(values), expected)
