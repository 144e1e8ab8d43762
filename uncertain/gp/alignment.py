r"""A start for the matrix, from the directions in which the target changes.

A surface that one latent row explains, :math:`y = f(h(x))`, has its gradient along that of h,
everywhere. A plain process says what the gradient is; among the rows of a deformation, which are
linear in their whitened values m, those with

.. math:: \nabla h(x_n) \parallel g_n, \qquad h(x) = \Phi(x)\, m,

are then found in closed form, the smoothest first, by an eigenvalue problem. No descent from a
general start finds them reliably: there the bound has many poor optima.

``N`` rows, ``D`` inputs, ``E`` columns of the matrix (D, and one for a bias), ``M`` inducing points.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain.gp.kernels import unit_kernel

_LENGTHS = (0.3, 30.0)
_ROUNDS = 6


class PlainProcess(NamedTuple):
    """What a Gaussian process with one lengthscale an input says of some rows.

    Attributes:
        lengthscale: (D,).
        amplitude: The kernel's variance.
        noise: The variance of the noise, in units of the target's.
        gradient: (N, D), of its mean at the rows.
    """

    lengthscale: Float[Tensor, " D"]
    amplitude: Float[Tensor, ""]
    noise: Float[Tensor, ""]
    gradient: Float[Tensor, "N D"]


def plain_process(x: Float[Tensor, "N D"], y: Float[Tensor, " N"]) -> PlainProcess:
    """Fit an exact process with a squared-exponential kernel by L-BFGS, from mild priors.

    Args:
        x: (N, D), standardised, a few hundred rows.
        y: (N,), standardised.
    """
    width = x.shape[1]
    start = x.new_zeros(width + 2)
    start[:width], start[-1] = 0.5 * math.log(width), math.log(0.01)
    logs = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [logs], max_iter=60, line_search_fn="strong_wolfe", tolerance_change=1e-6
    )
    eye = torch.eye(len(x), dtype=x.dtype, device=x.device)

    def loss() -> tuple[Tensor, Tensor]:
        scaled = x * (-logs[:width]).exp()
        kernel = logs[width].exp() * unit_kernel(scaled, scaled)
        factor, info = torch.linalg.cholesky_ex(kernel + (logs[-1].exp() + 1e-6) * eye)
        pull = torch.cholesky_solve(y[:, None], factor)[:, 0]
        value = (
            0.5 * y @ pull + factor.diagonal().log().sum() + 0.02 * (logs - start).square().sum()
        )
        return torch.where(info == 0, value, torch.inf), pull

    def closure() -> float:
        optimizer.zero_grad()
        value, _ = loss()
        if bool(value.isfinite()):
            value.backward()  # type: ignore[no-untyped-call]
        return float(value.detach())

    optimizer.step(closure)
    with torch.no_grad():
        _, pull = loss()
        length = logs[:width].exp()
        kernel = logs[width].exp() * unit_kernel(x / length, x / length)
        gradient = (kernel @ (pull[:, None] * x) - x * (kernel @ pull)[:, None]) / length.square()
        amplitude, noise = logs[width:].exp()
    return PlainProcess(length, amplitude, noise, gradient)


class Design(NamedTuple):
    """Values and gradients of one latent row, linear in its whitened values at variance 1.

    Attributes:
        values: (N, M E).
        slopes: (N, D, M E).
    """

    values: Float[Tensor, "N K"]
    slopes: Float[Tensor, "N D K"]


def design(
    x: Float[Tensor, "N D"],
    points: Float[Tensor, "M D"],
    lengthscale: Float[Tensor, " D"],
    *,
    jitter: float,
    bias: bool,
) -> Design:
    """Return what whitened values are multiplied by, for a squared-exponential deformation.

    Args:
        x: (N, D).
        points: (M, D), the inducing points.
        lengthscale: (D,).
        jitter: As the deformation's.
        bias: As the deformation's.
    """
    scaled_x, scaled_z = x / lengthscale, points / lengthscale
    eye = torch.eye(len(points), dtype=x.dtype, device=x.device)
    factor = torch.linalg.cholesky(unit_kernel(scaled_z, scaled_z) + jitter * eye)
    kernel = unit_kernel(scaled_z, scaled_x)
    change = (points[:, None] - x) / lengthscale.square() * kernel[..., None]
    response = torch.linalg.solve_triangular(factor, kernel, upper=False)
    slope = torch.linalg.solve_triangular(factor, change.flatten(1), upper=False)
    ones = torch.ones_like(x[:, :1])
    features = torch.cat([x, ones], 1) if bias else x
    moves = torch.eye(x.shape[1], features.shape[1], dtype=x.dtype, device=x.device)
    slopes = torch.einsum("mne,nd->nemd", slope.view_as(change), features)
    slopes = slopes + torch.einsum("mn,ed->nemd", response, moves)
    values = torch.einsum("mn,nd->nmd", response, features)
    return Design(values.flatten(1), slopes.flatten(2))


def aligned(
    rows: Design, gradient: Float[Tensor, "N D"], penalty: float
) -> tuple[float, Float[Tensor, " K"]]:
    r"""Return the whitened values of the smoothest row whose gradient lies along a given one.

    With unit directions :math:`u_n` and slopes :math:`G_n`, the leading solution of

    .. math:: \sum_n w_n G_n^\top u_n u_n^\top G_n\, m = \lambda \Bigl\{ \sum_n w_n G_n^\top
              (I - u_n u_n^\top) G_n + N \epsilon I \Bigr\}\, m.

    Args:
        rows: Of the deformation.
        gradient: (N, D); a row counts by its length.
        penalty: :math:`\epsilon`, above 0: how much smoothness counts.

    Returns:
        The eigenvalue, the larger the better, and m.
    """
    length = gradient.norm(dim=1).clamp(min=torch.finfo(gradient.dtype).tiny)
    root = (length / length.mean()).sqrt()[:, None]
    along = root * torch.einsum("ne,nek->nk", gradient / length[:, None], rows.slopes)
    whole = (root[..., None] * rows.slopes).flatten(0, 1)
    right = along.T @ along
    eye = torch.eye(len(right), dtype=right.dtype, device=right.device)
    left = whole.T @ whole - right + penalty * len(gradient) * eye
    factor = torch.linalg.cholesky(left)
    half = torch.linalg.solve_triangular(factor, right, upper=False)
    both = torch.linalg.solve_triangular(factor, half.T, upper=False)
    values, vectors = torch.linalg.eigh((both + both.T) / 2)
    found = torch.linalg.solve_triangular(factor.T, vectors[:, -1:], upper=True)[:, 0]
    return float(values[-1]), found


def best_lengthscale(
    x: Float[Tensor, "N D"],
    points: Float[Tensor, "M D"],
    gradient: Float[Tensor, "N D"],
    *,
    penalty: float,
    jitter: float,
    bias: bool,
) -> Float[Tensor, " D"]:
    """Return lengthscales of a deformation, by turns one input at a time, that align best.

    Args:
        x: (N, D).
        points: (M, D), the inducing points.
        gradient: (N, D).
        penalty: As for ``aligned``.
        jitter: As the deformation's.
        bias: As the deformation's.
    """
    width = x.shape[1]
    length = x.new_full((width,), width**0.5)

    def score(length: Tensor) -> float:
        try:
            return aligned(design(x, points, length, jitter=jitter, bias=bias), gradient, penalty)[
                0
            ]
        except RuntimeError:  # no factor
            return -math.inf

    best = score(length)
    for factor in (2.0, 1.4, 1.2):
        for _ in range(_ROUNDS):
            before = best
            for place in range(width):
                for by in (factor, 1 / factor):
                    tried = length.clone()
                    tried[place] *= by
                    if not _LENGTHS[0] <= float(tried[place]) <= _LENGTHS[1]:
                        continue
                    found = score(tried)
                    if found > best * 1.001:
                        length, best = tried, found
            if best == before:
                break
    return length
