r"""The collapsed bound of many starts at once, and a race between them.

A step on a few hundred rows costs mostly the calls, not the arithmetic, so ten starts in one batch of
tensors cost little more than two one after another. Starts are the parameters of a ``ThinDeepGP``,
stacked; the bound is that of its ``objective``.

``R`` starts, ``N`` rows, ``D`` inputs, ``E`` columns of the matrix, ``Q`` latent dimensions, ``M``
inducing points, ``P`` pairs of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from uncertain.gp.deformation import SMALLEST_VARIANCE
from uncertain.gp.kernels import unit_kernel
from uncertain.gp.likelihoods import SMALLEST_NOISE
from uncertain.gp.limits import Limit

_DECAY, _SQUARES = 0.9, 0.99
_FLOOR = 0.1
_TURN = 1e6
_CHUNK, _HISTORY, _GAIN = 50, 100, 0.03
_ANY_TIME = Limit(None)


class Rows(NamedTuple):
    """Standardised rows to race on.

    Attributes:
        x: (N, D).
        features: (N, E), what the matrix multiplies.
        y: (N,).
        weight: (N,), above 0.
    """

    x: Float[Tensor, "N D"]
    features: Float[Tensor, "N E"]
    y: Float[Tensor, " N"]
    weight: Float[Tensor, " N"]


class Bounds(NamedTuple):
    """The bound of every start, in two parts.

    Attributes:
        likelihood: (R,) what the data add, in nats.
        divergence: (R,) what the posterior of W costs.
        sound: (R,) whether every factorisation went through.
    """

    likelihood: Float[Tensor, " R"]
    divergence: Float[Tensor, " R"]
    sound: Bool[Tensor, " R"]

    @property
    def total(self) -> Float[Tensor, " R"]:
        """The bound; minus infinity where a matrix had no factor."""
        whole = self.likelihood - self.divergence
        return torch.where(self.sound & whole.isfinite(), whole, -torch.inf)


def bounds(starts: Mapping[str, Tensor], rows: Rows, *, jitter: float) -> Bounds:
    """Return the collapsed bounds of all starts.

    Args:
        starts: The parameters of ``ThinDeepGP`` by their names there, each with R in front.
        rows: The data.
        jitter: Of the model.
    """
    mean, variance, divergence, sound = _hidden(starts, rows, jitter)
    noise = starts["log_noise"].exp() + SMALLEST_NOISE
    centre = starts["inducing_points"].detach().mean(1, keepdim=True)
    points, mean = starts["inducing_points"] - centre, mean - centre
    factor, info = torch.linalg.cholesky_ex(_kernel(points, points, jitter))
    amplitude = starts["log_amplitude"].exp()
    pulled = (_features(mean, 1 + variance) @ _columns(points).mT).exp().mT @ (rows.weight * rows.y)
    half = _solve(factor, amplitude[:, None, None] * _psi2(mean, variance, points, rows.weight))
    second = _solve(factor, half.mT)
    cross = _solve(factor, (amplitude.sqrt()[:, None] * pulled)[..., None]) / noise[:, None, None]
    eye = torch.eye(points.shape[1], dtype=points.dtype, device=points.device)
    scaled = (second + second.mT) / (2 * noise[:, None, None])
    outer, info_outer = torch.linalg.cholesky_ex(eye + scaled)
    count = rows.weight.sum()
    explained = _solve(outer, cross)[..., 0].square().sum(1)
    left = ((rows.weight * rows.y.square()).sum() + count * amplitude) / noise
    trace = scaled.diagonal(dim1=1, dim2=2).sum(1)
    logs = outer.diagonal(dim1=1, dim2=2).log().sum(1)
    value = -0.5 * (count * (2 * math.pi * noise).log() + left - trace - explained) - logs
    return Bounds(value, divergence, sound & (info == 0) & (info_outer == 0))


def descend(
    starts: dict[str, Tensor],
    rows: Rows,
    adam: Adam,
    *,
    jitter: float,
    steps: Sequence[float | None],
    rate: float,
    falling: bool,
    limit: Limit = _ANY_TIME,
) -> Float[Tensor, " R"]:
    """Take steps of Adam on every start, in place; a start whose matrices fail stays where it is.

    Args:
        starts: As for ``bounds``.
        rows: The data.
        adam: Made for these starts; it remembers earlier steps.
        jitter: Of the model.
        steps: For every step the noise variance that is held, or ``None`` to train it.
        rate: The learning rate.
        falling: Whether it falls to a tenth along half a cosine.
        limit: Where it ends, no more steps are taken after the first.

    Returns:
        (R,) the best bounds in the last quarter of the steps, since single ones are shaken; minus
        infinity for a start whose matrices failed.
    """
    totals: list[Tensor] = []
    for place, held in enumerate(steps):
        if totals and limit.over:
            break
        if held is not None:
            starts["log_noise"].fill_(math.log(held - SMALLEST_NOISE))
        leaves = {name: t.detach().requires_grad_() for name, t in starts.items()}
        made = bounds(leaves, rows, jitter=jitter)
        total = made.total.detach()
        alive = total.isfinite()
        totals.append(total)
        loss = torch.where(alive, made.likelihood - made.divergence, 0).sum()
        gradients = torch.autograd.grad(-loss / rows.weight.sum(), list(leaves.values()))
        gone = max(place / len(steps), limit.done)
        along = 0.5 * (1 + math.cos(math.pi * gone)) if falling else 1.0
        adam.step(
            starts,
            {
                name: torch.where(_spread(alive, gradient), gradient.nan_to_num(0, 0, 0), 0)
                for name, gradient in zip(leaves, gradients, strict=True)
                if name != "log_noise" or held is None
            },
            rate * (_FLOOR + (1 - _FLOOR) * along),
        )
    return torch.stack(totals[-(-3 * (len(totals) - 1) // 4) :]).amax(0)


def polish(
    starts: dict[str, Tensor],
    rows: Rows,
    *,
    jitter: float,
    iterations: int,
    limit: Limit = _ANY_TIME,
) -> Float[Tensor, " R"]:
    """Take iterations of L-BFGS on starts that have converged nearly, in place, while they gain enough.

    Hard surfaces take several times as many as easy ones. They are long and narrow, too: remembering
    30 directions instead of 100 takes twice as long.

    Args:
        starts: As for ``bounds``; best one alone, since the line search is shared.
        rows: The data.
        jitter: Of the model.
        iterations: How many at most, rounded up to fifties.
        limit: Where it ends, so do they.

    Returns:
        (R,) the bounds reached; starts stay where they are if that is no better.
    """
    leaves = {name: t.detach().clone().requires_grad_() for name, t in starts.items()}
    optimizer = torch.optim.LBFGS(
        list(leaves.values()),
        max_iter=_CHUNK,
        max_eval=2 * _CHUNK,
        history_size=_HISTORY,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        optimizer.zero_grad()
        loss = -bounds(leaves, rows, jitter=jitter).total.sum() / rows.weight.sum()
        if not bool(loss.isfinite()):  # no place to go: the line search turns back
            return _TURN
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def total() -> Tensor:
        with torch.no_grad():
            return bounds(leaves, rows, jitter=jitter).total

    before = last = total()
    enough, afresh = _GAIN * float(rows.weight.sum()), False
    for _ in range(-(-iterations // _CHUNK)):
        optimizer.step(closure)
        now = total()
        slow = not bool((now - last).sum() >= enough)
        if limit.over or (slow and afresh):
            break
        if slow:  # perhaps for what it remembers
            optimizer.state.clear()
        last, afresh = now, slow
    after = total()
    if bool(after.sum() > before.sum()):
        for name, leaf in leaves.items():
            starts[name].copy_(leaf.detach())
    return torch.maximum(before, after)


class Adam:
    """Adam for stacked starts, so that some can be dropped on the way.

    Args:
        tensors: What is trained, by name, each with the starts in front.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._first = {name: torch.zeros_like(t) for name, t in tensors.items()}
        self._second = {name: torch.zeros_like(t) for name, t in tensors.items()}
        self._steps = dict.fromkeys(tensors, 0)

    @torch.no_grad()
    def step(
        self, tensors: Mapping[str, Tensor], gradients: Mapping[str, Tensor], rate: float
    ) -> None:
        """Move the tensors that have a gradient, in place."""
        for name, gradient in gradients.items():
            self._steps[name] += 1
            first, second, count = self._first[name], self._second[name], self._steps[name]
            first.lerp_(gradient, 1 - _DECAY)
            second.lerp_(gradient.square(), 1 - _SQUARES)
            spread = (second / (1 - _SQUARES**count)).sqrt() + 1e-10
            tensors[name].sub_(rate / (1 - _DECAY**count) * first / spread)

    def forget(self, name: str, like: Tensor) -> None:
        """Start afresh for one tensor, of a new shape."""
        self._first[name], self._second[name] = torch.zeros_like(like), torch.zeros_like(like)
        self._steps[name] = 0

    def keep(self, index: Tensor) -> None:
        """Drop all starts but some."""
        self._first = {name: t[index].clone() for name, t in self._first.items()}
        self._second = {name: t[index].clone() for name, t in self._second.items()}


