"""Many members, one prediction."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, MixtureSameFamily

from uncertain.checks import check_not_empty, check_range, check_shape
from uncertain.predictive.classes import log_weights
from uncertain.predictive.composition import exact_categorical, parts, safe_log
from uncertain.predictive.rows import common_parts


def mixture(
    components: Distribution | Sequence[Distribution],
    weights: Float[Tensor, "*batch S"] | Sequence[float] | None = None,
) -> MixtureSameFamily:
    r"""The prediction of an ensemble: :math:`p(y) = \sum_s w_s p_s(y)`.

    Anything with members fits: networks of an ensemble, posterior samples, experts. Components that
    are mixtures themselves are flattened, so that an ensemble of ensembles is one ensemble.

    Args:
        components: One distribution whose last batch dimension is the members, or a sequence of S
            distributions of one family and one batch shape. Categoricals made from probabilities
            and from logits may be mixed.
        weights: (S,) or (\*batch, S), at least 0 and summing to 1 within 1e-5; equal by default.

    Returns:
        A ``MixtureSameFamily`` of batch shape (\*batch,).

    Raises:
        ValueError: Where there are no components, or shapes or weights do not fit.
        TypeError: Where the components are not of one family.

    Example:
        >>> from torch.distributions import Normal
        >>> halves = mixture([Normal(torch.zeros(3), 1.0), Normal(torch.full((3,), 2.0), 1.0)])
        >>> halves.mean, halves.variance
        (tensor([1., 1., 1.]), tensor([2., 2., 2.]))
    """
    component = components if isinstance(components, Distribution) else _stack(components)
    if not component.batch_shape:
        raise ValueError(
            "`components` should end in a batch dimension of members, got batch shape (): "
            "pass a sequence of distributions, or stack their parameters along the last axis."
        )
    batch, members = component.batch_shape[:-1], component.batch_shape[-1]
    if members == 0:
        raise ValueError("`components` should have at least one member, got none.")
    logs = _log_weights(component, weights, members).expand(*batch, members)
    if isinstance(component, MixtureSameFamily):
        logs = (logs.unsqueeze(-1) + log_weights(component)).flatten(-2)
        component = _flatten_members(component.component_distribution, len(batch))
    chosen = exact_categorical(logits=logs, like=component)
    return MixtureSameFamily(chosen, component, validate_args=component._validate_args)


def _stack(components: Sequence[Distribution]) -> Distribution:
    check_not_empty("components", components)
    first = components[0]
    for i, other in enumerate(components):
        if other.batch_shape != first.batch_shape:
            raise ValueError(
                f"`components` should share one batch shape, got {tuple(first.batch_shape)} for "
                f"component 0 and {tuple(other.batch_shape)} for component {i}."
            )
    wholes = common_parts(components, "components")
    axis = len(first.batch_shape)
    return wholes[0].build(
        {name: torch.stack([w.tensors[name] for w in wholes], axis) for name in wholes[0].tensors}
    )


def _flatten_members(inner: Distribution, axis: int) -> Distribution:
    """Join batch dimensions ``axis`` (outer members) and ``axis + 1`` (their own members)."""
    whole = parts(inner)
    return whole.build({name: t.flatten(axis, axis + 1) for name, t in whole.tensors.items()})


def _log_weights(
    component: Distribution, weights: Tensor | Sequence[float] | None, members: int
) -> Tensor:
    like = next(t for t in parts(component).tensors.values() if t.is_floating_point())
    if weights is None:
        return like.new_zeros(members).log_softmax(-1)
    given = torch.as_tensor(weights, dtype=like.dtype, device=like.device)
    batch = component.batch_shape[:-1]
    hint = f"one weight for each of {members} members"
    if given.ndim <= 1:
        check_shape("weights", given, (members,), hint=hint)
    else:
        check_shape("weights", given, (*batch, members), hint=hint)
    check_range("weights", given.detach().cpu(), 0, 1 + 1e-5)
    off = (given.detach().sum(-1) - 1).abs().max().item() if given.numel() else 0.0
    if off > 1e-5:
        raise ValueError(
            f"`weights` should sum to 1 over the members, got sums off by up to {off:.3g}: "
            "divide them by their sum."
        )
    return safe_log(given / given.sum(-1, keepdim=True))
