"""Verdicts: what is said of a difference, over which family, and how much data it would take."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest

from tests.evaluation.cases import classifier
from uncertain import intervals
from uncertain.evaluation.comparing import compare, compare_stored, needed_factor, overall, verdicts
from uncertain.evaluation.comparing_files import compare_files
from uncertain.evaluation.judge import evaluate
from uncertain.evaluation.results import Results, Row

QUICK = {"replicates": 100}


def models(n=300, noises=(0.0, 0.2, 3.0), **facts):
    return [
        classifier(n, source=f"m{i}", seed=i, noise=noise, **facts)
        for i, noise in enumerate(noises)
    ]


def test_differences_are_those_of_the_judge():
    cases = models()
    found = compare(cases, **QUICK)
    expected = evaluate(cases, **QUICK)
    assert found.select(kind="difference").rows == expected.select(kind="difference").rows
    letters = [r.rank_group for r in found.select(metric="nll", kind="estimate")]
    assert letters == [r.rank_group for r in expected.select(metric="nll", kind="estimate")]
    assert letters[0] == "a"
    assert found.metadata["p-values"] == "Holm over the pairs and tasks of each figure"


def test_all_figures_together_are_one_family():
    cases = models(noises=(0.0, 0.3))
    apart = compare(cases, metrics=["accuracy", "nll", "brier"], **QUICK)
    raw = {r.metric: r.p_value for r in apart.select(kind="difference")}
    together = compare(cases, metrics=["accuracy", "nll", "brier"], family="all", **QUICK)
    found = {r.metric: r.p_value for r in together.select(kind="difference")}
    expected = dict(zip(raw, intervals.holm(list(raw.values())), strict=True))
    assert found == pytest.approx(expected)


def test_letters_rest_on_the_figures_that_were_asked_for():
    found = compare(models(), metrics=["nll"], **QUICK)
    assert {r.metric for r in found.select(kind="difference")} == {"nll"}
    assert {r.metric for r in found if r.rank_group} == {"nll"}


def test_verdicts_name_the_lower_or_what_it_would_take():
    found = {(v.row.source, v.row.other): v for v in verdicts(compare(models(), **QUICK))
             if v.row.metric == "nll"}  # fmt: skip
    assert found["m0", "m2"].lower == "m0"
    assert found["m0", "m2"].text.startswith("nll: m0 is lower than m2 by ")
    weak = [v for v in verdicts(compare(models(60, (0.0, 0.05)), **QUICK)) if v.row.metric == "nll"]
    assert weak[0].lower == ""
    assert "are not told apart" in weak[0].text
    assert "rows would be needed" in weak[0].text


def test_the_rows_that_would_be_needed_do_tell():
    rng = np.random.default_rng(0)
    true, error = 0.1, 1.0
    row = Row("nll", true, true - 1.96 * error / 10, true + 1.96 * error / 10, kind="difference",
              source="a", other="b", n=100)  # fmt: skip
    n = round(100 * needed_factor(row))
    told = [
        abs(rng.normal(true, error / math.sqrt(n))) > 1.96 * error / math.sqrt(n)
        for _ in range(2000)
    ]
    assert np.mean(told) == pytest.approx(0.8, abs=0.03)
    assert needed_factor(row, 10) > needed_factor(row)
    assert math.isnan(needed_factor(dataclasses.replace(row, value=0.0)))


def test_trainings_are_needed_where_they_vary():
    row = Row("nll", 0.1, -0.2, 0.4, kind="difference", source="a", other="b", p_value=0.5)
    for over, words in (("trainings", "times as many trainings"), ("both", "rows and trainings")):
        (verdict,) = verdicts(Results([dataclasses.replace(row, over=over)]))
        assert words in verdict.text
    (verdict,) = verdicts(Results([dataclasses.replace(row, value=1e-4, low=-1.0, high=1.0)]))
    assert "over a thousand times" in verdict.text


def test_a_difference_without_an_interval_says_why():
    row = Row("nll", math.nan, kind="undefined", source="a", other="b", reason="infinite on a row")
    known = Row("nll", 0.1, kind="difference", source="a", other="c", reason="one training")
    texts = [v.text for v in verdicts(Results([row, known]))]
    assert texts == ["nll: a and c: one training"]


def test_stored_tables_are_compared_by_their_intervals():
    tables = [(c.source, evaluate(c, **QUICK)) for c in models(noises=(0.0, 3.0))]
    found = compare_stored(tables)
    (row,) = found.select(metric="nll", kind="difference")
    a, b = (t.select(metric="nll").rows[0] for _, t in tables)
    assert row.low == pytest.approx(
        a.value - b.value - math.hypot(a.value - a.low, b.high - b.value)
    )
    assert row.reason == "unpaired"


def test_one_stored_table_gives_the_comparisons_it_holds():
    judged = evaluate(models(), **QUICK)
    found = compare_stored([("run", judged)], metrics=["nll"])
    assert (
        found.select(kind="difference").rows == judged.select(kind="difference", metric="nll").rows
    )


def test_mean_ranks_over_tasks():
    cases = [c for t in "xy" for c in models(60, (0.0, 4.0), task=t)]
    found = compare(cases, metrics=["nll"], **QUICK).select(metric="mean_rank")
    assert {(r.variant, r.source, r.value, r.n) for r in found} == {
        ("nll", "m0", 1.0, 2), ("nll", "m1", 2.0, 2)
    }  # fmt: skip
    rows = [
        Row("accuracy", v + 0.1 * (s == "b"), source=s, task=str(t), over=over, training=training)
        for t, v in enumerate(np.linspace(0, 0.6, 7))
        for s in "ab"
        for over, training in (("both", ""), ("items", "0"))
    ]
    assert [(r.source, r.value, r.rank_group) for r in overall(rows, metrics=["accuracy"])] == [
        ("a", 2.0, "b"), ("b", 1.0, "a")
    ]  # fmt: skip


def test_too_few_tasks_say_so():
    rows = [Row("nll", v, source=s, task=t) for t in "xy" for s, v in (("a", 1.0), ("b", 2.0))]
    assert {r.reason for r in overall(rows, metrics=["nll"])} == {
        "2 tasks can't tell sources apart at .05"
    }
    assert overall(rows[:2], metrics=["nll"]) == []


def test_what_can_not_be_compared_is_refused():
    with pytest.raises(ValueError, match="two or more sources should be compared, got m0"):
        compare(models()[:1], **QUICK)
    with pytest.raises(
        ValueError, match=r"a metric to compare` should be one of accuracy, .*you mean nll"
    ):
        compare(models(60), metrics=["nlll"], **QUICK)
    tables = [(name, Results([Row("nll", 1.0, 0.5, 1.5, source=name)])) for name in "ab"]
    with pytest.raises(ValueError, match="a metric to compare` should be one of nll, got 'ece'"):
        compare_stored(tables, metrics=["ece"])
    with pytest.raises(ValueError, match="two or more sources"):
        compare_stored([("a", Results([Row("nll", 1.0, 0.5, 1.5)]))])


def test_tables_and_predictions_are_not_mixed(tmp_path):
    Results([Row("nll", 1.0, 0.5, 1.5)]).write(tmp_path / "a.json")
    np.savez(tmp_path / "b.npz", probs=np.eye(2), labels=np.arange(2))
    with pytest.raises(ValueError, match="compare predictions with predictions"):
        compare_files([tmp_path / "a.json", tmp_path / "b.npz"])


def test_stored_tables_keep_their_level(tmp_path):
    for name in "ab":
        row = Row("nll", 1.0, 0.5, 1.5, source=name, level=0.9)
        Results([row]).write(tmp_path / f"{name}.json")
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    with pytest.raises(ValueError, match=r"`level` should be that of the stored .* 0.9, got 0.5"):
        compare_files(files, level=0.5)
    assert compare_files(files, level=0.9) == compare_files(files)


def test_a_name_that_comes_again_is_another_training(tmp_path):
    files = []
    for source in ("a", "b"):
        for k in range(2):
            case = classifier(60, seed=k, noise=0.2 if source == "a" else 2.0)
            path = tmp_path / f"{source}{k}.npz"
            np.savez(path, probs=case.distribution.parameters["probs"], labels=case.target)
            files.append(f"{source}={path}")
    found = compare_files(files, metrics=["nll"], **QUICK)
    (row,) = found.select(kind="difference", over="both")
    assert (row.source, row.other) == ("a", "b")
    assert row.reason == "from 2 trainings: a claim about methods needs at least 10"


def test_trainings_of_which_none_can_be_paired_are_refused(tmp_path):
    files = []
    for k, (source, name) in enumerate(itertools.product("ab", ("one", "two"))):
        case = classifier(40 + k, seed=k, labels_seed=k)
        path = tmp_path / f"{name}-of-{source}.npz"
        np.savez(path, probs=case.distribution.parameters["probs"], labels=case.target)
        files.append(f"{source}={path}")
    with pytest.raises(ValueError, match=r"a and b should have .* got none: trainings were judged"):
        compare_files(files, **QUICK)
