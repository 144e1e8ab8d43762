"""Extrapolation: rows beyond a quantile of the training inputs are held out and asked about.

Held-out classes have no counterpart in regression; the rows at the end of an axis do. They come from
the same source, so what is strange about them is where they lie, and their targets are known: it can
be seen not only whether a model notices, but whether its intervals still cover.
"""

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uncertain import checks
from uncertain.data.dataset import DataSet, Split
from uncertain.data.held_out import join

Column = int | str


def extrapolation(
    dataset: DataSet,
    *,
    share: float = 0.2,
    along: Column | None = None,
    all_parts: bool = False,
) -> DataSet:
    """Leave the rows beyond a quantile out of every part; return them as partner ``extrapolation``.

    The axis is the first principal component of the training inputs, each column scaled to deviation
    1, with the sign that makes its largest loading positive; or one column. Rows above the axis'
    quantile ``1 - share`` in the training part are held out. Axis and quantile are learned from the
    training part alone.

    Args:
        dataset: Tabular.
        share: Share of the training rows to hold out, in (0, 1).
        along: A column's place or name; by default the first principal component.
        all_parts: Take the rows beyond from all parts, not only the test part: no model has seen
            those either, and a small set gets tighter intervals.

    Returns:
        A set without the rows beyond. The partner keeps its targets, and its rows are in the order
        of their distance, nearest first; row ids and groups are the old ones everywhere.

    Raises:
        ValueError: The inputs are not tables, no such column, or no training row lies beyond (or all
            do): the column takes too few values.

    Example:
        >>> from uncertain.data import load
        >>> near = extrapolation(load("diabetes"), along="bmi")
        >>> near.ood["extrapolation"].x[:, 2].min() > near.train.x[:, 2].max()
        tensor(True)
    """
    checks.check_range("share", share, 0, 1, open_low=True, open_high=True)
    train = _table(dataset.train)
    axis, name = _axis(dataset, train, along)
    centre = train.mean(axis=0)
    limit = float(np.quantile((train - centre) @ axis, 1 - share, method="lower"))
    parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    places = {key: (_table(part) - centre) @ axis for key, part in parts.items()}
    beyond = places["train"] > limit
    if not 0 < beyond.sum() < len(train):
        raise ValueError(
            f"`along` should be an axis with training rows on both sides of its quantile, got "
            f"{name} of {dataset.card.name}, where {int(beyond.sum())} of {len(train)} lie beyond."
        )
    near = {key: part[torch.from_numpy(places[key] <= limit)] for key, part in parts.items()}
    taken = list(parts) if all_parts else ["test"]
    far = join([parts[key][torch.from_numpy(places[key] > limit)] for key in taken])
    distance = np.concatenate([places[key][places[key] > limit] for key in taken])
    card = dataclasses.replace(
        dataset.card,
        sizes={key: len(part) for key, part in near.items()},
        duplicates={},
        problems=(
            *dataset.card.problems,
            f"Held out: the rows beyond the training part's {1 - share:g} quantile of {name}.",
        ),
    )
    far = far[np.argsort(distance, kind="stable")]
    return DataSet(**near, card=card, ood={**dataset.ood, "extrapolation": far})


def _axis(
    dataset: DataSet, train: NDArray[np.float64], along: Column | None
) -> tuple[NDArray[np.float64], str]:
    """Return the direction along which rows are placed, and its name."""
    axis = np.zeros(train.shape[1])
    if along is not None:
        axis[_column(dataset, along)] = 1
        return axis, f"column {along}"
    scale = train.std(axis=0)
    scale[scale == 0] = 1
    _, _, components = np.linalg.svd((train - train.mean(axis=0)) / scale, full_matrices=False)
    first = components[0]
    return first * np.sign(first[np.argmax(np.abs(first))]) / scale, "the first principal component"


def _column(dataset: DataSet, along: Column) -> int:
    features = dataset.card.features
    if isinstance(along, str):
        checks.check_choice("along", along, features)
        return features.index(along)
    checks.check_range("along", along, 0, dataset.train.x.shape[1] - 1, hint="a column's place")
    return along


def _table(split: Split) -> NDArray[np.float64]:
    if not isinstance(split.x, Tensor) or split.x.ndim != 2:
        raise ValueError(
            f"`dataset` should be tabular, got inputs of shape {tuple(split.x.shape)}."
        )
    table: NDArray[Any] = split.x.numpy()
    return table.astype(np.float64)
