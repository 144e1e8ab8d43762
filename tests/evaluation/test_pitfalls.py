"""Every known way in which evaluations go wrong, one section each, named by the design page."""

from __future__ import annotations

import dataclasses

import numpy as np

from tests.evaluation.cases import classifier
from uncertain import families
from uncertain.evaluation import evaluate, fit_temperature
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
