"""Parquet files whose damage shows: checksums on pages, and a seal on what the columns are.

Parquet can keep a checksum of every page, but none of the footer, where names, types and metadata
are: a column that is renamed by a flipped bit would silently be missing. So the schema carries the
hash of itself. Files of others have no seal and are read as they are; checksums that they do have
are looked at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

SEAL = b"uncertain.seal"
"""Metadata key of the schema's own hash."""


def sealed(schema: pa.Schema) -> pa.Schema:
    """Return the schema with its hash in its metadata.

    Example:
        >>> import pyarrow as pa
        >>> check_seal(sealed(pa.schema([("weight", pa.float64())])))
        >>> check_seal(sealed(pa.schema([("weight", pa.float64())])).remove(0))
        Traceback (most recent call last):
        ValueError: its columns are not those that were written: it is damaged
    """
    return schema.with_metadata({**(schema.metadata or {}), SEAL: _hash(schema)})


def check_seal(schema: pa.Schema) -> None:
    """Raise ``ValueError`` where a sealed schema is not what was written.

    Raises:
        ValueError: The hash does not fit.
    """
    seal = (schema.metadata or {}).get(SEAL)
    if seal is not None and seal != _hash(schema):
        raise ValueError("its columns are not those that were written: it is damaged")


def write_table(table: pa.Table, path: Any) -> None:
    """Write a sealed table with checksums."""
    import pyarrow.parquet as parquet

    table = table.replace_schema_metadata(sealed(table.schema).metadata)
    parquet.write_table(table, path, write_page_checksum=True)


def read_table(stream: IO[bytes] | Any) -> pa.Table:
    """Read a table and check all that can be checked.

    Raises:
        ValueError: A page or the schema is damaged (pyarrow's errors are its own).
    """
    import pyarrow.parquet as parquet

    file = parquet.ParquetFile(stream, page_checksum_verification=True)
    check_seal(file.schema_arrow)
    table = file.read()
    if table.num_rows != file.metadata.num_rows:
        raise ValueError(
            f"it holds {table.num_rows} rows and says that it holds {file.metadata.num_rows}"
        )
    table.validate(full=True)
    return table


def read_pieces(stream: IO[bytes] | Any, rows: int) -> Iterator[pa.Table]:
    """Yield a table a few rows at a time, checked as :func:`read_table` does.

    Pages are read as they are needed, so that a row group larger than memory is no obstacle.

    Args:
        stream: An open file.
        rows: At a time.

    Raises:
        ValueError: A page or the schema is damaged (pyarrow's errors are its own).
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    file = parquet.ParquetFile(
        stream, page_checksum_verification=True, pre_buffer=False, buffer_size=1 << 16
    )
    check_seal(file.schema_arrow)
    seen = 0
    for batch in file.iter_batches(batch_size=rows, use_threads=False):
        table = pa.Table.from_batches([batch], schema=file.schema_arrow)
        table.validate(full=True)
        seen += table.num_rows
        yield table
    if seen != file.metadata.num_rows:
        raise ValueError(f"it holds {seen} rows and says that it holds {file.metadata.num_rows}")


def _hash(schema: pa.Schema) -> bytes:
    columns = [f"{field.name}\0{_kind(field.type)}\0{field.nullable}" for field in schema]
    facts = sorted((k, v) for k, v in (schema.metadata or {}).items() if k != SEAL)
    whole = repr((columns, facts)).encode()
    return hashlib.sha256(whole).hexdigest().encode()


def _kind(kind: pa.DataType) -> str:
    """A type's name, without what Parquet calls the entries of a list."""
    import pyarrow as pa

    if pa.types.is_fixed_size_list(kind):
        return f"{kind.list_size} of {_kind(kind.value_type)}"
    return str(kind)
