"""Pairs of sources: refused where rows can't be paired, adjusted over all pairs, letters in place."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from tests.evaluation.cases import classifier, regressor
from uncertain import intervals
from uncertain.evaluation.comparison import compare_methods, paired_mean
from uncertain.evaluation.judge import evaluate, judge_one
from uncertain.evaluation.pairs import compare_sources
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.row_scores import row_scores
from uncertain.families import ArrayDistribution

QUICK = {"replicates": 100}


def models(n=150, noises=(0.0, 0.6, 2.0), **facts):
    return [
        classifier(n, source=f"model {i}", seed=i, noise=noise, **facts)
        for i, noise in enumerate(noises)
    ]


def trained(source, noise, trainings=3, n=80, **facts):
    return [
        classifier(
            n, source=source, seed=10 * s + len(source), noise=noise, training=f"{s}", **facts
        )
        for s in range(trainings)
    ]


def pick(rows, metric, over="items", **facts):
    return [
        r
        for r in rows
        if r.metric == metric
        and r.over == over
        and all(getattr(r, k) == v for k, v in facts.items())
    ]


# What a difference is


@pytest.mark.parametrize("metric", ["accuracy", "nll", "brier"])
def test_a_difference_of_means_is_a_paired_t_interval(metric):
    a, b = models(noises=(0.0, 1.0))
    rows, _ = compare_sources([a, b], **QUICK)
    (row,) = pick(rows, metric)
    expected = paired_mean(row_scores(a)[metric], row_scores(b)[metric])
    assert (row.source, row.other, row.kind) == ("model 0", "model 1", "difference")
    assert (row.value, row.low, row.high) == pytest.approx(expected[:3], rel=1e-9)
    assert row.p_value == pytest.approx(expected.p_value, rel=1e-9)


def test_groups_and_weights_enter_the_difference():
    facts = {"groups": np.arange(150) // 5, "weights": 1.0 + np.arange(150) % 3}
    a, b = models(noises=(0.0, 1.0), **facts)
    (row,) = pick(compare_sources([a, b], **QUICK)[0], "nll")
    expected = paired_mean(row_scores(a)["nll"], row_scores(b)["nll"], **facts)
    assert (row.value, row.low, row.high) == pytest.approx(expected[:3], rel=1e-9)
    assert row.n_groups == 30


def test_p_values_are_holms_over_the_pairs_of_one_figure():
    cases = models()
    rows, _ = compare_sources(cases, **QUICK)
    for metric in ("accuracy", "nll", "brier", "aurc"):
        found = {(r.source, r.other): r.p_value for r in pick(rows, metric)}
        assert len(found) == 3
        raw = []
        for a, b in found:
            pair = [case for case in cases if case.source in (a, b)]
            (row,) = pick(compare_sources(pair, **QUICK)[0], metric)
            raw.append(row.p_value)
        _, adjusted, _, _ = multipletests(raw, method="holm")
        np.testing.assert_allclose(list(found.values()), adjusted, rtol=1e-9)


# Letters


def test_letters_stand_on_the_rows_they_are_about():
    cases = [
        *models(n=400, noises=(0.0, 0.05, 4.0)),
        classifier(400, split="shift:blur:1", source="model 0"),
    ]
    found = evaluate(cases, **QUICK)
    letters = {
        metric: [r.rank_group for r in found.select(metric=metric, split="test", kind="estimate")]
        for metric in ("accuracy", "nll", "brier")
    }
    tables = [row_scores(case) for case in cases[:3]]
    for metric, best in (("accuracy", "high"), ("nll", "low"), ("brier", "low")):
        expected = compare_methods([t[metric] for t in tables], best=best).letters
        assert letters[metric] == expected
    assert letters["nll"][0] == "a"
    assert letters["nll"][2] not in ("a", "")
    assert not any(r.rank_group for r in found.select(split="shift:blur:1"))
    assert not any(r.rank_group for r in found.select(metric="ece"))


def test_letters_of_several_trainings_are_over_both():
    cases = [*trained("good", 0.1), *trained("worse", 3.0)]
    found = evaluate(cases, **QUICK).select(metric="nll", kind="estimate")
    lettered = {(r.source, r.over, r.training): r.rank_group for r in found if r.rank_group}
    assert lettered == {("good", "both", ""): "a", ("worse", "both", ""): "b"}


def test_letters_are_over_items_where_one_source_has_one_training():
    cases = [*trained("good", 0.1), *trained("worse", 3.0, trainings=1)]
    found = evaluate(cases, **QUICK).select(metric="nll", kind="estimate")
    lettered = {(r.source, r.over, r.training): r.rank_group for r in found if r.rank_group}
    assert lettered == {("good", "items", ""): "a", ("worse", "items", "0"): "b"}


# Trainings


def test_differences_over_items_trainings_and_both_are_the_crossed_ones():
    a, b = trained("a", 0.1), trained("bb", 0.8)
    rows, _ = compare_sources([*a, *b], **QUICK)
    tables = [np.stack([row_scores(case)["brier"] for case in cases]) for cases in (a, b)]
    expected = intervals.crossed_difference(*tables)
    for over in ("items", "trainings", "both"):
        (row,) = pick(rows, "brier", over)
        estimate = getattr(expected, over)
        assert (row.value, row.low, row.high) == pytest.approx(estimate[:3], rel=1e-9)


def test_trainings_on_different_rows_are_paired_by_their_name():
    cases = [
        classifier(50 + k, source=s, labels_seed=k, seed=k + i, noise=i, training=f"split {k}")
        for i, s in enumerate("ab")
        for k in range(3)
    ]
    (row,) = pick(compare_sources(cases, **QUICK)[0], "nll", "trainings")
    values = [
        row_scores(cases[k])["nll"].mean() - row_scores(cases[3 + k])["nll"].mean()
        for k in range(3)
    ]
    expected = intervals.over_trainings(values, null=0.0)
    assert (row.value, row.low, row.high) == pytest.approx(expected[:3], rel=1e-9)


def test_weights_enter_differences_of_trainings_on_different_rows():
    w = 1.0 + np.arange(40) % 4
    cases = [
        classifier(40, source=s, labels_seed=k, seed=k + i, noise=i, training=str(k), weights=w)
        for i, s in enumerate("ab")
        for k in range(2)
    ]
    (row,) = pick(compare_sources(cases, **QUICK)[0], "nll", "trainings")
    means = [np.average(row_scores(case)["nll"], weights=w) for case in cases]
    assert row.value == pytest.approx(np.mean(means[:2]) - np.mean(means[2:]), rel=1e-12)


def test_trainings_that_share_no_rows_and_no_names_leave_an_undefined_row():
    cases = [
        classifier(30 + k + 5 * i, source=s, labels_seed=k, training=f"{s}{k}")
        for i, s in enumerate("ab")
        for k in range(2)
    ]
    (row,) = pick(compare_sources(cases, **QUICK)[0], "nll", "trainings")
    assert row.kind == "undefined"
    assert "fewer than two have the same name in both sources" in row.reason


def test_figures_that_are_no_means_differ_over_shared_trainings():
    cases = [*trained("a", 0.1), *trained("bb", 0.9, trainings=4)]
    figures = [row for case in cases for row in judge_one(case, replicates=100)]
    rows, _ = compare_sources(cases, figures, **QUICK)
    (row,) = [
        r for r in pick(rows, "ece_debiased", "trainings") if r.variant.startswith("equal_width")
    ]
    values = {
        (f.source, f.training): f.value
        for f in figures
        if f.metric == "ece_debiased" and f.variant == row.variant
    }
    expected = intervals.over_trainings(
        [values["a", str(k)] - values["bb", str(k)] for k in range(3)], null=0.0
    )
    assert (row.value, row.low, row.high) == pytest.approx(expected[:3], rel=1e-9)


def test_controls_are_not_compared():
    cases = []
    for s in "ab":
        cases.append(classifier(40, source=s, scores={"control:mean": np.arange(40.0)}))
        outside = {"control:mean": np.arange(20.0)}
        cases.append(classifier(20, source=s, labelled=False, split="ood:x", scores=outside))
    rows = evaluate(cases, **QUICK).select(kind="difference")
    assert {(r.source, r.other) for r in rows} == {("a", "b")}


# What is refused, and what is only said


def test_rows_are_paired_by_id():
    a, b = models(40, noises=(0.0, 1.0), row_ids=np.arange(40))
    moved = b.select(np.random.default_rng(0).permutation(40))
    assert compare_sources([a, moved], **QUICK) == compare_sources([a, b], **QUICK)


@pytest.mark.parametrize("ids", [None, np.arange(40)])
def test_rows_with_other_labels_are_not_paired(ids):
    a = classifier(40, source="a", row_ids=ids)
    b = classifier(40, source="b", labels_seed=3, row_ids=ids)
    with pytest.raises(ValueError, match=r"'a' and 'b' can't be compared: .*target"):
        compare_sources([a, b], **QUICK)


def test_other_numbers_of_rows_are_not_paired():
    with pytest.raises(ValueError, match="same rows, got 40 and 30 rows: give row ids"):
        compare_sources([classifier(40, source="a"), classifier(30, source="b")], **QUICK)


def test_classes_and_numbers_are_not_compared():
    a, b = regressor(30, source="a"), classifier(30, source="b")
    with pytest.raises(ValueError, match="one predicts numbers, the other 3 classes"):
        compare_sources([a, b], **QUICK)
    with pytest.raises(ValueError, match="one predicts 3 classes, the other 4 classes"):
        compare_sources([b, classifier(30, classes=4, source="c")], **QUICK)


def test_tasks_are_compared_apart():
    cases = [
        classifier(40, source=s, task=t, labels_seed=k, noise=k)
        for s in "ab"
        for k, t in enumerate(("x", "y"))
    ]
    rows, _ = compare_sources(cases, **QUICK)
    assert {(r.task, r.source, r.other) for r in rows} == {("x", "a", "b"), ("y", "a", "b")}


def test_an_infinite_score_leaves_the_difference_undefined():
    a = classifier(4, source="a")
    p = np.array(a.distribution.parameters["probs"])
    p[0] = np.eye(3)[(a.target[0] + 1) % 3]
    b = Predictions(ArrayDistribution("categorical", {"probs": p}), a.target, source="b")
    (row,) = pick(compare_sources([a, b], **QUICK)[0], "nll")
    assert row.kind == "undefined"
    assert "nll is infinite on a row" in row.reason


def impossible(case, source):
    """Give the first row's label probability 0, so that the NLL is infinite."""
    p = np.array(case.distribution.parameters["probs"])
    p[0] = np.eye(3)[(case.target[0] + 1) % 3]
    return dataclasses.replace(
        case, source=source, distribution=ArrayDistribution("categorical", {"probs": p})
    )


