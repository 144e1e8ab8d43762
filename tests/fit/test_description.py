"""Descriptions and hashes tell trainings apart."""

import functools

import numpy as np
import pytest
import torch
from torch import nn

from uncertain.fit import description
from uncertain.fit.description import content_hash, describe, describe_data, describe_model
from uncertain.fit.sources import as_source


def test_functions_are_described_by_name_and_settings():
    make = functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9)
    assert describe(make) == "SGD(lr=0.1, momentum=0.9)"
    assert describe(functools.partial(make, nesterov=True)) == (
        "SGD(lr=0.1, momentum=0.9, nesterov=True)"
    )
    assert describe((1, torch.nn.functional.relu, nn.Linear(1, 1))) == "(1, relu, Linear)"
    assert "<lambda>" in describe(lambda: 0)


def test_models_are_described_by_their_state():
    found = describe_model(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    assert found["model"] == "Sequential"
    assert found["model.0.weight"] == "(3, 2) torch.float32"
    assert found["model.1.num_batches_tracked"] == "() torch.int64"


@pytest.mark.parametrize("place", [0, 7, 9999])
def test_every_value_of_small_data_counts(place):
    x = torch.zeros(10_000)
    other = x.clone()
    other[place] = 1e-30
    assert content_hash(x) != content_hash(other)


def test_shape_and_type_count():
    x = torch.zeros(12)
    hashes = {content_hash(v) for v in (x, x.view(3, 4), x.double(), x.int(), torch.zeros(13))}
    assert len(hashes) == 5


def test_containers_and_strides_do_not():
    x = torch.arange(12.0).view(3, 4)
    assert content_hash(x) == content_hash(x.numpy()) == content_hash(x.t().contiguous().t())
    assert content_hash(torch.ones(3, dtype=torch.bfloat16))


def test_large_data_is_sampled_by_rows(monkeypatch):
    monkeypatch.setattr(description, "WHOLE_BYTES", 1000)
    monkeypatch.setattr(description, "SAMPLED_ROWS", 11)
    x = torch.zeros(1001, 3)
    before = content_hash(x)
    x[50, 1] = 1.0  # between two of the rows 0, 100, 200, ...
    assert content_hash(x) == before
    x[100, 1] = 1.0
    assert content_hash(x) != before
    assert content_hash(x[:1000]) != content_hash(x)


def test_items_are_sampled_with_their_draws_fixed():
    class Noisy(torch.utils.data.Dataset):
        def __init__(self, shift):
            self.shift = shift

        def __len__(self):
            return 30

        def __getitem__(self, i):
            return {"a": torch.rand(2) + self.shift, "b": np.ones(1)}, (i, torch.zeros(1))

    with torch.random.fork_rng():
        one, two, other = (describe_data(as_source(Noisy(shift)), 0) for shift in (0, 0, 1))
    assert one == two != other
    assert set(one) == {"rows", "x.0", "x.1", "y.0", "y.1"}
