"""What judging costs, beside torchmetrics and scikit-learn: the same figures from the same arrays.

report_1e6x10_seconds
    CPU seconds of ``evaluate`` on 1e6 x 10 float32 probabilities: every classification, calibration and
    error-detection figure, for two uncertainty scores, with intervals of 1,000 replicates.
report_ratio_vs_torchmetrics_sklearn
    CPU time of the point estimates alone that the two libraries have (accuracy, ECE; log loss, Brier
    score, AUROC, average precision both ways, FPR95; AURC by NumPy, which neither has), for the same two
    scores, over that of our whole report with its intervals. ``..._one_score`` is the same with the
    peers computing one of the two scores only.
report_points_ratio_vs_torchmetrics_sklearn
    The same over our same point estimates, without intervals.
report_extra_mib
    How far one call raises the process's peak memory.
report_1e5x1000_over_sum
    CPU time of the whole report on 1e5 x 1000 over that of one float32 ``sum`` of the array.
bootstrap_cost_ratio
    At N = 1e6: CPU time of 1,000 replicates of all ranking figures (drawing the bins and computing
    every figure on each) over that of their point estimates, sorting included.
classwise_ece_2e4x1000_seconds
    CPU seconds of ``ece(mode="classwise")`` on 2e4 x 1000.
ood_exact_ratio_vs_torchmetrics
    At N = 1e7 float32 scores: CPU time of torchmetrics' AUROC, average precision both ways and
    specificity at a sensitivity of .95 (which is one less FPR95) over that of our exact AUROC, AUPR both
    ways and FPR95 (``ranking_values``, which has the figures of selective prediction besides).
    ``ood_exact_ratio_vs_sklearn``: the same of scikit-learn's functions, FPR95 from ``roc_curve``.
ood_sketch_ratio_vs_torchmetrics, ood_sketch_bound
    The same over ``RankHistogram``, updated in pieces of 1e6 rows, and its bound: the furthest that any
    of the four figures can be from that of the rows.
ood_stream_rows, ood_stream_state_mib, ood_stream_seconds
    Rows streamed into one histogram, a piece of 1e6 at a time, and the size of its state at the end.

With --quick the sizes are a hundredth and the names stay, so that a script can read either.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import harness
import numpy as np
from numpy.typing import NDArray

from uncertain import evaluation
from uncertain.evaluation import ranking_bootstrap, ranking_sums
from uncertain.evaluation.calibration import ece
from uncertain.evaluation.classification import ClassificationState
from uncertain.evaluation.ranking import canonical_rows, ranking_values
from uncertain.evaluation.ranking_histogram import RankHistogram
from uncertain.evaluation.uncertainty import uncertainty_scores
from uncertain.families import ArrayDistribution
from uncertain.intervals import gamma_weights

Array = NDArray[np.float32]
Labels = NDArray[np.int64]


def predictions(rows: int, classes: int = 10) -> tuple[Array, Labels]:
    """Return probabilities of a slightly overconfident model, and labels."""
    rng = np.random.default_rng(0)
    p = np.empty((rows, classes), dtype=np.float32)
    labels = np.empty(rows, dtype=np.int64)
    step = max(1, 1_000_000 // classes)
    for start in range(0, rows, step):
        part = slice(start, min(start + step, rows))
        logits = rng.normal(size=(part.stop - start, classes)) * 2
        true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        labels[part] = (true.cumsum(axis=1) > rng.random((len(true), 1))).argmax(axis=1)
        p[part] = true**1.2 / (true**1.2).sum(axis=1, keepdims=True)
    return p, labels


def peers(p: Array, labels: Labels, scores: int) -> Callable[[], object]:
    """Return the point estimates of torchmetrics and scikit-learn, as a user would ask for them."""
    import torch
    from sklearn import metrics
    from torchmetrics.functional import classification as tm

    torch.set_num_threads(1)
    tensor, target = torch.from_numpy(p), torch.from_numpy(labels)
    classes = p.shape[1]

    def one_score(doubt: NDArray[np.floating], wrong: NDArray[np.bool_]) -> list[object]:
        fpr, tpr, _ = metrics.roc_curve(wrong, doubt)
        order = np.argsort(doubt)
        return [
            metrics.roc_auc_score(wrong, doubt),
            metrics.average_precision_score(wrong, doubt),
            metrics.average_precision_score(~wrong, -doubt),
            fpr[np.searchsorted(tpr, 0.95)],
            np.mean(np.cumsum(wrong[order]) / np.arange(1, len(wrong) + 1)),
        ]

    def run() -> object:
        wrong = p.argmax(axis=1) != labels
        doubts = [1 - p.max(axis=1)]
        if scores > 1:
            doubts.append(torch.special.entr(tensor).sum(dim=1).numpy())
        return [
            tm.multiclass_accuracy(tensor, target, num_classes=classes, average="micro"),
            tm.multiclass_calibration_error(tensor, target, num_classes=classes, n_bins=15),
            metrics.log_loss(labels, p, labels=np.arange(classes)),
            metrics.brier_score_loss(labels, p, labels=np.arange(classes)),
            *(one_score(doubt, wrong) for doubt in doubts),
        ]

    return run


def report(figures: harness.Figures, *, quick: bool) -> None:
    """Time the whole report, its memory, and the peers."""
    rows = 10_000 if quick else 1_000_000
    p, labels = predictions(rows)
    case = evaluation.Predictions(ArrayDistribution("categorical", {"probs": p}), labels)
    figures.add("report_rows", rows)

    def ours() -> object:
        return evaluation.evaluate(case)

    def points() -> object:
        wrong = p.argmax(axis=1) != labels
        scores = uncertainty_scores(case)
        return [
            ClassificationState().update(p, labels).compute(),
            ece(p, labels),
            *(ranking_values(score, wrong) for score in scores.values()),
        ]

    times = harness.interleave(
        {
            "ours": ours,
            "points": points,
            "peers": peers(p, labels, 2),
            "peers_one_score": peers(p, labels, 1),
        },
        rounds=5,
    )
    figures.add("report_1e6x10_seconds", statistics.median(times["ours"]), "s CPU")
    figures.add("report_points_seconds", statistics.median(times["points"]), "s CPU")
    figures.add("report_peers_seconds", statistics.median(times["peers"]), "s CPU")
    name = "report_ratio_vs_torchmetrics_sklearn"
    _ratio(figures, name, times["peers"], times["ours"])
    _ratio(figures, f"{name}_one_score", times["peers_one_score"], times["ours"])
    _ratio(figures, "report_points_ratio_vs_torchmetrics_sklearn", times["peers"], times["points"])
    figures.add("report_extra_mib", harness.peak_extra_memory(ours), "MiB")


def many_classes(figures: harness.Figures, *, quick: bool) -> None:
    """Time a report of a thousand classes against one read of its array."""
    rows = 1_000 if quick else 100_000
    p, labels = predictions(rows, 1000)
    case = evaluation.Predictions(ArrayDistribution("categorical", {"probs": p}), labels)
    times = harness.interleave(
        {"ours": lambda: evaluation.evaluate(case), "sum": lambda: p.sum()}, rounds=5
    )
    figures.add("report_1e5x1000_seconds", statistics.median(times["ours"]), "s CPU")
    _ratio(figures, "report_1e5x1000_over_sum", times["ours"], times["sum"])
    few = 200 if quick else 20_000
    classwise = harness.interleave(
        {"ours": lambda: ece(p[:few], labels[:few], mode="classwise")}, rounds=5
    )
    seconds = statistics.median(classwise["ours"])
    figures.add("classwise_ece_2e4x1000_seconds", seconds, "s CPU")


def bootstrap(figures: harness.Figures, *, quick: bool) -> None:
    """Time the replicates of the ranking figures against the figures themselves."""
    rows = 10_000 if quick else 1_000_000
    p, labels = predictions(rows)
    doubt, wrong = 1 - p.max(axis=1).astype(np.float64), p.argmax(axis=1) != labels
    ties = ranking_sums.tie_table(*canonical_rows(doubt, wrong)[:2])

    def replicates() -> object:
        cells, exact = ranking_bootstrap.tie_bins(ties)
        drawn = gamma_weights(cells.ravel(), cells.ravel(), replicates=1000)
        shaped = drawn.reshape(1000, -1, 2)
        return ranking_bootstrap.replicate_figures(shaped, tpr=0.95, exact=exact)

    times = harness.interleave(
        {"replicates": replicates, "figures": lambda: ranking_values(doubt, wrong)}, rounds=5
    )
    figures.add("bootstrap_seconds", statistics.median(times["replicates"]), "s CPU")
    _ratio(figures, "bootstrap_cost_ratio", times["replicates"], times["figures"])


def ood(figures: harness.Figures, *, quick: bool) -> None:
    """Time the OOD metric set, exact and streamed, against the peers' functions."""
    rows = 100_000 if quick else 10_000_000
    scores, strange = ood_scores(rows)
    figures.add("ood_rows", rows)

    def streamed() -> RankHistogram:
        state = RankHistogram()
        for start in range(0, rows, 1_000_000):
            state.update(scores[start : start + 1_000_000], strange[start : start + 1_000_000])
        return state

    times = harness.interleave(
        {
            "exact": lambda: ranking_values(scores, strange),
            "sketch": lambda: streamed().enclosures(),
            "torchmetrics": ood_torchmetrics(scores, strange),
            "sklearn": ood_sklearn(scores, strange),
        },
        rounds=5,
    )
    for name, series in times.items():
        figures.add(f"ood_{name}_seconds", statistics.median(series), "s CPU")
    for ours in ("exact", "sketch"):
        for theirs in ("torchmetrics", "sklearn"):
            _ratio(figures, f"ood_{ours}_ratio_vs_{theirs}", times[theirs], times[ours])
    ends = streamed().enclosures()
    names = ("auroc", "aupr_positive", "aupr_negative", "fpr95_positive")
    figures.add("ood_sketch_bound", max(ends[name][1] - ends[name][0] for name in names) / 2)
    figures.add("ood_sketch_bound_auroc", (ends["auroc"][1] - ends["auroc"][0]) / 2)
    figures.add(
        "ood_exact_extra_mib", harness.peak_extra_memory(lambda: ranking_values(scores, strange))
    )


