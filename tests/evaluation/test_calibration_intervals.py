"""Intervals of calibration errors cover; the bootstrap they replace does not."""

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.simulate import REQUIRED
from tests.evaluation.simulate_calibration import World
from uncertain.evaluation import calibration_intervals as inversion
from uncertain.evaluation.calibration_bins import bin_index, bin_table, equal_width_edges
from uncertain.evaluation.calibration_rows import Rows, gap_model, inverted

EDGES = equal_width_edges(15)


def model_of(p, outcome, groups=None, weights=None):
    return gap_model(Rows.of(p, outcome, weights, groups), "equal_width", 15)


def misses(world, n, repetitions):
    """Return the share of l1 and of l2 intervals that do not hold the truth."""
    rng = np.random.default_rng(n)
    truths = {norm: world.truth(norm) for norm in ("l1", "l2")}
    missed = dict.fromkeys(truths, 0)
    for seed in range(repetitions):
        p, outcome, groups = world.sample(rng, n)
        rows = Rows.of(p, outcome, None, groups if world.cluster > 1 else None)
        model = gap_model(rows, "equal_width", 15)
        draws = inversion.draw(model, seed=seed, replicates=300)
        for norm, truth in truths.items():
            found = inverted(model, draws, rows, 0.95, norm)
            missed[norm] += not found.low - 1e-12 <= truth <= found.high + 1e-12
    return {norm: count / repetitions for norm, count in missed.items()}


CELLS = [
    pytest.param(World("uniform", "over", gap, *cluster), n, id=f"{gap}-{n}-{cluster[0]}")
    for gap in (0.0, 0.01, 0.03, 0.1)
    for n in (500, 5000)
    for cluster in ((1, 0.0), (10, 0.3))
]


@pytest.mark.slow
@pytest.mark.parametrize(("world", "n"), CELLS)
def test_coverage(world, n):
    # benchmarks/interval_coverage.py takes 2,000 repetitions; here 100, so 3.5 deviations less.
    repetitions = 100
    slack = 3.5 * (0.05 * 0.95 / repetitions) ** 0.5
    assert max(misses(world, n, repetitions).values()) <= 1 - REQUIRED + slack


def test_coverage_of_a_calibrated_and_of_a_wrong_model():
    for gap in (0.0, 0.1):
        assert max(misses(World("uniform", "over", gap), 500, 40).values()) <= 0.15


def test_a_bootstrap_of_the_plug_in_error_never_covers_a_calibrated_model():
    sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
    import interval_coverage

    rng = np.random.default_rng(0)
    for _ in range(20):
        p, outcome, _ = World().sample(rng, 500)
        low, high = interval_coverage.percentile_bootstrap(p, outcome, rng)
        assert 0 < low < high  # the truth is 0


def test_worlds_have_the_truth_that_they_claim():
    assert World("uniform", "over", 0.03).truth("l1") == pytest.approx(0.03, rel=1e-9)
    assert World("uniform", "over", 0.03).truth("l2") == pytest.approx(0.03, rel=1e-9)
    one = World("uniform", "one", 0.1)
    share = 2 / 15  # bin 12 of [.5, 1]
    assert one.truth("l1") == pytest.approx(0.1 * share, rel=0.02)
    assert one.truth("l2") == pytest.approx(0.1 * share**0.5, rel=0.02)
    p, outcome, _ = World("high", "wave", 0.03, 10, 0.3).sample(np.random.default_rng(0), 400_000)
    assert np.mean(outcome) == pytest.approx(
        np.mean(World("high", "wave", 0.03).frequency(p)), abs=0.005
    )


def test_a_higher_level_contains_a_lower_one():
    p, outcome, _ = World("uniform", "over", 0.05).sample(np.random.default_rng(0), 2000)
    model = model_of(p, outcome)
    draws = inversion.draw(model, seed=0, replicates=500)
    for norm in ("l1", "l2"):
        narrow = inversion.bounds(model, draws, norm=norm, level=0.5)
        wide = inversion.bounds(model, draws, norm=norm, level=0.99)
        assert wide.low <= narrow.low <= narrow.value <= narrow.high <= wide.high


