"""The driver: any batching, any kind of data, and no trace left behind."""

import functools
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.distributions import Bernoulli, Categorical, Independent, Normal, Poisson
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from tests.predictive.test_rows import same
from uncertain.predictive import (
    concat,
    load_predictions,
    mixture,
    predict,
    predict_to_file,
    select,
)

X = torch.randn(11, 3, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """Row-wise arithmetic, whose rounding does not depend on the number of rows."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
        self.dropout = nn.Dropout(0.5)
        self.inner = nn.Dropout(0.9).eval()

    def forward(self, x):
        z = self.dropout(x * self.weight)
        return Categorical(logits=z)


class Members(nn.Module):
    def forward(self, x):
        return mixture(Normal(x, 1.0))


@settings(max_examples=25)
@given(st.integers(1, 13), st.permutations(range(11)), st.integers(0, 11))
def test_batching_and_order_do_not_matter(batch_size, order, cut):
    for model in (Net(), Members()):
        whole = predict(model, X)
        same(predict(model, X, batch_size=batch_size), whole)
        same(predict(model, X[list(order)], batch_size=batch_size), select(whole, list(order)))
        parts = [predict(model, rows) for rows in (X[:cut], X[cut:]) if len(rows)]
        same(concat(parts), whole)


class Rows(Dataset):
    def __init__(self, with_y):
        self.with_y = with_y

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        return (X[i], i) if self.with_y else X[i]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(X)


class Sliceable:
    """Nothing but a length and row slices."""

    def __len__(self):
        return len(X)

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        return X[rows]


KINDS = {
    "tensor": lambda: X,
    "numpy": lambda: X.numpy(),
    "dataset": lambda: Rows(False),
    "dataset of pairs": lambda: Rows(True),
    "tensor dataset": lambda: TensorDataset(X, torch.zeros(11)),
    "subset": lambda: Subset(TensorDataset(X), range(11)),
    "loader": lambda: DataLoader(TensorDataset(X, torch.zeros(11)), batch_size=4),
    "loader of plain rows": lambda: DataLoader(X, batch_size=3),
    "iterable dataset": Stream,
    "iterable of batches": lambda: iter([X[:5], X[5:]]),
    "list of batches of pairs": lambda: iter([(X, None)]),
    "sliceable": Sliceable,
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_data(kind):
    same(predict(Net(), KINDS[kind](), batch_size=4), predict(Net(), X))


def test_tables_mappings_and_lists_reach_the_predictor_as_they_are():
    table = pa.table({"a": np.arange(5.0)})

    def of_table(rows):
        return Poisson(torch.tensor(rows.column("a").to_numpy()) + 1)

    assert predict(of_table, table, batch_size=2).rate.tolist() == [1, 2, 3, 4, 5]
    columns = {"a": torch.arange(5.0), "b": torch.ones(5)}
    both = predict(lambda x: Poisson(x["a"] + x["b"]), columns, batch_size=2)
    assert both.rate.tolist() == [1, 2, 3, 4, 5]
    texts = ["a", "bb", "ccc"]
    lengths = predict(
        lambda x: Poisson(torch.tensor([float(len(t)) for t in x])), texts, batch_size=2
    )
    assert lengths.rate.tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match=r"should have columns of one length, got \[4, 5\]"):
        predict(of_table, {"a": torch.ones(4), "b": torch.ones(5)})


class Columns(nn.Module):
    """Takes a mapping or a list of tensors, moved to where its parameter is."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        a, b = x.values() if isinstance(x, dict) else x
        return Poisson(self.scale * (a + b))


def test_batches_of_several_tensors_are_moved_whole():
    a, b = torch.arange(5.0), torch.ones(5)
    found = predict(Columns(), {"a": a, "b": b}, batch_size=2, device="cpu")
    assert found.rate.tolist() == [1, 2, 3, 4, 5]
    texts = predict(lambda x: Poisson(torch.ones(len(x))), ["a", "b"], device="cpu")
    assert texts.rate.tolist() == [1, 1]


def test_data_frames_are_cut_by_position():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.0, 2.0, 3.0]}, index=[7, 8, 9])
    found = predict(lambda f: Poisson(torch.tensor(f["a"].to_numpy())), frame, batch_size=2)
    assert found.rate.tolist() == [1, 2, 3]


@pytest.mark.parametrize("fails", [False, True])
def test_modes_and_random_states_are_restored(fails):
    net = Net()

    def noisy(x):
        np.random.standard_normal()  # noqa: NPY002  what other people's code does
        torch.rand(1)
        assert not net.training
        assert torch.is_inference_mode_enabled()
        return _raise(RuntimeError("broken")) if fails else net(x)

    before = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    if fails:
        with pytest.raises(RuntimeError, match="broken"):
            predict(noisy, X)
    else:
        predict(noisy, X, batch_size=3)
    after = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert np.array_equal(before[1][1], after[1][1])
    assert before[1][2:] == after[1][2:]
    assert net.training
    assert not net.inner.training
    assert not torch.is_inference_mode_enabled()


