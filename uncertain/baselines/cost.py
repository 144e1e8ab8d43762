"""What a predictor costs, beside what it is worth."""

from __future__ import annotations

from functools import singledispatch
from typing import Any, NamedTuple

from torch import nn

from uncertain.baselines.batch_ensemble import BatchEnsemble
from uncertain.baselines.dropout import MonteCarloDropout
from uncertain.baselines.ensemble import DeepEnsemble
from uncertain.baselines.features import OnFeatures
from uncertain.baselines.kronecker_laplace import KroneckerLaplace
from uncertain.baselines.swag import SWAG


class Cost(NamedTuple):
    """The size of a predictor and the work of one prediction.

    Attributes:
        parameters: Numbers that are learnt by gradient; what two members share is counted once.
        forward_passes: Passes of a network a row takes, backward ones included.
        stored: Numbers that are kept beside the parameters: a covariance, a bank of features.
    """

    parameters: int
    forward_passes: int
    stored: int = 0


def cost(predictor: Any) -> Cost:
    """Return the parameters of a predictor, its passes a row and what else it keeps.

    Args:
        predictor: Any callable; one that is no module has no parameters to count.

    Returns:
        The cost; an ensemble takes as many passes as its members together.

    Example:
        >>> from uncertain.baselines import Softmax
        >>> cost(DeepEnsemble([Softmax(nn.Linear(3, 2)) for _ in range(5)]))
        Cost(parameters=40, forward_passes=5, stored=0)
    """
    if not isinstance(predictor, nn.Module):
        return Cost(0, 1)
    return Cost(
        sum(p.numel() for p in predictor.parameters()),
        _passes(predictor),
        sum(b.numel() for b in predictor.buffers()),
    )


@singledispatch
def _passes(predictor: nn.Module) -> int:
    """One, unless a predictor that this package does not know says more."""
    return int(getattr(predictor, "forward_passes", 1))


@_passes.register
def _(predictor: DeepEnsemble) -> int:
    return sum(_passes(member) for member in predictor.members)


@_passes.register
def _(predictor: MonteCarloDropout) -> int:
    return predictor.members * _passes(predictor.network)


@_passes.register(SWAG)
@_passes.register(BatchEnsemble)
def _(predictor: Any) -> int:
    return int(predictor.members * _passes(predictor.predictor))


@_passes.register
def _(predictor: OnFeatures) -> int:
    return _passes(predictor.body)


@_passes.register
def _(predictor: KroneckerLaplace) -> int:
    return predictor.passes
