"""One view of every kind of training data: a length, and rows by index. Nothing is copied.

``N`` is the number of rows, ``B`` of one selection.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, TensorDataset, default_collate

from uncertain import checks


class Rows(NamedTuple):
    """Inputs and targets of some rows."""

    x: Any
    y: Any


@runtime_checkable
class Source(Protocol):
    """Training data as the loop sees it. Anything of this shape can be passed as ``data``.

    Attributes:
        weight: (N,) float64, one weight a row as given, or ``None`` where every row counts once.
    """

    weight: Tensor | None

    def __len__(self) -> int:
        """Return the number of rows."""

    def rows(self, index: Tensor) -> Rows:
        """Return the rows at ``index`` (B,), in that order."""

    def columns(self) -> Iterator[tuple[str, Any]]:
        """Yield every named tensor or array that can be looked at whole, for checks."""


class TensorSource:
    """Tensors (or NumPy arrays, or tuples and mappings of them) that share their first axis."""

    def __init__(self, x: Any, y: Any = None, weight: Any = None) -> None:
        self.x, self.y = _as_tensors("x", x), _as_tensors("y", y)
        self.weight = None if weight is None else torch.as_tensor(weight)
        leaves = dict(self.columns())
        if not leaves:
            raise ValueError("`data` should hold at least one tensor, got none.")
        self._length = checks.check_same_length(**leaves, weight=self.weight)

    def __len__(self) -> int:
        return self._length

    def rows(self, index: Int[Tensor, " B"]) -> Rows:
        """Return the rows at ``index``."""
        return Rows(_take(self.x, index), _take(self.y, index))

    def columns(self) -> Iterator[tuple[str, Any]]:
        """Yield every tensor with its name."""
        yield from _leaves("x", self.x)
        yield from _leaves("y", self.y)


class DatasetSource:
    """A map-style ``torch.utils.data.Dataset`` of ``(x, y)`` items, read row by row.

    ``__getitems__`` is used where the data set has it. What an item draws from the global
    generators of torch, NumPy or ``random`` follows from the seed and the step.
    """

    def __init__(self, dataset: Dataset[Any], weight: Any = None) -> None:
        if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
            raise TypeError(
                f"`data` should have a length and rows by index, got {type(dataset).__name__}: "
                "a stream can not be shuffled or resumed."
            )
        self.dataset = dataset
        self.weight = None if weight is None else torch.as_tensor(weight)
        checks.check_same_length(data=self, weight=self.weight)

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def rows(self, index: Int[Tensor, " B"]) -> Rows:
        """Return the rows at ``index``, collated as torch's ``DataLoader`` does."""
        places = index.tolist()
        if hasattr(self.dataset, "__getitems__"):
            items = self.dataset.__getitems__(places)
        else:
            items = [self.dataset[place] for place in places]
        if not isinstance(items[0], Sequence) or len(items[0]) != 2:
            count = len(items[0]) if isinstance(items[0], Sequence) else type(items[0]).__name__
            raise ValueError(
                f"`data` should have items (x, y), got {count}: wrap it, and pass weights as "
                "`from_dataset(dataset, weight=...)`."
            )
        return Rows(*default_collate(items))

    def columns(self) -> Iterator[tuple[str, Any]]:
        """Yield nothing: items are made one at a time."""
        return iter(())


def as_source(data: Any, name: str = "data") -> Source:
    """Return ``data`` as a ``Source``, or say what could be passed instead.

    Args:
        data: A tuple ``(x, y)`` or ``(x, y, weight)``, a map-style ``Dataset``, or a ``Source`` such
            as ``from_table`` gives.
        name: The argument's name, for errors.

    Returns:
        A source that shares the data's memory.

    Raises:
        TypeError: For what has no rows to select.
        ValueError: For no rows, lengths that differ, or a tuple of another size.
    """
    source = _as_source(data, name)
    checks.check_not_empty(name, source)
    return source


def from_dataset(dataset: Dataset[Any], *, weight: Any = None) -> Source:
    """Return a map-style ``Dataset`` with one weight a row.

    Args:
        dataset: Items ``(x, y)``. A ``TensorDataset`` is read as the tensors it holds.
        weight: (N,), at least 0.

    Returns:
        Data for ``fit``.

    Raises:
        TypeError: For an iterable data set, which can not be shuffled or resumed.
        ValueError: Where the weights are not as many as the items.

    Example:
        >>> from torch.utils.data import TensorDataset
        >>> data = TensorDataset(torch.zeros(3, 2), torch.ones(3))
        >>> from_dataset(data, weight=torch.tensor([1.0, 2.0, 1.0])).rows(torch.tensor([1])).y
        tensor([1.])
    """
    if type(dataset) is TensorDataset and len(dataset.tensors) == 2:
        return TensorSource(*dataset.tensors, weight)
    return DatasetSource(dataset, weight)


def _as_source(data: Any, name: str) -> Source:
    if isinstance(data, tuple):
        if not 2 <= len(data) <= 3:
            raise ValueError(
                f"`{name}` should be (x, y) or (x, y, weight), got a tuple of {len(data)}."
            )
        return TensorSource(*data)
    if type(data) is TensorDataset:
        return _as_source(data.tensors, name)
    if isinstance(data, Dataset):
        return from_dataset(data)
    if isinstance(data, Source):
        return data
    if type(data).__module__.partition(".")[0] == "pyarrow":
        raise TypeError(
            f"`{name}` is an Arrow {type(data).__name__}, which does not say which column is the "
            "target: pass `from_table(table, x=[...], y=...)`."
        )
    raise TypeError(
        f"`{name}` should be a tuple (x, y) or (x, y, weight), a Dataset or a Source, "
        f"got {type(data).__name__}."
    )


def _as_tensors(name: str, value: Any) -> Any:
    if value is None or isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray):
        # torch warns about arrays it could write to but must not; only those are copied.
        return torch.from_numpy(value if value.flags.writeable else value.copy())
    if isinstance(value, Mapping):
        return {key: _as_tensors(f"{name}.{key}", part) for key, part in value.items()}
    if isinstance(value, tuple):
        return tuple(_as_tensors(f"{name}.{place}", part) for place, part in enumerate(value))
    raise TypeError(
        f"`{name}` should be a tensor, an array, or a tuple or mapping of them, "
        f"got {type(value).__name__}."
    )


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif value is not None:
        parts = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, part in parts:
            yield from _leaves(f"{name}.{key}", part)


def _take(value: Any, index: Tensor) -> Any:
    if isinstance(value, Tensor):
        return value.index_select(0, index.to(value.device))
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {key: _take(part, index) for key, part in value.items()}
    return tuple(_take(part, index) for part in value)


def to_device(value: Any, device: torch.device) -> Any:
    """Move tensors, and tuples and mappings of them, leaving everything else as it is."""
    if isinstance(value, Tensor):
        return value if value.device == device else value.to(device, non_blocking=True)
    if isinstance(value, Mapping):
        return {key: to_device(part, device) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(to_device(part, device) for part in value)
    return value
