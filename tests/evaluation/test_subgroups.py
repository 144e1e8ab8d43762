"""Figures by subgroup: the same as of the rows alone, under a name that says which rows."""

import dataclasses

import numpy as np
import pytest

from tests.evaluation.cases import classifier, regressor
from uncertain.evaluation import Predictions, Results, evaluate
from uncertain.evaluation.judge import judge_one
from uncertain.evaluation.subgroups import subgroups
from uncertain.families import ArrayDistribution

SITES = np.array(["a", "b", "b", "c"])


def by_site(case: Predictions, **columns: np.ndarray) -> Predictions:
    site = np.resize(SITES, len(case))
    return dataclasses.replace(case, columns={"site": site, **columns})


@pytest.mark.parametrize("make", [classifier, regressor])
def test_a_subgroups_figures_are_those_of_its_rows_alone(make):
    case = by_site(make(80))
    found = evaluate(case, by=["site"], replicates=100)
    alone = evaluate(case.select(case.columns["site"] == "b"), replicates=100)
    expected = {(r.metric, r.variant, r.kind): (r.value, r.low, r.high, r.n) for r in alone}
    got = {
        (r.metric, r.variant, r.kind): (r.value, r.low, r.high, r.n)
        for r in found.select(subgroup="site=b")
    }
    assert got.keys() == expected.keys()
    for key, value in got.items():
        np.testing.assert_array_equal(value, expected[key], err_msg=str(key))


def test_figures_of_all_rows_stay_what_they_were():
    case = by_site(regressor(80))
    found = evaluate(case, by=["site"], replicates=100).select(subgroup="")
    assert found == evaluate(case, replicates=100)


