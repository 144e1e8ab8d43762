"""What rows add to the bound, in closed form or at draws of the last hidden layer.

``R`` rows, each of them once a node of the layers below; ``F`` latent functions, ``Q`` latent
dimensions.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain.gp import sites
from uncertain.gp.deformation import SMALLEST_VARIANCE
from uncertain.gp.layers import Latent
from uncertain.gp.likelihoods import GaussianNoise, Likelihood


def over_nodes(found: Latent, y: Tensor, weight: Tensor, times: int) -> tuple[Tensor, ...]:
    """Return mean and variance of h, targets and weights, each row as often as it has nodes.

    The weight of a row is shared among its nodes.
    """
    mean, variance = found.mean, found.variance
    if found.nodes != times:  # One hidden layer, whose own draws are still to come.
        mean, variance = (t.repeat_interleave(times, 0) for t in (mean, variance))
    return mean, variance, y.repeat_interleave(times, 0), weight.repeat_interleave(times) / times


def closed_sites(
    likelihood: Likelihood,
    processes: sites.Processes,
    before: sites.Posteriors,
    *,
    mean: Float[Tensor, "R Q"],
    variance: Float[Tensor, "R Q"],
    y: Tensor,
    weight: Float[Tensor, " R"],
) -> sites.Sites:
    """Return the sites of quadratics that touch the likelihood at the posterior as it is.

    Args:
        likelihood: A closed one.
        processes: Of a squared-exponential kernel.
        before: The posterior of their inducing variables.
        mean: (R, Q), of h.
        variance: (R, Q), of h.
        y: Targets of the rows.
        weight: (R,).
    """
    centre, spread = mean.new_zeros(2, len(mean), likelihood.functions)
    if not isinstance(likelihood, GaussianNoise):  # That one is a quadratic itself.
        with torch.no_grad():
            centre, spread = sites.averaged_moments(processes, before, mean, variance)
    quadratic = likelihood.quadratic(y, centre, spread.clamp(min=SMALLEST_VARIANCE))
    return sites.averaged_sites(processes, mean, variance, quadratic, weight)


def drawn_sites(
    likelihood: Likelihood,
    processes: sites.Processes,
    before: sites.Posteriors,
    *,
    h: Float[Tensor, "R Q"],
    y: Tensor,
    weight: Float[Tensor, " R"],
) -> tuple[sites.Sites, Float[Tensor, ""]]:
    """Return the sites at known h, and the bound at the posterior as it is.

    Args:
        likelihood: Of the targets.
        processes: The latent functions.
        before: The posterior of their inducing variables.
        h: (R, Q), draws of the last layer.
        y: Targets of the rows.
        weight: (R,).

    Returns:
        The sites, without gradients, and the bound less the divergence of the hidden layers.
    """
    responses = processes.responses(h)
    mean, variance = sites.known_moments(processes, before, responses)
    variance = variance.clamp(min=SMALLEST_VARIANCE)
    bound = (weight * likelihood.expected(y, mean, variance)).sum() - sites.divergence(before)
    with torch.no_grad():
        quadratic = likelihood.quadratic(y, mean, variance)
        return sites.known_sites(processes, responses, quadratic, weight), bound
