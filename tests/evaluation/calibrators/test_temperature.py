"""Temperature scaling: known temperatures, the optimum, and the two orders of members."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.calibrators.cases import categorical, ensemble, logits_of
from tests.evaluation.cases import classifier
from uncertain import families
from uncertain.evaluation.calibrators import fit_temperature
from uncertain.evaluation.calibrators.temperature import COLDEST, HOTTEST
from uncertain.families import ArrayDistribution


def loss(z, y, t, w=None):
    log_p = families.log_softmax(z / t)[np.arange(len(y)), y]
    return -np.average(log_p, weights=w)


@pytest.mark.parametrize("truth", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_found_within_its_interval(truth):
    hits = 0
    for seed in range(20):
        z, y = logits_of(400, seed=seed)
        low, high = fit_temperature(truth * z, y).intervals()[0]
        hits += low <= truth <= high
    # 95 % intervals: fewer than 16 of 20 have a probability of 1 in 390.
    assert hits >= 16


@given(st.floats(0.2, 5.0), st.integers(0, 10))
@settings(max_examples=15, deadline=None)
def test_scaled_logits_scale_the_temperature(factor, seed):
    z, y = logits_of(200, seed=seed)
    one, other = fit_temperature(z, y), fit_temperature(factor * z, y)
    assert other.temperatures[0] == pytest.approx(factor * one.temperatures[0], rel=1e-9)
    shifted = fit_temperature(z + np.arange(200)[:, None], y)
    assert shifted.temperatures[0] == pytest.approx(one.temperatures[0], rel=1e-9)


def test_no_other_temperature_is_better():
    z, y = logits_of(300)
    w = np.random.default_rng(0).random(300)
    best = fit_temperature(1.7 * z, y, weights=w).temperatures[0]
    least = loss(1.7 * z, y, best, w)
    for factor in (1 - 1e-4, 1 + 1e-4):
        assert least < loss(1.7 * z, y, factor * best, w)


def test_the_standard_error_is_that_of_repetitions():
    fits = [fit_temperature(*logits_of(300, seed=s)) for s in range(60)]
    spread = np.std([math.log(f.temperatures[0]) for f in fits])
    assert np.mean([f.standard_errors[0] for f in fits]) == pytest.approx(spread, rel=0.35)


def test_copies_in_a_group_bring_no_information():
    z, y = logits_of(200)
    once = fit_temperature(z, y)
    twice = fit_temperature(
        np.repeat(z, 3, 0), np.repeat(y, 3), groups=np.repeat(np.arange(200), 3)
    )
    assert twice.temperatures[0] == pytest.approx(once.temperatures[0], rel=1e-9)
    assert twice.standard_errors[0] == pytest.approx(once.standard_errors[0], rel=1e-9)


def test_accuracy_and_order_stay():
    z, y = logits_of(300)
    fitted = fit_temperature(3 * z, y)
    found = families.class_probabilities(fitted(categorical(3 * z)))
    assert np.array_equal(found.argsort(axis=1), z.argsort(axis=1))


def test_separable_labels_have_the_lowest_temperature_and_say_so():
    z = np.random.default_rng(0).normal(size=(50, 3))
    coldest = fit_temperature(z, z.argmax(axis=1))
    assert coldest.temperatures == (COLDEST,)
    hottest = fit_temperature(z, z.argmin(axis=1))
    assert hottest.temperatures == (HOTTEST,)
    assert coldest.at_bound
    assert hottest.at_bound
    assert not fit_temperature(*logits_of(200)).at_bound


def test_impossible_classes_stay_impossible():
    z, y = logits_of(300, classes=4)
    z[:, 3] = -np.inf
    y = np.where(y == 3, 0, y)
    fitted = fit_temperature(categorical(z), y)
    three = fit_temperature(z[:, :3], y)
    assert fitted.temperatures[0] == pytest.approx(three.temperatures[0], rel=1e-9)
    assert np.all(families.class_probabilities(fitted(categorical(z)))[:, 3] == 0)


def test_an_impossible_label_can_t_be_repaired():
    z, y = logits_of(100)
    z[7, y[7]] = -np.inf
    with pytest.raises(
        ValueError, match=r"give 1 of 100 labels the probability 0, the first at row 7"
    ):
        fit_temperature(categorical(z), y)
    assert fit_temperature(categorical(z), y, weights=np.arange(100) != 7).temperatures[0] > 0


def test_flat_predictions_know_no_temperature():
    fitted = fit_temperature(np.zeros((20, 2)), np.arange(20) % 2)
    assert fitted.at_bound
    assert fitted.standard_errors == (math.inf,)


class TestMembers:
    def test_the_two_orders_differ_and_the_default_is_calibrated(self):
        d, y = ensemble()
        pooled = fit_temperature(d, y)
        each = fit_temperature(d, y, order="calibrate_then_pool")
        assert len(pooled.temperatures) == 1
        assert len(each.temperatures) == 3
        # The mixture of calibrated members is flatter than a calibrated mixture: it has T < 1 left.
        again = fit_temperature(each(d), y)
        assert again.temperatures[0] < 1 - 3 * again.standard_errors[0]
        assert fit_temperature(pooled(d), y).temperatures[0] == pytest.approx(1, rel=1e-6)

    def test_each_member_gets_its_own(self):
        d, y = ensemble()
        each = fit_temperature(d, y, order="calibrate_then_pool")
        alone = fit_temperature(d.parameters["logits"][:, 1], y)
        assert each.temperatures[1] == alone.temperatures[0]

    def test_members_are_kept_so_that_uncertainty_can_be_split(self):
        d, y = ensemble()
        made = fit_temperature(d, y, order="calibrate_then_pool")(d)
        assert made.members == 3
        assert (families.decompose(made)[2] >= 0).all()

    def test_the_order_is_in_the_source_s_name(self):
        d, y = ensemble(60)
        case = classifier(60, split="validation")
        mixed = ArrayDistribution(
            "categorical", {"logits": d.parameters["logits"]}, d.mixture_weights
        )
        each = fit_temperature(mixed, y, order="calibrate_then_pool")
        assert each.label == "temperature, calibrate then pool"
        import dataclasses

        made = each(dataclasses.replace(case, distribution=mixed, source="net"))
        assert made.source == "net (temperature, calibrate then pool)"

    def test_torch_members_come_back(self):
        d, y = ensemble(60)
        each = fit_temperature(d, y, order="calibrate_then_pool")
        members = torch.distributions.Categorical(logits=torch.tensor(d.parameters["logits"]))
        weights = torch.distributions.Categorical(logits=torch.zeros(60, 3, dtype=torch.float64))
        found = each(torch.distributions.MixtureSameFamily(weights, members))
        assert isinstance(found, torch.distributions.MixtureSameFamily)

    def test_refusals(self, unchecked):
        z, y = logits_of(60)
        with pytest.raises(TypeError, match=r"should have members .* got a single categorical"):
            fit_temperature(categorical(z), y, order="calibrate_then_pool")
        with pytest.raises(ValueError, match="`order` should be one of"):
            fit_temperature(categorical(z), y, order="pool")
        d, y = ensemble(60)
        each = fit_temperature(d, y, order="calibrate_then_pool")
        with pytest.raises(
            ValueError, match="should have 3 members, as temperature was fitted on, got 2"
        ):
            each(ensemble(60, members=2)[0])
        with pytest.raises(ValueError, match=r"`predictions` should have shape \(N, C\)"):
            fit_temperature(np.zeros(20), np.zeros(20))
