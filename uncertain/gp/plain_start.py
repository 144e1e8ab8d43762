r"""A start as a plain process, with processes that deviate from its constant matrix.

Where the prior of W has a trained mean, the model contains the sparse process with one lengthscale an
input at no cost in divergence: so it starts there, and what bends has to earn its keep.

``N`` rows, ``M`` inducing points, ``D`` inputs, ``C`` columns of the matrix (D, and one for a bias), ``Q`` latent dimensions.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uncertain.gp.alignment import PlainProcess
from uncertain.gp.bounds import Statistics, best_posterior, collapsed_bound
from uncertain.gp.deformation import Deformation
from uncertain.gp.factors import cholesky
from uncertain.gp.kernels import unit_kernel
from uncertain.gp.likelihoods import SMALLEST_NOISE
from uncertain.gp.lowering import lowered

_ROWS, _ITERATIONS = 2000, 150
_SHARE = 0.1
_COST = 0.03


class SparseProcess(NamedTuple):
    """A sparse process with one lengthscale an input.

    Attributes:
        plain: What it says of the rows it was fitted to.
        points: (M, D), its inducing points.
    """

    plain: PlainProcess
    points: Float[Tensor, "M D"]


def plain_start(
    x: Float[Tensor, "N D"],
    y: Float[Tensor, " N"] | None,
    points: Float[Tensor, "M D"],
    *,
    jitter: float,
    seed: int,
) -> SparseProcess:
    """Return the sparse process of at most 2,000 rows, by L-BFGS; a guess where its fit broke down.

    Args:
        x: (N, D), standardised.
        y: (N,), standardised; ``None`` where the target is no number, for the guess.
        points: (M, D), where the inducing points start.
        jitter: Of the model.
        seed: Of the rows.
    """
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    some = order[:_ROWS].to(x.device)
    rows, width = x[some], x.shape[1]
    if y is not None:
        with suppress(ArithmeticError):
            found = _fitted(rows, y[some].to(x), points, jitter)
            if all(bool(part.isfinite().all()) for part in (*found.plain, found.points)):
                return found
    length, one = x.new_full((width,), width**0.5), x.new_ones(())
    plain = PlainProcess(length, one, 0.05 * one, (1 / length).expand_as(rows))
    return SparseProcess(plain, points)


def _fitted(x: Tensor, y: Tensor, points: Tensor, jitter: float) -> SparseProcess:
    """Fit the logarithms of lengthscales, amplitude and noise, and the points."""
    width = x.shape[1]
    logs = x.new_zeros(width + 2)
    logs[:width], logs[-1] = 0.5 * math.log(width), math.log(0.05)
    z = points.clone().requires_grad_()
    logs.requires_grad_()
    lowered(
        [logs, z],
        lambda: -collapsed_bound(*_data(logs, z, x, y, jitter)) / len(x),
        iterations=_ITERATIONS,
    )
    with torch.enable_grad():
        found, noise = _data(logs, z, x, y, jitter)
        mean = best_posterior(found.cross, found.second, noise).mean.detach()
        rows = x.clone().requires_grad_()
        values = mean @ _responses(logs, z, rows, jitter)
        (gradient,) = torch.autograd.grad(values.sum(), rows)
    scales = logs.detach().exp()
    plain = PlainProcess(scales[:width], scales[width], noise.detach(), gradient)
    return SparseProcess(plain, z.detach())


def _data(
    logs: Tensor, points: Tensor, x: Tensor, y: Tensor, jitter: float
) -> tuple[Statistics, Tensor]:
    known = _responses(logs, points, x, jitter)
    count = x.new_tensor(float(len(x)))
    prior = count * logs[-2].exp()
    found = Statistics(count, y.square().sum(), prior, known @ y, known @ known.mT)
    return found, logs[-1].exp() + SMALLEST_NOISE


def _responses(logs: Tensor, points: Tensor, x: Tensor, jitter: float) -> Float[Tensor, "M N"]:
    scale = (-logs[:-2]).exp()
    z = points * scale
    eye = torch.eye(len(points)).to(x)
    factor = cholesky(
        unit_kernel(z, z) + jitter * eye,
        name="K_ZZ of the sparse process",
        remedy="take fewer inducing points, or spread them",
    )
    cross = (0.5 * logs[-2]).exp() * unit_kernel(z, x * scale)
    known: Tensor = torch.linalg.solve_triangular(factor, cross, upper=False)
    return known


class Target(NamedTuple):
    """Where a matrix should start.

    Attributes:
        matrix: (Q, D).
        curvature: (Q,), what a variance of h costs the bound a row, in halves of a nat.
        points: (M, Q), of the process on top.
    """

    matrix: Float[Tensor, "Q D"]
    curvature: Float[Tensor, " Q"]
    points: Float[Tensor, "M Q"] | None


def plain_target(start: SparseProcess, x: Float[Tensor, "N D"], latent_dim: int) -> Target:
    """Return the matrix of inverse lengthscales, or its leading directions on these rows.

    Example:
        >>> one = torch.ones(())
        >>> plain = PlainProcess(torch.tensor([1.0, 4.0]), one, one / 10, torch.eye(2))
        >>> plain_target(SparseProcess(plain, torch.eye(2)), torch.eye(2), 3).matrix
        tensor([[1.0000, 0.0000],
                [0.0000, 0.2500],
                [0.0000, 0.0000]])
    """
    plain = start.plain
    inverse = plain.lengthscale.reciprocal().diag()
    width = len(inverse)
    turn = torch.eye(latent_dim, width).to(inverse)
    if latent_dim < width:
        turn = torch.linalg.svd(x @ inverse, full_matrices=False)[2][:latent_dim]
    slopes = plain.gradient * plain.lengthscale @ turn.mT
    matrix = turn @ inverse
    # Above 0 where the process found nothing but noise: else nothing would say where points should go.
    curvature = (slopes.square().mean(0) / plain.noise).clamp(min=1.0)
    return Target(matrix, curvature, start.points @ matrix.mT)


@torch.no_grad()
def deviate_little(
    layer: Deformation,
    x: Float[Tensor, "N D"],
    curvature: Float[Tensor, " Q"],
    *,
    at: Float[Tensor, "N P"] | None = None,
    cost: float = _COST,
) -> None:
    r"""Set processes of mean zero, as small and as certain as the rows ask for.

    A spread of h costs the bound about :math:`\tfrac{\lambda_q}{2} \sum_n \mathrm{Var}\,h_q(x_n)`;
    the prior variance is such that this is a few hundredths of a nat a row. With the divergence, the
    best covariance of the whitened values is then

    .. math:: S_q = \Bigl(I + \frac{\lambda_q s_q^2}{C} \sum_n \lVert x_n \rVert^2
              \alpha_q(x_n) \alpha_q(x_n)^\top\Bigr)^{-1},

    certain in the directions that rows see and at the prior, which is free, in all others.

    Args:
        layer: With a prior mean.
        x: (N, D), standardised.
        curvature: (Q,), lambda, at least 0.
        at: (N, P), where the layer's matrix is looked up; by default x.
        cost: Nats a row that the prior's spread may cost.

    Raises:
        ValueError: For a layer without a prior mean.
    """
    centre = layer.constant()
    if centre is None:
        raise ValueError("`layer` should have a prior mean to deviate from, got none.")
    tiny = torch.finfo(torch.float64).tiny
    columns = centre.shape[1]
    size = centre.square().mean(1)
    size = _SHARE * torch.where(size > 0, size, size.mean()).clamp(min=tiny)
    size = torch.minimum(size, cost / (columns * curvature.clamp(min=tiny)))
    layer.mean.zero_()
    layer.log_variance.copy_(size.log())
    response = layer.responses(x if at is None else at)
    weight = layer.features(x).square().sum(1)
    scale = (curvature * size / columns)[:, None, None]
    eye = torch.eye(response.shape[1]).to(response)
    precision = eye + scale * (response * weight) @ response.mT
    root = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(precision)))
    logs = root.diagonal(dim1=1, dim2=2).log()
    layer.root.copy_(root.tril(-1) + logs.diag_embed())


@torch.no_grad()
def take_scales(model: nn.Module, plain: PlainProcess) -> None:
    """Set the amplitude of a model, and its noise where it has one, to those of a plain process."""
    parameters = dict(model.named_parameters())
    for name in ("log_noise", "likelihood.log_noise"):
        if name in parameters:
            noise = plain.noise.clamp(min=2 * SMALLEST_NOISE) - SMALLEST_NOISE
            parameters[name].fill_(float(noise.log()))
            parameters["log_amplitude"].fill_(float(plain.amplitude.log()))
