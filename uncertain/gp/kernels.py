"""Base kernels of variance and lengthscale one: the scales live in what bends the inputs.

``M`` and ``N`` points of ``D`` dimensions.
"""

from __future__ import annotations

from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor

from uncertain import checks

Kernel = Literal["squared_exponential", "matern_3_2", "matern_5_2"]
"""Names of the base kernels; the numbers of a Matern kernel are its smoothness."""
KERNELS: tuple[Kernel, ...] = get_args(Kernel)
DEGREES = {"matern_3_2": 3, "matern_5_2": 5}
"""Twice the smoothness: the degrees of freedom of the kernel's spectral density."""
_SMALLEST = 1e-30


def unit_kernel(
    a: Float[Tensor, "... M D"], b: Float[Tensor, "... N D"]
) -> Float[Tensor, "... M N"]:
    r"""Return :math:`\exp(-\frac12 \lVert a_i - b_j \rVert^2)` as a matrix product.

    Example:
        >>> import torch
        >>> unit_kernel(torch.zeros(1, 1), torch.tensor([[0.0], [2.0]]))
        tensor([[1.0000, 0.1353]])
    """
    return _exponent(a, b).exp()


def base_kernel(
    a: Float[Tensor, "... M D"], b: Float[Tensor, "... N D"], kind: Kernel
) -> Float[Tensor, "... M N"]:
    r"""Return a kernel of the distance r between points; at r = 0 it is one.

    .. math:: e^{-r^2 / 2}, \qquad (1 + \sqrt3 r)\, e^{-\sqrt3 r}, \qquad
              (1 + \sqrt5 r + \tfrac53 r^2)\, e^{-\sqrt5 r}

    Args:
        a: (..., M, D).
        b: (..., N, D).
        kind: One of the names in ``KERNELS``.

    Raises:
        ValueError: For another name.

    Example:
        >>> import torch
        >>> base_kernel(torch.zeros(1, 1), torch.tensor([[0.0], [2.0]]), "matern_3_2")
        tensor([[1.0000, 0.1397]])
    """
    checks.check_choice("kernel", kind, KERNELS)
    if kind == "squared_exponential":
        return unit_kernel(a, b)
    # Away from 0, so that the root keeps a finite gradient.
    square = (-2 * _exponent(a, b)).clamp(min=_SMALLEST)
    if kind == "matern_3_2":
        scaled = (3 * square).sqrt()
        return (1 + scaled) * (-scaled).exp()
    scaled = (5 * square).sqrt()
    return (1 + scaled + scaled.square() / 3) * (-scaled).exp()


def _exponent(a: Tensor, b: Tensor) -> Tensor:
    half_a, half_b = 0.5 * a.square().sum(-1), 0.5 * b.square().sum(-1)
    exponent: Tensor = a @ b.mT - half_a[..., None] - half_b[..., None, :]
    return exponent.clamp(max=0)
