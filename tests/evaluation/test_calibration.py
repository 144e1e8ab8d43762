"""Calibration errors: known truths, other libraries, and the pitfalls that they fall into."""

import math
import warnings

import numpy as np
import pytest

from tests.evaluation.simulate_calibration import World, two_classes
from uncertain.evaluation.calibration import (
    ece,
    ece_debiased,
    ece_null,
    rms_calibration_error_debiased,
)
from uncertain.evaluation.calibration_bins import (
    ReliabilityState,
    bin_index,
    equal_mass_edges,
    equal_width_edges,
)
from uncertain.evaluation.classification_report import classification_estimates

RECORDED = ("wideresnet-16-4-cifar-10.npz", "lenet-5-cifar-10.npz")


def random_rows(n=2000, classes=10, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(classes, 0.3), n)
    y = (rng.random(n)[:, None] > p.cumsum(axis=1)).sum(axis=1).clip(max=classes - 1)
    return p, np.where(rng.random(n) < 0.2, rng.integers(0, classes, n), y)


def recorded(data_dir, name):
    with np.load(data_dir(name) / name) as file:
        return file["predictions"].astype(np.float64), file["ground_truth"]


def plain_ece(confidence, outcome, index):
    return sum(
        abs(np.sum(confidence[index == b] - outcome[index == b])) for b in np.unique(index)
    ) / len(outcome)


def torchmetrics_ece(p, y):
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(
            multiclass_calibration_error(
                torch.from_numpy(p), torch.from_numpy(y), num_classes=p.shape[1], n_bins=15
            )
        )


