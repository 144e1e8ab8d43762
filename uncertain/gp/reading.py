"""What a fitted deformation says: metrics, lengthscales, directions.

``N`` rows, ``D`` inputs, ``Q`` latent dimensions, ``L`` levels, ``S`` nodes of the layers below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain.gp.deformation import Deformation
from uncertain.predictive.nodes import normal_nodes

_DRAWS = 256
_ROWS = 1024
TOLERANCE = 1e-8
"""Eigenvalues below this share of the largest of the field count as zero: an infinite lengthscale."""


class MetricField(NamedTuple):
    r"""A metric on the inputs that varies over them, and how sure it is.

    Attributes:
        metric: (N, D, D), the posterior mean of :math:`W^\top W`, in units of f's lengthscale squared
            a unit of x squared.
        eigenvalues: (N, D) of it, largest first.
        directions: (N, D, D), the eigenvectors as columns, in the order of the eigenvalues. Each
            has length 1 and no sign.
        lengthscales: (N, D), the root of one over an eigenvalue, in units of x; infinite where the
            eigenvalue is zero within rounding.
        quantiles: (N, L, D) of the posterior of each of the ordered eigenvalues.
        departure: (N,), how far W is from the derivative of h, relative to the latter. Above a half
            the field is no picture of how the model varies: look at the local metric.

    Example:
        >>> w = torch.tensor([[[0.0, 2.0]]])  # one latent dimension, deaf to the first input
        >>> field = metric_field(
        ...     w[:, None], torch.zeros(1, 1, 1), scale=torch.ones(2), jacobian=w, levels=(0.5,)
        ... )
        >>> field.lengthscales
        tensor([[0.5000,    inf]])
    """

    metric: Float[Tensor, "N D D"]
    eigenvalues: Float[Tensor, "N D"]
    directions: Float[Tensor, "N D D"]
    lengthscales: Float[Tensor, "N D"]
    quantiles: Float[Tensor, "N L D"]
    departure: Float[Tensor, " N"]


def jacobian(
    function: Callable[[Tensor], Tensor], x: Float[Tensor, "N D"]
) -> Float[Tensor, "N Q D"]:
    """Return the derivative of a function of each row by itself, in float64.

    Args:
        function: From (N, D) to (N, Q).
        x: (N, D).

    Example:
        >>> jacobian(lambda x: x.square(), torch.tensor([[1.0, 3.0]]))
        tensor([[[2., 0.],
                 [0., 6.]]], dtype=torch.float64)
    """
    with torch.inference_mode(False), torch.enable_grad():
        rows = x.detach().to(torch.float64, copy=True).requires_grad_()
        sums = function(rows).sum(0)
        each = [torch.autograd.grad(part, rows, retain_graph=True)[0] for part in sums]
    return torch.stack(each, 1)


@torch.no_grad()
def metric_field(
    matrix: Float[Tensor, "N S Q D"],
    variance: Float[Tensor, "N S Q"],
    *,
    scale: Float[Tensor, " D"],
    jacobian: Float[Tensor, "N Q D"],
    levels: Sequence[float],
) -> MetricField:
    r"""Return the field of :math:`\mathrm E\,W^\top W = A^\top A + \sum_q b_q I` in units of x.

    Args:
        matrix: (N, S, Q, D), A, the mean of W, on standardised inputs, at every node.
        variance: (N, S, Q), b, of the entries of each row of W.
        scale: (D,), the spread that inputs were divided by.
        jacobian: (N, Q, D), of h, in units of x.
        levels: Of the quantiles.
    """
    scaled = matrix / scale
    spread = variance.sum(2).mean(1)[:, None] / scale.square()
    metric = (scaled.mT @ scaled).mean(1) + spread.diag_embed()
    values, vectors = torch.linalg.eigh(metric)
    values, vectors = values.flip(1).clamp(min=0), vectors.flip(2)
    largest = values.amax() if len(values) else values.sum()
    zero = values <= TOLERANCE * largest
    lengths = torch.where(zero, torch.inf, values.where(~zero, 1).rsqrt())
    size = jacobian.flatten(1).norm(dim=1).clamp(min=torch.finfo(torch.float64).tiny)
    departure = (jacobian - scaled.mean(1)).flatten(1).norm(dim=1) / size
    quantiles = _quantiles(matrix, variance, scale, levels)
    return MetricField(metric, values, vectors, lengths, quantiles, departure)


def relevance(layer: Deformation, at: Float[Tensor, "N P"]) -> Float[Tensor, " Q"]:
    """Return the mean square of every row of W, (Q,); a bias counts by its variance over rows.

    Args:
        layer: The deformation.
        at: (N, P), where its matrix is looked up.
    """
    matrix, variance = layer.matrix(at)
    used = (matrix.square().sum(2) + matrix.shape[2] * variance).mean(0)
    return used + bias_variance(layer, at)


def bias_variance(layer: Deformation, at: Float[Tensor, "N P"]) -> Float[Tensor, " Q"]:
    """Return the variance of the bias column over rows and its posterior, (Q,); else zeros."""
    if not layer.bias:
        return layer.log_variance.new_zeros(layer.latent_dim)
    _, variance = layer.matrix(at)
    return layer.offset(at).var(0, unbiased=False) + variance.mean(0)


def bias_share(
    layer: Deformation, x: Float[Tensor, "N D"], at: Float[Tensor, "N P"]
) -> Float[Tensor, ""]:
    """Return the bias column's share of the variance of h, against that of W x alone.

    Args:
        layer: The deformation.
        x: (N, D), standardised.
        at: (N, P), where its matrix is looked up.
    """
    matrix, variance = layer.matrix(at)
    bent = torch.einsum("nqd,nd->nq", matrix, x.to(torch.float64))
    own = bent.var(0, unbiased=False) + (variance * x.double().square().sum(1)[:, None]).mean(0)
    carried = bias_variance(layer, at).sum()
    return carried / (carried + own.sum()).clamp(min=torch.finfo(torch.float64).tiny)


def _quantiles(
    matrix: Tensor, variance: Tensor, scale: Tensor, levels: Sequence[float]
) -> Float[Tensor, "N L D"]:
    """Quantiles over draws of W at each row, the same standard normals for all rows."""
    count, latent, inputs = matrix.shape[1:]
    draws = normal_nodes(_DRAWS, latent * inputs, 0).to(matrix).reshape(_DRAWS, latent, inputs)
    wanted = torch.tensor(levels, dtype=matrix.dtype, device=matrix.device)
    if not len(matrix):  # torch has no quantiles of nothing
        return matrix.new_zeros(0, len(wanted), inputs)
    node = torch.arange(_DRAWS, device=matrix.device) % count
    parts = []
    for mean, spread in zip(matrix.split(_ROWS), variance.split(_ROWS), strict=True):
        drawn = (mean[:, node] + spread.sqrt()[:, node, :, None] * draws) / scale
        values = torch.linalg.svdvals(drawn).square()
        found = torch.zeros(*values.shape[:2], inputs, dtype=values.dtype, device=values.device)
        found[..., : values.shape[2]] = values
        parts.append(found.quantile(wanted, dim=1).transpose(0, 1))
    return torch.cat(parts)
