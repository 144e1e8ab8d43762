"""Per-row scores and uncertainty, worst rows first: where to look when a figure disappoints."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uncertain import atomic, checks, families
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.row_scores import row_scores, split_variant
from uncertain.evaluation.uncertainty import uncertainty_scores

if TYPE_CHECKING:
    import pyarrow as pa


FORMATS = (".csv", ".parquet")


def write_rows(predictions: Sequence[Predictions], path: str | Path) -> None:
    """Write one row a prediction, worst first, to ``.csv`` or ``.parquet``.

    Args:
        predictions: Labelled predictions of one or more sources, one block a source.
        path: Where to; written whole or not at all.

    Raises:
        ValueError: An ending that is not ``.csv`` or ``.parquet``, or no labelled predictions.
        OSError: The file can't be written.

    Example:
        >>> import tempfile
        >>> p = np.array([[0.9, 0.1], [0.9, 0.1]])
        >>> distribution = families.ArrayDistribution("categorical", {"probs": p})
        >>> path = Path(tempfile.mkdtemp()) / "rows.csv"
        >>> write_rows([Predictions(distribution, np.array([0, 1]))], path)
        >>> path.read_text().splitlines()[0]
        '"source","split","row_id","label","predicted","confidence","accuracy","nll","brier","msp","entropy"'
    """
    path = Path(path)
    check_format(path)
    checks.check_not_empty("predictions", predictions)
    import pyarrow as pa

    tables = _alike([rows_table(p) for p in predictions])
    write_table(pa.concat_tables(tables, promote_options="default"), path)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table of rows to ``.csv`` or ``.parquet``, whole or not at all.

    Raises:
        ValueError: Another ending.
        OSError: The file can't be written.
    """
    check_format(path)
    with atomic.atomic_path(path) as temporary:
        if path.suffix.lower() == ".csv":
            import pyarrow.csv as csv

            csv.write_csv(table, temporary)
        else:
            from uncertain.predictive import sealed

            sealed.write_table(table, temporary)


def check_format(path: Path) -> None:
    """Raise ``ValueError`` unless rows can be written to a file of this ending.

    Example:
        >>> check_format(Path("rows.CSV"))
    """
    checks.check_choice("the ending of rows", path.suffix.lower(), FORMATS)


def rows_table(predictions: Predictions) -> pa.Table:
    """Return the table of one source: row id, label, prediction, scores and uncertainty.

    Raises:
        ValueError: There are no labels.

    Example:
        >>> p = np.array([[0.9, 0.1], [0.9, 0.1]])
        >>> distribution = families.ArrayDistribution("categorical", {"probs": p})
        >>> table = rows_table(Predictions(distribution, np.array([0, 1])))
        >>> table.column("row_id").to_pylist()
        [1, 0]
    """
    import pyarrow as pa

    if predictions.target is None:
        raise ValueError("`predictions` should have labels to score rows by, got none.")
    columns: dict[str, Any] = {
        "source": np.full(len(predictions.target), predictions.source),
        "split": np.full(len(predictions.target), predictions.split),
        "row_id": row_ids_of(predictions),
    }
    if predictions.groups is not None:
        columns["group"] = predictions.groups
    described = _class_columns if predictions.is_classification else _real_columns
    scores = {split_variant(name)[0]: score for name, score in row_scores(predictions).items()}
    columns |= described(predictions) | scores | uncertainty_scores(predictions)
    # Samples and quantiles have no density: there the CRPS says which row is worst.
    worst = next((scores[name] for name in ("nll", "crps") if name in scores), None)
    rows = len(predictions)
    order = np.arange(rows) if worst is None else np.argsort(-worst, kind="stable")
    return pa.table({name: np.asarray(values)[order] for name, values in columns.items()})


def _alike(tables: list[pa.Table]) -> list[pa.Table]:
    """Return the tables with the columns whose types differ (ids 7 and "r7") as strings."""
    import pyarrow as pa

    types: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for field in table.schema:
            types.setdefault(field.name, set()).add(field.type)
    mixed = {name for name, found in types.items() if len(found) > 1}
    return [
        pa.table(
            {
                name: table[name].cast(pa.string()) if name in mixed else table[name]
                for name in table.column_names
            }
        )
        for table in tables
    ]


def row_ids_of(predictions: Predictions) -> NDArray[Any]:
    """Return the rows' ids, their places where they have none."""
    if predictions.row_ids is not None:
        return np.asarray(predictions.row_ids)
    return np.arange(len(predictions.distribution))


def _class_columns(predictions: Predictions) -> dict[str, NDArray[Any]]:
    labels = np.asarray(predictions.target, dtype=np.int64)
    p = families.class_probabilities(predictions.distribution)
    predicted = p.argmax(axis=1)
    return {
        "label": _named(labels, predictions),
        "predicted": _named(predicted, predictions),
        "confidence": p.max(axis=1),
    }


def _real_columns(predictions: Predictions) -> dict[str, NDArray[Any]]:
    target = np.asarray(predictions.target, dtype=np.float64)
    columns = _by_target("target", target)
    for name, figure in (
        ("mean", lambda: families.mean(predictions.distribution)),
        ("pit", lambda: families.pit(predictions.distribution, target)),
    ):
        # Predicted quantiles have no mean, joint outputs no PIT: there is no such column then.
        with contextlib.suppress(TypeError):
            columns |= _by_target(name, figure())
    return columns


def _by_target(name: str, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """One column, or one a target: ``mean_0``, ``mean_1``, ..."""
    if values.ndim == 1:
        return {name: values}
    return {f"{name}_{t}": column for t, column in enumerate(values.T)}


def _named(classes: NDArray[np.int64], predictions: Predictions) -> NDArray[Any]:
    if predictions.class_names is None:
        return classes
    return np.asarray(predictions.class_names)[classes]
