"""Every known way in which evaluations go wrong, one section each, named by the design page."""

from __future__ import annotations

import dataclasses
import inspect

import numpy as np
import pytest
import sklearn.metrics

from tests.evaluation.cases import classifier
from tests.evaluation.detectors import cases
from uncertain import evaluation, families
from uncertain.evaluation import (
    Predictions,
    coverage_p_value,
    detectors,
    evaluate,
    fit_temperature,
    fit_thr,
    pit_histogram,
)
from uncertain.evaluation.calibration_bins import bin_index, equal_width_edges
from uncertain.evaluation.leakage import LEAK
from uncertain.evaluation.report.page import render_report
from uncertain.families import ArrayDistribution
from uncertain.intervals import wilson


class TestPerfectModelsHaveAnError:
    """4.1: the plug-in ECE of a calibrated model is not 0, and a null level says what it is."""

    def test_the_null_is_the_mean_of_calibrated_models_and_the_debiased_error_holds_zero(self):
        shown, held = [], 0
        for seed in range(30):
            p, y = calibrated(1000, seed)
            shown.append(evaluation.ece(p, y).value)
            found = evaluation.ece_debiased(p, y, replicates=100)
            held += found.low == 0
        null = evaluation.ece_null(*calibrated(1000, 0))
        assert np.mean(shown) > 0.015
        assert null.value == pytest.approx(np.mean(shown), rel=0.15)
        assert held >= 25  # 95 % of 30, at least 25 with 99.9 % chance


class TestBinEdges:
    """4.2: bins are [low, high), and a confidence of exactly 1 joins the last one."""

    def test_edges_open_a_bin_and_one_joins_the_last(self):
        edges = equal_width_edges(10)
        assert bin_index(np.array([0.0, 0.1, 0.9, 1.0]), edges).tolist() == [0, 1, 9, 9]

    def test_saturated_confidences_keep_their_gap(self):
        p = np.tile([1.0, 0.0], (10, 1))
        assert evaluation.ece(p, [0] * 7 + [1] * 3).value == pytest.approx(0.3)


class TestNarrowSums:
    """4.3 (F1): float32 sums stop growing beyond a million rows in one bin."""

    def test_three_million_equal_float32_confidences_keep_their_gap(self):
        n = 3_000_000
        p = np.full((n, 2), [0.93, 0.07], dtype=np.float32)
        y = (np.arange(n) % 100 >= 90).astype(np.int64)  # right in 90 of 100
        assert evaluation.ece(p, y).value == pytest.approx(0.03, abs=1e-6)


class TestTwoClasses:
    """4.4: positive-class frequency and top label are two questions; names carry the mode."""

    def test_the_modes_differ_and_every_row_says_which(self):
        p, y = np.tile([0.9, 0.1], (100, 1)), np.repeat([0, 1], 50)
        top = evaluation.ece(p, y, mode="top_label").value
        positive = evaluation.ece(p, 1 - y, mode="positive").value
        assert (top, positive) == (pytest.approx(0.4), pytest.approx(0.4))
        skewed = np.repeat([0, 1], [90, 10])
        q = np.tile([0.3, 0.7], (100, 1))
        assert evaluation.ece(q, skewed, mode="top_label").value == pytest.approx(0.6)
        mixed = np.array([[0.3, 0.7], [0.7, 0.3]] * 50)
        hit = np.array([1, 0] * 50)
        assert evaluation.ece(mixed, hit).value == pytest.approx(0.3)
        for row in evaluate(classifier(60, classes=2), replicates=100):
            if "calibration" in row.metric or "ece" in row.metric or "spiegel" in row.metric:
                assert row.variant.endswith(("top_label", "positive", "classwise"))


class TestBrierConventions:
    """4.5: summed over classes here; halved or averaged elsewhere."""

    def test_it_is_scikit_learns_unhalved_sum(self):
        p, y = calibrated(300, 0)
        found = evaluate(of(p, y), replicates=100).select(metric="brier").rows[0].value
        halved = sklearn.metrics.brier_score_loss(y, p, labels=[0, 1, 2], scale_by_half=True)
        assert found == pytest.approx(2 * halved)


class TestLogitsAsConfidences:
    """4.6: logits are no confidences: they are refused, not binned."""

    def test_logits_are_refused_by_name(self):
        with pytest.raises(ValueError, match="if these are logits, pass them as logits"):
            evaluation.ece([[3.0, -1.0]], [0])


