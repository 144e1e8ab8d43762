"""Collected features: what is refused, and what a file keeps."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from uncertain.evaluation import Collected, load_collected, save_collected
from uncertain.evaluation.collected import collected_writer

RNG = np.random.default_rng(0)
FIELDS = ("features", "logits", "weight", "bias", "labels", "row_ids")


def example(rows=7, dtype=np.float32, **facts):
    features = RNG.normal(size=(rows, 4)).astype(dtype)
    weight = RNG.normal(size=(3, 4)).astype(np.float32)
    return Collected(
        features,
        (features @ weight.T).astype(dtype),
        weight,
        np.zeros(3, np.float32),
        labels=np.arange(rows) % 3,
        row_ids=np.array([f"row {i}" for i in range(rows)]),
        facts=facts,
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_file_keeps_every_bit(tmp_path, dtype):
    rows = example(dtype=dtype, seed=3)
    save_collected(tmp_path / "a.parquet", rows)
    back = load_collected(tmp_path / "a.parquet")
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(back, name), getattr(rows, name))
    assert back.features.dtype == dtype
    assert back.facts["seed"] == 3


def test_rows_arrive_in_pieces_and_facts_at_the_end(tmp_path):
    rows, path = example(), tmp_path / "a.parquet"
    with collected_writer(path) as (write, late):
        write(rows.select(slice(0, 3)))
        write(rows.select(np.arange(3, 7)))
        late["data"] = "hash"
    back = load_collected(path)
    np.testing.assert_array_equal(back.features, rows.features)
    assert back.facts["data"] == "hash"


def test_a_long_last_layer_is_read_back(tmp_path):
    wide = Collected(
        np.ones((1, 900)), np.ones((1, 1500)), RNG.normal(size=(1500, 900)), np.ones(1500)
    )
    save_collected(tmp_path / "a.parquet", wide)
    np.testing.assert_array_equal(load_collected(tmp_path / "a.parquet").weight, wide.weight)


def test_strange_rows_may_have_labels_of_their_own():
    rows = dataclasses.replace(example(), labels=np.arange(7) + 5)
    assert rows.labels.max() == 11
    with pytest.raises(ValueError, match=r"`bank\.labels` should be class indices from 0 to 2"):
        rows.class_labels
    with pytest.raises(ValueError, match="`bank` should have labels, got none"):
        dataclasses.replace(rows, labels=None).class_labels


def test_selecting_rows():
    rows = example()
    mask = rows.labels == 1
    np.testing.assert_array_equal(rows.select(mask).row_ids, ["row 1", "row 4"])
    assert rows.select(slice(2)).labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"features": np.ones(7, np.float32)}, ValueError, "`features` should have shape"),
        ({"features": np.ones((7, 4), int)}, TypeError, "`features` should hold floating"),
        ({"logits": np.ones((6, 3))}, ValueError, r"`logits` should have shape \(7, C\)"),
        ({"weight": np.ones((4, 3))}, ValueError, r"`weight` should have shape \(3, 4\)"),
        ({"bias": np.ones(2)}, ValueError, r"`bias` should have shape \(3,\)"),
        ({"labels": np.arange(7.0)}, TypeError, "`labels` should be whole numbers, got dtype"),
        ({"labels": np.arange(2)}, ValueError, r"`labels` should have shape \(7,\)"),
        ({"row_ids": np.arange(2)}, ValueError, "`features` and `row_ids`"),
        ({"logits": np.full((7, 3), np.nan)}, ValueError, "`logits` should be finite, got 21 NaN"),
        ({"features": np.full((7, 4), np.inf, np.float16)}, ValueError, "28 infinite values"),
        (
            {"features": np.ones((0, 4)), "logits": np.ones((0, 3))},
            ValueError,
            "`features` should have at least one row",
        ),
    ],
)
def test_what_does_not_fit_is_refused(changes, kind, message):
    with pytest.raises(kind, match=message):
        dataclasses.replace(example(), **changes)


def test_files_of_another_kind_are_named(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(ValueError, match="should hold collected features, got a Parquet file of"):
        load_collected(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cut off or of another kind"):
        load_collected(path)
    with pytest.raises(FileNotFoundError):
        load_collected(tmp_path / "none.parquet")


def test_a_newer_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("uncertain.evaluation.collected.FORMAT_VERSION", 9)
    save_collected(tmp_path / "a.parquet", example())
    monkeypatch.undo()
    with pytest.raises(ValueError, match="should have format 1 or older, got 9"):
        load_collected(tmp_path / "a.parquet")


@pytest.mark.parametrize("what", ["column", "missing"])
def test_a_file_whose_columns_were_changed_is_named(tmp_path, what):
    path = tmp_path / "a.parquet"
    save_collected(path, example())
    table = pq.read_table(path)
    if what == "column":
        table = table.drop_columns(["logits"])
    else:
        labels = pa.array([None, *range(6)], pa.int64())
        table = table.set_column(table.column_names.index("label"), "label", labels)
    pq.write_table(table, path)
    with pytest.raises(ValueError, match="logits" if what == "column" else "no missing rows"):
        load_collected(path)


def test_damaged_pages_are_named(tmp_path):
    path = tmp_path / "a.parquet"
    save_collected(path, example(2000))
    content = bytearray(path.read_bytes())
    content[200:2000] = bytes(1800)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="cut off or of another kind"):
        load_collected(path)
