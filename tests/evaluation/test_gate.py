"""Rules and baselines: what breaks them, what can't be checked, and what is said."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from tests.evaluation.cases import classifier, regressor
from uncertain.evaluation.baseline import check_baseline
from uncertain.evaluation.baseline_pairs import unpaired_difference
from uncertain.evaluation.gate import (
    GateFailedError,
    check_rules,
    hold,
    parse_rule,
    parse_rules,
    rows_of,
)
from uncertain.evaluation.judge import evaluate
from uncertain.evaluation.results import Results, Row
from uncertain.evaluation.row_scores import row_scores
from uncertain.evaluation.rows import write_rows
from uncertain.intervals import mean

NAN = math.nan


def table(*rows):
    return Results(rows)


ROW = Row("accuracy", 0.88, 0.85, 0.91, source="net", n=500)


@pytest.mark.parametrize(
    ("rule", "broken"),
    [
        ("accuracy < 0.9", True), ("accuracy < 0.88", False), ("accuracy <= 0.88", True),
        ("accuracy > 0.8", True), ("accuracy >= 0.88", True), ("accuracy > 0.88", False),
        ("surely accuracy < 0.9", False), ("surely accuracy < 0.92", True),
        ("possibly accuracy < 0.86", True), ("possibly accuracy < 0.84", False),
        ("surely accuracy > 0.84", True), ("surely accuracy > 0.86", False),
        ("possibly accuracy > 0.9", True), ("accuracy@test<9e-1", True),
    ],
)  # fmt: skip
def test_a_rule_compares_the_figure_or_an_end_of_its_interval(rule, broken):
    assert bool(check_rules(table(ROW), [rule])) is broken


def test_a_message_names_the_figure_its_interval_and_the_rule():
    (found,) = check_rules(table(ROW), ["accuracy < 0.9"])
    assert (
        found.message
        == "accuracy of net on test is 0.880 [0.850, 0.910]: the rule is accuracy < 0.9"
    )
    assert found.row == ROW


@pytest.mark.parametrize("text", ["accuracy", "accuracy = 1", "< 3", "surely nll worse", "a < b c"])
def test_what_is_no_rule_is_refused(text):
    with pytest.raises(ValueError, match="a rule should read METRIC > NUMBER"):
        parse_rule(text)


@pytest.mark.parametrize("number", ["x", "nan"])
def test_a_limit_is_a_number(number):
    with pytest.raises(ValueError, match="a rule should end in a number"):
        parse_rule(f"nll > {number}")


def test_worse_needs_a_baseline():
    with pytest.raises(ValueError, match="'nll worse' should come with a baseline"):
        parse_rules(["nll worse"], has_baseline=False)
    assert parse_rules(["nll worse"], has_baseline=True)[0].is_relative
    (rule,) = parse_rules(["nll of worst site worse"], has_baseline=True, by=["site"])
    assert (rule.is_relative, rule.subgroup, rule.column) == (True, "worst site", "site")
    with pytest.raises(ValueError, match="add --by site"):
        parse_rules(["nll of site=B worse"], has_baseline=True)


def test_what_is_unknown_is_an_error_and_not_a_pass():
    with pytest.raises(ValueError, match="did you mean accuracy"):
        check_rules(table(ROW), ["acuracy < 0"])
    with pytest.raises(ValueError, match="the split of accuracy"):
        check_rules(table(ROW), ["accuracy@ood:far < 0"])
    with pytest.raises(ValueError, match="should name no variant, as accuracy on test has none"):
        check_rules(table(ROW), ["accuracy[top5] < 0"])
    both = table(ROW, dataclasses.replace(ROW, variant="top3"))
    with pytest.raises(ValueError, match="the variant of accuracy` should be one of '', top3, got"):
        check_rules(both, ["accuracy[top5] < 0"])


def test_several_variants_of_which_none_is_usual_need_a_name():
    rows = table(*(Row("auroc", 0.9, split="ood:x", variant=f"ood:x:{s}") for s in "ab"))
    with pytest.raises(ValueError, match=r"should name a variant.*auroc\[ood:x:a\]"):
        check_rules(rows, ["auroc@ood:x < 1"])
    (found,) = check_rules(rows, ["auroc[a]@ood:x < 1"])
    assert found.row.variant == "ood:x:a"


def test_the_usual_variant_stands_for_a_metric():
    usual = "equal_width,15,l1,top_label"
    rows = table(*(Row("ece", v, variant=n) for n, v in ((usual, 0.01), ("equal_mass,15", 0.5))))
    assert check_rules(rows, ["ece > 0.1"]) == []


def test_the_undefined_fails_and_so_does_a_missing_interval():
    undefined = Row("auroc", NAN, kind="undefined", reason="one class only", variant="error:msp")
    (found,) = check_rules(table(undefined), ["auroc < 0.1"])
    assert "is undefined (one class only)" in found.message
    (found,) = check_rules(table(Row("ece", 0.01)), ["surely ece > 0.5"])
    assert "without an interval to be sure by" in found.message
    infinite = Row("nll", math.inf, reason="a row has probability 0")
    assert check_rules(table(infinite), ["nll > 5"])


def test_every_source_and_task_is_held_and_the_widest_mean_stands_for_trainings():
    rows = table(
        Row("nll", 0.5, source="a", task="x"), Row("nll", 0.1, source="b", task="y"),
        *(Row("nll", 0.9, source="c", training=str(k)) for k in range(2)),
        Row("nll", 0.3, 0.2, 0.4, source="d", over="both"),
        Row("nll", 0.3, 0.29, 0.31, source="d", over="items"),
        Row("nll", 9.0, source="d", training="1"),
        Row("nll", 9.0, source="a", task="x", subgroup="site=B"),
        Row("nll", 9.0, kind="difference", source="a", other="b"),
        Row("nll", 9.0, source="control:mean"),
    )  # fmt: skip
    found = [(r.source, r.training, r.over) for r in rows_of(rows, parse_rule("nll > 0"))]
    assert sorted(found) == [
        ("a", "", "items"), ("b", "", "items"), ("c", "0", "items"), ("c", "1", "items"),
        ("d", "", "both"),
    ]  # fmt: skip


SITES = (
    Row("accuracy", 0.95, source="net"),
    Row("accuracy", 0.97, source="net", subgroup="site=A"),
    Row("accuracy", 0.70, 0.60, 0.79, source="net", subgroup="site=B <5"),
    Row("accuracy", 0.70, 0.55, 0.90, source="net", subgroup="worst site", reason="site=B"),
    Row("accuracy", 0.90, source="net", subgroup="worst sex", reason="sex=f"),
)


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("accuracy < 0.9", []),
        ("accuracy of worst site < 0.8", ["worst site"]),
        ("accuracy of  worst   site<0.8", ["worst site"]),
        ("surely accuracy of worst site < 0.8", []),
        ("accuracy@test of site=A < 0.99", ["site=A"]),
        ('surely accuracy of "site=B <5" < 0.8', ["site=B <5"]),
        ("accuracy of every site < 0.8", ["site=B <5"]),
        ("accuracy of every site < 0.99", ["site=A", "site=B <5"]),
        ("accuracy of worst sex < 0.8", []),
    ],
)
def test_a_rule_may_be_about_subgroups(rule, found):
    violations = check_rules(table(*SITES), [rule])
    assert [violation.row.subgroup for violation in violations] == found
    for violation in violations:
        assert f"on test, {violation.row.subgroup} is" in violation.message


def test_subgroups_that_are_not_there_are_an_error():
    with pytest.raises(ValueError, match=r"the subgroup of a rule.*did you mean site=A"):
        check_rules(table(*SITES), ["accuracy of site=C < 1"])
    with pytest.raises(ValueError, match="the column of a rule` should be one of site, got 'ward'"):
        check_rules(table(*SITES), ["accuracy of every ward < 1"])
    with pytest.raises(ValueError, match="as COLUMN=VALUE, worst COLUMN or every COLUMN, got 'B'"):
        parse_rule("accuracy of B < 1")
    with pytest.raises(ValueError, match=r"'nll of worst site > 1' should be .* add --by site"):
        parse_rules(["nll of worst site > 1"], has_baseline=False, by=["ward"])
    assert parse_rules(["nll of ward=3 > 1"], has_baseline=False, by=["ward"])[0].column == "ward"


def test_a_subgroup_of_judged_predictions_is_held():
    case = classifier(400, source="net", columns={"site": np.repeat(["A", "B"], 200)})
    found = evaluate(case, replicates=100, by=["site"])
    for name in ("site=A", "site=B", "worst site"):
        (row,) = rows_of(found, parse_rule(f"nll of {name} > 9"))
        assert row == found.select(metric="nll", subgroup=name).rows[0]
    assert len(rows_of(found, parse_rule("ece_debiased of every site > 9"))) == 2


def test_hold_raises_what_was_not_kept():
    with pytest.raises(GateFailedError, match=r"the rule is accuracy < 0\.9") as caught:
        hold(table(ROW), [], [parse_rule("accuracy < 0.9")])
    assert caught.value.results == table(ROW)
    assert len(caught.value.violations) == 1
    hold(table(ROW), [], [parse_rule("accuracy < 0.5")])


# Baselines


@pytest.fixture(scope="module")
def judged():
    good = classifier(800, source="net", row_ids=np.arange(800))
    worse = classifier(800, source="net", noise=0.6, seed=1, row_ids=np.arange(800))
    return {
        name: ([case], evaluate(case, replicates=100))
        for name, case in (("good", good), ("worse", worse))
    }


def test_two_intervals_give_the_difference_of_independent_figures():
    a, b = Row("nll", 0.5, 0.4, 0.7), Row("nll", 0.2, 0.1, 0.25)
    found = unpaired_difference(a, b)
    assert found.low == pytest.approx(0.3 - math.hypot(0.1, 0.05))
    assert found.high == pytest.approx(0.3 + math.hypot(0.2, 0.1))
    assert found.p_value < 0.05
    at_the_edge = unpaired_difference(Row("nll", 0.2, 0.0, 0.4), Row("nll", 0.0, 0.0, 0.0))
    assert (at_the_edge.low, at_the_edge.p_value) == pytest.approx((0, 0.05))
    assert unpaired_difference(b, b).p_value == 1.0


def test_intervals_of_other_levels_are_refused():
    with pytest.raises(ValueError, match=r"one level, got 0.95 and 0.9: .*--level 0.9"):
        unpaired_difference(Row("nll", 1.0, 0.5, 1.5), Row("nll", 1.0, 0.5, 1.5, level=0.9))


def test_the_same_model_is_not_worse_than_itself(judged, tmp_path):
    cases, results = judged["good"]
    results.write(tmp_path / "r.json")
    write_rows(cases, tmp_path / "rows.csv")
    for name in ("r.json", "rows.csv"):
        rows, worse = check_baseline(results, cases, tmp_path / name)
        assert rows
        assert worse == []
        assert all(abs(row.value) < 1e-9 for row in rows)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_rows_of_the_same_ids_are_paired(judged, tmp_path, suffix):
    path = tmp_path / f"rows.{suffix}"
    (before,), _ = judged["good"]
    (after,), results = judged["worse"]
    write_rows([before], path)
    rows, worse = check_baseline(results, [after], path)
    assert {row.metric for row in rows} == {"accuracy", "nll", "brier"}
    for row in rows:
        expected = mean(row_scores(after)[row.metric] - row_scores(before)[row.metric])
        assert (row.value, row.low, row.high) == pytest.approx(expected[:3], rel=1e-6)
    assert {"nll", "brier"} <= {violation.row.metric for violation in worse}
    assert all("Holm over 3 figures, paired" in violation.message for violation in worse)


def test_pairing_sees_what_two_intervals_do_not(judged, tmp_path):
    (before,), stored = judged["good"]
    (after,), results = judged["worse"]
    stored.write(tmp_path / "r.parquet")
    _, unpaired = check_baseline(results, [after], tmp_path / "r.parquet", rules=["nll worse"])
    write_rows([before], tmp_path / "rows.csv")
    _, paired = check_baseline(results, [after], tmp_path / "rows.csv", rules=["nll worse"])
    assert (len(unpaired), len(paired)) == (0, 1)


def test_rows_with_other_ids_or_labels_are_not_paired(judged, tmp_path):
    (before,), _ = judged["good"]
    (after,), results = judged["worse"]
    moved = dataclasses.replace(before, row_ids=np.arange(800) + 5)
    relabelled = dataclasses.replace(before, target=(before.target + 1) % 3)
    for case in (moved, relabelled):
        write_rows([case], tmp_path / "rows.csv")
        rows, _ = check_baseline(results, [after], tmp_path / "rows.csv")
        assert {row.reason for row in rows} == {"unpaired"}


def test_a_baseline_of_another_kind_is_refused(judged, tmp_path):
    cases, results = judged["good"]
    write_rows(cases, tmp_path / "r.csv")
    results.write(tmp_path / "r.json")
    real = regressor(60)
    numbers = Results([Row("nll", 0.3, 0.2, 0.4), Row("crps", 0.3, 0.2, 0.4)])
    for name in ("r.csv", "r.json"):
        with pytest.raises(
            ValueError, match=r"predicts numbers as .* got one that predicts classes"
        ):
            check_baseline(numbers, [real], tmp_path / name)
    write_rows([real], tmp_path / "r.csv")
    with pytest.raises(ValueError, match=r"predicts classes as .* got one that predicts numbers"):
        check_baseline(results, cases, tmp_path / "r.csv")


@pytest.fixture(scope="module")
def by_site():
    """A model before and after it got much worse at one of its sites, and nowhere else."""
    site = np.repeat(["A", "B"], 400)
    before = classifier(800, source="net", row_ids=np.arange(800), columns={"site": site})
    noisy = classifier(800, source="net", noise=3.0, seed=1).distribution.parameters["probs"]
    p = np.where((site == "B")[:, None], noisy, before.distribution.parameters["probs"])
    changed = dataclasses.replace(before.distribution, parameters={"probs": p})
    after = dataclasses.replace(before, distribution=changed)
    return [(case, evaluate(case, replicates=100, by=["site"])) for case in (before, after)]


@pytest.mark.parametrize(
    ("suffix", "rule", "worse"),
    [
        *((suffix, "nll of site=A worse", []) for suffix in ("json", "csv")),
        *((suffix, "nll of site=B worse", ["site=B"]) for suffix in ("json", "csv")),
        *((suffix, "nll of every site worse", ["site=B"]) for suffix in ("json", "csv")),
        ("json", "nll of worst site worse", ["worst site"]),
    ],
)
def test_subgroups_are_held_against_their_own_baseline(by_site, tmp_path, rule, worse, suffix):
    (before, stored), (after, results) = by_site
    path = tmp_path / f"baseline.{suffix}"
    if suffix == "json":
        stored.write(path)
    else:
        write_rows([before], path)
    rows, violations = check_baseline(results, [after], path, rules=[rule])
    assert [violation.row.subgroup for violation in violations] == worse
    for violation in violations:
        assert f"on test, {violation.row.subgroup} is worse than the baseline" in violation.message
    if suffix == "csv":
        scores = row_scores(after)["nll"] - row_scores(before)["nll"]
        for row in rows:
            expected = mean(scores[after.columns["site"] == row.subgroup[-1]])
            assert (row.value, row.low, row.high) == pytest.approx(expected[:3], rel=1e-6, abs=1e-9)


def test_subgroups_that_can_not_be_held_are_an_error(by_site, tmp_path):
    (before, stored), (after, results) = by_site
    write_rows([before], tmp_path / "rows.csv")
    with pytest.raises(ValueError, match=r"worst of a column is held against a table of results"):
        check_baseline(results, [after], tmp_path / "rows.csv", rules=["nll of worst site worse"])
    moved = dataclasses.replace(before, row_ids=np.arange(800) + 5)
    write_rows([moved], tmp_path / "moved.csv")
    with pytest.raises(ValueError, match=r"holds no nll of site=B .* rows should be the same"):
        check_baseline(results, [after], tmp_path / "moved.csv", rules=["nll of site=B worse"])
    fewer = Results([row for row in stored if row.subgroup != "site=B"])
    fewer.write(tmp_path / "fewer.json")
    with pytest.raises(ValueError, match="holds no nll of site=B to be held against"):
        check_baseline(results, [], tmp_path / "fewer.json", rules=["nll of every site worse"])
    stored.write(tmp_path / "all.json")
    now = Results([row for row in results if row.subgroup != "site=B"])
    with pytest.raises(ValueError, match=r"should find every subgroup .* got none of site=B"):
        check_baseline(now, [], tmp_path / "all.json", rules=["nll of every site worse"])


def test_better_is_not_worse(judged, tmp_path):
    judged["worse"][1].write(tmp_path / "r.json")
    cases, results = judged["good"]
    assert check_baseline(results, cases, tmp_path / "r.json")[1] == []


@pytest.mark.parametrize(("value", "kind"), [(NAN, "undefined"), (math.inf, "estimate")])
def test_what_became_undefined_or_infinite_is_worse(tmp_path, value, kind):
    table(Row("nll", 0.3, 0.2, 0.4)).write(tmp_path / "r.json")
    now = table(Row("nll", value, kind=kind, reason="a row has probability 0"))
    _, (violation,) = check_baseline(now, [], tmp_path / "r.json")
    assert "which the baseline was not" in violation.message


def test_a_baseline_that_holds_nothing_of_it_is_refused(tmp_path):
    table(Row("brier", 0.3, 0.2, 0.4, source="net")).write(tmp_path / "r.json")
    with pytest.raises(ValueError, match="shares no figure with these results"):
        check_baseline(table(ROW), [], tmp_path / "r.json")
    table(ROW).write(tmp_path / "r.json")
    both = table(ROW, Row("nll", 0.3, 0.2, 0.4, source="net"))
    with pytest.raises(ValueError, match="holds no nll to be held against"):
        check_baseline(both, [], tmp_path / "r.json", rules=["nll worse", "accuracy worse"])
    others = [dataclasses.replace(ROW, source=name) for name in ("one", "two")]
    table(*others).write(tmp_path / "r.json")
    with pytest.raises(ValueError, match="a source of the baseline` should be one of one, two"):
        check_baseline(table(ROW), [], tmp_path / "r.json")
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="a baseline should be a table of results"):
        check_baseline(table(ROW), [], tmp_path / "x.csv")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        check_baseline(table(ROW), [], tmp_path / "absent.json")
