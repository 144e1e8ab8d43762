"""NumPy's files are read to the bit, and what is missing or too much is said."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from uncertain.evaluation.array_files import read_npy, read_npz

ARRAYS = {
    "floats": np.random.default_rng(0).random((5, 3)).astype(np.float32),
    "turned": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "names": np.array(["a", "bcd"]),
    "number": np.array(3.5),
    "none": np.empty((0, 4)),
    "big": np.arange(4, dtype=">i4"),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_those_that_numpy_reads(save, tmp_path: Path) -> None:
    save(tmp_path / "a.npz", **ARRAYS)
    found = read_npz(tmp_path / "a.npz")
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.save(tmp_path / "a.npy", array)
        for read in (found[name], read_npy(tmp_path / "a.npy")):
            assert (read.dtype, read.shape) == (array.dtype, array.shape)
            np.testing.assert_array_equal(read, array)


def test_long_headers_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    with path.open("wb") as stream:
        np.lib.format.write_array(stream, np.arange(3), version=(2, 0))
    assert read_npy(path).tolist() == [0, 1, 2]


def test_files_that_are_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.arange(10.0))
    whole = path.read_bytes()
    for content, wanted, there in ((whole[:-8], 80, 72), (whole + b"x", 80, 81)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"asks for {wanted} bytes of values, and {there} are"):
            read_npy(path)
    path.write_bytes(whole.replace(b"(10,)", b"(-9,)"))
    with pytest.raises(ValueError, match="it says that it has shape"):
        read_npy(path)


def test_what_is_no_plain_array(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="pickled objects, which are never loaded"):
        read_npy(path)
    np.save(path, np.zeros(2, dtype=[("a", float)]))
    with pytest.raises(ValueError, match="holds records"):
        read_npy(path)
    with path.open("wb") as stream:
        np.lib.format.write_array(stream, np.arange(3), version=(3, 0))
    with pytest.raises(ValueError, match=r"version 3\.0 of the format"):
        read_npy(path)
    np.save(path, np.arange(3))
    with pytest.raises(ValueError, match="one bare array: rename it"):
        read_npz(path)
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(ValueError, match=r"'notes\.txt' in it is no array"):
        read_npz(tmp_path / "b.npz")


def test_a_changed_value_does_not_pass(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(100.0))
    content = path.read_bytes()
    place = content.index(np.float64(50.0).tobytes())
    path.write_bytes(content[: place + 6] + b"\x41" + content[place + 7 :])
    with pytest.raises(ValueError, match="Bad CRC-32"):
        read_npz(path)
