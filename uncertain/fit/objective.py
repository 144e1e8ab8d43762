"""What a training minimises: terms by name that add up with ``+``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from uncertain.fit.batch import Batch

Value = Tensor | Mapping[str, Tensor]
Function = Callable[[Batch], Value]


@dataclass(frozen=True)
class Objective:
    """A sum of named, scaled functions of a batch; call it to get its terms.

    Any callable ``batch -> scalar`` (or ``batch -> dict of scalars``) can be added to one, and one
    can be scaled by a number. Made by ``nll`` and ``term``.

    Attributes:
        parts: (name, function, scale) of every summand.

    Example:
        >>> total = term("one", lambda batch: torch.tensor(1.0))
        >>> total = total + 0.5 * term("four", lambda batch: torch.tensor(4.0))
        >>> total(Batch(None, None, torch.ones(1), torch.arange(1), total=1.0))
        {'one': tensor(1.), 'four': tensor(2.)}
    """

    parts: tuple[tuple[str, Function, float], ...]

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Return every term by name; where two share a name, the later ones are numbered."""
        terms: dict[str, Tensor] = {}
        for name, function, scale in self.parts:
            for inner, value in named(function(batch), name).items():
                terms[_free(inner, terms)] = value if scale == 1 else scale * value
        return terms

    def __add__(self, other: Function) -> Objective:
        more = other if isinstance(other, Objective) else term(_name(other), other)
        return Objective((*self.parts, *more.parts))

    def __radd__(self, other: Any) -> Objective:
        if other == 0:  # so that sum() works
            return self
        return term(_name(other), other) + self

    def __mul__(self, scale: float) -> Objective:
        return Objective(tuple((name, part, by * scale) for name, part, by in self.parts))

    __rmul__ = __mul__

    def modules(self) -> Iterator[nn.Module]:
        """Yield the summands that are modules: their parameters are trained too."""
        yield from (part for _, part, _ in self.parts if isinstance(part, nn.Module))

    def __repr__(self) -> str:
        """Show the sum as it would be written."""
        return " + ".join(
            name if scale == 1 else f"{scale:g} * {name}" for name, _, scale in self.parts
        )


def term(name: str, function: Function) -> Objective:
    """Return an objective of one term, so that it can be named, added and scaled.

    Args:
        name: What a tracker, the history and an error call it.
        function: From a batch to a scalar, or to a mapping of scalars with names of their own.

    Returns:
        The objective.

    Raises:
        TypeError: Where ``function`` can not be called.

    Example:
        >>> net = torch.nn.Linear(1, 1)
        >>> nll(net) + 0.1 * term("shrinkage", lambda batch: net.weight.square().sum())
        nll + 0.1 * shrinkage
    """
    if not callable(function):
        raise TypeError(
            f"`objective` should be a sum of functions of a batch, got {type(function).__name__}."
        )
    return Objective(((name, function, 1.0),))


def nll(model: Callable[[Any], Distribution]) -> Objective:
    r"""Return the objective of a predictor: the weighted mean of its negative log-likelihood.

    .. math:: \frac1B \sum_{i \in \text{batch}} -w_i \log p(y_i \mid x_i)

    in nats. It is what ``fit`` minimises where neither an objective is given nor the model has one.

    Args:
        model: A predictor: from inputs to a distribution over y with one batch entry a row.

    Returns:
        An objective of one term, ``nll``.

    Example:
        >>> flat = lambda x: torch.distributions.Categorical(logits=torch.zeros(len(x), 4))
        >>> batch = Batch(torch.zeros(2, 1), torch.tensor([0, 3]), torch.ones(2), torch.arange(2), 2)
        >>> nll(flat)(batch)["nll"].exp().round(decimals=4)
        tensor(4.)
    """
    return term("nll", partial(_nll, model))


def _nll(model: Callable[[Any], Distribution], batch: Batch) -> Tensor:
    return batch.mean(row_nll(model(batch.x), batch.y))


def row_nll(dist: Any, y: Tensor) -> Tensor:
    """Return -log p(y) of every row, after checking that the prediction fits the targets."""
    from uncertain.predictive import log_prob

    check_prediction(dist, y)
    return -log_prob(dist, y)


