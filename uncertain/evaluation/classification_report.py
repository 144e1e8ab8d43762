"""All figures of class predictions, from one scoring of the rows: what the judge asks for.

Axis letters: ``N`` rows, ``C`` classes.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from uncertain import intervals
from uncertain.evaluation import calibration_intervals as inversion
from uncertain.evaluation.calibration_rows import (
    BINNINGS,
    Binning,
    Rows,
    check_draws,
    classwise_null,
    classwise_tables,
    gap_model,
    inverted,
    null_estimate,
    plug_in,
)
from uncertain.evaluation.classification import ClassificationState, row_scores
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
        equal-mass bins; ``ece`` and ``ece_null`` classwise.

    Example:
        >>> found = classification_estimates([[0.9, 0.1], [0.3, 0.7]], [0, 1])
        >>> found[0].metric, found[0].estimate.value, found[3].metric, found[3].variant
        ('accuracy', 1.0, 'ece', 'equal_width,15,l1,top_label')
    """
    check_draws(replicates)
    intervals.check_level(level)
    scores = row_scores(probabilities, labels, log_probabilities=log_probabilities)
    state = ClassificationState().update_scores(scores, weights=weights, groups=groups)
    found = [
        NamedEstimate(name, "", "estimate", estimate)
        for name, estimate in state.compute(level=level).items()
    ]
    rows = Rows.of(scores.confidence, scores.correct, weights, groups)
    for binning in BINNINGS:
        found += _top_label(rows, binning, bins, level, seed, replicates)
    tables = classwise_tables(probabilities, labels, rows, "equal_width", bins)
    value = float(np.mean([np.abs(table.gap).sum() for table in tables]))
    variant = f"equal_width,{bins},l1,classwise"
    null = classwise_null(tables, rows, level, seed, replicates)
    found.append(NamedEstimate("ece", variant, "estimate", plug_in(value, rows, level)))
    found.append(NamedEstimate("ece_null", variant, "null", null))
    return found


def _top_label(
    rows: Rows, binning: Binning, bins: int, level: float, seed: int, replicates: int
) -> list[NamedEstimate]:
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
