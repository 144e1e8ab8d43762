"""Predictions of torch distributions, stored as Parquet without loss."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution

from uncertain import checks
from uncertain.atomic import StrPath
from uncertain.families import ArrayDistribution
from uncertain.predictive.arrays import Device, from_arrays, to_arrays, to_host
from uncertain.predictive.provenance import FittedOn
from uncertain.predictive.tables import PredictionRows, read_rows, write_rows

Column = Tensor | NDArray[Any] | Sequence[Any]


class StoredPredictions(NamedTuple):
    """What `save_predictions` was given.

    Attributes:
        distribution: Of batch shape (N,).
        target: (N,) or (N, T), ``None`` where unlabelled.
        row_ids: (N,) whole numbers or strings.
        groups: (N,) whole numbers or strings.
        weights: (N,).
        scores: Name to (N,).
        class_names: C names in the order of the classes.
        source: The model's name.
        split: Which rows these are.
        training: Which training of the source.
        task: The data set.
        fitted_on: The rows that calibrators were fitted on.
        training_rows: How many rows the model was trained and tuned on, where that is known.
        columns: Name to (N,) facts of the rows.
        grid: Spacing of the grid that real targets lie on.
        ordinal: Whether the classes' order means something.
    """

    distribution: Distribution
    target: Tensor | None
    row_ids: NDArray[Any] | None
    groups: NDArray[Any] | None
    weights: Tensor | None
    scores: dict[str, Tensor]
    class_names: tuple[str, ...] | None
    source: str
    split: str
    training: str
    task: str
    fitted_on: tuple[FittedOn, ...]
    training_rows: int | None
    columns: dict[str, NDArray[Any]]
    grid: float | None
    ordinal: bool


def save_predictions(
    path: StrPath,
    dist: Distribution | ArrayDistribution,
    target: Column | None = None,
    *,
    row_ids: Column | None = None,
    groups: Column | None = None,
    weights: Column | None = None,
    scores: Mapping[str, Column] | None = None,
    class_names: Sequence[str] | None = None,
    source: str = "model",
    split: str = "test",
    training: str = "",
    task: str = "",
    fitted_on: Sequence[FittedOn] = (),
    training_rows: int | None = None,
    columns: Mapping[str, Column] | None = None,
    grid: float | None = None,
    ordinal: bool = False,
) -> None:
    """Write predictions, and what is known of their rows, to a Parquet file.

    Every number is kept to the bit, log-probabilities of ``-inf`` included; half-width parameters
    become float32. The file is whole or not there.

    Args:
        path: Where, ``*.parquet``.
        dist: N predictions of a family in `uncertain.families.FAMILIES`, or a mixture.
        target: (N,) class indices, class names (with ``class_names``) or numbers; (N, T) for T
            outputs; ``None`` for rows without a label.
        row_ids: (N,) whole numbers or strings, each once: what pairs two models' files.
        groups: (N,) which rows belong together (a patient, a source image).
        weights: (N,), at least 0; weight k equals the row k times.
        scores: Name to (N,) uncertainty scores of the model's own, larger = less certain.
        class_names: C different names in the order of the classes.
        source: The model's name.
        split: ``test``, ``validation``, ``train``, ``ood:NAME`` or ``shift:KIND:SEVERITY``.
        training: Which training (seed) of the source.
        task: The data set.
        fitted_on: The ``fitted_on`` of every calibrator that made these predictions, so that the
            judge can tell rows it has seen.
        training_rows: How many rows the model was trained and tuned on: trainings on several splits
            of one data set are then compared as such.
        columns: Name to (N,) facts of the rows (site, severity, sex), numbers or strings: what
            ``uncertain evaluate --by NAME`` has figures by. Names other than ``class`` and
            ``predicted``.
        grid: Spacing of the grid that real targets lie on (1 for whole grades).
        ordinal: Whether the classes' order means something.

    Raises:
        ValueError: Where lengths differ, ids repeat, values are not finite, a class or split is
            unknown, or ``path`` has another ending.
        TypeError: For a distribution that no family describes.
        OSError: Where ``path`` cannot be written.

    Example:
        >>> import pathlib, tempfile
        >>> from torch.distributions import Categorical
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "net.parquet"
        >>> y = Categorical(logits=torch.tensor([[0.0, -torch.inf]]))
        >>> save_predictions(path, y, ["cat"], class_names=["cat", "dog"], source="net")
        >>> stored = load_predictions(path)
        >>> stored.distribution.logits, stored.target, stored.source
        (tensor([[0., -inf]]), tensor([0]), 'net')
    """
    if Path(path).suffix.lower() != ".parquet":
        raise ValueError(
            f"`path` should end in .parquet, which is what is written, got {str(path)!r}: readers go by "
            "the ending."
        )
    per_row = {"row_ids": row_ids, "groups": groups, "weights": weights}
    rows = PredictionRows(
        dist if isinstance(dist, ArrayDistribution) else to_arrays(dist),
        target=None if target is None else _indices(_array(target), class_names),
        **{name: None if value is None else _array(value) for name, value in per_row.items()},
        scores={name: _array(value) for name, value in (scores or {}).items()},
        class_names=None if class_names is None else tuple(class_names),
        source=source,
        split=split,
        training=training,
        task=task,
        fitted_on=tuple(fitted_on),
        training_rows=training_rows,
        columns={name: _array(value) for name, value in (columns or {}).items()},
        grid=grid,
        ordinal=ordinal,
    )
    single = rows.target is not None and rows.target.ndim == 1
    if single and rows.distribution.family == "categorical":
        classes = next(iter(rows.distribution.parameters.values())).shape[-1]
        checks.check_labels("target", rows.target, classes)
    write_rows(path, rows)


def load_predictions(path: StrPath, *, device: Device | None = None) -> StoredPredictions:
    """Read what `save_predictions` wrote.

    Args:
        path: The file.
        device: Where to put the tensors; the CPU by default.

    Returns:
        The distribution, with parameters of the dtype that was saved, and the rows' facts.

    Raises:
        FileNotFoundError: Where there is no such file.
        ValueError: Where it is no Parquet file, is cut off, or holds no predictions.
    """
    rows = read_rows(path)
    return StoredPredictions(
        from_arrays(rows.distribution, device=device),
        _maybe_tensor(rows.target, device),
        rows.row_ids,
        rows.groups,
        _maybe_tensor(rows.weights, device),
        {name: torch.tensor(value, device=device) for name, value in rows.scores.items()},
        rows.class_names,
        rows.source,
        rows.split,
        rows.training,
        rows.task,
        rows.fitted_on,
        rows.training_rows,
        dict(rows.columns),
        rows.grid,
        rows.ordinal,
    )


def _array(value: Column) -> NDArray[Any]:
    return to_host(value) if isinstance(value, Tensor) else np.asarray(value)


def _indices(target: NDArray[Any], class_names: Sequence[str] | None) -> NDArray[Any]:
    """Class names become their indices."""
    if target.dtype.kind not in "UO":
        return target
    if class_names is None:
        raise ValueError(
            "`target` should hold numbers where there are no `class_names`, got strings: pass the "
            "names in the order of the classes."
        )
    index = {str(name): i for i, name in enumerate(class_names)}
    unknown = sorted({str(label) for label in target.flat} - index.keys())
    if unknown:
        raise ValueError(
            f"`target` should hold class names out of {', '.join(index)}, got {unknown[0]!r} "
            f"({len(unknown)} unknown names)."
        )
    return np.array([index[str(label)] for label in target], dtype=np.int64)


def _maybe_tensor(value: NDArray[Any] | None, device: Device | None) -> Tensor | None:
    return None if value is None else torch.tensor(value, device=device)
