"""Per-row tables: the worst first, for every family, in files that are whole or not there."""

from __future__ import annotations

import errno

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest

from tests.evaluation.cases import classifier, regressor
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.row_scores import row_scores
from uncertain.evaluation.rows import check_format, rows_table, write_rows
from uncertain.families import ArrayDistribution


def read(path):
    reader = pyarrow.csv.read_csv if path.suffix == ".csv" else pyarrow.parquet.read_table
    return reader(path)


def test_the_worst_row_stands_first():
    case = classifier(50, noise=1.5)
    table = rows_table(case)
    nll = table["nll"].to_numpy()
    assert (np.diff(nll) <= 0).all()
    np.testing.assert_allclose(nll, np.sort(row_scores(case)["nll"])[::-1])
    worst = table["row_id"][0].as_py()
    assert worst == row_scores(case)["nll"].argmax()


def test_every_column_belongs_to_its_row():
    ids = np.array([f"r{i}" for i in range(30)])
    case = classifier(
        30, noise=1.0, row_ids=ids, groups=np.arange(30) // 3, class_names=("a", "b", "c")
    )
    rows = {row["row_id"]: row for row in rows_table(case).to_pylist()}
    p = case.distribution.parameters["probs"]
    for i, name in enumerate(ids):
        assert rows[name]["label"] == "abc"[case.target[i]]
        assert rows[name]["predicted"] == "abc"[p[i].argmax()]
        assert rows[name]["confidence"] == p[i].max()
        assert rows[name]["group"] == i // 3
        assert rows[name]["msp"] == 1 - p[i].max()


def test_an_impossible_label_is_the_worst():
    p = np.array([[0.9, 0.1], [1.0, 0.0], [0.4, 0.6]])
    case = Predictions(ArrayDistribution("categorical", {"probs": p}), np.array([0, 1, 0]))
    assert rows_table(case)["row_id"].to_pylist() == [1, 2, 0]


def test_regressions_have_means_and_pit_values():
    case = regressor(20)
    table = rows_table(case)
    assert {"target", "mean", "pit", "crps", "mae", "nll", "sd"} <= set(table.column_names)
    order = table["row_id"].to_numpy()
    np.testing.assert_array_equal(
        table["mean"].to_numpy(), case.distribution.parameters["loc"][order]
    )


def test_samples_are_ordered_by_their_crps():
    samples = np.random.default_rng(0).normal(size=(20, 9))
    case = Predictions(ArrayDistribution("empirical", {"samples": samples}), np.zeros(20))
    assert (np.diff(rows_table(case)["crps"].to_numpy()) <= 0).all()


LEVELS = {"levels": np.array([0.1, 0.9]), "values": np.array([[0.0, 1.0], [0.0, 2.0]])}


@pytest.mark.parametrize(
    ("distribution", "target", "there", "absent"),
    [
        (ArrayDistribution("quantiles", LEVELS), np.ones(2), {"pit", "crps"}, {"mean", "nll"}),
        (
            ArrayDistribution(
                "normal", {"loc": np.zeros((2, 2)), "scale": np.ones((2, 2))}, event_ndim=1
            ),
            np.ones((2, 2)),
            {"target_0", "target_1", "mean_1", "pit_0", "crps"},
            {"target"},
        ),
        (
            ArrayDistribution(
                "multivariate_normal",
                {"loc": np.zeros((2, 2)), "scale_tril": np.tile(np.eye(2), (2, 1, 1))},
            ),
            np.ones((2, 2)),
            {"mean_0", "nll", "sd"},
            {"pit_0", "crps"},
        ),
    ],
    ids=["quantiles", "two targets", "joint normal"],
)
def test_a_family_has_the_columns_it_can_fill(distribution, target, there, absent, tmp_path):
    case = Predictions(distribution, target)
    columns = set(rows_table(case).column_names)
    assert there <= columns
    assert not absent & columns
    write_rows([case], tmp_path / "rows.csv")


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".CSV"])
def test_files_hold_the_tables_of_all_sources(tmp_path, ending):
    cases = [classifier(10, source="a"), classifier(10, source="b", noise=1.0)]
    path = tmp_path / f"rows{ending}"
    write_rows(cases, path)
    table = pyarrow.csv.read_csv(path) if ending == ".CSV" else read(path)
    assert table["source"].to_pylist() == ["a"] * 10 + ["b"] * 10
    np.testing.assert_allclose(table["nll"][:10].to_numpy(), rows_table(cases[0])["nll"].to_numpy())


def test_sources_with_other_kinds_of_ids_share_a_table(tmp_path):
    cases = [
        classifier(3, source="a", row_ids=np.array(["x", "y", "z"])),
        classifier(3, source="b", class_names=("cat", "dog", "eel")),
    ]
    write_rows(cases, tmp_path / "rows.parquet")
    table = read(tmp_path / "rows.parquet")
    assert set(table["row_id"].to_pylist()) == {"x", "y", "z", "0", "1", "2"}


def test_an_unknown_ending_is_refused_before_anything_is_written(tmp_path):
    for check in (check_format, lambda path: write_rows([classifier(3)], path)):
        with pytest.raises(ValueError, match=r"ending of rows.*\.csv.*\.parquet"):
            check(tmp_path / "rows.xlsx")
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_write_is_refused(tmp_path):
    with pytest.raises(ValueError, match="predictions"):
        write_rows([], tmp_path / "rows.csv")
    with pytest.raises(ValueError, match="should have labels to score rows by, got none"):
        write_rows([classifier(3, labelled=False)], tmp_path / "rows.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "rows.csv"
    path.write_text("old")

    def full(table, where):
        where.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device", str(where))

    monkeypatch.setattr(pyarrow.csv, "write_csv", full)
    with pytest.raises(OSError, match="space"):
        write_rows([classifier(3)], path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
