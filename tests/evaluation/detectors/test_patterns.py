"""Patterns and boundaries: what a bank must have."""

import dataclasses

import numpy as np
import pytest

from tests.evaluation.detectors import cases
from uncertain.evaluation.detectors import FDBD, SHE

BANK, ROWS = cases.bank(), cases.queries()


def test_patterns_need_a_correct_row_of_every_class():
    with pytest.raises(ValueError, match="of every class, got none of class 2"):
        SHE.fit(BANK.select(BANK.labels != 2))
    with pytest.raises(ValueError, match="`bank` should have labels, got none"):
        SHE.fit(dataclasses.replace(BANK, labels=None))


def test_classes_of_the_same_weight_have_no_boundary():
    weight = BANK.weight.copy()
    weight[3] = weight[2]
    detector = FDBD.fit(dataclasses.replace(BANK, weight=weight))
    assert detector.boundaries.tolist() == [3, 3, 2, 2]
    assert np.isfinite(detector(ROWS.features, ROWS.logits)).all()
    with pytest.raises(ValueError, match="at least two classes of different weights"):
        FDBD.fit(dataclasses.replace(BANK, weight=np.ones((4, cases.WIDTH))))


def test_the_training_mean_itself_has_a_score():
    detector = FDBD.fit(BANK)
    score = detector(detector.mean[None], ROWS.logits[:1])
    assert np.isfinite(score).all()
    assert score < detector(ROWS.features, ROWS.logits).min()


def test_distances_are_those_to_the_boundaries():
    detector = FDBD.fit(BANK)
    h, z = ROWS.features[:1], ROWS.logits[:1]
    best = int(z.argmax())
    distances = []
    for c in range(4):
        if c != best:
            # The nearest point of the boundary has equal logits: go there and measure.
            normal = BANK.weight[best] - BANK.weight[c]
            step = (z[0, best] - z[0, c]) / (normal @ normal)
            there = h[0] - step * normal
            both = BANK.weight[[best, c]] @ there + BANK.bias[[best, c]]
            np.testing.assert_allclose(both[0], both[1])
            distances.append(np.linalg.norm(step * normal))
    expected = -np.mean(distances) / np.linalg.norm(h[0] - detector.mean)
    np.testing.assert_allclose(detector(h, z), [expected])
