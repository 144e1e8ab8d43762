"""Seven corruptions of point clouds at five severities, for shift curves.

They are ours in code and follow ModelNet-C in strength where the kinds are the same; figures are not
comparable with figures on its published files.

References:
    Ren, Pan and Liu (2022), Benchmarking and Analyzing Point Cloud Classification under Corruptions,
    ICML.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from uncertain import checks
from uncertain.data import point_transforms as transforms
from uncertain.data.draws import normal, uniform
from uncertain.data.point_severities import POINT_SEVERITIES, PointCorruption

Clouds = Float[Tensor, "N points 3"]

# Streams of their own, apart from those of images.
_AXIS, _NOISE, _ASTRAY, _WHERE, _LOST, _HOLE, _START, _STRETCH = range(11, 19)

# Rows are worked on in blocks: bits do not depend on it, and memory stays small.
_BLOCK = 512


def corrupt_points(
    x: Clouds,
    kind: PointCorruption,
    severity: int,
    *,
    seed: int = 0,
    row_ids: NDArray[Any] | Int[Tensor, " N"],
) -> Float[Tensor, "N left 3"]:
    """Corrupt point clouds; what happens to a row depends on its id and the seed, never on the batch.

    - ``rotation`` turns about an axis through the origin whose direction is uniform on the sphere;
    - ``jitter`` adds independent Gaussian noise to every coordinate;
    - ``outliers`` puts a share of the points anywhere in the smallest ball around the origin that
      holds the cloud;
    - ``dropout`` loses points anywhere; ``hole`` loses those nearest to one of them;
    - ``down_sampling`` keeps few points that are spread evenly, each the farthest from those before;
    - ``scale`` stretches or shrinks each axis, then sizes the cloud as it was.

    How strong each severity is stands in ``uncertain.data.point_severities``, with a version. Draws
    are the same at every severity, so damage grows: a point lost at one is lost at the next.

    Args:
        x: (N, points, 3) clouds about the origin, sized to the unit ball; any floating type.
        kind: Which corruption.
        severity: 1 (mild) to 5; 0 returns the clouds as they are.
        seed: Another seed gives other axes, noise and points.
        row_ids: (N,) integers that name the rows.

    Returns:
        (N, left, 3), of the type and on the device of ``x``. ``dropout``, ``hole`` and
        ``down_sampling`` leave fewer points, as many for each row, at least one.

    Raises:
        ValueError: The kind is unknown, the severity is not 0 to 5, coordinates are not finite, or
            shapes do not match.

    Example:
        >>> x = torch.randn(8, 64, 3, generator=torch.Generator().manual_seed(0))
        >>> ids = torch.arange(8)
        >>> turned = corrupt_points(x, "rotation", 3, row_ids=ids)
        >>> bool(torch.allclose(torch.linalg.vecdot(turned, turned), torch.linalg.vecdot(x, x)))
        True
        >>> corrupt_points(x, "dropout", 3, row_ids=ids).shape
        torch.Size([8, 32, 3])
    """
    checks.check_choice("kind", kind, POINT_SEVERITIES)
    if severity not in range(6):
        raise ValueError(f"`severity` should be a whole number from 0 to 5, got {severity!r}.")
    keys = _keys(x, row_ids)
    _check_clouds(x)
    if severity == 0 or len(x) == 0:
        return x
    strength = POINT_SEVERITIES[kind][severity - 1]
    wide = x if x.dtype.itemsize >= 4 else x.to(torch.float32)
    blocks = zip(wide.split(_BLOCK), keys.split(_BLOCK), strict=True)
    return torch.cat([_changed(b, kind, strength, seed, ids) for b, ids in blocks]).to(x.dtype)


def _keys(x: Clouds, row_ids: NDArray[Any] | Tensor) -> Tensor:
    checks.check_shape("x", x, ("N", "points", 3))
    checks.check_shape("row_ids", row_ids, (len(x),), hint="one id a row of `x`")
    ids = row_ids if isinstance(row_ids, Tensor) else torch.as_tensor(np.asarray(row_ids))
    return ids.to(device=x.device, dtype=torch.int64)


def _check_clouds(x: Clouds) -> None:
    if not x.is_floating_point():
        raise TypeError(f"`x` should be floating coordinates, got dtype {x.dtype}.")
    if x.shape[1] == 0:
        raise ValueError("`x` should have at least one point a cloud, got none.")
    checks.check_finite("x", x)


def _changed(x: Clouds, kind: PointCorruption, strength: float, seed: int, keys: Tensor) -> Tensor:
    points = x.shape[1]
    match kind:
        case "rotation":
            return transforms.turn(x, normal(keys, 3, seed=seed, stream=_AXIS), strength)
        case "jitter":
            noise = normal(keys, 3 * points, seed=seed, stream=_NOISE).reshape(x.shape)
            return x + (strength * noise).to(x.dtype)
        case "outliers":
            return _astray(x, strength, seed, keys)
        case "dropout":
            order = uniform(keys, points, seed=seed, stream=_LOST).argsort(dim=1, stable=True)
            return transforms.pick(x, order[:, _lost(strength, points) :])
        case "hole":
            order = transforms.nearest_first(x, _one(keys, points, seed=seed, stream=_HOLE))
            return transforms.pick(x, order[:, _lost(strength, points) :])
        case "down_sampling":
            first = _one(keys, points, seed=seed, stream=_START)
            left = max(1, round(strength * points))
            return transforms.pick(x, transforms.spread_points(x, left, first))
        case "scale":
            power = 2 * uniform(keys, 3, seed=seed, stream=_STRETCH) - 1
            stretched = x * torch.pow(strength, power)[:, None].to(x.dtype)
            return stretched * (_radius(x) / _radius(stretched))


def _astray(x: Clouds, share: float, seed: int, keys: Tensor) -> Tensor:
    """Put the points with the smallest draws anywhere in the ball around the cloud."""
    points = x.shape[1]
    order = uniform(keys, points, seed=seed, stream=_ASTRAY).argsort(dim=1, stable=True)
    chosen = order[:, : round(share * points)]
    # A uniform point of the ball: any direction, at a distance whose cube is uniform.
    draws = normal(keys, 4 * points, seed=seed, stream=_WHERE).reshape(len(x), points, 4)
    direction, distance = draws[..., :3], torch.special.ndtr(draws[..., 3]).pow(1 / 3)
    length = transforms.squared_length(direction).sqrt()
    placed = direction * (distance / length)[..., None]
    index = chosen[..., None].expand(-1, -1, 3)
    return x.scatter(1, index, (placed.to(x.dtype) * _radius(x)).gather(1, index))


def _radius(x: Clouds) -> Float[Tensor, "N 1 1"]:
    """Return each cloud's largest distance from the origin, or the least above nought."""
    largest = transforms.squared_length(x).amax(dim=1).sqrt()
    return largest.clamp(min=torch.finfo(x.dtype).tiny)[:, None, None]


def _one(keys: Tensor, points: int, *, seed: int, stream: int) -> Int[Tensor, " N"]:
    """Draw one point of each cloud."""
    return (points * uniform(keys, 1, seed=seed, stream=stream)[:, 0]).to(torch.int64)


def _lost(share: float, points: int) -> int:
    return min(points - 1, round(share * points))
