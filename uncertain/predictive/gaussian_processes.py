"""Posteriors of GPyTorch as predictions over y."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from uncertain.predictive.composition import rebuild
from uncertain.predictive.integrated import GaussianMarginal
from uncertain.predictive.mixtures import mixture
from uncertain.predictive.nodes import normal_nodes
from uncertain.predictive.quiet import import_quietly


def from_gpytorch(
    output: Any, likelihood: Any, *, members: int = 64, seed: int = 0
) -> Distribution:
    r"""Turn a GPyTorch posterior over the latent f into a prediction over y that keeps its parts.

    With a Gaussian likelihood this is, row by row, the `GaussianMarginal` of the latent variance and
    the noise. With any other likelihood it is a mixture of :math:`p(y \mid f_s)` over fixed nodes of
    the latent normal, the same for every row and call: Gauss-Hermite nodes and weights for one
    latent function, a scrambled Sobol sequence for several (softmax). GPyTorch's own marginal draws
    new samples at every call.

    Args:
        output: What the model returns in evaluation mode: a ``MultivariateNormal`` over N rows, or a
            ``MultitaskMultivariateNormal`` over N rows and T tasks. Leading batch dimensions (the
            samples of a deep GP) become members of a mixture, equally weighted.
        likelihood: A ``gpytorch.likelihoods`` likelihood.
        members: Nodes of the latent normal, where the likelihood is not Gaussian.
        seed: Of the scrambled sequence.

    Returns:
        A distribution of batch shape (N,); of event shape (T,) for T Gaussian tasks.

    Raises:
        TypeError: Where ``output`` is not a multivariate normal of GPyTorch (the likelihood was
            applied already, for example), or ``likelihood`` is not a likelihood.
        ValueError: Where ``members`` is below 1.

    Example:
        >>> gpytorch = import_quietly("gpytorch")
        >>> f = gpytorch.distributions.MultivariateNormal(torch.zeros(2), 9 * torch.eye(2))
        >>> noise = gpytorch.likelihoods.GaussianLikelihood()
        >>> noise.noise = 16.0
        >>> y = from_gpytorch(f, noise)
        >>> y.scale.detach(), y.latent_scale.detach()
        (tensor([5., 5.]), tensor([3., 3.]))
    """
    gpytorch = import_quietly("gpytorch")
    if not isinstance(output, gpytorch.distributions.MultivariateNormal):
        raise TypeError(
            f"`output` should be the model's MultivariateNormal over the latent function, got "
            f"{type(output).__name__}: pass `model(x)`, before the likelihood."
        )
    if not isinstance(likelihood, gpytorch.likelihoods.Likelihood):
        raise TypeError(
            f"`likelihood` should be a GPyTorch likelihood, got {type(likelihood).__name__}."
        )
    if members < 1:
        raise ValueError(f"`members` should be at least 1, got {members}.")
    gaussian = gpytorch.likelihoods.gaussian_likelihood._GaussianLikelihoodBase
    if isinstance(likelihood, gaussian):
        return _gaussian(output, likelihood, gpytorch)
    return _quadrature(output, likelihood, members, seed)


def _gaussian(output: Any, likelihood: Any, gpytorch: Any) -> Distribution:
    latent = output.variance
    if type(likelihood) is gpytorch.likelihoods.GaussianLikelihood:
        noise = likelihood.noise.expand(*latent.shape[:-1], 1).expand_as(latent)
    else:
        # Fixed, heteroskedastic and multitask noise: whatever the likelihood adds.
        noise = (likelihood(output).variance - latent).clamp(min=0)
    mean, tasks = output.mean, len(output.event_shape) - 1
    extra = mean.ndim - 1 - tasks
    loc, latent, noise = (_rows_first(t, extra) for t in (mean, latent, noise))
    dist: Distribution = GaussianMarginal(loc, latent.sqrt(), noise.sqrt())
    if tasks:
        dist = Independent(dist, tasks)
    return mixture(dist) if extra else dist


def _rows_first(tensor: Tensor, extra: int) -> Tensor:
    """(*samples, N, ...) to (N, S, ...), all leading dimensions joined into one of members."""
    return tensor.flatten(0, extra - 1).transpose(0, 1) if extra else tensor


def _quadrature(output: Any, likelihood: Any, members: int, seed: int) -> Distribution:
    tasks = len(output.event_shape) - 1
    mean, scale = output.mean, output.variance.sqrt()
    if tasks:
        nodes = normal_nodes(members, mean.shape[-1], seed).to(mean)
        nodes = nodes.reshape(members, *(1,) * (mean.ndim - 1), mean.shape[-1])
        weights = mean.new_full((members,), 1 / members)
    else:
        nodes, weights = (tensor.to(mean) for tensor in _gauss_hermite(members))
        nodes = nodes.reshape(members, *(1,) * mean.ndim)
    conditional = likelihood.forward(mean + scale * nodes)  # batch (S, *samples, N)
    extra = len(conditional.batch_shape) - 1
    by_row = rebuild(conditional, lambda t: _rows_first(t, extra))
    samples = math.prod(conditional.batch_shape[1:-1])
    return mixture(by_row, weights.repeat_interleave(samples) / samples)


def _gauss_hermite(count: int) -> tuple[Tensor, Tensor]:
    """Nodes of a standard normal and their weights, which sum to 1."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return torch.from_numpy(nodes), torch.from_numpy(weights / weights.sum())
