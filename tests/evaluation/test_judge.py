"""The judge: the same figures as other libraries, the same bits for any order of rows and sources."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.evaluation.cases import (
    classifier,
    figures,
    labels_of,
    probabilities_of,
    regressor,
    value,
)
from uncertain import families, predictive
from uncertain.evaluation.distributions import from_distribution
from uncertain.evaluation.judge import evaluate, judge_one
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.readers import read_predictions
from uncertain.families import ArrayDistribution

pytestmark = pytest.mark.usefixtures("unchecked_module")

QUICK = {"replicates": 100}
PHASES = (Phase.explicit, Phase.generate)
"""No shrinking: a judgement takes a tenth of a second, and a failing order is as good as another."""


def bits(results):
    """Return a table's numbers as they are, to be compared without any tolerance."""
    return {
        key: [np.float64(x).tobytes() for x in (row.value, row.low, row.high)]
        for key, row in figures(results).items()
    }


def assert_close(first, second, tolerance=1e-12):
    one, two = figures(first), figures(second)
    assert one.keys() == two.keys()
    for key, row in one.items():
        assert row.kind == two[key].kind
        for end in ("value", "low", "high"):
            np.testing.assert_allclose(
                getattr(row, end),
                getattr(two[key], end),
                rtol=tolerance,
                atol=tolerance,
                err_msg=key,
            )


# Against other libraries


@pytest.mark.parametrize("name", ["wideresnet-16-4-cifar-10", "lenet-5-cifar-10"])
def test_recorded_predictions_agree_with_scikit_learn(data_dir, name):
    case = read_predictions(data_dir(f"{name}.npz") / f"{name}.npz")
    p, y = case.distribution.parameters["probs"].astype(np.float64), np.asarray(case.target)
    p /= p.sum(axis=1, keepdims=True)  # scikit-learn asks more of float64 than float32 can keep
    case = dataclasses.replace(case, distribution=ArrayDistribution("categorical", {"probs": p}))
    found = evaluate(case, **QUICK)
    wrong = p.argmax(1) != y
    oracle = {
        ("accuracy", ""): sklearn.metrics.accuracy_score(y, p.argmax(1)),
        ("nll", ""): float(np.mean(-np.log(p[np.arange(len(y)), y]))),
        ("brier", ""): sklearn.metrics.brier_score_loss(y, p, scale_by_half=False),
        ("auroc", "error:msp"): sklearn.metrics.roc_auc_score(wrong, 1 - p.max(1)),
        ("aupr_error_positive", "error:msp"): sklearn.metrics.average_precision_score(
            wrong, 1 - p.max(1)
        ),
        ("aupr_correct_positive", "error:msp"): sklearn.metrics.average_precision_score(
            ~wrong, p.max(1) - 1
        ),
    }
    for (metric, variant), expected in oracle.items():
        assert value(found, metric, variant=variant) == pytest.approx(expected, abs=1e-12), metric
    if p.min() > np.finfo(float).eps:  # scikit-learn clips what is smaller, we never do
        assert value(found, "nll") == pytest.approx(sklearn.metrics.log_loss(y, p), abs=1e-12)


@given(st.integers(0, 10**6))
@settings(max_examples=10, phases=PHASES)
def test_random_predictions_agree_with_scikit_learn(seed):
    p = probabilities_of(200, 4, seed, concentration=3.0)
    y = labels_of(p, seed)
    found = evaluate(Predictions(ArrayDistribution("categorical", {"probs": p}), y), **QUICK)
    wrong, entropy = p.argmax(1) != y, -(p * np.log(p)).sum(1)
    assert value(found, "nll") == pytest.approx(sklearn.metrics.log_loss(y, p), abs=1e-12)
    expected = sklearn.metrics.roc_auc_score(wrong, entropy)
    assert value(found, "auroc", variant="error:entropy") == pytest.approx(expected, abs=1e-12)


# The path from torch


