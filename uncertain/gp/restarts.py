"""Several starts of a thin-and-deep process, raced on a few hundred rows; the best goes on.

``R`` starts, ``N`` rows, ``D`` inputs, ``E`` columns of the matrix, ``Q`` latent dimensions, ``M``
inducing points.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain.gp import race
from uncertain.gp.alignment import PlainProcess, aligned, best_lengthscale, design, plain_process
from uncertain.gp.initialisation import cluster_centres, start_at
from uncertain.gp.thin_deep_gp import ThinDeepGP

ROWS = 500
"""How many rows a race is run on."""
_PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2)
_SIZES = (0.7, 1.4)
_SMALL = 3e-3
_CERTAIN, _SURE = 0.03, 0.018
_NOISE, _SCREENED, _LEAST = 0.01, 0.01, 1e-4
_ENTRIES, _COLUMNS = 2e7, 150
_RATE = 0.05
_HEATS = (100, 60)
_FINAL = 450

Start = dict[str, Tensor]


class Race(NamedTuple):
    """How a race went.

    Attributes:
        bounds: What each start that ran had reached where it was last compared, in nats of the rows
            raced on; the winner's first.
        rows: How many rows those were.
    """

    bounds: tuple[float, ...]
    rows: int


@torch.no_grad()
def improve_start(
    model: ThinDeepGP,
    x: Float[Tensor, "N D"],
    y: Float[Tensor, " N"],
    weight: Float[Tensor, " N"],
    *,
    starts: int,
    seed: int,
) -> Race:
    """Set a model's parameters to those of the best of several starts, after a short training.

    The starts are the model's own; a matrix that makes it the plain process with the best
    lengthscales; and rows aligned with the gradient of that process, of several sizes and smoothness,
    beside which the other rows begin near zero. They are compared by the bound at equal noise: on
    sight, then after each heat of a race in which the noise is lowered. The winner trains on, with its
    noise. All that on 500 rows at most.

    Args:
        model: With one hidden layer and Gaussian noise; changed in place.
        x: (N, D), as the model's user gives it.
        y: (N,).
        weight: (N,).
        starts: How many race, at least 1; as many as fill the first heat after the look.
        seed: Of the rows and of what is drawn.
    """
    rows = _rows(model, x, y, weight, seed)
    with torch.enable_grad():
        plain = plain_process(rows.x, rows.y)
    everything = list(_starts(model, rows, plain, seed))
    stacked = {name: torch.stack([each[name] for each in everything]) for name in everything[0]}
    jitter = model.hidden.jitter
    order = _on_sight(stacked, rows, jitter).argsort(descending=True)[:starts]
    stacked = {name: t[order].clone() for name, t in stacked.items()}
    low = min(_NOISE, max(_LEAST, 0.3 * float(plain.noise)))
    schedule = _lowered(_NOISE, low, sum(_HEATS))
    adam = race.Adam(stacked)
    lost: list[float] = []
    place = 0
    for steps in _HEATS:
        heat = schedule[place : place + steps]
        with torch.enable_grad():
            found = race.descend(
                stacked, rows, adam, jitter=jitter, steps=heat, rate=_RATE, falling=False
            )
        left = 1 if place else max(1, len(found) // 3)
        place += steps
        order = found.argsort(descending=True)
        lost = [*found[order[left:]].tolist(), *lost]
        stacked = {name: t[order[:left]].clone() for name, t in stacked.items()}
        adam.keep(order[:left])
    with torch.enable_grad():
        found = race.descend(
            stacked, rows, adam, jitter=jitter, steps=[None] * _FINAL, rate=_RATE, falling=True
        )
    if bool(found.isfinite().all()):
        for name, parameter in model.named_parameters():
            parameter.copy_(stacked[name][0])
    return Race((float(found[0]), *lost), len(rows.x))


def _rows(model: ThinDeepGP, x: Tensor, y: Tensor, weight: Tensor, seed: int) -> race.Rows:
    """Return at most 500 standardised rows of positive weight, on the model's device."""
    generator = torch.Generator().manual_seed(seed)
    index = weight.cpu().nonzero()[:, 0]
    index = index[torch.randperm(len(index), generator=generator)[:ROWS]].sort().values
    like = model.input_loc
    standard = (x[index.to(x.device)].to(like) - model.input_loc) / model.input_scale
    ones = torch.ones_like(standard[:, :1])
    return race.Rows(
        standard,
        torch.cat([standard, ones], 1) if model.hidden.bias else standard,
        (y[index.to(y.device)].to(like) - model.loc) / model.scale,
        weight[index.to(weight.device)].to(like),
    )


