"""Log density, cdf, quantile and entropy of any prediction, where torch has gaps or clamps.

torch has no `cdf` for Student-t, Poisson or negative binomial, no `icdf` or `entropy` for any
mixture, and scores probabilities through a clamp. `log_prob` is differentiable throughout. The other
three are where torch can be; where the table of families fills the gap (marked in each docstring)
the answer carries no gradient.
"""

from collections.abc import Callable
from functools import singledispatch
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Independent,
    LogNormal,
    MixtureSameFamily,
    MultivariateNormal,
    NegativeBinomial,
    Normal,
    Poisson,
)

from uncertain import families
from uncertain.predictive.arrays import to_arrays
from uncertain.predictive.classes import (
    class_log_probs,
    is_over_classes,
    log_weights,
    logsumexp,
    shannon,
)
from uncertain.predictive.composition import chances, parts, rebuild

_UNORDERED = "a categorical's classes have no order: take `class_probs`"
_JOINT = "a joint distribution has it for one output at a time: take `marginals(dist)`"


@singledispatch
def log_prob(dist: Distribution, y: Tensor) -> Float[Tensor, "..."]:
    r"""Log density or log mass at y, in nats, never through a clamp; differentiable.

    Args:
        dist: Any torch distribution.
        y: (\*batch, \*event) targets, with further dimensions in front if wanted; class indices for
            classes.

    Returns:
        :math:`\log p(y)` of shape (\*batch,); ``-inf`` where y is impossible.

    Raises:
        ValueError: Where y lies outside the support (unless validation is off).
        NotImplementedError: For `Empirical` and `Quantiles`, which have no density.

    Example:
        >>> y = Categorical(probs=torch.tensor([[1.0, 1e-20]]))
        >>> log_prob(y, torch.tensor([1]))
        tensor([-46.0517])
    """
    return dist.log_prob(y)


@log_prob.register
def _(dist: Categorical, y: Tensor) -> Tensor:
    _validate(dist, y)
    name, table = chances(dist)
    labels = y.long().unsqueeze(-1)
    shape = torch.broadcast_shapes(labels.shape[:-1], table.shape[:-1])
    picked = table.expand(*shape, -1).gather(-1, labels.expand(*shape, 1)).squeeze(-1)
    return picked if name == "logits" else picked.log()


@log_prob.register
def _(dist: Bernoulli, y: Tensor) -> Tensor:
    _validate(dist, y)
    logs = class_log_probs(dist)
    return torch.where(y != 0, logs[..., 1], logs[..., 0])


@log_prob.register
def _(dist: NegativeBinomial, y: Tensor) -> Tensor:
    _validate(dist, y)
    name, chance = chances(dist)
    if name == "probs":
        # Torch goes through clamped logits; in terms of the probability itself nothing is lost.
        fail, succeed = torch.log1p(-chance), torch.xlogy(y, chance)
    else:
        fail = torch.nn.functional.logsigmoid(-chance)
        succeed = y * torch.nn.functional.logsigmoid(chance)
    n = dist.total_count
    count = torch.lgamma(n + y) - torch.lgamma(1 + y) - torch.lgamma(n)
    # 0 failures before the first success: torch's lgamma(0) - lgamma(0) is NaN.
    count = torch.where((n == 0) & (y == 0), torch.zeros_like(count), count)
    return n * fail + succeed + count


@log_prob.register
def _(dist: Independent, y: Tensor) -> Tensor:  # type: ignore[type-arg]
    base = log_prob(dist.base_dist, y)
    dims = dist.reinterpreted_batch_ndims
    return base.sum(tuple(range(-dims, 0))) if dims else base


@log_prob.register
def _(dist: MixtureSameFamily, y: Tensor) -> Tensor:
    _validate(dist, y)
    members = log_prob(dist.component_distribution, y.unsqueeze(-1 - len(dist.event_shape)))
    return logsumexp(members + log_weights(dist), dim=-1)