def check_prediction(dist: Any, y: Any) -> None:
    """Raise unless ``dist`` predicts targets like ``y``: batch and event shape, and kind of number.

    Raises:
        TypeError: For no distribution, no targets, or targets of the wrong kind of number.
        ValueError: For a wrong batch or event shape.
    """
    if not isinstance(dist, Distribution):
        raise TypeError(
            f"`model` should return a torch Distribution over y, got {type(dist).__name__}: "
            "wrap its output in one, or pass an `objective`."
        )
    if not isinstance(y, Tensor):
        raise TypeError(
            f"`y` should be a tensor to be scored by a likelihood, got {type(y).__name__}: "
            "pass an `objective` that does without."
        )
    if dist.batch_shape != y.shape[:1]:
        raise ValueError(
            f"`model` should return a distribution with batch_shape ({len(y)},) for {len(y)} rows, "
            f"got {tuple(dist.batch_shape)}: several outputs belong into the event shape "
            "(`Independent`), several members into a mixture."
        )
    if dist.event_shape != y.shape[1:]:
        raise ValueError(
            f"`y` should have shape {(len(y), *dist.event_shape)} to match the model's event_shape "
            f"{tuple(dist.event_shape)}, got {tuple(y.shape)}."
        )
    _check_kind(dist, y)


def _check_kind(dist: Distribution, y: Tensor) -> None:
    support = base_support(dist)
    family = type(dist).__name__
    if isinstance(support, constraints._IntegerInterval) and support.lower_bound == 0:
        if y.is_floating_point() and bool((y != y.floor()).any()):
            raise TypeError(f"`y` should be whole class indices for a {family}, got {y.dtype}.")
    elif not getattr(support, "is_discrete", False) and not y.is_floating_point():
        raise TypeError(f"`y` should be floating point for a {family}, got {y.dtype}: y.float().")


def base_support(dist: Distribution) -> Any:
    """Return the support of one number: without the wrappers of events and mixtures."""
    support: Any = dist.support
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    return support


def named(value: Value, name: str) -> dict[str, Tensor]:
    """Return what an objective returned as scalar terms by name.

    Raises:
        TypeError: For what is neither a tensor nor a mapping of tensors.
        ValueError: For a tensor with more than one number.
    """
    terms = dict(value) if isinstance(value, Mapping) else {name: value}
    for key, item in terms.items():
        if not isinstance(item, Tensor):
            raise TypeError(
                f"`objective` should return a scalar tensor, or a mapping of them, "
                f"got {type(item).__name__} for `{key}`."
            )
        if item.numel() != 1:
            raise ValueError(
                f"`objective` should return scalars, got shape {tuple(item.shape)} for `{key}`: "
                "average over rows with `batch.mean`."
            )
    if not terms:
        raise ValueError("`objective` should return at least one term, got an empty mapping.")
    return {key: item.reshape(()) if item.ndim else item for key, item in terms.items()}


def default_objective(model: nn.Module) -> Function:
    """Return the model's own ``objective`` where it has one, else its likelihood."""
    own = getattr(model, "objective", None)
    return own if callable(own) else nll(model)


class Forward(nn.Module):
    """The objective as a module's ``forward``, where data parallel and compilers look for it."""

    def __init__(self, model: nn.Module, objective: Function) -> None:
        super().__init__()
        self.model = model
        # Registers the objective where it is a module; parameters it shares are counted once.
        self.objective = objective
        summands = objective.modules() if isinstance(objective, Objective) else ()
        self.summands = nn.ModuleList(summands)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of one batch."""
        return named(self.objective(batch), "loss")

    def extra_state(self) -> dict[str, Tensor]:
        """Return the state of the objective that is not the model's."""
        own = {id(tensor) for tensor in _tensors(self.model)}
        return {
            name: tensor
            for name, tensor in [*self.named_parameters(), *self.named_buffers()]
            if id(tensor) not in own
        }


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _name(function: Any) -> str:
    function = getattr(function, "func", function)  # of a partial
    return str(getattr(function, "__name__", type(function).__name__))


def _free(name: str, taken: Mapping[str, Any]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} {number}"
    return free


def check_labels_fit(dist: Distribution, y: Tensor) -> None:
    """Raise where any target of the whole data set is out of the classes of ``dist``."""
    support = base_support(dist)
    if not isinstance(support, constraints._IntegerInterval) or y.numel() == 0:
        return
    low, high = int(torch.as_tensor(support.lower_bound).min()), support.upper_bound
    bad = (y < low) | (y > high)
    if bool(bad.any()):
        row = int(bad.nonzero()[0, 0])
        raise ValueError(
            f"`y` should be class indices from {low} to {int(high)}, got {y[row].tolist()} at row "
            f"{row} ({int(bad.sum())} of {y.numel()})."
        )
