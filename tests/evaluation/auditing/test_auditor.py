"""An audit finds what was planted, is silent where nothing was, and names the numbers."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from tests.evaluation.cases import classifier, regressor
from uncertain.evaluation import judge
from uncertain.evaluation.auditing import AuditReport, Finding, audit, audit_files
from uncertain.evaluation.auditing import oracles as oracles_module
from uncertain.evaluation.auditing.findings import SEVERITIES
from uncertain.evaluation.auditing.inputs import check_inputs, near_copies, plain_statistics
from uncertain.evaluation.auditing.oracles import known_truths, plain_ece, recompute
from uncertain.evaluation.auditing.page import render_audit
from uncertain.evaluation.auditing.rows import check_rows, nulls
from uncertain.evaluation.auditing.splits import check_labels, check_overlap, check_run
from uncertain.evaluation.calibration import ece
from uncertain.families import ArrayDistribution
from uncertain.predictive import fitted_on


def checks(findings, severity=None):
    return [f.check for f in findings if severity in (None, f.severity)]


def with_probabilities(p, target, **facts):
    case = classifier(len(p), classes=p.shape[1], labelled=False, **facts)
    d = ArrayDistribution("categorical", {"probs": p})
    return dataclasses.replace(case, distribution=d, target=target)


# Oracles and planted truths


def test_an_honest_judge_agrees_with_its_oracles():
    strange = classifier(80, seed=4, labelled=False, split="ood:x")
    report = audit([classifier(400), strange])
    assert not report.failed
    names = {name.partition(" of ")[0].partition("[")[0] for name in report.recomputed}
    assert names == {"accuracy", "nll", "brier", "ece", "auroc", "aupr_ood_positive"}
    for judged, oracle in report.recomputed.values():
        assert judged == pytest.approx(oracle, rel=1e-9)


def test_weights_enter_the_oracles():
    found, wrong = recompute(classifier(300, weights=1.0 + np.arange(300) % 3))
    assert wrong == []
    assert len(found) == 5


def test_regressions_have_oracles_of_scoringrules():
    found, wrong = recompute(regressor(300))
    assert wrong == []
    assert {name.partition(" ")[0] for name in found} == {"crps", "rmse", "mae"}
    samples = np.random.default_rng(0).normal(size=(300, 9))
    drawn = dataclasses.replace(
        regressor(300), distribution=ArrayDistribution("empirical", {"samples": samples})
    )
    assert list(recompute(drawn)[0]) == ["rmse of model on test"]


def test_a_judge_that_is_wrong_is_caught(monkeypatch):
    def lying(case, *, replicates, compare):
        rows = [dataclasses.replace(r, value=r.value + 0.3, low=r.low + 0.3, high=r.high + 0.3)
                for r in judge.judge_one(case, replicates=replicates)]  # fmt: skip
        return oracles_module.Results(rows)

    monkeypatch.setattr(oracles_module, "evaluate", lying)
    _, wrong = recompute(classifier(200))
    assert {f.severity for f in wrong} == {"fail"}
    assert "by the oracle" in wrong[0].seen


def test_a_judge_that_misses_planted_truths_is_caught(monkeypatch):
    assert list(known_truths(rows=3000, seed=3)) == []

    def lying(case, **options):
        return [dataclasses.replace(r, value=r.value + 0.3, low=r.low + 0.3, high=r.high + 0.3)
                for r in judge.judge_one(case, **options)]  # fmt: skip

    monkeypatch.setattr(oracles_module, "judge_one", lying)
    assert set(checks(known_truths(rows=3000), "fail")) == {"known truth"}


def test_the_plain_ece_is_the_judges():
    case = classifier(500)
    p = case.distribution.parameters["probs"]
    confidence, correct = p.max(axis=1), p.argmax(axis=1) == case.target
    assert plain_ece(confidence, correct, None) == pytest.approx(ece(p, case.target).value)


def test_confidences_on_the_edges_of_bins_are_no_failure():
    rng = np.random.default_rng(0)
    p = np.round(rng.uniform(0.5, 1, 1000), 2)
    y = (rng.random(1000) < p).astype(int)
    case = with_probabilities(np.stack([1 - p, p], axis=1), y, groups=np.arange(1000) // 2)
    found, wrong = recompute(case)
    assert wrong == []
    assert "ece[equal_width,15,l1,top_label] of model on test" in found
    ones = np.array([1.0, 1.0 + 1e-6]), np.array([True, False])
    assert plain_ece(*ones, None) == pytest.approx(0.5)


def test_null_levels():
    case = classifier(500)
    found = nulls(case, [classifier(100, split="ood:x", labelled=False)])
    half = 1.96 * np.sqrt(601 / (12 * 100 * 500))
    assert found["auroc on ood:x, by a score that knows nothing"] == f"0.500 ± {half:.3f}"
    commonest = np.bincount(case.target).max() / 500
    assert found["accuracy of the commonest class"] == f"{commonest:.3f}"
    assert nulls(regressor(30), []) == {}


# Rows


def test_sizes_and_absent_classes():
    assert checks(check_rows(classifier(50))) == ["size"]
    sure = np.tile([[0.9, 0.1]], (400, 1)) + np.linspace(0, 0.01, 400)[:, None] * [1, -1]
    found = list(check_rows(with_probabilities(sure, np.zeros(400, int))))
    assert {"size", "labels"} == set(checks(found))
    assert any("Only 0 mistakes among 400 rows" in f.seen for f in found)


def test_scores_outside_their_range_and_infinite_ones():
    case = classifier(
        300, scores={"confidence": np.linspace(-1, 1, 300), "own": np.r_[np.inf, np.arange(299.0)]}
    )
    found = list(check_rows(case))
    assert ("fail", "range") in {(f.severity, f.check) for f in found}
    assert any("infinite in 1 rows" in f.seen for f in found)


def test_ties_saturation_and_copies():
    rng = np.random.default_rng(0)
    rounded = np.round(rng.dirichlet([1, 1], 400)[:, 0], 2)[:, None] * [1, -1] + [0, 1]
    with pytest.warns(UserWarning, match="repeat"):
        tied = with_probabilities(rounded, rng.integers(0, 2, 400))
    found = list(check_rows(tied))
    assert "ties" in checks(found)
    hard = np.eye(2)[rng.integers(0, 2, 400)]
    found = list(check_rows(with_probabilities(hard, rng.integers(0, 2, 400))))
    assert checks(found).count("saturation") == 2
    case = classifier(300)
    p = np.tile(case.distribution.parameters["probs"], (2, 1))
    with pytest.warns(UserWarning, match="repeat"):
        doubled = with_probabilities(p, np.tile(case.target, 2))
    assert "copies" in checks(check_rows(doubled))
    grouped = dataclasses.replace(doubled, groups=np.tile(np.arange(300), 2))
    assert "copies" not in checks(check_rows(grouped))


def test_calibration_on_the_rows_judged_fails():
    case = dataclasses.replace(
        classifier(300), fitted_on=(fitted_on("temperature", split="test", rows=300),)
    )
    (found,) = [f for f in check_rows(case) if f.severity == "fail"]
    assert found.check == "calibration on test"
    assert "temperature was fitted on 300 rows" in found.seen


# Splits


def test_shared_row_ids_fail_where_the_test_rows_are_among_them():
    test = classifier(300, row_ids=np.arange(1000, 1300))
    train = classifier(300, split="train", row_ids=np.arange(1200, 1500))
    validation = classifier(300, split="validation", row_ids=np.arange(1490, 1790))
    found = {
        f.subject: (f.severity, f.numbers["shared"])
        for f in check_overlap([test, train, validation])
    }
    assert found == {
        "model: test and train": ("fail", 100), "model: train and validation": ("warn", 10),
    }  # fmt: skip


def test_ids_that_only_count_rows_are_no_evidence():
    test = classifier(300, row_ids=np.arange(300))
    other = classifier(300, labels_seed=5, split="train", row_ids=np.arange(300))
    assert list(check_overlap([test, other])) == []
    same = classifier(300, split="train", row_ids=np.arange(300))
    assert checks(check_overlap([test, same])) == ["row overlap"]


def test_without_ids_rows_are_known_by_label_and_prediction():
    test = classifier(300)
    (found,) = check_overlap([test, classifier(300, split="validation")])
    assert (found.severity, found.check, found.numbers) == ("fail", "row overlap", {"shared": 300})
    order = np.random.default_rng(0).permutation(300)
    shuffled = dataclasses.replace(test.select(order), split="train")
    assert checks(check_overlap([test, shuffled]), "fail") == ["row overlap"]
    numbers = regressor(50), regressor(50, split="train")
    assert checks(check_overlap(numbers), "fail") == ["row overlap"]
    assert list(check_overlap([test, classifier(300, labels_seed=5, split="train")])) == []
    assert list(check_overlap([test, classifier(300, labelled=False, split="train")])) == []


def test_predictions_that_repeat_in_any_file_are_no_evidence():
    y = np.repeat(np.arange(3), 100)
    for p in (np.full((300, 3), 1 / 3), np.eye(3)[y]):
        pair = [with_probabilities(p, y, split=split) for split in ("test", "validation")]
        assert list(check_overlap(pair)) == []


def skewed(shares, split, seed, labelled=True):
    rng = np.random.default_rng(seed)
    y = rng.choice(3, size=3000, p=shares)
    p = 0.1 + 0.7 * np.eye(3)[np.where(rng.random(3000) < 0.8, y, rng.integers(0, 3, 3000))]
    p += 1e-4 * rng.random(p.shape)
    return with_probabilities(p / p.sum(1, keepdims=True), y if labelled else None, split=split)


def test_label_shift_is_seen_by_labels_and_by_predictions():
    even, tilted = [1 / 3] * 3, [0.6, 0.2, 0.2]
    test = skewed(even, "test", 0)
    assert list(check_labels([test, skewed(even, "validation", 1)])) == []
    (found,) = check_labels([test, skewed(tilted, "validation", 2)])
    assert (found.check, found.severity) == ("label shift", "warn")
    (found,) = check_labels([test, skewed(tilted, "shift:blur:1", 3, labelled=False)])
    assert "predicted classes" in found.seen
    shares = [int(s.strip(" %.")) for s in found.seen.partition("confusions about")[2].split(",")]
    np.testing.assert_allclose(shares, [60, 20, 20], atol=5)


# Inputs


def images(n=60, seed=0, size=16):
    return np.random.default_rng(seed).random((n, 1, size, size))


def test_inputs_that_are_alike_are_found():
    test = images()
    far = np.concatenate([test[:3], test[3:7] + 0.004, images(40, seed=1)])
    found = {f.check: f for f in check_inputs({"test": test, "far": far})}
    assert found["input overlap"].severity == "fail"
    assert found["input overlap"].numbers == {"shared": 3}
    assert found["near copies"].numbers == {"near": 4}
    assert (
        list(check_inputs({"test": images(), "far": images(seed=1), "near": images(seed=2)})) == []
    )


def test_near_copies_need_numbers_enough():
    x = np.random.default_rng(0).normal(size=(400, 3))
    assert near_copies(x, x + 1e-3) == 0
    table = np.random.default_rng(0).normal(size=(90, 20)) * 10.0 ** np.arange(20)
    assert near_copies(table, table[:7] * 1.001) == 7
    assert near_copies(np.ones((5, 20)), np.ones((5, 20))) == 0


def test_other_sizes_and_types_fail():
    for far in (images(size=8), images().astype(np.float32)):
        found = list(check_inputs({"test": images(), "far": far}))
        assert ("fail", "size") in {(f.severity, f.check) for f in found}


def test_a_pair_told_apart_by_its_mean_is_trivial():
    found = list(check_inputs({"test": images(), "far": 0.5 * images(seed=1)}))
    assert set(checks(found)) == {"trivial pair"}


def test_the_traces_of_a_codec_are_seen():
    far = images(seed=1, size=32)
    blocks = np.kron(np.random.default_rng(2).normal(size=(60, 1, 4, 4)), np.ones((8, 8)))
    found = list(
        check_inputs({"test": images(size=32), "far": far + 0.5 * blocks - 0.5 * blocks.mean()})
    )
    assert "codec" in checks(found)
    statistics = plain_statistics(np.moveaxis(images(4, size=32), 1, -1))
    np.testing.assert_allclose(
        statistics["total variation"], plain_statistics(images(4, size=32))["total variation"]
    )


def test_copies_within_a_set():
    x = images(20)
    assert checks(check_inputs({"train": np.concatenate([x, x[:2]])})) == ["copies"]


# Runs


def run_folder(tmp_path, **parts):
    ids = {"train": [0, 1, 2, 3], "tuning": [4, 5], "test": [6, 7]} | parts
    (tmp_path / "run.json").write_text("{}")
    folder = tmp_path / "splits" / "wine"
    folder.mkdir(parents=True)
    record = {"parts": {name: {"row_ids": rows} for name, rows in ids.items()}}
    (folder / "0.json").write_text(json.dumps(record))
    return tmp_path


def test_a_run_that_tunes_on_training_data_passes(tmp_path):
    assert list(check_run(run_folder(tmp_path))) == []
    assert not audit_files([tmp_path]).failed


@pytest.mark.parametrize(
    ("parts", "severity", "words"),
    [
        ({"tuning": [4, 6]}, "fail", "1 test rows were tuned on"),
        ({"train": [0, 7, 6]}, "fail", "2 test rows were trained on"),
        ({"tuning": [3, 4]}, "note", "1 rows were both trained and tuned on"),
    ],
)
def test_a_run_that_does_not_is_told(tmp_path, parts, severity, words):
    (found,) = check_run(run_folder(tmp_path, **parts))
    assert found.severity == severity
    assert words in found.seen


def test_a_run_that_does_not_say_fails(tmp_path):
    with pytest.raises(
        ValueError, match=r"should be the folder of a benchmark run, got no run\.json"
    ):
        list(check_run(tmp_path))
    (tmp_path / "run.json").write_text("{}")
    (found,) = check_run(tmp_path)
    assert found.severity == "fail"
    run_folder(tmp_path)
    (tmp_path / "splits" / "wine" / "1.json").write_text("[]")
    with pytest.raises(ValueError, match="is no record of a split's rows"):
        list(check_run(tmp_path))


# The report


def test_the_report_is_ordered_and_complete():
    findings = tuple(Finding(s, s, "x", f"seen {s}.") for s in reversed(SEVERITIES))
    report = AuditReport(findings, {"nll of x": (0.5, 0.5)}, {"ece of x": "0.01"})
    assert checks(report.findings) == list(SEVERITIES)
    assert report.failed
    data = json.loads(report.to_json())
    assert data["counts"] == {"fail": 1, "warn": 1, "note": 1}
    assert data["recomputed"] == {"nll of x": {"judge": 0.5, "oracle": 0.5}}
    page = render_audit(report, command="uncertain audit <x>")
    for words in ("seen fail.", "0.01", "Recomputed by other libraries", "&lt;x&gt;"):
        assert words in page
    assert "1 failures, 1 warnings, 1 notes; 1 figures recomputed" in str(report)


def test_a_control_that_tells_a_pair_apart_is_told():
    cases = [
        classifier(300, scores={"control:mean": np.linspace(0, 1, 300)}),
        classifier(60, labelled=False, split="ood:x", scores={"control:mean": np.full(60, 2.0)}),
    ]
    report = audit(cases)
    assert "trivial pair" in checks(report.findings)


def test_what_was_not_looked_for_is_said():
    strange = classifier(60, labelled=False, split="ood:x")
    x = np.random.default_rng(0).normal(size=(360, 20))
    (note,) = [f for f in audit([classifier(300), strange]).findings if f.severity == "note"]
    assert (note.check, note.subject) == ("inputs not seen", "test and x")
    assert note.remedy == "Give --inputs test=FILE and --inputs x=FILE."
    seen = audit([classifier(300), strange], inputs={"test": x[:300], "x": x[300:]})
    assert "inputs not seen" not in checks(seen.findings)


def test_nothing_to_audit_is_refused():
    with pytest.raises(ValueError, match="`predictions` should have at least one row"):
        audit([])


@pytest.mark.parametrize(
    ("others", "inputs", "words"),
    [
        ([], {"foo": 60}, "`a name of `inputs`` should be one of test, train, validation, got 'foo'"),
        ([classifier(40, split="ood:far", labelled=False)], {"fra": 40}, "did you mean far"),
        ([], {"test": 70}, "`inputs` of test should be one a predicted row, 60, got 70"),
        ([regressor(60, split="train")], {}, "train should predict 3 classes as on test, got numbers"),
        ([classifier(60, classes=4, split="train")], {}, "3 classes as on test, got 4 classes"),
    ],
)  # fmt: skip
def test_parts_that_do_not_belong_together_are_refused(others, inputs, words):
    with pytest.raises(ValueError, match=words):
        audit(
            [classifier(60), *others], inputs={n: np.zeros((rows, 4)) for n, rows in inputs.items()}
        )


def test_files_are_read_and_written(tmp_path):
    for name, case in (("test", classifier(300)), ("train", classifier(300, labels_seed=3))):
        np.savez(
            tmp_path / f"{name}.npz", probs=case.distribution.parameters["probs"],
            labels=case.target, row_id=np.arange(300) + 7,
        )  # fmt: skip
    np.savez(tmp_path / "x.npz", inputs=images(300))
    np.save(tmp_path / "far.npy", images(300, seed=1, size=8))
    report = audit_files(
        [tmp_path / "test.npz"], train=tmp_path / "train.npz",
        ood=[("far", tmp_path / "train.npz")],
        inputs=[("test", tmp_path / "x.npz"), ("far", tmp_path / "far.npy")],
        json=tmp_path / "a.json", out=tmp_path / "a.html",
    )  # fmt: skip
    assert {"row overlap", "size"} <= set(checks(report.findings, "fail"))
    assert json.loads((tmp_path / "a.json").read_text())["counts"] == report.counts
    assert "<!DOCTYPE html>" in (tmp_path / "a.html").read_text()
    bare = classifier(300)
    np.savez(tmp_path / "bare.npz", probs=bare.distribution.parameters["probs"], labels=bare.target)
    again = audit_files([tmp_path / "bare.npz"], validation=tmp_path / "bare.npz")
    assert "row overlap" in checks(again.findings, "fail")
    np.savez(tmp_path / "y.npz", a=np.ones(2), b=np.ones(2))
    with pytest.raises(ValueError, match="it should hold `inputs` or `x`, got a, b"):
        audit_files([tmp_path / "test.npz"], inputs=[("test", tmp_path / "y.npz")])
