"""Class predictions in Parquet files larger than memory: read in pieces, judged as if in memory.

A piece of the file is read, checked and scored, and only numbers a row are kept: about 60 bytes for its
scores, its label, weight and group, never its probabilities. So the peak of memory follows the piece
(8 MiB of probabilities) and those 60 bytes, some 90 while scores are sorted, not N x C. Every figure has
the bits it has in memory, since it is made from the same numbers by the same functions; classwise tables
are exact sums. What looks at all probabilities of a class at once (``adaptive_calibration_error``) is a
row without a value that says so, and rows are not searched for copies of one another.

Axis letters: ``N`` rows, ``C`` classes.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from uncertain import keyed
from uncertain.evaluation.calibration_bins import ClasswiseState, equal_width_edges
from uncertain.evaluation.classification import RowScores, row_scores
from uncertain.evaluation.classification_report import scored_estimates
from uncertain.evaluation.detection import detection_rows
from uncertain.evaluation.predictions import Predictions, RepeatedRowsWarning
from uncertain.evaluation.readers import predictions_of_table
from uncertain.evaluation.results import Results, Row
from uncertain.evaluation.row_scores import class_arrays
from uncertain.evaluation.scored_rows import ScoredRows
from uncertain.evaluation.uncertainty import DETECTOR, mistaken, uncertainty_scores

PIECE = 1 << 21
"""Probabilities read at a time: 8 MiB of float32, and some 60 MiB while they are scored."""

STREAM_ABOVE = 1 << 25
"""Files of more probabilities than this are read in pieces."""

BINS = 15


def probabilities_in(path: Path) -> int:
    """Return how many class probabilities a Parquet file seems to hold, from its footer alone.

    Numbers of columns whose names are those of one array are added; 0 for other files, for damaged
    ones, and where predictions are not of classes.
    """
    if path.suffix.lower() != ".parquet" or not path.is_file():
        return 0
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        with path.open("rb") as stream:
            file = parquet.ParquetFile(stream)
            rows, schema, groups = file.metadata.num_rows, file.schema_arrow, file.metadata
            fixed = [f.type.list_size for f in schema if pa.types.is_fixed_size_list(f.type)]
            values = [
                groups.row_group(0).column(c).num_values // max(1, groups.row_group(0).num_rows)
                for c in range(groups.num_columns)
                if groups.num_row_groups
            ]
    except Exception:  # whatever is wrong with the file is said by whoever reads it
        return 0
    wide = sum(1 for field in schema if pa.types.is_floating(field.type))
    return int(int(rows) * max([0, wide, *fixed, *values]))


def read_scored(
    path: Path,
    *,
    columns: Mapping[str, str],
    source: str,
    split: str = "test",
    renormalise: bool = False,
    labelled: bool = True,
) -> ScoredRows | None:
    """Read and score a file of class predictions piece by piece.

    Args:
        path: A Parquet file.
        columns: Role to array name, as in :func:`~uncertain.evaluation.readers.read_predictions`.
        source: The model's name.
        split: ``test`` or ``ood:NAME``.
        renormalise: Divide rows of probabilities by their sums.
        labelled: Whether labels are required.

    Returns:
        The scored rows; ``None`` where the predictions are not of classes, are ordinal, have members
        or detectors' scores, or were calibrated: these are judged in memory.

    Raises:
        ValueError: As ``read_predictions``.
    """
    parts: list[dict[str, Any]] = []
    classwise: ClasswiseState | None = None
    first: Predictions | None = None
    for piece in _pieces(path, columns, source, split, renormalise, labelled):
        if not piece.is_classification or not _is_plain(piece):
            return None
        if first is None:
            # One row of it says what all have in common, and keeps no others alive.
            first = piece.select([0])
            if piece.target is not None and piece.ood_name is None:
                classwise = ClasswiseState(piece.classes, equal_width_edges(BINS))
        if (piece.classes, piece.class_names) != (first.classes, first.class_names):
            raise ValueError(f"{path}: its rows are not all of the same classes.")
        parts.append(_scored_piece(piece, classwise))
    assert first is not None  # a table without rows is refused when it is read
    joined = {
        name: None if parts[0][name] is None else np.concatenate([part[name] for part in parts])
        for name in parts[0]
    }
    _check_whole(path, joined)
    return _assembled(first, joined, classwise)


def _is_plain(piece: Predictions) -> bool:
    """Whether nothing but one model's probabilities and scores is to be judged."""
    detectors = any(name.startswith(DETECTOR) for name in piece.scores)
    alone = piece.distribution.members is None and not piece.fitted_on
    return alone and not detectors and not piece.ordinal


