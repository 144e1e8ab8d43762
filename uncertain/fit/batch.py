"""What an objective or a step is given: some rows, and what they stand for.

``N`` is the number of rows of the data set, ``B`` of one batch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor

from uncertain import checks


class Batch(NamedTuple):
    r"""Rows of a data set, drawn for one step.

    Weights average one over the data set, not over the batch, so a data term is weighted by
    averaging ``weight * value`` over the batch's rows; to divide by what the batch happens to weigh
    would bias the gradient. ``mean`` and ``sum`` do it right, and keep the law that a row of weight
    :math:`k` counts as :math:`k` copies of itself:

    .. math:: \mathrm{mean}(v) = \frac1B \sum_{i \in \text{batch}} w_i v_i, \qquad
              \mathrm{sum}(v) = \text{total} \cdot \mathrm{mean}(v)

    Only the data term goes through them: a penalty or a KL divergence to a prior is never weighted.

    Attributes:
        x: The inputs of the rows: a tensor (B, ...), or a tuple or mapping of them.
        y: The targets (B, ...), or ``None`` where the data has none.
        weight: (B,), at least 0, averaging 1 over the data set.
        index: (B,) int64, the rows' places in the data set.
        total: The number of rows the data set stands for: the sum of the weights as they were
            given, N without weights.

    Example:
        >>> import torch
        >>> rows = torch.arange(2)
        >>> batch = Batch(None, None, torch.tensor([0.5, 1.5]), rows, total=100.0)
        >>> values = torch.tensor([2.0, 4.0])
        >>> batch.mean(values), batch.sum(values)
        (tensor(3.5000), tensor(350.))
    """

    x: Any
    y: Any
    weight: Tensor
    index: Tensor  # type: ignore[assignment]  # hides tuple.index
    total: float

    def mean(self, values: Float[Tensor, " B"]) -> Float[Tensor, ""]:
        """Estimate the weighted mean of ``values`` over the data set from this batch.

        Raises:
            ValueError: Where ``values`` is not one number a row.
        """
        if values.shape != self.weight.shape:
            checks.check_shape("values", values, tuple(self.weight.shape), hint="one a row")
        return (self.weight * values).mean()

    def sum(self, values: Float[Tensor, " B"]) -> Float[Tensor, ""]:
        """Estimate the weighted sum of ``values`` over the data set from this batch.

        Raises:
            ValueError: Where ``values`` is not one number a row.
        """
        return self.total * self.mean(values)
