"""Arrow tables as training data: columns stay where they are, only batches are assembled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Int
from torch import Tensor

from uncertain import checks
from uncertain.fit.sources import Rows, Source


def from_table(
    table: pa.Table,
    *,
    x: Sequence[str] | str,
    y: str | Sequence[str] | None,
    weight: str | None = None,
    dtype: torch.dtype | None = None,
) -> Source:
    """Return the chosen columns of an Arrow table as data for ``fit``.

    Numeric columns without nulls are read in place; only the rows of a batch are copied. A column in
    several chunks is gathered by Arrow batch by batch. A column of lists of one fixed size is a
    vector a row.

    Args:
        table: Numeric, boolean or fixed-size-list columns.
        x: The input columns: a list of D names gives x of shape (N, D); one name gives that column
            alone, (N,) or (N, size of its lists).
        y: The target column, or a list of them; ``None`` for no target.
        weight: The column of row weights, at least 0.
        dtype: Of floating columns of x and y; torch's default dtype by default. Columns of whole
            numbers become int64, unless they stand beside floating ones.

    Returns:
        Data for ``fit``.

    Raises:
        TypeError: For a column that is not numeric.
        ValueError: For an unknown column, nulls, or no rows.

    Example:
        >>> table = pa.table({"age": [30.0, 40.0], "dose": [1.0, 2.0], "outcome": [0, 1]})
        >>> from_table(table, x=["age", "dose"], y="outcome").rows(torch.tensor([1]))
        Rows(x=tensor([[40.,  2.]]), y=tensor([1]))
    """
    return TableSource(table, x, y, weight, dtype or torch.get_default_dtype())


class TableSource:
    """Columns of one table, selected by row."""

    def __init__(
        self,
        table: pa.Table,
        x: Sequence[str] | str,
        y: str | Sequence[str] | None,
        weight: str | None,
        dtype: torch.dtype,
    ) -> None:
        self._length = int(table.num_rows)
        self._dtype = dtype
        self._x = _columns(table, x)
        self._y = None if y is None else _columns(table, y)
        self._flat = isinstance(x, str), isinstance(y, str)
        self.weight = None
        if weight is not None:
            column = _columns(table, weight)[weight]
            self.weight = torch.from_numpy(np.array(_gather(column, slice(None)), dtype=np.float64))

    def __len__(self) -> int:
        return self._length

    def rows(self, index: Int[Tensor, " B"]) -> Rows:
        """Return the rows at ``index`` as tensors."""
        places = index.cpu().numpy()
        x = self._assemble(self._x, places, flat=self._flat[0])
        if self._y is None:
            return Rows(x, None)
        return Rows(x, self._assemble(self._y, places, flat=self._flat[1]))

    def columns(self) -> Iterator[tuple[str, Any]]:
        """Yield each column that lies in one piece; one in chunks is gathered for the look."""
        for columns in (self._x, self._y or {}):
            for name, column in columns.items():
                yield name, _gather(column, slice(None))

    def _assemble(self, columns: dict[str, Any], places: Any, *, flat: bool) -> Tensor:
        parts = [_gather(column, places) for column in columns.values()]
        if not flat:
            parts = [part[:, None] if part.ndim == 1 else part for part in parts]
        values = parts[0] if flat else np.concatenate(parts, axis=1)
        kind = self._dtype if values.dtype.kind == "f" else torch.int64
        if not values.flags.writeable:  # Arrow's own memory
            values = values.copy()
        return torch.from_numpy(values).to(kind)


def _columns(table: pa.Table, names: Sequence[str] | str) -> dict[str, Any]:
    wanted = [names] if isinstance(names, str) else list(names)
    if not wanted:
        raise ValueError("`x` should name at least one column, got none.")
    for name in wanted:
        checks.check_choice("column", name, table.column_names)
    return {name: _column(name, table.column(name)) for name in wanted}


def _column(name: str, column: pa.ChunkedArray) -> Any:
    """Return a column as a NumPy view where it lies in one piece, else as it is."""
    kind = column.type.value_type if pa.types.is_fixed_size_list(column.type) else column.type
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    if not numeric:
        raise TypeError(
            f"column `{name}` should be numeric, got {column.type}: encode it as numbers."
        )
    if column.null_count:
        raise ValueError(
            f"column `{name}` should have no nulls, got {column.null_count} of {len(column)} rows: "
            "fill or drop them."
        )
    return _as_array(column.chunk(0)) if column.num_chunks == 1 else column


def _gather(column: Any, places: Any) -> Any:
    if isinstance(column, np.ndarray):
        return column[places]
    if not isinstance(places, slice):
        column = column.take(pa.array(places))
    return _as_array(column.combine_chunks())


def _as_array(column: Any) -> Any:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_fixed_size_list(column.type):
        return _as_array(column.flatten()).reshape(len(column), column.type.list_size)
    return column.to_numpy(zero_copy_only=False)
