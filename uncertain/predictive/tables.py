"""Predictions as an Arrow table with what is known of their rows; without torch.

The layout of a predictions file, shared by everything that writes or reads one: the columns of
`uncertain.families.to_table`, then any of ``target``, ``row_id``, ``group``, ``weight``,
``score:NAME`` and ``column:NAME``, and under the schema metadata key ``uncertain`` JSON with the format
version, family, class names, source, split, training and task, the grid or order of the targets, and
what a calibration was fitted on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uncertain import checks
from uncertain.atomic import StrPath, atomic_path
from uncertain.families import ArrayDistribution, from_table, to_table
from uncertain.predictive.facts import (
    CLASS_FAMILIES,
    check_column_names,
    check_order,
    check_split,
)
from uncertain.predictive.provenance import FittedOn
from uncertain.predictive.sealed import read_table, write_table

if TYPE_CHECKING:
    import pyarrow

FORMAT_VERSION = 1
"""Version of the layout; a reader refuses newer ones."""

METADATA_KEY = b"uncertain"
"""Where the schema says what the file holds."""

SCORE = "score:"
"""What the column name of an uncertainty score starts with."""

COLUMN = "column:"
"""What the column name of a fact of the rows starts with."""

_COLUMNS = {"target": "target", "row_ids": "row_id", "groups": "group", "weights": "weight"}
_FACTS = ("source", "split", "training", "task", "training_rows")
_ORDER = ("grid", "ordinal")
_NAMED = {"scores": SCORE, "columns": COLUMN}


@dataclass(frozen=True, eq=False)
class PredictionRows:
    """N predictions as arrays, with what is known of every row.

    Attributes:
        distribution: N predictions.
        target: (N,) class indices or numbers, (N, T) for T outputs; ``None`` where unlabelled.
        row_ids: (N,) whole numbers or strings, each once.
        groups: (N,) whole numbers or strings: which rows belong together.
        weights: (N,), at least 0.
        scores: Name to (N,) uncertainty scores, larger = less certain.
        class_names: C names in the order of the classes.
        source: The model's name.
        split: ``test``, ``validation``, ``train``, ``ood:NAME`` or ``shift:KIND:SEVERITY``.
        training: Which training of the source.
        task: The data set.
        fitted_on: The rows that calibrators of these predictions were fitted on.
        training_rows: How many rows the model was trained and tuned on, where that is known.
        columns: Name to (N,) facts of the rows (site, severity), by which figures can be had; names
            other than ``class`` and ``predicted``.
        grid: Spacing of the grid that real targets lie on.
        ordinal: Whether the classes' order means something.

    Raises:
        ValueError: Where lengths differ, a row id comes twice, or values are not finite.
        TypeError: Where an array holds neither numbers nor strings.

    Example:
        >>> d = ArrayDistribution("poisson", {"rate": np.ones(2)})
        >>> rows = PredictionRows(d, target=np.array([0, 3]), row_ids=np.array(["a", "b"]))
        >>> to_rows_table(rows).column_names
        ['rate', 'target', 'row_id']
    """

    distribution: ArrayDistribution
    target: NDArray[Any] | None = None
    row_ids: NDArray[Any] | None = None
    groups: NDArray[Any] | None = None
    weights: NDArray[Any] | None = None
    scores: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    class_names: tuple[str, ...] | None = None
    source: str = "model"
    split: str = "test"
    training: str = ""
    task: str = ""
    fitted_on: tuple[FittedOn, ...] = ()
    training_rows: int | None = None
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    grid: float | None = None
    ordinal: bool = False

    def __post_init__(self) -> None:
        for name in _COLUMNS:
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _values(name, value))
        scores = {name: _values(name, value) for name, value in self.scores.items()}
        object.__setattr__(self, "scores", scores)
        columns = {name: _values(_shown(name), value) for name, value in self.columns.items()}
        object.__setattr__(self, "columns", columns)
        if self.class_names is not None:
            object.__setattr__(self, "class_names", tuple(map(str, self.class_names)))
        named = {name: getattr(self, name) for name in _COLUMNS}
        named |= {_shown(name): column for name, column in columns.items()}
        checks.check_same_length(distribution=self.distribution, **named, **scores)
        if self.weights is not None:
            checks.check_range("weights", self.weights, 0, np.inf)
        if self.row_ids is not None:
            _check_unique(self.row_ids)
        self._check_class_names()
        check_column_names(columns)
        check_split(self.split)
        classes = self.distribution.family in CLASS_FAMILIES
        check_order(grid=self.grid, ordinal=self.ordinal, classes=classes)

    def _check_class_names(self) -> None:
        if self.class_names is None:
            return
        names, family = self.class_names, self.distribution.family
        table = next(iter(self.distribution.parameters.values()))
        classes = 2 if family == "bernoulli" else table.shape[-1]
        if family not in CLASS_FAMILIES:
            raise ValueError(
                f"`class_names` should come with predictions of classes, got {family} predictions."
            )
        if len(names) != classes or len(set(names)) != classes:
            raise ValueError(
                f"`class_names` should be {classes} different names, one a class, got "
                f"{len(names)} of which {len(set(names))} differ."
            )


def to_rows_table(rows: PredictionRows) -> pyarrow.Table:
    """Return the table that a predictions file holds, without loss."""
    table = to_table(rows.distribution)
    for name, column in _COLUMNS.items():
        value = getattr(rows, name)
        if value is not None:
            table = table.append_column(column, _column(value))
    for field_name, prefix in _NAMED.items():
        for name, value in getattr(rows, field_name).items():
            table = table.append_column(f"{prefix}{name}", _column(value))
    facts: dict[str, Any] = {
        "format": FORMAT_VERSION,
        "family": rows.distribution.family,
        "class_names": None if rows.class_names is None else list(rows.class_names),
    } | {name: getattr(rows, name) for name in _FACTS}
    # Facts that say nothing are left out, so that files without them are as they always were.
    facts |= {name: value for name in _ORDER if (value := getattr(rows, name))}
    if rows.fitted_on:
        facts["fitted_on"] = [used.to_record() for used in rows.fitted_on]
    metadata = dict(table.schema.metadata or {}) | {METADATA_KEY: json.dumps(facts).encode()}
    return table.replace_schema_metadata(metadata)


def from_rows_table(table: pyarrow.Table) -> PredictionRows:
    """Return what :func:`to_rows_table` was given; columns of other names are left alone.

    Raises:
        ValueError: Where the metadata are missing or of a newer format, or values are missing.

    Example:
        >>> d = ArrayDistribution("poisson", {"rate": np.ones(2, np.float32)})
        >>> from_rows_table(to_rows_table(PredictionRows(d, source="glm"))).source
        'glm'
    """
    raw = (table.schema.metadata or {}).get(METADATA_KEY)
    if raw is None:
        raise ValueError(
            "`table` should carry the schema metadata key 'uncertain', got none: write it with "
            "`uncertain.predictive.save_predictions`."
        )
    facts = json.loads(raw)
    if facts.get("format", 0) > FORMAT_VERSION:
        raise ValueError(
            f"`table` should have format {FORMAT_VERSION} or older, got {facts['format']}: update "
            "the library."
        )
    found: dict[str, Any] = {
        name: _read(table, column)
        for name, column in _COLUMNS.items()
        if column in table.column_names
    }
    found |= {
        field_name: {
            name.removeprefix(prefix): _read(table, name)
            for name in table.column_names
            if name.startswith(prefix)
        }
        for field_name, prefix in _NAMED.items()
    }
    names = facts.get("class_names")
    return PredictionRows(
        from_table(table),
        **found,
        class_names=None if names is None else tuple(names),
        **{name: facts[name] for name in (*_FACTS, *_ORDER) if name in facts},
        fitted_on=tuple(map(FittedOn.from_record, facts.get("fitted_on", ()))),
    )


def write_rows(path: StrPath, rows: PredictionRows) -> None:
    """Write a predictions file (Parquet) atomically.

    Raises:
        OSError: Where ``path`` cannot be written.
    """
    table = to_rows_table(rows)
    with atomic_path(path) as temporary:
        write_table(table, temporary)


def read_rows(path: StrPath) -> PredictionRows:
    """Read a predictions file.

    Raises:
        FileNotFoundError: Where there is none.
        ValueError: Where it is no Parquet file, is truncated, or holds no predictions.
    """
    # Opened here: a FileNotFoundError of Python's own, and no guessing of partitions from names.
    with open(path, "rb") as stream:
        try:
            table = read_table(stream)
        except Exception as error:  # a damaged file raises whatever pyarrow trips over
            raise ValueError(
                f"`{path}` should be a Parquet file of predictions, got one that cannot be read "
                f"({error}): it is cut off or of another kind."
            ) from error
    try:
        return from_rows_table(table)
    except (KeyError, AttributeError) as error:
        raise ValueError(f"`{path}` should say what its columns are, got damaged facts.") from error
    except (ValueError, TypeError) as error:
        raise ValueError(f"`{path}`: {error}") from error


def _shown(name: str) -> str:
    return f"columns[{name!r}]"


def _values(name: str, value: Any) -> NDArray[Any]:
    array = np.asarray(value)
    if array.dtype == object and all(isinstance(item, str) for item in array.flat):
        array = array.astype(str)
    if array.dtype.kind not in "fiubU":
        raise TypeError(f"`{name}` should hold numbers or strings, got dtype {array.dtype}.")
    if array.ndim == 0 or (array.ndim > 1 and name != "target") or array.ndim > 2:
        expected: tuple[int | str, ...] = (
            ("N", "T") if array.ndim > 1 and name == "target" else ("N",)
        )
        checks.check_shape(name, array, expected)
    checks.check_finite(name, array)
    return array


def _check_unique(row_ids: NDArray[Any]) -> None:
    values, counts = np.unique(row_ids, return_counts=True)
    if len(values) != len(row_ids):
        twice = values[counts > 1]
        raise ValueError(
            f"`row_ids` should name every row once, got {twice[0]!s} {counts.max()} times "
            f"({len(twice)} repeated ids)."
        )


def _column(value: NDArray[Any]) -> Any:
    import pyarrow as pa

    if value.dtype.kind == "U":
        return pa.array(value.tolist(), pa.string())
    native = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("="))
    if native.ndim == 1:
        return pa.array(native)
    return pa.FixedSizeListArray.from_arrays(pa.array(native.reshape(-1)), native.shape[1])


def _read(table: pyarrow.Table, name: str) -> NDArray[Any]:
    import pyarrow as pa

    column = table.column(name)
    if column.null_count:
        raise ValueError(f"`{name}` should have no missing rows, got {column.null_count}.")
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.array(column.to_pylist(), dtype=str)
    if pa.types.is_fixed_size_list(column.type):
        width = column.type.list_size
        chunks = [np.asarray(chunk.flatten()) for chunk in column.chunks]
        flat = np.concatenate(chunks) if chunks else np.empty(0)
        return flat.reshape(len(column), width)
    return np.asarray(column.to_numpy())
