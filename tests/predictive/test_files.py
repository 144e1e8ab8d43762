"""Predictions as Parquet: nothing is lost, and the reader needs no torch."""

import json
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch.distributions import Categorical, Gamma, Normal

from tests.predictive import cases
from uncertain.families import ArrayDistribution
from uncertain.predictive import load_predictions, save_predictions, to_arrays
from uncertain.predictive.tables import (
    PredictionRows,
    from_rows_table,
    read_rows,
    to_rows_table,
)

NORMAL = Normal(torch.zeros(3), 1.0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", cases.NAMES)
def test_every_family_comes_back_to_the_bit(name, dtype, tmp_path):
    dist, y = cases.everything(dtype)[name], cases.targets(name, dtype)
    save_predictions(tmp_path / "p.parquet", dist, y)
    stored = load_predictions(tmp_path / "p.parquet")
    before, after = to_arrays(dist), to_arrays(stored.distribution)
    for key, value in before.parameters.items():
        assert value.dtype == after.parameters[key].dtype
        assert value.tobytes() == after.parameters[key].tobytes()
    assert torch.equal(stored.target, y)
    assert stored.target.dtype == y.dtype


def test_everything_about_the_rows_comes_back(tmp_path):
    path = tmp_path / "p.parquet"
    logits = torch.tensor([[0.0, -torch.inf], [-torch.inf, 0.0], [-0.5, -0.9]]).log_softmax(-1)
    save_predictions(
        path,
        Categorical(logits=logits),
        ["dog", "cat", "dog"],
        row_ids=["a", "b", "ü"],
        groups=torch.tensor([1, 1, 2]),
        weights=[1.0, 0.5, 2.0],
        scores={"energy": torch.tensor([0.1, 0.2, 0.3])},
        class_names=["cat", "dog"],
        source="net",
        split="ood:glyphs",
        training="7",
        task="pets",
        training_rows=50,
        columns={"site": ["B", "A", "B"], "severity": torch.tensor([1, 2, 3])},
        ordinal=True,
    )
    stored = load_predictions(path)
    assert stored.distribution.logits[0, 1].item() == -torch.inf
    assert torch.equal(stored.distribution.logits[:2], logits[:2])
    assert stored.target.tolist() == [1, 0, 1]
    assert stored.row_ids.tolist() == ["a", "b", "ü"]
    assert stored.groups.tolist() == [1, 1, 2]
    assert stored.weights.tolist() == [1.0, 0.5, 2.0]
    assert stored.scores["energy"].dtype == torch.float32
    assert stored.class_names == ("cat", "dog")
    assert stored[7:13] == ("net", "ood:glyphs", "7", "pets", (), 50)
    assert stored.columns["site"].tolist() == ["B", "A", "B"]
    assert stored.columns["severity"].tolist() == [1, 2, 3]
    assert (stored.grid, stored.ordinal) == (None, True)
    facts = json.loads(pq.read_schema(path).metadata[b"uncertain"])
    assert facts["format"] == 1
    assert facts["family"] == "categorical"
    assert pq.read_schema(path).names == [
        "logits", "target", "row_id", "group", "weight", "score:energy", "column:site",
        "column:severity",
    ]  # fmt: skip


def test_files_say_nothing_of_a_grid_or_an_order_that_there_is_not(tmp_path):
    path = tmp_path / "p.parquet"
    save_predictions(path, NORMAL, torch.zeros(3))
    assert not {"grid", "ordinal"} & json.loads(pq.read_schema(path).metadata[b"uncertain"]).keys()
    assert load_predictions(path).grid is None
    save_predictions(path, NORMAL, torch.zeros(3), grid=0.5)
    assert load_predictions(path).grid == 0.5


def test_arrays_and_no_target(tmp_path):
    d = ArrayDistribution("poisson", {"rate": np.ones(2)})
    save_predictions(tmp_path / "p.parquet", d)
    stored = load_predictions(tmp_path / "p.parquet")
    assert stored.target is None
    assert stored.row_ids is None
    assert stored.distribution.rate.tolist() == [1, 1]


def test_reading_needs_no_torch(tmp_path):
    save_predictions(tmp_path / "p.parquet", NORMAL, torch.zeros(3))
    script = (
        "import sys; from uncertain.predictive.tables import read_rows;"
        f"print(len(read_rows({str(tmp_path / 'p.parquet')!r}).distribution), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["3", "False"], done.stderr


def test_further_columns_are_left_alone(tmp_path):
    table = to_rows_table(PredictionRows(to_arrays(NORMAL)))
    table = table.append_column("note", [["x", "y", "z"]])
    assert len(from_rows_table(table).distribution) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": torch.zeros(2)}, "`distribution` and `target` should have as many rows"),
        ({"target": torch.tensor([0.0, 1.0, torch.nan])}, "`target` should be finite, got 1 NaN"),
        ({"target": ["a", "b", "c"]}, "should hold numbers where there are no `class_names`"),
        ({"row_ids": [1, 2, 1]}, r"`row_ids` should name every row once, got 1 2 times"),
        ({"row_ids": np.zeros((3, 2))}, r"`row_ids` should have shape \(N,\), got \(3, 2\)"),
        ({"target": np.zeros((3, 2, 2))}, r"`target` should have shape \(N, T\)"),
        ({"weights": [1.0, -1.0, 1.0]}, r"`weights` should lie in \[0, inf\]"),
        ({"scores": {"s": [1.0, torch.nan, 0.0]}}, "`s` should be finite"),
        ({"columns": {"site": ["a", "b"]}}, r"`columns\['site'\]` should have as many rows"),
        ({"columns": {"class": [1, 2, 3]}}, "`columns` should have names other than class"),
        ({"columns": {"a": [1.0, torch.nan, 0.0]}}, r"`columns\['a'\]` should be finite"),
        ({"ordinal": True}, "`ordinal` should be False for predictions of numbers"),
        ({"grid": 0.0}, r"`grid` should lie in \(0, inf\)"),
        (
            {"class_names": ["a"]},
            "`class_names` should come with predictions of classes, got normal",
        ),
    ],
)
def test_rows_that_do_not_fit(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        save_predictions(tmp_path / "p.parquet", NORMAL, **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("unchecked")
def test_what_no_reader_would_take_is_not_written(tmp_path):
    coin = Categorical(logits=torch.zeros(2, 2))
    for name in ("p.npz", "p.csv", "p"):
        with pytest.raises(ValueError, match=r"`path` should end in \.parquet"):
            save_predictions(tmp_path / name, coin)
    path = tmp_path / "p.parquet"
    with pytest.raises(ValueError, match=r"`target` should be class indices from 0 to 1, got 2"):
        save_predictions(path, coin, [0, 2])
    with pytest.raises(ValueError, match=r"`split` should be test, .*, got 'tset'"):
        save_predictions(path, coin, split="tset")
    for column in ("", 3):
        with pytest.raises(ValueError, match="`columns` should be named by strings"):
            save_predictions(path, coin, columns={column: [0, 1]})
    assert not list(tmp_path.iterdir())


def test_class_names_that_do_not_fit(tmp_path):
    coin, path = Categorical(torch.ones(1, 2)), tmp_path / "p.parquet"
    with pytest.raises(
        ValueError, match=r"2 different names, one a class, got 2 of which 1 differ"
    ):
        save_predictions(path, coin, class_names=["a", "a"])
    with pytest.raises(ValueError, match=r"class names out of a, b, got 'c' \(1 unknown names\)"):
        save_predictions(path, coin, ["c"], class_names=["a", "b"])
    with pytest.raises(
        TypeError, match="`row_ids` should hold numbers or strings, got dtype object"
    ):
        save_predictions(path, coin, row_ids=[None])
    with pytest.raises(ValueError, match="`grid` should be None for classes, got 1"):
        save_predictions(path, coin, grid=1.0)
    with pytest.raises(TypeError, match="got Gamma"):
        save_predictions(path, Gamma(torch.ones(1), 1.0))


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "p.parquet"
    with pytest.raises(FileNotFoundError, match=r"p\.parquet"):
        read_rows(path)
    save_predictions(path, NORMAL)
    whole = path.read_bytes()
    for part in (whole[: len(whole) // 2], b"", b"not parquet"):
        path.write_bytes(part)
        with pytest.raises(ValueError, match=r"p.parquet` should be a Parquet file of predictions"):
            load_predictions(path)
    pq.write_table(
        to_rows_table(PredictionRows(to_arrays(NORMAL))).replace_schema_metadata({}), path
    )
    with pytest.raises(ValueError, match=r"p.parquet`: `table` should carry the schema metadata"):
        load_predictions(path)


def test_newer_formats_and_missing_values():
    table = to_rows_table(PredictionRows(to_arrays(NORMAL), target=np.zeros(3)))
    metadata = dict(table.schema.metadata)
    newer = metadata | {b"uncertain": json.dumps({"format": 2}).encode()}
    with pytest.raises(
        ValueError, match="should have format 1 or older, got 2: update the library"
    ):
        from_rows_table(table.replace_schema_metadata(newer))
    index = table.schema.get_field_index("target")
    holes = table.set_column(index, "target", [[1.0, None, 2.0]]).replace_schema_metadata(metadata)
    with pytest.raises(ValueError, match="`target` should have no missing rows, got 1"):
        from_rows_table(holes)
