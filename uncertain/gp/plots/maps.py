"""Pictures over two inputs: predictions, their uncertainty, and the local metric as ellipses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain import checks
from uncertain.gp.plots.panels import array_of, colour_bar, extent_of, panel_of, plane_of
from uncertain.gp.reading import TOLERANCE
from uncertain.predictive import Predictor, decompose, predict

_LONGEST, _SHORT = 0.62, 0.16
_OUTLINE = 48


def prediction_map(
    model: Predictor,
    x: Float[Tensor, "N 2"],
    *,
    axes: Any = None,
    side: int = 80,
    names: Sequence[str] = ("input 1", "input 2"),
    target: str = "mean of y",
    cmap: str = "viridis",
    limits: tuple[float, float] | None = None,
) -> Any:
    """Draw the predicted mean over two inputs.

    Args:
        model: Any predictor of one number a row.
        x: (N, 2), rows to span.
        axes: Where to draw.
        side: How many points along either input.
        names: Of the inputs, with their units.
        target: Of y, with its unit.
        cmap: Name of the colours.
        limits: Of the colours, so that maps can be compared.

    Raises:
        ModuleNotFoundError: Without matplotlib.
        ValueError: For other than two inputs.

    Example:
        >>> from torch.distributions import Normal
        >>> x = torch.rand(9, 2, generator=torch.Generator().manual_seed(0))
        >>> prediction_map(lambda rows: Normal(rows.sum(1), 0.1), x, side=5).get_xlabel()
        'input 1'
    """
    found = predict(model, plane_of(x, side)).mean
    return _map(found, x, side, axes, names, target, cmap, limits)


def uncertainty_map(
    model: Predictor,
    x: Float[Tensor, "N 2"],
    *,
    part: Literal["total", "aleatoric", "epistemic"] = "total",
    show: Float[Tensor, "N 2"] | None = None,
    axes: Any = None,
    side: int = 80,
    names: Sequence[str] = ("input 1", "input 2"),
    target: str = "sd of y",
    cmap: str = "magma",
    limits: tuple[float, float] | None = None,
) -> Any:
    """Draw the predicted standard deviation over two inputs, of all of it or of one part.

    Args:
        model: Any predictor of one number a row.
        x: (N, 2), rows to span.
        part: ``"aleatoric"``, the noise, or ``"epistemic"``, what more data would tell; these need
            a distribution that keeps them apart.
        show: (N, 2), rows drawn as dots: the training data, say.
        axes: Where to draw.
        side: How many points along either input.
        names: Of the inputs, with their units.
        target: Of y, with its unit.
        cmap: Name of the colours.
        limits: Of the colours, so that maps can be compared.

    Raises:
        ModuleNotFoundError: Without matplotlib.
        ValueError: For other than two inputs, or another part.

    Example:
        >>> from torch.distributions import Normal
        >>> x = torch.rand(9, 2, generator=torch.Generator().manual_seed(0))
        >>> axes = uncertainty_map(lambda rows: Normal(rows.sum(1), 0.1), x, side=5, show=x)
        >>> len(axes.lines)
        1
    """
    checks.check_choice("part", part, ("total", "aleatoric", "epistemic"))
    found = predict(model, plane_of(x, side))
    variance = found.variance if part == "total" else getattr(decompose(found), part)
    panel = _map(variance.sqrt(), x, side, axes, names, target, cmap, limits)
    if show is not None:
        panel.plot(*array_of(show).T, ".", color="white", ms=2.5, alpha=0.7, mew=0)
    return panel


def metric_map(
    model: Any,
    x: Float[Tensor, "N 2"],
    *,
    axes: Any = None,
    side: int = 14,
    names: Sequence[str] = ("input 1", "input 2"),
    colour: Literal["volume", "shortest"] = "volume",
    cmap: str = "viridis",
    limits: tuple[float, float] | None = None,
    reach: float | None = None,
) -> Any:
    """Draw the local metric over two inputs: an ellipse at each point holds what is near.

    The model varies along the short axis of an ellipse. All are the same number of lengthscales
    from their centre, which the title names; axes longer than a cell are cut, so a thin ellipse that
    fills its cell may be longer.

    Args:
        model: With a ``local_metric``.
        x: (N, 2), rows to span.
        axes: Where to draw.
        side: How many ellipses along either input.
        names: Of the inputs, with their units.
        colour: By the geometric mean of the two lengthscales, which is the metric's volume, or by
            the shortest of them: where only one latent row is used the volume is zero.
        cmap: Name of the colours.
        limits: Of the colours, in lengthscales; by default they leave out the outermost twentieths.
        reach: How many lengthscales an ellipse reaches; by default such that the median short half
            axis is a sixth of a cell.

    Raises:
        ModuleNotFoundError: Without matplotlib.
        ValueError: For other than two inputs, or another colour.

    Example:
        >>> from uncertain.gp import ThinDeepGP
        >>> x = torch.rand(20, 2, generator=torch.Generator().manual_seed(0))
        >>> model = ThinDeepGP.from_data(x, x[:, 0].sin(), inducing_points=x[:5])
        >>> len(metric_map(model, x, side=3).collections[0].get_paths())
        9
    """
    checks.check_choice("colour", colour, ("volume", "shortest"))
    checks.check_shape("x", x, ("N", 2), hint="this picture is of two inputs")
    panel, (low, high) = panel_of(axes), extent_of(x)
    cell = (high - low) / side
    steps = torch.arange(side).to(cell) + 0.5
    centres = low + torch.cartesian_prod(steps, steps) * cell
    metric = model.local_metric(centres).detach()
    values = torch.linalg.eigvalsh(metric)
    values = values.clamp(min=TOLERANCE * float(values.max()))
    lengths = values.prod(1) ** -0.25 if colour == "volume" else values[:, 1].rsqrt()
    outlines, reached = ellipses(metric, cell, reach)
    drawn: Any = checks.require("matplotlib.collections", "benchmark").PolyCollection(
        array_of(centres[:, None] + outlines),
        array=array_of(lengths),
        cmap=cmap,
        lw=0.4,
        ec="white",
    )
    drawn.set_norm(
        checks.require("matplotlib.colors", "benchmark").LogNorm(*_ends(lengths, limits))
    )
    panel.add_collection(drawn)
    ends = array_of(torch.stack([low, high], 1))
    panel.set(xlim=ends[0], ylim=ends[1], xlabel=names[0], ylabel=names[1])
    panel.set_title(f"each ellipse: {reached:.2g} lengthscales", fontsize="medium")
    panel.grid(False)
    kind = "geometric mean" if colour == "volume" else "shortest"
    colour_bar(drawn, panel, f"lengthscale ({kind})")
    return panel


def ellipses(
    metric: Float[Tensor, "N 2 2"], cell: Float[Tensor, " 2"], reach: float | None = None
) -> tuple[Float[Tensor, "N P 2"], float]:
    """Return outlines around zero of equal distance, in units of x, and that distance.

    Half-axes are cut at five eighths of a cell.

    Args:
        metric: (N, 2, 2), symmetric, not negative.
        cell: (2,), the room that each has.
        reach: The distance; by default the one at which the median short half-axis is a sixth of
            a cell.

    Example:
        >>> outlines, reach = ellipses(torch.eye(2)[None], torch.ones(2))
        >>> outlines.norm(dim=2).sub(reach).abs().max() < 1e-6
        tensor(True)
    """
    values, vectors = torch.linalg.eigh(metric * cell.outer(cell))
    tiny = torch.finfo(metric.dtype).tiny
    half = values.clamp(min=tiny).rsqrt()
    if reach is None:
        reach = float(_SHORT / half[:, 1].median().clamp(max=1 / tiny**0.25))
    angle = torch.linspace(0, 2 * torch.pi, _OUTLINE).to(metric)
    circle = torch.stack([angle.cos(), angle.sin()], 1)
    axes = (reach * half).clamp(max=_LONGEST)[:, None] * circle
    return (axes @ vectors.mT) * cell, reach


def _ends(lengths: Tensor, limits: tuple[float, float] | None) -> tuple[float, float]:
    """Return where colours end; a little apart where all lengths are the same."""
    low, high = (
        lengths.quantile(lengths.new_tensor([0.05, 0.95])).tolist() if limits is None else limits
    )
    return (low, high) if high > 1.01 * low else (low / 1.1, high * 1.1)


def _map(
    values: Tensor,
    x: Tensor,
    side: int,
    axes: Any,
    names: Sequence[str],
    target: str,
    cmap: str,
    limits: tuple[float, float] | None,
) -> Any:
    panel, (low, high) = panel_of(axes), extent_of(x)
    bottom, top = (None, None) if limits is None else limits
    shown = panel.imshow(
        array_of(values).reshape(side, side).T,
        origin="lower",
        extent=(float(low[0]), float(high[0]), float(low[1]), float(high[1])),
        aspect="auto",
        interpolation="bilinear",
        cmap=cmap,
        vmin=bottom,
        vmax=top,
    )
    panel.grid(False)
    panel.set(xlabel=names[0], ylabel=names[1])
    colour_bar(shown, panel, target)
    return panel
