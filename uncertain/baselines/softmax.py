"""The softmax of a network: what every other method has to beat."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Categorical

from uncertain import checks
from uncertain.fit import Batch
from uncertain.predictive.classes import categorical

_NO_LABEL = -(2**62)


class Softmax(nn.Module):
    r"""A network's logits read as a categorical distribution.

    .. math:: p(y = c \mid x) = \exp z_c / \sum_j \exp z_j, \qquad z = \mathrm{network}(x)

    Args:
        network: From inputs to logits (N, C).

    Example:
        >>> predictor = Softmax(nn.Linear(3, 4))
        >>> predictor(torch.zeros(5, 3)).batch_shape
        torch.Size([5])
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Any) -> Categorical:
        """Return the predictive distribution of each row.

        Raises:
            TypeError: Where the network returns no floating tensor.
            ValueError: Where its logits do not have shape (N, C).
        """
        return categorical(logits_of(self.network(x)))

    def objective(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the weighted mean cross-entropy of a batch, in nats.

        Raises:
            TypeError: For labels that are no integers.
        """
        return batch.mean(cross_entropies(logits_of(self.network(batch.x)), batch.y))


def logits_of(output: Any) -> Float[Tensor, "N C"]:
    """Return a network's output as logits of float32 or wider.

    Raises:
        TypeError: Where it is no floating tensor.
        ValueError: Where it does not have shape (N, C).
    """
    if not isinstance(output, Tensor) or not output.is_floating_point():
        what = output.dtype if isinstance(output, Tensor) else type(output).__name__
        raise TypeError(f"`network` should return floating logits (N, C), got {what}.")
    checks.check_shape("network(x)", output, ("N", "C"), hint="one logit a class")
    # Half precision would leave three digits of the probabilities.
    return output.to(torch.promote_types(output.dtype, torch.float32))


def cross_entropies(logits: Float[Tensor, "N C"], y: Tensor) -> Float[Tensor, " N"]:
    """Return the cross-entropy of every row, in nats.

    Args:
        logits: (N, C).
        y: (N,) class indices of any integer dtype, or (N, C) floating, a share for every class.

    Raises:
        TypeError: For indices of a floating dtype.
    """
    shares = y.is_floating_point() and y.shape == logits.shape
    given = y if shares else class_indices(y)
    # No label is passed over: -100, which torch ignores, would be in silence.
    values: Tensor = F.cross_entropy(logits, given, reduction="none", ignore_index=_NO_LABEL)
    return values


def class_indices(y: Tensor) -> Tensor:
    """Return labels of any integer dtype as int64.

    Raises:
        TypeError: For floating ones.
    """
    checks.check_indices("y", y)
    return y.long()
