"""What a full judgement costs on a million rows, beside single figures of other libraries.

Ours is every classification, calibration and error-detection figure with intervals and 1,000
replicates. The others are one figure each, without intervals, from the same arrays.
"""

from __future__ import annotations

import harness
import numpy as np
from numpy.typing import NDArray

from uncertain import evaluation
from uncertain.evaluation.calibration import ece
from uncertain.evaluation.ranking import ranking_estimates
from uncertain.families import ArrayDistribution


def predictions(rows: int, classes: int = 10) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return probabilities of a slightly overconfident model, and labels."""
    rng = np.random.default_rng(0)
    p = np.empty((rows, classes), dtype=np.float32)
    labels = np.empty(rows, dtype=np.int64)
    for start in range(0, rows, 100_000):
        part = slice(start, min(start + 100_000, rows))
        logits = rng.normal(size=(part.stop - start, classes)) * 2
        true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        labels[part] = (true.cumsum(axis=1) > rng.random((len(true), 1))).argmax(axis=1)
        p[part] = true**1.2 / (true**1.2).sum(axis=1, keepdims=True)
    return p, labels


def measure(figures: harness.Figures, *, quick: bool) -> None:
    """Time the judge, then single figures against scikit-learn and torchmetrics."""
    import torch
    from sklearn.metrics import roc_auc_score
    from torchmetrics.functional.classification import multiclass_calibration_error

    torch.set_num_threads(1)
    rows = 50_000 if quick else 1_000_000
    p, labels = predictions(rows)
    case = evaluation.Predictions(ArrayDistribution("categorical", {"probs": p}), labels)
    figures.add("rows", rows)
    judge = harness.interleave({"judge": lambda: evaluation.evaluate(case)}, rounds=5)
    figures.add_times("report", judge)
    extra = harness.peak_extra_memory(lambda: evaluation.evaluate(case))
    figures.add("report_extra_mib", extra, "MiB")

    doubt = 1 - p.max(axis=1)
    wrong = p.argmax(axis=1) != labels
    ranking = {
        "ours_six_figures_with_intervals": lambda: ranking_estimates(doubt, wrong),
        "sklearn_auroc_alone": lambda: roc_auc_score(wrong, doubt),
    }
    figures.add_times(
        "ranking", harness.interleave(ranking, rounds=5), baseline="sklearn_auroc_alone"
    )
    tensor, target = torch.from_numpy(p), torch.from_numpy(labels)

    def theirs() -> object:
        return multiclass_calibration_error(tensor, target, num_classes=10, n_bins=15)

    def ours() -> object:
        return ece(p, labels)

    figures.add_times(
        "ece", harness.interleave({"ours": ours, "torchmetrics": theirs}), baseline="torchmetrics"
    )


if __name__ == "__main__":
    harness.main(__doc__, measure)
