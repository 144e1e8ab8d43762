"""PIT values of predictions with steps: uniform again, whatever the family."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from uncertain import families
from uncertain.evaluation.discrete_pit import (
    largest_gap,
    null_gaps,
    pit_curve,
    randomised_pit,
    rms_gap,
    target_bounds,
)
from uncertain.evaluation.pit import pit_histogram
from uncertain.evaluation.quantile_calibration import pit_figures
from uncertain.families import ArrayDistribution


def poisson(n: int, seed: int = 0) -> ArrayDistribution:
    return ArrayDistribution("poisson", {"rate": np.random.default_rng(seed).gamma(2.0, 1.0, n)})


def curve_of(low: np.ndarray, high: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Czado, Gneiting and Held's equation 2, row by row."""
    total = np.zeros_like(u)
    for a, b in zip(low, high, strict=True):
        total += (u >= a).astype(float) if a == b else np.clip((u - a) / (b - a), 0, 1)
    return total / len(low)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 6)), min_size=1, max_size=30))
def test_the_curve_is_the_papers_equation(rows):
    low = np.array([a for a, _ in rows]) / 26
    high = low + np.array([d for _, d in rows]) / 26
    u = np.linspace(0.003, 0.997, 97)
    curve = pit_curve(low, high)
    np.testing.assert_allclose(curve.values(u), curve_of(low, high, u), atol=1e-12)
    fine = np.linspace(0, 1, 20_001)
    gaps = curve_of(low, high, fine) - fine
    assert largest_gap(curve) == pytest.approx(np.abs(gaps).max(), abs=1e-3)
    assert rms_gap(curve) == pytest.approx(np.sqrt(np.mean(gaps**2)), abs=1e-3)


def test_without_steps_the_gaps_are_the_classical_statistics():
    u = np.random.default_rng(0).beta(1.2, 1, 57)
    curve = pit_curve(u, u)
    assert largest_gap(curve) == pytest.approx(stats.kstest(u, "uniform").statistic, abs=1e-12)
    statistic = stats.cramervonmises(u, "uniform").statistic
    assert 57 * rms_gap(curve) ** 2 == pytest.approx(statistic, abs=1e-12)


def test_weights_are_repeats_and_order_does_not_matter():
    rng = np.random.default_rng(0)
    low = rng.random(20) / 2
    high = low + rng.random(20) / 2
    w = rng.integers(0, 4, 20)
    once = pit_curve(low, high, weights=w)
    many = pit_curve(np.repeat(low, w), np.repeat(high, w))
    assert rms_gap(once) == pytest.approx(rms_gap(many), abs=1e-12)
    order = rng.permutation(20)
    assert rms_gap(pit_curve(low[order], high[order], weights=w[order])) == rms_gap(once)


def test_the_curve_is_the_mean_of_the_randomised_values():
    low, high = families.pit_bounds(poisson(40), np.arange(40) % 4)
    u = np.linspace(0.1, 0.9, 9)
    drawn = np.stack([randomised_pit(low, high, seed=s) for s in range(500)])
    mean = (drawn[..., None] <= u).mean(axis=(0, 1))
    np.testing.assert_allclose(pit_curve(low, high).values(u), mean, atol=0.01)


def test_randomised_values_of_counts_are_uniform_and_repeat_by_seed():
    d = poisson(3000)
    y = families.sample(d, np.random.default_rng(1), 1)[0]
    low, high = target_bounds(d, y)
    values = randomised_pit(low, high, seed=3)
    assert stats.kstest(values, "uniform").pvalue > 0.01
    # Neither end of the steps is uniform.
    assert stats.kstest(low, "uniform").pvalue < 1e-6
    np.testing.assert_array_equal(values, randomised_pit(low, high, seed=3))


def test_mixed_predictions_are_no_special_case():
    # Half of the mass at 0 (rain), the rest exponential.
    rng = np.random.default_rng(0)
    y = np.where(rng.random(2000) < 0.5, 0.0, rng.exponential(size=2000))
    high = 0.5 + 0.5 * stats.expon.cdf(y)
    low = np.where(y == 0, 0.0, high)
    curve = pit_curve(low, high)
    assert largest_gap(curve) < 1.36 / np.sqrt(2000)
    assert stats.kstest(randomised_pit(low, high), "uniform").pvalue > 0.01


