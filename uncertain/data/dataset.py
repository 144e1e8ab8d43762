"""Rows to learn from and to be judged on, with what identifies and groups them."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from uncertain import checks
from uncertain.data.card import Card

Rows = Any
"""Anything that selects rows: a slice, integer indices or a mask, as NumPy, torch or a list."""


@dataclass(frozen=True, eq=False)
class ByteImages:
    """Images kept as bytes; each selection of rows comes out as float32 in [0, 1].

    It stands where a tensor of images may stand and takes a quarter of its memory.

    Attributes:
        data: (N, channels, H, W) uint8.

    Example:
        >>> images = ByteImages(torch.full((5, 1, 2, 2), 255, dtype=torch.uint8))
        >>> images[1:3].shape, images[1:3].max().item()
        (torch.Size([2, 1, 2, 2]), 1.0)
    """

    data: UInt8[Tensor, "N channels H W"]

    def __len__(self) -> int:
        return len(self.data)

    @property
    def shape(self) -> torch.Size:
        """Return (N, channels, H, W)."""
        return self.data.shape

    @property
    def dtype(self) -> torch.dtype:
        """Return what a selection's type is: float32."""
        return torch.float32

    @property
    def device(self) -> torch.device:
        """Return where the bytes are."""
        return self.data.device

    def __getitem__(self, rows: Rows) -> Tensor:
        return self.data[_index(rows)].to(torch.float32) / 255

    def select(self, rows: Rows) -> "ByteImages":
        """Return some rows, still as bytes."""
        return ByteImages(self.data[_index(rows)])


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of one part of a data set.

    Attributes:
        x: (N, ...) inputs: a tensor, or :class:`ByteImages` where float32 would be large.
        y: (N,) int64 class indices or floating targets; ``None`` where rows have no label.
        row_ids: (N,) int64; where the row stands in its source, whatever the seed.
        groups: (N,) int64; rows of one group are not independent: resample them together.

    Example:
        >>> part = Split(torch.eye(3), torch.arange(3), np.array([5, 7, 9]), np.array([5, 7, 7]))
        >>> part[part.y > 0].row_ids.tolist()
        [7, 9]
    """

    x: Tensor | ByteImages
    y: Tensor | None
    row_ids: NDArray[Any]
    groups: NDArray[Any]

    def __post_init__(self) -> None:
        checks.check_same_length(x=self.x, y=self.y, row_ids=self.row_ids, groups=self.groups)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Rows) -> "Split":
        """Select rows by a slice, indices or a mask."""
        index = _index(rows)
        plain = index.numpy() if isinstance(index, Tensor) else index
        x = self.x.select(index) if isinstance(self.x, ByteImages) else self.x[index]
        y = None if self.y is None else self.y[index]
        return Split(x, y, self.row_ids[plain], self.groups[plain])


@dataclass(frozen=True, eq=False)
class DataSet:
    """The parts of a data set, its card, and out-of-distribution partners by name."""

    train: Split
    validation: Split
    test: Split
    card: Card
    ood: Mapping[str, Split] = field(default_factory=dict)

    def with_ood(self, partners: Mapping[str, Split]) -> "DataSet":
        """Return the set with more out-of-distribution partners.

        Raises:
            ValueError: A name is taken.
        """
        for name in partners:
            if name in self.ood:
                raise ValueError(f"`partners` should bring new names, got {name!r} again.")
        return dataclasses.replace(self, ood={**self.ood, **partners})


def standardise(dataset: DataSet) -> DataSet:
    """Scale tabular inputs to mean 0 and deviation 1 *of the training part*, in every part.

    A column that is constant in the training part is only centred. Targets stay in their units.

    Args:
        dataset: Tabular: its ``x`` are (N, D) tensors.

    Returns:
        The set with scaled inputs; row ids, groups and card are unchanged.

    Raises:
        ValueError: The inputs are not tables, or there is no training row to learn the scale from.

    Example:
        >>> from uncertain.data import load
        >>> scaled = standardise(load("wine"))
        >>> bool(scaled.train.x.mean(0).abs().max() < 1e-5)
        True
    """
    train = _table(dataset.train)
    checks.check_not_empty("dataset.train", train, hint="the scale is learned from it")
    wide = train.to(torch.float64)
    centre, scale = wide.mean(dim=0), wide.std(dim=0, correction=0)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))

    def scaled(split: Split) -> Split:
        x = ((_table(split).to(torch.float64) - centre) / scale).to(train.dtype)
        return dataclasses.replace(split, x=x)

    return dataclasses.replace(
        dataset,
        train=scaled(dataset.train),
        validation=scaled(dataset.validation),
        test=scaled(dataset.test),
        ood={name: scaled(split) for name, split in dataset.ood.items()},
    )


def _table(split: Split) -> Float[Tensor, "N D"]:
    if not isinstance(split.x, Tensor) or split.x.ndim != 2:
        raise ValueError(
            f"`dataset` should be tabular, got inputs of shape {tuple(split.x.shape)}."
        )
    return split.x


def _index(rows: Rows) -> Any:
    """Return a slice as it is, anything else as a tensor on the CPU."""
    if isinstance(rows, slice):
        return rows
    if isinstance(rows, Tensor):
        return rows.cpu() if rows.ndim else rows.reshape(1).cpu()
    array = np.atleast_1d(np.asarray(rows))
    return torch.as_tensor(array.astype(np.int64) if array.size == 0 else array)
