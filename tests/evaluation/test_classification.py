"""Accuracy, NLL and Brier: closed forms, scikit-learn, and bits that no batching or order moves."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from uncertain import intervals
from uncertain.evaluation.classification import (
    ClassificationState,
    accuracy,
    brier,
    nll,
    row_scores,
)

RECORDED = ("wideresnet-16-4-cifar-10.npz", "lenet-5-cifar-10.npz")


def rows(n=200, classes=4, seed=0, dtype=np.float64, sharp=0.5):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(classes, sharp), n).astype(dtype)
    return p, rng.integers(0, classes, n)


def recorded(data_dir, name):
    with np.load(data_dir(name) / name) as file:
        return file["predictions"].astype(np.float64), file["ground_truth"]


def normalised(p):
    # scikit-learn renormalises rows before it takes logarithms; so that the same is compared.
    return p / p.sum(axis=1, keepdims=True)


def assert_like_sklearn(p, y):
    labels = np.arange(p.shape[1])
    assert accuracy(p, y).value == metrics.accuracy_score(y, p.argmax(axis=1))
    assert nll(p, y).value == pytest.approx(metrics.log_loss(y, p, labels=labels), rel=1e-12)
    theirs = metrics.brier_score_loss(y, p, labels=labels, scale_by_half=False)
    assert brier(p, y).value == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
def test_agrees_with_scikit_learn(classes):
    p, y = rows(3000, classes)
    assert_like_sklearn(normalised(np.maximum(p, 1e-12)), y)


@pytest.mark.data
@pytest.mark.parametrize("name", RECORDED)
def test_agrees_with_scikit_learn_on_recorded_predictions(data_dir, name):
    p, y = recorded(data_dir, name)
    p = normalised(p)
    assert p.min() > 0  # 7e-23 in one of them: scored, not clamped
    labels = np.arange(10)
    kept = p[np.arange(len(y)), y] > 1e-15  # scikit-learn clips below float64's epsilon
    assert_like_sklearn(p[kept], y[kept])
    ours = row_scores(p, y).nll
    assert ours.sum() >= metrics.log_loss(y, p, labels=labels, normalize=False) - 1e-9
    np.testing.assert_allclose(ours, -np.log(p[np.arange(len(y)), y]), rtol=1e-14)


def test_brier_is_summed_over_classes_where_others_halve_or_average():
    p, y = rows(500, 2)
    halved = metrics.brier_score_loss(y, p[:, 1], scale_by_half=True)
    assert brier(p, y).value == pytest.approx(2 * halved, rel=1e-12)
    mean = np.mean((p - np.eye(2)[y]) ** 2)
    assert brier(p, y).value == pytest.approx(2 * mean, rel=1e-12)


def test_intervals_are_wilson_and_t():
    p, y = rows()
    scores = row_scores(p, y)
    assert accuracy(p, y) == intervals.wilson(int(scores.correct.sum()), len(y))
    for found, values in ((nll(p, y), scores.nll), (brier(p, y), scores.brier)):
        wanted = intervals.mean(values)
        assert found.value == pytest.approx(wanted.value, rel=1e-14)
        assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), rel=1e-12)


@pytest.mark.parametrize("metric", [nll, brier])
def test_weight_k_is_k_copies_of_a_row_in_its_group(metric):
    p, y = rows(40)
    k = np.arange(40) % 3 + 1
    weighted = metric(p, y, weights=k, groups=np.arange(40))
    copies = metric(p.repeat(k, 0), y.repeat(k), groups=np.arange(40).repeat(k))
    assert weighted[:3] == pytest.approx(copies[:3], rel=1e-9)


@pytest.mark.parametrize("metric", [nll, brier])
def test_groups_widen_the_interval_of_repeated_rows(metric):
    p, y = rows(50)
    once = metric(p, y)
    repeated = metric(np.tile(p, (4, 1)), np.tile(y, 4), groups=np.tile(np.arange(50), 4))
    assert repeated.n_groups == 50
    assert repeated[:3] == pytest.approx(once[:3], rel=1e-9)


def test_probability_zero_is_infinite_and_counted():
    p, y = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]), np.array([0, 1, 1])
    for extra in ({}, {"weights": np.ones(3)}, {"groups": [0, 1, 1]}):
        found = nll(p, y, **extra)
        assert found.value == math.inf
        assert math.isnan(found.low)
        assert found.reason == "the true class has probability 0 in 2 of 3 rows"
    assert math.isfinite(nll(p, y, weights=[0, 1, 0]).value)
    assert brier(p, y).value == pytest.approx((2 + 0.5 + 2) / 3)


def test_log_probabilities_keep_what_underflows():
    logs = np.array([[-800.0, 0.0], [0.0, -800.0]])
    assert nll(np.exp(logs), [0, 0]).value == math.inf
    assert nll(np.exp(logs), [0, 0], log_probabilities=logs).value == 400.0


def test_ties_go_to_the_first_class_and_a_score_of_zero_has_no_sign():
    assert row_scores([[0.5, 0.5]], [0]).correct.tolist() == [True]
    assert row_scores([[0.5, 0.5]], [1]).correct.tolist() == [False]
    assert math.copysign(1, row_scores([[1.0, 0.0]], [0]).nll[0]) == 1


@settings(max_examples=60)
@given(
    n=st.integers(1, 40),
    classes=st.sampled_from([1, 2, 3, 8, 9, 17]),
    cuts=st.lists(st.integers(0, 40), max_size=4),
    dtype=st.sampled_from([np.float32, np.float64]),
    kind=st.sampled_from(["plain", "weights", "groups", "both"]),
    seed=st.integers(0, 1000),
)
def test_any_batching_order_sharding_and_memory_layout_gives_the_same_bits(
    n, classes, cuts, dtype, kind, seed
):
    p, y = rows(n, classes, seed, dtype)
    rng = np.random.default_rng(seed)
    extra = {}
    if kind in ("weights", "both"):
        extra["weights"] = rng.random(n) + 0.1
    if kind in ("groups", "both"):
        extra["groups"] = rng.integers(0, 6, n)
    whole = ClassificationState().update(p, y, **extra).compute()
    order = rng.permutation(n)
    p = np.asfortranarray(p[order])
    parts = []
    for part in np.split(np.arange(n), sorted(min(cut, n) for cut in cuts)):
        columns = {name: column[order][part] for name, column in extra.items()}
        parts.append(ClassificationState())
        if len(part):
            parts[-1].update(p[part], y[order][part], **columns)
    merged = ClassificationState()
    for part in rng.permutation(np.array(parts, dtype=object)):
        merged.merge(part)
    assert repr(merged.compute()) == repr(whole)


def test_a_chunk_boundary_leaves_no_trace():
    p, y = rows(70_000, 5)
    whole = row_scores(p, y)
    for start in (0, 52_000, 69_990):
        part = row_scores(p[start : start + 10], y[start : start + 10])
        for column, small in zip(whole, part, strict=True):
            assert column[start : start + 10].tobytes() == small.tobytes()


@pytest.mark.parametrize("metric", [nll, brier])
def test_proper_scores_are_best_at_the_truth(metric):
    rng = np.random.default_rng(0)
    truth = rng.dirichlet(np.ones(3), 20_000)
    y = (rng.random(20_000)[:, None] > truth.cumsum(axis=1)).sum(axis=1)
    best = metric(truth, y).value
    for other in (
        truth**1.5 / (truth**1.5).sum(axis=1, keepdims=True),  # over-confident
        truth**0.7 / (truth**0.7).sum(axis=1, keepdims=True),  # under-confident
        0.9 * truth + 0.1 * np.roll(truth, 1, axis=1),
    ):
        assert metric(other, y).value > best


def test_empty_parts_merge_and_mixed_parts_are_refused():
    p, y = rows(6)
    state = ClassificationState().update(p, y)
    assert ClassificationState().merge(state).compute() == state.compute()
    with pytest.raises(ValueError, match="in every update or in none"):
        state.update(p, y, weights=np.ones(6))
    with pytest.raises(ValueError, match="in every update or in none"):
        ClassificationState().update(p, y, groups=np.arange(6)).update(p, y)
    with pytest.raises(ValueError, match="in every update or in none"):
        state.merge(ClassificationState().update(p, y, groups=np.arange(6)))
    with pytest.raises(ValueError, match="in every update or in none"):
        (
            ClassificationState()
            .update(p, y, groups=np.arange(6))
            .update(p, y, weights=np.ones(6))
            .compute()
        )


def test_bad_input_is_named():
    p, y = rows(5)
    with pytest.raises(ValueError, match="`probabilities` should have shape"):
        accuracy(p[0], y)
    with pytest.raises(ValueError, match="at least one row"):
        accuracy(p[:0], y[:0])
    with pytest.raises(ValueError, match="as many rows as each other"):
        accuracy(p, y[:3])
    with pytest.raises(ValueError, match="`labels` should be class indices from 0 to 3"):
        accuracy(p, y + 4)
    with pytest.raises(TypeError, match="whole class indices"):
        accuracy(p, np.array(["a"] * 5))
    with pytest.raises(ValueError, match="if these are logits"):
        accuracy(p * 7 - 1, y)
    with pytest.raises(ValueError, match="sum to 1 within"):
        accuracy(p * 0.9, y)
    with pytest.raises(ValueError, match="`probabilities` should be finite"):
        accuracy(np.where(p == p.max(), np.nan, p), y)
    with pytest.raises(ValueError, match="`log_probabilities` should have shape"):
        nll(p, y, log_probabilities=np.log(p[:3]))
    with pytest.raises(ValueError, match="`log_probabilities` should lie in"):
        nll(p, y, log_probabilities=p + 1)
    with pytest.raises(ValueError, match="`weights` should"):
        nll(p, y, weights=-np.ones(5))
    with pytest.raises(ValueError, match="`groups` should have shape"):
        nll(p, y, groups=np.ones(3))
    with pytest.raises(ValueError, match="`level` should lie in"):
        nll(p, y, level=1.0)
