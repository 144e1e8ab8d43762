"""Damaged files: a clear error of ours or the right answer, never a library's own error.

Run many: ``python tests/fuzz_files.py --count 10000``. Every case is a whole file of
one format that a few random mutations have gone over (cut off, bytes changed, blocks repeated,
removed, zeroed or inserted), read as a user would read it. What is refused must be refused by an
error that this library raises; what is read from a format with checksums must be what was written.
Formats without them (CSV, JSON, .npy, Parquet of others) can't tell a changed digit from a digit: there
only the kind of error is checked, and that what is read can be judged.
"""

from __future__ import annotations

import dataclasses
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

import uncertain
from uncertain.evaluation.judge import evaluate
from uncertain.evaluation.predictions import Predictions, RepeatedRowsWarning
from uncertain.evaluation.readers import read_predictions
from uncertain.evaluation.results import Results
from uncertain.families import ArrayDistribution
from uncertain.predictive.tables import PredictionRows, write_rows

HOME = str(Path(uncertain.__file__).parent)
ROWS, CLASSES = 40, 3
NAMES = ("cat", "dog", "eel")
OURS = (ValueError, TypeError, OSError)


@dataclasses.dataclass(frozen=True)
class Kind:
    """One format: how a whole file is written and read, and whether damage can be told.

    Attributes:
        name: For the report.
        suffix: Ending of the file.
        write: Writes the whole file.
        read: Reads one, as a user does.
        checked: Whether the format has checksums over everything that is read.
    """

    name: str
    suffix: str
    write: Callable[[Path], None]
    read: Callable[[Path], Any]
    checked: bool


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(CLASSES), ROWS).astype(np.float32)
    return {
        "probs": p / p.sum(axis=1, keepdims=True),
        "labels": rng.integers(0, CLASSES, ROWS),
        "row_id": np.array([f"row {i}" for i in range(ROWS)]),
        "clinic": np.arange(ROWS) // 4,
        "share": rng.integers(1, 4, ROWS).astype(float),
    }


COLUMNS = {"groups": "clinic", "weights": "share"}


def own_rows(family: str) -> PredictionRows:
    a = arrays()
    known: dict[str, Any] = {"row_ids": a["row_id"], "groups": a["clinic"], "weights": a["share"]}
    if family == "categorical":
        d = ArrayDistribution("categorical", {"probs": a["probs"]})
        return PredictionRows(d, a["labels"], **known, class_names=NAMES, source="net")
    loc = a["probs"][:, 0].astype(float)
    d = ArrayDistribution("normal", {"loc": loc, "scale": loc + 0.1})
    return PredictionRows(d, a["probs"][:, 1].astype(float), **known, source="net")


def wide_table() -> pa.Table:
    a = arrays()
    columns = {f"prob_{name}": a["probs"][:, c] for c, name in enumerate(NAMES)}
    return pa.table({**columns, "label": np.array(NAMES)[a["labels"]], "id": a["row_id"]})


def list_table() -> pa.Table:
    a = arrays()
    lists = pa.FixedSizeListArray.from_arrays(pa.array(a["probs"].ravel()), CLASSES)
    return pa.table({"probs": lists, "label": a["labels"]})


def results() -> Results:
    a = arrays()
    d = ArrayDistribution("categorical", {"probs": a["probs"]})
    return evaluate(Predictions(d, a["labels"]), replicates=100)


def read_roles(path: Path) -> Predictions:
    return read_predictions(path, columns=COLUMNS)


def read_beside(path: Path) -> Predictions:
    labels = path.with_name("labels.npy")
    if not labels.exists():
        np.save(labels, arrays()["labels"])
    return read_predictions(path, labels_from=labels)