@singledispatch
def cdf(dist: Distribution, y: Tensor) -> Float[Tensor, "..."]:
    r"""P(Y <= y), for every output by itself where there are several.

    Differentiable, except for Student-t, negative binomial and what else torch has no `cdf` for.

    Args:
        dist: A distribution over ordered values.
        y: Broadcasts against (\*batch, \*event), in y's unit.

    Returns:
        Probabilities of shape (\*batch, \*event).

    Raises:
        TypeError: For classes without order, and for joint distributions.

    Example:
        >>> from torch.distributions import StudentT
        >>> cdf(StudentT(torch.tensor([1.0])), torch.tensor([1.0]))
        tensor([0.7500])
    """
    try:
        return dist.cdf(y)
    except NotImplementedError:
        return _through_families(families.cdf, dist, y)


@cdf.register
def _(dist: Categorical, y: Tensor) -> Tensor:
    raise TypeError(f"`cdf` is undefined: {_UNORDERED}.")


@cdf.register
def _(dist: MultivariateNormal, y: Tensor) -> Tensor:
    raise TypeError(f"`cdf` is undefined: {_JOINT}.")


@cdf.register
def _(dist: Normal, y: Tensor) -> Tensor:
    _validate(dist, y)
    return _normal_cdf((y - dist.loc) / dist.scale)


@cdf.register
def _(dist: LogNormal, y: Tensor) -> Tensor:
    positive = y > 0
    z = (y.where(positive, 1).log() - dist.loc) / dist.scale
    return _normal_cdf(z).masked_fill(~positive, 0)


@cdf.register
def _(dist: Bernoulli, y: Tensor) -> Tensor:
    zero = class_log_probs(dist)[..., 0].exp()
    y = y.expand(torch.broadcast_shapes(y.shape, zero.shape))
    return torch.where(y < 0, 0.0, torch.where(y < 1, zero, 1.0))


@cdf.register
def _(dist: Poisson, y: Tensor) -> Tensor:
    count = y.to(dist.rate.dtype).floor()
    below = count < 0
    value: Tensor = torch.special.gammaincc(count.clamp(min=0) + 1, dist.rate)
    return value.masked_fill(below, 0)


@cdf.register
def _(dist: Independent, y: Tensor) -> Tensor:  # type: ignore[type-arg]
    return cdf(dist.base_dist, y)


@cdf.register
def _(dist: MixtureSameFamily, y: Tensor) -> Tensor:
    event = len(dist.event_shape)
    weights = log_weights(dist).exp()[(...,) + (None,) * event]
    y = y.expand(torch.broadcast_shapes(y.shape, dist.batch_shape + dist.event_shape))
    members = cdf(dist.component_distribution, y.unsqueeze(-1 - event))
    return (weights * members).sum(-1 - event)


@singledispatch
def quantile(dist: Distribution, q: Tensor | float) -> Float[Tensor, "..."]:
    r"""Smallest y with P(Y <= y) >= q, for every output by itself where there are several.

    Differentiable for normals, log-normals, `Empirical`, `Quantiles` and where torch has an `icdf`;
    Student-t, counts and mixtures go through the table of families (roots to 1e-12) without gradient.

    Args:
        dist: A distribution over ordered values.
        q: Levels in [0, 1]: one, one a row (\*batch,), or several as (L, 1), which gives (L, N).
            With T outputs they broadcast against (\*batch, T).

    Returns:
        Quantiles in y's unit; infinite at levels 0 and 1 where the support is.

    Raises:
        TypeError: For classes without order, and for joint distributions.
        ValueError: For levels outside [0, 1], or outside those of `Quantiles`.

    Example:
        >>> from uncertain.predictive import mixture
        >>> two = mixture(Normal(torch.tensor([[-5.0, 5.0]]), 1.0))
        >>> quantile(two, 0.25)
        tensor([-5.])
    """
    level = _level(q, dist)
    try:
        return dist.icdf(level)
    except NotImplementedError:
        return _through_families(families.quantile, dist, level)


@quantile.register
def _(dist: Categorical, q: Tensor | float) -> Tensor:
    raise TypeError(f"`quantile` is undefined: {_UNORDERED}.")


@quantile.register
def _(dist: MultivariateNormal, q: Tensor | float) -> Tensor:
    raise TypeError(f"`quantile` is undefined: {_JOINT}.")


