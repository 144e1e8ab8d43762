r"""Scores of distributions, one a row, lower is better, never reduced.

Only :mod:`uncertain.evaluation` averages, and what it averages has an interval.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.distributions import Distribution, Independent, MixtureSameFamily, Normal

from uncertain import checks, families, predictive


def nll(distribution: Distribution, y: Shaped[Tensor, "N ..."]) -> Float[Tensor, " N"]:
    r"""Return the negative log-likelihood :math:`-\log p(y_i)`, in nats and in y's units.

    Differentiable. A class of probability zero scores infinity, it is never clamped.

    Args:
        distribution: N predictions.
        y: N targets: class indices, or values.

    Returns:
        Shape (N,).

    Raises:
        ValueError: Lengths differ.

    Example:
        >>> p = torch.distributions.Categorical(logits=torch.tensor([[0.0, -46.0]]))
        >>> nll(p, torch.tensor([1])).item()
        46.0
    """
    checks.check_same_length(distribution=_rows(distribution), y=y)
    return -predictive.log_prob(distribution, y)


def brier(distribution: Distribution, y: Shaped[Tensor, " N"]) -> Float[Tensor, " N"]:
    r"""Return the Brier score :math:`\sum_c (p_c - 1[y = c])^2`, summed over classes, in [0, 2].

    Differentiable.

    Args:
        distribution: N predictions of classes.
        y: N class indices.

    Returns:
        Shape (N,).

    Raises:
        ValueError: Lengths differ, or a label is no class.
        TypeError: Predictions of something else than classes.

    References:
        G. Brier, Verification of forecasts expressed in terms of probability, 1950.

    Example:
        >>> p = torch.distributions.Categorical(probs=torch.tensor([[0.5, 0.5]]))
        >>> round(brier(p, torch.tensor([0])).item(), 6)
        0.5
    """
    p = predictive.class_probs(distribution)
    checks.check_same_length(distribution=p, y=y)
    checks.check_labels("y", y.detach().cpu(), p.shape[-1])
    truth = torch.nn.functional.one_hot(y.long(), p.shape[-1]).to(p)
    return ((p - truth) ** 2).sum(-1)


def crps(distribution: Distribution, y: Shaped[Tensor, "N ..."]) -> Float[Tensor, "N ..."]:
    r"""Return the continuous ranked probability score :math:`\int (F(z) - 1[z \ge y])^2 dz`.

    Differentiable for a ``Normal``, a ``GaussianMarginal``, mixtures of these and an ``Independent``
    of any; for other families it is computed in NumPy, without a gradient.

    Args:
        distribution: N predictions of numbers.
        y: N targets, or (N, T) of T independent outputs.

    Returns:
        Shape (N,), or (N, T), in y's units.

    Raises:
        ValueError: Lengths differ.
        TypeError: A family that has none.

    References:
        T. Gneiting, A. Raftery, Strictly proper scoring rules, 2007, equation 20; E. Grimit et al.,
        2006, for mixtures.

    Example:
        >>> p = torch.distributions.Normal(torch.zeros(1), torch.ones(1))
        >>> round(crps(p, torch.zeros(1)).item(), 4)
        0.2337
    """
    checks.check_same_length(distribution=_rows(distribution), y=y)
    if isinstance(distribution, Independent):
        return crps(distribution.base_dist, y)
    if isinstance(distribution, Normal):
        return (
            _absolute_moment(y - distribution.loc, distribution.scale)
            - _absolute_moment(
                torch.zeros_like(distribution.loc), math.sqrt(2) * distribution.scale
            )
            / 2
        )
    if isinstance(distribution, MixtureSameFamily) and isinstance(
        distribution.component_distribution, Normal
    ):
        return _mixture_crps(distribution, y)
    scores = families.crps(predictive.to_arrays(distribution), _numpy(y))
    like = y if y.is_floating_point() else torch.get_default_dtype()
    return torch.as_tensor(scores).to(y.device).to(like)


def interval_score(
    distribution: Distribution, y: Float[Tensor, "N ..."], *, level: float = 0.9
) -> Float[Tensor, "N ..."]:
    r"""Return Winkler's score of the central interval of probability ``level``.

    :math:`u - l + \frac{2}{\alpha} (l - y)_+ + \frac{2}{\alpha} (y - u)_+`, with
    :math:`\alpha = 1 - level`, in y's units.

    Args:
        distribution: N predictions of numbers.
        y: N targets, or (N, T) of T independent outputs.
        level: Probability of the interval, in (0, 1).

    Returns:
        Shape (N,), or (N, T).

    Raises:
        ValueError: Lengths differ, or a level out of range.
        TypeError: A family without quantiles.

    References:
        R. Winkler, 1972; Gneiting and Raftery 2007, equation 43.

    Example:
        >>> p = torch.distributions.Normal(torch.zeros(1), torch.ones(1))
        >>> round(interval_score(p, torch.zeros(1), level=0.9).item(), 4)
        3.2897
    """
    checks.check_range("level", level, 0, 1, open_low=True, open_high=True)
    checks.check_same_length(distribution=_rows(distribution), y=y)
    alpha = 1 - level
    low = predictive.quantile(distribution, alpha / 2)
    high = predictive.quantile(distribution, 1 - alpha / 2)
    below, above = (low - y).clamp(min=0), (y - high).clamp(min=0)
    return high - low + 2 / alpha * (below + above)


def _mixture_crps(mixture: MixtureSameFamily, y: Tensor) -> Tensor:
    """Return E|Y - y| - E|Y - Y'| / 2, pair by pair of members: O(N S^2)."""
    members = mixture.component_distribution
    assert isinstance(members, Normal)
    weights = mixture.mixture_distribution.probs
    loc, scale = members.loc, members.scale
    first = (weights * _absolute_moment(y.unsqueeze(-1) - loc, scale)).sum(-1)
    apart = loc.unsqueeze(-1) - loc.unsqueeze(-2)
    spread = torch.sqrt(scale.unsqueeze(-1) ** 2 + scale.unsqueeze(-2) ** 2)
    pairs = weights.unsqueeze(-1) * weights.unsqueeze(-2) * _absolute_moment(apart, spread)
    return first - pairs.sum((-1, -2)) / 2


def _absolute_moment(loc: Tensor, scale: Tensor) -> Tensor:
    """Return E|Z| of a normal Z."""
    z = loc / scale
    density = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return 2 * scale * density + loc * torch.erf(z / math.sqrt(2))


def _rows(distribution: Distribution) -> range:
    return range(distribution.batch_shape[0] if distribution.batch_shape else 0)


def _numpy(y: Tensor) -> np.ndarray:
    y = y.detach()
    return (y.float() if y.dtype in (torch.bfloat16, torch.float16) else y).cpu().numpy()
