r"""Deformations on top of each other, each of which bends the original inputs.

.. math:: h_1 = W_1(x)\, x, \qquad h_l = W_l(h_{l - 1})\, x

``N`` rows, ``D`` inputs, ``Q`` latent dimensions of a layer, ``L`` layers, ``S`` nodes.

References:
    D. A. de Souza et al., "Thin and deep Gaussian processes", 2023; H. Salimbeni and M. Deisenroth,
    "Doubly stochastic variational inference for deep Gaussian processes", 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain.gp.deformation import Deformation
from uncertain.gp.direct import DirectDeformation

Layer = Deformation | DirectDeformation


class Latent(NamedTuple):
    """The top layer's Gaussian, given what the layers below returned.

    Attributes:
        rows: (N S, D), the inputs, every row S times.
        at: (N S, P), where the top layer's matrix is looked up.
        mean: (N S, Q), of h.
        variance: (N S, Q), of h.
        nodes: S.
    """

    rows: Float[Tensor, "R D"]
    at: Float[Tensor, "R P"]
    mean: Float[Tensor, "R Q"]
    variance: Float[Tensor, "R Q"]
    nodes: int


def inner_width(layers: Sequence[Layer]) -> int:
    """Return how many standard normal numbers put a row through all layers but the last."""
    return sum(layer.latent_dim for layer in layers[:-1])


def through(
    layers: Sequence[Layer], x: Float[Tensor, "N D"], nodes: Float[Tensor, "#N S K"]
) -> Latent:
    r"""Put rows through the layers: the layers below the last at given nodes, the last kept Gaussian.

    Given the layer below, a layer's entries are Gaussian with mean :math:`\mu` and variance
    :math:`s`, and :math:`h_l = \mu + \sqrt{s}\, \epsilon`: one number a latent dimension, not one an
    entry of the matrix.

    Args:
        layers: L deformations, the first on x, the others on the latent space below.
        x: (N, D), standardised.
        nodes: (N, S, K), standard normal, K as ``inner_width`` says, or (1, S, K) for all rows.

    Returns:
        The last layer's Gaussian; for one layer S is 1.

    Example:
        >>> layers = [Deformation(torch.zeros(1, 3), latent_dim=2)]
        >>> layers += [Deformation(torch.zeros(1, 2), latent_dim=2, input_dim=3)]
        >>> found = through(layers, torch.ones(5, 3), torch.zeros(1, 7, 2))
        >>> found.mean.shape, found.nodes
        (torch.Size([35, 2]), 7)
    """
    wide = x.to(torch.float64)
    if len(layers) == 1:
        mean, variance = layers[0](wide)
        return Latent(wide, wide, mean, variance, 1)
    count, used = nodes.shape[1], 0
    rows, at = wide, wide
    for layer in layers[:-1]:
        mean, variance = layer(rows, at)
        node = nodes[..., used : used + layer.latent_dim].expand(len(x), -1, -1)
        used += layer.latent_dim
        if rows is wide:  # The first layer is the same at every node.
            rows = wide.repeat_interleave(count, 0)
            mean, variance = (t.repeat_interleave(count, 0) for t in (mean, variance))
        at = mean + variance.sqrt() * node.to(mean).flatten(0, 1)
    mean, variance = layers[-1](rows, at)
    return Latent(rows, at, mean, variance, count)


def gains(layers: Sequence[Layer]) -> Float[Tensor, " L"]:
    r"""Return how much the prior of each layer stretches small distances of the layer below.

    .. math:: g_l = \lVert x \rVert^2 \sum_q s_{lq}^2 \frac1P \sum_p \ell_{lqp}^{-2}

    is the mean growth of the squared distance of two near points, over directions, on top of the
    share that comes from the inputs themselves; standardised inputs have
    :math:`\lVert x \rVert^2 = D` on average. Above 1 a stack of such layers tears near inputs apart.

    Example:
        >>> gains([Deformation(torch.zeros(1, 4), latent_dim=1, lengthscale=2.0)])
        tensor([1.], dtype=torch.float64)
    """
    found = []
    for layer in layers:
        inverse = (-2 * layer.log_lengthscale.detach().double()).exp().mean(1)
        size = layer.log_variance.detach().double().exp()
        found.append((layer.input_dim + layer.bias) * (size * inverse).sum())
    return torch.stack(found)


def antithetic_nodes(
    rows: int, count: int, width: int, generator: torch.Generator, like: Tensor
) -> Float[Tensor, "N S K"]:
    """Return independent standard normal numbers, in pairs of opposite sign along S."""
    half = torch.randn(
        rows, (count + 1) // 2, width, generator=generator, dtype=torch.float64, device=like.device
    )
    return torch.cat([half, -half], 1)[:, :count]
