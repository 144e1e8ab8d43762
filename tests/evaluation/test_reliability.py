"""The reliability diagram: its points, its intervals and the band of a calibrated model."""

import numpy as np
import pytest

from tests.evaluation.simulate_calibration import World, two_classes
from uncertain import intervals
from uncertain.evaluation.calibration import ece
from uncertain.evaluation.reliability import reliability


def drawn(world=None, n=2000, seed=0):
    p, outcome, groups = (world or World()).sample(np.random.default_rng(seed), n)
    return *two_classes(p, outcome), groups


def test_points_and_intervals_are_those_of_the_rows_in_each_bin():
    p, y, _ = drawn()
    found = reliability(p, y, bins=10)
    top, hit = p.max(axis=1), p.argmax(axis=1) == y
    for b in range(10):
        kept = (top >= b / 10) & ((top < (b + 1) / 10) | (b == 9))
        assert found.count[b] == kept.sum()
        if not kept.any():
            assert np.isnan([found.confidence[b], found.low[b], found.null_low[b]]).all()
            continue
        assert found.confidence[b] == pytest.approx(top[kept].mean())
        wanted = intervals.wilson(int(hit[kept].sum()), int(kept.sum()))
        assert (found.frequency[b], found.low[b], found.high[b]) == pytest.approx(wanted[:3])
    assert found.share.sum() == pytest.approx(1)
    assert np.nansum(found.share * np.abs(found.confidence - found.frequency)) == pytest.approx(
        ece(p, y, bins=10).value
    )


@pytest.mark.parametrize("binning", ["equal_width", "equal_mass"])
def test_a_calibrated_model_stays_in_its_band(binning):
    inside = total = 0
    for seed in range(60):
        p, y, _ = drawn(seed=seed)
        found = reliability(p, y, binning=binning)
        filled = found.count > 0
        within = (found.frequency >= found.null_low) & (found.frequency <= found.null_high)
        inside, total = inside + within[filled].sum(), total + filled.sum()
    assert inside / total == pytest.approx(0.95, abs=0.03)


def test_groups_widen_intervals_and_band():
    p, y, groups = drawn(World("uniform", "over", 0.1, 10, 1.0), 5000)
    alone, grouped = reliability(p, y), reliability(p, y, groups=groups)
    filled = alone.count > 0
    for low, high in (("low", "high"), ("null_low", "null_high")):
        widths = [(getattr(r, high) - getattr(r, low))[filled] for r in (alone, grouped)]
        assert np.all(widths[1] >= widths[0] - 1e-12)
        assert widths[1].mean() > 1.3 * widths[0].mean()


def test_weights_move_the_points():
    p, y, _ = drawn()
    weights = np.where(p.argmax(axis=1) == y, 2.0, 1.0)
    assert np.nanmean(reliability(p, y, weights=weights).frequency) > np.nanmean(
        reliability(p, y).frequency
    )


def test_positive_mode_covers_the_unit_interval():
    rng = np.random.default_rng(0)
    p = rng.random(500)
    found = reliability(np.stack([1 - p, p], axis=1), rng.random(500) < p, mode="positive")
    assert (found.count > 0).all()


def test_classwise_has_no_single_diagram(unchecked):
    with pytest.raises(ValueError, match="`mode` should be one of positive, top_label"):
        reliability([[0.5, 0.5]], [0], mode="classwise")
