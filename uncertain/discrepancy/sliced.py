r"""The squared 2-Wasserstein distance between samples of numbers, and of vectors by projection.

On the line the optimal plan matches quantiles: sorting is all that it takes. With N and M points both
quantile functions are steps, constant between the levels i/N and j/M, so the integral is a sum.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uncertain import checks
from uncertain.discrepancy.samples import (
    check_points,
    check_samples_leading,
    check_whole,
    finite,
    two_samples,
    without_overflow,
)
from uncertain.discrepancy.spreads import widened


def sample_wasserstein2_squared(
    x: Float[Tensor, "*batch_x N"], y: Float[Tensor, "*batch_y M"]
) -> Float[Tensor, "*pairs"]:
    r"""Return the squared 2-Wasserstein distance between two samples of numbers.

    .. math:: W_2^2 = \int_0^1 \bigl(F_x^{-1}(u) - F_y^{-1}(u)\bigr)^2 \mathrm{d}u

    It is the distance of the samples themselves, exact for any two sizes; as an estimate for what
    they were drawn from it is biased upwards.

    Args:
        x: (..., N) points of weight 1/N.
        y: (..., M) points of weight 1/M; leading dimensions broadcast.

    Returns:
        The broadcast leading shape, at least 0.

    Raises:
        ValueError: For samples without points, leading dimensions that do not broadcast, numbers that
            are not finite, or so large that the distance is not.
        TypeError: For tensors that are not floating.

    Example:
        >>> sample_wasserstein2_squared(torch.tensor([2.0, 0.0]), torch.tensor([1.0, 3.0]))
        tensor(1.)
        >>> sample_wasserstein2_squared(torch.zeros(3), torch.ones(5))
        tensor(1.)
    """
    x, y = widened(x=x, y=y)
    for name, sample in {"x": x, "y": y}.items():
        if sample.ndim < 1:
            checks.check_shape(name, sample, ("N",))
        check_points(name, sample.shape[-1], 1)
    check_samples_leading(x.shape[:-1], y.shape[:-1])
    finite(x=x, y=y)
    return without_overflow(_on_the_line(x, y))


def sliced_wasserstein2_squared(
    x: Float[Tensor, "*batch_x N D"],
    y: Float[Tensor, "*batch_y M D"],
    *,
    projections: int | Float[Tensor, "L D"] = 128,
    seed: int = 0,
) -> Float[Tensor, "*pairs"]:
    r"""Return the mean squared 2-Wasserstein distance of two samples' projections on lines.

    .. math:: SW_2^2 = \frac1L \sum_l W_2^2(\theta_l^\top x, \theta_l^\top y),
              \qquad \lVert \theta_l \rVert = 1

    The directions are a function of the seed, their number and D alone, the same on every device and
    in every call: two distances differ because their samples do. A shift by :math:`\delta` measures
    about :math:`\lVert \delta \rVert^2 / D`.

    Args:
        x: (..., N, D) points of weight 1/N.
        y: (..., M, D) points of weight 1/M; leading dimensions broadcast.
        projections: L, how many directions to draw, or the directions themselves (L, D).
        seed: Of the directions.

    Returns:
        The broadcast leading shape, at least 0.

    Raises:
        ValueError: For shapes that do not fit, no directions or some of no length, numbers that are
            not finite, or so large that the distance is not.
        TypeError: For tensors that are not floating, or projections that are neither a whole number
            nor a tensor.

    References:
        N. Bonneel, J. Rabin, G. Peyré and H. Pfister, "Sliced and Radon Wasserstein barycenters of
        measures", 2015.

    Example:
        >>> x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
        >>> bool(torch.isclose(
        ...     sliced_wasserstein2_squared(x, x + 1, projections=4096), torch.tensor(1.0), rtol=0.05
        ... ))
        True
    """
    x, y = two_samples(x, y)
    directions = _unit_directions(projections, x, seed)
    along_x, along_y = (x @ directions.T).mT, (y @ directions.T).mT
    return without_overflow(_on_the_line(along_x, along_y).mean(-1))


def _on_the_line(x: Tensor, y: Tensor) -> Tensor:
    x, y = x.sort(-1).values, y.sort(-1).values
    n, m = x.shape[-1], y.shape[-1]
    if n == m:
        return (x - y).square().mean(-1)
    # Levels in units of 1 / (N M), so that they are whole numbers and meet exactly.
    steps = [
        torch.arange(1, n + 1, device=x.device) * m,
        torch.arange(1, m + 1, device=x.device) * n,
    ]
    levels = torch.cat(steps).unique()
    width = torch.diff(levels, prepend=levels.new_zeros(1)).to(x) / (n * m)
    place_x, place_y = (levels - 1) // m, (levels - 1) // n
    return ((x[..., place_x] - y[..., place_y]).square() * width).sum(-1)


def _unit_directions(projections: int | Tensor, x: Tensor, seed: int) -> Tensor:
    """Return (L, D) directions of length one in the dtype of x."""
    if not isinstance(projections, Tensor):
        check_whole("projections", projections, hint="or the directions, a tensor (L, D)")
        return nn.functional.normalize(_directions(projections, x.shape[-1], seed)).to(x)
    checks.check_shape("projections", projections, ("L", x.shape[-1]), hint="a direction a row")
    checks.check_not_empty("projections", projections)
    finite(projections=projections)
    directions = projections.to(x)
    largest = directions.detach().abs().amax(-1, keepdim=True)
    if bool((largest == 0).any()):
        raise ValueError(
            f"`projections` should be directions, got {int((largest == 0).sum())} of {len(largest)} "
            "that are zero: leave them out."
        )
    directions = directions / largest  # So that no square leaves the dtype's range.
    return nn.functional.normalize(directions)


def _directions(number: int, dimensions: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(number, dimensions, generator=generator, dtype=torch.float64)
