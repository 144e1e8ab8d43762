"""What detectors read: features, logits and the last linear layer; in memory and as Parquet.

``N`` rows, ``D`` features, ``C`` classes. No torch here: a file that was recorded once is read
anywhere.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uncertain import checks
from uncertain.atomic import StrPath, atomic_path

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT_VERSION = 1
"""Version of the layout; a reader refuses newer ones."""

_KEY = b"uncertain.collected"
_LATE_KEY = b"uncertain.collected.data"
_FOOTER_LIMIT = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Collected:
    r"""Penultimate features :math:`h` and logits :math:`z = W h + b` of N rows, of one network.

    Attributes:
        features: (N, D) float16, float32 or float64: what goes into the last linear layer.
        logits: (N, C) the same: what comes out of it, before any softmax.
        weight: (C, D) of the last layer.
        bias: (C,) of the last layer, zeros where it has none.
        labels: (N,) class indices, ``None`` where the data had none. Those of strange rows may lie
            outside of the network's classes.
        row_ids: (N,) whole numbers or strings, ``None`` where the data had none.
        facts: Where it comes from: ``network`` (a hash of modules and weights), ``layer``,
            ``seed``, ``dtype``, ``versions`` and, in a file, ``data`` (a hash of the rows).

    Raises:
        ValueError: Where shapes disagree or a value is NaN or infinite.
        TypeError: Where an array holds no floating numbers.

    Example:
        >>> rows = Collected(np.ones((5, 2)), np.ones((5, 3)), np.ones((3, 2)), -np.ones(3))
        >>> len(rows), len(rows.select([0, 4]))
        (5, 2)
    """

    features: NDArray[Any]
    logits: NDArray[Any]
    weight: NDArray[Any]
    bias: NDArray[Any]
    labels: NDArray[Any] | None = None
    row_ids: NDArray[Any] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("features", "logits", "weight", "bias"):
            object.__setattr__(self, name, _floating(name, getattr(self, name)))
        checks.check_shape("features", self.features, ("N", "D"))
        checks.check_not_empty("features", self.features)
        checks.check_shape("logits", self.logits, (len(self.features), "C"))
        classes = self.logits.shape[1]
        checks.check_shape(
            "weight", self.weight, (classes, self.features.shape[1]), hint="(classes, features)"
        )
        checks.check_shape("bias", self.bias, (classes,))
        if self.labels is not None:
            labels = np.asarray(self.labels)
            checks.check_shape("labels", labels, (len(self),))
            if labels.dtype.kind not in "iub":
                raise TypeError(f"`labels` should be whole numbers, got dtype {labels.dtype}.")
            object.__setattr__(self, "labels", labels.astype(np.int64))
        if self.row_ids is not None:
            object.__setattr__(self, "row_ids", np.asarray(self.row_ids))
            checks.check_same_length(features=self.features, row_ids=self.row_ids)

    def __len__(self) -> int:
        return len(self.features)

    @property
    def class_labels(self) -> NDArray[np.int64]:
        """Return the labels, which every row has and which are all classes of the network.

        Raises:
            ValueError: There are none, or one is no class.
        """
        if self.labels is None:
            raise ValueError(
                "`bank` should have labels, got none: collect an (x, y) pair or a split."
            )
        checks.check_labels("bank.labels", self.labels, self.logits.shape[1])
        return self.labels

    def select(self, rows: Any) -> Collected:
        """Return some rows, by a slice, indices or a mask, of the same network."""
        index = rows if isinstance(rows, slice) else np.asarray(rows)
        return Collected(
            self.features[index],
            self.logits[index],
            self.weight,
            self.bias,
            None if self.labels is None else self.labels[index],
            None if self.row_ids is None else self.row_ids[index],
            self.facts,
        )


def load_collected(path: StrPath) -> Collected:
    """Read what :func:`uncertain.evaluation.collect` wrote.

    Raises:
        FileNotFoundError: Where there is no such file.
        ValueError: Where it is no Parquet file, is cut off, of a newer format or another kind.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "features.parquet"
        >>> rows = Collected(np.ones((5, 2)), np.ones((5, 3)), np.ones((3, 2)), -np.ones(3))
        >>> save_collected(path, rows)
        >>> load_collected(path).bias
        array([-1., -1., -1.])
    """
    import pyarrow as pa

    with _opened(path) as parquet:
        facts = _facts(parquet, path)
        try:
            table = parquet.read()
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(path, error) from error
    columns = {name: _values(table, name) for name in table.column_names}
    try:
        layer = {name: _decoded(facts.pop(name)) for name in ("weight", "bias")}
        return Collected(
            columns["features"],
            columns["logits"],
            **layer,
            labels=columns.get("label"),
            row_ids=columns.get("row_id"),
            facts=facts,
        )
    except (KeyError, ValueError) as error:
        raise ValueError(f"`{path}` should hold collected features: {error}") from error


def read_facts(path: StrPath) -> dict[str, Any]:
    """Return the facts of a file without reading its rows."""
    with _opened(path) as parquet:
        facts = _facts(parquet, path)
    return {name: value for name, value in facts.items() if name not in ("weight", "bias")}


def save_collected(path: StrPath, collected: Collected) -> None:
    """Write collected features to a Parquet file, whole or not at all.

    Raises:
        OSError: Where ``path`` cannot be written.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "features.parquet"
        >>> half = np.ones((5, 2), np.float16)
        >>> save_collected(path, Collected(half, half, np.eye(2), np.zeros(2)))
        >>> load_collected(path).features.dtype
        dtype('float16')
    """
    with collected_writer(path) as (write, _):
        write(collected)


@contextlib.contextmanager
def collected_writer(
    path: StrPath,
) -> Iterator[tuple[Callable[[Collected], None], dict[str, Any]]]:
    """Give a function that appends rows to a file, and a dict for facts that are known at the end.

    The last layer and the facts are those of the first rows; the file appears when the block ends
    without an error.
    """
    import pyarrow.parquet as pq

    with atomic_path(path) as temporary, contextlib.ExitStack() as stack:
        opened: list[Any] = []
        late: dict[str, Any] = {}

        def write(rows: Collected) -> None:
            table = _table(rows)
            if not opened:
                opened.append(
                    stack.enter_context(
                        # Checksums: a damaged page must not become other numbers.
                        pq.ParquetWriter(
                            temporary, table.schema, compression="zstd", write_page_checksum=True
                        )
                    )
                )
            opened[0].write_table(table.replace_schema_metadata(opened[0].schema.metadata))

        yield write, late
        if opened and late:
            opened[0].add_key_value_metadata({_LATE_KEY: json.dumps(late).encode()})


def _table(rows: Collected) -> pa.Table:
    import pyarrow as pa

    columns = {"features": _list(rows.features), "logits": _list(rows.logits)}
    if rows.labels is not None:
        columns["label"] = pa.array(rows.labels)
    if rows.row_ids is not None:
        ids = rows.row_ids
        columns["row_id"] = pa.array(ids.tolist() if ids.dtype.kind in "UO" else ids)
    layer = {"weight": _encoded(rows.weight), "bias": _encoded(rows.bias)}
    facts = {"format": FORMAT_VERSION, **rows.facts, **layer}
    return pa.table(columns).replace_schema_metadata({_KEY: json.dumps(facts).encode()})


def _list(values: NDArray[Any]) -> Any:
    import pyarrow as pa

    flat = np.ascontiguousarray(values).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), values.shape[1])


def _values(table: pa.Table, name: str) -> NDArray[Any]:
    import pyarrow as pa

    column = table.column(name)
    if column.null_count:
        raise ValueError(f"`{name}` should have no missing rows, got {column.null_count}.")
    if not pa.types.is_fixed_size_list(column.type):
        return np.asarray(column.to_numpy())
    chunks = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    return np.concatenate(chunks).reshape(len(column), column.type.list_size)


def _encoded(values: NDArray[Any]) -> dict[str, Any]:
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return {
        "dtype": str(values.dtype.name),
        "shape": list(values.shape),
        "base64": base64.b64encode(little.tobytes()).decode(),
    }


def _decoded(entry: Mapping[str, Any]) -> NDArray[Any]:
    raw = base64.b64decode(entry["base64"])
    dtype = np.dtype(entry["dtype"]).newbyteorder("<")
    return np.frombuffer(raw, dtype).astype(entry["dtype"]).reshape(entry["shape"])


@contextlib.contextmanager
def _opened(path: StrPath) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Opened here: a FileNotFoundError of Python's own.
    with open(path, "rb") as stream:
        try:
            # The last layer of a network with many classes makes a long footer.
            parquet = pq.ParquetFile(
                stream, thrift_string_size_limit=_FOOTER_LIMIT, page_checksum_verification=True
            )
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(path, error) from error
        yield parquet


def _facts(parquet: Any, path: StrPath) -> dict[str, Any]:
    stored = parquet.metadata.metadata or {}
    if _KEY not in stored:
        raise ValueError(
            f"`{path}` should hold collected features, got a Parquet file of another kind: write it "
            "with `uncertain.evaluation.collect(network, data, out=...)`."
        )
    facts: dict[str, Any] = json.loads(stored[_KEY]) | json.loads(stored.get(_LATE_KEY, b"{}"))
    if facts.get("format", 0) > FORMAT_VERSION:
        raise ValueError(
            f"`{path}` should have format {FORMAT_VERSION} or older, got {facts['format']}: update "
            "the library."
        )
    return facts


def _unreadable(path: StrPath, error: Exception) -> ValueError:
    return ValueError(
        f"`{path}` should be a Parquet file of collected features, got one that cannot be read "
        f"({error}): it is cut off or of another kind."
    )


def _floating(name: str, value: Any) -> NDArray[Any]:
    array = np.asarray(value)
    if array.dtype.kind != "f":
        raise TypeError(f"`{name}` should hold floating numbers, got dtype {array.dtype}.")
    checks.check_finite(name, array)
    return array
