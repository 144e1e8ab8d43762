"""The formats that published image sets come in, read without pickles and without trusting a length.

Axis letters: N images. A file that is not what it should be raises ``ValueError`` naming it.
"""

import gzip
import io
import math
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain import checks
from uncertain.data.sources import Source

_UNSIGNED_BYTES = 8
_PIXELS = 3 * 32 * 32


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read a gzipped IDX file of unsigned bytes: MNIST's format.

    Two zero bytes, the type (8), the number of dimensions, each dimension as a big-endian 32-bit
    integer, then the values.

    Args:
        path: The file.

    Returns:
        The array.

    Raises:
        ValueError: It is no such file.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "labels.gz"
        >>> _ = file.write_bytes(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9])))
        >>> read_idx(file).tolist()
        [7, 9]
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is no gzip file ({error}): fetch it again.") from error
    dimensions = content[3] if content[:3] == bytes([0, 0, _UNSIGNED_BYTES]) else 0
    start = 4 + 4 * dimensions
    whole = dimensions and len(content) >= start
    shape = tuple(np.frombuffer(content[4:start], ">u4").tolist()) if whole else ()
    if not whole or len(content) - start != math.prod(shape):
        raise ValueError(
            f"{path} is no IDX file of unsigned bytes: its header says {shape}, and "
            f"{max(len(content) - start, 0)} bytes follow."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_mnist_like(folder: Path, name: str, classes: tuple[str, ...]) -> Source:
    """Read four IDX files: training rows first, then the test rows; kept as bytes."""
    parts = []
    for part in ("train", "t10k"):
        images = read_idx(folder / name / f"{part}-images-idx3-ubyte.gz")
        labels = read_idx(folder / name / f"{part}-labels-idx1-ubyte.gz")
        if images.ndim != 3 or labels.shape != (len(images),):
            raise ValueError(
                f"{folder / name} should hold (N, H, W) images and N labels of {part}, got "
                f"{images.shape} and {labels.shape}."
            )
        parts.append((images[:, None], labels))
    return _joined(parts, classes, where=folder / name)


def read_cifar(folder: Path, file: str, classes: tuple[str, ...] = ()) -> Source:
    """Read CIFAR's binary version from its archive; no classes means CIFAR-100's fine ones.

    A record is a label byte (CIFAR-100: the coarse label, then the fine one) and 3 x 32 x 32 bytes.
    """
    path = folder / file
    members = _members(path, suffixes=(".bin", ".txt"))
    labels = 1 if classes else 2
    if not classes:
        classes = tuple(_member(members, "fine_label_names.txt", path).decode().split())
    train = sorted(name for name in members if "batch_" in name or name == "train.bin")
    train = [name for name in train if name.startswith(("data_batch", "train"))]
    test = "test_batch.bin" if "test_batch.bin" in members else "test.bin"
    if not train:
        raise ValueError(f"{path} holds no data_batch_*.bin and no train.bin.")
    records = [
        np.concatenate([_records(_member(members, name, path), labels, path) for name in names])
        for names in (train, [test])
    ]
    parts = [(rows[:, labels:].reshape(-1, 3, 32, 32), rows[:, labels - 1]) for rows in records]
    return _joined(parts, classes, where=path)


def read_svhn(folder: Path) -> Source:
    """Read SVHN's cropped digits from their MATLAB files; its label 10 is the digit 0."""
    from scipy import io as scipy_io

    parts = []
    for part in ("train", "test"):
        path = folder / "svhn" / f"{part}_32x32.mat"
        try:
            arrays = scipy_io.loadmat(path, variable_names=("X", "y"))
            images, labels = arrays["X"].transpose(3, 2, 0, 1), arrays["y"].reshape(-1) % 10
        except Exception as error:  # whatever a damaged file makes the reader raise
            raise ValueError(
                f"{path} is no MATLAB file with X and y ({type(error).__name__}): fetch it again."
            ) from error
        parts.append((np.ascontiguousarray(images), labels))
    return _joined(parts, tuple(map(str, range(10))), where=folder / "svhn")


def _joined(
    parts: list[tuple[NDArray[Any], NDArray[Any]]], classes: tuple[str, ...], *, where: Path
) -> Source:
    (train, train_labels), (test, test_labels) = parts
    labels = np.concatenate([train_labels, test_labels]).astype(np.int64)
    try:
        checks.check_labels(f"labels of {where}", labels, len(classes))
    except ValueError as error:
        raise ValueError(f"{error} Fetch it again.") from error
    return Source(
        x=np.concatenate([train, test]),
        y=labels,
        classes=classes,
        tests=(np.arange(len(train), len(train) + len(test)),),
        lazy=True,
    )


def _members(path: Path, *, suffixes: tuple[str, ...]) -> Mapping[str, bytes]:
    """Return the regular files of an archive by their last name; nothing is unpacked to disk."""
    found = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                if content is not None and member.name.endswith(suffixes):
                    found[member.name.rpartition("/")[2]] = content.read()
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is no archive ({error}): fetch it again.") from error
    return found


def _member(members: Mapping[str, bytes], name: str, path: Path) -> bytes:
    if name not in members:
        raise ValueError(f"{path} holds no {name}.")
    return members[name]


def _records(content: bytes, labels: int, path: Path) -> NDArray[np.uint8]:
    size = labels + _PIXELS
    if not content or len(content) % size:
        raise ValueError(
            f"{path} should hold records of {size} bytes, got a file of {len(content)} bytes."
        )
    return np.frombuffer(content, np.uint8).reshape(-1, size)


def map_npy_in_tar(path: Path, name: str) -> NDArray[Any]:
    """Map one array of an uncompressed archive into memory, without unpacking the archive.

    Args:
        path: A ``.tar`` of ``.npy`` files.
        name: The member's last name.

    Returns:
        A read-only array whose values are read when they are used.

    Raises:
        ValueError: No such archive, no such member, or a member that is no plain array.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            member = next((m for m in archive if m.name.rpartition("/")[2] == name), None)
    except tarfile.TarError as error:
        raise ValueError(f"{path} is no uncompressed archive ({error}): fetch it again.") from error
    if member is None:
        raise ValueError(f"{path} holds no {name}.")
    with path.open("rb") as file:
        file.seek(member.offset_data)
        head = io.BytesIO(file.read(min(member.size, 4096)))
    try:
        version = np.lib.format.read_magic(head)
        read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
            version, np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read(head)
        if dtype.hasobject or head.tell() + math.prod(shape) * dtype.itemsize != member.size:
            raise ValueError(f"{shape} {dtype} in {member.size} bytes")
    except ValueError as error:
        raise ValueError(f"{name} in {path} is no plain array ({error}).") from error
    order = "F" if fortran else "C"
    start = member.offset_data + head.tell()
    return np.memmap(path, dtype=dtype, mode="r", offset=start, shape=shape, order=order)  # type: ignore[call-overload, no-any-return]
