"""Every comparison after temperature scaling of all sources: on other rows, or by halves."""

import dataclasses
import io
import math

import numpy as np
import pytest

from tests.evaluation.cases import classifier, regressor
from uncertain import families
from uncertain.evaluation import (
    Results,
    Row,
    evaluate,
    evaluate_files,
    fit_temperature,
    write_report,
)
from uncertain.evaluation.console import print_results
from uncertain.evaluation.leakage import LEAK
from uncertain.evaluation.temperature_scaled import (
    SCALED,
    _cross_fitted,
    as_raw,
    is_scaled,
    scaled_rows,
)
from uncertain.families import ArrayDistribution
from uncertain.intervals import mean
from uncertain.terminal import Console

FAST = {"replicates": 100}


def sharp(case, factor):
    """Return predictions that are over-confident by a factor."""
    log_p = factor * families.class_log_probabilities(case.distribution)
    return dataclasses.replace(
        case, distribution=ArrayDistribution("categorical", {"logits": families.log_softmax(log_p)})
    )


def judged(n=400, factor=3.0, **facts):
    facts = {"source": "net", "row_ids": np.arange(n)} | facts
    return sharp(classifier(n, **facts), factor)


def validation(n=300, factor=3.0, **facts):
    facts = {"source": "net", "split": "validation", "row_ids": np.arange(n) + 10_000} | facts
    return sharp(classifier(n, labels_seed=50, **facts), factor)


def brief(cases, held, **options):
    """Return scaled figures of a judge that knows the NLL alone."""

    def judge(case):
        loss = -families.log_prob(case.distribution, case.target)
        facts = {f: getattr(case, f) for f in ("source", "split", "training", "task")}
        return [Row.from_estimate("nll", mean(loss), **facts)]

    return Results(scaled_rows(cases, held, judge=judge, **FAST, **options))


def named(results, metric, variant="", **facts):
    (row,) = [
        row
        for row in results.select(metric=metric, variant=f"{SCALED}{variant}", **facts)
        if row.kind != "null" and bool(row.other) == (facts.get("kind") == "difference")
    ]
    return row


def test_it_is_the_figure_of_the_scaled_predictions():
    case, held = judged(), validation()
    results = evaluate(case, validation=held, **FAST)
    fitted = fit_temperature(held)
    by_hand = evaluate(dataclasses.replace(fitted(case), source="net"), **FAST)
    assert {row.metric for row in as_raw(results)} >= {"nll", "brier", "ece", "ece_debiased"}
    for row in as_raw(results):
        (same,) = by_hand.select(
            metric=row.metric, variant=row.variant, kind=row.kind, split="test"
        )
        assert (row.value, row.low, row.high) == pytest.approx(
            (same.value, same.low, same.high), nan_ok=True
        )
    reason = named(results, "nll").reason
    assert (
        reason
        == f"temperature {fitted.temperatures[0]:.3g}, fitted on 300 rows of the validation split"
    )


def test_raw_figures_stay_as_they_are():
    case = judged()
    raw, both = evaluate(case, **FAST), evaluate(case, temperature_scaled=True, **FAST)
    assert Results([row for row in both if not is_scaled(row)]) == raw
    assert not any(is_scaled(row) for row in raw)
    assert "accuracy" not in {row.metric for row in both if is_scaled(row)}


def test_validation_rows_are_not_judged():
    results = evaluate(judged(), validation=[validation()], **FAST)
    assert {row.split for row in results} == {"test"}


def test_validation_among_the_predictions_is_used_and_judged_by_halves():
    results = brief([judged(), validation()], [])
    assert "of the validation split" in named(results, "nll", split="test").reason
    assert "each half of the rows" in named(results, "nll", split="validation").reason


def test_only_sharpness_between_two_sources_is_no_difference_afterwards():
    sources = [judged(source="calm", factor=1.0), judged(source="sure", factor=4.0)]
    held = [validation(source="calm", factor=1.0), validation(source="sure", factor=4.0)]
    results = evaluate(sources, validation=held, **FAST)
    raw = results.select(metric="nll", kind="difference", variant="").rows[0]
    scaled = named(results, "nll", kind="difference")
    assert raw.p_value < 1e-6
    assert abs(scaled.value) < 1e-6
    assert scaled.reason.startswith("both temperature scaled")
    # Ranking is no matter of temperature: nothing of it is repeated.
    assert {r.metric for r in results if is_scaled(r)} <= {
        r.metric for r in results if r.split == "test"
    }
    assert not any("error:" in r.variant for r in results if is_scaled(r))


