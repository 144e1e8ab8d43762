"""Every known way in which evaluations go wrong, one section each, named by the design page."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.evaluation.cases import classifier
from uncertain import families
from uncertain.evaluation import (
    Predictions,
    coverage_p_value,
    evaluate,
    fit_temperature,
    fit_thr,
    pit_histogram,
)
from uncertain.evaluation.leakage import LEAK
from uncertain.families import ArrayDistribution
from uncertain.intervals import wilson


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
