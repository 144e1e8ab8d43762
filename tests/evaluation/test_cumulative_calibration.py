"""Calibration tests against MAPIE, their laws by simulation, and intervals that cover."""

from __future__ import annotations

import math

import mapie.metrics.calibration as mapie
import numpy as np
import pytest
from numpy.typing import NDArray

from uncertain.evaluation.cumulative_calibration import calibration_tests, range_tail, supremum_tail


def two(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([1 - p, p], axis=1)


def sample(
    n: int, power: float = 1.0, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    p = rng.random(n)
    return p, rng.random(n) < p**power


@pytest.mark.parametrize("power", [1.0, 1.1])
def test_statistics_and_p_values_are_mapies_without_ties(power: float) -> None:
    p, y = sample(400, power)
    found = calibration_tests(two(p), y, mode="positive")
    sigma = mapie.length_scale(p)
    ks, kuiper, z = (
        found[name] for name in ("calibration_ks", "calibration_kuiper", "spiegelhalter_z")
    )
    assert ks.value / sigma == pytest.approx(mapie.kolmogorov_smirnov_statistic(y, p), rel=1e-6)
    assert kuiper.value / sigma == pytest.approx(mapie.kuiper_statistic(y, p), rel=1e-6)
    assert z.value == pytest.approx(mapie.spiegelhalter_statistic(y, p), rel=1e-9)
    assert ks.p_value == pytest.approx(mapie.kolmogorov_smirnov_p_value(y, p), abs=1e-6)
    assert kuiper.p_value == pytest.approx(mapie.kuiper_p_value(y, p), abs=1e-6)
    # MAPIE's is one-sided, for confidences that promise too small a Brier score.
    one_sided = mapie.spiegelhalter_p_value(y, p)
    assert z.p_value == pytest.approx(2 * min(one_sided, 1 - one_sided), rel=1e-6)


@pytest.mark.parametrize("x", [0.25, 0.5, 0.9, 1.1, 2.0, 3.5, 6.0])
def test_laws_of_brownian_motion_are_mapies(x: float) -> None:
    assert supremum_tail(x) == pytest.approx(1 - mapie.kolmogorov_smirnov_cdf(x), abs=1e-9)
    assert range_tail(x) == pytest.approx(1 - mapie.kuiper_cdf(x), abs=1e-9)


def test_ties_are_finished_before_they_are_read() -> None:
    p = np.repeat([0.25, 0.75], 200)
    y = np.concatenate([np.arange(200) % 4 == 0, np.arange(200) % 4 != 0])
    found = calibration_tests(two(p), y, mode="positive")
    assert found["calibration_ks"].value == pytest.approx(0, abs=1e-12)
    order = np.random.default_rng(0).permutation(400)
    assert repr(calibration_tests(two(p)[order], y[order], mode="positive")) == repr(found)


def test_levels_and_coverage() -> None:
    """Calibrated models are refused in 5 % of samples; the drift's supremum is covered."""
    runs, refused = (
        200,
        dict.fromkeys(("calibration_ks", "calibration_kuiper", "spiegelhalter_z"), 0),
    )
    truth = 1 / 2 - 1 / (1 + 1.2)  # int p - p^1.2 dp: the drift never turns
    covered = 0
    for seed in range(runs):
        for name, e in calibration_tests(
            two(sample(300, seed=seed)[0]), sample(300, seed=seed)[1], mode="positive"
        ).items():
            refused[name] += e.p_value < 0.05
        p, y = sample(300, 1.2, seed)
        e = calibration_tests(two(p), y, mode="positive")["calibration_ks"]
        covered += e.low <= truth <= e.high
    for name, count in refused.items():
        assert count / runs < 0.10, name  # 5 % of 200: below 9.5 % with 99.5 % chance
    assert covered / runs > 0.93


def test_weights_and_groups() -> None:
    p, y = sample(200)
    twice = np.tile(np.arange(200), 2)
    once = calibration_tests(two(p), y, mode="positive")
    doubled = calibration_tests(two(p), y, mode="positive", weights=np.full(200, 2.0))
    grouped = calibration_tests(two(p)[twice], y[twice], mode="positive", groups=twice)
    for name, e in doubled.items():
        assert e.value == pytest.approx(once[name].value)
        assert e.p_value == pytest.approx(once[name].p_value)
    assert grouped["calibration_ks"].value == pytest.approx(once["calibration_ks"].value)
    assert "rows of a group are dependent" in grouped["calibration_ks"].reason
    # Copies bring nothing: the robust test is about as sure as the rows without them.
    assert grouped["spiegelhalter_z"].p_value == pytest.approx(
        once["spiegelhalter_z"].p_value, abs=0.1
    )


def test_certain_and_even_confidences_have_no_tilt() -> None:
    found = calibration_tests(two(np.array([0.5, 1.0])), [0, 1], mode="positive")["spiegelhalter_z"]
    assert math.isnan(found.value)
    assert found.reason == "every confidence is 0, 0.5 or 1"
    one = calibration_tests(two(np.array([0.2, 0.3])), [0, 1], mode="positive", groups=[7, 7])
    assert one["spiegelhalter_z"].reason == "one group has no spread"


def test_bad_mode() -> None:
    with pytest.raises(ValueError, match="`mode` should be one of positive, top_label"):
        calibration_tests([[0.5, 0.5]], [0], mode="classwise")
