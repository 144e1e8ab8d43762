"""How strong each corruption of point clouds is at severities 1 to 5: data, not code.

A change of a number here changes what every shift result means: raise ``POINT_VERSION`` with it.
"""

from collections.abc import Mapping
from typing import Literal

POINT_VERSION = 1
"""Of the table below; stored beside results."""

PointCorruption = Literal[
    "rotation",
    "jitter",
    "outliers",
    "dropout",
    "hole",
    "down_sampling",
    "scale",
]

POINT_SEVERITIES: Mapping[str, tuple[float, float, float, float, float]] = {
    # Degrees about an axis of any direction.
    "rotation": (15, 30, 45, 60, 90),
    # Standard deviation, for clouds in the unit ball, as in ModelNet-C.
    "jitter": (0.01, 0.02, 0.03, 0.04, 0.05),
    # Share of points put anywhere in the ball around the cloud; ModelNet-C adds as many.
    "outliers": (0.01, 0.02, 0.03, 0.04, 0.05),
    # Share of points lost anywhere, as in ModelNet-C.
    "dropout": (0.25, 0.375, 0.5, 0.675, 0.75),
    # Share of points lost around one of them.
    "hole": (0.1, 0.2, 0.3, 0.4, 0.5),
    # Share of points left, evenly spread.
    "down_sampling": (0.5, 0.25, 0.125, 0.0625, 0.03125),
    # Largest factor by which an axis is stretched or shrunk, as in ModelNet-C.
    "scale": (1.6, 1.7, 1.8, 1.9, 2.0),
}
