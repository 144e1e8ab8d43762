r"""Conformal sets of classes: THR (LAC), APS and RAPS.

With classes in decreasing order of probability, :math:`o(y)` the place of class y, and u uniform:

.. math::
    s_\text{THR} = 1 - p_y, \qquad
    s_\text{APS} = \sum_{c : o(c) < o(y)} p_c + u\, p_y, \qquad
    s_\text{RAPS} = s_\text{APS} + \lambda \max(0, o(y) - k)

A set holds the classes whose score is at most the threshold. THR has the smallest sets on average, APS
adapts them to the row, RAPS keeps them from growing with the tail of many classes. u belongs to a row,
by its id or else by its prediction, so that no order of the rows changes a set.

Without randomisation u is 1, and a set also holds the class at which the threshold is passed: otherwise
the surest rows, whose first class passes it, would have none. Such sets are never empty, hold one class
more than those whose score is at most the threshold (unless these hold all, or end at it), and cover more
than was asked for. These smaller ones keep the promise as well: ``fitted.class_scores(p) <=
fitted.scores.thresholds(len(p))[:, None]``.

Axis letters: ``N`` rows, ``C`` classes.

References:
    Sadinle, Lei, Wasserman, Least ambiguous set-valued classifiers with bounded error levels, JASA
    (2019).
    Romano, Sesia, Candès, Classification with valid and adaptive coverage, NeurIPS (2020), section 2.
    Angelopoulos, Bates, Malik, Jordan, Uncertainty sets for image classifiers using conformal
    prediction, ICLR (2021), equation 4.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain import checks, families
from uncertain.evaluation.calibrators.calibrator import check_count
from uncertain.evaluation.calibrators.rows import (
    Float,
    as_array,
    as_arrays,
    check_classes,
    check_labels,
    rows_of,
)
from uncertain.evaluation.conformal.scores import Scores, calibration_scores
from uncertain.evaluation.predictions import Predictions
from uncertain.keyed import hash_rows, uniforms
from uncertain.predictive.provenance import FittedOn


@dataclass(frozen=True, eq=False)
class ConformalSets:
    """Fitted conformal sets; the call maps predictions to sets of classes.

    Attributes:
        method: ``THR``, ``APS`` or ``RAPS``.
        scores: The calibration scores.
        classes: C.
        fitted_on: Which rows it was fitted on.
        randomised: Whether u is drawn.
        penalty: RAPS' lambda.
        free_classes: RAPS' k.
        seed: Of u.
    """

    method: str
    scores: Scores
    classes: int
    fitted_on: FittedOn
    randomised: bool = False
    penalty: float = 0.0
    free_classes: int = 0
    seed: int = 0

    def __repr__(self) -> str:
        """Show the method and the goal, and from how many rows: not the rows' scores."""
        return f"ConformalSets({self.method!r}, {self.scores!r})"

    def __call__(
        self, predictions: Any, *, row_ids: Any = None, groups: Any = None, weights: Any = None
    ) -> NDArray[np.bool_]:
        """Return sets (N, C), ``True`` for the classes inside; all of them where rows were too few.

        Args:
            predictions: A distribution or ``Predictions``, whose row ids are then taken.
            row_ids: (N,) ids, by which u is drawn; by default by what is predicted.
            groups: (N,), where the calibration rows had groups.
            weights: (N,) density ratios, where the calibration rows had weights.

        Raises:
            TypeError: For predictions that are not over classes.
            ValueError: For another number of classes, and as :meth:`Scores.thresholds`.
        """
        if isinstance(predictions, Predictions):
            row_ids = predictions.row_ids if row_ids is None else row_ids
            predictions = predictions.distribution
        d = as_arrays(predictions)
        check_classes(d, self.method)
        p = families.class_probabilities(d)
        check_count("classes", p.shape[1], self.classes, self.method)
        every = self.class_scores(p, row_ids)
        limits = self.scores.thresholds(len(p), groups=groups, weights=weights)
        if self.exact:
            return np.asarray(every <= limits[:, None])
        return np.asarray(_score_before(p, every) < limits[:, None])

    @property
    def exact(self) -> bool:
        """Whether coverage is no more than the goal asks for, but for ties."""
        return self.method == "THR" or self.randomised

    def class_scores(self, p: Float, row_ids: Any = None) -> Float:
        """Return the score of every class, (N, C), from probabilities (N, C)."""
        if self.method == "THR":
            return np.asarray(1 - p)
        order = np.argsort(-p, axis=1, kind="stable")
        ordered = np.take_along_axis(p, order, axis=1)
        before = np.cumsum(ordered, axis=1) - ordered
        u = self._draws(p, row_ids)[:, None] if self.randomised else 1.0
        found = before + u * ordered
        place = np.arange(1, p.shape[1] + 1)
        found = found + self.penalty * np.maximum(0, place - self.free_classes)
        every = np.empty_like(found)
        np.put_along_axis(every, order, found, axis=1)
        return np.asarray(every)

    def _draws(self, p: Float, row_ids: Any) -> Float:
        keys = hash_rows(*p.T) if row_ids is None else hash_rows(as_array(row_ids))
        out: Float = uniforms(keys, draw=self.seed)
        return out