def netcal_ece(p, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from netcal.metrics import ECE

        return float(ECE(15).measure(p, y))


def verified_rms(p, y):
    """uncertainty-calibration's debiased l2 error over the same bins."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from calibration import utils

    best = p.argmax(axis=1)
    data = list(zip(p.max(axis=1).tolist(), (best == y).astype(int).tolist(), strict=True))
    binned = utils.bin(data, utils.get_equal_prob_bins(None, num_bins=15))
    return math.sqrt(max(0.0, utils.unbiased_square_ce(binned)))


class TestOtherLibraries:
    def test_random_predictions(self):
        p, y = random_rows()
        ours = ece(p, y).value
        assert ours == pytest.approx(netcal_ece(p, y), abs=1e-6)
        assert ours == pytest.approx(torchmetrics_ece(p, y), abs=1e-6)
        assert rms_calibration_error_debiased(p, y).value == pytest.approx(
            verified_rms(p, y), abs=1e-12
        )

    @pytest.mark.data
    @pytest.mark.parametrize("name", RECORDED)
    def test_recorded_predictions(self, data_dir, name):
        p, y = recorded(data_dir, name)
        p = np.minimum(p, 1.0)  # netcal refuses a float32 sum's 1 + 1e-7
        assert ece(p, y).value == pytest.approx(netcal_ece(p, y), abs=1e-6)
        assert rms_calibration_error_debiased(p, y).value == pytest.approx(
            verified_rms(p, y), abs=1e-6
        )

    @pytest.mark.data
    def test_torchmetrics_sums_in_float32(self, data_dir):
        p, y = recorded(data_dir, RECORDED[0])
        assert np.sum(p.max(axis=1) == 1) == 2469
        # Its bin for exactly 1 leans the same way as its neighbour here: only its sums differ.
        assert ece(p, y).value == pytest.approx(torchmetrics_ece(p, y), abs=1e-5)

    def test_torchmetrics_differs_by_its_bin_for_exactly_one(self):
        # A half says .95 and is always right, a half says 1 and is right nine times in ten.
        confidence = np.repeat([0.95, 1.0], 500)
        outcome = np.concatenate([np.ones(500, bool), np.arange(500) % 10 > 0])
        p, y = two_classes(confidence, outcome)
        assert ece(p, y).value == pytest.approx(0.025, abs=1e-12)
        assert netcal_ece(p, y) == pytest.approx(0.025, abs=1e-6)
        assert torchmetrics_ece(p, y) == pytest.approx((0.05 + 0.1) / 2, abs=1e-5)


class TestKnownTruth:
    @pytest.mark.slow
    def test_twelve_million_confidences_with_a_true_gap(self):
        # A float32 accumulator says 0.0474 here; the truth is a gap of 0.02 in one bin.
        state = ReliabilityState(equal_width_edges(15))
        rng = np.random.default_rng(0)
        n = 1_000_000
        for _ in range(12):
            p = (0.94 + 0.06 * rng.random(n)).astype(np.float32)
            # One draw in each n-th of [0, 1]: Bernoulli outcomes with little noise in their sum.
            state.update(p, rng.permutation(np.arange(n) + rng.random(n)) / n < p - 0.02)
        table = state.compute()
        assert table.rows == 12 * n
        assert np.abs(table.gap).sum() == pytest.approx(0.02, abs=1e-4)

    def test_millions_of_rows_with_the_gap_made_exact(self):
        # Outcomes laid out so that the gap is 0.02 without sampling noise, in float32.
        n = 2_000_000
        state = ReliabilityState(equal_width_edges(15))
        p = np.full(n, 0.95, np.float32)
        outcome = np.arange(n) % 100 < 93
        for _ in range(6):
            state.update(p, outcome)
        table = state.compute()
        assert table.rows == 12_000_000
        assert np.abs(table.gap).sum() == pytest.approx(0.02, abs=1e-7)

    @pytest.mark.parametrize("gap", [0.03, 0.1])
    def test_a_true_gap_is_found(self, gap):
        world = World("uniform", "over", gap)
        p, outcome, _ = world.sample(np.random.default_rng(0), 200_000)
        p, y = two_classes(p, outcome)
        for metric in (ece_debiased, rms_calibration_error_debiased):
            found = metric(p, y)
            assert found.low < gap < found.high
            assert found.value == pytest.approx(gap, abs=0.006)

    def test_a_calibrated_model_has_no_error_but_a_plug_in_one(self):
        values = []
        for seed in range(40):
            p, outcome, _ = World().sample(np.random.default_rng(seed), 1000)
            p, y = two_classes(p, outcome)
            found = ece_debiased(p, y, seed=seed, replicates=200)
            values.append((ece(p, y).value, found.value, found.low, found.high))
        plug_in, debiased, low, high = np.transpose(values)
        assert plug_in.mean() > 0.02
        assert debiased.mean() < 0.4 * plug_in.mean()
        assert np.median(debiased) < 0.15 * np.median(plug_in)
        assert np.mean(low == 0) > 0.9
        assert np.all(high > 0.02)


class TestNull:
    @pytest.mark.parametrize("binning", ["equal_width", "equal_mass"])
    @pytest.mark.parametrize("n", [60, 1000])
    @pytest.mark.parametrize("confidences", ["uniform", "high", "saturated"])
    def test_it_is_the_law_of_redrawn_labels(self, n, confidences, binning):
        rng = np.random.default_rng(1)
        confidence, outcome, _ = World(confidences).sample(rng, n)
        p, y = two_classes(confidence, outcome)
        found = ece_null(p, y, binning=binning, replicates=4000)
        width = binning == "equal_width"
        edges = equal_width_edges(15) if width else equal_mass_edges(confidence, 15)
        member = np.eye(15)[bin_index(confidence, edges)]
        residual = confidence - (rng.random((1500, n)) < confidence)
        redrawn = np.abs(residual @ member).sum(axis=1) / n
        assert found.value == pytest.approx(np.mean(redrawn), rel=0.04)
        assert found.high == pytest.approx(np.quantile(redrawn, 0.95), rel=0.07)
        assert found.low == 0

    def test_its_p_value_is_near_uniform_when_true(self):
        p_values = []
        for seed in range(200):
            p, outcome, _ = World().sample(np.random.default_rng(seed), 500)
            p_values.append(ece_null(*two_classes(p, outcome), seed=seed, replicates=200).p_value)
        assert np.mean(np.array(p_values) < 0.05) < 0.11
        assert np.mean(p_values) == pytest.approx(0.5, abs=0.08)

    def test_groups_raise_it(self):
        world = World("uniform", cluster=10, correlation=1.0)
        p, outcome, groups = world.sample(np.random.default_rng(0), 4000)
        p, y = two_classes(p, outcome)
        assert ece_null(p, y, groups=groups).value > 1.4 * ece_null(p, y).value

    def test_classwise_with_groups_says_what_it_leaves_out(self):
        p, y = random_rows(300, 3)
        found = ece_null(p, y, mode="classwise", groups=np.arange(300) // 3)
        assert found.value > 0
        assert math.isnan(found.high)
        assert "rows of a group as independent" in found.reason


class TestModes:
    def test_two_classes_positive_and_top_label_differ(self):
        p, y = random_rows(1000, 2)
        index = np.minimum((p[:, 1] * 15).astype(int), 14)
        positive = ece(p, y, mode="positive").value
        assert positive == pytest.approx(plain_ece(p[:, 1], y == 1, index), abs=1e-12)
        top = p.max(axis=1)
        index = np.minimum((top * 15).astype(int), 14)
        hit = p.argmax(axis=1) == y
        assert ece(p, y).value == pytest.approx(plain_ece(top, hit, index), abs=1e-12)

    @pytest.mark.parametrize("binning", ["equal_width", "equal_mass"])
    def test_classwise_is_the_mean_over_classes_of_the_positive_error(self, binning):
        p, y = random_rows(500, 4)
        each = [
            ece(
                np.stack([1 - p[:, c], p[:, c]], axis=1),
                (y == c).astype(int),
                mode="positive",
                binning=binning,
            ).value
            for c in range(4)
        ]
        found = ece(p, y, mode="classwise", binning=binning).value
        assert found == pytest.approx(np.mean(each), rel=1e-9)

    def test_the_plug_in_error_has_no_interval_and_says_why(self):
        found = ece(*random_rows(50))
        assert math.isnan(found.low)
        assert math.isnan(found.high)
        assert "biased upwards" in found.reason


class TestLaws:
    def test_order_does_not_move_a_bit(self):
        p, y = random_rows(700, 3)
        rng = np.random.default_rng(3)
        extra = {"weights": rng.random(700), "groups": rng.integers(0, 80, 700)}
        order = rng.permutation(700)
        for kept in ([], ["weights"], ["groups"], ["weights", "groups"]):
            some = {name: extra[name] for name in kept}
            mixed = {name: extra[name][order] for name in kept}
            whole = classification_estimates(p, y, replicates=50, **some)
            again = classification_estimates(p[order], y[order], replicates=50, **mixed)
            assert repr(whole) == repr(again)

    def test_a_seed_is_an_answer(self):
        p, y = random_rows(300)
        assert ece_debiased(p, y, seed=1) == ece_debiased(p, y, seed=1)
        assert ece_debiased(p, y, seed=1).high != ece_debiased(p, y, seed=2).high

    def test_the_value_lies_in_its_interval_and_zero_is_respected(self):
        for seed in range(20):
            p, y = random_rows(80, 3, seed)
            for metric in (ece_debiased, rms_calibration_error_debiased):
                found = metric(p, y, seed=seed, replicates=100)
                assert 0 <= found.low <= found.value <= found.high

    def test_repeated_rows_with_groups_bring_no_information(self):
        p, y = random_rows(1500, 3)
        once = ece_debiased(p, y, replicates=2000)
        tiled = np.tile(p, (5, 1)), np.tile(y, 5)
        five = ece_debiased(*tiled, groups=np.tile(np.arange(1500), 5), replicates=2000)
        naive = ece_debiased(*tiled, replicates=2000)
        assert five.high - five.low == pytest.approx(once.high - once.low, rel=0.1)
        assert naive.high - naive.low < 0.7 * (once.high - once.low)

    def test_weights_scale_away_and_equal_weights_are_none(self):
        p, y = random_rows(400, 3)
        none, some = ece_debiased(p, y), ece_debiased(p, y, weights=np.full(400, 0.25))
        assert some[:3] == pytest.approx(none[:3], rel=1e-9)

    def test_rows_of_weight_zero_are_not_there(self):
        p, y = random_rows(400, 3)
        w = (np.arange(400) % 2).astype(float)
        assert ece(p, y, weights=w).value == pytest.approx(ece(p[1::2], y[1::2]).value, rel=1e-12)
        kept = ece_debiased(p, y, weights=w, groups=np.arange(400))
        assert math.isfinite(kept.high)


class TestEdges:
    def test_all_certain_and_right(self):
        p, y = np.tile([[1.0, 0.0]], (500, 1)), np.zeros(500, int)
        found = ece_debiased(p, y)
        assert (found.value, found.low) == (0.0, 0.0)
        assert 0.004 < found.high < 0.01  # the rule of three: 0.6 %, two-sided 0.74 %

    def test_certain_and_wrong_once_is_not_calibrated(self):
        p, y = np.tile([[1.0, 0.0]], (500, 1)), (np.arange(500) == 0).astype(int)
        found = ece_debiased(p, y)
        assert found.low > 0
        assert found.p_value < 0.01

    def test_one_row(self):
        found = ece_debiased([[0.7, 0.3]], [0])
        assert 0 <= found.low <= found.high <= 1
        assert rms_calibration_error_debiased([[0.7, 0.3]], [0]).value == 0

    def test_one_group_has_no_interval(self):
        p, y = random_rows(30, 3)
        for metric in (ece_debiased, rms_calibration_error_debiased):
            found = metric(p, y, groups=np.zeros(30))
            assert found.reason == "one group has no spread"
            assert math.isfinite(found.value)
            assert math.isnan(found.low)

    def test_bad_arguments_are_named(self):
        p, y = random_rows(30, 3)
        with pytest.raises(ValueError, match="`level` should lie in"):
            ece(p, y, level=0)
        with pytest.raises(ValueError, match="two classes"):
            ece(p, y, mode="positive")
        with pytest.raises(ValueError, match="`bins` should lie in"):
            ece(p, y, bins=0)
        with pytest.raises(ValueError, match="`replicates` should lie in"):
            ece_debiased(p, y, replicates=0)
        with pytest.raises(ValueError, match="`replicates` should lie in"):
            ece_null(p, y, replicates=0)
        with pytest.raises(ValueError, match="as many rows as each other"):
            ece(p, y, groups=np.zeros(3))
        with pytest.raises(ValueError, match="`weights` should"):
            ece(p, y, weights=np.zeros(30))

    def test_unknown_choices_are_named(self, unchecked):
        p, y = random_rows(30, 3)
        with pytest.raises(ValueError, match="`binning` should be one of equal_mass, equal_width"):
            ece(p, y, binning="equal")
        with pytest.raises(ValueError, match="`binning` should be one of"):
            ece(p, y, binning="equal", mode="classwise")
        with pytest.raises(ValueError, match="`mode` should be one of"):
            ece(p, y, mode="binary")
        with pytest.raises(ValueError, match="`mode` should be one of positive, top_label"):
            ece_debiased(p, y, mode="classwise")