class TestHalves:
    def test_the_temperature_of_each_half_comes_from_the_other(self):
        case = judged(200)
        results = evaluate(case, temperature_scaled=True, **FAST)
        row = named(results, "nll")
        assert row.reason.endswith("each half of the rows scaled by the other's")
        raw = results.select(metric="nll", variant="").rows[0]
        assert row.value < raw.value
        assert row.n == 200

    @pytest.mark.parametrize("facts", [{}, {"row_ids": None}, {"groups": np.arange(200) // 4}])
    def test_no_order_of_the_rows_changes_anything(self, facts):
        case = judged(200, **facts)
        order = np.random.default_rng(0).permutation(200)
        found = families.class_probabilities(_cross_fitted(case).case.distribution)
        turned = families.class_probabilities(_cross_fitted(case.select(order)).case.distribution)
        assert turned == pytest.approx(found[order], rel=1e-9)

    def test_the_expected_loss_is_that_of_unseen_rows(self):
        # Cross-fitting never flatters: over repetitions it is not below what the truth reaches.
        gaps = []
        for seed in range(30):
            case = sharp(classifier(100, labels_seed=seed, row_ids=np.arange(100)), 3.0)
            scaled = _cross_fitted(case).case.distribution
            truth = sharp(case, 1 / 3).distribution
            gaps.append(
                families.log_prob(truth, case.target) - families.log_prob(scaled, case.target)
            )
        gaps = np.mean(gaps, axis=1)
        assert np.mean(gaps) > -2 * np.std(gaps) / math.sqrt(30)


def test_trainings_are_averaged_like_raw_ones():
    cases = [
        judged(source=s, training=str(k), seed=k, noise=n)
        for s, n in (("a", 0.1), ("b", 0.4))
        for k in (0, 1)
    ]
    held = [
        validation(source=s, training=str(k), seed=k, noise=n)
        for s, n in (("a", 0.1), ("b", 0.4))
        for k in (0, 1)
    ]
    results = brief(cases, held)
    means = results.select(metric="nll", variant=SCALED, source="a", training="", kind="estimate")
    assert {row.over for row in means} == {"items", "trainings", "both"}
    assert all(row.reason.startswith("temperatures of each training") for row in means)
    assert any(row.rank_group for row in means)
    differences = results.select(metric="nll", variant=SCALED, kind="difference")
    assert {row.over for row in differences} == {"items", "trainings", "both"}


def test_a_source_that_can_t_be_scaled_says_why_and_leaves_the_others():
    lost = validation(source="zero")
    p = families.class_probabilities(lost.distribution)
    p[np.arange(3), lost.target[:3]] = 0
    p /= p.sum(axis=1, keepdims=True)
    lost = dataclasses.replace(lost, distribution=ArrayDistribution("categorical", {"probs": p}))
    cases = [judged(source="zero"), judged(source="net"), judged(source="other", noise=0.3)]
    results = brief(cases, [lost, validation()])
    row = named(results, "nll", source="zero")
    assert row.kind == "undefined"
    assert "give 3 of 300 labels the probability 0" in row.reason
    pairs = {(r.source, r.other) for r in results if is_scaled(r) and r.other}
    assert pairs == {("net", "other")}


def test_a_source_is_lost_with_any_of_its_trainings():
    few = classifier(9, labels_seed=50, split="validation", source="net", training="1")
    cases = [judged(training="0"), judged(training="1", seed=1)]
    results = brief(cases, [validation(training="0"), few])
    assert {r.kind for r in results if is_scaled(r)} == {"undefined"}


def test_temperatures_of_the_rows_judged_are_told():
    case = judged()
    results = evaluate(case, validation=dataclasses.replace(case, split="validation"), **FAST)
    assert named(results, "nll").reason.startswith(LEAK)
    assert not any(row.reason.startswith(LEAK) for row in results if not is_scaled(row))


def test_numbers_and_strange_rows_are_left_alone():
    results = brief([regressor(60)], [])
    assert not any(is_scaled(row) for row in results)
    strange = judged(60, split="ood:far", labelled=False)
    results = brief([judged(60), strange], [])
    assert {row.split for row in results if is_scaled(row)} == {"test"}


def test_refusals(unchecked):
    with pytest.raises(ValueError, match="`validation` should come once, got source 'net'"):
        evaluate(judged(), validation=[validation(), validation()], **FAST)
    with pytest.raises(
        ValueError, match="`validation` should belong to what is judged, got source 'o'"
    ):
        evaluate(judged(), validation=[validation(source="o")], **FAST)
    with pytest.raises(TypeError, match="should hold Predictions, got str"):
        evaluate(judged(), validation=["file"], **FAST)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for source, noise in (("a", 0.1), ("b", 0.5)):
        for case, name in (
            (judged(noise=noise), source),
            (validation(noise=noise), f"{source}-val"),
        ):
            p = families.class_probabilities(case.distribution)
            # Numbered from 0 in every file, as such files are.
            np.savez(
                folder / f"{name}.npz", probs=p, labels=case.target, row_id=np.arange(len(case))
            )
    return folder


def test_files_bring_their_validation(files):
    results = evaluate_files(
        [files / "a.npz", files / "b.npz"],
        validation=[files / "a-val.npz", files / "b-val.npz"],
        out=files / "page.html",
        **FAST,
    )
    assert "fitted on 300 rows of the validation split" in named(results, "nll", source="a").reason
    assert not any(LEAK in row.reason for row in results)
    page = (files / "page.html").read_text()
    assert "And after temperature scaling?" in page
    assert page.count("Paired differences after temperature scaling") == 1
    ids = [part.split('"')[0] for part in page.split(' id="')[1:]]
    assert len(ids) == len(set(ids))
    raw = page[: page.index("And after temperature scaling?")]
    assert SCALED not in raw
    out = io.StringIO()
    print_results(results, console=Console(file=out, width=200))
    assert "After temperature scaling of every source" in out.getvalue()


def test_files_of_validation_come_once_a_model(files):
    with pytest.raises(ValueError, match="--validation is given 1 times for 2 files"):
        evaluate_files([files / "a.npz", files / "b.npz"], validation=[files / "a-val.npz"])


def test_without_scaling_page_and_terminal_do_not_speak_of_it(tmp_path):
    results = evaluate(judged(), **FAST)
    write_report(results, [], tmp_path / "page.html", title="Net")
    assert "after temperature scaling" not in (tmp_path / "page.html").read_text()
