"""NumPy's own files, read whole or refused: sizes, checksums and headers are held to what is there.

NumPy reads as much of a file as its header asks for. A damaged header that asks for less would be
believed, and the checksum that an ``.npz`` keeps of every array is looked at only when all of the
array is read. So the header is read first and must account for every byte. Nothing is unpickled.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SUFFIX = ".npy"
_CHUNK = 1 << 24


def read_npy(path: Path) -> NDArray[Any]:
    """Return the array in an ``.npy`` file.

    Raises:
        ValueError: The file is not whole, or holds Python objects.
    """
    with path.open("rb") as stream:
        return _read(stream, path.stat().st_size)


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays in an ``.npz`` file by name.

    Raises:
        ValueError: The file is not whole, or holds Python objects or one bare array.
    """
    with path.open("rb") as stream:
        if stream.read(6) == np.lib.format.MAGIC_PREFIX:
            raise ValueError("it holds one bare array: rename it to .npy")
        stream.seek(0)
        try:
            with zipfile.ZipFile(stream) as archive:
                return {
                    member.filename.removesuffix(_SUFFIX): _member(archive, member)
                    for member in archive.infolist()
                }
        except zipfile.BadZipFile as error:
            raise ValueError(str(error)) from error


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    if not member.filename.endswith(_SUFFIX):
        raise ValueError(f"{member.filename!r} in it is no array")
    with archive.open(member) as stream:
        array = _read(stream, member.file_size)
        # Reading past the end is what makes `zipfile` compare the checksum.
        if stream.read(1):
            raise ValueError(f"{member.filename!r} in it is longer than it says")
    return array


def _read(stream: Any, size: int) -> NDArray[Any]:
    """Read an array that should fill ``size`` bytes, its header included."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"version {version[0]}.{version[1]} of the format holds no plain array")
    if dtype.hasobject:
        raise ValueError("it holds pickled objects, which are never loaded: save plain arrays")
    if dtype.kind not in "biufcUSmM":
        raise ValueError(f"it holds records of dtype {dtype}: save plain arrays")
    entries = 1
    for length in shape:
        if length < 0:
            raise ValueError(f"it says that it has shape {shape}")
        entries *= int(length)
    wanted, there = entries * dtype.itemsize, size - stream.tell()
    if wanted != there:
        raise ValueError(f"its header asks for {wanted} bytes of values, and {there} are there")
    values = bytearray(wanted)
    view, done = memoryview(values), 0
    while done < wanted:
        part = stream.read(min(_CHUNK, wanted - done))
        if not part:
            raise ValueError(f"it ends after {done} of {wanted} bytes of values")
        view[done : done + len(part)] = part
        done += len(part)
    array = np.frombuffer(values, dtype) if wanted else np.empty(entries, dtype)
    return array.reshape(shape, order="F" if fortran else "C")