def test_an_infinite_score_leaves_the_other_pairs_as_they_were():
    good, sharp = models(n=200, noises=(0.0, 1.0))
    zero = impossible(good, "zero")
    rows, letters = compare_sources([good, sharp, zero], **QUICK)
    alone, _ = compare_sources([good, sharp], **QUICK)
    found = {(r.source, r.other): r for r in pick(rows, "nll")}
    assert found["model 0", "model 1"] == pick(alone, "nll")[0]
    assert all(found[name, "zero"].kind == "undefined" for name in ("model 0", "model 1"))
    # It takes no part in the letters either, nor in what Holm adjusts for.
    assert {key[4] for key in letters if key[2] == "nll"} == {"model 0", "model 1"}
    assert {key[4] for key in letters if key[2] == "brier"} == {"model 0", "model 1", "zero"}


def test_letters_are_left_out_where_trainings_on_different_rows_lack_a_pair():
    def split(source, noise, k):
        return classifier(
            60 + k, source=source, labels_seed=k, seed=k, noise=noise, training=f"split {k}"
        )

    a, b = ([split(s, noise, k) for k in range(4)] for s, noise in (("a", 0.0), ("b", 1.0)))
    c = [split("c", 0.5, k) for k in (0, 1)]
    rows, letters = compare_sources([*a, *b, *c], **QUICK)
    assert {key[4] for key in letters if key[2] == "nll"} == {"a", "b", "c"}
    rows, letters = compare_sources([*a, b[2], b[3], *c], **QUICK)
    compared = {(r.source, r.other) for r in pick(rows, "nll", "trainings") if r.has_interval}
    assert compared == {("a", "b"), ("a", "c")}
    assert letters == {}
    zero = [impossible(case, "zero") for case in a]
    rows, letters = compare_sources([*a, *b, *zero], **QUICK)
    assert {key[4] for key in letters if key[2] == "nll"} == {"a", "b"}


