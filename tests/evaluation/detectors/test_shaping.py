"""Clipped, pruned and scaled activations: limits, sums that are kept, and what is refused."""

import dataclasses

import numpy as np
import pytest

from tests.evaluation.detectors import cases
from uncertain.evaluation.detectors import ASH, SCALE, ReAct, energy
from uncertain.evaluation.detectors.shaping import _percentile

BANK, ROWS = cases.bank(), cases.queries()


def test_without_clipping_or_pruning_it_is_the_energy():
    expected = energy(ROWS.logits)
    clipped = dataclasses.replace(ReAct.fit(BANK), threshold=np.inf)
    np.testing.assert_allclose(clipped(ROWS.features), expected)
    np.testing.assert_allclose(ASH.fit(BANK, variant="p", percentile=0)(ROWS.features), expected)


def test_pruning_nothing_scales_by_e():
    scaled = energy(np.e * ROWS.features @ BANK.weight.T + BANK.bias)
    np.testing.assert_allclose(SCALE.fit(BANK, percentile=0)(ROWS.features), scaled)
    np.testing.assert_allclose(ASH.fit(BANK, percentile=0)(ROWS.features), scaled)


@pytest.mark.parametrize("percentile", [0.5, 33.3, 90, 100])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_the_percentile_is_numpys(percentile, dtype):
    values = np.random.default_rng(0).exponential(size=(37, 11)).astype(dtype)
    expected = np.percentile(values.astype(float), percentile)
    assert _percentile(values, percentile) == pytest.approx(expected, rel=1e-12)


def test_binarised_activations_keep_their_sum():
    detector = ASH.fit(BANK, variant="b")
    shaped = detector._shaped(ROWS.features)
    np.testing.assert_allclose(shaped.sum(axis=1), ROWS.features.sum(axis=1))
    assert all(len(np.unique(row[row > 0])) == 1 for row in shaped)


@pytest.mark.parametrize("fit", [ASH.fit, SCALE.fit], ids=["ASH", "SCALE"])
def test_negative_activations_are_refused(fit):
    below = dataclasses.replace(BANK, features=BANK.features - 1)
    with pytest.raises(ValueError, match="defined for activations after a ReLU"):
        fit(below)
    with pytest.raises(ValueError, match="defined for activations after a ReLU"):
        fit(BANK)(below.features)


def test_percentiles_out_of_range_are_named():
    for call in (
        lambda: ReAct.fit(BANK, percentile=0),
        lambda: ASH.fit(BANK, percentile=100),
        lambda: SCALE.fit(BANK, percentile=-1),
    ):
        with pytest.raises(ValueError, match="`percentile` should lie in"):
            call()


def test_an_unknown_variant_is_named(unchecked):
    with pytest.raises(ValueError, match="`variant` should be one of b, p, s, got 'x'"):
        ASH.fit(BANK, variant="x")
