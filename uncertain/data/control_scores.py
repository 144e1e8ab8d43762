"""Scores that look at no model: how much of a result they explain is what has to be known first.

Where one of these tells in- from out-of-distribution rows, a good AUROC of a model on the same pair
shows nothing about the model.
"""

import zlib

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain import checks
from uncertain.data.dataset import ByteImages

TRIVIAL_AUROC = 0.85
"""A pair that any control separates better than this, in either direction, carries no claim."""

_BLOCK = 4096


def controls(x: Float[Tensor, "N channels H W"] | ByteImages) -> dict[str, Float[Tensor, " N"]]:
    """Return six plain statistics of each image.

    - ``mean``: of all values;
    - ``border_mean``: of the outermost ring of pixels;
    - ``zero_share``: how many values are exactly 0;
    - ``chroma``: mean distance between a pixel's largest and smallest channel (0 for grey images);
    - ``total_variation``: mean absolute difference of neighbouring pixels, down and right;
    - ``compressed_length``: bytes after zlib at level 9, of the image rounded to bytes.

    None has a direction of its own: take the better of AUROC and 1 - AUROC.

    Args:
        x: (N, channels, H, W) in [0, 1], at least 2 x 2 pixels.

    Returns:
        (N,) float64 by name, on the device of ``x``.

    Raises:
        ValueError: The inputs are no such images.

    Example:
        >>> black, noise = torch.zeros(1, 1, 28, 28), torch.rand(1, 1, 28, 28)
        >>> scores = controls(torch.cat([black, noise]))
        >>> bool(scores["compressed_length"][0] < scores["compressed_length"][1])
        True
    """
    checks.check_shape("x", x, ("N", "channels", "H", "W"), hint="controls are for images")
    if min(x.shape[-2:]) < 2:
        raise ValueError(f"`x` should have at least 2 x 2 pixels, got shape {tuple(x.shape)}.")
    blocks = [_block(x[start : start + _BLOCK]) for start in range(0, max(len(x), 1), _BLOCK)]
    return {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]}


def _block(x: Tensor) -> dict[str, Tensor]:
    wide = x.to(torch.float64)
    ring = torch.ones(x.shape[-2:], dtype=torch.bool, device=x.device)
    ring[1:-1, 1:-1] = False
    down = (wide[..., 1:, :] - wide[..., :-1, :]).abs().mean(dim=(1, 2, 3))
    right = (wide[..., 1:] - wide[..., :-1]).abs().mean(dim=(1, 2, 3))
    return {
        "mean": wide.mean(dim=(1, 2, 3)),
        "border_mean": wide[..., ring].mean(dim=(1, 2)),
        "zero_share": (x == 0).to(torch.float64).mean(dim=(1, 2, 3)),
        "chroma": (wide.amax(dim=1) - wide.amin(dim=1)).mean(dim=(1, 2)),
        "total_variation": (down + right) / 2,
        "compressed_length": _compressed(wide),
    }


def _compressed(x: Tensor) -> Tensor:
    pixels = (x * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    lengths = [float(len(zlib.compress(image.tobytes(), 9))) for image in pixels]
    return torch.tensor(lengths, dtype=torch.float64, device=x.device)
