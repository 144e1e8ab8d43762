"""Ten corruptions of images at five severities, for shift curves.

They are ours in code and follow ImageNet-C, CIFAR-10-C and MNIST-C in spirit and, where the kinds are the
same, in strength. Figures are not comparable with figures on those sets' published files.

References:
    Hendrycks and Dietterich (2019), Benchmarking Neural Network Robustness to Common Corruptions
    and Perturbations, ICLR.
    Mu and Gilmer (2019), MNIST-C: A Robustness Benchmark for Computer Vision, ICML workshop.
"""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from uncertain import checks
from uncertain.data import transforms
from uncertain.data.dataset import ByteImages
from uncertain.data.draws import normal, poisson, uniform
from uncertain.data.severities import SEVERITIES, Corruption

Images = Float[Tensor, "N channels H W"]

# Each random kind has a stream of its own, so two corruptions of one row are independent.
_ANGLE, _SALT, _NOISE, _SHIFT, _LIGHT, _LEAN = 1, 2, 3, 4, 5, 6

# Rows are worked on in blocks: bits do not depend on it, and memory stays small.
_BLOCK = 1024


def corrupt(
    x: Images | ByteImages,
    kind: Corruption,
    severity: int,
    *,
    seed: int = 0,
    row_ids: NDArray[Any] | Int[Tensor, " N"],
) -> Images:
    """Corrupt images; what happens to a row depends on its id and the seed, never on the batch.

    - ``rotation`` turns to the left or the right, bilinearly, zero outside;
    - ``impulse`` sets values to 0 or 1 with equal chance;
    - ``gaussian_noise`` adds independent noise to every value;
    - ``blur`` is Gaussian; ``contrast`` pulls each channel towards its mean;
    - ``down_scaling`` averages areas and enlarges bilinearly;
    - ``translation`` shifts in a random direction by whole pixels, zero outside;
    - ``shot_noise`` counts light: a Poisson variable whose mean is the value times the count of white;
    - ``shear`` moves each row of pixels to the left or the right, the further from the middle the more;
    - ``scale`` makes what is shown smaller about the centre, bilinearly, zero outside.

    How strong each severity is stands in ``uncertain.data.severities``, with a version. Draws are
    the same at every severity, so a row's damage grows rather than being drawn anew.

    Args:
        x: (N, channels, H, W) in [0, 1], any floating type; computed in float32 or wider.
        kind: Which corruption.
        severity: 1 (mild) to 5; 0 returns the images as they are.
        seed: Another seed gives other angles, directions and noise.
        row_ids: (N,) integers that name the rows.

    Returns:
        (N, channels, H, W) in [0, 1], of the type and on the device of ``x``.

    Raises:
        ValueError: The kind is unknown, the severity is not 0 to 5, values leave [0, 1] or are NaN,
            or shapes do not match.

    Example:
        >>> x = torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))
        >>> ids = torch.arange(8)
        >>> whole = corrupt(x, "gaussian_noise", 3, row_ids=ids)
        >>> bool((corrupt(x[5:], "gaussian_noise", 3, row_ids=ids[5:]) == whole[5:]).all())
        True
    """
    checks.check_choice("kind", kind, SEVERITIES)
    if severity not in range(6):
        raise ValueError(f"`severity` should be a whole number from 0 to 5, got {severity!r}.")
    images = x[:] if isinstance(x, ByteImages) else x
    keys = _keys(images, row_ids)
    _check_images(images)
    if severity == 0 or len(images) == 0:
        return images
    strength = SEVERITIES[kind][severity - 1]
    wide = images if images.dtype.itemsize >= 4 else images.to(torch.float32)
    blocks = zip(wide.split(_BLOCK), keys.split(_BLOCK), strict=True)
    done = [_changed(block, kind, strength, seed, ids) for block, ids in blocks]
    return torch.cat(done).clamp(0, 1).to(images.dtype)


def _keys(images: Images, row_ids: NDArray[Any] | Tensor) -> Tensor:
    checks.check_shape("x", images, ("N", "channels", "H", "W"))
    checks.check_shape("row_ids", row_ids, (len(images),), hint="one id a row of `x`")
    return torch.as_tensor(np.asarray(row_ids) if not isinstance(row_ids, Tensor) else row_ids).to(
        device=images.device, dtype=torch.int64
    )


def _check_images(images: Images) -> None:
    if not images.is_floating_point():
        raise TypeError(
            f"`x` should be floating images in [0, 1], got dtype {images.dtype}: divide bytes by 255."
        )
    if images.numel():
        low, high = (float(v) for v in images.aminmax())
        # The two ends stand for all values: either is NaN where any value is.
        checks.check_range("x", np.array([low, high]), 0, 1, hint="its smallest and largest value")


def _changed(x: Images, kind: Corruption, strength: float, seed: int, keys: Tensor) -> Images:
    match kind:
        case "rotation":
            return transforms.rotate(x, _either_side(strength, keys, seed, _ANGLE))
        case "impulse":
            return _impulse(x, strength, uniform(keys, x[0].numel(), seed=seed, stream=_SALT))
        case "gaussian_noise":
            noise = normal(keys, x[0].numel(), seed=seed, stream=_NOISE).reshape(x.shape)
            return x + (strength * noise).to(x.dtype)
        case "blur":
            return transforms.gaussian_blur(x, strength)
        case "contrast":
            return transforms.scale_contrast(x, strength)
        case "down_scaling":
            return transforms.down_scale(x, strength)
        case "translation":
            angle = 2 * math.pi * uniform(keys, 1, seed=seed, stream=_SHIFT)[:, 0]
            distance = strength * max(x.shape[-2:])
            down = (distance * angle.sin()).round().to(torch.int64)
            right = (distance * angle.cos()).round().to(torch.int64)
            return transforms.translate(x, down, right)
        case "shot_noise":
            light = strength * x.to(torch.float64).flatten(1)
            counts = poisson(light, keys, seed=seed, stream=_LIGHT).reshape(x.shape)
            return (counts / strength).to(x.dtype)
        case "shear":
            return transforms.shear(x, _either_side(strength, keys, seed, _LEAN))
        case "scale":
            return transforms.shrink(x, strength)


def _either_side(strength: float, keys: Tensor, seed: int, stream: int) -> Float[Tensor, " N"]:
    """Return the strength with the sign that each row drew."""
    side = uniform(keys, 1, seed=seed, stream=stream)[:, 0] < 0.5
    return torch.where(side, strength, -strength).double()


def _impulse(x: Images, share: float, draws: Tensor) -> Images:
    """Set the values with the smallest draws to 0 and those with the largest to 1."""
    draws = draws.reshape(x.shape)
    x = torch.where(draws < share / 2, torch.zeros_like(x), x)
    return torch.where(draws > 1 - share / 2, torch.ones_like(x), x)
