"""Leave-one-out by importance sampling, against posteriors that leave a row out exactly."""

import numpy as np
import pytest
from scipy import stats

from uncertain.evaluation.bayesian import loo_pit, loo_pit_test, psis_loo

pytest.importorskip("arviz_stats")
S = 4000


def normal_model(y: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draws of a mean with prior N(0, 1) and noise 1, (S, 1), and log-likelihoods (S, N)."""
    n = len(y)
    mean = np.random.default_rng(seed).normal(y.sum() / (n + 1), 1 / np.sqrt(n + 1), (S, 1))
    return mean, stats.norm.logpdf(y, mean, 1)


def exact(y: np.ndarray) -> list:
    """The predictive law of each row from the posterior without it."""
    n = len(y)
    return [stats.norm((y.sum() - v) / n, np.sqrt(1 + 1 / n)) for v in y]


def test_densities_and_pit_are_those_of_the_exact_posteriors():
    y = np.random.default_rng(1).normal(size=30)
    mean, log_likelihood = normal_model(y)
    loo = psis_loo(log_likelihood)
    laws = exact(y)
    expected = [law.logpdf(v) for law, v in zip(laws, y, strict=True)]
    np.testing.assert_allclose(loo.pointwise, expected, atol=0.03)
    low, high = loo_pit(loo, stats.norm.cdf(y, mean, 1))
    np.testing.assert_allclose(low, [w.cdf(v) for w, v in zip(laws, y, strict=True)], atol=0.01)
    np.testing.assert_array_equal(low, high)
    assert loo.elpd.value == pytest.approx(loo.pointwise.mean())
    assert len(loo.failed) == 0
    assert loo.elpd.reason == ""
    # One parameter of which the prior takes a thirtieth.
    assert loo.effective_parameters == pytest.approx(1, abs=0.4)
    np.testing.assert_allclose(np.exp(loo.log_weights).sum(axis=1), 1)


def test_a_row_that_moves_the_posterior_is_named():
    y = np.r_[np.random.default_rng(1).normal(size=8), 14.0]
    _, log_likelihood = normal_model(y)
    loo = psis_loo(log_likelihood)
    assert loo.failed.tolist() == [8]
    assert "1 of 9 rows have a Pareto k-hat above 0.70" in loo.elpd.reason


def test_the_threshold_falls_with_the_draws():
    _, log_likelihood = normal_model(np.zeros(5))
    assert psis_loo(log_likelihood[:100]).threshold == pytest.approx(0.5)
    assert psis_loo(log_likelihood).threshold == 0.7


def test_pit_values_of_a_right_model_are_uniform_and_of_a_narrow_one_not():
    y = np.random.default_rng(3).normal(size=200)
    for factor, right in ((1.0, True), (2.5, False)):
        mean, log_likelihood = normal_model(factor * y)
        loo = psis_loo(log_likelihood)
        found = loo_pit_test(*loo_pit(loo, stats.norm.cdf(factor * y, mean, 1)))
        assert (found.p_value > 0.05) == right
        assert found.low <= found.value <= found.high


def test_replicated_counts_make_intervals():
    rng = np.random.default_rng(0)
    y = rng.poisson(3.0, 40)
    rate = rng.gamma(1 + y.sum(), 1 / (1 + 40), (S, 1))
    loo = psis_loo(stats.poisson.logpmf(y, rate))
    replicated = rng.poisson(rate, (S, 40))
    low, high = loo_pit(loo, replicated < y, replicated <= y)
    below, upto = loo_pit(loo, stats.poisson.cdf(y - 1, rate), stats.poisson.cdf(y, rate))
    np.testing.assert_allclose(low, below, atol=0.05)
    np.testing.assert_allclose(high, upto, atol=0.05)
    assert loo_pit_test(below, upto).p_value > 0.05


def test_autocorrelation_asks_for_a_longer_tail():
    _, log_likelihood = normal_model(np.random.default_rng(1).normal(size=6))
    alone, chained = psis_loo(log_likelihood), psis_loo(log_likelihood, relative_efficiency=0.1)
    assert not np.array_equal(alone.pareto_k, chained.pareto_k)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: psis_loo(np.zeros(200)), r"`log_likelihood` should have shape \(S, N\)"),
        (lambda: psis_loo(np.zeros((50, 3))), "the number of draws` should lie in"),
        (lambda: psis_loo(np.full((200, 3), -np.inf)), "`log_likelihood` should be finite"),
        (
            lambda: psis_loo(np.zeros((200, 3)), relative_efficiency=0.0),
            "`relative_efficiency` should lie in",
        ),
        (lambda: loo_pit(LOO, np.zeros((200, 2))), r"`below` should have shape \(200, 3\)"),
        (lambda: loo_pit(LOO, np.full((200, 3), 2.0)), r"`below` should lie in \[0, 1\]"),
        (lambda: loo_pit_test([0.5], [0.5], level=0.0), "`level` should lie in"),
    ],
)
def test_arguments_are_checked(call, match):
    with pytest.raises(ValueError, match=match):
        call()


LOO = psis_loo(np.random.default_rng(0).normal(size=(200, 3)))


def test_without_the_library_the_extra_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "arviz_stats", None)
    monkeypatch.delitem(sys.modules, "arviz_stats.base", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"uncertain-torch\[bayesian\]"):
        psis_loo(np.zeros((200, 3)))
