"""All figures of class predictions, from one scoring of the rows: what the judge asks for.

Axis letters: ``N`` rows, ``C`` classes.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from uncertain import intervals
from uncertain.evaluation import calibration_intervals as inversion
from uncertain.evaluation import corp, cumulative_calibration, smooth_calibration
from uncertain.evaluation.calibration_bins import BINNINGS, Binning, BinTable
from uncertain.evaluation.calibration_rows import (
    BIASED,
    Rows,
    adaptive_error,
    binned,
    check_draws,
    classwise_error,
    classwise_null,
    classwise_tables,
    gap_model,
    inverted,
    model_of,
    null_estimate,
    plug_in,
)
from uncertain.evaluation.calibration_sorted import SortedRows
from uncertain.evaluation.classification import ClassificationState, RowScores, row_scores
from uncertain.intervals import Estimate

Kind = Literal["estimate", "null"]


class NamedEstimate(NamedTuple):
    """One figure of a report: ``variant`` is ``binning,bins,norm,mode`` for calibration."""

    metric: str
    variant: str
    kind: Kind
    estimate: Estimate


def classification_estimates(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    log_probabilities: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
    replicates: int = 1000,
    bins: int = 15,
) -> list[NamedEstimate]:
    """Return every classification and calibration figure, from one scoring of the rows.

    Args:
        probabilities: (N, C), rows summing to one.
        labels: Class indices, (N,).
        log_probabilities: (N, C), where known; see
            :func:`uncertain.evaluation.classification.row_scores`.
        weights: Non-negative row weights, (N,).
        groups: Resampling unit of each row, (N,).
        level: Nominal coverage.
        seed: Of the draws behind calibration's intervals.
        replicates: Half their number.
        bins: Of every binning.

    Returns:
        ``accuracy``, ``nll``, ``brier`` with variant ``""``; ``ece``, ``ece_null``,
        ``ece_debiased`` and ``rms_calibration_error_debiased`` of the top label by equal-width and
        equal-mass bins; ``smooth_ece`` and its null, ``calibration_ks``, ``calibration_kuiper``,
        ``spiegelhalter_z`` and the terms of both scores' decompositions, of the top label and, with
        two classes, of the positive one; ``ece``, ``ece_null`` and ``adaptive_calibration_error``
        classwise.

    Example:
        >>> found = classification_estimates([[0.9, 0.1], [0.3, 0.7]], [0, 1])
        >>> found[0].metric, found[0].estimate.value, found[3].metric, found[3].variant
        ('accuracy', 1.0, 'ece', 'equal_width,15,l1,top_label')
    """
    check_draws(replicates)
    intervals.check_level(level)
    scores = row_scores(probabilities, labels, log_probabilities=log_probabilities)
    second = None
    if np.shape(probabilities)[1] == 2:
        second = np.asarray(probabilities)[:, 1], np.asarray(labels) == 1
    rows = Rows.of(scores.confidence, scores.correct, weights, groups)
    tables = classwise_tables(probabilities, labels, rows, bins)
    return scored_estimates(
        scores,
        (tables["equal_width"], tables["equal_mass"]),
        second,
        weights=weights,
        groups=groups,
        level=level,
        seed=seed,
        replicates=replicates,
        bins=bins,
    )


def scored_estimates(
    scores: RowScores,
    classwise: tuple[list[BinTable], list[BinTable] | None],
    second: tuple[ArrayLike, ArrayLike] | None = None,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
    replicates: int = 1000,
    bins: int = 15,
) -> list[NamedEstimate]:
    """Return what :func:`classification_estimates` does, of rows that are scored already.

    Args:
        scores: From :func:`uncertain.evaluation.classification.row_scores`.
        classwise: A table a class of ``bins`` equal-width bins, and one of equal-mass bins; ``None``
            for these where the rows were read in pieces: they need all rows at once.
        second: With two classes, the probability of the second (N,) and whether it came true.
        weights: (N,) or ``None``.
        groups: (N,) or ``None``.
        level: Nominal coverage.
        seed: Of the draws.
        replicates: Half their number.
        bins: Of every binning.
    """
    state = ClassificationState().update_scores(scores, weights=weights, groups=groups)
    found = [
        NamedEstimate(name, "", "estimate", estimate)
        for name, estimate in state.compute(level=level).items()
    ]
    rows = Rows.of(scores.confidence, scores.correct, weights, groups)
    ordered = SortedRows.of(rows.confidence, rows.outcome, rows.weights)
    for binning in BINNINGS:
        found += _binned(rows, ordered, binning, bins, level, seed, replicates)
    found += _without_bins(rows, ordered, "top_label", level, seed)
    if second is not None:
        found += _positive(*second, weights, groups, level, seed)
    wide, even = classwise
    variant = f"equal_width,{bins},l1,classwise"
    null = classwise_null(wide, rows, level, seed, replicates)
    value = plug_in(classwise_error(wide), rows, level)
    if even is None:
        why = "equal-mass bins of a class need all rows at once: the file was read in pieces"
        adaptive = intervals.undefined(why, n=rows.n, level=level, n_groups=rows.n_groups)
    else:
        adaptive = plug_in(adaptive_error(even), rows, level, reason=BIASED)
    found.append(NamedEstimate("ece", variant, "estimate", value))
    found.append(NamedEstimate("ece_null", variant, "null", null))
    variant = f"equal_mass,{bins},l1,classwise"
    found.append(NamedEstimate("adaptive_calibration_error", variant, "estimate", adaptive))
    return found


def _binned(
    rows: Rows,
    ordered: SortedRows,
    binning: Binning,
    bins: int,
    level: float,
    seed: int,
    replicates: int,
) -> list[NamedEstimate]:
    if rows.weights is None:
        model = model_of(rows, binned(ordered, binning, bins))
    else:
        model = gap_model(rows, binning, bins)
    draws = inversion.draw(model, seed=seed, replicates=replicates)
    l1, l2 = f"{binning},{bins},l1,top_label", f"{binning},{bins},l2,top_label"
    null = null_estimate(model, draws, rows, level, seed)
    error = inverted(model, draws, rows, level, "l1")._replace(p_value=null.p_value)
    rms = inverted(model, draws, rows, level, "l2")
    observed = plug_in(model.statistic("l1"), rows, level)
    return [
        NamedEstimate("ece", l1, "estimate", observed),
        NamedEstimate("ece_null", l1, "null", null),
        NamedEstimate("ece_debiased", l1, "estimate", error),
        NamedEstimate("rms_calibration_error_debiased", l2, "estimate", rms),
    ]


def _positive(
    confidence: ArrayLike,
    outcome: ArrayLike,
    weights: ArrayLike | None,
    groups: ArrayLike | None,
    level: float,
    seed: int,
) -> list[NamedEstimate]:
    """Return the figures without bins of class 1 of two, whose frequency is also asked for."""
    rows = Rows.of(np.asarray(confidence), np.asarray(outcome), weights, groups)
    ordered = SortedRows.of(rows.confidence, rows.outcome, rows.weights)
    return _without_bins(rows, ordered, "positive", level, seed)


def _without_bins(
    rows: Rows, ordered: SortedRows, mode: str, level: float, seed: int
) -> list[NamedEstimate]:
    """Return smooth ECE, the calibration tests and the CORP terms of sorted rows."""
    variant = f"reflected,bandwidth=value,{mode}"
    value = smooth_calibration.smooth_error(smooth_calibration.residuals(ordered), None)
    smooth = smooth_calibration.plug_in(value, rows, level)
    null = smooth_calibration.null(ordered, value, rows, level=level, seed=seed)
    found = [
        NamedEstimate("smooth_ece", variant, "estimate", smooth),
        NamedEstimate("smooth_ece_null", variant, "null", null),
    ]
    tests = cumulative_calibration.estimates(
        cumulative_calibration.cumulative(ordered), rows, level
    )
    found += [NamedEstimate(name, mode, "estimate", test) for name, test in tests.items()]
    rate = intervals.proportion(rows.outcome, weights=rows.weights, groups=rows.ids, level=level)
    for score, parts in corp.decompositions(ordered).items():
        terms = corp.estimates(score, parts, rows, rate)
        found += [
            NamedEstimate(f"{score}_{term}", mode, "estimate", e) for term, e in terms.items()
        ]
    return found
