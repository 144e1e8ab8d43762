"""Taking a distribution apart into tensors whose leading dimensions are its batch, and back.

Everything that only moves rows about (`select`, `concat`, `mixture`, `expand`) is one map over these
tensors. Most torch distributions need nothing: their ``arg_constraints`` name the parameters. One
that does registers itself with ``parts.register``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
)
from torch.distributions.utils import probs_to_logits

from uncertain.predictive.integrated import (
    DirichletCategorical,
    GaussianMarginal,
    StudentTMarginal,
)
from uncertain.predictive.sampled import Empirical, Quantiles

AnyDistribution = TypeVar("AnyDistribution", bound=Distribution)


@dataclass(frozen=True)
class Parts:
    r"""What a distribution is made of.

    Attributes:
        kind: What two distributions must have in common for their tensors to be joined.
        tensors: Name to tensor of shape (\*batch_shape, \*trailing), fully expanded.
        build: Makes the distribution again from tensors of the same names and trailing shapes.
    """

    kind: tuple[Any, ...]
    tensors: Mapping[str, Tensor]
    build: Callable[[Mapping[str, Tensor]], Distribution]


def rebuild(dist: Distribution, change: Callable[[Tensor], Tensor]) -> Distribution:
    """Apply ``change``, which may only touch leading dimensions, to every tensor of ``dist``."""
    whole = parts(dist)
    return whole.build({name: change(tensor) for name, tensor in whole.tensors.items()})


@singledispatch
def parts(dist: Distribution) -> Parts:
    """Take a distribution apart.

    Args:
        dist: Any torch distribution whose constructor takes the tensors that its
            ``arg_constraints`` name, or one that is registered here.

    Returns:
        Its `Parts`.

    Raises:
        TypeError: Where the parameters cannot be told from the class.
    """
    constraints = dist.arg_constraints
    if not constraints:
        raise TypeError(
            f"`dist` should be a distribution whose parameters are known, got "
            f"{type(dist).__name__}: teach it with `uncertain.predictive.parts.register`."
        )
    alternatives = {"probs", "logits"} if {"probs", "logits"} <= constraints.keys() else set()
    tensors = {
        name: _expanded(dist, getattr(dist, name), constraint.event_dim)
        for name, constraint in constraints.items()
        if name not in alternatives
    }
    if alternatives:
        name, tensor = chances(dist)
        tensors[name] = _expanded(dist, tensor, constraints[name].event_dim)
    return _simple(dist, tensors)


@parts.register
def _(dist: Categorical) -> Parts:
    name, tensor = chances(dist)
    return Parts((Categorical, name), {name: tensor}, lambda t: exact_categorical(**t, like=dist))


@parts.register
def _(dist: MultivariateNormal) -> Parts:
    # Of its three parametrisations the factor is the one it computes with.
    shape = dist.batch_shape + dist.event_shape
    tensors = {
        "loc": dist.loc.expand(shape),
        "scale_tril": dist._unbroadcasted_scale_tril.expand(*shape, shape[-1]),
    }
    return _simple(dist, tensors, MultivariateNormal)


@parts.register
def _(dist: GaussianMarginal) -> Parts:
    names = ("loc", "latent_scale", "noise_scale")
    return _simple(dist, {name: getattr(dist, name) for name in names})


@parts.register
def _(dist: StudentTMarginal) -> Parts:
    names = ("df", "loc", "latent_scale", "noise_scale")
    return _simple(dist, {name: getattr(dist, name) for name in names})


@parts.register
def _(dist: DirichletCategorical) -> Parts:
    return _simple(dist, {"concentration": dist.concentration})


@parts.register
def _(dist: Empirical) -> Parts:
    def build(tensors: Mapping[str, Tensor]) -> Distribution:
        new = Empirical(tensors["samples"], is_sample=dist.is_sample, validate_args=False)
        return _validated_like(new, dist)

    return Parts((Empirical, dist.is_sample), {"samples": dist.samples}, build)


@parts.register
def _(dist: Quantiles) -> Parts:
    # The levels are common to all rows: a property of the kind, not of a row.
    levels = tuple(dist.levels.tolist())

    def build(tensors: Mapping[str, Tensor]) -> Distribution:
        return _validated_like(Quantiles(dist.levels, **tensors, validate_args=False), dist)

    return Parts((Quantiles, levels), {"values": dist.values}, build)


@parts.register
def _(dist: Independent) -> Parts:  # type: ignore[type-arg]
    base = parts(dist.base_dist)
    dims = dist.reinterpreted_batch_ndims

    def build(tensors: Mapping[str, Tensor]) -> Distribution:
        new = Independent(base.build(tensors), dims, validate_args=False)
        return _validated_like(new, dist)

    return Parts((Independent, dims, base.kind), base.tensors, build)


@parts.register
def _(dist: MixtureSameFamily) -> Parts:
    component = parts(dist.component_distribution)
    chosen = dist.mixture_distribution
    members = component.tensors
    weights = parts(chosen.expand(dist.batch_shape))
    tensors = {f"mixture.{name}": tensor for name, tensor in weights.tensors.items()}
    tensors |= {f"component.{name}": tensor for name, tensor in members.items()}

    def build(tensors: Mapping[str, Tensor]) -> Distribution:
        new = MixtureSameFamily(
            weights.build(_below("mixture.", tensors)),  # type: ignore[arg-type]
            component.build(_below("component.", tensors)),
            validate_args=False,
        )
        return _validated_like(new, dist)

    return Parts((MixtureSameFamily, weights.kind, component.kind), tensors, build)


def chances(dist: Any) -> tuple[str, Tensor]:
    """Which of "probs" and "logits" the distribution was made from, and that tensor.

    torch derives the other one when it is asked for, and derives logits from probabilities clamped
    to the dtype's epsilon. Only the original is exact.
    """
    held = dist.__dict__
    if "probs" not in held:
        return "logits", dist.logits
    if "logits" not in held or dist._param is dist.probs:
        return "probs", dist.probs
    # Both are held, and `expand` forgets which came first: derived logits are told by the clamp.
    binary = not isinstance(dist, Categorical)
    derived = torch.equal(dist.logits, probs_to_logits(dist.probs, is_binary=binary))
    return ("probs", dist.probs) if derived else ("logits", dist.logits)


def exact_categorical(
    *, probs: Tensor | None = None, logits: Tensor | None = None, like: Distribution | None = None
) -> Categorical:
    """A `Categorical` that keeps normalised parameters to the bit, where torch divides once more.

    Its own `log_prob` is exact as well: the logits of given probabilities are not clamped.
    """
    new = Categorical(probs=probs, logits=logits, validate_args=False)
    if probs is not None:
        new.probs = new._param = probs  # type: ignore[misc]
        new.logits = safe_log(probs)  # type: ignore[misc]
    else:
        new.logits = new._param = logits  # type: ignore[misc, assignment]
    return new if like is None else _validated_like(new, like)


def safe_log(p: Tensor) -> Tensor:
    """Log of p, -inf with gradient 0 at p = 0."""
    empty = p == 0
    return p.masked_fill(empty, 1).log().masked_fill(empty, -torch.inf)


def _simple(
    dist: Distribution, tensors: Mapping[str, Tensor], made: type[Distribution] | None = None
) -> Parts:
    """Parts of a class whose constructor takes exactly these tensors."""
    make: Any = made or type(dist)

    def build(tensors: Mapping[str, Tensor]) -> Distribution:
        new: Distribution = make(**tensors, validate_args=False)
        return _validated_like(new, dist)

    return Parts((make, *sorted(tensors)), tensors, build)


def _expanded(dist: Distribution, value: Tensor, trailing: int) -> Tensor:
    own = value.shape[value.ndim - trailing :]
    return value.expand(dist.batch_shape + own)


def _validated_like(new: AnyDistribution, dist: Distribution) -> AnyDistribution:
    # The parameters passed validation once; only later arguments are still to be validated.
    new._validate_args = dist._validate_args
    return new


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
