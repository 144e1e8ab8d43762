"""How strong each corruption is at severities 1 to 5: data, not code.

A change of a number here changes what every shift result means: raise ``VERSION`` with it. A new
kind changes nothing that was measured before.
"""

from collections.abc import Mapping
from typing import Literal

VERSION = 1
"""Of the tables below; stored beside results."""

Corruption = Literal[
    "rotation",
    "impulse",
    "gaussian_noise",
    "blur",
    "contrast",
    "down_scaling",
    "translation",
    "shot_noise",
    "shear",
    "scale",
]

SEVERITIES: Mapping[str, tuple[float, float, float, float, float]] = {
    # Degrees, to the left or the right.
    "rotation": (15, 30, 45, 60, 75),
    # Share of values set to 0 or 1, as in ImageNet-C.
    "impulse": (0.03, 0.06, 0.09, 0.17, 0.27),
    # Standard deviation, on a scale where white is 1, as in ImageNet-C.
    "gaussian_noise": (0.08, 0.12, 0.18, 0.26, 0.38),
    # Standard deviation of the kernel in pixels, for images about 30 pixels wide.
    "blur": (0.6, 1.0, 1.4, 2.0, 2.8),
    # Share of the contrast that is left, as in CIFAR-10-C.
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
    # Share of the width and height that is left before scaling up again.
    "down_scaling": (0.75, 0.6, 0.5, 0.4, 0.3),
    # Distance as a share of the longer side, in a random direction, rounded to pixels.
    "translation": (0.05, 0.1, 0.15, 0.2, 0.25),
    # Mean count of light that white stands for, as in ImageNet-C.
    "shot_noise": (60, 25, 12, 5, 3),
    # Pixels to the left or the right for each pixel from the middle row, as in MNIST-C.
    "shear": (0.2, 0.4, 0.6, 0.8, 1.0),
    # Share of its width and height that what is shown keeps, as in MNIST-C.
    "scale": (0.9, 0.8, 0.7, 0.6, 0.5),
}
