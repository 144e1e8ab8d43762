r"""Were two sets of images stored by the same codec? What JPEG leaves in one, and not in the other.

JPEG cuts an image into blocks of 8 x 8 pixels and rounds the cosine transform of each to multiples of a
step, one a frequency, that grows with compression. In a decoded image the coefficients on its grid of
blocks still lie at these multiples, but for the rounding of pixels. Those of an image that was never
compressed, or was resized since, lie anywhere, whatever is to be seen in it. So the steps are found, and
two sets whose steps differ were not stored alike.

References:
    Fan, de Queiroz, Identification of bitmap compression history: JPEG detection and quantizer
    estimation, IEEE Transactions on Image Processing (2003).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uncertain.evaluation.auditing.findings import Finding

BLOCK = 8
"""Pixels along a side of JPEG's blocks."""
NEAR = 1.0
"""Within this many grey levels a coefficient lies at a multiple: rounded pixels move it by 0.29."""
STEPS = np.arange(6, 64)
"""Steps that are looked for: smaller ones are lost in the rounding of pixels."""
ENOUGH = 200
"""Coefficients other than 0 without which a frequency tells nothing."""
SURE = 6.0
"""Standard errors by which more coefficients lie at multiples of a step than between them."""
PLAIN = 0.3
"""Share of coefficients at multiples beyond those between them from which the step itself is known:
pixels that were cut off at 0 and 255 move the others."""
MOST = 1024
"""Images of a set that are looked at."""
THERE, ABSENT = 0.25, 0.05
"""Shares of frequencies that are rounded where JPEG left its marks, and where it did not."""
FEWEST = 5
"""Frequencies that have to be known of both sets."""
_LOW = [(u, v) for u in range(6) for v in range(6) if 0 < u + v < 6]
_LUMA = np.array([0.299, 0.587, 0.114])


def check_codec(about: str, test: NDArray[np.generic], x: NDArray[np.generic]) -> Iterator[Finding]:
    """Yield a finding where one set shows the blocks of JPEG and the other does not.

    Args:
        about: What the sets are called.
        test: (N, ...) inputs.
        x: (M, ...) inputs of the same shape.
    """
    first, second = rounding(test), rounding(x)
    known = ~np.isnan(first.step) & ~np.isnan(second.step)
    if known.sum() < FEWEST:
        return
    shown = [float((found.step[known] > 1).mean()) for found in (first, second)]
    plain = known & (first.excess >= PLAIN) & (second.excess >= PLAIN)
    if max(shown) >= THERE and min(shown) <= ABSENT:
        which = (
            "test inputs, and not on these"
            if shown[0] > shown[1]
            else "these, and not on the others"
        )
        said = f"JPEG left its rounding on {which}."
    elif plain.sum() >= FEWEST and _differ(first.step[plain], second.step[plain]):
        steps = [float(np.median(found.step[plain])) for found in (first, second)]
        said = f"JPEG rounded test inputs to multiples of {steps[0]:g}, these of {steps[1]:g} grey levels."
    else:
        return
    yield Finding(
        "warn", "codec", about, said, {"rounded_test": shown[0], "rounded": shown[1]},
        "Put both through one codec of one quality.",
    )  # fmt: skip


