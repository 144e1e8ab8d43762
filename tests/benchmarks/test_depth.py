"""The prior of thin layers, as they start, keeps neighbours and directions at any depth."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "papers"))

from thin_deep import depth


def test_neighbours_and_directions_survive_twenty_thin_layers_and_no_other_prior() -> None:
    found = {
        name: (depth.correlations(stack, 500), depth.ranks(stack, 200))
        for name, stack in depth.stacks(20).items()
    }
    near, rank = found["thin"]
    assert near.min() > 0.9
    assert rank.min() > 4
    assert found["thin, unit scales"][0][2] < 0.05
    assert found["compositional"][1][-1] < 1.5
    assert found["compositional, unit scales"][0][-1] < 0.05


def test_one_layer_is_its_closed_form() -> None:
    """Of a compositional layer the distance is chi-squared: E exp(-v c / 2) = (1 + v)^(-Q / 2)."""
    one = torch.ones(1).double()
    length = 2.0
    found = depth.correlations(depth.Stack(one, length * one, thin=False), 20_000)
    g = torch.Generator().manual_seed(5)
    squares = torch.randn(20_000, depth.INPUTS, generator=g).double().square().sum(1)
    spread = -2 * torch.expm1(-0.5 * depth.APART**2 * squares / length**2)
    expected = (1 + spread).pow(-depth.INPUTS / 2).mean()
    torch.testing.assert_close(found[0], expected, rtol=0, atol=5e-3)
    full = depth.ranks(depth.Stack(one, one, thin=True), 200)
    assert 3 < full[0] < depth.INPUTS
