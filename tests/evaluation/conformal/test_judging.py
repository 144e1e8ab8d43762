"""Coverage against its law, by size, class and severity, in the table and on the page."""

import dataclasses

import numpy as np
import pytest
from scipy.special import betaln, gammaln

from tests.evaluation.conformal.cases import classes, numbers
from uncertain.evaluation import Predictions, Results, evaluate, write_report
from uncertain.evaluation.conformal import (
    conformal_rows,
    coverage_p_value,
    evaluate_conformal,
    fit_aps,
    fit_cqr,
    fit_raps,
    fit_thr,
)
from uncertain.evaluation.leakage import LEAK


def case(n=400, seed=0, make=classes, **facts):
    d, y = make(n, seed)
    return Predictions(d, y, source="net", row_ids=np.arange(n) + 1000 * seed, **facts)


def held(n=300, make=classes, **facts):
    return case(n, seed=9, make=make, split="validation", **facts)


def test_the_p_value_is_that_of_the_beta_binomial():
    n, m, alpha = 40, 30, 0.1
    a, b = 37, 4  # 41 - l and l = floor(41 * 0.1)
    k = np.arange(m + 1)
    log_choose = gammaln(m + 1) - gammaln(k + 1) - gammaln(m - k + 1)
    law = np.exp(log_choose + betaln(k + a, m - k + b) - betaln(a, b))
    assert law.sum() == pytest.approx(1)
    for covered in (0, 20, 27, 30):
        expected = min(1, 2 * min(law[: covered + 1].sum(), law[covered:].sum()))
        assert coverage_p_value(covered, m, n=n, alpha=alpha) == pytest.approx(expected)


def test_a_set_of_everything_covers_everything():
    assert coverage_p_value(50, 50, n=5, alpha=0.1) == 1.0
    assert coverage_p_value(49, 50, n=5, alpha=0.1) == 0.0


def test_the_figures_are_counts():
    test = case()
    fitted = fit_thr(held())
    rows = {row.metric: row for row in conformal_rows(fitted, test) if "_by_" not in row.metric}
    sets = fitted(test)
    covered = sets[np.arange(400), test.target]
    assert rows["conformal_coverage"].value == covered.mean()
    assert rows["conformal_coverage"].p_value == coverage_p_value(
        int(covered.sum()), 400, n=300, alpha=0.1
    )
    assert rows["conformal_coverage"].low < covered.mean() < rows["conformal_coverage"].high
    assert rows["set_size"].value == pytest.approx(sets.sum(axis=1).mean())
    assert rows["set_size"].has_interval
    assert {row.variant for row in rows.values()} == {"THR,0.9"}


def test_coverage_is_had_by_size_and_class():
    test = dataclasses.replace(case(), class_names=tuple("abcde"))
    rows = conformal_rows(fit_thr(held()), test)
    sizes = [row for row in rows if row.metric == "conformal_coverage_by_size"]
    by_class = [row for row in rows if row.metric == "conformal_coverage_by_class"]
    assert [row.variant for row in by_class] == [f"THR,0.9,{c}" for c in "abcde"]
    assert sum(row.n for row in by_class) == 400
    assert all(row.variant.startswith("THR,0.9,size ") for row in sizes)
    assert all(row.n >= 20 for row in sizes if row.variant != "THR,0.9,size 0")
    whole = next(row.value for row in rows if row.metric == "conformal_coverage")
    assert sum(row.n * row.value for row in by_class) / 400 == pytest.approx(whole)


def test_widths_are_cut_in_quarters():
    rows = conformal_rows(fit_cqr(held(make=numbers)), case(make=numbers))
    quarters = [row for row in rows if row.metric == "conformal_coverage_by_size"]
    assert [row.n for row in quarters] == [100] * 4
    flat = numbers(100)[0]
    flat = dataclasses.replace(flat, parameters={**flat.parameters, "scale": np.ones(100)})
    same = Predictions(flat, numbers(100)[1], source="net")
    assert not [r for r in conformal_rows(fit_cqr(same), same) if "_by_" in r.metric]


