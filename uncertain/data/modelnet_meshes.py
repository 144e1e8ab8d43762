"""ModelNet, for those who have it: a folder of classes, each with OFF files to train and to test on.

References:
    Wu, Song, Khosla, Yu, Zhang, Tang and Xiao (2015), 3D ShapeNets: A Deep Representation for
    Volumetric Shapes, CVPR.
"""

import os
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from uncertain import checks
from uncertain.data.dataset import Split
from uncertain.data.draws import hashed
from uncertain.data.meshes import in_unit_ball, read_off, sample_surface


def modelnet(
    folder: str | os.PathLike[str],
    part: Literal["train", "test"],
    *,
    points: int = 1024,
    seed: int = 0,
) -> Split:
    """Draw point clouds from the meshes of ModelNet10, ModelNet40 or a folder laid out like them.

    The layout is ``folder/class/part/name.off``, as the archives unpack. Points are uniform on the
    surface, hidden faces included; clouds are centred at their mean and sized so that the farthest
    point is at distance 1.

    Args:
        folder: The unpacked archive.
        part: The publisher's training or test part.
        points: Points of a row.
        seed: Another seed draws other points; a row's depend on its file's place among all of the
            part, in the order of class and name.

    Returns:
        Labelled rows of (points, 3) float32; labels count the classes of the folder by name.

    Raises:
        FileNotFoundError: The folder has no such files.
        ValueError: A file is damaged.

    Example:
        >>> modelnet("no such folder", "test")
        Traceback (most recent call last):
        FileNotFoundError: `folder` should hold class/test/*.off, got none in no such folder: unpack ModelNet10.zip or ModelNet40.zip and name its folder.
    """
    checks.check_choice("part", part, ("train", "test"))
    checks.check_range("points", points, 1)
    files = sorted(Path(folder).glob(f"*/{part}/*.off"), key=lambda file: file.parts)
    if not files:
        raise FileNotFoundError(
            f"`folder` should hold class/{part}/*.off, got none in {folder}: unpack ModelNet10.zip "
            "or ModelNet40.zip and name its folder."
        )
    ids = np.arange(len(files))
    seeds = hashed(torch.from_numpy(ids), 1, seed=seed, stream=0)[:, 0].tolist()
    clouds = np.empty((len(files), points, 3), np.float32)
    for row, (file, own) in enumerate(zip(files, seeds, strict=True)):
        generator = np.random.default_rng(own % 2**64)
        clouds[row] = in_unit_ball(sample_surface(read_off(file), points, generator=generator))
    classes = modelnet_classes(folder)
    y = np.array([classes.index(file.parts[-3]) for file in files], np.int64)
    return Split(torch.from_numpy(clouds), torch.from_numpy(y), ids, ids.copy())


def modelnet_classes(folder: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the names of a folder's classes, in the order of their labels.

    Example:
        >>> modelnet_classes("no such folder")
        ()
    """
    return tuple(sorted({file.parts[-3] for file in Path(folder).glob("*/*/*.off")}))
