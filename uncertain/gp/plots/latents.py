"""Pictures of the latent space: where rows lie in it, and how much each dimension is used."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from uncertain.gp.plots.panels import BLUE, GREY, array_of, colour_bar, panel_of

PRUNED = 1e-3
"""A latent row that is used less than this share of the most used one counts as pruned."""


def latent_scatter(
    model: Any,
    x: Float[Tensor, "N D"],
    y: Float[Tensor, " N"],
    *,
    axes: Any = None,
    target: str = "y",
    cmap: str = "viridis",
) -> Any:
    """Draw the rows in the latent space: y over the one used row, or over the two most used.

    Where one row is used the data should lie on a curve; how far they scatter about it is noise, and
    what the latent misses. With two, y is the colour.

    Args:
        model: With ``latent`` and ``relevance``.
        x: (N, D).
        y: (N,).
        axes: Where to draw.
        target: Of y, with its unit.
        cmap: Name of the colours.

    Raises:
        ModuleNotFoundError: Without matplotlib.

    Example:
        >>> import torch
        >>> from uncertain.gp import ThinDeepGP
        >>> x = torch.rand(20, 2, generator=torch.Generator().manual_seed(0))
        >>> model = ThinDeepGP.from_data(x, x[:, 0].sin(), inducing_points=x[:5], latent_dim=1)
        >>> latent_scatter(model, x, x[:, 0].sin()).get_ylabel()
        'y'
    """
    panel = panel_of(axes)
    mean, rows = model.latent(x).mean.detach(), used_rows(model, x)
    across = array_of(mean[:, rows[0]])
    if len(rows) == 1:
        panel.plot(across, array_of(y), ".", color=BLUE, ms=4, alpha=0.6)
        panel.set(xlabel="latent h, in lengthscales of f", ylabel=target)
        return panel
    shown = panel.scatter(across, array_of(mean[:, rows[1]]), c=array_of(y), s=10, lw=0, cmap=cmap)
    colour_bar(shown, panel, target)
    panel.set(xlabel=f"latent row {rows[0] + 1}", ylabel=f"latent row {rows[1] + 1}")
    panel.set_aspect("equal", adjustable="datalim")
    return panel


def relevance_bars(model: Any, x: Float[Tensor, "N D"] | None = None, *, axes: Any = None) -> Any:
    """Draw the share of each latent row in all of the relevance, most used first, with its number.

    Args:
        model: With a ``relevance``.
        x: (N, D), rows to average over.
        axes: Where to draw.

    Raises:
        ModuleNotFoundError: Without matplotlib.

    Example:
        >>> import torch
        >>> from uncertain.gp import ThinDeepGP
        >>> x = torch.rand(20, 2, generator=torch.Generator().manual_seed(0))
        >>> model = ThinDeepGP.from_data(x, x[:, 0].sin(), inducing_points=x[:5])
        >>> len(relevance_bars(model).patches)
        2
    """
    panel = panel_of(axes)
    found = model.relevance(x).detach()
    share, order = (found / found.sum()).sort(descending=True)
    used = share >= PRUNED * share[0]
    colours = [BLUE if flag else GREY for flag in used.tolist()]
    bars = panel.barh(
        [f"row {i + 1}" for i in order.tolist()], array_of(share), color=colours, height=0.6
    )
    panel.bar_label(bars, labels=[f"{v:.2g}" for v in share.tolist()], padding=4)
    panel.invert_yaxis()
    panel.set(xlabel="share of the relevance", xlim=(0, 1.15))
    panel.grid(False, axis="y")
    return panel


def used_rows(model: Any, x: Float[Tensor, "N D"]) -> list[int]:
    """Return the latent rows that are not pruned, most used first.

    A row counts as pruned where it is used less than a thousandth of the most used.

    Args:
        model: With a ``relevance``.
        x: (N, D), rows to average over.

    Example:
        >>> import torch
        >>> from uncertain.gp import ThinDeepGP
        >>> x = torch.rand(20, 2, generator=torch.Generator().manual_seed(0))
        >>> model = ThinDeepGP.from_data(x, x[:, 0].sin(), inducing_points=x[:5])
        >>> sorted(used_rows(model, x))
        [0, 1]
    """
    found = model.relevance(x).detach()
    order = found.argsort(descending=True)
    return [row for row in order.tolist() if found[row] >= PRUNED * found[order[0]]]
