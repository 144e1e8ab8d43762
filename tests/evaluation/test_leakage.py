"""A calibration on the rows that are judged can't be hidden: table, terminal and page say it."""

import dataclasses
import io

import numpy as np
import pytest

from tests.evaluation.cases import classifier
from uncertain.evaluation import (
    Results,
    Row,
    evaluate,
    evaluate_conformal,
    fit_temperature,
    read_predictions,
    write_report,
)
from uncertain.evaluation.comparing import compare, compare_stored
from uncertain.evaluation.console import print_results, print_verdicts
from uncertain.evaluation.leakage import LEAK, leak, leaks_of
from uncertain.evaluation.temperature_scaled import is_scaled
from uncertain.predictive import fitted_on, save_predictions
from uncertain.terminal import Console

IDS = np.arange(60) + 100


def case(*used, **facts):
    return classifier(60, row_ids=IDS, fitted_on=used, **facts)


def fit(split="validation", rows=slice(None), method="temperature"):
    plain = classifier(60, row_ids=IDS)
    return fitted_on(method, split=split, row_ids=IDS[rows], target=plain.target[rows])


def test_another_split_and_other_rows_are_nothing_to_tell():
    elsewhere = fitted_on("temperature", split="validation", row_ids=IDS + 60, target=np.zeros(60))
    assert leak(case(elsewhere)) == ""
    assert leak(case()) == ""


def test_the_split_s_own_name_is_enough():
    assert "60 rows of the test split" in leak(case(fitted_on("isotonic", split="test", rows=60)))


def test_shared_rows_are_told_under_any_name():
    used = fit(rows=slice(0, 40))
    assert leak(case(used)) == (
        f"{LEAK}40 of them are among the 40 of the validation split that temperature was fitted on"
    )
    shifted = case(used, split="shift:noise:3")
    assert leak(shifted)


def test_without_ids_the_same_labels_in_the_same_order_are_told():
    plain = classifier(60)
    fitted = fit_temperature(plain.distribution, plain.target)
    judged = fitted(plain)
    assert leak(judged) == (
        f"{LEAK}the same targets in the same order as the 60 rows of the validation split that "
        "temperature was fitted on; row ids on both would tell"
    )
    other = classifier(60, labels_seed=5)
    assert leak(fitted(other)) == ""


def test_conformal_sets_and_scaling_on_the_judged_rows_are_told_without_ids():
    plain = classifier(60)
    held = dataclasses.replace(plain, split="validation")
    found = evaluate_conformal(plain, validation=held)
    assert found.rows
    assert all(row.reason.startswith(LEAK) for row in found)
    scaled = [row for row in evaluate(plain, validation=held) if is_scaled(row)]
    assert scaled
    assert all(row.reason.startswith(LEAK) for row in scaled)


def test_the_second_of_two_calibrations_counts_too():
    harmless = fitted_on("temperature", split="validation", rows=10)
    assert "isotonic" in leak(case(harmless, fit("test", method="isotonic")))


@pytest.fixture(scope="module")
def judged() -> Results:
    cases = [
        case(fit("test"), source="net", training="0"),
        case(fit("test"), source="net", training="1", seed=1, noise=0.2),
        dataclasses.replace(
            case(fit("test"), source="net", training="0", labelled=False), split="ood:far"
        ),
        dataclasses.replace(
            case(fit("test"), source="net", training="1", labelled=False), split="ood:far"
        ),
        case(source="other", training="0", noise=0.5),
        case(source="other", training="1", seed=1, noise=0.5),
    ]
    return evaluate(cases, replicates=100)


def test_no_figure_of_the_source_is_without_the_reason(judged):
    told = [row for row in judged if "net" in (row.source, row.other)]
    assert {row.kind for row in told} >= {"estimate", "null", "difference"}
    assert {row.training for row in told} >= {"", "0", "1"}
    assert {row.split for row in told} == {"test", "ood:far"}
    assert all(row.reason.startswith(LEAK) for row in told)
    alone = [row for row in judged if row.source == "other" and not row.other]
    assert alone
    assert not any(LEAK in row.reason for row in alone)
    assert list(leaks_of(judged)) == ["net"]


def test_page_and_terminal_say_it_first(judged, tmp_path):
    write_report(judged, [], tmp_path / "page.html", title="Nets")
    page = (tmp_path / "page.html").read_text()
    assert 'class="banner" role="alert"' in page
    assert page.index("Calibrated on the rows that are judged") < page.index("What was judged")
    out = io.StringIO()
    print_results(judged, console=Console(file=out, width=200))
    assert "net was calibrated on the rows judged" in out.getvalue()


def test_a_comparison_says_it_too():
    cases = [case(fit("test"), source="net"), case(source="other", noise=0.5)]
    tables = [(c.source, evaluate(c, replicates=100)) for c in cases]
    for found in (compare(cases, metrics=["nll"], replicates=100), compare_stored(tables)):
        differences = [row for row in found if row.other]
        assert differences
        assert all(row.reason.startswith(LEAK) for row in differences)
        out = io.StringIO()
        print_verdicts(found, console=Console(file=out, width=200))
        assert out.getvalue().startswith("net was calibrated on the rows judged (temperature was")


def test_nothing_to_tell_makes_no_banner(tmp_path):
    results = evaluate(case(), replicates=100)
    write_report(results, [], tmp_path / "page.html", title="Net")
    assert 'banner"' not in (tmp_path / "page.html").read_text()
    out = io.StringIO()
    print_results(results, console=Console(file=out, width=200))
    assert "calibrated" not in out.getvalue()


def test_a_long_list_of_sources_is_cut(tmp_path):
    row = Row("nll", 0.3, reason=f"{LEAK}all of them")
    rows = [dataclasses.replace(row, source=f"net {k}") for k in range(9)]
    write_report(Results(rows), [], tmp_path / "page.html", title="Nets")
    assert "and 3 more." in (tmp_path / "page.html").read_text()


def test_a_file_keeps_what_was_fitted(tmp_path):
    made = case(fit("test"))
    save_predictions(
        tmp_path / "net.parquet",
        made.distribution,
        made.target,
        row_ids=IDS,
        fitted_on=made.fitted_on,
    )
    read = read_predictions(tmp_path / "net.parquet")
    assert read.fitted_on == made.fitted_on
    assert leak(read)
    assert leak(read.select(slice(3)))


@pytest.mark.parametrize("leaking", ["a", "b"])
def test_who_leads_by_rows_that_it_saw_makes_no_claim(tmp_path, leaking):
    rows = [
        Row(
            "nll",
            0.1,
            0.05,
            0.15,
            source="a",
            rank_group="A",
            reason=LEAK if leaking == "a" else "",
        ),
        Row(
            "nll",
            0.5,
            0.45,
            0.55,
            source="b",
            rank_group="B",
            reason=LEAK if leaking == "b" else "",
        ),
        Row("nll", -0.4, -0.5, -0.3, kind="difference", source="a", other="b", p_value=0.001),
    ]
    write_report(Results(rows), [], tmp_path / "page.html", title="Nets")
    page = (tmp_path / "page.html").read_text()
    assert "has the better NLL" in page
    assert ("not a claim" in page) == (leaking == "a")
