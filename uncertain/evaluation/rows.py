"""Per-row scores and uncertainty, worst rows first: where to look when a figure disappoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uncertain import atomic, checks, families
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.row_scores import row_scores
from uncertain.evaluation.uncertainty import uncertainty_scores

if TYPE_CHECKING:
    import pyarrow as pa


def write_rows(predictions: Sequence[Predictions], path: str | Path) -> None:
    """Write one row a prediction, worst first, to ``.csv`` or ``.parquet``.

    Args:
        predictions: Labelled predictions of one or more sources.
        path: Where to; written whole or not at all.

    Raises:
        ValueError: An ending that is not ``.csv`` or ``.parquet``, or no labelled predictions.
    """
    path = Path(path)
    checks.check_choice("the ending of rows", path.suffix.lower(), (".csv", ".parquet"))
    checks.check_not_empty("predictions", predictions)
    import pyarrow as pa

    table = pa.concat_tables([rows_table(p) for p in predictions], promote_options="default")
    with atomic.atomic_path(path) as temporary:
        if path.suffix.lower() == ".csv":
            import pyarrow.csv as csv

            csv.write_csv(table, temporary)
        else:
            import pyarrow.parquet as parquet

            parquet.write_table(table, temporary)


def rows_table(predictions: Predictions) -> pa.Table:
    """Return the table of one source: row id, label, prediction, scores and uncertainty.

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
        "row_id": _row_ids(predictions),
    }
    if predictions.groups is not None:
        columns["group"] = predictions.groups
    described = _class_columns if predictions.is_classification else _real_columns
    scores = row_scores(predictions)
    columns |= described(predictions) | scores | uncertainty_scores(predictions)
    # Samples and quantiles have no density: there the CRPS says which row is worst.
    worst_first = np.argsort(-scores["nll" if "nll" in scores else "crps"], kind="stable")
    return pa.table({name: np.asarray(values)[worst_first] for name, values in columns.items()})


def _row_ids(predictions: Predictions) -> NDArray[Any]:
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
    return {
        "target": target,
        "mean": families.mean(predictions.distribution),
        "pit": families.pit(predictions.distribution, target),
    }


def _named(classes: NDArray[np.int64], predictions: Predictions) -> NDArray[Any]:
    if predictions.class_names is None:
        return classes
    return np.asarray(predictions.class_names)[classes]