def test_weights_and_groups_go_with_the_rows():
    case = classifier(80, weights=np.tile([1.0, 3.0], 40), groups=np.arange(80) // 2)
    case = dataclasses.replace(case, columns={"half": np.arange(80) < 40})
    found = evaluate(case, by=["half"], replicates=100).select(
        metric="accuracy", subgroup="half=True"
    )
    alone = judge_one(case.select(np.arange(40)), replicates=100)[0]
    (row,) = found
    assert (row.value, row.low, row.n_groups) == (alone.value, alone.low, 20)


def test_groups_of_one_row_each_within_a_subgroup_are_none():
    case = classifier(40, groups=np.arange(40) // 2)
    case = dataclasses.replace(case, columns={"first": np.arange(40) % 2})
    rows = evaluate(case, by=["first"], replicates=100).select(metric="nll", subgroup="first=0")
    assert rows.rows[0].n_groups is None


def test_calibration_given_the_label_is_undefined_and_given_the_prediction_is_not():
    found = evaluate(classifier(90), by=["class", "predicted"], replicates=100)
    given_label = found.select(metric="ece_debiased", subgroup="class=0")
    assert {row.kind for row in given_label} == {"undefined"}
    assert "not calibrated among the rows of one class" in given_label.rows[0].reason
    assert not len(found.select(metric="ece_null", subgroup="class=0"))
    given_prediction = found.select(metric="ece_debiased", subgroup="predicted=0")
    assert {row.kind for row in given_prediction} == {"estimate"}


def test_class_is_named_by_the_class_names():
    case = dataclasses.replace(classifier(60), class_names=("cat", "dog", "owl"))
    names = {row.subgroup for row in evaluate(case, by=["class"], replicates=100)}
    assert {"class=cat", "class=dog", "class=owl", "worst class"} <= names


def test_a_subgroup_of_one_row_is_told_and_not_dropped():
    case = dataclasses.replace(regressor(40), columns={"site": np.repeat(["x", "y"], [1, 39])})
    (row,) = evaluate(case, by=["site"]).select(metric="nll", subgroup="site=x")
    assert row.n == 1
    assert not row.has_interval
    assert row.reason == "one row has no spread"


def test_a_subgroup_without_weight_is_undefined_with_the_reason():
    weights = np.r_[np.zeros(10), np.ones(30)]
    case = dataclasses.replace(regressor(40), weights=weights, columns={"late": weights > 0})
    (row,) = evaluate(case, by=["late"]).select(metric="crps", subgroup="late=False")
    assert (row.kind, row.n, row.reason) == ("undefined", 10, "all 10 rows have weight 0")


def test_trainings_are_averaged_by_subgroup():
    cases = [by_site(regressor(60, seed=k, training=f"s{k}")) for k in range(3)]
    found = evaluate(cases, by=["site"])
    single = [r.value for r in found.select(metric="nll", subgroup="site=b") if r.training]
    means = [r for r in found.select(metric="nll", subgroup="site=b") if not r.training]
    assert {r.over for r in means} == {"trainings", "both"}
    assert all(r.value == pytest.approx(np.mean(single)) for r in means)
    worst = [r for r in found.select(metric="nll", subgroup="worst site") if not r.training]
    assert all(r.reason.startswith("worst in each training: ") for r in worst)


def test_p_values_are_adjusted_over_subgroups():
    case = by_site(regressor(80))
    found = evaluate(case, by=["site"]).select(metric="pit_ks")
    raw = [
        next(
            row.p_value
            for row in judge_one(case.select(case.columns["site"] == site))
            if row.metric == "pit_ks"
        )
        for site in ("a", "b", "c")
    ]
    adjusted = [row.p_value for row in found if row.subgroup.startswith("site=")]
    assert min(adjusted) == pytest.approx(min(1.0, 3 * min(raw)))


def test_subgroup_rows_survive_a_file(tmp_path):
    found = evaluate(by_site(regressor(40)), by=["site"])
    for name in ("table.json", "table.parquet"):
        found.write(tmp_path / name)
        assert Results.read(tmp_path / name) == found


def test_whole_numbers_are_named_without_a_point_and_sorted_by_number():
    case = dataclasses.replace(regressor(40), columns={"severity": np.resize([10.0, 2.0], 40)})
    assert [g.name for g in subgroups([case], ["severity"])[0]] == ["severity=2", "severity=10"]


def test_shifted_splits_are_subgroups_by_severity():
    cases = [regressor(40)]
    for severity, noise in ((1, 0.3), (3, 1.5), (5, 0.6)):
        shifted = regressor(40, noise=0.3, split=f"shift:fog:{severity}")
        moved = shifted.target + noise * np.random.default_rng(severity).normal(size=40)
        cases.append(dataclasses.replace(shifted, target=moved))
    found = evaluate(cases, by=["severity"])
    (worst,) = found.select(metric="crps", subgroup="worst severity")
    assert worst.reason.startswith("3 is the worst of 3")
    assert worst.split == "shift:fog:all"
    (itself,) = found.select(metric="crps", split="shift:fog:3")
    (again,) = found.select(metric="crps", subgroup="severity=3")
    assert (again.value, again.low) == (itself.value, itself.low) == (worst.value, itself.low)


def test_fractions_and_bytes_are_named():
    case = regressor(4)
    columns = {"dose": np.array([0.5, 1, 0.5, 1]), "code": np.array([b"x", b"y", b"x", b"y"])}
    case = dataclasses.replace(case, columns=columns)
    assert [g.name for g in subgroups([case], ["dose"])[0]] == ["dose=0.5", "dose=1"]
    assert [g.name for g in subgroups([case], ["code"])[0]] == ["code=x", "code=y"]


@pytest.mark.parametrize(
    ("by", "match"),
    [
        (["place"], "`by` should name columns of 'model' on 'test', got 'place'.*'site'"),
        (["severity"], r"neither columns of that name nor splits shift:KIND:SEVERITY"),
        (["site", "site"], "`by` should name each column once, got site, site"),
        (["id"], "at most 1000 values, got 1500"),
        (["number"], "1500 different numbers from"),
        (["class"], "got 'class', which only class predictions have"),
    ],
)
def test_what_is_no_grouping_is_refused_before_anything_is_judged(by, match):
    rng = np.random.default_rng(0)
    case = by_site(regressor(1500), id=np.arange(1500), number=rng.normal(size=1500))
    with pytest.raises(ValueError, match=match):
        evaluate(case, by=by)


def test_by_takes_a_list():
    with pytest.raises(TypeError, match=r"`by` should be a list of columns, got the string 'site'"):
        subgroups([by_site(regressor(8))], "site")


@pytest.mark.parametrize(
    ("columns", "error", "match"),
    [
        ({"class": np.zeros(3)}, ValueError, "names other than class and predicted"),
        ({"site": np.zeros(2)}, ValueError, r"`columns\['site'\]` should have shape \(3,\)"),
        ({"site": np.array([0, np.nan, 1])}, ValueError, "a value of their own"),
        ({"site": np.zeros(3, dtype=complex)}, TypeError, "numbers or text, got dtype complex"),
    ],
)
def test_columns_are_checked(columns, error, match):
    d = ArrayDistribution("normal", {"loc": np.zeros(3), "scale": np.ones(3)})
    with pytest.raises(error, match=match):
        Predictions(d, np.zeros(3), columns=columns)
