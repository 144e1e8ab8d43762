"""What is odd about predictions themselves: scores, confidences, sizes, copies and null levels."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from uncertain import families, keyed
from uncertain.evaluation.auditing.findings import Finding
from uncertain.evaluation.leakage import leak
from uncertain.evaluation.predictions import Predictions, repeated_rows

FEW_ROWS, FEW_ERRORS = 200, 20
TIED = 0.5
SATURATED = 0.05
_UNIT = ("msp", "max_probability", "confidence", "probability")


def check_rows(case: Predictions) -> Iterator[Finding]:
    """Yield what is odd about one file of predictions.

    Args:
        case: Predictions on one split.
    """
    about = about_case(case)
    if why := leak(case):
        yield Finding(
            "fail", "calibration on test", about, f"{why[0].upper()}{why[1:]}.", {},
            "Calibrate on validation rows and judge again.",
        )  # fmt: skip
    yield from _sizes(case, about)
    yield from _copies(case, about)
    yield from _scores(case, about)
    if case.is_classification:
        yield from _saturation(case, about)


def about_case(case: Predictions) -> str:
    """Return which predictions a finding is about: source, training, task and split."""
    training = f" (training {case.training})" if case.training else ""
    task = f"{case.task}, " if case.task else ""
    return f"{case.source}{training} on {task}{case.split}"


def nulls(case: Predictions, strange: list[Predictions]) -> dict[str, str]:
    """Return what figures would be if there were nothing to find.

    Args:
        case: Labelled predictions.
        strange: The same source's out-of-distribution predictions.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> p = np.tile([[0.7, 0.3]], (100, 1))
        >>> d = ArrayDistribution("categorical", {"probs": p})
        >>> nulls(Predictions(d, np.repeat([0, 1], [70, 30])), [])["accuracy of the commonest class"]
        '0.700'
    """
    found = {}
    if case.is_classification and case.target is not None:
        from uncertain.evaluation.calibration import ece_null

        p = families.class_probabilities(case.distribution)
        level = ece_null(p, np.asarray(case.target))
        found[f"ece of {case.source}, if these confidences were right"] = (
            f"{level.value:.4f} (95 % below {level.high:.4f})"
        )
        counts = np.bincount(np.asarray(case.target), minlength=case.classes)
        found["accuracy of the commonest class"] = f"{counts.max() / counts.sum():.3f}"
        wrong = int((p.argmax(axis=1) != case.target).sum())
        if 0 < wrong < len(case):
            found[f"auroc of {case.source}'s mistakes, by a score that knows nothing"] = (
                _auroc_null(wrong, len(case) - wrong)
            )
    for other in strange:
        found[f"auroc on {other.split}, by a score that knows nothing"] = _auroc_null(
            len(other), len(case)
        )
    return found


def _auroc_null(positive: int, negative: int) -> str:
    """Return .5 and the 95 % range of the Mann-Whitney statistic under the null, without ties."""
    half = 1.96 * math.sqrt((positive + negative + 1) / (12 * positive * negative))
    return f"0.500 ± {half:.3f}"


def _sizes(case: Predictions, about: str) -> Iterator[Finding]:
    n = len(case)
    if n < FEW_ROWS:
        yield Finding(
            "warn", "size", about, f"Only {n} rows.", {"rows": n},
            "Read the intervals, not the figures; differences will rarely be told apart.",
        )  # fmt: skip
    if case.is_classification and case.target is not None:
        p = families.class_probabilities(case.distribution)
        wrong = int((p.argmax(axis=1) != case.target).sum())
        if wrong < FEW_ERRORS and n >= FEW_ROWS:
            yield Finding(
                "warn", "size", about, f"Only {wrong} mistakes among {n:,} rows.",
                {"mistakes": wrong, "rows": n},
                "Figures of error detection and abstaining rest on these alone.",
            )  # fmt: skip
        absent = case.classes - keyed.count_distinct(np.asarray(case.target))
        if absent:
            yield Finding(
                "warn", "labels", about, f"{absent} of {case.classes} classes have no rows.",
                {"absent": absent}, "Are the labels those of the probabilities' columns?",
            )  # fmt: skip


def _copies(case: Predictions, about: str) -> Iterator[Finding]:
    repeated = repeated_rows(case)
    if repeated and case.groups is None:
        yield Finding(
            "warn", "copies", about,
            f"{repeated:,} of {len(case):,} rows repeat another row's prediction and label exactly.",
            {"repeated": repeated, "rows": len(case)},
            "If they are copies, name the groups with --groups: intervals are too short without.",
        )  # fmt: skip


def _scores(case: Predictions, about: str) -> Iterator[Finding]:
    for name, score in case.scores.items():
        values = np.asarray(score, dtype=np.float64)
        if name in _UNIT and (values.min() < 0 or values.max() > 1):
            yield Finding(
                "fail", "range", about,
                f"Score `{name}` runs from {values.min():.4g} to {values.max():.4g}, outside [0, 1].",
                {"low": float(values.min()), "high": float(values.max())},
                "Logits saved as probabilities? Save what the name says.",
            )  # fmt: skip
        infinite = int(np.isinf(values).sum())
        if infinite:
            yield Finding(
                "warn", "range", about, f"Score `{name}` is infinite in {infinite:,} rows.",
                {"infinite": infinite}, "They are ranked last, all alike.",
            )  # fmt: skip
        if not name.startswith("control:"):
            yield from _ties(values, f"Score `{name}`", about)
    if case.is_classification:
        confidence = families.class_probabilities(case.distribution).max(axis=1)
        yield from _ties(confidence, "The confidence", about)


def _ties(values: np.ndarray, what: str, about: str) -> Iterator[Finding]:
    _, counts = np.unique(values, return_counts=True)
    tied = float(counts[counts > 1].sum() / len(values))
    if tied > TIED and len(values) >= 20:
        yield Finding(
            "warn", "ties", about,
            f"{what} has {len(counts):,} different values in {len(values):,} rows; {tied:.0%} of the "
            "rows share theirs with another.",
            {"distinct": len(counts), "tied_share": tied},
            "Ties are counted half and averaged over; other tools break them by the file's order. "
            "Was the score rounded?",
        )  # fmt: skip


def _saturation(case: Predictions, about: str) -> Iterator[Finding]:
    p = families.class_probabilities(case.distribution)
    share = float((p.max(axis=1) >= 1).mean())
    if share > SATURATED:
        yield Finding(
            "warn", "saturation", about,
            f"{share:.1%} of the rows have a probability of exactly 1.", {"share": share},
            "Save logits or log-probabilities in float32: what is rounded to 1 can't be ranked, and "
            "a mistake there has infinite NLL.",
        )  # fmt: skip
    if case.target is not None:
        zero = int((p[np.arange(len(case)), np.asarray(case.target)] == 0).sum())
        if zero:
            yield Finding(
                "warn", "saturation", about,
                f"The true class has probability exactly 0 in {zero:,} rows.", {"rows": zero},
                "The NLL is infinite there; it is not clipped away.",
            )  # fmt: skip