class TestTiedRisks:
    """4.7: with quantised scores, figures of selective prediction must not hang on the file's order."""

    def test_shuffles_of_eight_bit_scores_change_no_bit(self):
        rng = np.random.default_rng(0)
        scores, wrong = np.round(rng.random(2000) * 20) / 20, rng.random(2000) < 0.13
        found = evaluation.ranking_estimates(scores, wrong, replicates=20)
        for seed in range(5):
            order = np.random.default_rng(seed).permutation(2000)
            again = evaluation.ranking_estimates(scores[order], wrong[order], replicates=20)
            assert again == found


class TestRankingConventions:
    """4.8: half credit for ties, no transform, NaN refused, one class undefined, the positive named."""

    def test_ties_scales_and_missing_classes(self):
        assert evaluation.ranking_estimates([1, 1], [0, 1], replicates=10)["auroc"].value == 0.5
        x, up = np.array([20.0, 28.0, 24.0, 26.0]), np.array([0, 1, 0, 1])
        far = evaluation.ranking_estimates(x, up, replicates=10)["auroc"].value
        assert far == evaluation.ranking_estimates(x / 100, up, replicates=10)["auroc"].value == 1
        with pytest.raises(ValueError, match="a NaN has no rank"):
            evaluation.ranking_estimates([np.nan, 1.0], [0, 1])
        alone = evaluation.ranking_estimates([1.0, 2.0], [1, 1])["auroc"]
        assert np.isnan(alone.value)
        assert "only one class" in alone.reason

    def test_fpr_finishes_a_tie_and_names_its_positive(self):
        found = evaluation.ranking_estimates(
            np.repeat([1.0, 2.0], 50), np.arange(100) % 2, replicates=10
        )
        assert found["fpr95_positive"].value == 1
        rows = evaluate(
            [classifier(60), classifier(40, labelled=False, split="ood:x")], replicates=100
        )
        sides = {r.metric: r.positive_class for r in rows if r.split == "ood:x"}
        assert (sides["fpr95_ood_positive"], sides["aupr_id_positive"]) == ("ood", "id")

    def test_average_precision_is_no_trapezoid(self):
        rng = np.random.default_rng(0)
        up = np.arange(10_050) < 50
        scores = rng.normal(size=10_050) + up
        found = evaluation.average_precision(evaluation.rank_curve(scores, up))
        assert found == pytest.approx(sklearn.metrics.average_precision_score(up, scores))


class TestPostHocCalibration:
    """4.10: a temperature fitted on the test set; ensembles before or after averaging."""

    def test_a_temperature_of_the_test_set_is_told_in_every_figure(self):
        case = classifier(200, row_ids=np.arange(200))
        cheated = fit_temperature(case)(case)
        rows = evaluate([cheated, classifier(200, row_ids=np.arange(200))], replicates=100)
        told = [row for row in rows if cheated.source in (row.source, row.other)]
        assert told
        assert all(row.reason.startswith(LEAK) for row in told)

    def test_another_name_of_the_split_hides_nothing(self):
        case = classifier(200, row_ids=np.arange(200))
        renamed = dataclasses.replace(case, split="validation")
        rows = evaluate(fit_temperature(renamed)(case), replicates=100)
        assert all(row.reason.startswith(LEAK) for row in rows)

    def test_the_order_of_scaling_and_averaging_is_in_the_name_and_matters(self):
        rng = np.random.default_rng(0)
        logits = families.log_softmax(3 * rng.normal(size=(300, 4, 3)))
        d = ArrayDistribution("categorical", {"logits": logits}, np.full((300, 4), 0.25))
        target = (logits.mean(axis=1) + rng.gumbel(size=(300, 3))).argmax(axis=1)
        orders = ("pool_then_calibrate", "calibrate_then_pool")
        first, second = (fit_temperature(d, target, order=order) for order in orders)
        assert first.label != second.label
        p = [families.class_probabilities(fitted(d)) for fitted in (first, second)]
        assert np.abs(p[0] - p[1]).max() > 0.01

    def test_sharpness_alone_decides_no_comparison_after_scaling(self):
        case = classifier(300, source="calm", row_ids=np.arange(300))
        log_p = families.log_softmax(4 * families.class_log_probabilities(case.distribution))
        sharp = ArrayDistribution("categorical", {"logits": log_p})
        sure = dataclasses.replace(case, source="sure", distribution=sharp)
        rows = evaluate([case, sure], temperature_scaled=True, replicates=100)
        found = {
            row.variant: row for row in rows.select(metric="nll", kind="difference", split="test")
        }
        assert found[""].p_value < 1e-6
        assert abs(found["temperature_scaled"].value) < 1e-6


