"""A small network for point clouds: each point alone, then what all points have in common."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from uncertain import checks
from uncertain.baselines.networks import seeded

Pooling = Literal["max", "mean"]


class PointPooling(nn.Module):
    """The largest or the mean value of each feature over the points; see :func:`pointnet`."""

    def __init__(self, pooling: Pooling) -> None:
        super().__init__()
        checks.check_choice("pooling", pooling, ("max", "mean"))
        self.pooling: Pooling = pooling

    def forward(self, x: Float[Tensor, "N points D"]) -> Float[Tensor, "N D"]:
        """Return one vector a cloud; the order of the points does not matter."""
        return x.amax(dim=1) if self.pooling == "max" else x.mean(dim=1)


class PointNet(nn.Sequential):
    """A perceptron shared by all points, pooling, a hidden layer; see :func:`pointnet`."""

    def __init__(
        self,
        outputs: int,
        *,
        inputs: int = 3,
        widths: Sequence[int] = (32, 64, 128),
        hidden: int = 64,
        pooling: Pooling = "max",
        dropout: float = 0.1,
    ) -> None:
        checks.check_range("outputs", outputs, 1)
        checks.check_range("inputs", inputs, 1)
        checks.check_range("hidden", hidden, 1)
        checks.check_range("dropout", dropout, 0, 1, open_high=True)
        checks.check_not_empty("widths", widths, hint="widths of the layers before the pooling")
        for place, width in enumerate(widths):
            checks.check_range(f"widths[{place}]", width, 1)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise((inputs, *widths)):
            layers += [nn.Linear(before, after), nn.LayerNorm(after), nn.ReLU()]
        super().__init__(
            *layers,
            PointPooling(pooling),
            nn.Linear(widths[-1], hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, outputs),
        )
        self.inputs, self.outputs, self.hidden = inputs, outputs, hidden
        self.widths, self.pooling, self.dropout = tuple(widths), pooling, dropout


def pointnet(
    outputs: int,
    *,
    inputs: int = 3,
    widths: Sequence[int] = (32, 64, 128),
    hidden: int = 64,
    pooling: Pooling = "max",
    dropout: float = 0.1,
    seed: int | None = None,
) -> PointNet:
    r"""Return a small network for point clouds, in the style of PointNet without its alignment.

    .. math:: f(\{x_1, \ldots, x_n\}) = g\Bigl(\max_i h(x_i)\Bigr)

    The order of the points does not matter, and any number of them will do, now or later. It is an
    ``nn.Sequential`` that ends in a linear layer, and normalises within a point only.

    Args:
        outputs: Classes, or 2 T for the mean and scale of T targets.
        inputs: Numbers of a point: 3 for places alone.
        widths: Of the layers that every point goes through.
        hidden: Units of the layer between the pooled features and the output.
        pooling: The largest value of each feature, which few points decide, or the mean.
        dropout: Share of hidden units dropped before the output, in [0, 1).
        seed: Of the initial weights; ``None`` draws them as torch does, from its global generator.

    Returns:
        (N, points, inputs) -> (N, outputs), in float32.

    Raises:
        ValueError: For sizes below one, no widths, an unknown pooling, or a dropout outside [0, 1).

    References:
        C. Qi, H. Su, K. Mo and L. Guibas, "PointNet: deep learning on point sets for 3D
        classification and segmentation", 2017.

    Example:
        >>> import torch
        >>> network = pointnet(10, seed=0).eval()
        >>> cloud = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(0))
        >>> bool(torch.allclose(network(cloud.flip(1)), network(cloud)))
        True
    """
    with seeded(seed):
        return PointNet(
            outputs,
            inputs=inputs,
            widths=widths,
            hidden=hidden,
            pooling=pooling,
            dropout=dropout,
        )
