"""Every known way in which evaluations go wrong, one section each, named by the design page."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.evaluation.cases import classifier
from uncertain import families
from uncertain.evaluation import coverage_p_value, evaluate, fit_temperature, fit_thr
from uncertain.evaluation.leakage import LEAK
from uncertain.families import ArrayDistribution


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
        for _ in range(400):
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
        # Four standard errors of a mean, and of a standard deviation of 400 values.
        assert np.mean(covered) == pytest.approx(mean, abs=4 * spread / 20)
        assert np.std(covered) == pytest.approx(spread, rel=4 / np.sqrt(800))
