"""Smooth ECE against its definition, and what it must keep."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from uncertain.evaluation.calibration_sorted import SortedRows
from uncertain.evaluation.smooth_calibration import (
    residuals,
    smooth_ece,
    smooth_ece_null,
    smooth_error,
)


def two(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([1 - p, p], axis=1)


def sample(
    n: int, power: float = 1.0, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    p = rng.beta(2, 1, n)
    return p, rng.random(n) < p**power


def slow(p: NDArray[np.float64], y: NDArray[np.bool_], sigma: float) -> float:
    """Definition 7: a Gaussian and its images in the mirrors at 0 and 1, integrated finely."""
    t = (np.arange(4000) + 0.5) / 4000
    smoothed = np.zeros_like(t)
    for c, a in zip(p, y, strict=True):
        for turn in range(-4, 5):
            for image in (c + 2 * turn, 2 * turn - c):
                smoothed += (c - a) * np.exp(-((t - image) ** 2) / (2 * sigma**2))
    return float(np.mean(np.abs(smoothed)) / (sigma * math.sqrt(2 * math.pi)) / len(p))


@pytest.mark.parametrize("sigma", [0.02, 0.1, 0.6])
def test_it_is_the_reflected_gaussian_of_the_definition(sigma: float) -> None:
    p, y = sample(80, 2.0)
    found = smooth_ece(two(p), y, mode="positive", bandwidth=sigma)
    assert found.value == pytest.approx(slow(p, y, sigma), abs=2e-4)


def test_the_bandwidth_is_where_error_and_bandwidth_meet() -> None:
    p, y = sample(300, 2.0)
    value = smooth_ece(two(p), y, mode="positive").value
    assert slow(p, y, value) == pytest.approx(value, abs=5e-4)


def test_more_smoothing_never_makes_it_larger() -> None:
    p, y = sample(500, 1.5)
    cells = residuals(SortedRows.of(p, y))
    errors = [smooth_error(cells, s) for s in (0.01, 0.03, 0.1, 0.3, 1.0)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] >= abs(np.mean(p - y)) - 1e-9


def test_one_confidence_has_its_gap() -> None:
    found = smooth_ece(np.tile([0.3, 0.7], (50, 1)), np.arange(50) % 2, mode="positive")
    assert found.value == pytest.approx(0.2, abs=1e-6)
    edge = smooth_ece(np.tile([0.0, 1.0], (50, 1)), np.arange(50) % 2, mode="positive")
    assert edge.value == pytest.approx(0.5, abs=1e-6)


def test_any_order_gives_the_same_bits_and_float32_the_same_figure() -> None:
    p, y = sample(2000, 1.3)
    order = np.random.default_rng(1).permutation(2000)
    found = smooth_ece(two(p), y, mode="positive")
    assert repr(smooth_ece(two(p)[order], y[order], mode="positive")) == repr(found)
    narrow = smooth_ece(two(p).astype(np.float32), y, mode="positive")
    assert narrow.value == pytest.approx(found.value, abs=1e-6)


def test_a_weight_is_a_count() -> None:
    p, y = sample(60, 2.0)
    w = np.random.default_rng(1).integers(0, 4, 60)
    copies = np.repeat(np.arange(60), w)
    weighted = smooth_ece(two(p), y, mode="positive", weights=w).value
    assert weighted == pytest.approx(smooth_ece(two(p)[copies], y[copies], mode="positive").value)


def test_the_null_is_what_calibrated_models_show() -> None:
    shown = [
        smooth_ece(two(p), y, mode="positive").value
        for p, y in (sample(400, seed=s) for s in range(60))
    ]
    null = smooth_ece_null(two(sample(400)[0]), sample(400)[1], mode="positive")
    assert null.value == pytest.approx(np.mean(shown), rel=0.12)
    assert np.mean(np.array(shown) > null.high) < 0.17  # 5 % of 60, at most 10
    assert smooth_ece_null(two(sample(400)[0]), sample(400, 3.0)[1], mode="positive").p_value < 0.01
    plain = smooth_ece(two(sample(400)[0]), sample(400)[1], mode="positive")
    assert math.isnan(plain.low)
    assert "smooth_ece_null" in plain.reason


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bandwidth": 0.0}, r"`bandwidth` should lie in \(0, 1\]"),
        ({"mode": "classwise"}, "`mode` should be one of positive, top_label"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        smooth_ece([[0.5, 0.5]], [0], **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`replicates`"):
        smooth_ece_null([[0.5, 0.5]], [0], replicates=0)
