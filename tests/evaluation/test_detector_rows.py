"""Detectors in the judge: their AUROC, paired differences, letters, and where they do not appear."""

import dataclasses
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from tests.evaluation.cases import classifier
from uncertain.evaluation import evaluate
from uncertain.evaluation.console import print_results
from uncertain.evaluation.detector_rows import compare_detectors, detector_rows
from uncertain.evaluation.report.page import render_report
from uncertain.intervals import delong_difference, holm
from uncertain.terminal import Console

SHIFTS = {"detector:msp": 0.5, "detector:knn": 1.5, "detector:vim": 1.4, "distance": 1.0}


def sides(rows=300, *, seed=0, training="", names=tuple(SHIFTS)):
    """Test rows and strange rows whose scores share most of their noise, as features do."""
    rng = np.random.default_rng(seed)
    shared = [rng.normal(size=rows), rng.normal(size=rows)]
    cases = []
    for strange in (False, True):
        scores = {
            name: shared[strange] + 0.3 * rng.normal(size=rows) + strange * SHIFTS[name]
            for name in names
        }
        facts = {"labelled": False, "split": "ood:x"} if strange else {}
        cases.append(
            dataclasses.replace(
                classifier(rows, labels_seed=seed, **facts), scores=scores, training=training
            )
        )
    return cases


def both(cases, name):
    test, ood = cases
    score = np.concatenate([test.scores[name], ood.scores[name]])
    return score, np.repeat([False, True], [len(test), len(ood)])


def test_the_area_is_scikit_learns():
    cases = sides()
    rows = detector_rows(cases, level=0.95)
    assert [row.variant for row in rows] == [
        f"ood:x:{name}" for name in SHIFTS if name != "distance"
    ]
    for row in rows:
        score, positive = both(cases, row.variant.removeprefix("ood:x:"))
        assert row.value == pytest.approx(roc_auc_score(positive, score))
        assert row.low < row.value < row.high


def test_differences_are_paired_by_row_and_adjusted_over_all_pairs():
    cases = sides()
    rows = detector_rows(cases, level=0.95)
    differences, letters = compare_detectors(cases, rows, level=0.95)
    names = ["detector:knn", "detector:vim", "detector:msp"]
    pairs = [(0, 1), (0, 2), (1, 2)]
    estimates = [
        delong_difference(both(cases, names[i])[0], *both(cases, names[j])) for i, j in pairs
    ]
    expected = holm([estimate.p_value for estimate in estimates])
    assert [(row.variant, row.other) for row in differences] == [
        ("ood:x:detector:knn", "detector:msp"),
        ("ood:x:detector:vim", "detector:msp"),
    ]
    for row, estimate, p in zip(differences, estimates[1:], expected[1:], strict=True):
        assert row.value == pytest.approx(estimate.value)
        assert (row.low, row.high) == pytest.approx((estimate.low, estimate.high))
        assert row.p_value == pytest.approx(p)
    found = {key[3].rpartition(":")[2]: letter for key, (letter, _) in letters.items()}
    assert found["msp"] not in (found["knn"], found["vim"])
    # The unpaired intervals of the same areas overlap.
    areas = {row.variant: row for row in rows}
    assert areas["ood:x:detector:knn"].low < areas["ood:x:detector:vim"].high


def compared(cases):
    rows = detector_rows(cases, level=0.95)
    return rows, *compare_detectors(cases, rows, level=0.95)


def test_several_trainings_are_paired_by_training():
    cases = [case for seed in range(12) for case in sides(60, seed=seed, training=str(seed))]
    rows, differences, letters = compared(cases)
    values = {(row.variant, row.training): row.value for row in rows}
    knn, msp = "ood:x:detector:knn", "ood:x:detector:msp"
    expected = [values[knn, str(t)] - values[msp, str(t)] for t in range(12)]
    gap = next(row for row in differences if row.variant == knn)
    assert gap.over == "trainings"
    assert gap.value == pytest.approx(np.mean(expected))
    assert not gap.reason
    # The mean over trainings is what carries the letter.
    assert {key[3]: letter for key, (letter, _) in letters.items()}[knn][0] == "a"
    assert {key[5:] for key in letters} == {("", "trainings")}


def test_few_trainings_carry_no_claim():
    cases = [case for seed in range(2) for case in sides(60, seed=seed, training=str(seed))]
    results = evaluate(cases, replicates=100)
    (row,) = results.select(kind="difference", variant="ood:x:detector:vim")
    assert "a claim about methods needs at least 10" in row.reason
    (mean,) = results.select(variant="ood:x:detector:vim", over="trainings", kind="estimate")
    assert mean.rank_group


def test_a_detector_that_a_training_lacks_is_not_compared():
    cases = [*sides(training="0"), *sides(training="1", names=("detector:msp", "detector:knn"))]
    assert {row.variant for row in compared(cases)[1]} == {"ood:x:detector:knn"}


def test_without_the_baseline_there_are_letters_and_no_differences():
    cases = sides(names=("detector:knn", "detector:vim"))
    differences, letters = compare_detectors(cases, detector_rows(cases, level=0.95), level=0.95)
    assert not differences
    assert len(letters) == 2


@settings(max_examples=4)
@given(st.randoms(use_true_random=False))
def test_the_order_of_cases_and_rows_does_not_matter(random):
    cases = sides(60)
    order = list(range(60))
    random.shuffle(order)
    shuffled = [case.select(order) for case in cases]
    random.shuffle(shuffled)

    assert compared(shuffled) == compared(cases)


def test_weights_and_groups_are_kept():
    cases = [
        dataclasses.replace(case, weights=np.arange(300) % 3 + 1.0, groups=np.arange(300) // 2)
        for case in sides()
    ]
    rows = detector_rows(cases, level=0.95)
    assert {row.n_groups for row in rows} == {300}
    score, positive = both(cases, "detector:knn")
    weights = np.concatenate([case.weights for case in cases])
    (row,) = [row for row in rows if row.variant.endswith("knn")]
    assert row.value == pytest.approx(roc_auc_score(positive, score, sample_weight=weights))


def test_detectors_do_not_stand_among_the_models_scores():
    results = evaluate(sides(60), replicates=100)
    assert not [row for row in results if row.variant.startswith("error:detector")]
    assert {r.metric for r in results if ":detector:" in r.variant} == {"auroc"}
    console = Console(record=True, width=100, file=io.StringIO())
    print_results(results, console=console)
    assert "knn" not in console.export_text()


def test_the_report_has_a_table_of_its_own():
    cases = sides(100)
    page = render_report(evaluate(cases, replicates=100), cases, title="x")
    section = page.partition('<section id="detectors"')[2].partition("</section>")[0]
    assert section.index(">knn<") < section.index(">vim<") < section.index(">msp<")
    assert "from msp, p" in section
    assert 'data-variant="ood:x:detector:knn"' in section
    strange = page.partition('<section id="strange"')[2].partition("</section>")[0]
    assert "detector" not in strange
    answers = page.partition("<main")[2].partition("<section")[0]
    assert "detector" not in answers


def test_a_report_without_detectors_has_no_such_section():
    cases = sides(60, names=("distance",))
    assert 'id="detectors"' not in render_report(evaluate(cases, replicates=100), cases, title="x")
