"""Files in, sets and their coverage out; and what the terminal says of them."""

from __future__ import annotations

import csv

import numpy as np
import pyarrow.parquet as parquet
import pytest

from tests.evaluation.conformal.cases import classes, numbers
from uncertain import families
from uncertain.evaluation import Predictions, Results
from uncertain.evaluation.conformal import conformal_rows, coverage_p_value, fit_aps, fit_cqr
from uncertain.evaluation.conformal.files import conformal_files
from uncertain.evaluation.conformal.printing import print_conformal, reading
from uncertain.evaluation.results import Row
from uncertain.terminal import Console


@pytest.fixture
def save(tmp_path):
    def write(name, n, seed, make=classes, **more):
        d, y = make(n, seed)
        arrays = {"labels": y, "site": np.array(list("AB"))[np.arange(n) % 2], **more}
        if make is classes:
            arrays["probs"] = families.class_probabilities(d)
        else:
            arrays |= {"mean": d.parameters["loc"], "std": d.parameters["scale"]}
        np.savez(tmp_path / f"{name}.npz", **{k: v for k, v in arrays.items() if v is not None})
        return tmp_path / f"{name}.npz"

    return write


def test_the_figures_are_those_of_the_library(save):
    files = save("cal", 300, 9), save("test", 400, 0)
    found = conformal_files(*files, scores=["aps"], coverage=0.8)
    (d, y), (held, held_y) = classes(400, 0), classes(300, 9)
    fitted = fit_aps(held, held_y, alpha=0.2)
    expected = conformal_rows(fitted, Predictions(d, y, source="test"))
    for row in expected:
        (same,) = found.select(metric=row.metric, variant=row.variant)
        assert same.value == pytest.approx(row.value, abs=1e-12)
        assert same.p_value == pytest.approx(row.p_value, abs=1e-12)


def test_coverage_by_a_column_needs_no_threshold_of_its_own(save):
    files = save("cal", 300, 9, site=None), save("test", 400, 0)
    found = conformal_files(*files, by=["site"], scores=["thr"])
    parts = found.select(metric="conformal_coverage_by_group")
    assert [row.variant for row in parts] == ["THR,0.9,site=A", "THR,0.9,site=B"]
    whole = found.select(metric="conformal_coverage").rows[0]
    assert np.mean([row.value for row in parts]) == pytest.approx(whole.value)
    assert [row.p_value for row in parts] == [None, None]


def test_each_value_of_a_column_may_have_the_promise(save):
    files = save("cal", 300, 9), save("test", 400, 0)
    found = conformal_files(*files, within="site", by=["site"], scores=["thr"])
    parts = found.select(metric="conformal_coverage_by_group")
    own = [row for row in parts if "by group" in row.variant and row.p_value is not None]
    assert [row.variant for row in own] == ["THR,0.9,by group,site=A", "THR,0.9,by group,site=B"]
    for row in own:
        covered = round(row.value * 200)
        assert row.p_value == coverage_p_value(covered, 200, n=150, alpha=0.1)
    (whole,) = found.select(metric="conformal_coverage")
    assert (whole.p_value, whole.reason) == (None, "its Beta-binomial law holds for each group")


def test_sets_are_written_for_rows_without_labels_too(save, tmp_path):
    names = np.array(["cat", "dog", "red fox", "owl", "elk"])
    cal = save("cal", 300, 9, class_names=names)
    test = save("test", 40, 0, class_names=names, labels=None, row_ids=np.arange(40) + 7)
    assert len(conformal_files(cal, test, sets=tmp_path / "s.csv", scores=["aps"])) == 0
    with open(tmp_path / "s.csv", newline="") as stream:
        written = list(csv.DictReader(stream))
    (held, held_y), (d, _) = classes(300, 9), classes(40, 0)
    ids = np.arange(40) + 7
    sets = fit_aps(held, held_y)(d, row_ids=ids)
    for line, inside, i in zip(written, sets, ids, strict=True):
        assert line["row_id"] == str(i)
        assert line["aps_set"] == "|".join(names[inside])
        assert line["aps_size"] == str(inside.sum())


def test_intervals_are_written_as_their_ends(save, tmp_path):
    files = save("cal", 300, 9, make=numbers), save("test", 40, 0, make=numbers)
    found = conformal_files(*files, sets=tmp_path / "s.parquet", scores=["cqr"])
    table = parquet.read_table(tmp_path / "s.parquet")
    (held, held_y), (d, y) = numbers(300, 9), numbers(40, 0)
    expected = fit_cqr(held, held_y)(d)
    np.testing.assert_allclose(table["cqr_low"], expected[:, 0])
    np.testing.assert_allclose(table["cqr_high"], expected[:, 1])
    inside = (np.asarray(table["cqr_low"]) <= y) & (y <= np.asarray(table["cqr_high"]))
    assert found.select(metric="conformal_coverage").rows[0].value == inside.mean()


