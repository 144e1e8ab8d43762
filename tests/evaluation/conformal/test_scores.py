"""The quantile: closed forms, weights, groups, and too few rows."""

import math

import numpy as np
import pytest

from uncertain.evaluation.conformal import calibration_scores

S = np.arange(1.0, 20.0)


@pytest.mark.parametrize(("n", "alpha"), [(19, 0.1), (99, 0.05), (100, 0.1), (9, 0.1), (37, 0.33)])
def test_the_threshold_is_the_order_statistic(n, alpha):
    scores = np.random.default_rng(0).permutation(n).astype(float) + 1
    k = math.ceil(round((n + 1) * (1 - alpha), 9))
    assert calibration_scores(scores, alpha=alpha).thresholds(1)[0] == k


def test_too_few_rows_give_an_infinite_threshold():
    assert calibration_scores(S[:8], alpha=0.1).thresholds(2).tolist() == [math.inf] * 2
    assert calibration_scores(S[:9], alpha=0.1).thresholds(1)[0] == 9
    assert calibration_scores(S[:98], alpha=0.01).thresholds(1)[0] == math.inf


def test_equal_weights_are_no_weights():
    weighted = calibration_scores(S, alpha=0.1, weights=np.full(19, 0.3))
    plain = calibration_scores(S, alpha=0.1)
    assert weighted.thresholds(3, weights=np.full(3, 0.3)).tolist() == plain.thresholds(3).tolist()


def slow(scores, weights, own, alpha):
    """Tibshirani et al. 2019: the quantile of a weighted sample with a point at infinity."""
    total = weights.sum() + own
    reached = 0.0
    for s, w in sorted(zip(scores, weights, strict=True)):
        reached += w / total
        if reached >= 1 - alpha:
            return s
    return math.inf


def test_weighted_thresholds_are_the_paper_s():
    rng = np.random.default_rng(0)
    scores, weights, own = (
        rng.normal(size=50),
        rng.exponential(size=50),
        rng.exponential(size=20) * 20,
    )
    found = calibration_scores(scores, alpha=0.2, weights=weights).thresholds(20, weights=own)
    expected = [slow(scores, weights, w, 0.2) for w in own]
    assert found.tolist() == expected
    assert math.inf in expected


def test_each_group_has_its_own_threshold_and_an_unknown_one_none():
    groups = np.repeat(["a", "b"], 19)
    scores = calibration_scores(np.concatenate([S, 10 * S]), alpha=0.1, groups=groups)
    found = scores.thresholds(3, groups=["b", "a", "c"])
    assert found.tolist() == [180.0, 18.0, math.inf]
    assert len(scores) == 38


def test_infinite_scores_are_scores():
    assert calibration_scores(np.append(S, math.inf), alpha=0.01).thresholds(1)[0] == math.inf
    assert calibration_scores(np.append(S, -math.inf), alpha=0.5).thresholds(1)[0] == 10


def test_refusals():
    for alpha in (0.0, 1.0):
        with pytest.raises(ValueError, match="`alpha` should lie in"):
            calibration_scores(S, alpha=alpha)
    with pytest.raises(ValueError, match="`scores` should have at least one row"):
        calibration_scores(S[:0], alpha=0.1)
    with pytest.raises(ValueError, match="`scores` should be finite, got 1 NaN"):
        calibration_scores(np.append(S, np.nan), alpha=0.1)
    with pytest.raises(ValueError, match="`weights` should lie in"):
        calibration_scores(S, alpha=0.1, weights=-S)
    with pytest.raises(ValueError, match="`groups` should have shape"):
        calibration_scores(S, alpha=0.1, groups=["a"])
    plain = calibration_scores(S, alpha=0.1)
    with pytest.raises(
        ValueError, match=r"`weights` should be given exactly where .* had none, got them"
    ):
        plain.thresholds(1, weights=[1.0])
    grouped = calibration_scores(S, alpha=0.1, groups=np.zeros(19))
    with pytest.raises(
        ValueError, match=r"`groups` should be given exactly where .* had them, got none"
    ):
        grouped.thresholds(1)