def torch_cases():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(80, 3, dtype=torch.float64, generator=generator) * 2
    members = torch.randn(80, 4, 3, dtype=torch.float64, generator=generator)
    y = torch.randint(0, 3, (80,), generator=generator)
    loc = torch.randn(80, 4, dtype=torch.float64, generator=generator)
    scale = torch.rand(80, 4, dtype=torch.float64, generator=generator) + 0.3
    real = torch.randn(80, dtype=torch.float64, generator=generator)
    p, ps = torch.softmax(logits, -1).numpy(), torch.softmax(members, -1).numpy()
    equal = np.full((80, 4), 0.25)
    D = torch.distributions
    return {
        "categorical": (
            D.Categorical(logits=logits),
            ArrayDistribution("categorical", {"probs": p}),
            y,
        ),
        "mixture": (
            predictive.mixture(D.Categorical(logits=members)),
            ArrayDistribution("categorical", {"probs": ps}, equal),
            y,
        ),
        "normal": (
            D.Normal(loc[:, 0], scale[:, 0]),
            ArrayDistribution("normal", {"loc": loc[:, 0].numpy(), "scale": scale[:, 0].numpy()}),
            real,
        ),
        "mixture of normals": (
            predictive.mixture(D.Normal(loc, scale)),
            ArrayDistribution("normal", {"loc": loc.numpy(), "scale": scale.numpy()}, equal),
            real,
        ),
    }


@pytest.mark.parametrize("name", ["categorical", "mixture", "normal", "mixture of normals"])
def test_distributions_and_arrays_give_the_same_figures(name):
    distribution, arrays, y = torch_cases()[name]
    judged = evaluate(from_distribution(distribution, y), **QUICK)
    assert_close(judged, evaluate(Predictions(arrays, y.numpy()), **QUICK))


# The same bits, whatever the order