def _differ(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    """Whether most steps differ by more than the rounding of a table of them."""
    return bool((np.maximum(first, second) > 1.25 * np.minimum(first, second)).mean() > 0.5)


def as_images(x: NDArray[np.generic]) -> NDArray[np.float64] | None:
    """Return inputs as (N, channels, H, W), ``None`` where they are no images.

    Example:
        >>> as_images(np.zeros((5, 32, 28, 3))).shape, as_images(np.zeros((5, 3)))
        ((5, 3, 32, 28), None)
    """
    if x.ndim < 3 or (min(x.shape[-2:]) < 16 and x.ndim == 3 and x.shape[-1] in (1, 3)):
        return None
    images = x.astype(np.float64)
    if images.ndim == 4 and images.shape[-1] in (1, 3) and images.shape[1] not in (1, 3):
        images = np.moveaxis(images, -1, 1)
    return images.reshape(len(x), -1, *images.shape[-2:])


class Rounding(NamedTuple):
    """How the coefficients of low frequencies were rounded, of a set of images.

    Attributes:
        step: (20,) in grey levels; 1 where there was no rounding, NaN where nothing can be told.
        excess: (20,) share at multiples of the step beyond those between them.
    """

    step: NDArray[np.float64]
    excess: NDArray[np.float64]


def rounding(x: NDArray[np.generic]) -> Rounding:
    """Return the step that the coefficients of each low frequency were rounded to.

    Args:
        x: (N, ...) images of whole grey levels, on whatever scale; nothing can be told of others.

    Example:
        >>> noise = np.random.default_rng(0).integers(0, 256, (20, 32, 32))
        >>> float(rounding(noise).step.max())
        1.0
    """
    chosen = x[np.linspace(0, len(x) - 1, min(len(x), MOST)).astype(int)]
    grey = _grey(chosen)
    if grey is None:
        return Rounding(np.full(len(_LOW), np.nan), np.zeros(len(_LOW)))
    coefficients = _coefficients(grey)
    found = np.array([_step(coefficients[:, u, v]) for u, v in _LOW])
    return Rounding(found[:, 0], found[:, 1])


def _step(coefficients: NDArray[np.float64]) -> tuple[float, float]:
    """Return the largest step at whose multiples coefficients lie, and how plainly."""
    c = np.abs(coefficients)
    # What was rounded to 0 says nothing of the step, and lies at a multiple of any.
    counts = (c > STEPS[:, None] / 2).sum(axis=1)
    if counts[0] < ENOUGH:
        return float("nan"), 0.0
    at, between = np.empty(len(STEPS)), np.empty(len(STEPS))
    for i, step in enumerate(STEPS):
        large = c[c > step / 2]
        off = np.abs(large - step * np.round(large / step))
        # Windows of one width, those between where a slope of the density cancels.
        at[i], between[i] = (off < NEAR).sum(), (np.abs(off - step / 4) < NEAR / 2).sum()
    excess = (at - between) / np.maximum(counts, 1)
    sure = (at - between > SURE * np.sqrt(at + between + 1)) & (counts >= ENOUGH)
    if not sure.any():
        return 1.0, 0.0
    # A step's divisors have its multiples too: the largest that is as good is the step.
    best = float(excess[sure].max())
    place = int(np.flatnonzero(sure & (excess >= 0.8 * best))[-1])
    return float(STEPS[place]), float(excess[place])


def _coefficients(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cosine transforms of all whole blocks, (blocks, 8, 8)."""
    height, width = (side // BLOCK * BLOCK for side in grey.shape[1:])
    blocks = grey[:, :height, :width].reshape(
        len(grey), height // BLOCK, BLOCK, width // BLOCK, BLOCK
    )
    transform = _cosines()
    found = np.einsum("ui,nyixj,vj->nyxuv", transform, blocks, transform, optimize=True)
    return np.asarray(found.reshape(-1, BLOCK, BLOCK))


def _grey(x: NDArray[np.generic]) -> NDArray[np.float64] | None:
    """Return images in grey levels of 0 to 255 up to an offset, (N, H, W); ``None`` of others."""
    images = as_images(x)
    if images is None or min(images.shape[-2:]) < BLOCK or images.shape[1] not in (1, 3):
        return None
    levels = [_levels(images[:, c]) for c in range(images.shape[1])]
    weights = _LUMA if len(levels) == 3 else np.ones(1)
    known = [w * level for w, level in zip(weights, levels, strict=True) if level is not None]
    return np.asarray(np.sum(known, axis=0)) if len(known) == len(levels) else None


def _levels(channel: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return a channel in grey levels of 0 to 255, up to an offset; ``None`` where it has more."""
    known = np.unique(channel[:64])
    if len(known) > 256:
        return None
    if known[0] >= 0 and 1 < known[-1] <= 255 and np.all(known == np.floor(known)):
        return channel
    if known[0] >= 0 and known[-1] <= 1:
        return channel * 255
    # Scaled otherwise, as by mean and spread: one grey level is the least step.
    return channel / np.diff(known).min() if len(known) > 2 else None


def _cosines() -> NDArray[np.float64]:
    """Return the orthonormal cosine transform of a block's side."""
    k, n = np.arange(BLOCK)[:, None], np.arange(BLOCK)
    rows = np.cos(np.pi * (2 * n + 1) * k / (2 * BLOCK)) * (2 / BLOCK) ** 0.5
    rows[0] /= 2**0.5
    return np.asarray(rows)
