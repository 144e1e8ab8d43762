r"""Scores of class probabilities: accuracy, log-likelihood and Brier score, each with its interval.

Rows are scored in float64, a few thousand at a time, so that nothing as large as the input is
built. Plain averages keep exact sums (:mod:`uncertain.evaluation.exact`): the same bits for any
batching, order or sharding. With weights or groups the interval needs the rows themselves; they are
kept, at most 33 bytes each, and :mod:`uncertain.intervals` sorts them before it adds anything.

Conventions, where libraries differ: NLL in nats, never clamped, so that one row with probability 0
for its true class makes it infinite; Brier summed over classes, in [0, 2] (scikit-learn's
``scale_by_half=False``; its binary default is half of ours, the mean over classes a C-th).

Axis letters: ``N`` rows, ``C`` classes.

References:
    Brier, Verification of forecasts expressed in terms of probability, Monthly Weather Review (1950).
    Gneiting and Raftery, Strictly proper scoring rules, prediction, and estimation, JASA (2007).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain import checks, intervals
from uncertain.evaluation.exact import ExactSum
from uncertain.evaluation.top_label import chunk_rows, top_label
from uncertain.intervals import Estimate


class RowScores(NamedTuple):
    """What each row says about itself.

    Attributes:
        correct: Whether the most likely class (the first of equals) is the label, bool, (N,).
        nll: ``-log p(label)`` in nats, ``inf`` where that is 0, float64, (N,).
        brier: Sum over classes of squared errors, float64, (N,).
        confidence: The largest probability, in the probabilities' own dtype, (N,).
    """

    correct: NDArray[np.bool_]
    nll: NDArray[np.float64]
    brier: NDArray[np.float64]
    confidence: NDArray[Any]


def row_scores(
    probabilities: ArrayLike, labels: ArrayLike, *, log_probabilities: ArrayLike | None = None
) -> RowScores:
    """Score every row.

    Args:
        probabilities: (N, C), rows summing to one.
        labels: Class indices, (N,).
        log_probabilities: (N, C), the same in logarithms, where they are known: NLL then keeps
            probabilities that underflow.

    Raises:
        ValueError: For rows that are no probability vectors, labels out of range, wrong lengths,
            or log-probabilities that are NaN or above 0.
        TypeError: For labels that are not whole numbers.

    Example:
        >>> row_scores([[0.5, 0.5], [0.0, 1.0]], [0, 1]).brier.tolist()
        [0.5, 0.0]
    """
    p, y = check_classification(probabilities, labels)
    logs = None if log_probabilities is None else _check_logs(log_probabilities, p.shape)
    n, classes = p.shape
    correct, confidence = np.empty(n, np.bool_), np.empty(n, p.dtype)
    nll, brier = np.empty(n), np.empty(n)
    step = chunk_rows(classes)
    for start in range(0, n, step):
        part = slice(start, start + step)
        chunk, truth = p[part], y[part]
        rows = np.arange(len(truth))
        confidence[part], correct[part] = top_label(chunk, truth)
        # One memory order whatever the input's: the order of additions in a row is then fixed.
        errors = np.array(chunk, dtype=np.float64, order="C")
        if logs is None:
            with np.errstate(divide="ignore"):
                nll[part] = -np.log(errors[rows, truth])
        else:
            nll[part] = -logs[part][rows, truth].astype(np.float64)
        errors[rows, truth] -= 1.0
        brier[part] = np.einsum("nc,nc->n", errors, errors)
    return RowScores(correct, nll + 0.0, brier, confidence)  # + 0.0: a score of 0 has no sign


class ClassificationState:
    """Mergeable sums behind accuracy, NLL and Brier score.

    Example:
        >>> p, y = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([0, 1, 1])
        >>> whole = ClassificationState().update(p, y)
        >>> parts = ClassificationState().update(p[2:], y[2:])
        >>> parts.merge(ClassificationState().update(p[:2], y[:2])).compute() == whole.compute()
        True
    """

    def __init__(self) -> None:
        self._n = 0
        self._correct = 0
        self._sums = {name: (ExactSum(), ExactSum()) for name in ("nll", "brier")}
        self._rows: list[_Rows] = []

    def update(
        self,
        probabilities: ArrayLike,
        labels: ArrayLike,
        *,
        log_probabilities: ArrayLike | None = None,
        weights: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> ClassificationState:
        """Add rows; see :func:`row_scores` and :func:`accuracy` for the arguments.

        Raises:
            ValueError: Also where some updates have weights or groups and others not.
        """
        scores = row_scores(probabilities, labels, log_probabilities=log_probabilities)
        return self.update_scores(scores, weights=weights, groups=groups)

    def update_scores(
        self,
        scores: RowScores,
        *,
        weights: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> ClassificationState:
        """Add rows that :func:`row_scores` has scored."""
        n = len(scores.correct)
        if n == 0:
            return self
        if weights is not None or groups is not None:
            self._refuse_mixing(self._n > 0 and not self._rows)
            self._rows.append(_Rows.of(scores, weights, groups))
        else:
            self._refuse_mixing(bool(self._rows))
            for name, (total, squares) in self._sums.items():
                values = getattr(scores, name)
                total.update(values)
                squares.update(values * values)
        self._n += n
        self._correct += int(np.count_nonzero(scores.correct))
        return self

    def merge(self, other: ClassificationState) -> ClassificationState:
        """Add another state to this one."""
        if self._n and other._n:
            self._refuse_mixing(bool(self._rows) != bool(other._rows))
        self._n += other._n
        self._correct += other._correct
        self._rows = [*self._rows, *other._rows]
        for name, (total, squares) in self._sums.items():
            total.merge(other._sums[name][0])
            squares.merge(other._sums[name][1])
        return self

    def compute(self, *, level: float = 0.95) -> dict[str, Estimate]:
        """Return ``accuracy``, ``nll`` and ``brier`` of all rows seen."""
        intervals.check_level(level)
        if self._rows:
            return _Rows.concat(self._rows).estimates(level)
        found = {"accuracy": intervals.wilson(self._correct, self._n, level=level)}
        for name, (total, squares) in self._sums.items():
            if total.infinite[0]:
                found[name] = _infinite(int(total.infinite[0]), self._n, level, None)
            else:
                sums = total.fraction(), squares.fraction()
                found[name] = intervals.mean_t(self._n, *sums, level=level)
        return found

    def _refuse_mixing(self, mixed: bool) -> None:
        if mixed:
            raise ValueError(
                "`weights` and `groups` should be given in every update or in none, got both kinds."
            )


class _Rows(NamedTuple):
    """Kept rows of a weighted or grouped state."""

    correct: NDArray[np.bool_]
    nll: NDArray[np.float64]
    brier: NDArray[np.float64]
    weights: NDArray[np.float64] | None
    groups: NDArray[Any] | None

    @classmethod
    def of(cls, scores: RowScores, weights: ArrayLike | None, groups: ArrayLike | None) -> _Rows:
        n = len(scores.correct)
        w = None if weights is None else intervals.check_weights(weights, n)
        g = None if groups is None else np.asarray(groups)
        if g is not None:
            checks.check_shape("groups", g, (n,), hint="one group a row")
        return cls(scores.correct, scores.nll, scores.brier, w, g)

    @classmethod
    def concat(cls, parts: list[_Rows]) -> _Rows:
        columns: list[Any] = []
        for column in zip(*parts, strict=True):
            present = [part for part in column if part is not None]
            if present and len(present) < len(column):
                raise ValueError(
                    "`weights` and `groups` should be given in every update or in none, "
                    "got both kinds."
                )
            columns.append(np.concatenate(present) if present else None)
        return cls(*columns)

    def estimates(self, level: float) -> dict[str, Estimate]:
        w = self.weights
        ids = None if self.groups is None else intervals.group_ids(self.groups)
        infinite = np.isinf(self.nll) if w is None else np.isinf(self.nll) & (w > 0)
        count = int(np.count_nonzero(infinite))
        return {
            "accuracy": intervals.proportion(self.correct, weights=w, groups=ids, level=level),
            "nll": _infinite(count, len(self.nll), level, ids)
            if count
            else intervals.mean(self.nll, weights=w, groups=ids, level=level),
            "brier": intervals.mean(self.brier, weights=w, groups=ids, level=level),
        }


def accuracy(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Return the share of rows whose most likely class is the label, with Wilson's interval.

    Equal largest probabilities count as the first class. With weights or groups the interval is
    Wilson's at the rows' effective number (:func:`uncertain.intervals.proportion`).

    Args:
        probabilities: (N, C), rows summing to one.
        labels: Class indices, (N,).
        weights: Non-negative row weights, (N,); their scale does not matter.
        groups: Resampling unit of each row, (N,): rows that share a value are dependent.
        level: Nominal coverage.

    Raises:
        ValueError: As :func:`row_scores`, and for weights that are negative or all zero.

    Example:
        >>> accuracy([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], [0, 1, 1]).value
        0.6666666666666666
    """
    return _one("accuracy", probabilities, labels, weights, groups, level)