@functools.cache
def known_and_strange(grouped, weighted):
    """Return two models' cases of rows with and without labels, and the bits of their judgement."""
    facts = {"groups": np.arange(40) // 3} if grouped else {}
    facts |= {"weights": np.random.default_rng(2).random(40)} if weighted else {}
    cases = [
        classifier(40, source="a", noise=0.4, **facts),
        classifier(40, source="b", seed=1, noise=1.2, **facts),
    ]
    cases += [
        dataclasses.replace(case, target=None, split="ood:x", row_ids=np.arange(40))
        for case in cases
    ]
    return cases, bits(evaluate(cases, **QUICK))


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@given(st.permutations(range(40)))
@settings(max_examples=3, phases=PHASES)
def test_no_order_of_rows_changes_a_bit(grouped, weighted, order):
    cases, plain = known_and_strange(grouped, weighted)
    moved = [case.select(list(order)) for case in cases]
    assert bits(evaluate(moved, **QUICK)) == plain


@functools.cache
def trainings():
    """Return three trainings of two models each, and the bits of their judgement."""
    cases = [
        classifier(30, source=source, seed=5 * k + len(source), noise=1.0, training=f"{k}")
        for source in ("a", "bb")
        for k in range(3)
    ]
    return cases, bits(evaluate(cases, **QUICK))


@given(st.permutations(range(30)), st.permutations(range(6)))
@settings(max_examples=6, phases=PHASES)
def test_no_order_of_rows_or_trainings_changes_a_bit_of_their_mean(order, listing):
    cases, plain = trainings()
    moved = [cases[i].select(list(order)) for i in listing]
    assert bits(evaluate(moved, **QUICK)) == plain


@given(st.permutations(range(20)))
@settings(max_examples=5, phases=PHASES)
def test_rows_with_ids_may_come_in_another_order_in_each_file(order):
    cases = [regressor(20, source=s, seed=i, row_ids=np.arange(20)) for i, s in enumerate("ab")]
    moved = [cases[0], cases[1].select(list(order))]
    assert bits(evaluate(moved, **QUICK)) == bits(evaluate(cases, **QUICK))


@given(st.permutations(range(3)))
@settings(max_examples=6, phases=PHASES)
def test_no_order_of_sources_changes_a_bit(order):
    cases = [regressor(25, source=s, seed=i, noise=0.2 + i) for i, s in enumerate("abc")]
    assert bits(evaluate([cases[i] for i in order], **QUICK)) == bits(evaluate(cases, **QUICK))


@given(st.lists(st.integers(1, 39), max_size=4, unique=True))
@settings(max_examples=6, phases=PHASES)
def test_no_batching_changes_a_bit(cuts):
    case = classifier(40, noise=0.8)
    chunks = np.split(np.arange(40), sorted(cuts))
    joined = families.concat([families.select(case.distribution, chunk) for chunk in chunks])
    whole = dataclasses.replace(case, distribution=joined)
    assert bits(evaluate(whole, **QUICK)) == bits(evaluate(case, **QUICK))


@given(st.lists(st.integers(1, 29), max_size=3, unique=True))
@settings(max_examples=4, phases=PHASES)
def test_no_batching_of_a_torch_distribution_changes_a_bit(cuts):
    logits = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    y = torch.arange(30) % 3
    whole = torch.distributions.Categorical(logits=logits)
    parts = [torch.distributions.Categorical(logits=z) for z in logits.tensor_split(sorted(cuts))]
    joined = predictive.concat(parts)
    one, two = (evaluate(from_distribution(d, y), **QUICK) for d in (whole, joined))
    assert bits(one) == bits(two)


# Weights and groups

POINTS = ("accuracy", "nll", "brier", "ece", "auroc", "aurc", "aupr_error_positive")


def doubled(case, times):
    rows = np.repeat(np.arange(len(case)), times)
    target = None if case.target is None else case.target[rows]
    d = families.select(case.distribution, rows)
    return Predictions(
        d, target, source=case.source, split=case.split, groups=rows, scores={}
    ), dataclasses.replace(case, weights=times.astype(float))


@given(st.lists(st.integers(1, 3), min_size=24, max_size=24), st.integers(0, 99))
@settings(max_examples=6, phases=PHASES)
def test_a_row_of_weight_two_counts_as_two_rows(times, seed):
    times = np.array(times)
    pairs = [
        doubled(classifier(24, seed=seed, noise=1.5), times),
        doubled(
            classifier(24, seed=seed, labels_seed=3, noise=1.0, labelled=False, split="ood:x"),
            times,
        ),
    ]
    copies, weighted = (evaluate(list(cases), **QUICK) for cases in zip(*pairs, strict=True))
    found = figures(weighted)
    # Nulls and debiased errors are about the noise of rows; bins of equal mass fall elsewhere.
    exact = {"accuracy", "nll", "brier", "ece", "auroc", "aurc"}
    exact |= {m for m in {key[0] for key in found} if m.startswith(("aupr", "fpr95"))}
    for key, row in figures(copies).items():
        if key[0] in exact and not key[1].startswith("equal_mass"):
            np.testing.assert_allclose(found[key].value, row.value, rtol=1e-9, atol=1e-12)


def test_regression_of_weight_two_counts_as_two_rows():
    times = np.arange(30) % 3 + 1
    copies, weighted = doubled(regressor(30), times)
    one, two = (figures(evaluate(case, **QUICK)) for case in (copies, weighted))
    for key, row in one.items():
        if key[0] != "pit_ks":
            np.testing.assert_allclose(two[key].value, row.value, rtol=1e-12)


@pytest.mark.parametrize("make", [classifier, regressor])
def test_groups_of_one_row_are_no_groups(make):
    case = make(50)
    grouped = dataclasses.replace(case, groups=np.random.default_rng(0).permutation(50))
    assert evaluate(grouped, **QUICK) == evaluate(case, **QUICK)


def test_copies_in_one_group_leave_the_interval_as_it_was():
    case = classifier(200, noise=1.0)
    copies, _ = doubled(case, np.full(200, 4))
    one, two = evaluate(case, **QUICK), evaluate(copies, **QUICK)
    for metric in ("nll", "brier"):
        (a,), (b,) = one.select(metric=metric), two.select(metric=metric)
        assert (b.low, b.high) == pytest.approx((a.low, a.high), rel=1e-6)
        assert b.n_groups == 200


# What cannot be judged


def test_one_class_of_outcomes_leaves_rows_undefined_with_the_reason():
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    perfect = Predictions(ArrayDistribution("categorical", {"probs": p}), np.zeros(3, int))
    rows = evaluate(perfect, **QUICK).select(variant="error:msp")
    undefined = {row.metric: row.reason for row in rows if row.kind == "undefined"}
    assert {"auroc", "aupr_error_positive", "fpr95_error_positive"} <= undefined.keys()
    assert all("positive" in reason or "class" in reason for reason in undefined.values())
    assert value(rows, "aurc") == 0


def test_an_infinite_likelihood_is_said_with_the_count():
    p = np.array([[1.0, 0.0], [0.4, 0.6], [1.0, 0.0]])
    case = Predictions(ArrayDistribution("categorical", {"probs": p}), np.array([1, 1, 1]))
    (row,) = evaluate(case, **QUICK).select(metric="nll")
    assert row.value == math.inf
    assert row.reason == "the true class has probability 0 in 2 of 3 rows"
    assert not row.has_interval


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        ([], "`predictions` .*empty|`predictions` should"),
        ([classifier(5), classifier(5, seed=1)], "should come once, got source 'model'"),
        ([classifier(5, labelled=False, split="ood:x")], "has no `test` split to be told apart"),
        ([classifier(5, labelled=False)], "should have labels to be judged by"),
        (
            [classifier(5), classifier(5, training="1")],
            "`training` should be named for every training of source 'model'",
        ),
        (
            [classifier(5), classifier(5, labelled=False, split="ood:x", training="1")],
            "has no `test` split",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused(cases, message):
    with pytest.raises(ValueError, match=message):
        evaluate(cases)


@pytest.mark.parametrize(
    ("facts", "message"),
    [({"level": 1.0}, "level"), ({"replicates": 99}, "`replicates`"), ({"level": 0.0}, "level")],
)
def test_options_out_of_range_are_refused(facts, message):
    with pytest.raises(ValueError, match=message):
        evaluate(classifier(5), **facts)


def test_other_things_than_predictions_are_refused():
    with pytest.raises(TypeError, match="should hold Predictions, got ndarray: make them with"):
        evaluate([np.eye(2)])


# What the table holds


def test_every_labelled_split_is_judged_and_the_command_is_kept():
    shifted = classifier(40, noise=2.0, split="shift:blur:3")
    found = evaluate([classifier(40), shifted], command="uncertain evaluate a.npz", **QUICK)
    assert found.metadata["command"] == "uncertain evaluate a.npz"
    assert found.metadata["seed"] == "0"
    for split in ("test", "shift:blur:3"):
        assert {"accuracy", "ece_debiased", "auroc"} <= {
            r.metric for r in found.select(split=split)
        }


def test_strange_rows_with_labels_are_not_judged_on_them():
    cases = [classifier(30), classifier(30, labels_seed=4, split="ood:x")]
    assert {r.metric for r in evaluate(cases, **QUICK).select(split="ood:x")} == {
        "auroc",
        "aupr_ood_positive",
        "aupr_id_positive",
        "fpr95_ood_positive",
        "scod_cost",
    }


def test_an_unlabelled_test_split_still_tells_strange_rows_apart():
    cases = [classifier(30, labelled=False), classifier(20, labelled=False, split="ood:x")]
    assert {row.split for row in evaluate(cases, **QUICK)} == {"ood:x"}


def test_comparison_can_be_left_out():
    cases = [classifier(30, source="a"), classifier(30, source="b", noise=1.0)]
    assert evaluate(cases, compare=False, **QUICK).select(kind="difference").rows == ()
    assert all(not row.rank_group for row in evaluate(cases, compare=False, **QUICK))


def test_one_set_of_predictions_needs_no_list():
    assert evaluate(classifier(20), **QUICK) == evaluate([classifier(20)], **QUICK)
    assert evaluate(iter([classifier(20)]), **QUICK) == evaluate([classifier(20)], **QUICK)


def test_the_level_is_the_intervals():
    wide, narrow = (evaluate(classifier(80), level=level, **QUICK) for level in (0.99, 0.5))
    assert {row.level for row in wide} == {0.99}
    (a,), (b,) = wide.select(metric="nll"), narrow.select(metric="nll")
    assert a.low < b.low < b.high < a.high


def test_judge_one_gives_the_rows_of_one_split():
    rows = judge_one(classifier(30, source="net", task="pets", training="2"), replicates=100)
    assert {(row.source, row.task, row.training) for row in rows} == {("net", "pets", "2")}
    assert {row.kind for row in rows} == {"estimate", "null"}