def test_outputs_say_the_same(save, tmp_path):
    files = save("cal", 300, 9), save("test", 400, 0)
    outputs = {"json": tmp_path / "t.json", "out": tmp_path / "r.html"}
    found = conformal_files(*files, **outputs, command="uncertain conformal")
    assert Results.read(outputs["json"]) == found
    page = outputs["out"].read_text()
    assert "uncertain conformal" in page
    assert "Do conformal sets keep their promise?" in page


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"scores": ["lac"]}, ValueError, "`score` should be one of aps, cqr"),
        ({"coverage": 1.0}, ValueError, r"`coverage` should lie in \(0, 1\), got 1"),
        ({"level": 0.0}, ValueError, "`level` should lie in"),
        ({"scores": ["cqr"]}, TypeError, "should be of one number a row for intervals"),
        ({"by": ["ward"]}, ValueError, "--by names `ward`, which is not there"),
        ({"within": "ward"}, ValueError, "--by names `ward`, which is not there"),
        ({"sets": "sets.txt"}, ValueError, "the ending of rows"),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_is_written(
    options, error, message, save, tmp_path, unchecked
):
    files = save("cal", 300, 9), save("test", 400, 0)
    with pytest.raises(error, match=message):
        conformal_files(*files, json=tmp_path / "t.json", **options)
    assert not (tmp_path / "t.json").exists()


def test_predictions_of_two_kinds_are_not_of_one_model(save, tmp_path):
    files = save("cal", 300, 9), save("test", 400, 0, make=numbers)
    with pytest.raises(ValueError, match=r"should hold predictions of 5 classes.*got numbers"):
        conformal_files(*files)
    with pytest.raises(ValueError, match="no labels found"):
        conformal_files(files[0], save("bare", 40, 1, labels=None))
    outputs = {"sets": tmp_path / "s.csv", "json": tmp_path / "t.json"}
    with pytest.raises(ValueError, match="has no labels to judge by: write its --sets alone"):
        conformal_files(files[0], tmp_path / "bare.npz", **outputs)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"p_value": 0.3}, "as promised"),
        ({"value": 0.7, "p_value": 0.001}, "less than promised"),
        ({"value": 0.99, "p_value": 0.001}, "more than promised"),
        ({"value": 0.7, "low": 0.6, "high": 0.8}, "less than the goal"),
        ({"value": 0.7, "low": 0.6, "high": 0.8, "split": "shift:noise:3"}, "lost under the shift"),
        ({"value": 0.97, "low": 0.95, "high": 0.99}, "more than the goal"),
        ({"low": 0.8, "high": 0.95}, "no evidence of a loss"),
        ({"p_value": 0.3, "reason": "calibrated on the rows judged"}, "calibrated on the rows judged"),
    ],
)  # fmt: skip
def test_a_coverage_is_put_into_words(facts, words):
    row = Row("conformal_coverage", **{"value": 0.89, "variant": "THR,0.9", **facts})
    assert reading(row) == words


def test_the_terminal_shows_the_parts_of_lowest_coverage(save, capsys):
    found = conformal_files(save("cal", 300, 9), save("test", 400, 0), by=["site"])
    print_conformal(found, console=Console(width=80))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "test: test, 400 rows"
    assert max(map(len, lines)) <= 80
    assert "Coverage by group" in lines
    many = [
        Row("conformal_coverage", 0.9, variant="THR,0.9", n=99),
        *(
            Row("conformal_coverage_by_class", k / 9, variant=f"THR,0.9,{k}", n=30)
            for k in range(9)
        ),
    ]
    print_conformal(Results(many), console=Console(width=80))
    out = capsys.readouterr().out
    assert "Coverage by class, the 5 of 9 where it is lowest" in out
    assert "0.444" in out
    assert "0.556" not in out


def test_what_stands_in_no_part_is_counted(capsys):
    whole = [Row("conformal_coverage", 0.9, variant=f"{m},0.9", n=100) for m in ("THR", "APS")]
    rows = [
        *whole,
        *(Row("set_size", 1.2, variant=row.variant, n=100) for row in whole),
        Row("conformal_coverage_by_size", 0.9, variant="THR,0.9,size 1", n=76),
        Row("conformal_coverage_by_size", 0.0, variant="APS,0.9,size 0", n=2),
        Row("conformal_coverage_by_size", 0.9, variant="APS,0.9,size 1", n=98),
        *(Row("conformal_coverage_by_class", 0.9, variant=f"{m},0.9,a", n=70) for m in ("THR", "APS")),
        *(
            Row("conformal_coverage_by_group", 0.9, variant=f"{m},0.9,site={s}", n=n)
            for m in ("THR", "APS")
            for s, n in (("A", 60), ("B", 25))
        ),
    ]  # fmt: skip
    print_conformal(Results(rows), by=["site", "patient"], console=Console(width=120))
    lines = [line for line in capsys.readouterr().out.splitlines() if "not shown" in line]
    assert lines == [
        "THR: 24 rows in sets of other sizes are not shown (parts under 20 rows).",
        "30 rows of other classes are not shown (parts under 20 rows).",
        "15 rows of other values of site are not shown (parts under 20 rows).",
        "100 rows of any value of patient are not shown (parts under 20 rows).",
    ]


@pytest.mark.parametrize("make", [classes, numbers])
@pytest.mark.parametrize("n", [50, 85, 400])
def test_every_row_is_shown_or_counted(make, n, save, capsys):
    found = conformal_files(save("cal", 300, 9, make=make), save("test", n, 0, make=make))
    print_conformal(found, console=Console(width=120))
    out = capsys.readouterr().out
    assert ("are not shown" in out) == any(
        n > sum(row.n for row in found.select(metric=f"conformal_coverage_by_{kind}")) / 2
        for kind in (["size", "class"] if make is classes else ["size"])
    )


def test_no_p_is_told_of_the_rows_that_were_calibrated_on(save, capsys):
    path = save("cal", 300, 9)
    print_conformal(conformal_files(path, path), console=Console(width=120))
    out = capsys.readouterr().out
    assert "calibrated on the rows judged" in out
    assert " p " not in out
