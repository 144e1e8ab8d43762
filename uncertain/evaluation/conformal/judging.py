r"""Do conformal sets keep their promise? Coverage against its law, sizes, and where it is lost.

The coverage of a fitted set is itself random: over calibration sets of n rows it follows
:math:`\mathrm{Beta}(n + 1 - l, l)` with :math:`l = \lfloor (n + 1) \alpha \rfloor`, so that the number of m
new rows that are covered is Beta-binomial. Eleven of a hundred targets missed at :math:`\alpha = 0.1` and
n = 100 are no evidence of anything, and the p-value says so.

Marginal coverage says nothing of any one kind of row. So coverage is had by the size of the set (a
method that is adaptive keeps it at every size) and by class, and per severity of a shift, where nothing
is promised.

Axis letters: ``N`` rows, ``C`` classes.

References:
    Vovk, Conditional validity of inductive conformal predictors, ACML (2012), proposition 2.
    Angelopoulos, Bates, A gentle introduction to conformal prediction, FTML (2023), sections 3 and 4.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain import checks, intervals
from uncertain.evaluation.alignment import without_trivial_groups
from uncertain.evaluation.conformal.intervals import (
    ConformalIntervals,
    fit_cqr,
    fit_normalised_residuals,
)
from uncertain.evaluation.conformal.sets import ConformalSets, fit_aps, fit_thr
from uncertain.evaluation.leakage import leak, with_leaks
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.results import Results, Row
from uncertain.evaluation.subgroups import column_text
from uncertain.intervals import Estimate, undefined

Fit = Callable[..., ConformalSets | ConformalIntervals]
FEWEST = 20
"""Rows of a size, a class or a group below which its coverage is not given; that of empty sets is."""
EMPTY = "size 0"
"""The part of rows whose set is empty, which all are missed."""
STRATA = 4
"""Into how many quarters the widths of intervals are cut."""


def evaluate_conformal(
    predictions: Predictions | Iterable[Predictions],
    *,
    validation: Predictions | Iterable[Predictions],
    alpha: float = 0.1,
    methods: Sequence[Fit] | None = None,
    by: Sequence[str] = (),
    within: str | None = None,
    level: float = 0.95,
    command: str = "",
) -> Results:
    """Fit conformal sets on validation rows and judge them on every labelled split.

    Args:
        predictions: What is judged: ``test`` and shifted splits of any sources and trainings.
        validation: Calibration rows, one a source and training.
        alpha: The share of targets that may be missed.
        methods: Fits such as :func:`fit_thr`, called with the validation predictions and ``alpha``;
            by default THR and APS for classes, CQR and normalised residuals for numbers.
        by: Columns of the predictions by whose values coverage is had too.
        within: A column whose every value gets a threshold of its own, and with it the promise for each
            value; the validation rows need it as well.
        level: Confidence level of every interval.
        command: The command line, kept in the results.

    Returns:
        Rows ``conformal_coverage``, ``set_size`` or ``interval_width``, ``conformal_coverage_by_size``,
        ``conformal_coverage_by_class`` and ``conformal_coverage_by_group``, the method and the goal in
        the variant. They can be added to those of :func:`uncertain.evaluation.evaluate`, and the report
        shows them.

    Raises:
        ValueError: A source and training without validation rows, a column that is not there, or what
            the fits raise.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> rng = np.random.default_rng(0)
        >>> p = rng.dirichlet([1, 1, 1], 1000)
        >>> labels = (p.cumsum(axis=1) > rng.random((1000, 1))).argmax(axis=1)
        >>> case = Predictions(ArrayDistribution("categorical", {"probs": p}), labels)
        >>> held = dataclasses.replace(case.select(slice(500)), split="validation")
        >>> found = evaluate_conformal(case.select(slice(500, 1000)), validation=held)
        >>> [(row.variant, row.p_value > 0.01) for row in found.select(metric="conformal_coverage")]
        [('APS,0.9', True), ('THR,0.9', True)]
    """
    cases = [predictions] if isinstance(predictions, Predictions) else list(predictions)
    held = [validation] if isinstance(validation, Predictions) else list(validation)
    intervals.check_level(level)
    checks.check_not_empty("predictions", cases)
    known = {(case.task, case.source, case.training): case for case in held}
    rows: list[Row] = []
    for case in cases:
        if case.target is None or case.ood_name is not None:
            continue
        key = (case.task, case.source, case.training)
        if key not in known:
            raise ValueError(
                f"`validation` should hold calibration rows of every source and training, got none of "
                f"source {case.source!r}, training {case.training!r}, task {case.task!r}."
            )
        for fit in usual_fits(case) if methods is None else methods:
            fitted = fit(known[key], alpha=alpha, **grouping(known[key], within))
            rows += conformal_rows(fitted, case, **grouping(case, within), by=by, level=level)
    return Results.create(rows, command=command)


def usual_fits(case: Predictions) -> tuple[Fit, Fit]:
    """Return the methods that are judged where none are named."""
    return (fit_thr, fit_aps) if case.is_classification else (fit_cqr, fit_normalised_residuals)


def grouping(case: Predictions, within: str | None) -> dict[str, Any]:
    """Return the ``groups=`` that give every value of a column a threshold, or nothing."""
    return {} if within is None else {"groups": _named_values(case, within)}


def _named_values(case: Predictions, column: str) -> NDArray[Any]:
    """Return ``column=value`` of each row, (N,), as a subgroup is called."""
    return np.array([f"{column}={value}" for value in column_text(case, column)])


def conformal_rows(
    fitted: ConformalSets | ConformalIntervals,
    case: Predictions,
    *,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    by: Sequence[str] = (),
    level: float = 0.95,
) -> list[Row]:
    """Return the figures of fitted sets or intervals on one labelled split.

    Args:
        fitted: What a fit of this package returned.
        case: The predictions, with targets; their own groups and weights are those of the rows.
        groups: (N,), where the fit had groups: their coverage is given too.
        weights: (N,) density ratios, where the fit had weights.
        by: Columns of the predictions by whose values coverage is had too.
        level: Confidence level of every interval.

    Raises:
        ValueError: Predictions without targets, and what the fitted value raises.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(99), "scale": np.ones(99)})
        >>> fitted = fit_cqr(d, np.linspace(-5, 5, 99))
        >>> rows = conformal_rows(fitted, Predictions(d, np.linspace(-5, 5, 99)))
        >>> [row.metric for row in rows[:2]]
        ['conformal_coverage', 'interval_width']
    """
    if case.target is None:
        raise ValueError("`case` should have targets to be covered, got none.")
    case = without_trivial_groups(case)
    found = fitted(case, groups=groups, weights=weights)
    target = np.asarray(case.target)
    if isinstance(fitted, ConformalSets):
        own = found[np.arange(len(target)), target.astype(np.intp)]
        covered: NDArray[np.bool_] = own.astype(np.bool_)
        size, metric = found.sum(axis=1).astype(np.float64), "set_size"
    else:
        covered = (found[:, 0] <= target) & (target <= found[:, 1])
        size, metric = found[:, 1] - found[:, 0], "interval_width"
    used = _used(fitted, case)
    table = _Table(fitted, case, covered, level, leaking=bool(leak(used)))
    limits = fitted.scores.thresholds(len(case), groups=groups, weights=weights)
    table.add("conformal_coverage", _marginal(table, limits))
    table.add(metric, _mean_size(table, size))
    for name, rows in _strata(size, whole=metric == "set_size"):
        fewest = 1 if name == EMPTY else FEWEST
        table.add_part("conformal_coverage_by_size", name, rows, fewest=fewest)
    if isinstance(fitted, ConformalSets):
        for c in np.unique(target).tolist():
            called = str(c) if case.class_names is None else case.class_names[c]
            table.add_part("conformal_coverage_by_class", called, target == c)
    if groups is not None:
        own = np.asarray(groups).astype(str)
        for group in np.unique(own).tolist():
            n = len(fitted.scores.values.get(group, ()))
            table.add_part("conformal_coverage_by_group", group, own == group, n=n)
    for names in (_named_values(case, column) for column in by):
        for group in np.unique(names).tolist():
            table.add_part("conformal_coverage_by_group", group, names == group)
    return with_leaks(table.rows, [used])


def coverage_p_value(covered: int, rows: int, *, n: int, alpha: float) -> float:
    """Return the two-sided p-value of a coverage under its Beta-binomial law.

    Twice the smaller tail: of n calibration rows with scores without ties, and m new ones.

    Args:
        covered: How many new targets were covered.
        rows: How many there were.
        n: Calibration rows.
        alpha: The share of targets that may be missed.

    Raises:
        ValueError: More covered than rows, or an alpha outside (0, 1).

    Example:
        >>> round(coverage_p_value(89, 100, n=100, alpha=0.1), 2)
        0.81
    """
    from scipy.stats import betabinom

    checks.check_range("alpha", alpha, 0, 1, open_low=True, open_high=True)
    checks.check_range("covered", covered, 0, rows)
    missed = math.floor((n + 1) * alpha * (1 + 1e-12))
    if missed == 0:
        return 1.0 if covered == rows else 0.0
    law = betabinom(rows, n + 1 - missed, missed)
    return float(min(1.0, 2 * min(law.cdf(covered), law.sf(covered - 1))))


class _Table:
    """The rows of one fitted value on one split."""

    def __init__(
        self,
        fitted: ConformalSets | ConformalIntervals,
        case: Predictions,
        covered: NDArray[np.bool_],
        level: float,
        *,
        leaking: bool,
    ) -> None:
        self.fitted, self.case, self.covered, self.level = fitted, case, covered, level
        self.leaking = leaking
        self.rows: list[Row] = []

    def add(self, metric: str, estimate: Estimate, part: str = "") -> None:
        scores, case = self.fitted.scores, self.case
        shape = "shifted inputs" if scores.weighted else "by group" if scores.grouped else ""
        words = (self.fitted.method, f"{1 - scores.alpha:.12g}", shape, part)
        self.rows.append(
            Row.from_estimate(
                metric,
                estimate,
                source=case.source,
                variant=",".join(word for word in words if word),
                split=case.split,
                task=case.task,
                training=case.training,
            )
        )

    def add_part(
        self, metric: str, part: str, rows: NDArray[np.bool_], *, n: int = 0, fewest: int = FEWEST
    ) -> None:
        """Add the coverage of some rows, where they are enough to say anything.

        ``n`` calibration rows of their own give it a law, and a p-value.
        """
        if np.count_nonzero(rows) >= fewest:
            estimate = self.share(rows)
            if n and self.has_law:
                estimate = estimate._replace(p_value=self.p_value(rows, n))
            self.add(metric, estimate, part)

    @property
    def has_law(self) -> bool:
        """Whether the coverage of one threshold is Beta-binomial."""
        fitted, case = self.fitted, self.case
        exact = fitted.exact if isinstance(fitted, ConformalSets) else True
        plain = not fitted.scores.weighted and case.weights is None and case.groups is None
        # Rows that gave the threshold are no new rows: no law says how many of them are covered.
        return exact and plain and case.split == "test" and not self.leaking

    def p_value(self, rows: NDArray[np.bool_], n: int) -> float:
        """Return the p-value of the coverage of some rows under the law of n calibration rows."""
        covered = self.covered[rows]
        alpha = self.fitted.scores.alpha
        return coverage_p_value(int(covered.sum()), len(covered), n=n, alpha=alpha)

    def share(self, rows: NDArray[np.bool_] | slice = slice(None)) -> Estimate:
        """Return the coverage of some rows with its interval."""
        w, g = self.case.weights, self.case.groups
        if w is not None and not np.any(w[rows]):
            return undefined("rows of weight 0 only", n=len(self.covered[rows]), level=self.level)
        return intervals.proportion(
            self.covered[rows],
            weights=None if w is None else w[rows],
            groups=None if g is None else g[rows],
            level=self.level,
        )


def _marginal(table: _Table, limits: NDArray[np.float64]) -> Estimate:
    """Return the coverage with its p-value, where the law is known."""
    estimate = table.share()
    scores, case = table.fitted.scores, table.case
    reasons = []
    endless = int(np.isinf(limits).sum())
    if endless:
        words = f"{endless} of {len(limits)} sets hold everything: too few calibration rows"
        reasons.append(f"{words} for {1 - scores.alpha:.12g}")
    plain = not (scores.grouped or scores.weighted) and case.weights is None and case.groups is None
    if isinstance(table.fitted, ConformalSets) and not table.fitted.exact:
        reasons.append("sets that are not randomised cover more than their law says")
        return estimate._replace(reason="; ".join(reasons))
    if plain and table.has_law:
        p = table.p_value(np.ones(len(case), dtype=bool), len(scores))
        estimate = estimate._replace(p_value=p)
    elif not plain:
        reasons.append(
            "its Beta-binomial law holds for each group"
            if scores.grouped and table.has_law
            else "its Beta-binomial law holds for plain rows and one threshold only"
        )
    return estimate._replace(reason="; ".join(reasons))


def _mean_size(table: _Table, size: NDArray[np.float64]) -> Estimate:
    case = table.case
    return intervals.mean(size, weights=case.weights, groups=case.groups, level=table.level)


def _strata(size: NDArray[np.float64], *, whole: bool) -> list[tuple[str, NDArray[np.bool_]]]:
    """Return rows of one set size each, or of one quarter of the widths."""
    if whole:
        return [(f"size {int(s)}", size == s) for s in np.unique(size)]
    if not np.isfinite(size).all() or np.ptp(size) <= 1e-9 * np.abs(size).max():
        return []
    edges = np.quantile(size, np.arange(1, STRATA) / STRATA)
    place = np.searchsorted(edges, size, side="left")
    return [(f"width quarter {q + 1}", place == q) for q in range(STRATA)]


def _used(fitted: Any, case: Predictions) -> Predictions:
    """Return the predictions with the record of the calibration rows, for the judge to compare."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dataclasses.replace(case, fitted_on=(*case.fitted_on, fitted.fitted_on))
