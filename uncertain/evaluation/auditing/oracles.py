"""The judge held to other hands: the same figures by scikit-learn, scoringrules and plain loops.

And to truths that are planted: generators whose accuracy, calibration error and AUROC are known.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from uncertain import checks, families
from uncertain.evaluation.auditing.findings import Finding
from uncertain.evaluation.auditing.rows import about_case
from uncertain.evaluation.detection import detection_rows
from uncertain.evaluation.judge import evaluate, judge_one
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.results import Results, Row
from uncertain.evaluation.row_scores import class_arrays
from uncertain.evaluation.sides import both_weights
from uncertain.evaluation.uncertainty import uncertainty_scores
from uncertain.families import ArrayDistribution
from uncertain.intervals import normal_quantile

TOLERANCE = 1e-6
"""Relative distance from an oracle that is a failure: oracles work in float64, inputs may not."""
_ECE = "equal_width,15,l1,top_label"
_BINS = 15
Oracle = Callable[[], float]


def recompute(case: Predictions) -> tuple[dict[str, tuple[float, float]], list[Finding]]:
    """Return headline figures by the judge and by an oracle, and a failure for each that differs.

    Args:
        case: Labelled predictions.

    Raises:
        ModuleNotFoundError: scikit-learn, or scoringrules for a CRPS, is not installed.
    """
    oracles = _of_classes(case) if case.is_classification else _of_values(case)
    judged = evaluate(case, replicates=100, compare=False)
    return _held(oracles, judged, about_case(case))


def recompute_detection(
    test: Predictions, strange: Predictions
) -> tuple[dict[str, tuple[float, float]], list[Finding]]:
    """Return AUROC and average precision of strange rows by the judge and by scikit-learn.

    Args:
        test: Predictions on test rows.
        strange: The same source's predictions on strange rows.

    Raises:
        ModuleNotFoundError: scikit-learn is not installed.
    """
    metrics = checks.require("sklearn.metrics", "audit")
    inside, outside = uncertainty_scores(test), uncertainty_scores(strange)
    positive = np.repeat([0, 1], [len(test), len(strange)])
    weights = both_weights(test, strange)
    judged = Results(detection_rows([test, strange], level=0.95, replicates=100, seed=0))
    oracles: dict[tuple[str, str], Oracle] = {}
    for name in inside.keys() & outside.keys():
        scores = np.concatenate([inside[name], outside[name]])
        if name.startswith("control:") or not np.isfinite(scores).all():
            continue
        variant = f"ood:{strange.ood_name}:{name}"
        for metric, function in (
            ("auroc", metrics.roc_auc_score),
            ("aupr_ood_positive", metrics.average_precision_score),
        ):
            oracles[metric, variant] = functools.partial(
                function, positive, scores, sample_weight=weights
            )
    own = Results([row for row in judged if row.split == strange.split])
    return _held(oracles, own, about_case(strange))


def _held(
    oracles: Mapping[tuple[str, str], Oracle], judged: Results, about: str
) -> tuple[dict[str, tuple[float, float]], list[Finding]]:
    """Return both values of every figure, and a failure for each that differs."""
    found: dict[str, tuple[float, float]] = {}
    findings = []
    for (metric, variant), oracle in oracles.items():
        rows = [r for r in judged.select(metric=metric) if r.variant.startswith(variant)]
        value = rows[0].value if rows else math.nan
        if not math.isfinite(value):
            continue
        expected = float(oracle())
        label = f"{metric}[{variant}]" if variant else metric
        found[f"{label} of {about}"] = (value, expected)
        if not math.isclose(value, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            findings.append(
                Finding(
                    "fail", "oracle", about,
                    f"{label} is {value:.8g} by the judge and {expected:.8g} by the oracle.",
                    {"judge": value, "oracle": expected},
                    "Please report this with the file: one of the two is wrong.",
                )
            )  # fmt: skip
    return found, findings


def _of_classes(case: Predictions) -> Mapping[tuple[str, str], Oracle]:
    metrics = checks.require("sklearn.metrics", "audit")
    p, _ = class_arrays(case)
    p = np.asarray(p, dtype=np.float64)
    p = np.stack([1 - p, p], axis=1) if p.ndim == 1 else p
    y, w = np.asarray(case.target), case.weights
    predicted, confidence = p.argmax(axis=1), p.max(axis=1)
    wrong = predicted != y
    every = np.arange(p.shape[1])
    oracles: dict[tuple[str, str], Oracle] = {
        ("accuracy", ""): lambda: float(metrics.accuracy_score(y, predicted, sample_weight=w)),
        ("ece", _ECE): lambda: plain_ece(confidence, ~wrong, w),
        ("brier", ""): lambda: float(
            np.average(((p - (y[:, None] == every)) ** 2).sum(axis=1), weights=w)
        ),
    }
    if (p[np.arange(len(y)), y] > 1e-15).all():
        # scikit-learn clips at the dtype's epsilon: below, the two differ by design.
        oracles["nll", ""] = lambda: float(
            metrics.log_loss(y, p / p.sum(axis=1, keepdims=True), labels=every, sample_weight=w)
        )
    if 0 < wrong.sum() < len(wrong):
        oracles["auroc", "error:msp"] = lambda: float(
            metrics.roc_auc_score(wrong, 1 - confidence, sample_weight=w)
        )
    return oracles


def _of_values(case: Predictions) -> Mapping[tuple[str, str], Oracle]:
    d, y, w = case.distribution, np.asarray(case.target, dtype=np.float64), case.weights
    if y.ndim > 1 or d.mixture_weights is not None:
        return {}
    if d.family == "normal":
        rules = checks.require("scoringrules", "audit")
        loc, scale = (np.asarray(d.parameters[k], dtype=np.float64) for k in ("loc", "scale"))
        return {
            ("crps", ""): lambda: float(np.average(rules.crps_normal(y, loc, scale), weights=w)),
            ("rmse", ""): lambda: math.sqrt(float(np.average((y - loc) ** 2, weights=w))),
            ("mae", ""): lambda: float(np.average(np.abs(y - loc), weights=w)),
        }
    if d.family == "empirical":
        checks.require("scoringrules", "audit")
        mean = families.mean(d)
        return {("rmse", ""): lambda: math.sqrt(float(np.average((y - mean) ** 2, weights=w)))}
    return {}


def plain_ece(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], weights: NDArray[np.float64] | None
) -> float:
    """Return the calibration error over 15 equal bins, [lo, hi), a bin at a time.

    The last bin is closed and takes what rounding leaves above 1. Other conventions differ by whole
    rows as soon as confidences are rounded: 0.6 is an edge.

    Example:
        >>> plain_ece(np.array([0.95, 0.95]), np.array([True, False]), None)
        0.45
    """
    w = np.ones(len(confidence)) if weights is None else weights
    total = 0.0
    for b in range(_BINS):
        low, high = b / _BINS, (b + 1) / _BINS
        inside = (confidence >= low) & ((confidence < high) | (b == _BINS - 1))
        if inside.any():
            gap = np.sum(w[inside] * (confidence[inside] - correct[inside]))
            total += abs(float(gap))
    return round(total / float(w.sum()), 15)


def known_truths(*, rows: int = 5_000, seed: int = 0) -> Iterator[Finding]:
    """Yield a failure for each planted truth that the judge's interval misses by far.

    Three worlds: confidences that are right, so that accuracy is their mean; confidences too high
    by .05, the calibration error; and strange rows whose scores are shifted so that AUROC is .8.
    A miss is four half-widths of a 95 % interval away: chance alone does that once in 1e14.

    Args:
        rows: Rows drawn in each world.
        seed: Of the draws.

    Example:
        >>> list(known_truths(rows=2000))
        []
    """
    for metric, variant, split, truth, row in _worlds(rows, seed):
        half = max((row.high - row.low) / 2, 1e-12)
        if not abs(row.value - truth) <= 4 * half:
            yield Finding(
                "fail", "known truth", f"{metric} {variant} on {split}".strip(),
                f"the judge says {row.value:.5g} of planted data whose truth is {truth:.5g}.",
                {"judge": row.value, "truth": truth},
                "The judge is broken in this installation: please report the versions.",
            )  # fmt: skip


def _worlds(rows: int, seed: int) -> Iterator[tuple[str, str, str, float, Row]]:
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.55, 0.95, rows)
    for gap in (0.0, 0.05):
        right = rng.random(rows) < confidence - gap
        case = _planted(confidence, right)
        found = {(r.metric, r.variant): r for r in judge_one(case, replicates=100)}
        yield "accuracy", "", "test", 0.75 - gap, found["accuracy", ""]
        if gap:
            yield "ece_debiased", _ECE, "test", gap, found["ece_debiased", _ECE]
    inside, outside = rng.normal(size=(2, rows // 10))
    shift = math.sqrt(2) * normal_quantile(0.8)
    case = _planted(confidence[: len(inside)], np.ones(len(inside), bool), {"planted": inside})
    strange = _planted(
        confidence[: len(inside)], None, {"planted": outside + shift}, split="ood:planted"
    )
    table = evaluate([case, strange], replicates=100)
    row = next(r for r in table if r.metric == "auroc" and r.variant == "ood:planted:planted")
    yield "auroc", "planted", "ood:planted", 0.8, row


def _planted(
    confidence: NDArray[np.float64],
    right: NDArray[np.bool_] | None,
    scores: Mapping[str, NDArray[np.float64]] | None = None,
    *,
    split: str = "test",
) -> Predictions:
    p = np.stack([confidence, 1 - confidence], axis=1)
    target = None if right is None else np.where(right, 0, 1)
    return Predictions(
        ArrayDistribution("categorical", {"probs": p}), target, source="planted", split=split,
        scores=scores or {},
    )  # fmt: skip
