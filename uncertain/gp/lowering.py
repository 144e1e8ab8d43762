"""L-BFGS on a few tensors, which turns back where a matrix has no factor."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_TURN = 1e6


@torch.enable_grad()
def lowered(
    tensors: Sequence[Tensor],
    loss: Callable[[], Tensor],
    *,
    iterations: int,
    enough: float = 1e-9,
) -> None:
    """Lower a loss, in place.

    Args:
        tensors: Leaves that require gradients.
        loss: A function of them; where it raises ``ArithmeticError`` the line search turns back.
        iterations: Most of them.
        enough: A change of the loss that is small enough to stop at.

    Example:
        >>> x = torch.tensor([3.0], requires_grad=True)
        >>> lowered([x], lambda: (x - 1).square().sum(), iterations=20)
        >>> round(x.item(), 3)
        1.0
    """
    optimizer = torch.optim.LBFGS(
        tensors,
        max_iter=iterations,
        history_size=20,
        tolerance_change=enough,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        optimizer.zero_grad()
        try:
            value = loss()
        except ArithmeticError:
            return _TURN  # too far along the line
        value.backward()  # type: ignore[no-untyped-call]
        return float(value.detach())

    optimizer.step(closure)
