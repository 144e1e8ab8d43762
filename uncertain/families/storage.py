"""Predictions as an Arrow table: one column a parameter, no loss, what it is in the metadata.

Arrays wider than a number become ``FixedSizeList`` columns of their flattened trailing axes. The
schema metadata key ``uncertain.distribution`` holds JSON: the format version, the family, the
members, the independent targets, every column's dtype and trailing shape, and parameters that all
rows share.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks
from .distribution import ArrayDistribution
from .structure import Array

if TYPE_CHECKING:
    import pyarrow

FORMAT_VERSION = 1
"""Version of the table layout."""

METADATA_KEY = b"uncertain.distribution"
"""Where the schema says what the columns are."""

WEIGHTS = "mixture_weights"


def to_table(d: ArrayDistribution) -> pyarrow.Table:
    """Return the predictions as a table of N rows, without loss.

    Example:
        >>> d = ArrayDistribution("poisson", {"rate": np.ones(2, dtype=np.float32)})
        >>> str(to_table(d).schema.field("rate").type)
        'float'
    """
    import pyarrow as pa

    shared = {p.name for p in d.form if p.shared}
    columns = {name: value for name, value in d.parameters.items() if name not in shared}
    if d.mixture_weights is not None:
        columns[WEIGHTS] = d.mixture_weights
    about = {
        "format": FORMAT_VERSION,
        "family": d.family,
        "event_ndim": d.event_ndim,
        "columns": {n: {"dtype": v.dtype.name, "shape": v.shape[1:]} for n, v in columns.items()},
        "shared": {
            name: {"dtype": d.parameters[name].dtype.name, "values": d.parameters[name].tolist()}
            for name in sorted(shared)
        },
    }
    arrays = [_column(value) for value in columns.values()]
    fields = [pa.field(n, a.type, nullable=False) for n, a in zip(columns, arrays, strict=True)]
    schema = pa.schema(fields, metadata={METADATA_KEY: json.dumps(about).encode()})
    return pa.Table.from_arrays(arrays, schema=schema)


def from_table(table: pyarrow.Table) -> ArrayDistribution:
    """Return the predictions that :func:`to_table` wrote; further columns are left alone.

    Raises:
        ValueError: Where the metadata are missing, of a newer format, or do not fit the columns.

    Example:
        >>> d = ArrayDistribution("poisson", {"rate": np.ones(2)})
        >>> from_table(to_table(d)).parameters["rate"]
        array([1., 1.])
    """
    raw = (table.schema.metadata or {}).get(METADATA_KEY)
    if raw is None:
        raise ValueError(
            f"`table` should say what it holds under the schema metadata key "
            f"{METADATA_KEY.decode()!r}, got none: write it with `to_table`."
        )
    about = json.loads(raw)
    if about["format"] > FORMAT_VERSION:
        raise ValueError(
            f"`table` should have format {FORMAT_VERSION} or older, got {about['format']}: "
            "update the library."
        )
    missing = [name for name in about["columns"] if name not in table.column_names]
    if missing:
        raise ValueError(f"`table` should have the columns {missing}, got {table.column_names}.")
    arrays = {
        name: _read(name, table.column(name), what) for name, what in about["columns"].items()
    }
    weights = arrays.pop(WEIGHTS, None)
    for name, what in about["shared"].items():
        arrays[name] = np.array(what["values"], dtype=what["dtype"])
    return ArrayDistribution(about["family"], arrays, weights, about["event_ndim"])


def _column(value: Array) -> Any:
    import pyarrow as pa

    native = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("="))
    if native.ndim == 1:
        return pa.array(native)
    size = int(np.prod(native.shape[1:]))
    return pa.FixedSizeListArray.from_arrays(pa.array(native.reshape(-1)), size)


def _read(name: str, column: Any, what: dict[str, Any]) -> Array:
    import pyarrow as pa

    if column.null_count:
        raise ValueError(f"`{name}` should have no missing rows, got {column.null_count}.")
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # combine_chunks keeps a chunked array when it is empty.
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    flat = array.flatten() if pa.types.is_fixed_size_list(array.type) else array
    values = flat.to_numpy(zero_copy_only=False)
    shape = (len(array), *what["shape"])
    checks.check_range(f"{name} size", values.size, int(np.prod(shape)), int(np.prod(shape)))
    return np.asarray(values, dtype=what["dtype"]).reshape(shape)
