"""Small networks to put the baselines on: a perceptron, a convolutional network and a ResNet.

Every one is an ``nn.Sequential``, keeps its constructor's arguments as attributes, and normalises
(where it does) within a row only: group instead of batch normalisation, so that the rows of a batch
never change each other's predictions and a row of weight k trains as k copies of it.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from math import ceil

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uncertain import checks


class MLP(nn.Sequential):
    """A perceptron with ReLU and dropout after every hidden layer; see :func:`mlp`."""

    def __init__(
        self, inputs: int, outputs: int, *, hidden: Sequence[int] = (64, 64), dropout: float = 0.1
    ) -> None:
        _check_sizes(inputs=inputs, outputs=outputs)
        checks.check_range("dropout", dropout, 0, 1, open_high=True)
        widths = [inputs, *hidden]
        _check_sizes(**{f"hidden[{i}]": size for i, size in enumerate(hidden)})
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
        super().__init__(*layers, nn.Linear(widths[-1], outputs))
        self.inputs, self.outputs = inputs, outputs
        self.hidden, self.dropout = tuple(hidden), dropout


class Convolutional(nn.Sequential):
    """Two convolutions with pooling and a hidden layer, dropout around it; see :func:`convolutional`."""

    def __init__(
        self,
        shape: Sequence[int],
        outputs: int,
        *,
        width: int = 16,
        hidden: int = 64,
        dropout: float = 0.1,
    ) -> None:
        channels, height, length = _image(shape)
        _check_sizes(outputs=outputs, width=width, hidden=hidden)
        checks.check_range("dropout", dropout, 0, 1, open_high=True)
        size = 2 * width * ceil(ceil(height / 2) / 2) * ceil(ceil(length / 2) / 2)
        super().__init__(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(size, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, outputs),
        )
        self.shape, self.outputs = tuple(shape), outputs
        self.width, self.hidden, self.dropout = width, hidden, dropout


class ResidualBlock(nn.Module):
    """x + conv(relu(norm(conv(relu(norm(x)))))), the skip a strided 1x1 convolution where shapes change.

    References:
        K. He, X. Zhang, S. Ren and J. Sun, "Identity mappings in deep residual networks", 2016,
        figure 1b.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.inputs, self.outputs, self.stride = inputs, outputs, stride
        self.body = nn.Sequential(
            _norm(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            _norm(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        )
        same = inputs == outputs and stride == 1
        self.skip: nn.Module = (
            nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
        )

    def forward(self, x: Float[Tensor, "N inputs H W"]) -> Float[Tensor, "N outputs H2 W2"]:
        """Return the skip plus the body."""
        out: Tensor = self.skip(x) + self.body(x)
        return out


class ResNet(nn.Sequential):
    """A residual network in stages that halve the image and double the width; see :func:`resnet`."""

    def __init__(
        self,
        shape: Sequence[int],
        outputs: int,
        *,
        width: int = 16,
        blocks: Sequence[int] = (1, 1, 1),
        dropout: float = 0.1,
    ) -> None:
        channels, _, _ = _image(shape)
        _check_sizes(outputs=outputs, width=width)
        _check_sizes(**{f"blocks[{i}]": number for i, number in enumerate(blocks)})
        checks.check_not_empty("blocks", blocks, hint="blocks of every stage")
        checks.check_range("dropout", dropout, 0, 1, open_high=True)
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1, bias=False)]
        wide = width
        for stage, number in enumerate(blocks):
            for block in range(number):
                after = width * 2**stage
                layers.append(ResidualBlock(wide, after, 2 if stage and not block else 1))
                wide = after
        super().__init__(
            *layers,
            _norm(wide),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(wide, outputs),
        )
        self.shape, self.outputs = tuple(shape), outputs
        self.width, self.blocks, self.dropout = width, tuple(blocks), dropout


