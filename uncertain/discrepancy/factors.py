"""Cholesky factors and roots of eigenvalues, of matrices that may be singular."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor

from uncertain.discrepancy.derivatives import roots
from uncertain.discrepancy.spreads import Spread, check_positive


def eigenvalue_roots(matrix: Tensor, side: Spread) -> Tensor:
    """Return roots of eigenvalues, straight through the origin below what rounding leaves."""
    if not math.isfinite(float(matrix.detach().sum())):
        return torch.full_like(matrix[..., 0], torch.nan)  # LAPACK would raise in words of its own.
    values = torch.linalg.eigvalsh(matrix)
    limits = torch.finfo(values.dtype)
    smallest, largest = values.detach()[..., 0], values.detach()[..., -1]
    if bool((smallest > limits.eps * largest).all()):
        return cast(Tensor, values.sqrt())
    # Where the other side is singular it may hide a negative eigenvalue, so this one's are asked.
    check_positive(side.name, side.value)
    return roots(values, (limits.eps * largest.abs()).clamp(min=limits.tiny).unsqueeze(-1))


def singular_values(matrix: Tensor) -> Tensor:
    """Return singular values ascending: from the Gram matrix, near-singular ones on their own."""
    if not math.isfinite(float(matrix.detach().sum())):
        return torch.full_like(matrix[..., 0], torch.nan)
    values = torch.linalg.eigvalsh(matrix.mT @ matrix)
    limits = torch.finfo(values.dtype)
    near = values.detach()[..., 0] <= (100 * limits.eps * values.detach()[..., -1])
    if not bool(near.any()):
        regular: Tensor = values.sqrt()
        return regular
    # One batch dimension, since a single pair has none to pick from.
    flat, places = matrix.reshape(-1, *matrix.shape[-2:]), near.reshape(-1)
    found = torch.where(near.unsqueeze(-1), 1, values).sqrt()
    alone: Tensor = torch.linalg.svdvals(flat[places]).flip(-1)
    return found.reshape(len(flat), -1).index_put((places,), alone).reshape(found.shape)


def one_factored(a: Spread, b: Spread) -> tuple[Spread, Spread]:
    """Return the pair with the second factored: the one of the two that has a factor."""
    factor, info = torch.linalg.cholesky_ex(b.value)
    if not bool(info.any()):
        return a, b._replace(value=factor, factored=True)
    other, other_info = torch.linalg.cholesky_ex(a.value)
    if bool(other_info.any()):
        return a, factored(b)
    if not bool(b.value.detach().isfinite().all()):
        return a, b._replace(factored=True)  # Refused where it shows, by its own name.
    check_positive(b.name, b.value)
    return b, a._replace(value=other, factored=True)


def factored(given: Spread) -> Spread:
    """Return the Cholesky factor, of what is singular with rounding's share added."""
    value = given.value
    factor, info = torch.linalg.cholesky_ex(value)
    if bool(info.any()) and bool(value.detach().isfinite().all()):
        check_positive(given.name, value)
        limits, size = torch.finfo(value.dtype), value.shape[-1]
        largest = value.detach().diagonal(dim1=-2, dim2=-1).amax(-1)
        share = (100 * size * limits.eps * largest).clamp(min=limits.tiny)
        share = torch.where(info > 0, share, 0)
        eye = torch.eye(size, dtype=value.dtype, device=value.device)
        factor = torch.linalg.cholesky(value + share[..., None, None] * eye)
    return given._replace(value=factor, factored=True)