def test_one_source_is_compared_with_nothing():
    assert compare_sources([classifier(20)], **QUICK) == ([], {})
    assert compare_sources(trained("a", 0.5), **QUICK) == ([], {})


def test_families_are_compared_on_what_both_can_answer():
    a = regressor(30, source="a")
    samples = a.target[:, None] + np.random.default_rng(0).normal(size=(30, 20))
    b = dataclasses.replace(
        a, source="b", distribution=ArrayDistribution("empirical", {"samples": samples})
    )
    levels = np.array([0.1, 0.5, 0.9])
    values = np.quantile(samples, levels, axis=1).T
    c = dataclasses.replace(
        a,
        source="c",
        distribution=ArrayDistribution("quantiles", {"levels": levels, "values": values}),
    )
    rows, _ = compare_sources([a, b, c], **QUICK)
    # A density, an empirical distribution and three quantiles have CRPS of different forms.
    assert {r.metric for r in rows} == {"mae", "rmse"}
    assert {(r.source, r.other) for r in rows if r.metric == "rmse"} == {("a", "b")}


def test_a_source_without_a_figure_takes_it_from_no_other_pair():
    reg, narrow = (regressor(60, source=s, seed=i) for i, s in enumerate(("reg", "reg-narrow")))
    samples = reg.target[:, None] + np.random.default_rng(0).normal(size=(60, 20))
    sampled = ArrayDistribution("empirical", {"samples": samples})
    cases = [reg, narrow, dataclasses.replace(reg, source="samples", distribution=sampled)]
    rows, letters = compare_sources(cases, **QUICK)
    alone, _ = compare_sources(cases[:2], **QUICK)
    for metric in ("nll", "crps"):
        assert pick(rows, metric) == pick(alone, metric)
        assert {key[4] for key in letters if key[2] == metric} == {"reg", "reg-narrow"}
    assert len(pick(rows, "mae")) == 3


def test_augrc_ranks_and_calibration_does_not():
    cases = [classifier(800, seed=s, noise=n, source=f"m{s}") for s, n in ((1, 0.1), (2, 3.0))]
    found = [r for r in evaluate(cases, replicates=100) if r.kind == "estimate"]
    letters = {(r.metric, r.variant): set() for r in found}
    for row in found:
        letters[row.metric, row.variant].add(row.rank_group)
    assert letters["augrc", "error:msp"] == {"a", "b"}
    assert all(groups == {""} for (metric, _), groups in letters.items() if "ece" in metric)


def test_augrc_ranks_over_trainings():
    cases = [
        classifier(300, seed=10 * s + t, noise=n, source=f"m{s}", training=str(t))
        for s, n in ((1, 0.1), (2, 3.0))
        for t in range(3)
    ]
    found = [r for r in evaluate(cases, replicates=100) if r.rank_group and r.metric == "augrc"]
    assert {(r.source, r.over, r.training, r.rank_group) for r in found} == {
        ("m1", "trainings", "", "a"),
        ("m2", "trainings", "", "b"),
    }