class TestConformalCoverage:
    """4.12: coverage fluctuates as Beta(n + 1 - l, l) about its goal: no fixed tolerance fits."""

    def test_a_usual_fluctuation_is_no_failure_and_a_systematic_one_is(self):
        # 100 calibration rows: 84 % of an endless test set is within what the law allows.
        assert coverage_p_value(8_400, 10_000, n=100, alpha=0.1) > 0.05
        # The same 84 % after 10,000 calibration rows is a failure.
        assert coverage_p_value(8_400, 10_000, n=10_000, alpha=0.1) < 1e-6

    def test_coverages_of_repetitions_have_the_law_s_spread(self):
        rng = np.random.default_rng(0)
        covered = []
        for _ in range(200):
            p = rng.dirichlet([1, 1, 1], 550)
            y = (p.cumsum(axis=1) > rng.random((550, 1))).argmax(axis=1)
            fitted = fit_thr(ArrayDistribution("categorical", {"probs": p[:50]}), y[:50], alpha=0.2)
            sets = fitted(ArrayDistribution("categorical", {"probs": p[50:]}))
            covered.append(sets[np.arange(500), y[50:]].mean())
        missed = 10  # floor(51 * 0.2)
        a, b = 51 - missed, missed
        mean, variance = a / (a + b), a * b / (a + b) ** 2 / (a + b + 1)
        binomial = (mean * (1 - mean) - variance) / 500
        spread = np.sqrt(variance + binomial)
        # Four standard errors of a mean, and of a standard deviation of 200 values.
        assert np.mean(covered) == pytest.approx(mean, abs=4 * spread / np.sqrt(200))
        assert np.std(covered) == pytest.approx(spread, rel=4 / np.sqrt(400))


class TestRegression:
    """4.11: a constant predicted spread; three estimators of one CRPS; coverage without interval."""

    def test_a_constant_spread_is_an_ordinary_case(self):
        y = np.random.default_rng(0).normal(size=300)
        d = ArrayDistribution("normal", {"loc": np.zeros(300), "scale": np.ones(300)})
        rows = evaluate(Predictions(d, y))
        assert {row.kind for row in rows} == {"estimate", "null"}
        (error,) = rows.select(metric="quantile_calibration_error")
        (null,) = rows.select(metric="quantile_calibration_error_null")
        assert 0 <= error.low <= error.value <= null.high
        assert pit_histogram(d, y).share.sum() == pytest.approx(1)
        # And all PIT values in one bin.
        wide = ArrayDistribution("normal", {"loc": np.full(300, 1e8), "scale": np.full(300, 1e9)})
        assert pit_histogram(wide, y, bins=10).share.max() == pytest.approx(1)

    def test_estimators_of_the_crps_differ_and_are_told_apart(self):
        n, members = 4000, 50
        rng = np.random.default_rng(0)
        y = rng.normal(size=n)
        samples = rng.normal(size=(n, members))
        exact = families.crps(
            ArrayDistribution("normal", {"loc": np.zeros(n), "scale": np.ones(n)}), y
        )
        biased, fair = (
            families.crps(ArrayDistribution(family, {"samples": samples}), y)
            for family in ("empirical", "empirical_sample")
        )
        # E|X - X'| / 2 = 1 / sqrt(pi), of which the biased form leaves out one in every 50.
        assert np.mean(biased - fair) == pytest.approx(1 / np.sqrt(np.pi) / members, rel=0.02)
        error = np.std(fair - exact) / np.sqrt(n)
        assert abs(np.mean(fair - exact)) < 4 * error
        assert np.mean(biased - exact) > 4 * error
        scoringrules = pytest.importorskip("scoringrules")
        for estimator, ours in (("nrg", biased), ("fair", fair)):
            theirs = scoringrules.crps_ensemble(y, samples, estimator=estimator)
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)

    def test_the_form_of_a_crps_is_part_of_its_name(self):
        rng = np.random.default_rng(0)
        samples, y = rng.normal(size=(30, 9)), rng.normal(size=30)
        forms = {"empirical": "ecdf", "empirical_sample": ""}
        for family, form in forms.items():
            case = Predictions(ArrayDistribution(family, {"samples": samples}), y)
            (row,) = evaluate(case).select(metric="crps")
            assert row.variant == form

    def test_coverage_has_its_binomial_interval(self):
        y = np.random.default_rng(0).normal(size=100)
        d = ArrayDistribution("normal", {"loc": np.zeros(100), "scale": np.ones(100)})
        (row,) = evaluate(Predictions(d, y)).select(metric="coverage", variant="0.9")
        expected = wilson(round(100 * row.value), 100)
        assert (row.low, row.high) == (expected.low, expected.high)


