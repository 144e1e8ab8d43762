"""Rows cut into batches: x with its y, by any road."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from uncertain.predictive.batches import iterate_batches, run_batches

X, Y = torch.arange(7.0), torch.arange(7)


@pytest.mark.parametrize(
    "data",
    [TensorDataset(X, Y), DataLoader(TensorDataset(X, Y), batch_size=3), [(X, Y)]],
    ids=["dataset", "loader", "list of batches"],
)
def test_y_comes_beside_x(data):
    if isinstance(data, list):
        data = iter(data)
    pairs = list(iterate_batches(data, 3))
    torch.testing.assert_close(torch.cat([x for x, _ in pairs]), X)
    torch.testing.assert_close(torch.cat([y for _, y in pairs]), Y)


@pytest.mark.parametrize("data", [X, TensorDataset(X), {"a": X}], ids=["tensor", "dataset", "dict"])
def test_without_y_there_is_none(data):
    assert all(y is None for _, y in iterate_batches(data, 3))


def test_where_memory_runs_out_y_is_cut_with_x():
    def call(x, home, count):
        if count > 2:
            raise MemoryError
        return x

    seen = []
    count = run_batches(
        call,
        TensorDataset(X, Y),
        [lambda x, y: seen.append((x, y))],
        modules=[],
        batch_size=5,
        device=None,
    )
    assert count == 7
    assert all(torch.equal(x.long(), y) for x, y in seen)
    assert max(len(x) for x, _ in seen) == 2