def ood_stream(figures: harness.Figures, *, quick: bool) -> None:
    """Stream a hundred million scores through one state."""
    pieces = 1 if quick else 100
    state = RankHistogram()
    seconds = 0.0
    for seed in range(pieces):
        scores, strange = ood_scores(1_000_000, seed=seed)
        start = time.process_time()
        state.update(scores, strange)
        seconds += time.process_time() - start
    figures.add("ood_stream_rows", len(state))
    figures.add("ood_stream_seconds", seconds, "s CPU")
    figures.add("ood_stream_state_mib", state.nbytes / 2**20, "MiB")
    low, high = state.enclosures()["auroc"]
    figures.add("ood_stream_bound_auroc", (high - low) / 2)


def ood_scores(rows: int, seed: int = 0) -> tuple[Array, NDArray[np.bool_]]:
    """Return float32 scores in (0, 1), as torchmetrics wants them, and which rows are strange."""
    rng = np.random.default_rng(seed)
    strange = rng.random(rows) < 0.3
    return (1 / (1 + np.exp(-rng.normal(size=rows) - strange))).astype(np.float32), strange


def ood_torchmetrics(scores: Array, strange: NDArray[np.bool_]) -> Callable[[], object]:
    """Return torchmetrics' functions, as a user would call them."""
    import torch
    from torchmetrics.functional import classification as tm

    torch.set_num_threads(1)
    x, y = torch.from_numpy(scores), torch.from_numpy(strange.astype(np.int64))
    return lambda: [
        tm.binary_auroc(x, y),
        tm.binary_average_precision(x, y),
        tm.binary_average_precision(1 - x, 1 - y),
        tm.binary_specificity_at_sensitivity(x, y, 0.95),
    ]


def ood_sklearn(scores: Array, strange: NDArray[np.bool_]) -> Callable[[], object]:
    """Return scikit-learn's functions, as a user would call them."""
    from sklearn import metrics

    def run() -> list[object]:
        fpr, tpr, _ = metrics.roc_curve(strange, scores)
        return [
            metrics.roc_auc_score(strange, scores),
            metrics.average_precision_score(strange, scores),
            metrics.average_precision_score(~strange, -scores),
            fpr[np.searchsorted(tpr, 0.95)],
        ]

    return run


def _ratio(
    figures: harness.Figures, name: str, numerator: list[float], denominator: list[float]
) -> None:
    found = harness.ratio(numerator, denominator)
    figures.add(name, found.value, f"x (spread {found.spread:.0%})")


SETS = (report, bootstrap, ood, ood_stream, many_classes)
"""One function a set of figures; each may be run by itself."""


def measure(figures: harness.Figures, *, quick: bool) -> None:
    """Run every set."""
    for one in SETS:
        one(figures, quick=quick)


if __name__ == "__main__":
    harness.main(__doc__, measure)
