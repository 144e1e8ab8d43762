"""Pictures over one input: predictions, local lengthscale, latent rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain import checks
from uncertain.gp.plots.latents import used_rows
from uncertain.gp.plots.panels import BLUE, GREY, ORANGE, array_of, line_of, panel_of
from uncertain.gp.reading import TOLERANCE
from uncertain.predictive import Predictor, predict, quantile

_TALL = 20.0


def bands(
    model: Predictor,
    x: Float[Tensor, "N 1"],
    y: Float[Tensor, " N"] | None = None,
    *,
    axes: Any = None,
    levels: Sequence[float] = (0.5, 0.9),
    points: int = 200,
    name: str = "x",
    target: str = "y",
) -> Any:
    """Draw the predicted mean and central intervals of y over one input.

    Args:
        model: Any predictor of one number a row.
        x: (N, 1), rows to span.
        y: (N,), drawn as points.
        axes: Where to draw.
        levels: Of the intervals, each in (0, 1).
        points: How many to predict at.
        name: Of the input, with its unit.
        target: Of y, with its unit.

    Raises:
        ModuleNotFoundError: Without matplotlib.
        ValueError: For more than one input, or levels out of range.

    Example:
        >>> from torch.distributions import Normal
        >>> x = torch.linspace(0, 1, 5)[:, None]
        >>> axes = bands(lambda rows: Normal(rows[:, 0], 0.1), x, name="time / s")
        >>> axes.get_xlabel()
        'time / s'
    """
    checks.check_range("levels", levels, 0, 1, open_low=True, open_high=True)
    panel, at = panel_of(axes), line_of(x, points)
    found = predict(model, at)
    for depth, level in enumerate(sorted(levels, reverse=True)):
        tails = torch.tensor([[(1 - level) / 2], [(1 + level) / 2]]).to(at)
        low, high = quantile(found, tails)
        label = f"{level:.0%} of y".replace("%", " %")
        edges = array_of(at[:, 0]), array_of(low), array_of(high)
        panel.fill_between(*edges, color=BLUE, alpha=0.18 + 0.14 * depth, lw=0, label=label)
    panel.plot(array_of(at[:, 0]), array_of(found.mean), color=BLUE, label="mean")
    if y is not None:
        panel.plot(array_of(x[:, 0]), array_of(y), ".", color=GREY, ms=4, alpha=0.7, label="data")
    panel.set(xlabel=name, ylabel=target)
    panel.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, handlelength=1.2)
    return panel


def local_lengthscale(
    model: Any, x: Float[Tensor, "N 1"], *, axes: Any = None, points: int = 200, name: str = "x"
) -> Any:
    r"""Draw the local lengthscale :math:`1 / |h'(x)|` over one input, on a logarithmic axis.

    Gaps are where the model doesn't vary at all. Where h turns round its derivative passes zero, and
    the lengthscale leaves the picture: that is the model, not an error. It is in the input's unit.

    Args:
        model: With a ``local_metric``.
        x: (N, 1), rows to span.
        axes: Where to draw.
        points: How many to look at.
        name: Of the input, with its unit.

    Raises:
        ModuleNotFoundError: Without matplotlib.
        ValueError: For more than one input.

    Example:
        >>> from uncertain.gp import ThinDeepGP
        >>> x = torch.linspace(0, 1, 20)[:, None]
        >>> model = ThinDeepGP.from_data(x, x[:, 0].sin(), inducing_points=x[:5])
        >>> local_lengthscale(model, x).get_yscale()
        'log'
    """
    panel, at = panel_of(axes), line_of(x, points)
    metric = model.local_metric(at).detach()[:, 0, 0]
    flat = metric <= TOLERANCE * metric.max()
    lengths = torch.where(flat, torch.nan, metric.clamp(min=torch.finfo(metric.dtype).tiny).rsqrt())
    panel.plot(array_of(at[:, 0]), array_of(lengths), color=ORANGE)
    panel.set(xlabel=name, ylabel="local lengthscale", yscale="log")
    least, middle = lengths.nan_to_num(torch.inf).amin(), lengths.nanmedian()
    if middle.isfinite():
        panel.set_ylim(0.7 * float(least), _TALL * float(middle))
    return panel


def latent_curves(
    model: Any, x: Float[Tensor, "N 1"], *, axes: Any = None, points: int = 200, name: str = "x"
) -> Any:
    """Draw every used row of the latent h over one input, with two standard deviations either way.

    Args:
        model: With ``latent`` and ``relevance``.
        x: (N, 1), rows to span.
        axes: Where to draw.
        points: How many to look at.
        name: Of the input, with its unit.

    Raises:
        ModuleNotFoundError: Without matplotlib.
        ValueError: For more than one input.

    Example:
        >>> from uncertain.gp import ThinDeepGP
        >>> x = torch.linspace(0, 1, 20)[:, None]
        >>> model = ThinDeepGP.from_data(x, x[:, 0].sin(), inducing_points=x[:5])
        >>> len(latent_curves(model, x).lines)
        1
    """
    panel, at = panel_of(axes), line_of(x, points)
    found = model.latent(at)
    mean, spread = found.mean.detach(), 2 * found.stddev.detach()
    for row in used_rows(model, x):
        (line,) = panel.plot(array_of(at[:, 0]), array_of(mean[:, row]), label=f"row {row + 1}")
        low, high = mean[:, row] - spread[:, row], mean[:, row] + spread[:, row]
        panel.fill_between(
            array_of(at[:, 0]),
            array_of(low),
            array_of(high),
            color=line.get_color(),
            alpha=0.2,
            lw=0,
        )
    panel.set(xlabel=name, ylabel="latent h, in lengthscales of f")
    if len(panel.lines) > 1:
        panel.legend()
    return panel
