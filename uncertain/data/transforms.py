"""Changes of images, each with the same bits whatever else is in the batch.

Only elementwise operations in a fixed order are used: convolutions, matrix products and reductions
may add in another order for another batch size, and then a row's bits depend on its neighbours.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

Images = Float[Tensor, "N channels H W"]


def rotate(x: Images, degrees: Float[Tensor, " N"]) -> Images:
    """Rotate each image about its centre, counter-clockwise; bilinear, zero outside.

    Args:
        x: (N, channels, H, W).
        degrees: (N,) one angle an image.

    Returns:
        (N, channels, H, W).

    Example:
        >>> x = torch.tensor([[[[0.0, 1.0], [0.0, 0.0]]]])
        >>> rotate(x, torch.tensor([90.0])).round().tolist()
        [[[[1.0, 0.0], [0.0, 0.0]]]]
    """
    height, width = x.shape[-2:]
    angle = degrees.to(torch.float64)[:, None, None] * (math.pi / 180)
    down = torch.arange(height, device=x.device, dtype=torch.float64)[:, None] - (height - 1) / 2
    right = torch.arange(width, device=x.device, dtype=torch.float64) - (width - 1) / 2
    # Where each output pixel comes from: the rotation backwards, with rows counted downwards.
    column = right * angle.cos() - down * angle.sin() + (width - 1) / 2
    row = right * angle.sin() + down * angle.cos() + (height - 1) / 2
    return _bilinear(x, row, column)


def translate(x: Images, down: Int[Tensor, " N"], right: Int[Tensor, " N"]) -> Images:
    """Shift each image by whole pixels; what comes in is zero.

    Args:
        x: (N, channels, H, W).
        down: (N,) pixels downwards.
        right: (N,) pixels to the right.

    Returns:
        (N, channels, H, W).

    Example:
        >>> x = torch.arange(4.0).reshape(1, 1, 2, 2)
        >>> translate(x, torch.tensor([1]), torch.tensor([0])).tolist()
        [[[[0.0, 0.0], [0.0, 1.0]]]]
    """
    height, width = x.shape[-2:]
    row = torch.arange(height, device=x.device)[:, None] - down[:, None, None]
    column = torch.arange(width, device=x.device) - right[:, None, None]
    return _picked(x, row, column)


def shear(x: Images, slope: Float[Tensor, " N"]) -> Images:
    """Move each row of pixels to the right, ``slope`` pixels for each row below the middle.

    Args:
        x: (N, channels, H, W).
        slope: (N,) one slope an image; bilinear between pixels, zero outside.

    Returns:
        (N, channels, H, W).

    Example:
        >>> x = torch.tensor([[[[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]]])
        >>> shear(x, torch.tensor([1.0])).tolist()
        [[[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]]
    """
    height, width = x.shape[-2:]
    row = torch.arange(height, device=x.device, dtype=torch.float64)[:, None]
    lean = slope.to(torch.float64)[:, None, None] * (row - (height - 1) / 2)
    column = torch.arange(width, device=x.device, dtype=torch.float64) - lean
    return _bilinear(x, row.expand_as(column), column)


def shrink(x: Images, share: float) -> Images:
    """Make what is shown smaller about the centre; bilinear, zero outside.

    Every pixel takes its value from one place, as in MNIST-C: fine detail may be skipped.

    Args:
        x: (N, channels, H, W).
        share: What is left of the width and height, above 0; 1 changes nothing.

    Returns:
        (N, channels, H, W).

    Example:
        >>> shrink(torch.ones(1, 1, 4, 4), 0.5).sum().item()
        4.0
    """
    height, width = x.shape[-2:]
    down = torch.arange(height, device=x.device, dtype=torch.float64) - (height - 1) / 2
    right = torch.arange(width, device=x.device, dtype=torch.float64) - (width - 1) / 2
    row = (down / share + (height - 1) / 2)[:, None].expand(len(x), height, width)
    column = (right / share + (width - 1) / 2).expand(len(x), height, width)
    return _bilinear(x, row, column)


def scale_contrast(x: Images, share: float) -> Images:
    """Pull each channel towards its own mean: ``mean + share * (x - mean)``.

    Args:
        x: (N, channels, H, W).
        share: What is left of the contrast; 1 changes nothing.

    Returns:
        (N, channels, H, W).

    Example:
        >>> scale_contrast(torch.tensor([[[[0.0, 1.0]]]]), 0.5).tolist()
        [[[[0.25, 0.75]]]]
    """
    mean = _mean(x)
    return mean + share * (x - mean)


def gaussian_blur(x: Images, sigma: float) -> Images:
    """Blur by a Gaussian cut off at four deviations; the edge pixels continue outside.

    Args:
        x: (N, channels, H, W).
        sigma: Standard deviation in pixels.

    Returns:
        (N, channels, H, W).

    Example:
        >>> bool(torch.allclose(gaussian_blur(torch.ones(1, 1, 5, 5), 1.0), torch.ones(1, 1, 5, 5)))
        True
    """
    radius = int(4 * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1)
    kernel = torch.exp(-0.5 * (offsets.to(torch.float64) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    for dim in (-2, -1):
        size = x.shape[dim]
        index = (torch.arange(size)[:, None] + offsets).clamp(0, size - 1)
        x = _weighted(x, index, kernel.expand(size, -1), dim)
    return x


def down_scale(x: Images, share: float) -> Images:
    """Shrink by averaging areas, and enlarge again bilinearly.

    Args:
        x: (N, channels, H, W).
        share: What is left of the width and height, in (0, 1]; at least one pixel is.

    Returns:
        (N, channels, H, W).

    Example:
        >>> down_scale(torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]]), 0.5).tolist()
        [[[[0.5, 0.5], [0.5, 0.5]]]]
    """
    for dim in (-2, -1):
        size = x.shape[dim]
        small = max(1, round(share * size))
        x = _weighted(x, *area_taps(size, small), dim)
        x = _weighted(x, *bilinear_taps(small, size), dim)
    return x


def area_taps(size: int, small: int) -> tuple[Tensor, Tensor]:
    """Return which of ``size`` cells each of ``small`` equal cells covers, and how much of it.

    Returns:
        Indices and weights, both (small, K); weights of a row sum to 1.

    Example:
        >>> area_taps(4, 2)[1].tolist()
        [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0]]
    """
    ratio = size / small
    start = torch.arange(small, dtype=torch.float64)[:, None] * ratio
    cells = start.floor().to(torch.int64) + torch.arange(math.ceil(ratio) + 1)
    covered = torch.minimum(cells + 1.0, start + ratio) - torch.maximum(cells.double(), start)
    return cells.clamp(max=size - 1), covered.clamp(min=0) / ratio


def bilinear_taps(size: int, large: int) -> tuple[Tensor, Tensor]:
    """Return the two neighbours among ``size`` cells of each of ``large`` cells' centres.

    Returns:
        Indices and weights, both (large, 2); weights of a row sum to 1.
    """
    centre = (torch.arange(large, dtype=torch.float64) + 0.5) * (size / large) - 0.5
    centre = centre.clamp(0, size - 1)
    low = centre.floor()
    index = torch.stack([low, (low + 1).clamp(max=size - 1)], dim=1).to(torch.int64)
    return index, torch.stack([1 - (centre - low), centre - low], dim=1)


def _weighted(x: Tensor, index: Tensor, weight: Tensor, dim: int) -> Tensor:
    """Return ``sum_k weight[i, k] x[index[i, k]]`` along ``dim``, added in the order of k."""
    index, weight = index.to(x.device), weight.to(x)
    shape = (-1, 1) if dim == -2 else (-1,)
    total = x.index_select(dim, index[:, 0]) * weight[:, 0].reshape(shape)
    for k in range(1, index.shape[1]):
        total = total + x.index_select(dim, index[:, k]) * weight[:, k].reshape(shape)
    return total


def _bilinear(x: Images, row: Tensor, column: Tensor) -> Images:
    top, left = row.floor(), column.floor()
    below, beside = (row - top).to(x.dtype)[:, None], (column - left).to(x.dtype)[:, None]
    top, left = top.to(torch.int64), left.to(torch.int64)
    upper = _picked(x, top, left) * (1 - beside) + _picked(x, top, left + 1) * beside
    lower = _picked(x, top + 1, left) * (1 - beside) + _picked(x, top + 1, left + 1) * beside
    return upper * (1 - below) + lower * below


def _picked(x: Images, row: Tensor, column: Tensor) -> Images:
    """Return the pixels at (N, H, W) rows and columns, zero outside the image."""
    height, width = x.shape[-2:]
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    place = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    index = place.flatten(1)[:, None].expand(-1, x.shape[1], -1)
    picked = x.flatten(2).gather(2, index).reshape(x.shape)
    return torch.where(inside[:, None], picked, torch.zeros((), dtype=x.dtype, device=x.device))


def _mean(x: Images) -> Float[Tensor, "N channels 1 1"]:
    """Return each channel's mean, added in a fixed order: halves are folded onto each other."""
    values = x.flatten(2)
    count = values.shape[-1]
    while values.shape[-1] > 1:
        half = values.shape[-1] // 2
        folded = values[..., :half] + values[..., half : 2 * half]
        values = torch.cat([folded, values[..., 2 * half :]], dim=-1)
    return (values / count)[..., None]