class TestSmoothKernels:
    """4.13 (F5): smooth ECE with the authors' reflected kernel; the row stores kernel and bandwidth."""

    def test_the_row_names_kernel_and_bandwidth_and_keeps_all_mass(self):
        p, y = calibrated(400, 0)
        row = evaluate(of(p, y), replicates=100).select(metric="smooth_ece").rows[0]
        assert row.variant == "reflected,bandwidth=value,top_label"
        # Its bandwidth is its value: asked for by that bandwidth, it comes back.
        again = evaluation.smooth_ece(p, y, bandwidth=row.value)
        assert again.value == pytest.approx(row.value, abs=1e-6)
        # A kernel that let mass leave at 1 would lose half of this gap.
        edge = evaluation.smooth_ece(np.tile([1.0, 0.0], (50, 1)), np.arange(50) % 2)
        assert edge.value == pytest.approx(0.5, abs=1e-6)


def calibrated(n, seed):
    """Three-class probabilities and labels drawn from them."""
    p = np.random.default_rng(seed).dirichlet(np.ones(3), n)
    return p, (p.cumsum(axis=1) > np.random.default_rng(seed + 999).random((n, 1))).argmax(axis=1)


def of(p, y):
    return Predictions(ArrayDistribution("categorical", {"probs": p}), y)


class TestOutOfDistribution:
    """4.9: tuning on test OOD; which split is which; score direction; ID counted once an OOD set."""

    def test_no_detector_takes_strange_rows_to_be_fitted(self):
        for name, fit in detectors.DETECTORS.items():
            arguments = list(inspect.signature(fit).parameters)
            assert arguments[0] == "bank", name
            assert not {"ood", "strange", "outliers", "validation"} & set(arguments), name
        assert list(inspect.signature(detectors.fit_detectors).parameters) == ["bank", "names"]

    def test_what_is_scored_together_does_not_change_a_score(self):
        bank, rows = cases.bank(), cases.queries()
        battery = detectors.fit_detectors(bank)
        together = detectors.detector_scores(battery, rows)
        alone = detectors.detector_scores(battery, rows.select(slice(3, 5)))
        for name, score in alone.items():
            np.testing.assert_allclose(score, together[name][3:5], rtol=1e-9)

    def test_every_score_is_larger_for_strange_rows_and_a_wrong_direction_shows(self):
        test, ood = self.sides()
        turned = [
            dataclasses.replace(side, scores={"distance": -np.asarray(side.scores["distance"])})
            for side in (test, ood)
        ]
        right, wrong = (
            evaluate(sides, replicates=100)
            .select(metric="auroc", variant="ood:x:distance")
            .rows[0]
            .value
            for sides in ([test, ood], turned)
        )
        # Nothing turns a score round: the better direction would be chosen on the test rows.
        assert right > 0.7
        assert wrong == pytest.approx(1 - right)

    def test_the_test_rows_count_once_beside_several_partners(self):
        test, ood = self.sides()
        other = dataclasses.replace(ood, split="ood:y")
        one, two = (
            evaluate([test, ood], replicates=100),
            evaluate([test, ood, other], replicates=100),
        )

        def areas(results):
            return results.select(metric="auroc", variant="ood:x:distance").rows

        assert areas(one) == areas(two)
        assert areas(one)[0].n == len(test) + len(ood)

    def test_rows_of_another_network_are_refused(self):
        bank = dataclasses.replace(cases.bank(), facts={"network": "a"})
        rows = dataclasses.replace(cases.queries(), facts={"network": "b"})
        with pytest.raises(ValueError, match="from the network that the bank came from"):
            detectors.detector_scores(detectors.fit_detectors(bank, ("msp",)), rows)

    def test_the_best_detector_on_the_test_partners_is_no_answer(self):
        sides = [
            dataclasses.replace(side, scores={"detector:msp": score, "detector:knn": 9 * score})
            for side in self.sides()
            for score in [np.asarray(side.scores["distance"])]
        ]
        page = render_report(evaluate(sides, replicates=100), sides, title="x")
        answers = page.partition("<main")[2].partition("<section")[0]
        assert "knn" not in answers
        assert "to take the first is to tune on them" in page

    @staticmethod
    def sides():
        rng = np.random.default_rng(0)
        test = classifier(80, scores={"distance": rng.normal(size=80)})
        ood = classifier(80, labels_seed=1, labelled=False, split="ood:x")
        return test, dataclasses.replace(ood, scores={"distance": rng.normal(size=80) + 1.5})
