"""Simulation-based calibration: right samplers pass, wrong ones fail, each in its own way."""

import numpy as np
import pytest

from uncertain.evaluation.bayesian import simulation_based_calibration, write_calibration
from uncertain.evaluation.bayesian.simulation import effective_draws


def prior(rng):
    return {"mean": rng.normal(size=2), "count": rng.integers(0, 4)}


def simulate(parameters, rng):
    return rng.normal(parameters["mean"], 1.0, size=(5, 2)), parameters["count"]


def posterior(y, rng, *, width=1.0, shift=0.0, draws=99):
    """The exact posterior of two normal means, and of a count that the data show."""
    values, count = y
    mean = rng.normal(values.sum(axis=0) / 6 + shift, width / np.sqrt(6), (draws, 2))
    return {"mean": mean, "count": np.full(draws, count)}


def run(sampler, **options):
    return simulation_based_calibration(prior, simulate, sampler, **options)


def test_the_exact_posterior_passes():
    found = run(posterior, seed=1)
    assert found.passes
    assert list(found.ranks) == ["mean[0]", "mean[1]", "count"]
    assert all(len(r) == 100 and r.min() >= 0 and r.max() <= 99 for r in found.ranks.values())
    assert found.short == 0


@pytest.mark.parametrize("wrong", [{"width": 0.5}, {"width": 2.0}, {"shift": 0.25}])
def test_wrong_posteriors_fail(wrong):
    found = run(lambda y, rng: posterior(y, rng, **wrong))
    assert not found.passes
    assert found.p_values["mean[0]"] < 0.05
    assert found.p_values["count"] > 0.05


def test_too_narrow_is_a_u_and_too_wide_a_hump():
    for width, ends in ((0.5, True), (2.0, False)):
        ranks = run(lambda y, rng, w=width: posterior(y, rng, width=w)).ranks["mean[0]"]
        outer = np.mean((ranks < 20) | (ranks > 79))
        assert (outer > 0.5) if ends else (outer < 0.3)


def test_a_sampler_that_ignores_the_data_passes_until_the_likelihood_is_ranked():
    def ignorant(_, rng):
        return rng.normal(size=99)

    def likelihood(mean, y):
        return {"log_likelihood": float(-0.5 * ((y - mean) ** 2).sum())}

    def model(mean, rng):
        return rng.normal(mean, 1.0, 5)

    def one(rng):
        return rng.normal()

    found = simulation_based_calibration(one, model, ignorant, quantities=likelihood, seed=1)
    assert simulation_based_calibration(one, model, ignorant, seed=1).passes
    assert not found.passes
    assert found.p_values["theta"] > 0.05 > found.p_values["log_likelihood"]


def test_more_simulations_leave_the_first_as_they_are():
    few, many = run(posterior, simulations=10, seed=3), run(posterior, simulations=15, seed=3)
    np.testing.assert_array_equal(few.ranks["mean[1]"], many.ranks["mean[1]"][:10])
    assert not np.array_equal(few.ranks["mean[1]"], run(posterior, simulations=10).ranks["mean[1]"])


def test_short_chains_are_counted():
    def sticky(y, rng):
        drawn = posterior(y, rng, draws=40)
        return {name: np.repeat(values, 10, axis=0) for name, values in drawn.items()}

    found = run(sticky, simulations=20)
    assert found.short == 20
    assert "20 simulations have fewer effective draws than half of those kept" in str(found)
    assert "ranks among 99 draws" in str(found)


def test_effective_draws_of_an_autoregression():
    rng = np.random.default_rng(0)
    x = np.zeros(20_000)
    for i in range(1, len(x)):
        x[i] = 0.8 * x[i - 1] + rng.normal()
    # The mean of AR(1) is worth n (1 - r) / (1 + r) draws.
    assert effective_draws(x) == pytest.approx(20_000 / 9, rel=0.15)
    assert effective_draws(np.ones(50)) == 50


def test_the_page_shows_each_parameter(tmp_path):
    found = run(posterior, simulations=20)
    write_calibration(found, tmp_path / "sbc.html", title="<two> means")
    page = (tmp_path / "sbc.html").read_text()
    assert page.count('data-plot="ranks"') == 3
    assert "&lt;two&gt; means" in page
    assert "<script" not in page
    wrong = run(lambda y, rng: posterior(y, rng, width=0.3), simulations=60)
    write_calibration(wrong, tmp_path / "wrong.html")
    assert "fails: draws are not from the posterior" in (tmp_path / "wrong.html").read_text()


@pytest.mark.parametrize(
    ("sampler", "options", "match"),
    [
        (
            lambda y, rng: rng.normal(size=99),
            {},
            "should give the parameters mean, count, got theta",
        ),
        (
            lambda y, rng: {**posterior(y, rng), "mean": np.zeros((99, 3))},
            {},
            r"should give mean with shape \(S, 2,\), got \(99, 3\)",
        ),
        (
            lambda y, rng: posterior(y, rng, draws=20),
            {},
            "at least the 99 draws that are kept, got 20",
        ),
        (
            lambda y, rng: {**posterior(y, rng), "count": np.full(99, np.nan)},
            {},
            "`posterior_draws count` should be finite",
        ),
        (posterior, {"simulations": 5}, r"`simulations` should lie in \[10"),
        (posterior, {"draws": 0}, "`draws` should lie in"),
        (posterior, {"level": 1.0}, "`level` should lie in"),
        (
            posterior,
            {"quantities": lambda p, y: {"x": np.nan}},
            "`quantities x` should be finite",
        ),
    ],
)
def test_arguments_are_checked(sampler, options, match):
    with pytest.raises(ValueError, match=match):
        run(sampler, **options)
