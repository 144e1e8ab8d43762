"""What a predictor costs, beside what it is worth."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn

from uncertain.baselines.dropout import MonteCarloDropout
from uncertain.baselines.ensemble import DeepEnsemble


class Cost(NamedTuple):
    """The size of a predictor and the work of one prediction.

    Attributes:
        parameters: Numbers that are learnt; what two members share is counted once.
        forward_passes: Passes of a network a row takes.
    """

    parameters: int
    forward_passes: int


def cost(predictor: Any) -> Cost:
    """Return the parameters of a predictor and its forward passes a row.

    Args:
        predictor: Any callable; one that is no module has no parameters to count.

    Returns:
        The cost; an ensemble takes as many passes as its members together.

    Example:
        >>> from uncertain.baselines import Softmax
        >>> cost(DeepEnsemble([Softmax(nn.Linear(3, 2)) for _ in range(5)]))
        Cost(parameters=40, forward_passes=5)
    """
    if not isinstance(predictor, nn.Module):
        return Cost(0, 1)
    return Cost(sum(p.numel() for p in predictor.parameters()), _passes(predictor))


def _passes(predictor: nn.Module) -> int:
    if isinstance(predictor, DeepEnsemble):
        return sum(_passes(member) for member in predictor.members)
    if isinstance(predictor, MonteCarloDropout):
        return predictor.members * _passes(predictor.network)
    return 1
