"""Several starts of a thin-and-deep process, raced on a few hundred rows; the best goes on.

``R`` starts, ``N`` rows, ``D`` inputs, ``E`` columns of the matrix, ``Q`` latent dimensions, ``M``
inducing points.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uncertain.fit import Batch
from uncertain.gp import race
from uncertain.gp.alignment import PlainProcess, aligned, best_lengthscale, design, plain_process
from uncertain.gp.initialisation import cluster_centres, start_at
from uncertain.gp.likelihoods import SMALLEST_NOISE
from uncertain.gp.limits import Limit
from uncertain.gp.thin_deep_gp import ThinDeepGP

ROWS = 500
"""How many rows a race is run on."""
_PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
_SMALL = 3e-3
_CERTAIN = 0.03
_NOISE, _SHARE = 0.01, 0.3
_ENTRIES, _COLUMNS = 2e7, 150
_RATE = 0.05
_HEATS = ((100, 1e-3, 3), (100, 1e-4, 1))
"""Steps, the noise variance that they lower to, and how many starts go on."""
_FINAL, _POLISHED = 300, 1500
_STAGE = 0.4
"""The share of what is left of the time that each part of a race may take."""
_NARROW = 0.05

Start = dict[str, Tensor]


class Race(NamedTuple):
    """How a race of starts went.

    Attributes:
        bounds: What each start that ran had reached where it was last compared, in nats of the rows
            raced on; the winner's first.
        rows: How many rows those were.
        cut: Whether its time was up before it was done.
    """

    bounds: tuple[float, ...]
    rows: int
    cut: bool = False


@torch.no_grad()
def improve_start(
    model: ThinDeepGP,
    x: Float[Tensor, "N D"],
    y: Float[Tensor, " N"],
    weight: Float[Tensor, " N"],
    *,
    starts: int,
    seed: int,
    limit: Limit | None = None,
) -> Race:
    """Set a model's parameters to those of the best of several starts, after a short training.

    The starts are a matrix that makes the model the plain process with the best lengthscales; five with
    a row aligned with the gradient of that process, more and less smooth, beside which the other rows
    begin near zero; and the model's own. They are compared by the bound at equal noise, after each heat
    of a race in which the noise is lowered. The winner trains on, with its noise. All that on 500 rows
    at most.

    Args:
        model: With one hidden layer and Gaussian noise; changed in place.
        x: (N, D), as the model's user gives it.
        y: (N,).
        weight: (N,).
        starts: How many race, from 1 to 7, in that order.
        seed: Of the rows and of what is drawn.
        limit: Of its time; the race is shortened to fit, down to one start.
    """
    limit = Limit(None) if limit is None else limit
    rows = _rows(model, x, y, weight, seed)
    with torch.enable_grad():
        plain = plain_process(rows.x, rows.y)
    part = limit.part(_STAGE)
    everything = _in_time(islice(_starts(model, rows, plain, seed), starts), part)
    cut = part.over
    few = min(len(model.inducing_points), 5 + 10 * rows.x.shape[1])
    for each in everything:
        one = {name: t[None] for name, t in each.items()}
        each["inducing_points"] = _spread_points(one, rows, few, model.hidden.jitter, seed)
    stacked = {name: torch.stack([each[name] for each in everything]) for name in everything[0]}
    adam = race.Adam(stacked)
    lost: list[float] = []
    noise = _NOISE
    for steps, lowest, most in _HEATS:
        last = min(noise, max(lowest, _SHARE * float(plain.noise)))
        part = limit.part(_STAGE)
        with torch.enable_grad():
            found = race.descend(
                stacked, rows, adam, jitter=model.hidden.jitter, rate=_RATE, falling=False,
                steps=_lowered(noise, last, steps), limit=part,
            )  # fmt: skip
        cut = cut or part.over
        noise = float(stacked["log_noise"][0].exp()) + SMALLEST_NOISE
        order = found.argsort(descending=True)
        lost = [*found[order[most:]].tolist(), *lost]
        stacked = {name: t[order[:most]].clone() for name, t in stacked.items()}
        adam.keep(order[:most])
    points = _spread_points(stacked, rows, len(model.inducing_points), model.hidden.jitter, seed)
    stacked["inducing_points"] = points[None]
    adam.forget("inducing_points", points[None])
    part = limit.part(2 * _STAGE)
    with torch.enable_grad():
        race.descend(
            stacked, rows, adam, jitter=model.hidden.jitter, rate=_RATE, falling=True,
            steps=[None] * _FINAL, limit=part,
        )  # fmt: skip
        cut = cut or part.over
        # Some of the rows alone are not worth it.
        few_steps = _POLISHED if len(rows.x) == int((weight > 0).sum()) else 0
        found = race.polish(
            stacked, rows, jitter=model.hidden.jitter, iterations=few_steps, limit=limit
        )
    if bool(found.isfinite().all()):
        for name, parameter in model.named_parameters():
            parameter.copy_(stacked[name][0])
    return Race((float(found[0]), *lost), len(rows.x), cut or limit.over)


class RaceStep:
    """A race as the single step of a training, so that its checkpoint holds what came of it.

    Args:
        run: Makes it.
    """

    def __init__(self, run: Callable[[], Race]) -> None:
        self._run = run
        self.race: Race | None = None

    def __call__(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Run it, whatever the batch, and return minus the bound a row."""
        self.race = self._run()
        return {"loss": torch.tensor(-self.race.bounds[0] / self.race.rows, dtype=torch.float64)}

    def state_dict(self) -> dict[str, Any]:
        """Return how it went, for a checkpoint."""
        if self.race is None:
            return {}
        return {"bounds": [*self.race.bounds], "rows": self.race.rows, "cut": self.race.cut}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what a checkpoint says."""
        if state:
            self.race = Race(tuple(state["bounds"]), state["rows"], state["cut"])


def _in_time(starts: Iterator[Start], limit: Limit) -> list[Start]:
    made = [next(starts)]
    while not limit.over:
        another = next(starts, None)
        if another is None:
            break
        made.append(another)
    return made


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
    if not all(bool(part.isfinite().all()) for part in plain):
        yield own
        return
    yield _plain_start(model, own, rows, plain)
    layer = model.hidden
    count, columns = layer.mean.shape[1:]
    if len(rows.x) * rows.x.shape[1] * count * columns > _ENTRIES:
        yield own
        return
    generator = torch.Generator().manual_seed(seed)
    points = layer.inducing_points.detach()
    for penalty in _PENALTIES:
        length = points.new_full((points.shape[1],), layer.lengthscale)
        if count * columns <= _COLUMNS:
            length = best_lengthscale(
                rows.x, points, plain.gradient, penalty=penalty, jitter=layer.jitter, bias=layer.bias
            )  # fmt: skip
        try:
            made = design(rows.x, points, length, jitter=layer.jitter, bias=layer.bias)
            _, values = aligned(made, plain.gradient, penalty)
        except RuntimeError:  # no factor: too smooth for these points
            continue
        spread = (made.values @ values).std().clamp(min=1e-12)
        yield _aligned_start(own, length, values / spread, generator)
    yield own


def _aligned_start(own: Start, length: Tensor, values: Tensor, generator: torch.Generator) -> Start:
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
    return start


def _plain_start(model: ThinDeepGP, own: Start, rows: race.Rows, plain: PlainProcess) -> Start:
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
    return start


def _spread_points(start: Start, rows: race.Rows, count: int, jitter: float, seed: int) -> Tensor:
    """Return points of f (M, Q) where the latent rows of a start are: k-means, or along one row."""
    h = race.latent_mean(start, rows, jitter=jitter)[0]
    wide = h.std(0)
    if bool((wide > _NARROW * wide.max()).sum() == 1):
        along = torch.linspace(0, len(h) - 1, count).long().to(h.device)
        return h[h[:, wide.argmax()].argsort()[along]]
    found = cluster_centres(h, count, seed)
    # Fewer where rows repeat: as many again, which the jitter keeps apart.
    return found[torch.arange(count, device=h.device) % len(found)]


def _lowered(first: float, last: float, steps: int) -> list[float | None]:
    return [first * (last / first) ** (place / max(1, steps - 1)) for place in range(steps)]
