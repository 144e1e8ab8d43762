"""Rows of predictions: taking some, joining many, one output at a time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)

from uncertain.checks import check_not_empty
from uncertain.predictive.classes import class_log_probs
from uncertain.predictive.composition import Parts, exact_categorical, parts, rebuild
from uncertain.predictive.integrated import DirichletCategorical

Rows = slice | Sequence[int] | Sequence[bool] | Tensor | NDArray[Any]


def select(dist: Distribution, rows: Rows) -> Distribution:
    """Take rows of a batch of predictions, like indexing a tensor along its first dimension.

    Args:
        dist: A distribution of batch shape (N, ...).
        rows: A slice, indices (negative ones count from the end), or a boolean mask of length N.

    Returns:
        The same kind of distribution with the selected rows, bit for bit.

    Raises:
        ValueError: Where ``dist`` has no batch dimension.
        IndexError: Where an index or the mask does not fit.

    Example:
        >>> from torch.distributions import Poisson
        >>> select(Poisson(torch.tensor([1.0, 2.0, 3.0])), [2, 0]).rate
        tensor([3., 1.])
    """
    if not dist.batch_shape:
        raise ValueError("`dist` should have rows to select from, got batch shape ().")
    index: Any = rows if isinstance(rows, slice) else _as_index(rows)
    if isinstance(index, slice) and (index.step or 1) < 0:
        index = torch.arange(dist.batch_shape[0])[_positive(index, dist.batch_shape[0])]

    def take(tensor: Tensor) -> Tensor:
        return tensor[index if isinstance(index, slice) else index.to(tensor.device)]

    return rebuild(dist, take)


def concat(dists: Sequence[Distribution]) -> Distribution:
    """Join batches of predictions along the first dimension; undoes `select`.

    Args:
        dists: At least one distribution, all of one family and, for mixtures, one number of members.

    Returns:
        One distribution whose batch is the others' in order.

    Raises:
        ValueError: Where there are none, or trailing shapes differ.
        TypeError: Where families differ.

    Example:
        >>> from torch.distributions import Poisson
        >>> concat([Poisson(torch.ones(2)), Poisson(torch.zeros(1))]).rate
        tensor([1., 1., 0.])
    """
    check_not_empty("dists", dists)
    if len(dists) == 1:
        return dists[0]
    wholes = common_parts(dists, "dists")
    for i, (dist, whole) in enumerate(zip(dists, wholes, strict=True)):
        if not dist.batch_shape:
            raise ValueError(f"`dists` should have rows to join, got batch shape () for entry {i}.")
        _check_trailing(wholes[0], whole, i)
    names = wholes[0].tensors
    return wholes[0].build({name: torch.cat([w.tensors[name] for w in wholes]) for name in names})


def marginals(dist: Distribution) -> Distribution:
    r"""Every output of a joint distribution by itself: :math:`N(\mu_t, \Sigma_{tt})`.

    The dependence between the outputs, within each member, is lost.

    Args:
        dist: A `MultivariateNormal` over T outputs, or a mixture of them.

    Returns:
        ``Independent`` normals of event shape (T,); for a mixture, a mixture of them.

    Raises:
        TypeError: For another family.

    Example:
        >>> joint = MultivariateNormal(torch.zeros(1, 2), torch.tensor([[4.0, 1.0], [1.0, 9.0]]))
        >>> marginals(joint).base_dist.scale
        tensor([[2., 3.]])
    """
    if isinstance(dist, MultivariateNormal):
        return Independent(_marginal_normals(dist), 1, validate_args=dist._validate_args)
    if isinstance(dist, MixtureSameFamily):
        members = dist.component_distribution
        if isinstance(members, MultivariateNormal):
            return MixtureSameFamily(
                dist.mixture_distribution, marginals(members), validate_args=dist._validate_args
            )
    raise TypeError(
        f"`dist` should be a MultivariateNormal or a mixture of them, got {type(dist).__name__}."
    )


def common_parts(dists: Sequence[Distribution], name: str) -> list[Parts]:
    """Parts of one kind; class predictions in several representations meet as log-probabilities."""
    wholes = [parts(dist) for dist in dists]
    if all(whole.kind == wholes[0].kind for whole in wholes):
        return wholes
    if all(_is_plain_categorical(dist) for dist in dists):
        logs = [exact_categorical(logits=class_log_probs(d), like=d) for d in dists]
        return [parts(dist) for dist in logs]
    odd = next(i for i, whole in enumerate(wholes) if whole.kind != wholes[0].kind)
    raise TypeError(
        f"`{name}` should be of one family, got {_describe(dists[0])} at 0 and "
        f"{_describe(dists[odd])} at {odd}."
    )


def _is_plain_categorical(dist: Distribution) -> bool:
    return isinstance(dist, Categorical) and not isinstance(dist, DirichletCategorical)


def _describe(dist: Distribution) -> str:
    if isinstance(dist, MixtureSameFamily):
        return f"a mixture of {_describe(dist.component_distribution)}"
    if isinstance(dist, Independent):
        return f"Independent {_describe(dist.base_dist)}"
    return type(dist).__name__


def _check_trailing(first: Parts, other: Parts, i: int) -> None:
    for name, tensor in first.tensors.items():
        want, got = tuple(tensor.shape[1:]), tuple(other.tensors[name].shape[1:])
        if want != got:
            raise ValueError(
                f"`dists` should agree in all but the first dimension, got `{name}` of shape "
                f"(N, *{want}) at 0 and (N, *{got}) at {i}: members, classes or outputs differ."
            )


def _as_index(rows: Any) -> Tensor:
    index = torch.as_tensor(rows)
    if index.numel() == 0 and not isinstance(rows, (Tensor, np.ndarray)):
        return index.to(torch.long)
    if index.dtype != torch.bool and (index.is_floating_point() or index.is_complex()):
        raise IndexError(f"`rows` should be whole numbers or a mask, got dtype {index.dtype}.")
    return index if index.dtype == torch.bool else index.long()


def _positive(rows: slice, count: int) -> list[int]:
    return list(range(count))[rows]


def _marginal_normals(dist: MultivariateNormal) -> Normal:
    scale = dist._unbroadcasted_scale_tril.square().sum(-1).sqrt().expand(dist.loc.shape)
    return Normal(dist.loc, scale, validate_args=dist._validate_args)
