r"""The log evidence of bent rows with f integrated out exactly, and its gradient in one pass.

With quadratic likelihoods :math:`-\tfrac12 \pi_n (t_n - f_n)^2`, :math:`K` the covariance of f at the
rows and :math:`A = (K + \Pi^{-1})^{-1} = \Pi^{1/2} B^{-1} \Pi^{1/2}`,

.. math:: \log \int \mathcal N(f; 0, K) \prod_n e^{-\frac12 \pi_n (t_n - f_n)^2}\, df
          = -\tfrac12 \log |B| - \tfrac12 t^\top A\, t, \qquad B = I + \Pi^{1/2} K\, \Pi^{1/2}.

Its derivative in K is :math:`\tfrac12 (A t\, t^\top A - A)`, and in :math:`\pi_n` it is
:math:`-\tfrac12 \mathrm E (t_n - f_n)^2`: one inverse gives all, and the factor need not be
differentiated. ``N`` rows, ``Q`` latent dimensions.

References:
    C. E. Rasmussen and C. K. I. Williams, "Gaussian processes for machine learning", 2006, equations
    2.30 and 5.9.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from uncertain.gp.factors import cholesky
from uncertain.gp.kernels import Kernel

_SILENT = 1e-9
"""Precisions, as shares of the largest, below which a difference of their inverses has no digits left."""


class Evidence(NamedTuple):
    """What the rows say of f.

    Attributes:
        value: The log evidence, without the constants of the likelihood; differentiable once.
        mean: (N,), of f at the rows, without a gradient.
        variance: (N,), of f at the rows, without a gradient.
    """

    value: Float[Tensor, ""]
    mean: Float[Tensor, " N"]
    variance: Float[Tensor, " N"]


def log_evidence(
    h: Float[Tensor, "N Q"],
    amplitude: Float[Tensor, ""],
    precision: Float[Tensor, " N"],
    target: Float[Tensor, " N"],
    *,
    kernel: Kernel,
) -> Evidence:
    """Return the log evidence of rows that are known in the latent space.

    Time is that of a factor and an inverse, :math:`N^3` operations, gradient included; memory is several
    N x N matrices.

    Args:
        h: (N, Q), in units of the kernel's lengthscale.
        amplitude: The variance of f, above 0.
        precision: (N,), of the quadratic likelihoods, at least 0; a row of precision 0 says nothing.
        target: (N,), their centres; no gradient reaches them.
        kernel: Of f.

    Raises:
        NotPositiveDefiniteError: Where rounding has made B indefinite.

    Example:
        >>> one = torch.ones((), dtype=torch.float64)
        >>> found = log_evidence(
        ...     torch.zeros(1, 1).double(), one, one[None], one[None], kernel="matern_5_2"
        ... )
        >>> [round(part.item(), 4) for part in found]
        [-0.5966, 0.5, 0.5]
    """
    value, mean, variance = _Evidence.apply(h, amplitude, precision, target, kernel)
    return Evidence(value, mean, variance)


class _Evidence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, h: Tensor, amplitude: Tensor, precision: Tensor, target: Tensor, kernel: Kernel
    ) -> tuple[Tensor, Tensor, Tensor]:
        unit, slope = kernel_and_slope(h, kernel)
        root = precision.sqrt()
        matrix = unit * amplitude * root[:, None] * root
        matrix.diagonal().add_(1)
        factor = cholesky(matrix, name="I + K / noise", remedy="raise the noise")
        inverse = torch.cholesky_inverse(factor).mul_(root[:, None]).mul_(root)
        solved = inverse @ target
        value = -factor.diagonal().log().sum() - 0.5 * target @ solved
        covariance = unit * amplitude
        mean = covariance @ solved
        # V - V A V, by its diagonal: where a precision is not next to 0 there is a shorter way.
        safe = precision.clamp(min=torch.finfo(precision.dtype).tiny)
        variance = 1 / safe - inverse.diagonal() / safe.square()
        silent = precision <= _SILENT * precision.max()
        if bool(silent.any()):
            some = covariance[silent]
            variance[silent] = amplitude - ((some @ inverse) * some).sum(1)
        variance = variance.clamp(min=0)
        # From here on `inverse` is the derivative in K.
        gradient = inverse.neg_().addr_(solved, solved).mul_(0.5)
        of_amplitude = (gradient * unit).sum()
        pull = gradient.mul_(slope).mul_(amplitude)
        of_h = 4 * (pull.sum(1, keepdim=True) * h - pull @ h)
        of_precision = -0.5 * ((target - mean).square() + variance)
        ctx.save_for_backward(of_h, of_amplitude, of_precision)
        ctx.mark_non_differentiable(mean, variance)
        return value, mean, variance

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        of_h, of_amplitude, of_precision = ctx.saved_tensors
        return gradient * of_h, gradient * of_amplitude, gradient * of_precision, None, None


def kernel_and_slope(
    h: Float[Tensor, "N Q"], kernel: Kernel
) -> tuple[Float[Tensor, "N N"], Float[Tensor, "N N"]]:
    """Return a unit kernel's matrix, and its derivative in the squared distance.

    Example:
        >>> points = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
        >>> unit, slope = kernel_and_slope(points, "squared_exponential")
        >>> bool((slope == -0.5 * unit).all())
        True
    """
    centred = h - h.mean(0)
    half = 0.5 * centred.square().sum(1)
    # Half the squared distance, negative.
    exponent = (centred @ centred.T).sub_(half[:, None]).sub_(half).clamp_(max=0)
    if kernel == "squared_exponential":
        unit = exponent.exp_()
        return unit, -0.5 * unit
    degrees = 3 if kernel == "matern_3_2" else 5
    scaled = exponent.mul_(-2 * degrees).sqrt_()
    decay = (-scaled).exp_()
    if degrees == 3:
        return (1 + scaled).mul_(decay), decay.mul(-1.5)
    unit = scaled.square().div_(3).add_(scaled).add_(1).mul_(decay)
    return unit, scaled.add_(1).mul_(decay).mul_(-5 / 6)
