"""Functions whose derivatives are written by hand: for speed, and to stay finite at zero.

Their backward passes are made of differentiable operations, so second derivatives exist too.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

_FEW = 2**16
"""Up to so many numbers in all differences between two sets it is quickest to keep them."""


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
        return cast(Tensor, _SquaredGaps.apply(a, b))
    return (a - b).square().sum(-1)


def diagonal_gaps(mean_a: Tensor, var_a: Tensor, mean_b: Tensor, var_b: Tensor) -> Tensor:
    """Return the squared distances of diagonal Gaussians (..., 1, D) to all of (C, D).

    Between few small ones each operation costs more than the numbers it works on, and torch's own
    derivatives cost least; where a variance is 0 they are not finite.
    """
    few = mean_a.numel() * len(mean_b) <= _FEW
    if few and mean_a.numel() and min(float(v.detach().min()) for v in (var_a, var_b)) > 0:
        gaps = torch.cat([mean_a, var_a.sqrt()], -1) - torch.cat([mean_b, var_b.sqrt()], -1)
        return gaps.square().sum(-1)
    a = torch.cat([mean_a, roots(var_a, 0.0)], -1)
    return squared_gaps(a, torch.cat([mean_b, roots(var_b, 0.0)], -1))


def rounded_plane(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return what positive definite matrices (..., 2, 2) are off being round, and how large they are.

    With roots r and q of the eigenvalues: (r - q)^2 / 2, at least 0; (r + q) / sqrt 2; and the
    determinants, detached. A determinant that is not above 0 leaves NaN.
    """
    return cast(tuple[Tensor, Tensor, Tensor], _RoundedPlane.apply(matrix))


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


class _RoundedPlane(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        trace, root, half, determinant = _plane(matrix)
        ctx.save_for_backward(matrix)
        ctx.found = trace, root, half
        ctx.mark_non_differentiable(determinant)
        return (0.5 * trace - root).clamp_(min=0), half, determinant

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (matrix,) = ctx.saved_tensors
        trace, root, half = _plane(matrix)[:3] if torch.is_grad_enabled() else ctx.found
        # The root of a determinant has the gradient adj / (2 root), with adj = trace I - S.
        off, size = 0.5 * grads[0], 0.25 * grads[1] / half
        by_adjugate = (size - off) / root
        by_one = torch.addcmul(off + size, by_adjugate, trace)
        one = torch.eye(2, dtype=matrix.dtype, device=matrix.device)
        return cast(
            Tensor, by_one[..., None, None] * one - by_adjugate[..., None, None] * matrix.mT
        )


def _plane(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return traces, roots of determinants, sums of roots of eigenvalues over sqrt 2, determinants."""
    first, left, right, second = matrix.flatten(-2).unbind(-1)
    determinant = torch.addcmul(first * second, left, right, value=-1)
    trace, root = first + second, determinant.sqrt()
    return trace, root, (0.5 * trace + root).sqrt(), determinant


class _SquaredGaps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return _gaps(a, b)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        flat = _flat(a)
        grad = grads[0].reshape(len(flat), len(b))
        for_a = for_b = None
        if ctx.needs_input_grad[0]:
            for_a = _towards(grad, flat, b).mul(-2).reshape(a.shape)
        if ctx.needs_input_grad[1]:
            for_b = _towards(grad.mT, b, flat).mul(-2)
        return for_a, for_b


def _flat(a: Tensor) -> Tensor:
    return a.reshape(-1, a.shape[-1])


def _gaps(a: Tensor, b: Tensor) -> Tensor:
    away = torch.cdist(_flat(a), b, compute_mode="donot_use_mm_for_euclid_dist")
    return away.square_().reshape(*a.shape[:-2], len(b))


def _towards(grad: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return sum_c g_c (b_c - a) of every point, as one product."""
    return torch.addcmul(grad @ b, grad.sum(1, keepdim=True), a, value=-1)