def _pieces(
    path: Path,
    columns: Mapping[str, str],
    source: str,
    split: str,
    renormalise: bool,
    labelled: bool,
) -> Iterator[Predictions]:
    from uncertain.predictive.sealed import read_pieces

    rows = max(1, PIECE // max(1, probabilities_in(path) // max(1, _rows_in(path))))
    with path.open("rb") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore", RepeatedRowsWarning)
        for table in read_pieces(stream, rows):
            piece = predictions_of_table(
                table,
                path,
                columns=columns,
                source=source,
                split=split,
                renormalise=renormalise,
                labelled=labelled,
            )
            yield piece


def _rows_in(path: Path) -> int:
    import pyarrow.parquet as parquet

    with path.open("rb") as stream:
        return int(parquet.ParquetFile(stream).metadata.num_rows)


def _scored_piece(piece: Predictions, classwise: ClasswiseState | None) -> dict[str, Any]:
    """Return the numbers a row that are kept of a piece, and count its classwise bins."""
    out: dict[str, Any] = {
        "row_ids": piece.row_ids,
        "groups": piece.groups,
        "weights": piece.weights,
        **{f"score:{name}": score for name, score in uncertainty_scores(piece).items()},
    }
    if classwise is None:
        return out
    p, log_p = class_arrays(piece)
    y = np.asarray(piece.target)
    classwise.update(p, y, weights=piece.weights)
    scores = row_scores(p, y, log_probabilities=log_p)
    out |= {name: getattr(scores, name) for name in RowScores._fields}
    out["wrong"] = mistaken(piece)
    if piece.classes == 2:
        out |= {"second": p[:, 1].copy(), "is_second": y == 1}
    return out


def _check_whole(path: Path, joined: Mapping[str, Any]) -> None:
    """Check what no piece can see: ids that come twice."""
    ids = joined["row_ids"]
    if ids is not None and keyed.count_distinct(ids) < len(ids):
        raise ValueError(f"{path}: `row_ids` should name each row once, got some of them twice.")


def _assembled(
    first: Predictions, joined: dict[str, Any], classwise: ClasswiseState | None
) -> ScoredRows:
    scores = {n.removeprefix("score:"): v for n, v in joined.items() if n.startswith("score:")}
    groups = joined["groups"]
    if groups is not None and keyed.count_distinct(groups) == len(groups):
        groups = None  # groups of one row each say that rows are independent
    second = "second" in joined
    return ScoredRows(
        first.source,
        first.split,
        first.classes,
        scores,
        scored=None if classwise is None else RowScores(*(joined[n] for n in RowScores._fields)),
        wrong=joined.get("wrong"),
        positive=(joined["second"], joined["is_second"]) if second else None,
        classwise=None if classwise is None else classwise.compute(),
        weights=joined["weights"],
        groups=groups,
        task=first.task,
        training=first.training,
    )


def evaluate_streamed(
    file: Path,
    ood: Sequence[tuple[str, Path]] = (),
    *,
    columns: Mapping[str, str],
    source: str,
    renormalise: bool = False,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
    command: str = "",
) -> Results | None:
    """Judge one model's files of class predictions piece by piece.

    Args:
        file: Parquet file of labelled predictions.
        ood: Name and Parquet file of strange rows.
        columns: Role to array name.
        source: The model's name.
        renormalise: Divide rows of probabilities by their sums.
        level: Confidence level.
        replicates: Bootstrap replicates.
        seed: Seed of the bootstrap.
        command: Kept in the results.

    Returns:
        What :func:`~uncertain.evaluation.evaluate` gives for the files in memory, without the figures
        that need them there; ``None`` where they have to be.

    Raises:
        ValueError: As reading and judging do.
    """
    test = read_scored(file, columns=columns, source=source, renormalise=renormalise)
    if test is None or test.scored is None or test.classwise is None:
        return None
    kept = {role: name for role, name in columns.items() if role not in ("labels", "weights")}
    cases = [test]
    for name, path in ood:
        strange = read_scored(
            path,
            columns=kept,
            source=source,
            split=f"ood:{name}",
            renormalise=renormalise,
            labelled=False,
        )
        if strange is None:
            return None
        if strange.classes != test.classes:
            raise ValueError(
                f"{path} should hold predictions of {test.classes} classes, as {file} does, got "
                f"{strange.classes}: is it the file of another model?"
            )
        cases.append(dataclasses.replace(strange, task=test.task, training=test.training))
    options: dict[str, Any] = {"level": level, "replicates": replicates, "seed": seed}
    estimates = scored_estimates(
        test.scored,
        (test.classwise, None),
        test.positive,
        weights=test.weights,
        groups=test.groups,
        **options,
    )
    facts = {"source": source, "split": "test", "task": test.task, "training": test.training}
    rows = [
        Row.from_estimate(metric, estimate, kind=kind, variant=variant, **facts)
        for metric, variant, kind, estimate in estimates
    ]
    rows += detection_rows(cases, **options)
    return Results.create(rows, command=command, seed=seed)
