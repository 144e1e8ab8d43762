"""ViM: what a bank must have, and how large its principal space is."""

import dataclasses

import numpy as np
import pytest

from tests.evaluation.detectors import cases
from uncertain.evaluation.detectors import ViM

BANK = cases.bank()


def test_vim_needs_a_residual():
    flat = np.random.default_rng(0).normal(size=(120, 2)) @ np.eye(2, cases.WIDTH)
    bank = dataclasses.replace(BANK, features=flat, bias=np.zeros(4))
    with pytest.raises(ValueError, match="should vary outside of its 6 principal directions"):
        ViM.fit(bank)


@pytest.mark.parametrize("dimensions", [0, 12])
def test_vims_dimensions_are_named(dimensions):
    with pytest.raises(ValueError, match="`dimensions` should be at least 1 and below the 12"):
        ViM.fit(BANK, dimensions=dimensions)


def test_half_of_the_features_are_principal_in_a_small_network():
    assert ViM.fit(BANK).residual.shape == (12, 6)


def test_the_virtual_logit_is_as_large_as_the_largest_on_average():
    detector = ViM.fit(BANK)
    lengths = np.linalg.norm((BANK.features - detector.origin) @ detector.residual, axis=1)
    np.testing.assert_allclose(detector.alpha * lengths.mean(), BANK.logits.max(axis=1).mean())
    # Where the origin is, only the bias is left of the logits that the weight can reach.
    np.testing.assert_allclose(BANK.weight @ detector.origin + BANK.bias, 0, atol=1e-12)
