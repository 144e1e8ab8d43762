"""Results as Arrow tables, Parquet and JSON files: without loss, whole or not at all.

In Parquet NaN is null and infinity is infinity. JSON has neither: both are null there, and a key
``not_finite`` beside them keeps which infinity it was, so that a table read back is equal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uncertain import atomic, checks
from uncertain.evaluation.results import FORMAT, FORMAT_VERSION, Results, Row
from uncertain.evaluation.row import FIELDS, NAN

if TYPE_CHECKING:
    import pyarrow as pa

FLOATS = ("value", "low", "high", "level", "p_value")
INTEGERS = ("n", "n_groups")
REQUIRED = ("metric", "value", "low", "high", "kind", "source", "split", "variant", "n")
_MAY_BE_NAN = ("value", "low", "high")


def schema() -> pa.Schema:
    """Return the types of the columns.

    Example:
        >>> schema().field("n_groups").type
        DataType(int64)
    """
    import pyarrow as pa

    def kind(name: str) -> pa.DataType:
        if name in FLOATS:
            return pa.float64()
        return pa.int64() if name in INTEGERS else pa.string()

    nullable = {*_MAY_BE_NAN, "p_value", "n_groups"}
    return pa.schema([pa.field(name, kind(name), nullable=name in nullable) for name in FIELDS])


def to_arrow(results: Results) -> pa.Table:
    """Return a typed Arrow table with the metadata in its schema."""
    import pyarrow as pa

    columns = {
        name: [_absent(getattr(row, name)) for row in results.rows]
        for name in FIELDS
    }  # fmt: skip
    facts = {"format": FORMAT, "version": FORMAT_VERSION, "metadata": dict(results.metadata)}
    return pa.table(
        columns, schema=schema().with_metadata({"uncertain": json.dumps(facts, sort_keys=True)})
    )


def from_arrow(table: pa.Table) -> Results:
    """Return the results in a table that :func:`to_arrow` made.

    Raises:
        ValueError: Where columns are missing, or a newer version wrote it.
    """
    facts = json.loads((table.schema.metadata or {}).get(b"uncertain", b"{}"))
    _check_format(facts)
    known = [name for name in FIELDS if name in table.column_names]
    _check_columns(known)
    return Results((_row(record) for record in table.select(known).to_pylist()), _metadata(facts))


def to_json(results: Results) -> str:
    """Return JSON text; one row a line, so that a change of one figure is a change of one line."""
    rows = ",\n".join("  " + json.dumps(_record(row), ensure_ascii=False) for row in results.rows)
    facts = json.dumps(dict(results.metadata), ensure_ascii=False, sort_keys=True)
    head = f'"format": "{FORMAT}",\n"version": {FORMAT_VERSION},\n"metadata": {facts}'
    return f'{{\n{head},\n"rows": [\n{rows}\n]\n}}\n' if rows else f'{{\n{head},\n"rows": []\n}}\n'


def from_json(text: str) -> Results:
    """Return the results that :func:`to_json` wrote.

    Raises:
        ValueError: Where the text is not JSON, not ours, or of a newer version.
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not whole JSON ({error})") from error
    if not isinstance(data, dict) or not isinstance(data.get("rows"), list):
        raise ValueError("it has no list `rows`")
    _check_format(data)
    for record in data["rows"]:
        _check_columns(record)
    return Results((_row(record) for record in data["rows"]), _metadata(data))


def write(results: Results, path: atomic.StrPath, *, format: str | None = None) -> None:
    """Write a Parquet or JSON file, whole or not at all.

    Raises:
        ValueError: For another ending and no ``format``.
        OSError: Where the file can't be written.
    """
    if format is not None:
        checks.check_choice("format", format, ("parquet", "json"))
    if (format or _suffix(path)[1:]) == "json":
        atomic.write_text(path, to_json(results))
        return
    from uncertain.predictive.sealed import write_table

    with atomic.atomic_path(path) as temporary:
        write_table(to_arrow(results), temporary)


def read(path: atomic.StrPath) -> Results:
    """Read what :func:`write` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is empty, truncated, not ours, or of a newer version.
    """
    file = Path(path)
    suffix = _suffix(file)
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}: check the path and the current folder.")
    if file.stat().st_size == 0:
        raise ValueError(f"{file}: the file is empty (0 bytes).")
    try:
        if suffix == ".json":
            return from_json(file.read_text(encoding="utf-8"))
        from uncertain.predictive.sealed import read_table

        with file.open("rb") as stream:
            return from_arrow(read_table(stream))
    except Exception as error:  # a damaged file raises whatever its library trips over
        reason = str(error).strip().splitlines()[0].rstrip(".") if str(error) else "damaged"
        raise ValueError(f"{file}: it can't be read as results: {reason}.") from error


def _suffix(path: atomic.StrPath) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in (".parquet", ".json"):
        raise ValueError(
            f"`path` should end in .parquet or .json, got {str(path)!r}: results are kept as one "
            "of these."
        )
    return suffix


def _absent(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _record(row: Row) -> dict[str, Any]:
    record = {name: getattr(row, name) for name in FIELDS}
    infinite = {name: str(v) for name in _MAY_BE_NAN if math.isinf(v := record[name])}
    record |= {name: None for name in _MAY_BE_NAN if not math.isfinite(record[name])}
    return {**record, "not_finite": infinite} if infinite else record


def _row(record: Mapping[str, Any]) -> Row:
    infinite = record.get("not_finite") or {}
    known: dict[str, Any] = {name: record[name] for name in FIELDS if name in record}
    for name in _MAY_BE_NAN:
        if known[name] is None:
            known[name] = float(infinite.get(name, NAN))
    return Row(**known)


def _check_format(facts: Mapping[str, Any]) -> None:
    if facts.get("format", FORMAT) != FORMAT:
        raise ValueError(f"its format is {facts['format']!r}, not {FORMAT!r}")
    if int(facts.get("version", FORMAT_VERSION)) > FORMAT_VERSION:
        raise ValueError(
            f"version {facts['version']} wrote it and this one reads up to {FORMAT_VERSION}: "
            "upgrade uncertain-torch"
        )


def _check_columns(names: Any) -> None:
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise ValueError(f"columns are missing: {', '.join(missing)}")


def _metadata(facts: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in (facts.get("metadata") or {}).items()}
