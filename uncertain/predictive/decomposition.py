"""What is uncertain, and why: the parts of a prediction's spread."""

from functools import singledispatch
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Independent, MixtureSameFamily

from uncertain.predictive.classes import (
    class_log_probs,
    is_over_classes,
    log_weights,
    logsumexp,
    shannon,
)
from uncertain.predictive.integrated import (
    DirichletCategorical,
    GaussianMarginal,
    StudentTMarginal,
)


class Decomposition(NamedTuple):
    r"""Uncertainty and its two parts, each of shape (\*batch, \*event).

    Attributes:
        total: Entropy of the prediction in nats (classes), or its variance in y's unit squared.
        aleatoric: What would remain if the model were known.
        epistemic: What would go: mutual information between y and the model, or the variance of
            the model's mean. Never negative.
    """

    total: Float[Tensor, "..."]
    aleatoric: Float[Tensor, "..."]
    epistemic: Float[Tensor, "..."]


@singledispatch
def decompose(dist: Distribution) -> Decomposition:
    r"""Split a prediction's uncertainty into noise and ignorance.

    For a mixture over members s with weights w,

    .. math:: H(\bar p) = \sum_s w_s H(p_s) + \sum_s w_s \mathrm{KL}(p_s \| \bar p), \qquad
              \mathrm{Var}(y) = \sum_s w_s \sigma_s^2 + \mathrm{Var}_w(\mu_s),

    entropies for classes, the law of total variance for everything else. A `GaussianMarginal`, a
    `StudentTMarginal` and a `DirichletCategorical` bring parts of their own, and members that do
    keep them: the spread between members is added to their mean latent part. With several outputs (`Independent`,
    `MultivariateNormal` members) every output is split by itself.

    New families register themselves with ``decompose.register``.

    Args:
        dist: A mixture, a `GaussianMarginal`, a `StudentTMarginal`, a `DirichletCategorical`, or
            `Independent` over one.

    Returns:
        A `Decomposition` ``(total, aleatoric, epistemic)``, of shape (\*batch, \*event) each.

    Raises:
        TypeError: For a distribution whose parts cannot be told, such as a plain `Normal` or
            `Categorical`. It is never reported as 0.

    References:
        S. Depeweg et al., Decomposition of uncertainty in Bayesian deep learning for efficient and
        risk-sensitive learning, 2018, equations 2 and 4.

    Example:
        Members that are sure and disagree are all ignorance, members that agree on a coin all noise:

        >>> from torch.distributions import Categorical
        >>> from uncertain.predictive import mixture
        >>> sure = mixture(Categorical(probs=torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])))
        >>> decompose(sure).epistemic / decompose(sure).total
        tensor([1.])
        >>> coin = mixture(Categorical(probs=torch.full((1, 2, 2), 0.5)))
        >>> decompose(coin).epistemic
        tensor([0.])
    """
    raise TypeError(
        f"`dist` should know its parts (a mixture, GaussianMarginal, StudentTMarginal or "
        f"DirichletCategorical), got {type(dist).__name__}, whose noise cannot be told from ignorance: use an ensemble, or a "
        "model that keeps both."
    )


@decompose.register
def _(dist: GaussianMarginal) -> Decomposition:
    return Decomposition(dist.variance, dist.noise_variance, dist.latent_variance)


@decompose.register
def _(dist: StudentTMarginal) -> Decomposition:
    noise, latent = dist.noise_variance, dist.latent_variance
    return Decomposition(noise + latent, noise, latent)


@decompose.register
def _(dist: DirichletCategorical) -> Decomposition:
    a = dist.concentration
    total = shannon(class_log_probs(dist))
    # E[KL(p, mean p)] = sum m_k g(a_k) - g(a_0): a difference of small terms, where the textbook's
    # difference of two entropies cancels for a large concentration.
    m = class_log_probs(dist).exp()
    epistemic = ((m * _digamma_excess(a)).sum(-1) - _digamma_excess(a.sum(-1))).clamp(min=0)
    return Decomposition(total, total - epistemic, epistemic)


@decompose.register
def _(dist: Independent) -> Decomposition:  # type: ignore[type-arg]
    return decompose(dist.base_dist)


@decompose.register
def _(dist: MixtureSameFamily) -> Decomposition:
    return _of_classes(dist) if is_over_classes(dist) else _of_values(dist)


def _of_classes(dist: MixtureSameFamily) -> Decomposition:
    component, event = dist.component_distribution, len(dist.event_shape)
    logs = class_log_probs(component)
    weights = log_weights(dist)[(...,) + (None,) * event]
    mixed = logsumexp(logs + weights[..., None], dim=-2 - event)
    total = shannon(mixed)
    # Mutual information as a divergence: never the small difference of two entropies.
    ratio = (logs - mixed.unsqueeze(-2 - event)).masked_fill(logs == -torch.inf, 0)
    divergence = (logs.exp() * ratio).sum(-1)
    own = _epistemic(component)
    between = divergence if own is None else divergence + own
    epistemic = (weights.exp() * between).sum(-1 - event).clamp(min=0)
    return Decomposition(total, total - epistemic, epistemic)


def _of_values(dist: MixtureSameFamily) -> Decomposition:
    component, event = dist.component_distribution, len(dist.event_shape)
    weights = log_weights(dist).exp()[(...,) + (None,) * event]
    means = component.mean
    centre = (weights * means).sum(-1 - event, keepdim=True)
    latent = (means - centre).square()
    own = _epistemic(component)
    if own is None:
        noise = component.variance
    else:
        noise, latent = decompose(component).aleatoric, latent + own
    aleatoric = (weights * noise).sum(-1 - event)
    epistemic = (weights * latent).sum(-1 - event)
    return Decomposition(aleatoric + epistemic, aleatoric, epistemic)


def _epistemic(component: Distribution) -> Tensor | None:
    """The members' own epistemic part, or None where all of their spread is noise."""
    base = component
    while isinstance(base, Independent):
        base = base.base_dist
    unknown = decompose.dispatch(Distribution)
    return None if decompose.dispatch(type(base)) is unknown else decompose(base).epistemic


def _digamma_excess(a: Tensor) -> Tensor:
    """digamma(a + 1) - log(a), without cancellation for large a."""
    large = a > 32
    inverse = 1 / a.where(large, 32)
    square = inverse.square()
    series = square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square / 240)))
    small = a.where(~large, 1)
    return torch.where(large, inverse / 2 - series, torch.digamma(small + 1) - small.log())