def test_pythons_random_state_is_restored():
    # In a process of its own: the annotation checks of the tests draw from it, too.
    script = """
import random, torch
from torch.distributions import Poisson
from uncertain.predictive import predict
before = random.getstate()
predict(lambda x: (random.random(), Poisson(x))[1], torch.ones(5), batch_size=2)
assert random.getstate() == before
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _raise(error):
    raise error


@pytest.mark.parametrize("size", [4, 100])
def test_answers_are_ordinary_tensors(size):
    logits = predict(Net(), X, batch_size=size).logits
    assert not logits.is_inference()
    temperature = torch.ones(1, requires_grad=True)
    (logits / temperature).logsumexp(-1).sum().backward()
    assert temperature.grad is not None


class Method(Net):
    def other(self, x):
        assert not self.training
        return self(x)


class Wrapper:
    def __init__(self, net):
        self.nets = [net]

    def __call__(self, x):
        return self.nets[0](x)


def test_modules_behind_a_callable_are_found():
    net = Method()
    whole = predict(net, X)
    same(predict(net.other, X), whole)
    same(predict(lambda x: net(x), X), whole)
    same(predict(functools.partial(lambda n, x: n(x), net), X), whole)
    same(predict(Wrapper(net), X), whole)
    same(predict(Wrapper(net).__call__, X), whole)
    assert net.training


class Hungry(nn.Module):
    """Runs out of memory above a number of rows."""

    def __init__(self, limit, error=torch.OutOfMemoryError):
        super().__init__()
        self.limit, self.error, self.sizes = limit, error, []

    def forward(self, x):
        self.sizes.append(len(x))
        if len(x) > self.limit:
            raise self.error("out of memory")
        return Poisson(x[:, 0].exp())


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError, RuntimeError])
@pytest.mark.parametrize("data", ["tensor", "loader"])
def test_smaller_batches_when_memory_runs_out(error, data):
    hungry = Hungry(2, error)
    rows = X if data == "tensor" else DataLoader(TensorDataset(X), batch_size=8)
    same(predict(hungry, rows, batch_size=8), Poisson(X[:, 0].exp()))
    assert hungry.sizes[:3] == [8, 4, 2]
    assert max(hungry.sizes[3:]) <= 2  # it does not try the large batch again


def test_one_row_too_many_is_an_error():
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        predict(Hungry(0), X)
    with pytest.raises(RuntimeError, match="something else"):
        predict(lambda x: _raise(RuntimeError("something else")), X)


def test_progress_is_told():
    seen = []
    predict(Net(), X, batch_size=4, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(4, 11), (8, 11), (11, 11)]
    seen.clear()
    predict(Net(), iter([X]), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(11, None)]
    loader = DataLoader(TensorDataset(X), batch_size=11)
    predict(Net(), loader, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (11, 11)


def test_streaming_to_a_file(tmp_path):
    whole = predict(Net(), X, batch_size=4, out=tmp_path / "a.parquet")
    same(load_predictions(tmp_path / "a.parquet").distribution, whole)
    assert predict_to_file(Net(), X, tmp_path / "b.parquet", batch_size=3) == 11
    same(load_predictions(tmp_path / "b.parquet").distribution, whole)
    mixed = predict(Members(), X, batch_size=4, out=tmp_path / "c.parquet")
    again = load_predictions(tmp_path / "c.parquet").distribution
    torch.testing.assert_close(again.mean, mixed.mean)


def test_a_failed_stream_leaves_nothing(tmp_path):
    calls = []

    def second_fails(x):
        calls.append(1)
        return Net()(x) if len(calls) == 1 else _raise(RuntimeError("broken"))

    with pytest.raises(RuntimeError, match="broken"):
        predict_to_file(second_fails, X, tmp_path / "a.parquet", batch_size=4)
    assert list(tmp_path.iterdir()) == []
    assert not torch.is_inference_mode_enabled()


def test_results_are_where_the_rows_are():
    found = predict(Net(), X.double(), device="cpu")
    assert found.logits.dtype == torch.float64
    with pytest.raises(
        ValueError, match=r"`device` should be the predictor's, cpu, got meta: move"
    ):
        predict(Net(), X, device="meta")
    with pytest.raises(
        ValueError, match="`device` should be one that this machine has, got 'cuba'"
    ):
        predict(Net(), X, device="cuba")


@pytest.mark.parametrize(
    ("predictor", "error", "message"),
    [
        (lambda x: x, TypeError, "should return a torch Distribution over y, got Tensor: wrap"),
        (lambda x: Normal(0.0, 1.0), ValueError, r"batch shape \(11,\) for 11 rows, got \(\)"),
        (lambda x: Normal(x[:, :1], 1.0), ValueError, "squeeze the last axis of its parameters"),
        (lambda x: Normal(x, 1.0), ValueError, r"wrap several outputs in `Independent\(dist, 1\)`"),
        (lambda x: Bernoulli(torch.ones(12)), ValueError, r"got \(12,\) with event shape \(\)"),
    ],
)
def test_wrong_answers(predictor, error, message):
    with pytest.raises(error, match=message):
        predict(predictor, X)
    predict(lambda x: Independent(Normal(x, 1.0), 1), X)


def test_wrong_data():
    with pytest.raises(ValueError, match="`data` should have at least one row"):
        predict(Net(), X[:0])
    with pytest.raises(ValueError, match="`data` should have at least one row"):
        predict(Net(), iter([]))
    with pytest.raises(TypeError, match=r"`data` should have rows .* got int"):
        predict(Net(), 3)
    with pytest.raises(ValueError, match="`batch_size` should be at least 1, got 0"):
        predict(Net(), X, batch_size=0)
    with pytest.raises(
        ValueError, match="a DataLoader that shuffles: build it with `shuffle=False`"
    ):
        predict(Net(), DataLoader(TensorDataset(X), shuffle=True))
    with pytest.raises(ValueError, match="drops the last batch"):
        predict(Net(), DataLoader(TensorDataset(X), batch_size=4, drop_last=True))
