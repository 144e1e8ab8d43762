"""Sorted rows hold what bins hold, and the adaptive error is the paper's."""

from __future__ import annotations

import numpy as np
import pytest

from uncertain.evaluation.calibration import adaptive_calibration_error, ece
from uncertain.evaluation.calibration_bins import bin_table, equal_mass_edges, equal_width_edges
from uncertain.evaluation.calibration_sorted import SortedRows


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 50, 70_000])
def test_the_table_is_that_of_exact_sums(dtype: type, n: int) -> None:
    rng = np.random.default_rng(0)
    p = np.round(rng.random(n), 3).astype(dtype)
    p[: n // 3] = rng.choice(np.array([0.0, 1.0, 1 / 15, 0.2, 0.6], dtype=dtype), n // 3)
    y = rng.random(n) < 0.4
    rows = SortedRows.of(p, y)
    for edges in (equal_width_edges(15), equal_mass_edges(p, 15)):
        expected, found = bin_table(p, y, edges), rows.table(edges)
        np.testing.assert_array_equal(found.count, expected.count)
        for column in ("frequency", "confidence", "gap", "null_variance"):
            np.testing.assert_allclose(
                getattr(found, column), getattr(expected, column), atol=1e-12, err_msg=column
            )
    np.testing.assert_array_equal(rows.equal_mass_edges(15), equal_mass_edges(p, 15))


def test_rows_come_out_in_order_with_their_outcomes() -> None:
    p = np.array([0.7, -0.0, 0.7, 1.0, 0.0], dtype=np.float32)
    rows = SortedRows.of(p, np.array([True, True, False, True, False]))
    assert rows.confidence.tolist() == [0.0, 0.0, np.float32(0.7), np.float32(0.7), 1.0]
    assert rows.outcome.tolist() == [False, True, False, True, True]
    assert rows.tie_ends().tolist() == [1, 3, 4]


def slow_adaptive(p: np.ndarray, y: np.ndarray, bins: int) -> float:
    """Nixon et al. (2019), section 3.3, for probabilities without ties."""
    gaps = []
    for c in range(p.shape[1]):
        order = np.argsort(p[:, c])
        for part in np.array_split(order, bins):
            gaps.append(abs((y[part] == c).mean() - p[part, c].mean()))
    return float(np.mean(gaps))


def test_adaptive_error_is_the_papers() -> None:
    rng = np.random.default_rng(0)
    p, y = rng.dirichlet(np.ones(4), 600), rng.integers(0, 4, 600)
    found = adaptive_calibration_error(p, y, bins=15)
    assert found.value == pytest.approx(slow_adaptive(p, y, 15), abs=1e-12)
    # Without ties ranges are of one size, and weighting them by it changes nothing.
    even = ece(p, y, binning="equal_mass", mode="classwise", bins=15)
    assert found.value == pytest.approx(even.value, abs=1e-12)
    assert "biased upwards" in found.reason
    order = rng.permutation(600)
    assert repr(adaptive_calibration_error(p[order], y[order])) == repr(found)
    weighted = adaptive_calibration_error(p, y, weights=np.full(600, 3.0))
    assert weighted.value == pytest.approx(found.value, abs=1e-12)


def test_bad_bins() -> None:
    with pytest.raises(ValueError, match="`bins` should lie in"):
        adaptive_calibration_error([[0.5, 0.5]], [0], bins=0)