def _score_before(p: Float, every: Float) -> Float:
    """Return the score of the class before each in the order of probability; the first is minus infinity."""
    order = np.argsort(-p, axis=1, kind="stable")
    ordered = np.take_along_axis(every, order, axis=1)
    before = np.concatenate([np.full((len(p), 1), -np.inf), ordered[:, :-1]], axis=1)
    found = np.empty_like(before)
    np.put_along_axis(found, order, before, axis=1)
    return found


def fit_thr(
    predictions: Any,
    labels: Any = None,
    *,
    alpha: float = 0.1,
    split: str | None = None,
    row_ids: Any = None,
    groups: Any = None,
    weights: Any = None,
) -> ConformalSets:
    """Return sets of the classes above one threshold of probability (THR, also called LAC).

    Args:
        predictions: N predictions of classes on calibration rows: a distribution, or ``Predictions``,
            which bring labels, split and row ids. Their groups and weights are not taken: those are
            for intervals, these change what is promised.
        labels: (N,) class indices.
        alpha: The share of labels that may be missed.
        split: The name of these rows' split, ``validation`` by default.
        row_ids: (N,) ids.
        groups: (N,) groups, each to be covered by itself.
        weights: (N,) density ratios of new against calibration inputs.

    Raises:
        ValueError: Fewer than ten rows, labels outside, NaN, wrong lengths.
        TypeError: Predictions that are not over classes.

    Example:
        >>> p = np.random.default_rng(0).dirichlet([1, 1, 1], 500)
        >>> labels = (p.cumsum(axis=1) > np.random.default_rng(1).random((500, 1))).argmax(axis=1)
        >>> fitted = fit_thr(families.ArrayDistribution("categorical", {"probs": p}), labels)
        >>> fitted(families.ArrayDistribution("categorical", {"probs": np.array([[0.98, 0.01, 0.01]])}))
        array([[ True, False, False]])
    """
    blank = ConformalSets("THR", _none(alpha), 0, FittedOn("THR", "validation", 0))
    return _fit(blank, predictions, labels, alpha, split, row_ids, groups, weights)


