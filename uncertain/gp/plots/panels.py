"""What the pictures share: where they draw, and the points that they look at."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain import checks

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#555555"


def panel_of(axes: Any) -> Any:
    """Return the axes, or new ones."""
    if axes is not None:
        return axes
    pyplot: Any = checks.require("matplotlib.pyplot", "benchmark")
    return pyplot.subplots(figsize=(5.0, 3.6), layout="constrained")[1]


def line_of(x: Tensor, points: int) -> Float[Tensor, "P 1"]:
    """Return points along one input, a little beyond the rows."""
    checks.check_shape("x", x, ("N", 1), hint="this picture is of one input")
    low, high = extent_of(x)
    margin = 0.05 * (high - low)
    return torch.linspace(float(low - margin), float(high + margin), points).to(x)[:, None]


def plane_of(x: Tensor, side: int) -> Float[Tensor, "P 2"]:
    """Return a square grid of points over two inputs, the second varying fastest."""
    checks.check_shape("x", x, ("N", 2), hint="this picture is of two inputs")
    low, high = extent_of(x)
    each = [torch.linspace(float(a), float(b), side) for a, b in zip(low, high, strict=True)]
    return torch.cartesian_prod(*each).to(x)


def extent_of(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least and the largest of every input."""
    checks.check_not_empty("x", x)
    return x.detach().amin(0), x.detach().amax(0)


def array_of(t: Tensor) -> Any:
    """Return a tensor as a float64 array."""
    return t.detach().cpu().double().numpy()


def colour_bar(drawn: Any, panel: Any, label: str) -> None:
    """Put what the colours mean beside a panel; five plain numbers where they are logarithmic."""
    bar = panel.figure.colorbar(drawn, ax=panel, label=label)
    bar.outline.set_visible(False)
    low, high = drawn.get_clim()
    if 0 < low < high and type(drawn.norm).__name__ == "LogNorm":
        steps = torch.linspace(math.log(low), math.log(high), 5).exp().tolist()
        bar.set_ticks(steps, labels=[f"{v:.0f}" if v > 99 else f"{v:.2g}" for v in steps])
        bar.minorticks_off()
