"""Changes of point clouds, each with the same bits whatever else is in the batch.

As for images, sums are written out in a fixed order: a matrix product may add in another order for
another batch size.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

Clouds = Float[Tensor, "N points 3"]


def turn(x: Clouds, axis: Float[Tensor, "N 3"], degrees: float) -> Clouds:
    r"""Rotate each cloud about an axis through the origin, by the formula of Rodrigues.

    .. math:: R x = x \cos t + (a \times x) \sin t + a (a^\top x) (1 - \cos t)

    Args:
        x: (N, points, 3).
        axis: (N, 3) directions; their lengths do not matter, and must not be nought.
        degrees: One angle for all.

    Returns:
        (N, points, 3).

    Example:
        >>> turn(torch.tensor([[[1.0, 0.0, 0.0]]]), torch.tensor([[0.0, 0.0, 5.0]]), 90).round()
        tensor([[[0., 1., 0.]]])
    """
    wide, axis = x.to(torch.float64), axis.to(torch.float64)
    unit = (axis / squared_length(axis).sqrt()[:, None])[:, None].expand_as(wide)
    angle = math.radians(degrees)
    along = (unit[..., 0] * wide[..., 0] + unit[..., 1] * wide[..., 1]) + unit[..., 2] * wide[
        ..., 2
    ]
    across: Tensor = torch.linalg.cross(unit, wide)
    turned = wide * math.cos(angle) + across * math.sin(angle)
    turned = turned + unit * along[..., None] * (1 - math.cos(angle))
    return turned.to(x.dtype)


def spread_points(x: Clouds, count: int, first: Int[Tensor, " N"]) -> Int[Tensor, "N count"]:
    """Return which points farthest-point sampling picks: each the farthest from those before it.

    Args:
        x: (N, points, 3).
        count: How many to pick, from 1 to the number of points.
        first: (N,) the point to start with.

    Returns:
        (N, count) indices in the order in which they are picked: fewer are a beginning of more.

    References:
        Eldar, Lindenbaum, Porat and Zeevi (1997), The farthest point strategy for progressive image
        sampling.

    Example:
        >>> line = torch.tensor([[[0.0, 0, 0], [0.1, 0, 0], [0.5, 0, 0], [1.0, 0, 0]]])
        >>> spread_points(line, 3, torch.tensor([0])).tolist()
        [[0, 3, 2]]
    """
    picked = [first]
    nearest = torch.full(x.shape[:2], math.inf, dtype=x.dtype, device=x.device)
    rows = torch.arange(len(x), device=x.device)
    for _ in range(count - 1):
        nearest = torch.minimum(nearest, squared_length(x - x[rows, picked[-1]][:, None]))
        picked.append(nearest.argmax(dim=1))
    return torch.stack(picked, dim=1)


def nearest_first(x: Clouds, centre: Int[Tensor, " N"]) -> Int[Tensor, "N points"]:
    """Return each cloud's points from the nearest to one of them to the farthest.

    Example:
        >>> line = torch.tensor([[[0.0, 0, 0], [1.0, 0, 0], [0.4, 0, 0]]])
        >>> nearest_first(line, torch.tensor([2])).tolist()
        [[2, 0, 1]]
    """
    rows = torch.arange(len(x), device=x.device)
    return squared_length(x - x[rows, centre][:, None]).argsort(dim=1, stable=True)


def pick(x: Clouds, index: Int[Tensor, "N count"]) -> Float[Tensor, "N count 3"]:
    """Return some points of each cloud, in the order in which they stand in it.

    Example:
        >>> cloud = torch.arange(9.0).reshape(1, 3, 3)
        >>> pick(cloud, torch.tensor([[2, 0]]))[0, :, 0].tolist()
        [0.0, 6.0]
    """
    ordered = index.sort(dim=1).values
    return x.gather(1, ordered[..., None].expand(-1, -1, 3))


def squared_length(x: Float[Tensor, "*rows 3"]) -> Float[Tensor, "*rows"]:
    """Return the squared length of each vector, added in a fixed order.

    Example:
        >>> squared_length(torch.tensor([1.0, 2.0, 2.0])).item()
        9.0
    """
    return (x[..., 0].square() + x[..., 1].square()) + x[..., 2].square()