def _starts(model: ThinDeepGP, rows: race.Rows, plain: PlainProcess, seed: int) -> Iterator[Start]:
    own = {name: t.detach().clone() for name, t in model.named_parameters()}
    own["log_noise"].fill_(math.log(_NOISE))
    yield own
    yield _plain_start(model, own, rows, plain, seed)
    layer = model.hidden
    count, columns = layer.mean.shape[1:]
    if len(rows.x) * rows.x.shape[1] * count * columns > _ENTRIES:
        return
    generator = torch.Generator().manual_seed(seed)
    points = layer.inducing_points.detach()
    for penalty in _PENALTIES:
        length = points.new_full((points.shape[1],), layer.lengthscale)
        if count * columns <= _COLUMNS:
            length = best_lengthscale(
                rows.x, points, plain.gradient, penalty=penalty, jitter=layer.jitter, bias=layer.bias
            )  # fmt: skip
        made = design(rows.x, points, length, jitter=layer.jitter, bias=layer.bias)
        _, values = aligned(made, plain.gradient, penalty)
        spread = (made.values @ values).std().clamp(min=1e-12)
        for size in _SIZES:
            yield _aligned_start(own, rows, length, values * size / spread, layer.jitter, generator)


def _aligned_start(
    own: Start,
    rows: race.Rows,
    length: Tensor,
    values: Tensor,
    jitter: float,
    generator: torch.Generator,
) -> Start:
    """Return a start whose first row is given and whose other rows are drawn, and nearly off."""
    start = {name: t.clone() for name, t in own.items()}
    mean = start["hidden.mean"]
    scale = values.square().mean().sqrt()
    drawn = torch.randn(mean.shape, generator=generator, dtype=mean.dtype)
    mean.copy_(drawn.to(mean.device))
    mean[0] = (values / scale).view_as(mean[0])
    start["hidden.log_variance"].fill_(2 * math.log(_SMALL))
    start["hidden.log_variance"][0] = 2 * scale.log()
    start["hidden.log_lengthscale"].copy_(length.log().expand_as(start["hidden.log_lengthscale"]))
    start["hidden.root"].zero_()  # the prior, which costs nothing
    start["hidden.root"][0].fill_diagonal_(math.log(_CERTAIN))
    start["log_amplitude"].zero_()
    stacked = {name: t[None] for name, t in start.items()}
    h = race.latent_mean(stacked, rows, jitter=jitter)[0]
    points = start["inducing_points"]
    along = torch.linspace(0, len(h) - 1, len(points)).long().to(h.device)
    points.copy_(h[h[:, 0].argsort()[along]])
    return start


def _plain_start(
    model: ThinDeepGP, own: Start, rows: race.Rows, plain: PlainProcess, seed: int
) -> Start:
    """Return a start that is the plain process: a constant matrix of inverse lengthscales."""
    layer = copy.deepcopy(model.hidden)
    inverse = plain.lengthscale.reciprocal().diag()
    width, inputs = layer.latent_dim, len(inverse)
    if width < inputs:
        right = torch.linalg.svd(rows.x @ inverse, full_matrices=False)[2]
        inverse = right[:width] @ inverse
    matrix = inverse.new_zeros(width, inputs)
    matrix[: len(inverse)] = inverse[:width]
    start_at(layer, rows.x, matrix)
    start = {name: t.clone() for name, t in own.items()}
    for name, parameter in layer.named_parameters():
        start[f"hidden.{name}"] = parameter.detach().clone()
    start["log_amplitude"].copy_(plain.amplitude.log())
    h = race.latent_mean({name: t[None] for name, t in start.items()}, rows, jitter=layer.jitter)[0]
    points = start["inducing_points"]
    found = cluster_centres(h, len(points), seed)
    points[: len(found)] = found
    return start


def _on_sight(starts: Start, rows: race.Rows, jitter: float) -> Tensor:
    """Return the log joint of every start at certain matrices, before any training."""
    sure = torch.zeros_like(starts["hidden.root"])
    sure.diagonal(dim1=-2, dim2=-1).fill_(math.log(_SURE))
    noise = torch.full_like(starts["log_noise"], math.log(_SCREENED))
    made = race.bounds({**starts, "hidden.root": sure, "log_noise": noise}, rows, jitter=jitter)
    prior = 0.5 * starts["hidden.mean"].square().sum((1, 2, 3))
    value = made.likelihood - prior
    return torch.where(made.sound & value.isfinite(), value, -torch.inf)


def _lowered(first: float, last: float, steps: int) -> list[float | None]:
    return [first * (last / first) ** (place / max(1, steps - 1)) for place in range(steps)]