def latent_mean(
    starts: Mapping[str, Tensor], rows: Rows, *, jitter: float
) -> Float[Tensor, "R N Q"]:
    """Return the mean of h at every row, for every start."""
    return _hidden(starts, rows, jitter)[0]


def _hidden(
    starts: Mapping[str, Tensor], rows: Rows, jitter: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return mean and variance (R, N, Q) of h, the divergence of W, and whether factors exist."""
    scale = (-starts["hidden.log_lengthscale"]).exp()[:, :, None]
    centre = starts["hidden.inducing_points"].detach().mean(1)[:, None, None]
    points = (starts["hidden.inducing_points"][:, None] - centre) * scale
    factor, info = torch.linalg.cholesky_ex(_kernel(points, points, jitter))
    response = _solve(factor, unit_kernel(points, (rows.x - centre) * scale))
    variance = starts["hidden.log_variance"].exp()
    logs = starts["hidden.root"].diagonal(dim1=-2, dim2=-1)
    root = starts["hidden.root"].tril(-1) + logs.exp().diag_embed()
    known = response.square().sum(2) - (root.mT @ response).square().sum(2)
    entries = starts["hidden.mean"].mT @ response  # (R, Q, E, N)
    mean = variance.sqrt()[..., None] * (entries * rows.features.T).sum(2)
    spread = (variance[..., None] * (1 - known)).clamp(min=0) * rows.features.square().sum(1)
    inputs = starts["hidden.mean"].shape[3]
    sizes = root.square().sum((1, 2, 3)) - logs.numel() / len(logs) - 2 * logs.sum((1, 2))
    divergence = 0.5 * (inputs * sizes + starts["hidden.mean"].square().sum((1, 2, 3)))
    return mean.mT, spread.mT.clamp(min=SMALLEST_VARIANCE), divergence, (info == 0).all(1)


def _psi2(mean: Tensor, variance: Tensor, points: Tensor, weight: Tensor) -> Float[Tensor, "R M M"]:
    count = points.shape[1]
    i, j = torch.tril_indices(count, count, device=points.device)
    apart = (points[:, i] - points[:, j]).square().sum(-1)
    factor = 2 ** (-0.5 * points.shape[2]) * (-0.25 * apart).exp()
    left = _features(mean, 0.5 + variance)
    # The last feature is the constant of the exponent: where weights belong.
    last = left[..., -1:] + weight.log()[:, None]
    left = torch.cat([left[..., :-1], last], -1)
    sums: Tensor = _PairSums.apply(left, _columns((points[:, i] + points[:, j]) / 2))
    place = torch.empty(count, count, dtype=torch.long, device=points.device)
    place[i, j] = place[j, i] = torch.arange(len(i), device=points.device)
    return (factor * sums)[:, place]


class _PairSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, columns: Tensor) -> Tensor:
        made = torch.bmm(rows, columns.mT).exp_()
        ctx.save_for_backward(rows, columns, made)
        return made.sum(1)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        rows, columns, made = ctx.saved_tensors
        by = gradient[..., None]
        # The second product in this order takes half the time.
        return torch.bmm(made, columns * by), torch.bmm(rows.mT, made).mT * by


def _features(mean: Tensor, spread: Tensor) -> Tensor:
    scaled = mean / spread
    constant = -0.5 * (spread.log() + mean * scaled).sum(-1, keepdim=True)
    return torch.cat([scaled, -0.5 / spread, constant], -1)


def _columns(points: Tensor) -> Tensor:
    return torch.cat([points, points.square(), torch.ones_like(points[..., :1])], -1)


def _kernel(a: Tensor, b: Tensor, jitter: float) -> Tensor:
    eye = torch.eye(a.shape[-2], dtype=a.dtype, device=a.device)
    return unit_kernel(a, b) + jitter * eye


def _solve(factor: Tensor, right: Tensor) -> Tensor:
    value: Tensor = torch.linalg.solve_triangular(factor, right, upper=False)
    return value


def _spread(flags: Tensor, like: Tensor) -> Tensor:
    return flags.view(-1, *[1] * (like.ndim - 1))
