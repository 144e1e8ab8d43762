"""The stationary exact process that a bent one starts as, by L-BFGS on the log evidence.

``N`` rows, ``D`` inputs.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain.gp.alignment import PlainProcess
from uncertain.gp.evidence import Evidence, log_evidence
from uncertain.gp.kernels import Kernel, base_kernel
from uncertain.gp.likelihoods import SMALLEST_NOISE
from uncertain.gp.lowering import lowered
from uncertain.gp.plain_start import deviate_little
from uncertain.gp.projected import ProjectedDeformation

_ITERATIONS = 150
_ENOUGH = 1e-6


def stationary_process(
    x: Float[Tensor, "N D"], y: Float[Tensor, " N"] | None, *, kernel: Kernel, noise: float
) -> PlainProcess:
    """Return the process of the higher evidence of two starts; a guess where no target is a number.

    Much noise and long lengthscales, or little and short ones, may both be optima.

    Args:
        x: (N, D), standardised.
        y: (N,), standardised; ``None`` for the guess.
        kernel: Of f.
        noise: Where its variance starts; the other start has a hundredth.

    Returns:
        Lengthscales (D,), the variances of f and of the noise, and the gradient (N, D) of the mean of
        f at the rows.
    """
    width = x.shape[1]
    guess = x.new_full((width,), math.sqrt(width))
    one = x.new_ones(())
    plain = PlainProcess(guess, one, noise * one, (1 / guess).expand_as(x))
    if y is None:
        return plain
    found = [
        each for share in (1.0, 0.01) if (each := _fitted(x, y, kernel, share * noise)) is not None
    ]
    if not found:
        return plain
    logs, _ = max(found, key=lambda pair: pair[1])
    scales = logs.exp()
    length, amplitude = scales[:width], scales[width]
    return PlainProcess(
        length, amplitude, scales[width + 1] + SMALLEST_NOISE, _gradient(x, y, logs, kernel)
    )


def bent_layers(
    rows: Float[Tensor, "N D"], points: Float[Tensor, "M D"], plain: PlainProcess, count: int
) -> list[ProjectedDeformation]:
    """Return deformations near the stationary process, of small and certain deviations.

    Args:
        rows: (N, D), standardised.
        points: (M, D), inducing points of the first matrix.
        plain: The stationary process.
        count: How many layers.
    """
    inverse = plain.lengthscale.reciprocal()
    curvature = (plain.gradient * plain.lengthscale).square().mean(0) / plain.noise
    length = rows.new_full((rows.shape[1],), rows.shape[1] ** 0.5)
    layers: list[ProjectedDeformation] = []
    at = None
    for depth in range(count):
        # What the layer below returns is scaled by c, and so are the places and lengthscales there.
        scale = torch.ones_like(inverse) if depth == 0 else inverse
        layer = ProjectedDeformation(points * scale, inverse, lengthscale=length * scale)
        # As wide as a tenth of c: from a prior that costs little, the bound would have to widen it first.
        deviate_little(layer, rows, curvature.clamp(min=1.0), at=at, cost=math.inf)
        with torch.no_grad():
            at = layer(rows, at)[0]
        layers.append(layer)
    return layers


def _fitted(x: Tensor, y: Tensor, kernel: Kernel, noise: float) -> tuple[Tensor, float] | None:
    """Return the logarithms of lengthscales, amplitude and noise, and their evidence, if it is finite."""
    width = x.shape[1]
    logs = x.new_zeros(width + 2)
    logs[:width], logs[-1] = 0.5 * math.log(width), math.log(noise)
    logs.requires_grad_()
    lowered(
        [logs],
        lambda: -_evidence(x, y, logs, kernel).value / len(x),
        iterations=_ITERATIONS,
        enough=_ENOUGH,
    )
    try:
        value = float(_evidence(x, y, logs.detach(), kernel).value)
    except ArithmeticError:
        return None
    return (logs.detach(), value) if math.isfinite(value) else None


def _evidence(x: Tensor, y: Tensor, logs: Tensor, kernel: Kernel) -> Evidence:
    """Return the log evidence, its constants included."""
    noise = logs[-1].exp() + SMALLEST_NOISE
    h = x * (-logs[:-2]).exp()
    found = log_evidence(h, logs[-2].exp(), (1 / noise).expand(len(x)), y, kernel=kernel)
    constant = -0.5 * len(x) * (2 * math.pi * noise).log()
    return found._replace(value=found.value + constant)


def _gradient(x: Tensor, y: Tensor, logs: Tensor, kernel: Kernel) -> Float[Tensor, "N D"]:
    noise, scale = logs[-1].exp() + SMALLEST_NOISE, (-logs[:-2]).exp()
    solved = (y - _evidence(x, y, logs, kernel).mean) / noise
    with torch.enable_grad():
        rows = x.clone().requires_grad_()
        values = logs[-2].exp() * base_kernel(rows * scale, x * scale, kernel) @ solved
        (gradient,) = torch.autograd.grad(values.sum(), rows)
    return gradient
