"""Sets that no package carries: read from the folder that ``UNCERTAIN_DATA`` names, or fetched."""

import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain import checks
from uncertain.data.cache import cache_folder
from uncertain.data.sources import Source

VARIABLE = "UNCERTAIN_DATA"
"""The environment variable that names the folder of local data."""

CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


def local_folder(data_dir: str | os.PathLike[str] | None = None) -> Path | None:
    """Return the folder of local data: ``data_dir``, else what ``UNCERTAIN_DATA`` names, else none.

    Example:
        >>> local_folder("somewhere").name
        'somewhere'
    """
    chosen = data_dir if data_dir is not None else os.environ.get(VARIABLE)
    return Path(chosen) if chosen else None


def fetched_folder() -> Path:
    """Return the folder that ``uncertain data fetch`` fills.

    Example:
        >>> fetched_folder().name
        'data'
    """
    return cache_folder() / "data"


def found_folder(
    files: Iterable[str], data_dir: str | os.PathLike[str] | None = None
) -> Path | None:
    """Return the first folder that has all files: the local one, then that of fetched data.

    Args:
        files: Paths below the folder.
        data_dir: The local folder; by default what ``UNCERTAIN_DATA`` names.

    Returns:
        The folder; where none has them the local one, or ``None``.

    Example:
        >>> found_folder(["no such file"], "somewhere").name
        'somewhere'
    """
    files = list(files)
    local = local_folder(data_dir)
    for folder in (local, fetched_folder()):
        if folder is not None and not why_missing(files, folder):
            return folder
    return local


def check_files(
    name: str, files: Iterable[str], folder: Path | None, *, fetchable: bool = False
) -> None:
    """Raise ``FileNotFoundError`` where a set's files are not in the folder of local data.

    Args:
        name: The set's name.
        files: Paths below the folder.
        folder: The folder, or ``None`` where none was named.
        fetchable: Whether the command that fetches the set is the remedy to name first.

    Raises:
        FileNotFoundError: No folder is named, or it lacks a file: which, and how to name another.

    Example:
        >>> check_files("mnist_t10k", ["mnist_t10k.npz"], None)
        Traceback (most recent call last):
        FileNotFoundError: `mnist_t10k` needs mnist_t10k.npz in a folder of local data, got none: name the folder in the environment variable UNCERTAIN_DATA or as `data_dir`.
    """
    missing = why_missing(files, folder)
    if missing:
        fetch = f"run `uncertain data fetch {name}`, or " if fetchable else ""
        raise FileNotFoundError(
            f"`{name}` needs {' and '.join(files)} in a folder of local data, got {missing}: {fetch}"
            f"name the folder in the environment variable {VARIABLE} or as `data_dir`."
        )


def why_missing(files: Iterable[str], folder: Path | None) -> str:
    """Return what is missing in words, or an empty string."""
    if folder is None:
        return "none"
    absent = [file for file in files if not (folder / file).is_file()]
    return f"{folder} without {' and '.join(absent)}" if absent else ""


def read_uci(folder: Path, file: str) -> Source:
    """Read one UCI regression set with its standard splits."""
    with np.load(folder / file) as arrays:
        tests = tuple(arrays[f"test_{k}"].astype(np.int64) for k in range(int(arrays["n_splits"])))
        x, y = arrays["X"].astype(np.float64), arrays["y"].astype(np.float64)
    return Source(x, y, features=tuple(f"x{j}" for j in range(x.shape[1])), tests=tests)


def read_test_digits(folder: Path) -> Source:
    """Read MNIST's official 10,000 test digits; all of them are test rows."""
    return _all_test(folder / "mnist_t10k.npz", tuple(map(str, range(10))))


def read_test_letters(folder: Path) -> Source:
    """Read notMNIST's 10,000 test letters; all of them are test rows."""
    return _all_test(folder / "notmnist_t10k.npz", tuple("ABCDEFGHIJ"))


def read_cifar10(folder: Path) -> Source:
    """Read CIFAR-10: training rows 0 to 49,999, then the test rows; kept as bytes."""
    parts = [_decoded(folder / f"cifar10_{part}.parquet") for part in ("train", "test")]
    (train, train_labels), (test, test_labels) = parts
    return Source(
        x=np.concatenate([train, test]),
        y=np.concatenate([train_labels, test_labels]),
        classes=CIFAR10_CLASSES,
        tests=(np.arange(len(train), len(train) + len(test)),),
        lazy=True,
    )


def _all_test(path: Path, classes: tuple[str, ...]) -> Source:
    with np.load(path) as arrays:
        images, labels = arrays["x"][:, None], arrays["y"].astype(np.int64)
    return Source(images, labels, classes=classes, tests=(np.arange(len(images)),))


def _decoded(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    checks.require("PIL", "benchmark")
    from PIL import Image
    from pyarrow import parquet

    table = parquet.read_table(path)
    images = np.empty((table.num_rows, 3, 32, 32), np.uint8)
    for row, jpeg in enumerate(table["jpeg"]):
        with Image.open(io.BytesIO(jpeg.as_py())) as image:
            images[row] = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    return images, table["label"].to_numpy().astype(np.int64)
