"""Functions whose derivatives are written by hand: for speed, and to stay finite at zero.

Their backward passes are made of differentiable operations, so second derivatives exist too.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


def roots(values: Tensor, floor: Tensor | float) -> Tensor:
    r"""Return square roots, :math:`v / \sqrt{f}` where a value is below its floor f.

    The straight line through the origin has a finite slope and lets what rounding leaves below zero
    average out. Where the floor is 0 the slope at 0 is 0, and a negative value has no root: NaN.
    """
    if not isinstance(floor, Tensor) and floor:
        floor = torch.full_like(values.detach(), floor)
    return cast(Tensor, _Roots.apply(values, floor))


def squared_gaps(a: Tensor, b: Tensor) -> Tensor:
    """Return the squared distances of points (..., 1, D) to all points (C, D), or of pairs.

    Taken from differences, not from an expanded square, which would lose the digits of small ones;
    only the gradient, a matrix product, does without the (..., C, D) array.
    """
    if a.ndim >= 2 and a.shape[-2] == 1 and b.ndim == 2:
        flat = a.reshape(-1, a.shape[-1])
        gaps = cast(Tensor, _SquaredGaps.apply(flat, b))
        return gaps.reshape(*a.shape[:-2], len(b))
    return (a - b).square().sum(-1)


def diagonal_gaps(mean_a: Tensor, var_a: Tensor, mean_b: Tensor, var_b: Tensor) -> Tensor:
    """Return the squared distances of diagonal Gaussians (..., 1, D) to all of (C, D)."""
    flat = (mean_a.reshape(-1, mean_a.shape[-1]), var_a.reshape(-1, mean_a.shape[-1]))
    gaps = cast(Tensor, _DiagonalGaps.apply(*flat, mean_b, var_b))
    return gaps.reshape(*mean_a.shape[:-2], len(mean_b))


class _Roots(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, floor: Tensor | float) -> Tensor:
        ctx.save_for_backward(values)
        ctx.floor = floor
        if not isinstance(floor, Tensor):
            return values.sqrt()
        return torch.where(
            values <= floor, values / floor.sqrt(), torch.maximum(values, floor).sqrt_()
        )

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (values,) = ctx.saved_tensors
        floor = ctx.floor
        if not isinstance(floor, Tensor):
            zero = values == 0
            return (0.5 * grads[0] / values.masked_fill(zero, 1).sqrt()).masked_fill(zero, 0), None
        steep = 0.5 / torch.maximum(values, floor).sqrt()
        return grads[0] * torch.where(values <= floor, 1 / floor.sqrt(), steep), None


class _SquaredGaps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return _gaps(a, b)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        return _gap_gradients(grads[0], a, b, ctx.needs_input_grad)


class _DiagonalGaps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, mean_a: Tensor, var_a: Tensor, mean_b: Tensor, var_b: Tensor) -> Tensor:
        a, b = torch.cat([mean_a, var_a.sqrt()], 1), torch.cat([mean_b, var_b.sqrt()], 1)
        ctx.save_for_backward(mean_a, var_a, mean_b, var_b)
        ctx.points = a, b
        return _gaps(a, b)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        a, b = ctx.points
        if torch.is_grad_enabled():  # Differentiated again: the roots are functions too.
            mean_a, var_a, mean_b, var_b = ctx.saved_tensors
            a, b = torch.cat([mean_a, var_a.sqrt()], 1), torch.cat([mean_b, var_b.sqrt()], 1)
        needed = any(ctx.needs_input_grad[:2]), any(ctx.needs_input_grad[2:])
        for_a, for_b = _gap_gradients(grads[0], a, b, needed)
        return (*_parted(for_a, a), *_parted(for_b, b))


def _gaps(a: Tensor, b: Tensor) -> Tensor:
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square_()


def _gap_gradients(
    grad: Tensor, a: Tensor, b: Tensor, needed: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Return 2 sum_c g_c (a - b_c) and its like for b, as one product each."""
    for_a = for_b = None
    if needed[0]:
        for_a = torch.addmm(grad.sum(1, keepdim=True) * a, grad, b, beta=2, alpha=-2)
    if needed[1]:
        for_b = torch.addmm(grad.sum(0).unsqueeze(1) * b, grad.mT, a, beta=2, alpha=-2)
    return for_a, for_b


def _parted(grad: Tensor | None, points: Tensor) -> tuple[Tensor | None, ...]:
    """Return the gradient by means and by variances, zero at a variance of zero."""
    if grad is None:
        return None, None
    d = grad.shape[1] // 2
    by_variance = grad[:, d:] / (2 * points[:, d:])
    return grad[:, :d], by_variance.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
