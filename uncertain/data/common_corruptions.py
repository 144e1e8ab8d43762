"""CIFAR-10-C: the published corruptions of CIFAR-10's test images.

Hendrycks, Dietterich (2019), Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations.
"""

import os
from typing import Literal

import numpy as np
import torch

from uncertain import checks
from uncertain.data.dataset import ByteImages, Split
from uncertain.data.formats import map_npy_in_tar
from uncertain.data.local import check_files, found_folder

CommonCorruption = Literal[
    "brightness", "contrast", "defocus_blur", "elastic_transform", "fog", "frost",
    "gaussian_blur", "gaussian_noise", "glass_blur", "impulse_noise", "jpeg_compression",
    "motion_blur", "pixelate", "saturate", "shot_noise", "snow", "spatter", "speckle_noise",
    "zoom_blur",
]  # fmt: skip
COMMON_CORRUPTIONS: tuple[CommonCorruption, ...] = CommonCorruption.__args__  # type: ignore[attr-defined]

FILE = "cifar10_c/CIFAR-10-C.tar"
_SEVERITIES = 5
_TRAINING_ROWS = 50_000


def cifar10_c(
    corruption: CommonCorruption,
    severity: int,
    *,
    data_dir: str | os.PathLike[str] | None = None,
) -> Split:
    """Return CIFAR-10's test images under one published corruption.

    They are corrupted original images: partners of ``load("cifar10_original")``, whose test rows they
    share ids with, and not of the JPEG ones of ``load("cifar10")``.

    Args:
        corruption: One of ``COMMON_CORRUPTIONS``; four of the 19 (speckle noise, Gaussian blur,
            spatter, saturate) were meant for validation.
        severity: 1 to 5.
        data_dir: Folder of local data, looked at before the cache of fetched ones.

    Returns:
        10,000 rows with labels, read from the archive when they are asked for; row ids and groups
        are those of the uncorrupted test rows.

    Raises:
        ValueError: An unknown corruption or severity, or a damaged archive.
        FileNotFoundError: It was not fetched.
    """
    checks.check_choice("corruption", corruption, COMMON_CORRUPTIONS)
    checks.check_range("severity", severity, 1, _SEVERITIES)
    folder = found_folder((FILE,), data_dir)
    check_files("cifar10_c", (FILE,), folder, fetchable=True)
    assert folder is not None  # or it had raised
    images, labels = (
        map_npy_in_tar(folder / FILE, f"{name}.npy") for name in (corruption, "labels")
    )
    rows = len(images) // _SEVERITIES
    part = slice((severity - 1) * rows, severity * rows)
    if images.ndim != 4 or images.shape[-1] != 3 or len(labels) != len(images):
        raise ValueError(
            f"{folder / FILE} should hold (N, H, W, 3) images and N labels, got {images.shape} and "
            f"{labels.shape}."
        )
    x = np.ascontiguousarray(np.asarray(images[part]).transpose(0, 3, 1, 2))
    ids = np.arange(_TRAINING_ROWS, _TRAINING_ROWS + rows)
    y = torch.from_numpy(np.asarray(labels[part]).astype(np.int64))
    return Split(ByteImages(torch.from_numpy(x)), y, ids, ids.copy())
