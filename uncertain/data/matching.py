"""Strange images made to look as if they came through the known images' own pipeline.

What tells two image sets apart is often not what they show but how they were stored: their size, a
border, their brightness, a codec's marks. These are made equal here, so that what is left is content.
"""

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uncertain import checks
from uncertain.data.dataset import Split
from uncertain.data.transforms import area_taps, bilinear_taps

CIFAR10_JPEG_QUALITY = 75
"""What the local CIFAR-10 was stored with: its files hold the quantisation tables of this quality."""

_BLOCK = 4096
_BINS = 4096
_HALVINGS = 40


def matched(images: Split, like: Split, *, jpeg_quality: int | None = None) -> Split:
    """Return images in another set's size, channels, channel statistics and codec.

    In this order: grey images get equal channels, or coloured ones become grey (0.299, 0.587 and
    0.114 of red, green and blue); the size is changed by averaging areas where it shrinks and
    bilinearly where it grows; each channel is scaled, shifted and cut off to [0, 1] so that its mean
    and deviation over all images are those of ``like``; then values are rounded to bytes, and, where
    ``jpeg_quality`` is given, stored as JPEG with 4:2:0 chroma and read again. The codec comes last,
    as its marks must not be smoothed, so the statistics agree to about 0.01, not to the last digit.

    No scale and shift reach both statistics where too many pixels share one value (heavy black and
    white letters beside thin ones): then the mean agrees and the deviation is as near as it can be.

    Args:
        images: Whose images are changed, in [0, 1].
        like: Whose pipeline they are put through, in [0, 1].
        jpeg_quality: The quality, 1 to 95, that ``like`` was stored with; ``None`` where it was never
            stored as JPEG.

    Returns:
        The images, float32 in steps of 1/255, with their own labels, row ids and groups.

    Raises:
        ValueError: Not images, none of them, or neither one nor three channels.
        ModuleNotFoundError: Pillow is not installed and a quality was given.

    Example:
        >>> from uncertain.data import load, noise
        >>> digits, faint = load("digits").test, noise(load("digits").test)
        >>> alike = matched(faint, digits)
        >>> abs(alike.x.mean() - digits.x.mean()).item() < 0.01
        True
    """
    for name, split in (("images", images), ("like", like)):
        checks.check_shape(f"{name}.x", split.x, ("N", "channels", "H", "W"))
        checks.check_not_empty(f"{name}.x", split.x)
    if jpeg_quality is not None:
        checks.check_range("jpeg_quality", jpeg_quality, 1, 95)
    channels, height, width = like.x.shape[1:]
    made = torch.cat(
        [
            _resized(_channels(images.x[start : start + _BLOCK].double(), channels), height, width)
            for start in range(0, len(images), _BLOCK)
        ]
    )
    made = _fitted(made, *_statistics(like))
    pixels = (made * 255).round().to(torch.uint8).cpu().numpy()
    if jpeg_quality is not None:
        pixels = _through_jpeg(pixels, jpeg_quality)
    x = torch.from_numpy(pixels).to(torch.float32) / 255
    return Split(x, images.y, images.row_ids, images.groups)


def _channels(x: Tensor, channels: int) -> Tensor:
    if x.shape[1] == channels:
        return x
    if x.shape[1] == 1:
        return x.expand(-1, channels, -1, -1)
    if x.shape[1] == 3 and channels == 1:
        weights = torch.tensor([0.299, 0.587, 0.114], dtype=x.dtype)
        return (x * weights[:, None, None]).sum(dim=1, keepdim=True)
    raise ValueError(
        f"`images` should have 1 or 3 channels, or {channels} as `like` has, got {x.shape[1]}."
    )


def _resized(x: Tensor, height: int, width: int) -> Tensor:
    for dim, size in ((-2, height), (-1, width)):
        old = x.shape[dim]
        if old == size:
            continue
        index, weight = area_taps(old, size) if size < old else bilinear_taps(old, size)
        matrix = torch.zeros(size, old, dtype=x.dtype)
        matrix.scatter_add_(1, index, weight.to(x.dtype))
        x = torch.tensordot(x, matrix, dims=([dim], [1])).movedim(-1, dim)
    return x


def _statistics(split: Split) -> tuple[Tensor, Tensor]:
    """Return each channel's mean and deviation over all images, (1, channels, 1, 1) each."""
    total = square = torch.zeros(split.x.shape[1], dtype=torch.float64)
    for start in range(0, len(split), _BLOCK):
        x = split.x[start : start + _BLOCK].double()
        total, square = total + x.sum(dim=(0, 2, 3)), square + (x * x).sum(dim=(0, 2, 3))
    count = len(split) * split.x.shape[2] * split.x.shape[3]
    mean = total / count
    deviation = (square / count - mean**2).clamp(min=0).sqrt()
    return mean[None, :, None, None], deviation[None, :, None, None]


def _fitted(x: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Return each channel scaled, shifted and cut off so that both statistics agree, or the mean."""
    wanted = zip(mean.flatten().tolist(), deviation.flatten().tolist(), strict=True)
    made = [_affine(x[:, c], *pair) for c, pair in enumerate(wanted)]
    return torch.stack(made, dim=1)


def _affine(x: Tensor, mean: float, deviation: float) -> Tensor:
    """Return ``clip(scale * x + shift)``: the shift is fitted to the mean, the scale to the rest."""
    # A fine histogram stands for the pixels: it is gone through some thousand times.
    bins = (x.flatten() * _BINS).round().long()
    counts = torch.bincount(bins)
    sums = torch.bincount(bins, weights=x.flatten())
    weights = counts[counts > 0] / x.numel()
    values = sums[counts > 0] / counts[counts > 0]

    def shift_of(scale: float) -> float:
        return _bisect(lambda b: _mean(weights, scale * values + b) - mean, -scale, 1.0)

    def excess(log_scale: float) -> float:
        scale = math.exp(log_scale)
        moved = (scale * values + shift_of(scale)).clamp(0, 1)
        return float((weights * moved**2).sum() - (weights * moved).sum() ** 2) - deviation**2

    scale = math.exp(_bisect(excess, -7.0, 5.0))
    return (scale * x + shift_of(scale)).clamp(0, 1)


def _mean(weights: Tensor, values: Tensor) -> float:
    return float((weights * values.clamp(0, 1)).sum())


def _bisect(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a rising function crosses zero, or the end that is nearest to it."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if function(middle) > 0 else (middle, high)
    return (low + high) / 2


def _through_jpeg(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    checks.require("PIL", "benchmark")
    from PIL import Image

    made = np.empty_like(pixels)
    for row, image in enumerate(pixels):
        grey = len(image) == 1
        picture: Any = Image.fromarray(image[0] if grey else image.transpose(1, 2, 0))
        stored = io.BytesIO()
        picture.save(stored, "JPEG", quality=quality, subsampling="4:2:0")
        with Image.open(stored) as read:
            values = np.asarray(read)
        made[row] = values[None] if grey else values.transpose(2, 0, 1)
    return made
