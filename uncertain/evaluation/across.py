"""Several trainings of one source: their mean, and two intervals that answer different questions.

Over ``items`` (new rows, these trainings), over ``trainings`` (a new training, these rows) and over
``both``. A spread over seeds says nothing of the rows, an interval over rows nothing of the seeds.

Trainings on several splits of one data set have a spread over splits, which holds that of the rows
already; for new data it is corrected for the rows that splits share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from uncertain.evaluation.alignment import canonical_order, in_one_order, same_rows
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.ranking_sums import SELECTIVE
from uncertain.evaluation.resampling import overlap
from uncertain.evaluation.results import Row
from uncertain.evaluation.row_order import natural_key
from uncertain.evaluation.row_scores import row_scores, split_variant
from uncertain.evaluation.worst import worst_of_trainings
from uncertain.intervals import (
    Estimate,
    corrected_resampled_t,
    crossed,
    over_trainings,
    undefined,
)

_SHARES = frozenset(
    {
        "smooth_ece", "smooth_ece_null", "adaptive_calibration_error",
        "calibration_ks", "calibration_kuiper",
        "accuracy", "coverage", "ece", "ece_debiased", "rms_calibration_error_debiased", "ece_null",
        "auroc", "aupr_ood_positive", "aupr_id_positive", "fpr95_ood_positive", "scod_cost",
        "aupr_error_positive", "aupr_correct_positive", "fpr95_error_positive", "pit_ks",
        *SELECTIVE,
        "quantile_calibration_error",
        "conformal_coverage", "conformal_coverage_by_size", "conformal_coverage_by_class",
        "conformal_coverage_by_group",
    }
)  # fmt: skip
"""Metrics in [0, 1]."""
_WITHOUT_INTERVAL = frozenset(
    {
        "ece", "ece_null", "smooth_ece", "smooth_ece_null", "adaptive_calibration_error",
        "spiegelhalter_z", "brier_miscalibration", "brier_discrimination", "log_miscalibration",
        "log_discrimination",
    }
)  # fmt: skip
_NOT_NEGATIVE = frozenset(
    {
        "rps",
        "grid_nll",
        "brier",
        "brier_uncertainty",
        "log_uncertainty",
        "crps",
        "rmse",
        "mae",
        "interval_score",
        "sharpness",
        "set_size",
        "interval_width",
    }
)


def across_trainings(
    rows: Sequence[Row], cases: Sequence[Predictions], *, level: float = 0.95
) -> list[Row]:
    """Return the rows of means over trainings, for sources that have more than one.

    Means of row scores on shared rows have all three intervals; other figures (AUROC, ECE) the one
    over trainings, as does everything where trainings were judged on different rows; where these
    are splits of one data set, the corrected resampled t gives the one over both. A figure that one
    training lacks has no mean.

    Args:
        rows: The figures of single trainings.
        cases: The predictions behind them.
        level: Confidence level.

    Returns:
        Rows with an empty ``training``.

    Raises:
        ValueError: Two trainings give one row id different targets, weights or groups.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> y = np.array([0, 1, 1, 0, 1])
        >>> p = np.random.default_rng(0).dirichlet([1, 1], (3, 5))
        >>> cases = [
        ...     Predictions(ArrayDistribution("categorical", {"probs": q}), y, training=f"seed {k}")
        ...     for k, q in enumerate(p)
        ... ]
        >>> [row.over for row in across_trainings([], cases) if row.metric == "accuracy"]
        ['items', 'trainings', 'both']
    """
    found: list[Row] = []
    covered: set[tuple[str, str, str, str]] = set()
    apart: dict[tuple[str, str], float | None] = {}
    for key, trained in _runs(cases).items():
        if not same_rows(trained):
            apart[key[:2]] = overlap(trained)
        else:
            for row in _crossed_rows(trained, level):
                found.append(row)
                covered.add((*key, row.metric))
    return found + _spreads(rows, covered, apart, level)


def means_of_figures(
    rows: Sequence[Row], cases: Sequence[Predictions], *, level: float = 0.95
) -> list[Row]:
    """Return the rows of means over trainings of the figures given, and of no others.

    Args:
        rows: The figures of single trainings.
        cases: The predictions behind them, which say whether trainings were judged on the same rows.
        level: Confidence level.

    Example:
        >>> rows = [Row("set_size", v, v - 1, v + 1, training=str(v), n=50) for v in (2, 3, 4)]
        >>> [(row.over, row.value) for row in means_of_figures(rows, [])]
        [('trainings', 3.0), ('both', 3.0)]
    """
    apart = {
        key[:2]: overlap(trained) for key, trained in _runs(cases).items() if not same_rows(trained)
    }
    return _spreads(rows, set(), apart, level)


def _runs(cases: Sequence[Predictions]) -> dict[tuple[str, str, str], list[Predictions]]:
    """Return the labelled predictions of each task, source and split that has several trainings."""
    found: dict[tuple[str, str, str], list[Predictions]] = {}
    for case in cases:
        if case.target is not None and case.ood_name is None:
            found.setdefault((case.task, case.source, case.split), []).append(case)
    return {key: trained for key, trained in found.items() if len(trained) > 1}


def _crossed_rows(trained: Sequence[Predictions], level: float) -> list[Row]:
    # By name, so that sums over trainings do not depend on the order of a list either.
    trained = in_one_order(sorted(trained, key=lambda case: natural_key(case.training)))
    scores = [row_scores(case) for case in trained]
    first = trained[0]
    rows = []
    for metric in scores[0]:
        if not all(metric in score for score in scores):
            continue
        table = np.stack([score[metric] for score in scores])
        # An infinite NLL has no spread: it is told with the other figures.
        if not np.isfinite(table).all():
            continue
        order = canonical_order(list(table), like=first)
        estimates = crossed(
            table[:, order],
            weights=None if first.weights is None else first.weights[order],
            groups=None if first.groups is None else first.groups[order],
            level=level,
        )
        rows += [_row(first, *split_variant(metric), first.split, e) for e in estimates]
    return rows


def _spreads(
    rows: Sequence[Row],
    covered: set[tuple[str, str, str, str]],
    apart: Mapping[tuple[str, str], float | None],
    level: float,
) -> list[Row]:
    """Return mean and intervals over trainings, and over both, of every other figure.

    Where trainings were judged on different rows their spread holds that of the rows already.
    """
    figures: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        done = (row.task, row.source, row.split, row.metric) in covered and not row.subgroup
        if row.training and not done and row.kind in ("estimate", "undefined"):
            key = (row.task, row.source, row.split, row.metric, row.variant, row.subgroup)
            figures.setdefault(key, []).append(row)
    found = []
    for trained in figures.values():
        if len(trained) > 1:
            trained.sort(key=lambda row: natural_key(row.training))
            first = trained[0]
            reason = first.reason if first.reason.startswith("trivial") else ""
            reason = worst_of_trainings(trained) or reason
            named = (first.task, first.source)
            estimates = _over_figures(trained, level)
            if named in apart:
                estimates = [estimates[0], *_over_splits(trained, apart[named], level)]
            for estimate in estimates:
                estimate = _within_range(first.metric, estimate)
                found.append(
                    Row.from_estimate(
                        first.metric,
                        estimate._replace(reason=reason or estimate.reason),
                        source=first.source,
                        variant=first.variant,
                        split=first.split,
                        task=first.task,
                        positive_class=first.positive_class,
                        subgroup=first.subgroup,
                    )
                )
    return found


def _over_figures(trained: Sequence[Row], level: float) -> list[Estimate]:
    """Return the mean of a figure over trainings, and over both where rows have intervals too.

    A mean over the trainings that happen to be finite would flatter the method: none is given.
    """
    values = [row.value for row in trained]
    missing = [row for row in trained if not math.isfinite(row.value)]
    if missing:
        reason = f"{len(missing)} of {len(trained)} trainings: {missing[0].reason}"
        n = trained[0].n
        return [undefined(reason, value=sum(values), n=n, level=level, over="trainings")]
    found = over_trainings(values, level=level, n=trained[0].n)
    if trained[0].metric in _WITHOUT_INTERVAL:
        bare = found._replace(low=math.nan, high=math.nan, reason=trained[0].reason)
        return [bare]
    if not all(row.has_interval for row in trained):
        return [found]
    return [found, _over_both(found, trained, level)]


def _over_splits(trained: Sequence[Row], share: float | None, level: float) -> list[Estimate]:
    """Return the mean over splits of one data set, for new data; nothing where they are none."""
    values = [row.value for row in trained]
    if share is None or trained[0].metric in _WITHOUT_INTERVAL or not np.isfinite(values).all():
        return []
    found = corrected_resampled_t(values, test_share=share, level=level, n=trained[0].n)
    if found.low == found.high and all(row.has_interval for row in trained):
        # Figures that end at a bound (a debiased error of 0 on every split) show no spread, but
        # that is no certainty: the splits' own intervals over rows stand for it.
        low, high = (
            float(np.mean([getattr(row, end) for row in trained])) for end in ("low", "high")
        )
        found = found._replace(low=min(low, found.low), high=max(high, found.high))
    return [found]


def _over_both(mean: Estimate, trained: Sequence[Row], level: float) -> Estimate:
    """Widen an interval over trainings by the trainings' own intervals over rows.

    The rows are shared, so their part does not shrink with the number of trainings: it is the
    root mean square of the half-widths, on either side of the figure (they need not be equal).
    Adding it to the spread counts the interaction of both twice, which errs on the wide side.
    """
    below = math.sqrt(sum((row.value - row.low) ** 2 for row in trained) / len(trained))
    above = math.sqrt(sum((row.high - row.value) ** 2 for row in trained) / len(trained))
    return mean._replace(
        low=mean.value - math.hypot(mean.value - mean.low, below),
        high=mean.value + math.hypot(mean.high - mean.value, above),
        over="both",
    )


def _row(case: Predictions, metric: str, variant: str, split: str, estimate: Estimate) -> Row:
    return Row.from_estimate(
        metric,
        _within_range(metric, estimate),
        source=case.source,
        variant=variant,
        split=split,
        task=case.task,
    )


def _within_range(metric: str, estimate: Estimate) -> Estimate:
    """Cut the interval off where the metric can't go: t knows no bounds, and few trainings overshoot.

    What is cut off holds no possible value, so the coverage stays.
    """
    low = 0.0 if metric in _SHARES or metric in _NOT_NEGATIVE else -math.inf
    high = 1.0 if metric in _SHARES else math.inf
    # NaN ends stay NaN.
    return estimate._replace(
        low=low if estimate.low < low else estimate.low,
        high=high if estimate.high > high else estimate.high,
    )
