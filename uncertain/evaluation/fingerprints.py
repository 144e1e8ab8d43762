"""Hashes that say whether a network and its rows are the ones a file was made from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def network_hash(modules: Sequence[nn.Module]) -> str:
    """Return a hash of the modules' structure, parameters and buffers, on any device.

    Example:
        >>> a, b = nn.Linear(2, 1), nn.Linear(2, 1)
        >>> network_hash([a]) == network_hash([b])
        False
        >>> _ = b.load_state_dict(a.state_dict())
        >>> network_hash([a]) == network_hash([b])
        True
    """
    found = hashlib.sha256()
    for module in modules:
        found.update(repr(module).encode())
        for name, value in module.state_dict().items():
            found.update(name.encode())
            if isinstance(value, Tensor):
                _update(found, _bytes(value))
    return found.hexdigest()


class RowsHash:
    """A hash of rows that arrive in batches of any size.

    Rows that are no arrays, nor mappings or sequences of arrays, have none.

    Example:
        >>> whole, halves = RowsHash(), RowsHash()
        >>> whole.update(torch.arange(4.0))
        >>> for half in torch.arange(4.0).split(2):
        ...     halves.update(half)
        >>> whole.hexdigest() == halves.hexdigest()
        True
    """

    def __init__(self) -> None:
        self._columns: dict[str, Any] = {}
        self._known = True

    def update(self, rows: Any) -> None:
        """Add the next rows."""
        for name, values in _columns(rows):
            if values is None:
                self._known = False
                return
            array = _bytes(values)
            column = f"{name}:{array.dtype}:{array.shape[1:]}"
            _update(self._columns.setdefault(column, hashlib.sha256()), array)

    def hexdigest(self) -> str | None:
        """Return the hash of all rows so far, ``None`` where they cannot be hashed."""
        if not self._known:
            return None
        named = "".join(f"{name}={h.hexdigest()};" for name, h in sorted(self._columns.items()))
        return hashlib.sha256(named.encode()).hexdigest()


def _columns(rows: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(rows, Tensor) or (isinstance(rows, np.ndarray) and rows.dtype.kind in "fiub"):
        yield name, rows
    elif isinstance(rows, Mapping):
        for key in rows:
            yield from _columns(rows[key], f"{name}.{key}")
    elif isinstance(rows, (tuple, list)) and rows and not isinstance(rows[0], (str, bytes)):
        for i, part in enumerate(rows):
            yield from _columns(part, f"{name}.{i}")
    else:
        yield name, None


def _bytes(values: Any) -> NDArray[Any]:
    if not isinstance(values, Tensor):
        return np.asarray(values)
    host = values.detach().cpu()
    # NumPy has no bfloat16: its bits say as much.
    return (host.view(torch.int16) if host.dtype == torch.bfloat16 else host).numpy()


def _update(found: Any, array: NDArray[Any]) -> None:
    found.update(np.ascontiguousarray(array).data)
