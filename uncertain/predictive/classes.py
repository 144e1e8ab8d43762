"""Class predictions as log-probabilities, exact down to the smallest float.

``Categorical(probs=p).log_prob`` clamps p at the dtype's epsilon: p = 1e-20 scores -15.9 nats in
float32 instead of -46. Nothing here goes through that path, and a probability of exactly zero stays
``-inf`` with zero gradient where its term vanishes, not NaN.
"""

from functools import singledispatch

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
)

from uncertain.predictive.composition import chances, safe_log


def categorical(logits: Float[Tensor, "*batch C"]) -> Categorical:
    """Return class predictions from logits, for no rows too, which torch's own check can't take.

    Args:
        logits: Unnormalised log-probabilities.

    Raises:
        ValueError: Where a logit is not a number.

    Example:
        >>> categorical(torch.zeros(0, 3)).batch_shape
        torch.Size([0])
    """
    return Categorical(logits=logits, validate_args=None if logits.numel() else False)


@singledispatch
def class_log_probs(dist: Distribution) -> Float[Tensor, "*batch C"]:
    r"""Log-probabilities of all classes.

    .. math:: \log p_c, \qquad \text{for a mixture } \log \textstyle\sum_s w_s p_{sc}

    Args:
        dist: A `Categorical`, `DirichletCategorical`, `Bernoulli` (classes 0 and 1), a mixture of
            them, or `Independent` over them (one set of classes for every output).

    Returns:
        (\*batch, C), in nats; (\*batch, T, C) for `Independent` with T outputs.

    Raises:
        TypeError: For a distribution that is not over classes.

    Example:
        A probability far below float32's epsilon keeps its logarithm:

        >>> y = Categorical(probs=torch.tensor([1.0, 1e-20]))
        >>> y.log_prob(torch.tensor(1)), class_log_probs(y)[1]
        (tensor(-15.9424), tensor(-46.0517))
    """
    raise TypeError(
        f"`dist` should be a distribution over classes (Categorical, Bernoulli or a mixture of "
        f"them), got {type(dist).__name__}."
    )


@class_log_probs.register
def _(dist: Categorical) -> Tensor:
    name, tensor = chances(dist)
    return tensor if name == "logits" else safe_log(tensor)


@class_log_probs.register
def _(dist: Bernoulli) -> Tensor:
    name, tensor = chances(dist)
    if name == "logits":
        logsigmoid = torch.nn.functional.logsigmoid
        return torch.stack([logsigmoid(-tensor), logsigmoid(tensor)], -1)
    return torch.stack([_log1p(-tensor), safe_log(tensor)], -1)


@class_log_probs.register
def _(dist: Independent) -> Tensor:  # type: ignore[type-arg]
    return class_log_probs(dist.base_dist)


@class_log_probs.register
def _(dist: MixtureSameFamily) -> Tensor:
    members = class_log_probs(dist.component_distribution)
    outputs = len(dist.event_shape)
    weights = log_weights(dist)[(...,) + (None,) * (outputs + 1)]
    return logsumexp(members + weights, dim=-2 - outputs)


def class_probs(dist: Distribution) -> Float[Tensor, "*batch C"]:
    r"""Probabilities of all classes; those the distribution was made from are returned as they are.

    torch's ``mean`` of a mixture of categoricals is NaN; this is what it should have been.

    Args:
        dist: As for `class_log_probs`.

    Returns:
        (\*batch, C), rows summing to 1.

    Raises:
        TypeError: For a distribution that is not over classes.

    Example:
        >>> members = Categorical(probs=torch.tensor([[[1.0, 0.0], [0.5, 0.5]]]))
        >>> ensemble = MixtureSameFamily(Categorical(torch.ones(1, 2)), members)
        >>> ensemble.mean, class_probs(ensemble)
        (tensor([nan]), tensor([[0.7500, 0.2500]]))
    """
    if isinstance(dist, Independent):
        return class_probs(dist.base_dist)
    if isinstance(dist, (Categorical, Bernoulli)):
        name, tensor = chances(dist)
        if name == "probs":
            return (
                tensor if isinstance(dist, Categorical) else torch.stack([1 - tensor, tensor], -1)
            )
    return class_log_probs(dist).exp()


def is_over_classes(dist: Distribution) -> bool:
    """Whether `class_log_probs` knows the distribution, without computing it."""
    while True:
        if isinstance(dist, Independent):
            dist = dist.base_dist
        elif isinstance(dist, MixtureSameFamily):
            dist = dist.component_distribution
        else:
            break
    return class_log_probs.dispatch(type(dist)) is not class_log_probs.dispatch(Distribution)


def log_weights(dist: MixtureSameFamily) -> Float[Tensor, "*batch S"]:
    """Log of the member weights, for every row; a weight of exactly 0 is ``-inf``."""
    weights = class_log_probs(dist.mixture_distribution)
    return weights.expand(*dist.batch_shape, weights.shape[-1])


def logsumexp(values: Tensor, dim: int) -> Tensor:
    """``torch.logsumexp``, but with gradient 0 instead of NaN where every term is ``-inf``."""
    top = values.detach().amax(dim, keepdim=True)
    top = top.masked_fill(top == -torch.inf, 0)
    total = (values - top).exp().sum(dim)
    empty = total == 0
    result = total.masked_fill(empty, 1).log() + top.squeeze(dim)
    return result.masked_fill(empty, -torch.inf)


def shannon(log_probs: Tensor) -> Tensor:
    """Entropy of the last axis, in nats, where 0 log 0 = 0 for value and gradient."""
    return -(log_probs.exp() * log_probs.masked_fill(log_probs == -torch.inf, 0)).sum(-1)


def _log1p(x: Tensor) -> Tensor:
    """log(1 + x), -inf with gradient 0 at x = -1."""
    empty = x == -1
    return x.masked_fill(empty, 0).log1p().masked_fill(empty, -torch.inf)