@pytest.mark.parametrize("family", ["poisson", "negative_binomial", "bernoulli"])
def test_p_values_of_right_counts_are_rarely_small(family):
    n, small = 40, 0
    rng = np.random.default_rng(0)
    for seed in range(40):
        parameters = {
            "poisson": {"rate": rng.gamma(1.0, 1.0, n)},
            "negative_binomial": {"total_count": np.full(n, 3.0), "logits": rng.normal(size=n)},
            "bernoulli": {"probs": rng.random(n)},
        }[family]
        d = ArrayDistribution(family, parameters)
        y = families.sample(d, rng, 1)[0]
        gaps = null_gaps(d, seed=seed, draws=99)
        observed = largest_gap(pit_curve(*target_bounds(d, y)))
        small += (1 + np.sum(gaps[:, 0] >= observed)) / 100 <= 0.1
    # Binomial(40, 0.1): 9 or more has probability 0.02.
    assert small <= 9


def test_wrong_counts_are_found_out_which_the_mid_form_left_open():
    d = poisson(400)
    y = families.sample(
        ArrayDistribution("poisson", {"rate": 1.6 * d.parameters["rate"]}),
        np.random.default_rng(0),
        1,
    )[0]
    found = pit_figures(d, y)
    assert found.pit_ks.p_value < 0.01
    assert found.quantile_calibration_error.p_value < 0.01
    right = families.sample(d, np.random.default_rng(0), 1)[0]
    assert pit_figures(d, right).pit_ks.p_value > 0.05


def test_ranks_among_samples_are_uniform_and_ties_widen():
    rng = np.random.default_rng(0)
    d = ArrayDistribution("empirical", {"samples": rng.normal(size=(500, 19))})
    assert pit_figures(d, rng.normal(size=500)).pit_ks.p_value > 0.05
    assert pit_figures(d, rng.normal(0, 2, size=500)).pit_ks.p_value < 0.01
    tied = ArrayDistribution("empirical", {"samples": np.array([[1.0, 1.0, 2.0]])})
    low, high = target_bounds(tied, np.array([1.0]))
    assert (low[0], high[0]) == (0.0, 0.75)


def test_quantiles_are_tested_at_their_levels():
    rng = np.random.default_rng(0)
    levels = np.array([0.1, 0.5, 0.9])
    values = np.tile(stats.norm.ppf(levels), (600, 1))
    d = ArrayDistribution("quantiles", {"levels": levels, "values": values})
    assert pit_figures(d, rng.normal(size=600)).pit_ks.p_value > 0.05
    assert pit_figures(d, rng.normal(0.4, 1, size=600)).pit_ks.p_value < 0.01
    low, high = target_bounds(d, np.full(600, values[0, 1]))
    assert (low[0], high[0]) == (0.1, 0.5)


def test_groups_and_many_rows_fall_back_on_the_wider_law():
    d = poisson(300)
    y = families.sample(d, np.random.default_rng(5), 1)[0]
    alone = pit_figures(d, y).pit_ks
    grouped = pit_figures(d, y, groups=np.arange(300) // 2).pit_ks
    assert grouped.p_value > alone.p_value
    assert grouped.n_groups == 150
    assert len(null_gaps(poisson(10_001))) == 0


def test_a_mixture_of_samples_has_no_p_value_and_says_why():
    samples = np.random.default_rng(0).normal(size=(30, 2, 9))
    d = ArrayDistribution("empirical", {"samples": samples}, np.full((30, 2), 0.5))
    found = pit_figures(d, np.zeros(30))
    assert found.pit_ks.p_value is None
    assert "mixture of samples" in found.pit_ks.reason
    assert np.isnan(found.quantile_calibration_error_null.value)


def test_the_histogram_of_right_counts_is_flat():
    d = poisson(4000)
    y = families.sample(d, np.random.default_rng(2), 1)[0]
    found = pit_histogram(d, y, bins=10)
    assert found.share.sum() == pytest.approx(1)
    assert np.abs(found.share - 0.1).max() < 0.02
    # The mid form has holes where no count lands.
    mid = np.histogram(families.pit(d, y), bins=10, range=(0, 1))[0] / 4000
    assert np.abs(mid - 0.1).max() > 0.03


@pytest.mark.parametrize(
    ("low", "high", "match"),
    [
        ([0.5], [0.2], "`low` should not exceed `high`, got 0.5 and 0.2 at row 0"),
        ([-0.5], [0.2], r"`low` should lie in \[0, 1\]"),
        ([0.5], [1.2], r"`high` should lie in \[0, 1\]"),
        ([0.5, 0.6], [0.7], "as many rows as each other"),
        ([], [], "`low`"),
    ],
)
def test_intervals_are_checked(low, high, match):
    with pytest.raises(ValueError, match=match):
        pit_curve(low, high)