KINDS = (
    Kind("npz", ".npz", lambda f: np.savez(f, allow_pickle=False, **arrays()), read_roles, True),
    Kind(
        "npz, deflated",
        ".npz",
        lambda f: np.savez_compressed(f, allow_pickle=False, **arrays()),
        read_roles,
        True,
    ),
    Kind("npy", ".npy", lambda f: np.save(f, arrays()["probs"]), read_beside, False),
    Kind(
        "predictions of classes",
        ".parquet",
        lambda f: write_rows(f, own_rows("categorical")),
        read_predictions,
        True,
    ),
    Kind(
        "predictions of numbers",
        ".parquet",
        lambda f: write_rows(f, own_rows("normal")),
        read_predictions,
        True,
    ),
    Kind(
        "parquet, wide",
        ".parquet",
        lambda f: pa.parquet.write_table(wide_table(), f),
        read_predictions,
        False,
    ),
    Kind(
        "parquet, lists",
        ".parquet",
        lambda f: pa.parquet.write_table(list_table(), f, compression="zstd"),
        read_predictions,
        False,
    ),
    Kind("csv", ".csv", lambda f: pa.csv.write_csv(wide_table(), f), read_predictions, False),
    Kind("results, parquet", ".parquet", lambda f: results().write(f), Results.read, True),
    Kind("results, json", ".json", lambda f: results().write(f), Results.read, False),
)


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Return the content after one to three random injuries."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        data = _injure(data, rng)
    return bytes(data)


def _injure(data: bytearray, rng: np.random.Generator) -> bytearray:
    if not data:
        return data
    # Heads and tails hold the formats' own words: they are hit as often as all the rest.
    size = len(data)
    anywhere, head = int(rng.integers(0, size)), int(rng.integers(0, min(size, 300)))
    tail = size - 1 - int(rng.integers(0, min(size, 1500)))
    near = (anywhere, head, tail)[int(rng.integers(0, 3))]
    length = min(size - near, int(rng.integers(1, 40)))
    part = slice(near, near + length)
    match int(rng.integers(0, 9)):
        case 0:
            return data[:near]
        case 1:
            return data[near:]
        case 2 | 3:
            data[near] ^= 1 << int(rng.integers(0, 8))
        case 4:
            data[near] = int(rng.integers(0, 256))
        case 5:
            data[part] = bytes(rng.integers(0, 256, length, dtype=np.uint8))
        case 6:
            data[part] = b"\0" * length
        case 7:
            data[near:near] = data[part] if rng.random() < 0.5 else b',"\n\r;\0'
        case _:
            del data[part]
    return data


def try_reading(kind: Kind, path: Path, whole: Any, *, judge: bool = False) -> str:
    """Read a damaged file; return ``refused`` or ``read``, raise ``AssertionError`` for a fault."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", RepeatedRowsWarning)
            found = kind.read(path)
            if judge and isinstance(found, Predictions):
                evaluate(found, replicates=100)
    except OURS as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        if not frame.filename.startswith(HOME):
            raise AssertionError(f"{error!r} raised in {frame.filename}") from error
        if not (str(path) in str(error) or judge):
            raise AssertionError(f"the file is not named: {error}") from error
        return "refused"
    if kind.checked:
        assert same(found, whole), "other values than were written, and no error"
    return "read"


def same(one: Any, other: Any) -> bool:
    """Whether two readings hold the same, to the bit; names of sources aside."""
    if isinstance(one, Results):
        return bool(one == other)
    a, b = _content(one), _content(other)
    return a.keys() == b.keys() and all(
        x.dtype == y.dtype and x.tobytes() == y.tobytes() if isinstance(x, np.ndarray) else x == y
        for x, y in ((a[name], b[name]) for name in a)
    )


def _content(p: Predictions) -> dict[str, Any]:
    names = ("target", "row_ids", "groups", "weights", "class_names", "split", "task", "training")
    found = {name: getattr(p, name) for name in names}
    return {**found, **p.distribution.parameters, "family": p.distribution.family}


def cases(seed: int, folder: Path) -> Iterator[tuple[Kind, Path, Any, np.random.Generator]]:
    """Yield damaged files without end, the formats in turn."""
    whole: dict[str, tuple[bytes, Any]] = {}
    for kind in KINDS:
        path = folder / f"whole{kind.suffix}"
        kind.write(path)
        whole[kind.name] = path.read_bytes(), kind.read(path)
    number = 0
    while True:
        kind = KINDS[number % len(KINDS)]
        rng = np.random.default_rng([seed, number])
        content, right = whole[kind.name]
        path = folder / f"damaged{kind.suffix}"
        path.write_bytes(mutate(content, rng))
        yield kind, path, right, rng
        number += 1