def test_groups_weights_and_few_rows_are_told():
    test, calibration = case(), held()
    g, new = np.arange(300) % 2, np.arange(400) % 2
    rows = conformal_rows(fit_thr(calibration, groups=g), test, groups=new)
    marginal = next(r for r in rows if r.metric == "conformal_coverage")
    assert marginal.p_value is None
    assert marginal.reason == "its Beta-binomial law holds for each group"
    assert marginal.variant == "THR,0.9,by group"
    groups = [r.variant for r in rows if r.metric == "conformal_coverage_by_group"]
    assert groups == ["THR,0.9,by group,0", "THR,0.9,by group,1"]
    weighted = conformal_rows(
        fit_thr(calibration, weights=np.ones(300)), test, weights=np.ones(400)
    )
    assert weighted[0].variant == "THR,0.9,shifted inputs"
    few = conformal_rows(fit_thr(calibration.select(slice(50)), alpha=0.01), test)[0]
    assert few.value == 1
    assert "400 of 400 sets hold everything: too few calibration rows for 0.99" in few.reason
    clustered = dataclasses.replace(test, groups=np.arange(400) // 4)
    assert conformal_rows(fit_thr(calibration), clustered)[0].p_value is None


def test_sets_without_chance_have_no_law():
    rows = conformal_rows(fit_aps(held(), randomised=False), case())
    assert rows[0].p_value is None
    assert "cover more than their law says" in rows[0].reason


def test_calibration_on_the_rows_judged_is_told():
    test = case()
    rows = conformal_rows(fit_thr(test), test)
    assert all(row.reason.startswith(LEAK) for row in rows)
    groups = np.arange(400) % 2
    grouped = conformal_rows(fit_thr(test, groups=groups), test, groups=groups)
    assert {row.p_value for row in [*rows, *grouped]} == {None}


def test_empty_sets_are_given_however_few():
    test, fitted = case(), fit_aps(held(), alpha=0.2)
    empty = int((~fitted(test).any(axis=1)).sum())
    assert 0 < empty < 20
    (row,) = [row for row in conformal_rows(fitted, test) if row.variant == "APS,0.8,size 0"]
    assert (row.n, row.value) == (empty, 0)


@pytest.fixture(scope="module")
def judged() -> tuple[Results, list[Predictions]]:
    noisy = case(split="shift:noise:3")
    drawn = np.random.default_rng(0).integers(0, 5, 400)
    noisy = dataclasses.replace(noisy, target=np.where(np.arange(400) % 2, drawn, noisy.target))
    strange = dataclasses.replace(case(), split="ood:far", target=None)
    cases = [case(), noisy, strange]
    return evaluate_conformal(cases, validation=held()), cases


def test_every_labelled_split_is_judged(judged):
    results, _ = judged
    marginal = results.select(metric="conformal_coverage")
    assert {(row.split, row.variant) for row in marginal} == {
        (split, f"{method},0.9") for split in ("test", "shift:noise:3") for method in ("THR", "APS")
    }
    shifted = marginal.select(split="shift:noise:3")
    assert all(row.high < 0.9 for row in shifted)
    # Nothing is promised under a shift, so there is no law to hold it to.
    assert all(row.p_value is None for row in shifted)


def test_the_page_has_a_section_of_its_own(judged, tmp_path):
    results, cases = judged
    both = evaluate(cases[:1], replicates=100) + results
    write_report(both, cases, tmp_path / "page.html", title="Net")
    page = (tmp_path / "page.html").read_text()
    assert "Do conformal sets keep their promise?" in page
    assert "lost under the shift" in page
    assert "Conformal coverage" not in page[: page.index("Do conformal sets keep their promise?")]
    assert "By size, class and group" in page


def test_numbers_have_intervals_and_methods_can_be_chosen():
    found = evaluate_conformal(case(make=numbers), validation=held(make=numbers), alpha=0.2)
    assert {row.variant for row in found.select(metric="interval_width")} == {
        "CQR,0.8", "normalised_residuals,0.8",
    }  # fmt: skip
    chosen = evaluate_conformal(case(), validation=[held()], methods=[fit_raps])
    assert {row.variant for row in chosen.select(metric="set_size")} == {"RAPS,0.9"}


def test_refusals():
    with pytest.raises(
        ValueError, match="`validation` should hold calibration rows of every source"
    ):
        evaluate_conformal(case(), validation=dataclasses.replace(held(), source="other"))
    with pytest.raises(ValueError, match="`case` should have targets to be covered"):
        conformal_rows(fit_thr(held()), dataclasses.replace(case(), target=None))
    with pytest.raises(ValueError, match="`predictions` should have at least one row"):
        evaluate_conformal([], validation=held())
    with pytest.raises(ValueError, match="`covered` should lie in"):
        coverage_p_value(51, 50, n=100, alpha=0.1)