def fit_aps(
    predictions: Any,
    labels: Any = None,
    *,
    alpha: float = 0.1,
    randomised: bool = True,
    seed: int = 0,
    split: str | None = None,
    row_ids: Any = None,
    groups: Any = None,
    weights: Any = None,
) -> ConformalSets:
    """Return sets of the most probable classes up to a share of probability (APS).

    Args:
        predictions: As :func:`fit_thr`.
        labels: (N,) class indices.
        alpha: The share of labels that may be missed.
        randomised: Whether the last class enters by chance. Without, the class that passes the
            threshold always enters, beyond those whose cumulative probability is at most the
            threshold: sets are never empty, and cover more than the goal asks for.
        seed: Of that chance, 0 or more.
        split: The name of these rows' split.
        row_ids: (N,) ids.
        groups: (N,) groups, each to be covered by itself.
        weights: (N,) density ratios.

    Raises:
        ValueError: As :func:`fit_thr`.
        TypeError: Predictions that are not over classes.

    Example:
        >>> p = np.random.default_rng(0).dirichlet([1, 1, 1], 500)
        >>> labels = (p.cumsum(axis=1) > np.random.default_rng(1).random((500, 1))).argmax(axis=1)
        >>> fit_aps(families.ArrayDistribution("categorical", {"probs": p}), labels).method
        'APS'
    """
    checks.check_range("seed", seed, 0)
    blank = ConformalSets(
        "APS", _none(alpha), 0, FittedOn("APS", "validation", 0), randomised, seed=seed
    )
    return _fit(blank, predictions, labels, alpha, split, row_ids, groups, weights)


def fit_raps(
    predictions: Any,
    labels: Any = None,
    *,
    alpha: float = 0.1,
    penalty: float = 0.01,
    free_classes: int = 5,
    randomised: bool = True,
    seed: int = 0,
    split: str | None = None,
    row_ids: Any = None,
    groups: Any = None,
    weights: Any = None,
) -> ConformalSets:
    """Return APS with a penalty on every class beyond the first few (RAPS).

    Args:
        predictions: As :func:`fit_thr`.
        labels: (N,) class indices.
        alpha: The share of labels that may be missed.
        penalty: What each further class costs, at least 0. Choose it on other rows.
        free_classes: How many classes cost nothing.
        randomised: As :func:`fit_aps`.
        seed: As :func:`fit_aps`.
        split: The name of these rows' split.
        row_ids: (N,) ids.
        groups: (N,) groups, each to be covered by itself.
        weights: (N,) density ratios.

    Raises:
        ValueError: As :func:`fit_thr`, and for a negative penalty.
        TypeError: Predictions that are not over classes.

    Example:
        >>> p = np.random.default_rng(0).dirichlet(np.ones(20), 500)
        >>> labels = (p.cumsum(axis=1) > np.random.default_rng(1).random((500, 1))).argmax(axis=1)
        >>> d = families.ArrayDistribution("categorical", {"probs": p})
        >>> sizes = [f(d, labels)(d).sum(axis=1).max() for f in (fit_aps, fit_raps)]
        >>> bool(sizes[1] < sizes[0])
        True
    """
    checks.check_range("seed", seed, 0)
    checks.check_range("penalty", penalty, 0)
    checks.check_range("free_classes", free_classes, 0)
    blank = ConformalSets(
        "RAPS", _none(alpha), 0, FittedOn("RAPS", "validation", 0),
        randomised, penalty, free_classes, seed,
    )  # fmt: skip
    return _fit(blank, predictions, labels, alpha, split, row_ids, groups, weights)


def _none(alpha: float) -> Scores:
    return Scores(alpha, {}, {})


def _fit(
    blank: ConformalSets,
    predictions: Any,
    labels: Any,
    alpha: float,
    split: str | None,
    row_ids: Any,
    groups: Any,
    weights: Any,
) -> ConformalSets:
    if isinstance(predictions, Predictions) and row_ids is None:
        row_ids = predictions.row_ids
    rows = rows_of(
        predictions, labels, method=blank.method, split=split, row_ids=row_ids, weights=None, groups=None
    )  # fmt: skip
    check_classes(rows.distribution, blank.method)
    p = families.class_probabilities(rows.distribution)
    target = check_labels(rows.target, rows.weights, p.shape[1], blank.method)
    every = blank.class_scores(p, row_ids)
    own = every[np.arange(len(p)), target]
    scores = calibration_scores(own, alpha=alpha, groups=groups, weights=weights)
    return dataclasses.replace(blank, scores=scores, classes=p.shape[1], fitted_on=rows.fitted_on)
