r"""Does a prior survive its depth? Correlation of near inputs, and rank of the Jacobian, by layers.

Under the prior that a model starts with, at standard normal inputs of eight dimensions and as many
latent ones:

- the correlation of f at two inputs 5 % apart, :math:`\mathrm E \exp(-\lVert h_L(x) - h_L(x')
  \rVert^2 / 2)`. Near 0 the prior knows no neighbours any more; where it climbs to 1, f no longer
  depends on x.
- the effective rank of the Jacobian of :math:`h_L`, the exponential of the entropy of its normalised
  squared singular values, between 1 and 8. At 1 f varies in one direction only.

Both are drawn exactly. Given the layer below, two rows of a layer are jointly normal; and at one input
a matrix and its derivatives are independent, so that :math:`J_l = W_l + G_l J_{l - 1}` with normal
entries, without the first term for a compositional process.

Four stacks: thin layers as they start here; thin layers with every scale at one; a compositional
process of zero mean with lengthscales at the spread of what they see; and that with every scale at one.

References:
    D. Duvenaud et al., "Avoiding pathologies in very deep networks", 2014; O. Roy and M. Vetterli,
    "The effective rank", 2007.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from uncertain.gp import ThinDeepGP

INPUTS, APART = 8, 0.05


class Stack(NamedTuple):
    """Scales of a stack's layers.

    Attributes:
        variance: (L,), of every entry of a matrix, or of h.
        lengthscale: (L,).
        thin: Whether each layer multiplies the inputs.
    """

    variance: Tensor
    lengthscale: Tensor
    thin: bool


def stacks(depth: int) -> dict[str, Stack]:
    """Return the stacks to compare, by name."""
    ones = torch.ones(depth, dtype=torch.float64)
    width = ones * INPUTS**0.5
    return {
        "thin": started(depth),
        "thin, unit scales": Stack(ones, ones, thin=True),
        "compositional": Stack(ones, width, thin=False),
        "compositional, unit scales": Stack(ones, ones, thin=False),
    }


def started(depth: int) -> Stack:
    """Return the scales that a model of this depth starts with."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(200, INPUTS, generator=g, dtype=torch.float64)
    model = ThinDeepGP.from_data(x, x[:, 0], hidden_layers=depth, num_inducing=20)
    layers = model.layers
    return Stack(
        torch.stack([layer.log_variance.detach().exp().mean() for layer in layers]),
        torch.stack([layer.log_lengthscale.detach().exp().mean() for layer in layers]),
        thin=True,
    )


def correlations(stack: Stack, draws: int, seed: int = 0) -> Tensor:
    """Return the mean correlation of f at inputs 5 % apart after every layer, (L,)."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(draws, INPUTS, generator=g, dtype=torch.float64)
    away = torch.randn(draws, INPUTS, generator=g, dtype=torch.float64)
    size = APART * x.norm(dim=1, keepdim=True) / away.norm(dim=1, keepdim=True)
    pair = torch.stack([x, x + size * away], 1)
    inner = pair @ pair.mT if stack.thin else torch.ones(draws, 2, 2, dtype=torch.float64)
    h, found = pair, []
    for variance, length in zip(stack.variance, stack.lengthscale, strict=True):
        square = (h[:, 0] - h[:, 1]).square().sum(1) / length**2
        kernel = torch.ones(draws, 2, 2, dtype=torch.float64)
        kernel[:, 0, 1] = kernel[:, 1, 0] = (-0.5 * square).exp()
        covariance = variance * kernel * inner
        root = torch.linalg.cholesky(covariance + 1e-12 * torch.eye(2, dtype=torch.float64))
        h = root @ torch.randn(draws, 2, INPUTS, generator=g, dtype=torch.float64)
        found.append((-0.5 * (h[:, 0] - h[:, 1]).square().sum(1)).exp().mean())
    return torch.stack(found)


def ranks(stack: Stack, draws: int, seed: int = 0) -> Tensor:
    """Return the mean effective rank of the Jacobian of h after every layer, (L,)."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(draws, INPUTS, generator=g, dtype=torch.float64)
    length = x.norm(dim=1)[:, None, None] if stack.thin else 1.0
    jacobian, found = torch.eye(INPUTS, dtype=torch.float64).expand(draws, -1, -1), []
    for variance, scale in zip(stack.variance, stack.lengthscale, strict=True):
        slopes, matrix = (
            torch.randn(2, draws, INPUTS, INPUTS, generator=g, dtype=torch.float64)
            * variance.sqrt()
        )
        jacobian = slopes * length / scale @ jacobian
        if stack.thin:
            jacobian = jacobian + matrix
        else:  # Its size does not matter, and would underflow.
            jacobian = jacobian / jacobian.flatten(1).norm(dim=1)[:, None, None]
        squares = torch.linalg.svdvals(jacobian).square()
        share = squares / squares.sum(1, keepdim=True)
        found.append(torch.special.entr(share).sum(1).exp().mean())
    return torch.stack(found)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this question."""
    parser.add_argument("--layers", type=int, default=20, help="how deep")
    parser.add_argument("--draws", type=int, default=4000, help="of every prior")


def run(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Draw from every prior, print a table and draw the figure; return the ends."""
    depth, draws = (3, 200) if options.quick else (options.layers, options.draws)
    curves = {
        name: (correlations(stack, draws), ranks(stack, draws))
        for name, stack in stacks(depth).items()
    }
    table = Table(title="correlation 5 % apart, and effective rank of the Jacobian of 8, by layers")
    shown = [at for at in (1, 2, 3, 5, 10, 20) if at <= depth]
    for column in ("prior", *map(str, shown)):
        table.add_column(column)
    for name, (near, rank) in curves.items():
        cells = [f"{float(near[at - 1]):.3f}, {float(rank[at - 1]):.1f}" for at in shown]
        table.add_row(name, *cells)
    Console().print(table)
    _draw(curves, folder / "depth.png")
    figures: dict[str, float] = {}
    for name, (near, rank) in curves.items():
        key = name.replace(", ", "_").replace(" ", "_")
        figures |= {f"{key}_correlation": float(near[-1]), f"{key}_rank": float(rank[-1])}
    return figures


def _draw(curves: dict[str, tuple[Tensor, Tensor]], path: Path) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(9.0, 3.4), constrained_layout=True)
    colours = ("#0072b2", "#56b4e9", "#d55e00", "#e69f00")
    titles = ("Correlation of f, inputs 5 % apart", "Effective rank of the Jacobian, of 8")
    for place, (axis, title) in enumerate(zip(axes, titles, strict=True)):
        for colour, (name, pair) in zip(colours, curves.items(), strict=True):
            values = pair[place].tolist()
            style: dict[str, Any] = {"ls": "--" if "unit" in name else "-", "lw": 2}
            axis.plot(range(1, len(values) + 1), values, color=colour, label=name, **style)
        axis.set_title(title, loc="left")
        axis.set_xlabel("hidden layers")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    axes[0].set_ylim(-0.02, 1.02)
    axes[1].set_ylim(0.8, None)
    axes[1].legend(frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