def mlp(
    inputs: int,
    outputs: int,
    *,
    hidden: Sequence[int] = (64, 64),
    dropout: float = 0.1,
    seed: int | None = None,
) -> MLP:
    """Return a perceptron on flattened inputs.

    Args:
        inputs: Features of a row, after flattening.
        outputs: Classes, or 2 T for the mean and scale of T targets.
        hidden: Width of every hidden layer.
        dropout: Share of units dropped after every hidden layer, in [0, 1).
        seed: Of the initial weights; ``None`` draws them as torch does, from its global generator.

    Returns:
        (N, inputs) -> (N, outputs), in float32.

    Raises:
        ValueError: For sizes below one or a dropout outside [0, 1).

    Example:
        >>> mlp(3, 2, seed=0)(torch.zeros(5, 3)).shape
        torch.Size([5, 2])
    """
    with seeded(seed):
        return MLP(inputs, outputs, hidden=hidden, dropout=dropout)


def convolutional(
    shape: Sequence[int],
    outputs: int,
    *,
    width: int = 16,
    hidden: int = 64,
    dropout: float = 0.1,
    seed: int | None = None,
) -> Convolutional:
    """Return a small convolutional network for images.

    Args:
        shape: (channels, height, width) of an image.
        outputs: Classes, or 2 T for the mean and scale of T targets.
        width: Channels of the first convolution; the second has twice as many.
        hidden: Units of the layer between the convolutions and the output.
        dropout: Share of units dropped before and after that layer, in [0, 1).
        seed: Of the initial weights; ``None`` draws them as torch does, from its global generator.

    Returns:
        (N, channels, height, width) -> (N, outputs), in float32.

    Raises:
        ValueError: For sizes below one or a dropout outside [0, 1).

    Example:
        >>> convolutional((1, 28, 28), 10, seed=0)(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """
    with seeded(seed):
        return Convolutional(shape, outputs, width=width, hidden=hidden, dropout=dropout)


def resnet(
    shape: Sequence[int],
    outputs: int,
    *,
    width: int = 16,
    blocks: Sequence[int] = (1, 1, 1),
    dropout: float = 0.1,
    seed: int | None = None,
) -> ResNet:
    """Return a small residual network for images, in the style of those for CIFAR.

    ``blocks=(3, 3, 3)`` has the depth of ResNet-20. Group normalisation keeps the rows of a batch
    apart.

    Args:
        shape: (channels, height, width) of an image; any size works, later ones too.
        outputs: Classes, or 2 T for the mean and scale of T targets.
        width: Channels of the first stage; every further stage doubles them and halves the image.
        blocks: Residual blocks of every stage.
        dropout: Share of pooled features dropped before the output, in [0, 1).
        seed: Of the initial weights; ``None`` draws them as torch does, from its global generator.

    Returns:
        (N, channels, height, width) -> (N, outputs), in float32.

    Raises:
        ValueError: For sizes below one, no stages, or a dropout outside [0, 1).

    References:
        K. He et al., "Identity mappings in deep residual networks", 2016; Y. Wu and K. He, "Group
        normalization", 2018.

    Example:
        >>> resnet((3, 32, 32), 10, seed=0)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    with seeded(seed):
        return ResNet(shape, outputs, width=width, blocks=blocks, dropout=dropout)


def seeded(seed: int | None) -> contextlib.AbstractContextManager[None]:
    """Seed the initialisation without leaving a trace in the global generator."""
    return contextlib.nullcontext() if seed is None else _fork(seed)


@contextlib.contextmanager
def _fork(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _norm(channels: int) -> nn.GroupNorm:
    """Return group normalisation over groups of at least four channels, eight groups at most."""
    groups = next(g for g in (8, 4, 2, 1) if channels % g == 0 and (g == 1 or channels // g >= 4))
    return nn.GroupNorm(groups, channels)


def _image(shape: Sequence[int]) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise ValueError(f"`shape` should be (channels, height, width), got {tuple(shape)}.")
    channels, height, length = (int(size) for size in shape)
    _check_sizes(channels=channels, height=height, width=length)
    return channels, height, length


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        checks.check_range(name, size, 1)
