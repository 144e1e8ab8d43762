"""Sealed tables come back, and damage to what Parquet does not check is found."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from uncertain.predictive.sealed import SEAL, check_seal, read_table, sealed, write_table

TABLE = pa.table(
    {
        "loc": pa.array([1.0, 2.0]),
        "name": ["a", "b"],
        "probs": pa.FixedSizeListArray.from_arrays(pa.array([0.5] * 6), 3),
    }
).replace_schema_metadata({"uncertain": "{}"})


def test_tables_come_back(tmp_path: Path) -> None:
    write_table(TABLE, tmp_path / "t.parquet")
    with (tmp_path / "t.parquet").open("rb") as stream:
        found = read_table(stream)
    assert found.to_pydict() == TABLE.to_pydict()
    assert SEAL in found.schema.metadata
    check_seal(found.schema)


def test_a_renamed_column_and_changed_facts_are_found() -> None:
    schema = sealed(TABLE.schema)
    for other in (
        schema.set(0, schema.field(0).with_name("1oc")),
        schema.set(0, schema.field(0).with_type(pa.int64())),
        schema.with_metadata({**schema.metadata, b"uncertain": b"[]"}),
    ):
        with pytest.raises(ValueError, match="its columns are not those that were written"):
            check_seal(other)


def test_files_of_others_have_no_seal(tmp_path: Path) -> None:
    parquet.write_table(TABLE, tmp_path / "t.parquet")
    with (tmp_path / "t.parquet").open("rb") as stream:
        assert read_table(stream).num_rows == 2


def test_a_changed_page_is_found(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    values = np.random.default_rng(0).random(9)
    write_table(pa.table({"x": values}), path)
    content, middle = path.read_bytes(), np.sort(values)[4].tobytes()
    place = content.index(middle)
    path.write_bytes(content[: place + 3] + b"\x00\x01" + content[place + 5 :])
    with path.open("rb") as stream, pytest.raises(OSError, match="CRC checksum verification"):
        read_table(stream)
