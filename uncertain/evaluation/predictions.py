"""What is judged: predictions, the targets they are held against, and how rows belong together."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain import checks, families, keyed
from uncertain.evaluation.ordinal import check_grid
from uncertain.families import ArrayDistribution
from uncertain.predictive.facts import (
    CLASS_FAMILIES,
    check_column_names,
    check_order,
    check_split,
)
from uncertain.predictive.provenance import FittedOn

_PER_ROW = ("row_ids", "groups", "weights")


class RepeatedRowsWarning(UserWarning):
    """Rows look like copies of one another and no groups say so."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """N predictions of one source with their targets, checked when they are made.

    Attributes:
        distribution: N predictive distributions.
        target: (N,) class indices, class names where ``class_names`` are given, or real numbers;
            (N, T) for T outputs; ``None`` for rows without a label (out-of-distribution).
        row_ids: (N,) whole numbers or strings, each once: what pairs two sources, and joins inputs.
        groups: (N,) the resampling unit of each row (patient, source image), ``None`` where rows are
            independent.
        weights: (N,) finite, non-negative, not all zero; weight k equals the row k times.
        class_names: C distinct names in the order of the classes.
        source: The model's name.
        split: ``test``, ``validation``, ``train``, ``ood:NAME`` or ``shift:KIND:SEVERITY``.
        training: Which training (seed) of the source.
        task: The data set.
        scores: More uncertainty scores by name, each (N,), larger = less certain.
        columns: Facts of each row by name (site, severity, sex), each (N,): what figures can be
            had by, in ``evaluate(..., by=...)``. Names other than ``class`` and ``predicted``.
        training_rows: How many rows the model was trained and tuned on, where that is known: trainings
            on several splits of one data set share most of them, and are compared as such.
        grid: Spacing of the grid that the targets of a regression lie on (1 for whole grades): they
            are then scored by log P(cell) and the ranked probability score too.
        ordinal: Whether the classes' order means something: the ranked probability score is had too.
        inputs: Row id -> what the model saw (an image, a text), for the report; any subset of rows.
        fitted_on: The rows that calibrators of these predictions were fitted on; judged on them, every
            figure of the source says so.

    Raises:
        ValueError: Lengths differ, a label is no class, a row id comes twice, a value is NaN.
        TypeError: An array has the wrong kind of values.

    Warns:
        RepeatedRowsWarning: Rows are repeated and there are no groups: intervals would be too short.

    Example:
        >>> d = ArrayDistribution("categorical", {"probs": np.array([[0.8, 0.2], [0.3, 0.7]])})
        >>> p = Predictions(d, np.array(["cat", "dog"]), class_names=("cat", "dog"))
        >>> p.target, p.classes, len(p)
        (array([0, 1]), 2, 2)
    """

    distribution: ArrayDistribution
    target: NDArray[Any] | None
    row_ids: NDArray[Any] | None = None
    groups: NDArray[Any] | None = None
    weights: NDArray[Any] | None = None
    class_names: tuple[str, ...] | None = None
    source: str = "model"
    split: str = "test"
    training: str = ""
    task: str = ""
    scores: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    grid: float | None = None
    ordinal: bool = False
    inputs: Mapping[Any, Any] | None = None
    fitted_on: tuple[FittedOn, ...] = ()
    training_rows: int | None = None

    def __post_init__(self) -> None:
        self._check_names()
        for name in _PER_ROW:
            self._set_array(name, getattr(self, name))
        rows = len(self.distribution)
        checks.check_not_empty("predictions", self.distribution)
        self._set_target()
        _check_lengths(rows, {name: getattr(self, name) for name in _PER_ROW})
        if self.row_ids is not None:
            _check_row_ids(self.row_ids)
        if self.groups is not None:
            checks.check_finite("groups", self.groups)
        if self.weights is not None:
            object.__setattr__(self, "weights", _checked_weights(self.weights))
        self._set_scores(rows)
        object.__setattr__(self, "fitted_on", tuple(self.fitted_on))
        object.__setattr__(self, "columns", _checked_columns(self.columns, rows))
        if self.training_rows is not None:
            checks.check_range("training_rows", self.training_rows, 1)
        check_order(grid=self.grid, ordinal=self.ordinal, classes=self.is_classification)
        if self.grid is not None and self.target is not None:
            check_grid(self.target, self.grid)
        if self.inputs is not None and self.row_ids is None:
            raise ValueError(
                "`row_ids` should be given beside `inputs`, got none: inputs are joined by row id, "
                "never by position."
            )
        if self.groups is None:
            _warn_repeated(self)

    def __len__(self) -> int:
        return len(self.distribution)

    @property
    def is_classification(self) -> bool:
        """Whether the predictions are over classes."""
        return self.distribution.family in CLASS_FAMILIES and self.distribution.event_shape == ()

    @property
    def classes(self) -> int:
        """The number of classes, 0 for a regression."""
        if not self.is_classification:
            return 0
        if self.distribution.family == "bernoulli":
            return 2
        return int(next(iter(self.distribution.parameters.values())).shape[-1])

    @property
    def ood_name(self) -> str | None:
        """``NAME`` of a split ``ood:NAME``, else ``None``."""
        head, _, name = self.split.partition(":")
        return name if head == "ood" else None

    @property
    def shift(self) -> tuple[str, float] | None:
        """Kind and severity of a split ``shift:KIND:SEVERITY``, else ``None``."""
        head, _, rest = self.split.partition(":")
        if head != "shift":
            return None
        kind, _, severity = rest.rpartition(":")
        return kind, float(severity)

    def select(self, rows: Any) -> Predictions:
        """Return the predictions of some rows, in the order asked for.

        Args:
            rows: Row indices, a boolean mask (N,) or a slice; a row may not come twice.

        Raises:
            ValueError: Where nothing is selected, or a row twice.
            IndexError: Where a row does not exist.

        Example:
            >>> d = ArrayDistribution("normal", {"loc": np.arange(3.0), "scale": np.ones(3)})
            >>> Predictions(d, np.zeros(3)).select([2, 0]).distribution.parameters["loc"]
            array([2., 0.])
        """
        index = np.arange(len(self))[rows if isinstance(rows, slice) else np.asarray(rows)]
        checks.check_shape("rows", index, ("N",))
        checks.check_not_empty("rows", index)
        if keyed.count_distinct(index) < len(index):
            raise ValueError(
                f"`rows` should name each row once, got {len(index)} rows of which "
                f"{keyed.count_distinct(index)} differ: say that a row counts k times by `weights`."
            )
        chosen: dict[str, Any] = {
            name: array[index]
            for name in ("target", *_PER_ROW)
            if (array := getattr(self, name)) is not None
        }
        chosen["distribution"] = families.select(self.distribution, index)
        chosen["scores"] = {name: score[index] for name, score in self.scores.items()}
        chosen["columns"] = {name: column[index] for name, column in self.columns.items()}
        # The rows were looked at when the whole was made: say it once.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RepeatedRowsWarning)
            return dataclasses.replace(self, **chosen)

    def _check_names(self) -> None:
        for name in ("source", "split", "training", "task"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"`{name}` should be a string, got {getattr(self, name)!r}.")
        if not self.source:
            raise ValueError("`source` should name the model, got an empty string.")
        check_split(self.split)

    def _set_array(self, name: str, value: Any) -> None:
        if value is not None:
            object.__setattr__(self, name, np.asarray(value))

    def _set_target(self) -> None:
        if self.class_names is not None:
            object.__setattr__(self, "class_names", _checked_class_names(self))
        if self.target is None:
            return
        target = np.asarray(self.target)
        checks.check_same_length(predictions=self.distribution, target=target)
        if self.is_classification:
            target = _class_indices(target, self.class_names, self.classes)
        else:
            expected: list[int | str] = ["N", *self.distribution.event_shape]
            checks.check_shape("target", target, expected, hint="one target a row")
            if target.dtype.kind not in "fiub":
                raise TypeError(f"`target` should hold numbers, got dtype {target.dtype}.")
            checks.check_finite("target", target, hint="drop rows without a target")
        object.__setattr__(self, "target", target)

    def _set_scores(self, rows: int) -> None:
        scores = {str(name): np.asarray(score) for name, score in self.scores.items()}
        for name, score in scores.items():
            shown = f"scores[{name!r}]"
            checks.check_shape(shown, score, (rows,), hint="one score a row")
            if score.dtype.kind not in "fiub":
                raise TypeError(f"`{shown}` should hold numbers, got dtype {score.dtype}.")
            # Infinite scores have a rank, NaN has none.
            if score.dtype.kind == "f" and np.isnan(score).any():
                checks.check_finite(shown, np.where(np.isinf(score), 0, score))
        object.__setattr__(self, "scores", scores)


def _checked_columns(columns: Mapping[str, Any], rows: int) -> dict[str, NDArray[Any]]:
    checked = {str(name): np.asarray(column) for name, column in columns.items()}
    check_column_names(checked)
    for name, column in checked.items():
        shown = f"columns[{name!r}]"
        checks.check_shape(shown, column, (rows,), hint="one value a row")
        if column.dtype.kind not in "fiubUSO":
            raise TypeError(f"`{shown}` should hold numbers or text, got dtype {column.dtype}.")
        checks.check_finite(shown, column, hint="give missing values a value of their own")
    return checked


def _checked_class_names(predictions: Predictions) -> tuple[str, ...]:
    assert predictions.class_names is not None
    names = tuple(str(name) for name in predictions.class_names)
    if not predictions.is_classification:
        raise ValueError(
            f"`class_names` should be None for {predictions.distribution.family} predictions, got "
            f"{len(names)} names."
        )
    if len(names) != predictions.classes:
        raise ValueError(
            f"`class_names` should have {predictions.classes} names, one a class, got {len(names)}."
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"`class_names` should all differ, got {twice!r} more than once.")
    return names


def _class_indices(
    target: NDArray[Any], class_names: tuple[str, ...] | None, classes: int
) -> NDArray[np.int64]:
    """Return class indices: whole numbers as they are, strings by the class names."""
    if target.dtype.kind not in "USO":
        checks.check_finite("target", target, hint="drop rows without a label")
        checks.check_labels("target", target, classes)
        return target.astype(np.int64)
    checks.check_shape("target", target, ("N",))
    if class_names is None:
        raise ValueError(
            f"`class_names` should say which class each label is, got none beside string labels "
            f"such as {str(target[0])!r}: give them in the order of the probabilities' columns."
        )
    index = {name: i for i, name in enumerate(class_names)}
    labels = [label.decode() if isinstance(label, bytes) else str(label) for label in target]
    unknown = sorted(set(labels) - index.keys())
    if unknown:
        raise ValueError(
            f"`target` should hold class names ({', '.join(class_names[:10])}"
            f"{', ...' if len(class_names) > 10 else ''}), got {', '.join(map(repr, unknown[:5]))} "
            f"in {sum(label not in index for label in labels)} of {len(labels)} rows."
        )
    return np.array([index[label] for label in labels], dtype=np.int64)


def _check_lengths(rows: int, arrays: Mapping[str, NDArray[Any] | None]) -> None:
    for name, array in arrays.items():
        if array is not None:
            checks.check_shape(name, array, (rows,), hint="one a prediction")


def _check_row_ids(row_ids: NDArray[Any]) -> None:
    checks.check_finite("row_ids", row_ids)
    unique, counts = np.unique(row_ids, return_counts=True)
    if len(unique) < len(row_ids):
        repeated = unique[counts > 1]
        raise ValueError(
            f"`row_ids` should name each row once, got {repeated[0].item()!r} "
            f"{counts[counts > 1][0]} times ({len(repeated)} ids come more than once): rows that "
            "belong together share a value of `groups`, not an id."
        )


def _checked_weights(weights: NDArray[Any]) -> NDArray[np.float64]:
    if weights.dtype.kind not in "fiub":
        raise TypeError(f"`weights` should hold numbers, got dtype {weights.dtype}.")
    checks.check_finite("weights", weights)
    checks.check_range("weights", weights, 0)
    if not weights.any():
        raise ValueError("`weights` should not all be zero, got no row that counts.")
    return weights.astype(np.float64)


def _warn_repeated(predictions: Predictions) -> None:
    repeated = repeated_rows(predictions)
    rows = len(predictions)
    if repeated >= max(2, rows // 100):
        warnings.warn(
            f"{repeated} of {rows} rows of {predictions.source!r} on {predictions.split!r} repeat "
            "another row's prediction and target exactly: if they are copies of the same item, pass "
            "`groups`, or intervals will be too short.",
            RepeatedRowsWarning,
            stacklevel=4,
        )


def repeated_rows(predictions: Predictions) -> int:
    """Count the rows that are exact copies of an earlier one, where equality means something.

    Trees answer with a few values and saturated networks with exactly one and zero, so that equal
    predictions are no evidence there: such rows are left out, and where numbers come from a coarse
    grid the count is 0.

    Example:
        >>> p = np.random.default_rng(0).dirichlet([1, 1, 1], size=100)
        >>> d = ArrayDistribution("categorical", {"probs": np.concatenate([p, p])})
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     repeated_rows(Predictions(d, np.zeros(200, dtype=int)))
        100
    """
    parameters = predictions.distribution.parameters
    shared = {p.name for p in predictions.distribution.form if p.shared}
    rows = len(predictions)
    blocks = [np.reshape(a, (rows, -1)) for name, a in parameters.items() if name not in shared]
    if predictions.target is not None:
        blocks.append(np.reshape(predictions.target, (rows, -1)))
    informative = np.ones(rows, dtype=bool)
    if predictions.is_classification:
        # Parameters of both kinds, probabilities and logits, show saturation by an extreme.
        informative = ~np.any((blocks[0] == 0) | (blocks[0] == 1) | np.isinf(blocks[0]), axis=1)
    keys = _hash_rows(blocks)[informative]
    distinct = keyed.count_distinct(keys)
    if distinct == len(keys) or distinct < max(10, len(keys) // 20):
        return 0
    first = np.unique(blocks[0][informative][:, 0][: 100 * distinct])
    return len(keys) - distinct if 2 * len(first) > distinct else 0


def _hash_rows(blocks: list[NDArray[Any]]) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each row: equal rows always agree, others almost never."""
    multiplier = np.uint64(0x9E3779B97F4A7C15)
    keys = np.zeros(len(blocks[0]), dtype=np.uint64)
    for block in blocks:
        for column in block.T:
            # Adding 0.0 makes -0.0 and 0.0 alike.
            bits = (column.astype(np.float64) + 0.0).view(np.uint64)
            keys = (keys ^ bits) * multiplier
            keys ^= keys >> np.uint64(29)
    return keys
