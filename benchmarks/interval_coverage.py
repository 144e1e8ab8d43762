"""How often do the intervals cover the truth? A table of nominal 95 % intervals, by simulation.

Every cell draws data with a known truth again and again and counts the intervals that hold it:
2,000 repetitions, or 4 with ``--quick``. A figure below 0.93 is a fault. Beside the calibration
intervals stands what a percentile bootstrap of the plug-in ECE would have covered: nothing, where
the model is calibrated, which is why the plug-in ECE has no interval.

A part of the table is a function ``(figures, repetitions) -> None``; add it to ``PARTS``.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import harness

sys.path.append(str(Path(__file__).parents[1]))  # the simulators are the tests'

import numpy as np
from numpy.typing import NDArray

from tests.evaluation import simulate, simulate_calibration, simulate_comparison
from tests.evaluation.simulate_calibration import World
from uncertain.evaluation.calibration_bins import bin_index, equal_width_edges
from uncertain.evaluation.calibration_intervals import draw
from uncertain.evaluation.calibration_rows import Rows, gap_model, inverted
from uncertain.evaluation.comparison import compare_methods
from uncertain.evaluation.ranking import ranking_estimates
from uncertain.intervals import Estimate, mean_ranks, proportion

REPETITIONS, QUICK_REPETITIONS = 2000, 4
REPLICATES = 500
Part = Callable[[harness.Figures, int], None]

CLUSTER, CORRELATION = 10, 0.3
CLUSTERED: tuple[simulate_calibration.Confidences, ...] = ("uniform", "high")
EDGES = equal_width_edges(simulate_calibration.BINS)


def proportions(figures: harness.Figures, repetitions: int) -> None:
    """Accuracy: single rows, and rows of ten to a group."""
    for p in simulate.ACCURACIES:
        for n in simulate.SIZES:
            for name, cluster in (("rows", 1), ("groups", CLUSTER)):
                draw = partial(accuracy_interval, np.random.default_rng(n), p, n, cluster)
                covered = simulate.coverage(draw, p, repetitions)
                figures.add(f"coverage_accuracy_{name}_{p}_n{n}", covered)


def accuracy_interval(
    rng: np.random.Generator, p: float, n: int, cluster: int, repetition: int
) -> Estimate:
    """Return the interval of one draw; ``repetition`` only counts."""
    del repetition
    hits, groups = simulate.outcomes(rng, p, n, cluster=cluster, correlation=CORRELATION)
    return proportion(hits, groups=groups if cluster > 1 else None)


def ranking(figures: harness.Figures, repetitions: int) -> None:
    """The areas of ranked scores; AUROC is held to 0.93, the bootstrapped figures are told."""
    for area in simulate.AREAS:
        truths = simulate.true_figures(area, 0.5)
        for n in simulate.SIZES:
            rng = np.random.default_rng(n)
            hits = dict.fromkeys(truths, 0)
            for repetition in range(repetitions):
                drawn = simulate.ranked(rng, area, n)
                found = ranking_estimates(
                    drawn.scores, drawn.positive, seed=repetition, replicates=REPLICATES
                )
                for name, truth in truths.items():
                    hits[name] += found[name].low - 1e-12 <= truth <= found[name].high + 1e-12
            for name, hit in hits.items():
                kind = "coverage" if name == "auroc" else "also_covers"
                figures.add(f"{kind}_{name}_at_auroc{area}_n{n}", hit / repetitions)


def calibration(figures: harness.Figures, repetitions: int) -> None:
    """Both debiased errors, and the bootstrap that would not do."""
    worlds = [World("uniform"), World("uniform", "wave"), World("high"), World("saturated")]
    worlds += [World(kind, "over", 0.0, CLUSTER, CORRELATION) for kind in CLUSTERED]
    for world in worlds:
        for gap in simulate_calibration.GAPS:
            for n in simulate_calibration.SIZES:
                here = World(world.confidences, world.shape, gap, world.cluster, world.correlation)
                calibration_cell(figures, here, n, repetitions)


def calibration_cell(figures: harness.Figures, world: World, n: int, repetitions: int) -> None:
    """Add the coverage and mean width in one world at one size."""
    rng = np.random.default_rng(n)
    truths = {"l1": world.truth("l1"), "l2": world.truth("l2")}
    hits = dict.fromkeys(truths, 0)
    widths = dict.fromkeys(truths, 0.0)
    bootstrapped = []
    for repetition in range(repetitions):
        p, outcome, groups = world.sample(rng, n)
        found = calibration_intervals(p, outcome, groups if world.cluster > 1 else None, repetition)
        for norm, truth in truths.items():
            low, high = found[norm].low, found[norm].high
            hits[norm] += low - 1e-12 <= truth <= high + 1e-12
            widths[norm] += high - low
        if world.cluster == 1 and repetition % 10 == 0:
            low, high = percentile_bootstrap(p, outcome, rng)
            bootstrapped.append(low <= truths["l1"] <= high)
    kind = "groups" if world.cluster > 1 else "rows"
    label = f"{world.confidences}_{world.shape}_{kind}_gap{world.gap}_n{n}"
    for norm in truths:
        figures.add(f"coverage_calibration_{norm}_{label}", hits[norm] / repetitions)
        figures.add(f"width_calibration_{norm}_{label}", widths[norm] / repetitions)
    if bootstrapped:
        figures.add(f"bootstrap_of_plug_in_{label}", float(np.mean(bootstrapped)))


def calibration_intervals(
    p: NDArray[np.float64], outcome: NDArray[np.bool_], groups: NDArray[np.intp] | None, seed: int
) -> dict[str, Estimate]:
    """Return the intervals of `ece_debiased` and `rms_calibration_error_debiased`, binned once."""
    rows = Rows.of(p, outcome, None, groups)
    model = gap_model(rows, "equal_width", simulate_calibration.BINS)
    draws = draw(model, seed=seed, replicates=REPLICATES)
    norms: tuple[simulate_calibration.Norm, ...] = ("l1", "l2")
    return {norm: inverted(model, draws, rows, simulate.NOMINAL, norm) for norm in norms}


def percentile_bootstrap(
    p: NDArray[np.float64],
    outcome: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    replicates: int = 200,
) -> tuple[float, float]:
    """Return the usual interval around the plug-in ECE: its 2.5 % and 97.5 % bootstrap points."""
    bins = len(EDGES) - 1
    number, residual = bin_index(p, EDGES), p - outcome
    drawn = rng.integers(len(p), size=(replicates, len(p)))
    cell = number[drawn] + bins * np.arange(replicates)[:, None]
    sums = np.bincount(cell.ravel(), residual[drawn].ravel(), bins * replicates)
    errors = np.abs(sums.reshape(replicates, bins)).sum(axis=1) / len(p)
    low, high = np.quantile(errors, [0.025, 0.975])
    return float(low), float(high)


def comparisons(figures: harness.Figures, repetitions: int) -> None:
    """Trainings crossed with rows, splits that share rows, rank groups of equally good methods."""
    for trainings in (2, 3, 5, 10, 20):
        for training_sd in (0.0, 0.1, 0.5):
            rng = np.random.default_rng(trainings)
            draw = partial(both_interval, rng, trainings, training_sd)
            covered = simulate.coverage(draw, 0.0, repetitions)
            kind = "coverage" if trainings > 2 else "also_covers"
            figures.add(f"{kind}_both_{trainings}_trainings_sd{training_sd}", covered)
    for splits in (3, 10, 20):
        rng = np.random.default_rng(splits)
        drawn = [simulate_comparison.split_differences(rng, splits) for _ in range(repetitions)]
        for name, test in (
            ("corrected", simulate_comparison.corrected),
            ("plain", simulate_comparison.plain),
        ):
            false = [test(d).p_value or 1.0 for d in drawn]
            figures.add(
                f"false_claims_{name}_{splits}_splits", float(np.mean(np.array(false) < 0.05))
            )
    rank_group_errors(figures, repetitions)


def both_interval(
    rng: np.random.Generator, trainings: int, training_sd: float, repetition: int
) -> Estimate:
    """Return the interval over trainings and 100 rows of one draw; ``repetition`` only counts."""
    del repetition
    drawn = simulate_comparison.crossed_scores(rng, trainings, 100, training_sd=training_sd)
    return drawn.both


def rank_group_errors(figures: harness.Figures, repetitions: int) -> None:
    """Equally good methods in different groups: by rows, and by mean ranks over tasks."""
    for methods in (3, 8):
        rng = np.random.default_rng(methods)
        by_rows = by_tasks = 0
        for _ in range(repetitions):
            shared = rng.normal(size=300)
            scores = [shared + rng.normal(size=300) for _ in range(methods)]
            by_rows += simulate_comparison.false_letters(compare_methods(scores).letters)
            ranks = mean_ranks(rng.normal(size=(10, methods)))
            by_tasks += simulate_comparison.false_letters(ranks.letters)
        figures.add(f"false_groups_rows_{methods}_methods", by_rows / repetitions)
        figures.add(f"false_groups_ranks_of_10_tasks_{methods}_methods", by_tasks / repetitions)


PARTS: dict[str, Part] = {
    "proportions": proportions,
    "ranking": ranking,
    "calibration": calibration,
    "comparisons": comparisons,
}


def measure(figures: harness.Figures, *, quick: bool) -> None:
    """Run every part, then say which cell covers least."""
    repetitions = QUICK_REPETITIONS if quick else REPETITIONS
    figures.add("repetitions", repetitions)
    for part in PARTS.values():
        part(figures, repetitions)
    cells = {k: v for k, v in figures.values.items() if k.startswith("coverage_")}
    least = min(cells, key=lambda name: float(cells[name] or 0))
    figures.add("least_coverage", float(cells[least] or 0), least)


if __name__ == "__main__":
    harness.main(__doc__, measure)
