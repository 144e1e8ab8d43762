"""Arrow tables are read in place."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from tests.fit.models import line, regression, same_bits, state_of
from uncertain.fit import fit, from_table
from uncertain.fit.sources import as_source

X, Y = regression(20)
TABLE = pa.table(
    {
        "a": X[:, 0].numpy(),
        "b": X[:, 1].numpy(),
        "y": Y.numpy(),
        "label": np.arange(20) % 3,
        "flag": np.arange(20) % 2 == 0,
        "w": np.arange(20, dtype=np.int32),
        "name": [str(i) for i in range(20)],
        "gap": pa.array([None, *range(19)]),
        "image": pa.FixedSizeListArray.from_arrays(pa.array(np.arange(60.0)), 3),
    }
)
INDEX = torch.tensor([19, 0, 7, 7])
CHUNKED = pa.concat_tables([TABLE.slice(0, 6), TABLE.slice(6, 9), TABLE.slice(15)])


@pytest.mark.parametrize("table", [TABLE, CHUNKED], ids=["whole", "chunks"])
def test_rows(table):
    source = from_table(table, x=["a", "b"], y="y", weight="w", dtype=torch.float64)
    x, y = source.rows(INDEX)
    assert torch.equal(x, X[INDEX])
    assert torch.equal(y, Y[INDEX])
    assert source.weight.tolist() == list(range(20))
    assert len(source) == 20
    assert [len(values) for _, values in source.columns()] == [20, 20, 20]


@pytest.mark.parametrize(
    "table", [TABLE, CHUNKED, TABLE.slice(3)], ids=["whole", "chunks", "slice"]
)
def test_kinds_of_columns(table):
    first = table.column("label").to_numpy()
    rows = from_table(table, x="image", y="label").rows(torch.tensor([1, 0]))
    assert rows.x.dtype == torch.float32
    assert rows.x[:, 0].tolist() == [x[0] for x in table.column("image").to_pylist()[1::-1]]
    assert rows.y.dtype == torch.int64
    assert rows.y.tolist() == first[1::-1].tolist()
    mixed = from_table(table, x=["flag", "a", "image"], y=["a", "y"]).rows(torch.tensor([0]))
    assert mixed.x.shape == (1, 5)
    assert mixed.y.shape == (1, 2)
    assert (
        from_table(table, x=["label", "w"], y=None).rows(torch.tensor([0])).x.dtype == torch.int64
    )
    assert from_table(table, x=["a"], y="flag").rows(torch.tensor([0, 1])).y.dtype == torch.int64


def test_columns_are_not_copied():
    source = from_table(TABLE, x=["a", "image"], y="y")
    addresses = [values.__array_interface__["data"][0] for _, values in source.columns()]
    buffers = [
        TABLE.column("a").chunk(0).buffers()[1].address,
        TABLE.column("image").chunk(0).values.buffers()[1].address,
        TABLE.column("y").chunk(0).buffers()[1].address,
    ]
    assert addresses == buffers


@pytest.mark.parametrize("table", [TABLE, CHUNKED], ids=["whole", "chunks"])
def test_a_table_trains_as_its_tensors(table):
    model, other = line(), line()
    data = from_table(table, x=["a", "b"], y="y", weight="w", dtype=torch.float64)
    fit(model, data, steps=5, batch_size=6)
    fit(other, (X, Y, torch.arange(20)), steps=5, batch_size=6)
    torch.testing.assert_close(state_of(model), state_of(other))


def test_the_same_order_whatever_the_chunks():
    states = []
    for table in (TABLE, CHUNKED):
        model = line()
        data = from_table(table, x=["a", "b"], y="y", dtype=torch.float64)
        fit(model, data, steps=5, batch_size=6)
        states.append(state_of(model))
    assert same_bits(*states)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"x": ["a", "bb"], "y": "y"}, ValueError, "`column` should be one of .* did you mean b"),
        ({"x": [], "y": "y"}, ValueError, "`x` should name at least one column"),
        ({"x": ["name"], "y": "y"}, TypeError, "column `name` should be numeric, got string"),
        ({"x": ["gap"], "y": "y"}, ValueError, "column `gap` should have no nulls, got 1 of 20"),
    ],
)
def test_bad_columns(options, error, match):
    with pytest.raises(error, match=match):
        from_table(TABLE, **options)


def test_a_bare_table_asks_for_its_columns():
    with pytest.raises(TypeError, match=r"is an Arrow Table, .* pass `from_table.table, x="):
        as_source(TABLE)


def test_bad_values():
    table = pa.table({"x": [1.0, np.nan], "y": [1.0, 2.0], "w": [1.0, -1.0]})
    with pytest.raises(ValueError, match=r"`data x` should be finite, got 1 NaN .* at row 1"):
        fit(line(1), from_table(table, x=["x"], y="y"), steps=1, batch_size=1)
    with pytest.raises(ValueError, match="`data weight` should lie in"):
        fit(line(1), from_table(table, x=["y"], y="y", weight="w"), steps=1, batch_size=1)
    with pytest.raises(ValueError, match="`data` should have at least one row"):
        fit(line(1), from_table(table.slice(2), x=["y"], y="y"), steps=1, batch_size=1)
