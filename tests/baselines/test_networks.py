"""Shapes, seeds, and rows that do not see each other."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from uncertain.baselines import convolutional, mlp, resnet
from uncertain.baselines.networks import ResidualBlock

IMAGES = [(1, 28, 28), (3, 32, 32), (2, 5, 9), (1, 1, 1)]


@pytest.mark.parametrize("shape", IMAGES)
@pytest.mark.parametrize("build", [convolutional, resnet])
def test_any_image_size_fits(build, shape: tuple[int, int, int]) -> None:
    network = build(shape, 7, width=8, seed=0)
    assert network(torch.zeros(2, *shape)).shape == (2, 7)


def test_a_perceptron_flattens() -> None:
    assert mlp(12, 3, hidden=(), seed=0)(torch.zeros(2, 3, 4)).shape == (2, 3)
    assert len([m for m in mlp(4, 2, hidden=(8, 6, 5)).modules() if isinstance(m, nn.Linear)]) == 4


def test_a_residual_network_takes_images_of_other_sizes() -> None:
    network = resnet((3, 32, 32), 4, width=8, seed=0)
    assert network(torch.zeros(1, 3, 17, 20)).shape == (1, 4)


def test_three_blocks_a_stage_have_the_depth_of_resnet_20() -> None:
    network = resnet((3, 32, 32), 10, blocks=(3, 3, 3))
    main = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(main) + 1 == 20


def test_a_block_is_its_skip_plus_its_body() -> None:
    block = ResidualBlock(8, 8, 1)
    x = torch.randn(2, 8, 4, 4)
    torch.testing.assert_close(block(x), x + block.body(x))
    assert isinstance(ResidualBlock(8, 16, 2).skip, nn.Conv2d)


@pytest.mark.parametrize(
    "network",
    [
        mlp(6, 2, dropout=0.0, seed=0),
        convolutional((1, 8, 8), 2, width=4, dropout=0.0, seed=0),
        resnet((1, 8, 8), 2, width=8, dropout=0.0, seed=0),
    ],
)
def test_rows_never_change_each_other_even_in_training(network: nn.Module) -> None:
    shape = (6,) if hasattr(network, "inputs") else (1, 8, 8)
    x = torch.randn(5, *shape, dtype=torch.float64)
    network = network.double().train()
    torch.testing.assert_close(network(x)[:1], network(x[:1]))


def test_a_seed_initialises_without_touching_the_global_generator() -> None:
    before = torch.random.get_rng_state()
    a, b, c = mlp(3, 2, seed=1), mlp(3, 2, seed=1), mlp(3, 2, seed=2)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(a[1].weight, b[1].weight)
    assert not torch.equal(a[1].weight, c[1].weight)
    torch.manual_seed(1)
    assert torch.equal(mlp(3, 2)[1].weight, a[1].weight)  # Without one, as torch does.


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"`inputs` should lie in \[1, inf\], got 0"):
        mlp(0, 2)
    with pytest.raises(ValueError, match=r"`hidden\[1\]` should lie in \[1, inf\], got 0"):
        mlp(2, 2, hidden=(3, 0))
    with pytest.raises(ValueError, match=r"`dropout` should lie in \[0, 1\), got 1"):
        mlp(2, 2, dropout=1.0)
    with pytest.raises(
        ValueError, match=r"`shape` should be \(channels, height, width\), got \(8, 8\)"
    ):
        convolutional((8, 8), 2)
    with pytest.raises(ValueError, match=r"`height` should lie in \[1, inf\], got 0"):
        resnet((1, 0, 8), 2)
    with pytest.raises(ValueError, match=r"`blocks\[0\]` should lie"):
        resnet((1, 8, 8), 2, blocks=(0,))
    with pytest.raises(ValueError, match="`blocks` should have at least one row, got none"):
        resnet((1, 8, 8), 2, blocks=())
