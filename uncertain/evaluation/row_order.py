"""The canonical order of figures, in which tables built in any order are equal."""

from __future__ import annotations

import math
import re
from typing import Any

from uncertain.evaluation.row import KINDS, Row

METRICS = (
    "accuracy", "nll", "brier", "ece", "ece_null", "ece_debiased", "rms_calibration_error_debiased",
    "smooth_ece", "smooth_ece_null", "adaptive_calibration_error",
    "calibration_ks", "calibration_kuiper", "spiegelhalter_z",
    "brier_miscalibration", "brier_discrimination", "brier_uncertainty",
    "log_miscalibration", "log_discrimination", "log_uncertainty",
    "rps", "grid_nll", "joint_nll", "energy_score",
    "crps", "rmse", "mae", "coverage", "coverage_null", "interval_score", "sharpness",
    "pit_ks",
    "quantile_calibration_error", "quantile_calibration_error_null",
    "auroc", "aupr_ood_positive", "aupr_id_positive", "fpr95_ood_positive", "scod_cost",
    "aupr_error_positive", "aupr_correct_positive", "fpr95_error_positive", "augrc", "aurc",
    "excess_aurc", "risk_at_80_coverage", "risk_at_90_coverage", "risk_at_95_coverage",
    "coverage_at_1_risk", "coverage_at_5_risk",
    "parts_correlation", "epistemic_slope", "aleatoric_slope", "noise_aleatoric_rise",
    "noise_epistemic_share", "noise_spill", "rating_correlation", "rating_correlation_gain",
    "conformal_coverage", "set_size", "interval_width", "conformal_coverage_by_size",
    "conformal_coverage_by_class", "conformal_coverage_by_group",
)  # fmt: skip
"""The usual metrics in the order a reader wants them; others follow by name."""

_METRIC_ORDER = {name: i for i, name in enumerate(METRICS)}
_SPLIT_ORDER = {"test": 0, "validation": 1, "train": 2, "shift": 3, "ood": 4}


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key that puts ``model-10`` after ``model-9``.

    Example:
        >>> sorted(["m10", "m9", "m"], key=natural_key)
        ['m', 'm9', 'm10']
    """
    parts = re.split(r"([0-9]+)", text)
    return tuple((1, int(p), p) if p.isdecimal() else (0, 0, p) for p in parts if p)


def split_key(split: str) -> tuple[Any, ...]:
    """Return a sort key: the test set first, then shifts by severity, then the strange inputs."""
    head, _, rest = split.partition(":")
    return _SPLIT_ORDER.get(head, len(_SPLIT_ORDER)), natural_key(head), natural_key(rest)


def is_sanity(row: Row) -> bool:
    """Return whether a row's reason says that its pair is only a sanity check, and carries no claim.

    Example:
        >>> is_sanity(Row("auroc", 0.99, reason="sanity: noise")), is_sanity(Row("auroc", 0.99))
        (True, False)
    """
    return "sanity:" in row.reason


def metric_key(metric: str) -> tuple[int, str]:
    """Return a sort key: the usual order of metrics, then by name."""
    return _METRIC_ORDER.get(metric, len(_METRIC_ORDER)), metric


def sort_key(row: Row) -> tuple[Any, ...]:
    """Return a key by which any two rows that differ have a place."""
    # Every field takes part, so that the order never depends on the order of arrival.
    name = (
        natural_key(row.task), split_key(row.split), KINDS.index(row.kind) == 1,
        natural_key(row.subgroup),
        metric_key(row.metric), natural_key(row.variant), natural_key(row.source),
        natural_key(row.training), natural_key(row.other), row.over, row.kind, row.level,
        row.positive_class,
    )  # fmt: skip
    numbers = ((math.isnan(v), 0.0 if math.isnan(v) else v) for v in (row.value, row.low, row.high))
    p_value = -1.0 if row.p_value is None else row.p_value
    rest = (row.n, row.n_groups or 0, p_value, row.rank_group, row.reason, row.versions)
    return (*name, *numbers, *rest)
