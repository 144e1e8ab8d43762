r"""Covariances of GPyTorch, started where standardised inputs want them.

``N`` rows, ``D`` inputs.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain import checks
from uncertain.gp.kernels import DEGREES, KERNELS, Kernel
from uncertain.predictive import import_quietly

SMALLEST_NOISE = 1e-6
"""Least variance of the noise, in units of the target's: what the factorisations can bear."""


def stationary(name: Kernel, inputs: int, *, lengthscale: float, batch: int | None = None) -> Any:
    r"""Return a scaled GPyTorch kernel with a lengthscale for each input, in float64.

    Args:
        name: ``"squared_exponential"``, ``"matern_3_2"`` or ``"matern_5_2"``.
        inputs: D.
        lengthscale: Where all of them start, above 0.
        batch: How many kernels of one shape; ``None`` for one without a batch dimension.

    Raises:
        ValueError: For another name or numbers out of range.

    Example:
        >>> kernel = stationary("squared_exponential", 2, lengthscale=1.0)
        >>> rows = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
        >>> dense(kernel, rows[:1], rows)
        tensor([[1.0000, 0.1353]], dtype=torch.float64, grad_fn=...)
    """
    checks.check_choice("kernel", name, KERNELS)
    checks.check_range("lengthscale", lengthscale, 0, open_low=True)
    kernels = import_quietly("gpytorch").kernels
    shape = torch.Size() if batch is None else torch.Size([batch])
    if name == "squared_exponential":
        base = kernels.RBFKernel(ard_num_dims=inputs, batch_shape=shape)
    else:
        base = kernels.MaternKernel(nu=DEGREES[name] / 2, ard_num_dims=inputs, batch_shape=shape)
    kernel = kernels.ScaleKernel(base, batch_shape=shape).double()
    base.lengthscale = lengthscale
    kernel.outputscale = 1.0
    return kernel


def likelihood(noise: float) -> Any:
    """Return GPyTorch's Gaussian likelihood in float64.

    Args:
        noise: Where its variance starts, in units of the target's, above 1e-6.

    Raises:
        ValueError: For a smaller number.
    """
    checks.check_range("noise", noise, SMALLEST_NOISE, open_low=True)
    gpytorch = import_quietly("gpytorch")
    bound = gpytorch.constraints.GreaterThan(SMALLEST_NOISE)
    made = gpytorch.likelihoods.GaussianLikelihood(noise_constraint=bound).double()
    made.noise = noise
    return made


def dense(
    kernel: Any, a: Float[Tensor, "*batch N D"], b: Float[Tensor, "*batch P D"] | None = None
) -> Float[Tensor, "*kernels N P"]:
    """Return a kernel's matrix, in float64; of several kernels, one each.

    Args:
        kernel: Of GPyTorch.
        a: (N, D) rows.
        b: (P, D) rows; by default those of ``a``.
    """
    wide = a.to(torch.float64)
    value: Tensor = kernel(wide, wide if b is None else b.to(torch.float64)).to_dense()
    return value


def diagonal(kernel: Any, a: Float[Tensor, "*batch N D"]) -> Float[Tensor, "*batch N"]:
    """Return a kernel's variance at every row.

    Args:
        kernel: Of GPyTorch.
        a: (N, D) rows.
    """
    value: Tensor = kernel(a, diag=True)
    return value
