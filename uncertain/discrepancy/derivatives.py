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
        return cast(Tensor, _SquaredGaps.apply(a, b))
    return (a - b).square().sum(-1)


def diagonal_gaps(mean_a: Tensor, var_a: Tensor, mean_b: Tensor, var_b: Tensor) -> Tensor:
    """Return the squared distances of diagonal Gaussians (..., 1, D) to all of (C, D)."""
    return cast(Tensor, _DiagonalGaps.apply(mean_a, var_a, mean_b, var_b))


def plane_root_sums(matrix: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return :math:`\operatorname{tr} S^{1/2}` of matrices (..., 2, 2), and their determinants, detached.

    Its square is the trace plus twice the root of the determinant. For positive definite matrices only.
    """
    return cast(tuple[Tensor, Tensor], _PlaneRootSums.apply(matrix))


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


class _PlaneRootSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> tuple[Tensor, Tensor]:
        sums, root, determinant = _plane(matrix)
        ctx.save_for_backward(matrix)
        ctx.found = sums, root
        ctx.mark_non_differentiable(determinant)
        return sums, determinant

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (matrix,) = ctx.saved_tensors
        sums, root = _plane(matrix)[:2] if torch.is_grad_enabled() else ctx.found
        by_trace = (0.5 * grads[0] / sums)[..., None, None]
        signs: Tensor = matrix.new_tensor([[1.0, -1.0], [-1.0, 1.0]])
        adjugate = signs * matrix.flip(-2, -1)
        one = torch.eye(2, dtype=matrix.dtype, device=matrix.device)
        return cast(Tensor, by_trace * (one + adjugate / root[..., None, None]))


def _plane(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    first, left, right, second = matrix.flatten(-2).unbind(-1)
    determinant = torch.addcmul(first * second, left, right, value=-1)
    root = determinant.sqrt()
    return (first + second + 2 * root).sqrt(), root, determinant


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


class _DiagonalGaps(torch.autograd.Function):
    """One function, and few operations: between small Gaussians each costs more than its numbers."""

    @staticmethod
    def forward(ctx: Any, mean_a: Tensor, var_a: Tensor, mean_b: Tensor, var_b: Tensor) -> Tensor:
        a, b = _joined_roots(mean_a, var_a), _joined_roots(mean_b, var_b)
        ctx.save_for_backward(mean_a, var_a, mean_b, var_b)
        ctx.points = a, b
        return _gaps(a, b)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        a, b = ctx.points
        if torch.is_grad_enabled():  # Differentiated again: the roots are functions too.
            mean_a, var_a, mean_b, var_b = ctx.saved_tensors
            a, b = _joined_roots(mean_a, var_a), _joined_roots(mean_b, var_b)
        flat = _flat(a)
        grad = grads[0].reshape(len(flat), len(b))
        for_a: tuple[Tensor | None, Tensor | None] = (None, None)
        for_b = for_a
        if any(ctx.needs_input_grad[:2]):
            for_a = _parted(_towards(grad, flat, b), a)
        if any(ctx.needs_input_grad[2:]):
            for_b = _parted(_towards(grad.mT, b, flat), b)
        return (*for_a, *for_b)


def _flat(a: Tensor) -> Tensor:
    return a.reshape(-1, a.shape[-1])


def _joined_roots(mean: Tensor, variance: Tensor) -> Tensor:
    return torch.cat([mean, variance.sqrt()], -1)


def _gaps(a: Tensor, b: Tensor) -> Tensor:
    away = torch.cdist(_flat(a), b, compute_mode="donot_use_mm_for_euclid_dist")
    return away.square_().reshape(*a.shape[:-2], len(b))


def _towards(grad: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return sum_c g_c (b_c - a) of every point, as one product."""
    return torch.addcmul(grad @ b, grad.sum(1, keepdim=True), a, value=-1)


def _parted(towards: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradient by means and by variances, zero at a variance of zero."""
    d = towards.shape[1] // 2
    towards = towards.reshape(points.shape)
    by_variance = towards[..., d:] / -points[..., d:]
    return towards[..., :d] * -2, by_variance.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
