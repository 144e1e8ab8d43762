"""The quantile calibration error: the definition, its null, and an interval that covers."""

import numpy as np
import pytest
from scipy import stats

from uncertain.evaluation.quantile_calibration import (
    cramer_von_mises_cdf,
    pit_figures,
    quantile_calibration_error,
)
from uncertain.families import ArrayDistribution


def normal(n: int, scale: float = 1.0) -> ArrayDistribution:
    return ArrayDistribution("normal", {"loc": np.zeros(n), "scale": np.full(n, scale)})


def test_it_is_the_definition_over_many_levels():
    y = np.random.default_rng(0).normal(0.3, 1.4, 83)
    levels = (np.arange(20_000) + 0.5) / 20_000
    observed = (y[:, None] <= stats.norm.ppf(levels)).mean(axis=0)
    expected = np.sqrt(np.mean((observed - levels) ** 2))
    assert quantile_calibration_error(normal(83), y)[0].value == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("x", "below"),
    [(0.02480, 0.01), (0.11888, 0.50), (0.34730, 0.90), (0.46136, 0.95), (0.74346, 0.99)],
)
def test_the_limiting_law_is_anderson_and_darlings_table(x, below):
    assert cramer_von_mises_cdf(x) == pytest.approx(below, abs=5e-5)


def test_the_limiting_law_at_the_ends():
    assert cramer_von_mises_cdf(1e-9) == 0
    assert cramer_von_mises_cdf(30.0) == pytest.approx(1)


def test_p_value_against_scipy():
    y = np.random.default_rng(3).normal(0.15, 1, 150)
    expected = stats.cramervonmises(stats.norm.cdf(y), "uniform").pvalue
    found = quantile_calibration_error(normal(150), y)[0]
    assert found.p_value == pytest.approx(expected, abs=0.01)


def test_the_null_is_what_calibrated_predictions_show():
    rng = np.random.default_rng(0)
    found = [
        quantile_calibration_error(normal(60), rng.normal(size=60))[0].value for _ in range(300)
    ]
    _, null = quantile_calibration_error(normal(60), rng.normal(size=60))
    assert np.mean(found) == pytest.approx(null.value, rel=0.08)
    assert np.mean(np.array(found) <= null.high) == pytest.approx(0.95, abs=0.04)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_the_interval_covers_calibrated_and_not(shift):
    grid = (np.arange(4000) + 0.5) / 4000
    truth = np.sqrt(np.mean((stats.norm.cdf(stats.norm.ppf(grid), shift) - grid) ** 2))
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(150):
        found = quantile_calibration_error(normal(80), rng.normal(shift, 1, 80))[0]
        covered += found.low <= truth + 1e-9 <= found.high + 1e-9
    assert covered / 150 >= 0.93


def test_groups_count_as_one_row():
    y = np.random.default_rng(0).normal(size=100)
    alone, null = quantile_calibration_error(normal(100), y)
    twice, wide = quantile_calibration_error(
        normal(200), np.repeat(y, 2), groups=np.repeat(np.arange(100), 2)
    )
    assert twice.value == pytest.approx(alone.value)
    assert twice.p_value == pytest.approx(alone.p_value)
    assert (twice.low, twice.high) == pytest.approx((alone.low, alone.high))
    assert wide.high == pytest.approx(null.high)
    assert (twice.n, twice.n_groups) == (200, 100)


def test_several_targets_a_row_are_pooled():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(50, 3))
    d = ArrayDistribution("normal", {"loc": np.zeros((50, 3)), "scale": np.ones((50, 3))}, None, 1)
    found = pit_figures(d, y).quantile_calibration_error
    flat = pit_figures(normal(150), y.ravel()).quantile_calibration_error
    assert found.value == pytest.approx(flat.value)
    assert found.high > flat.high  # 50 independent rows, not 150


def test_all_targets_beyond_the_predictions():
    found, _ = quantile_calibration_error(normal(20, 1e-3), np.full(20, 50.0))
    assert found.value == pytest.approx(np.sqrt(1 / 3))
    assert found.low > 0
    assert found.p_value < 1e-6
