"""Clouds have no order, any size, and do not see each other."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from uncertain.baselines import Softmax, pointnet, split_network
from uncertain.fit import fit


@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_neither_order_nor_neighbours_matter(pooling) -> None:
    network = pointnet(5, pooling=pooling, dropout=0.0, seed=0).double().train()
    x = torch.randn(4, 30, 3, dtype=torch.float64)
    torch.testing.assert_close(network(x[:, torch.randperm(30)]), network(x))
    torch.testing.assert_close(network(x)[:1], network(x[:1]))


def test_copies_of_points_change_nothing_and_any_number_fits() -> None:
    for pooling in ("max", "mean"):
        network = pointnet(5, pooling=pooling, seed=0).double().eval()
        x = torch.randn(4, 7, 3, dtype=torch.float64)
        torch.testing.assert_close(network(x.repeat(1, 3, 1)), network(x))
        assert network(x[:, :1]).shape == (4, 5)


def test_the_pooled_features_are_the_largest_of_the_points() -> None:
    network = pointnet(2, widths=(6, 9), seed=0).eval()
    x = torch.randn(3, 11, 3)
    points = x
    for layer in list(network)[:6]:
        points = layer(points)
    torch.testing.assert_close(nn.Sequential(*list(network)[:7])(x), points.max(dim=1).values)


def test_it_can_be_split_and_seeded() -> None:
    network = pointnet(3, hidden=10, seed=1).eval()
    body, last = split_network(network)
    assert body(torch.zeros(2, 5, 3)).shape == (2, 10)
    assert last.out_features == 3
    assert torch.equal(pointnet(3, hidden=10, seed=1)[0].weight, network[0].weight)


def test_it_learns_to_tell_a_ring_from_a_ball() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(120) % 2
    x = functional.normalize(torch.randn(120, 32, 3, generator=generator), dim=-1)
    x[y == 1] = functional.normalize(x[y == 1] * torch.tensor([1.0, 1.0, 0.0]), dim=-1)
    model = Softmax(pointnet(2, widths=(16, 32), hidden=16, seed=0))
    fit(model, (x[:80], y[:80]), steps=60, batch_size=40, seed=0)
    assert (model.eval()(x[80:]).probs.argmax(1) == y[80:]).float().mean() > 0.95


@pytest.mark.usefixtures("unchecked")
def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"`outputs` should lie in \[1, inf\], got 0"):
        pointnet(0)
    with pytest.raises(ValueError, match=r"`inputs` should lie in \[1, inf\], got 0"):
        pointnet(2, inputs=0)
    with pytest.raises(ValueError, match=r"`hidden` should lie in \[1, inf\], got 0"):
        pointnet(2, hidden=0)
    with pytest.raises(ValueError, match=r"`widths\[1\]` should lie in \[1, inf\], got 0"):
        pointnet(2, widths=(3, 0))
    with pytest.raises(ValueError, match="`widths` should have at least one row, got none"):
        pointnet(2, widths=())
    with pytest.raises(ValueError, match=r"`dropout` should lie in \[0, 1\), got 1"):
        pointnet(2, dropout=1.0)
    with pytest.raises(ValueError, match="`pooling` should be one of max, mean, got 'sum'"):
        pointnet(2, pooling="sum")
