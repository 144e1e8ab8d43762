r"""Sums of exponentials of a matrix product, without keeping what is summed.

``N`` rows, ``P`` columns, ``F`` features of both. Everything here is

.. math:: E_{np} = \exp\Bigl(\sum_f a_{nf} b_{pf}\Bigr),

made a chunk of rows at a time and made again for the gradient, so that memory is a chunk of E and
never all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = {"cpu": 2**17, "cuda": 2**25}
"""Numbers in one chunk: what a core's cache holds, or what keeps a GPU busy."""


def exponential_sums(
    rows: Float[Tensor, "N F"], columns: Float[Tensor, "P F"], weight: Float[Tensor, " N"]
) -> Float[Tensor, " P"]:
    r"""Return :math:`\sum_n w_n \exp(a_n \cdot b_p)`, differentiable once in all three arguments.

    Args:
        rows: (N, F), a.
        columns: (P, F), b.
        weight: (N,), of any sign.

    Returns:
        (P,) sums.

    Example:
        >>> a = torch.tensor([[0.0], [1.0]])
        >>> exponential_sums(a, torch.tensor([[0.0], [2.0]]), torch.ones(2))
        tensor([2.0000, 8.3891])
    """
    value: Tensor = _ExponentialSums.apply(rows, columns, weight)
    return value


def exponential_products(
    rows: Float[Tensor, "N F"], columns: Float[Tensor, "P F"], factors: Float[Tensor, "P K"]
) -> Float[Tensor, "N K"]:
    r"""Return :math:`\sum_p \exp(a_n \cdot b_p) c_{pk}`, a chunk of rows at a time.

    With gradients the chunks are kept: this is for predictions, whose rows are few or need none.
    """
    parts = [(rows[part] @ columns.T).exp() @ factors for part in _chunks(rows, columns)]
    return torch.cat(parts) if parts else rows.new_zeros(0, factors.shape[1])


class _ExponentialSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, columns: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(rows, columns, weight)
        total = columns.new_zeros(len(columns))
        for part in _chunks(rows, columns):
            total += weight[part] @ torch.mm(rows[part], columns.T).exp_()
        return total

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows, columns, weight = ctx.saved_tensors
        # Weights and gradients are multiplied into the narrow factors, never into E. The last column
        # is E times the gradient itself: what the weights ask for.
        right = torch.cat([columns, columns.new_ones(len(columns), 1)], 1) * gradient[:, None]
        left = rows * weight[:, None]
        of_rows, of_columns = rows.new_empty(rows.shape), torch.zeros_like(columns)
        of_weight = torch.empty_like(weight)
        for part in _chunks(rows, columns):
            responses = torch.mm(rows[part], columns.T).exp_()
            product = responses @ right
            of_rows[part] = product[:, :-1] * weight[part, None]
            of_weight[part] = product[:, -1]
            of_columns += responses.T @ left[part]
        return of_rows, of_columns * gradient[:, None], of_weight


def chunk_numbers(tensor: Tensor) -> int:
    """Return how many numbers one chunk holds, on the device of a tensor."""
    return CHUNK.get(tensor.device.type, CHUNK["cpu"])


def _chunks(rows: Tensor, columns: Tensor) -> Iterator[slice]:
    size = max(16, chunk_numbers(rows) // max(1, len(columns)))
    for start in range(0, len(rows), size):
        yield slice(start, start + size)