def test_more_rows_of_the_same_kind_narrow_the_interval():
    world, widths = World("uniform", "over", 0.05), []
    for n in (500, 5000, 50_000):
        model = model_of(*world.sample(np.random.default_rng(0), n)[:2])
        found = inversion.bounds(
            model, inversion.draw(model, seed=0, replicates=500), norm="l1", level=0.95
        )
        widths.append(found.high - found.low)
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_variance_under_a_hypothesis_is_that_of_the_bernoulli_rows():
    # One bin of equal confidences p: the variance at gap d is (p - d)(1 - p + d) / n.
    p, outcome = np.full(200, 0.9), np.arange(200) % 5 > 0
    model = model_of(p, outcome)
    for gap in (0.0, 0.05, 0.3):
        q = 0.9 - gap
        wanted = (q * (1 - q) / 200) ** 0.5
        assert model.deviation(np.array([gap])) == pytest.approx(wanted, rel=1e-9)


def test_cluster_covariance_is_that_of_the_definition():
    rng = np.random.default_rng(0)
    p, outcome, groups = World("uniform", "over", 0.1, 10, 0.5).sample(rng, 600)
    weights = rng.random(600) + 0.5
    model = model_of(p, outcome, groups, weights)
    index = np.unique(bin_index(p, EDGES), return_inverse=True)[1]
    bins = index.max() + 1
    total = weights.sum()
    gap = np.bincount(index, weights * (p - outcome), bins) / total
    influence = np.zeros((60, bins))
    for row in range(600):
        influence[groups[row], index[row]] += weights[row] * (p[row] - outcome[row]) / total
        influence[groups[row]] -= weights[row] * gap / total
    wanted = 60 / 59 * influence.T @ influence
    law = model.clusters
    found = law.root @ law.root.T * np.outer(law.deviation, law.deviation)
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_many_groups_are_summed_in_blocks(monkeypatch):
    p, outcome, groups = World("uniform", cluster=3, correlation=0.3).sample(
        np.random.default_rng(0), 900
    )
    whole = model_of(p, outcome, groups).clusters
    monkeypatch.setattr(inversion, "_BLOCK", 7)
    blocks = model_of(p, outcome, groups).clusters
    np.testing.assert_allclose(blocks.deviation, whole.deviation, rtol=1e-12)


def test_the_law_of_a_bin_alone_is_a_folded_normal():
    p, outcome = np.full(4000, 0.75), np.arange(4000) % 4 > 0
    model = model_of(p, outcome)
    assert model.statistic("l1") == 0
    draws = inversion.draw(model, seed=0, replicates=20_000)
    errors = inversion.null_errors(model, draws, norm="l1", seed=0)
    deviation = (0.75 * 0.25 / 4000) ** 0.5
    assert errors.mean() == pytest.approx(deviation * (2 / np.pi) ** 0.5, rel=0.02)
    assert np.quantile(errors, 0.95) == pytest.approx(1.96 * deviation, rel=0.02)


def test_few_expected_misses_are_drawn_as_counts():
    table = bin_table(np.full(100, 0.99), np.ones(100, bool), EDGES).filled()
    model = inversion.GapModel(table)
    draws = inversion.draw(model, seed=0, replicates=500)
    errors = inversion.null_errors(model, draws, norm="l1", seed=0)
    # 100 rows: the frequency is a hundredth, so the error is |.01 - k / 100|.
    assert np.allclose(errors * 100, np.round(errors * 100))
    assert np.mean(errors < 1e-9) == pytest.approx(0.37, abs=0.06)  # P(k = 1)


def test_confidences_whose_mean_rounds_to_certainty_have_a_null():
    confidence = np.array([np.nextafter(1.0, 0.0), 1.0])
    model = inversion.GapModel(bin_table(confidence, np.ones(2, bool), EDGES).filled())
    assert model.table.confidence == 1
    assert model.table.null_variance > 0
    draws = inversion.draw(model, seed=0, replicates=10)
    errors = inversion.null_errors(model, draws, norm="l1", seed=0)
    assert np.all(errors < 1e-7)


def test_few_groups_have_wider_draws():
    p, outcome, groups = World("uniform", cluster=100, correlation=0.2).sample(
        np.random.default_rng(0), 500
    )
    model = model_of(p, outcome, groups)
    draws = inversion.draw(model, seed=0, replicates=4000)
    assert np.std(draws.bins) > 1.2  # t with four degrees of freedom
    assert not draws.shares.any()