def nll(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    log_probabilities: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    r"""Return the mean of :math:`-\log p_i(y_i)` in nats, with a t interval.

    Nothing is clamped: a label of probability 0 makes the value infinite, and ``reason`` counts
    such rows.

    Args:
        probabilities: (N, C), rows summing to one.
        labels: Class indices, (N,).
        log_probabilities: (N, C), where known; see :func:`row_scores`.
        weights: Non-negative row weights, (N,).
        groups: Resampling unit of each row, (N,); the interval is then cluster-robust.
        level: Nominal coverage.

    Raises:
        ValueError: As :func:`accuracy`.

    Example:
        >>> nll([[0.0, 1.0], [0.5, 0.5]], [0, 1]).reason
        'the true class has probability 0 in 1 of 2 rows'
    """
    return _one("nll", probabilities, labels, weights, groups, level, log_probabilities)


def brier(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    r"""Return the mean of :math:`\sum_c (p_{ic} - 1[y_i = c])^2`, with a t interval.

    Args:
        probabilities: (N, C), rows summing to one.
        labels: Class indices, (N,).
        weights: Non-negative row weights, (N,).
        groups: Resampling unit of each row, (N,); the interval is then cluster-robust.
        level: Nominal coverage.

    Raises:
        ValueError: As :func:`accuracy`.

    Example:
        >>> brier([[0.5, 0.5], [0.0, 1.0]], [0, 1]).value
        0.25
    """
    return _one("brier", probabilities, labels, weights, groups, level)


def check_classification(
    probabilities: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return probabilities (N, C) as they are and labels (N,) as integers, checked."""
    p, y = np.asarray(probabilities), np.asarray(labels)
    checks.check_shape("probabilities", p, ("N", "C"))
    checks.check_not_empty("probabilities", p)
    checks.check_same_length(probabilities=p, labels=y)
    checks.check_labels("labels", y, p.shape[1])
    if p.dtype.kind != "f":
        p = p.astype(np.float64)
    checks.check_probabilities("probabilities", p)
    return p, y.astype(np.intp, copy=False)


def _check_logs(log_probabilities: ArrayLike, shape: tuple[int, ...]) -> NDArray[Any]:
    logs = np.asarray(log_probabilities)
    checks.check_shape("log_probabilities", logs, shape)
    # A little above 0 is rounding of a probability of 1.
    checks.check_range("log_probabilities", logs, high=checks.PROBABILITY_TOLERANCE)
    return logs


def _one(
    name: str,
    probabilities: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike | None,
    groups: ArrayLike | None,
    level: float,
    log_probabilities: ArrayLike | None = None,
) -> Estimate:
    intervals.check_level(level)
    update: Callable[..., ClassificationState] = ClassificationState().update
    state = update(
        probabilities,
        labels,
        log_probabilities=log_probabilities,
        weights=weights,
        groups=groups,
    )
    return state.compute(level=level)[name]


def _infinite(count: int, n: int, level: float, groups: NDArray[np.intp] | None) -> Estimate:
    reason = f"the true class has probability 0 in {count} of {n} rows"
    n_groups = None if groups is None else int(groups.max()) + 1
    return intervals.undefined(reason, value=math.inf, n=n, level=level, n_groups=n_groups)