@quantile.register
def _(dist: Normal, q: Tensor | float) -> Tensor:
    value: Tensor = dist.loc + dist.scale * torch.special.ndtri(_level(q, dist))
    return value


@quantile.register
def _(dist: LogNormal, q: Tensor | float) -> Tensor:
    value: Tensor = dist.loc + dist.scale * torch.special.ndtri(_level(q, dist))
    return value.exp()


@quantile.register
def _(dist: Independent, q: Tensor | float) -> Tensor:  # type: ignore[type-arg]
    return quantile(dist.base_dist, q)


@quantile.register
def _(dist: MixtureSameFamily, q: Tensor | float) -> Tensor:
    return _through_families(families.quantile, dist, _level(q, dist))


@singledispatch
def entropy(dist: Distribution) -> Float[Tensor, "*batch"]:
    r"""Entropy in nats: of the class probabilities, or differential.

    Differentiable, except for counts and for mixtures over numbers, which go through the table of
    families (quadrature, relative error about 1e-9).

    Args:
        dist: A distribution with a density or mass.

    Returns:
        (\*batch,); outputs that are independent add up.

    Raises:
        TypeError: For mixtures over several outputs, whose joint entropy has no closed form.
        NotImplementedError: For `Empirical` and `Quantiles`, which have no density.

    Example:
        >>> from uncertain.predictive import mixture
        >>> entropy(mixture(Normal(torch.tensor([[-50.0, 50.0]]), 1.0)))  # log 2 + that of N(0, 1)
        tensor([2.1121])
    """
    try:
        return dist.entropy()
    except NotImplementedError as error:
        if str(error):  # It says why: undefined, not missing.
            raise
        return _through_families(families.entropy, dist)


@entropy.register(Categorical)
@entropy.register(Bernoulli)
def _(dist: Distribution) -> Tensor:
    return shannon(class_log_probs(dist))


@entropy.register
def _(dist: Independent) -> Tensor:  # type: ignore[type-arg]
    base = entropy(dist.base_dist)
    dims = dist.reinterpreted_batch_ndims
    return base.sum(tuple(range(-dims, 0))) if dims else base


@entropy.register
def _(dist: MixtureSameFamily) -> Tensor:
    if is_over_classes(dist) and not dist.event_shape:
        return shannon(class_log_probs(dist))
    return _through_families(families.entropy, dist)


def _normal_cdf(z: Tensor) -> Tensor:
    # torch's 1 + erf, in `Normal.cdf` and `special.ndtr`, has no digits left in the lower tail.
    return 0.5 * torch.erfc(-z * 0.5**0.5)


def _validate(dist: Distribution, y: Tensor) -> None:
    if dist._validate_args:
        dist._validate_sample(y)


def _level(q: Tensor | float, dist: Distribution) -> Tensor:
    like = next(t for t in parts(dist).tensors.values() if t.is_floating_point())
    level = torch.as_tensor(q, dtype=like.dtype, device=like.device)
    if not ((level >= 0) & (level <= 1)).all():
        raise ValueError(
            f"`q` should lie in [0, 1], got values from {level.min():.6g} to {level.max():.6g}."
        )
    return level.expand(torch.broadcast_shapes(level.shape, dist.batch_shape + dist.event_shape))


def _through_families(
    function: Callable[..., Any], dist: Distribution, value: Tensor | None = None
) -> Tensor:
    """Ask the table of families, with any batch shape flattened to rows."""
    event = dist.event_shape
    lead = dist.batch_shape
    if value is not None:
        value = value.expand(torch.broadcast_shapes(value.shape, lead + event))
        lead = value.shape[: value.ndim - len(event)]
    rows = lead.numel()
    spread = dist.expand(lead) if lead != dist.batch_shape else dist
    flat = rebuild(spread, lambda t: t.reshape(rows, *t.shape[len(lead) :]))
    given = () if value is None else (value.detach().reshape(rows, *event).cpu().numpy(),)
    answer = torch.from_numpy(function(to_arrays(flat), *given))
    like = next(t for t in parts(dist).tensors.values() if t.is_floating_point())
    return answer.reshape(*lead, *answer.shape[1:]).to(like)
