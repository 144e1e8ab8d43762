"""The entropy of ratings: closed forms, the bias it corrects, and what it refuses."""

import numpy as np
import pytest

from uncertain.evaluation import rating_entropy


def test_many_raters_give_the_entropy_itself():
    counts = np.array([[600_000, 300_000, 100_000]])
    p = counts / counts.sum()
    np.testing.assert_allclose(rating_entropy(counts), -(p * np.log(p)).sum(), atol=1e-5)


def test_the_correction_takes_out_most_of_the_bias_of_few_raters():
    p = np.array([0.5, 0.3, 0.2])
    truth = -(p * np.log(p)).sum()
    counts = np.random.default_rng(0).multinomial(20, p, size=20_000)
    shares = counts / 20
    plug_in = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=1).mean()
    corrected = rating_entropy(counts).mean()
    assert abs(corrected - truth) < abs(plug_in - truth) / 4


def test_it_lies_between_agreement_and_a_fair_draw():
    counts = np.random.default_rng(1).integers(0, 5, size=(200, 4))
    counts[:, :2] += 1
    entropy = rating_entropy(counts)
    assert (entropy >= 0).all()
    assert (entropy <= np.log(4)).all()


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([[1, 0]], "at least 2 raters a row, got 1 in row 0"),
        ([[1.5, 2]], "whole numbers"),
        ([[-1, 3]], "`counts`"),
        ([3, 4], r"`counts` should have shape"),
    ],
)
def test_bad_counts_are_refused(counts, message):
    with pytest.raises(ValueError, match=message):
        rating_entropy(counts)
