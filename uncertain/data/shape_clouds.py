"""Point clouds of shapes that need no download: solids, furniture and vessels of many proportions."""

import numpy as np
import torch

from uncertain import checks
from uncertain.data.dataset import Split
from uncertain.data.shape_families import FAMILIES, POINTS, draw_clouds


def shapes(per_class: int, *, points: int = POINTS, seed: int = 0) -> Split:
    """Draw point clouds from shapes of fourteen families, each with proportions of its own.

    A row's shape and points depend on the seed, its class and its number in it: more rows go on where
    fewer end. Clouds are centred at their mean and sized so that the farthest point is at distance 1;
    shapes stand upright and are not turned.

    Args:
        per_class: Rows of each class.
        points: Points of a row, uniform on the surface.
        seed: Another seed gives other shapes.

    Returns:
        Labelled rows of (points, 3) float32, classes in turn; no two rows share a shape.

    Raises:
        ValueError: For a number below one.
        ModuleNotFoundError: trimesh is not installed.

    Example:
        >>> drawn = shapes(2, points=64)
        >>> drawn.x.shape, drawn.y[:3].tolist()
        (torch.Size([28, 64, 3]), [0, 1, 2])
    """
    checks.check_range("per_class", per_class, 1)
    checks.check_range("points", points, 1)
    x = torch.from_numpy(draw_clouds(per_class, points, seed=seed)).float()
    ids = np.arange(len(x))
    return Split(x, torch.from_numpy(ids % len(FAMILIES)), ids, ids.copy())
