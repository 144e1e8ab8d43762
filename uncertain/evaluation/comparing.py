"""Compare models: what differs, by how much, how surely, and how many rows it would take.

Differences are paired where predictions are given, row by row or training by training
(:mod:`~uncertain.evaluation.pairs`), and unpaired where only tables of results are. P-values are
Holm's over a family that is always named: all pairs and tasks of one figure, or of all the figures
that were asked for.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from uncertain import checks
from uncertain.evaluation.baseline import direction
from uncertain.evaluation.baseline_pairs import unpaired_difference
from uncertain.evaluation.formatting import decimals, interval, number, p_text
from uncertain.evaluation.judge import evaluate
from uncertain.evaluation.leakage import LEAK, with_leaks
from uncertain.evaluation.pair_letters import adjusted, lettered
from uncertain.evaluation.pairs import compare_sources
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.results import Results, Row
from uncertain.evaluation.row_order import natural_key
from uncertain.intervals import mean_ranks, normal_quantile

Family = Literal["figure", "all"]
POWER = 0.8
MEAN_RANK = "mean_rank"
_WIDEST = {"both": 0, "trainings": 1, "items": 2}


@dataclass(frozen=True)
class Verdict:
    """What may be said of one difference.

    Attributes:
        row: The difference.
        lower: The source whose figure is lower; empty where they are not told apart.
        needed: About how many times as many rows (and trainings, where both vary) would tell a
            difference of this size; NaN where they are told apart, or where nothing is known.
        text: The verdict in one line.
    """

    row: Row
    lower: str
    needed: float
    text: str


def compare(
    predictions: Iterable[Predictions],
    *,
    metrics: Sequence[str] = (),
    family: Family = "figure",
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
    command: str = "",
) -> Results:
    """Compare sources in pairs on each task's test split, and on their strange rows.

    Args:
        predictions: Of two or more sources; several trainings of one are averaged.
        metrics: Which figures are compared; all that can be by default.
        family: What Holm's p-values are over: the pairs and tasks of each ``figure``, or ``all`` of
            the figures together. Items, trainings and both are different questions, and apart.
        level: Confidence level.
        replicates: Bootstrap replicates.
        seed: Of the bootstrap.
        command: The command line, kept in the results.

    Returns:
        Figures with rank letters, their differences, and mean ranks where there are several tasks.

    Raises:
        ValueError: Fewer than two sources, sources that can't be paired, no pair of which anything
            can be compared, or a metric that is not compared.

    Example:
        >>> from uncertain.families import ArrayDistribution
        >>> p = np.random.default_rng(0).dirichlet([1, 1, 1], 400)
        >>> y = (p.cumsum(axis=1) > np.random.default_rng(1).random((400, 1))).argmax(axis=1)
        >>> good = Predictions(ArrayDistribution("categorical", {"probs": p}), y, source="good")
        >>> flat = ArrayDistribution("categorical", {"probs": np.full((400, 3), 1 / 3)})
        >>> found = compare([good, Predictions(flat, y, source="flat")], metrics=["nll"])
        >>> [verdict.lower for verdict in verdicts(found)]
        ['good']
    """
    cases = list(predictions)
    _check(family, {case.source for case in cases})
    judged = evaluate(
        cases, level=level, replicates=replicates, seed=seed, compare=False, command=command
    )
    found, letters = compare_sources(
        cases, judged.rows, level=level, replicates=replicates, seed=seed, metrics=metrics,
        family=family,
    )  # fmt: skip
    if not set(metrics) <= {row.metric for row in found}:
        every, _ = compare_sources(cases, judged.rows, level=level, replicates=100, seed=seed)
        _check_metrics(metrics, every)
    _check_some(found)
    figures = [lettered(row, letters) for row in judged]
    found = with_leaks(found, cases)
    return _table(figures, found, metrics, family, judged, level)


def compare_stored(
    tables: Sequence[tuple[str, Results]],
    *,
    metrics: Sequence[str] = (),
    family: Family = "figure",
    command: str = "",
) -> Results:
    """Compare the sources of stored tables by their intervals alone, as if on different rows.

    Where they were judged on the same rows this is wider than it need be: compare the predictions.

    Args:
        tables: Name and results; sources of one name in several tables are told apart by the name.
        metrics: Which figures are compared.
        family: See :func:`compare`.
        command: The command line, kept in the results.

    Raises:
        ValueError: Fewer than two sources, or intervals of different levels.

    Example:
        >>> tables = [
        ...     (name, Results([Row("nll", value, value - 0.02, value + 0.02, source="net", n=900)]))
        ...     for name, value in (("old", 0.4), ("new", 0.3))
        ... ]
        >>> [verdict.text for verdict in verdicts(compare_stored(tables))]
        ['nll: new net is lower than old net by 0.100 [0.072, 0.128], p < 0.0001 (unpaired)']
    """
    if len(tables) == 1 and any(row.kind == "difference" for row in tables[0][1]):
        stored = tables[0][1]
        differences = [row for row in stored if row.kind == "difference" and not row.subgroup]
        figures = [row for row in stored if row.kind != "difference" and not row.other]
        _check_metrics(metrics, differences)
        return _table(figures, differences, metrics, "figure", stored, 0.95)
    figures = _renamed(tables)
    _check(family, {row.source for row in figures})
    keyed: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in figures:
        if row.has_interval and not row.training and not row.subgroup:
            key = (row.task, row.split, row.metric, row.variant, row.over)
            keyed.setdefault(key, {})[row.source] = row
    found = []
    for sources in keyed.values():
        for a, b in itertools.combinations(sorted(sources, key=natural_key), 2):
            estimate = unpaired_difference(sources[a], sources[b])
            row = dataclasses.replace(sources[a], p_value=None, rank_group="")
            reasons = [sources[source].reason.partition("; ")[0] for source in (a, b)]
            leaks = [reason for reason in reasons if reason.startswith(LEAK)]
            found.append(
                dataclasses.replace(
                    row,
                    value=estimate.value, low=estimate.low, high=estimate.high,
                    p_value=estimate.p_value, n=estimate.n, kind="difference", other=b,
                    reason="; ".join([*leaks[:1], "unpaired"]),
                )
            )  # fmt: skip
    _check_metrics(metrics, found)
    kept = [row for row in found if not metrics or row.metric in metrics]
    checked = adjusted(kept, family=family)
    joined = Results.create(figures, command=command)
    return _table(figures, checked, metrics, family, joined, 0.95)


def verdicts(results: Results) -> list[Verdict]:
    """Return one verdict a pair and figure: over the most that is known, in the usual variant.

    Args:
        results: A table with differences.

    Example:
        >>> from uncertain.evaluation import Row
        >>> row = Row("nll", -0.2, -0.3, -0.1, kind="difference", source="a", other="b", p_value=0.01)
        >>> len(verdicts(Results([row])))
        1
    """
    from uncertain.evaluation.report.material import main_variant

    variants: dict[tuple[str, str], set[str]] = {}
    rows = [row for row in results if row.kind == "difference" and not row.subgroup]
    for row in rows:
        variants.setdefault((row.metric, row.split), set()).add(row.variant)
    widest: dict[tuple[str, ...], Row] = {}
    for row in rows:
        if row.split == "test" and row.variant != main_variant(
            row.metric, variants[row.metric, row.split]
        ):
            continue
        key = (row.task, row.split, row.metric, row.variant, row.source, row.other)
        if key not in widest or _WIDEST[row.over] < _WIDEST[widest[key].over]:
            widest[key] = row
    sizes = Counter((r.split, r.metric, r.variant, r.over) for r in rows if r.p_value is not None)
    return [_verdict(r, sizes[r.split, r.metric, r.variant, r.over]) for r in widest.values()]


def needed_factor(row: Row, comparisons: int = 1) -> float:
    r"""Return how many times as much data would tell a difference of this size, about.

    :math:`\big((z_{1-\alpha/2m} + z_{.8})\, s / d\big)^2` for the standard error s of the difference d
    and m comparisons: the power is 80 % if the true difference is the observed one.

    Args:
        row: A difference with its interval.
        comparisons: How many comparisons Holm's method is over.

    Returns:
        The factor, NaN where there is no interval or no difference.

    Example:
        >>> row = Row("nll", 0.01, -0.01, 0.03, kind="difference", source="a", other="b")
        >>> round(needed_factor(row), 1)
        8.2
    """
    margin = (row.high - row.low) / 2
    if not (math.isfinite(margin) and math.isfinite(row.value) and row.value and margin):
        return math.nan
    error = margin / normal_quantile((1 + row.level) / 2)
    alpha = (1 - row.level) / max(comparisons, 1)
    z = normal_quantile(1 - alpha / 2) + normal_quantile(POWER)
    return (z * error / row.value) ** 2


def _check(family: str, sources: set[str]) -> None:
    checks.check_choice("family", family, get_args(Family))
    if len(sources) < 2:
        raise ValueError(
            f"two or more sources should be compared, got {', '.join(sorted(sources)) or 'none'}."
        )


def _check_metrics(metrics: Sequence[str], differences: Sequence[Row]) -> None:
    """Refuse a metric that is in none of the differences, naming those that are."""
    compared = {row.metric for row in differences}
    for metric in metrics:
        checks.check_choice("a metric to compare", metric, compared)


def _check_some(differences: Sequence[Row]) -> None:
    """Refuse a comparison of which every difference is undefined: silence would read as a tie."""
    if not differences or any(row.kind == "difference" for row in differences):
        return
    reasons = "; ".join(dict.fromkeys(row.reason for row in differences))
    first = differences[0]
    raise ValueError(
        f"{first.source} and {first.other} should have a figure that can be compared, got none: "
        f"{reasons}."
    )


def _renamed(tables: Sequence[tuple[str, Results]]) -> list[Row]:
    """Return the figures of all tables, sources named after their table where names clash."""
    counts = Counter(source for _, table in tables for source in table.sources)
    return [
        dataclasses.replace(row, source=f"{name} {row.source}") if counts[row.source] > 1 else row
        for name, table in tables
        for row in table
        if row.kind in ("estimate", "undefined") and not row.other
        if not row.source.startswith("control")
    ]


def _table(
    figures: Sequence[Row],
    differences: Sequence[Row],
    metrics: Sequence[str],
    family: str,
    like: Results,
    level: float,
) -> Results:
    kept = [row for row in differences if not metrics or row.metric in metrics]
    said = (
        "Holm over the pairs and tasks of each figure"
        if family == "figure"
        else "Holm over all figures, pairs and tasks together"
    )
    ranks = overall(figures, metrics=sorted({row.metric for row in kept}), level=level)
    versions = next((row.versions for row in like if row.versions), "")
    stamped = (
        row if row.versions else dataclasses.replace(row, versions=versions)
        for row in (*figures, *kept, *ranks)
    )  # fmt: skip
    return Results(stamped, {**like.metadata, "p-values": said})


def overall(figures: Sequence[Row], *, metrics: Sequence[str], level: float = 0.95) -> list[Row]:
    """Return mean ranks over tasks, where two or more tasks have figures of the same sources.

    Args:
        figures: Figures on the test split.
        metrics: Which; only those with a better direction are ranked.
        level: One minus the chance that any two equally good sources are told apart by one metric.

    Returns:
        Rows of metric ``mean_rank``, whose variant names the figure, with letters; ``n`` counts tasks.

    Example:
        >>> rows = [
        ...     Row("nll", value, source=source, task=task)
        ...     for task in "xyz" for source, value in (("a", 0.1), ("b", 0.2))
        ... ]
        >>> [(row.source, row.value, row.rank_group) for row in overall(rows, metrics=["nll"])]
        [('a', 1.0, 'a'), ('b', 2.0, 'a')]
    """
    rows = []
    for metric in metrics:
        better = direction(metric)
        table = _by_task(figures, metric)
        names = (
            sorted(set.intersection(*map(set, table.values())), key=natural_key) if table else []
        )
        if not better or len(table) < 2 or len(names) < 2:
            continue
        values = np.array([[table[task][name] for name in names] for task in sorted(table)])
        found = mean_ranks(values, best="high" if better > 0 else "low", level=level)
        few = "" if len(table) > 5 else f"{len(table)} tasks can't tell sources apart at .05"
        rows += [
            Row(
                MEAN_RANK, float(rank), source=name, variant=metric, n=len(table),
                over="both", reason=few, rank_group=letter,
            )
            for name, rank, letter in zip(names, found.ranks, found.letters, strict=True)
        ]  # fmt: skip
    return rows


def _by_task(figures: Sequence[Row], metric: str) -> dict[str, dict[str, float]]:
    """Return the figure of each source by task: over all trainings where there are several."""
    from uncertain.evaluation.report.material import main_variant

    rows = [r for r in figures if r.metric == metric and r.split == "test" and not r.subgroup]
    usual = main_variant(metric, {row.variant for row in rows})
    found: dict[str, dict[str, float]] = {}
    for row in sorted(rows, key=lambda row: (bool(row.training), _WIDEST[row.over])):
        if (row.variant == usual or metric == "crps") and math.isfinite(row.value):
            found.setdefault(row.task, {}).setdefault(row.source, row.value)
    return found


def _verdict(row: Row, comparisons: int) -> Verdict:
    name = f"{row.metric}[{row.variant}]" if row.variant else row.metric
    name = f"{row.task}, {name}" if row.task else name
    name = name if row.split == "test" else f"{name} on {row.split}"
    if not math.isfinite(row.value) or not row.has_interval:
        why = row.reason or "there is no interval"
        return Verdict(row, "", math.nan, f"{name}: {row.source} and {row.other}: {why}")
    remark = f" ({row.reason})" if row.reason else ""
    digits = decimals(row.value, row.low, row.high)
    p = p_text(row.p_value)
    said = "" if row.p_value is None else f", p {p if p.startswith('<') else f'= {p}'}"
    undecided = row.low <= 0 <= row.high if row.p_value is None else row.p_value >= 1 - row.level
    if undecided:
        factor = needed_factor(row, comparisons)
        difference = f"{number(row.value, digits)} {interval(row, digits)}{said}"
        text = f"{name}: {row.source} and {row.other} are not told apart, {difference}{_needs(row, factor)}"
        return Verdict(row, "", factor, text + remark)
    lower, higher = (row.source, row.other) if row.value < 0 else (row.other, row.source)
    sign = math.copysign(1, row.value)
    low, high = sorted((sign * row.low, sign * row.high))
    size = dataclasses.replace(row, value=abs(row.value), low=low, high=high)
    text = (
        f"{name}: {lower} is lower than {higher} by {number(size.value, digits)} "
        f"{interval(size, digits)}{said}{remark}"
    )
    return Verdict(row, lower, math.nan, text)


def _needs(row: Row, factor: float) -> str:
    if math.isnan(factor) or factor <= 1:
        return ""
    if factor > 1000:
        return ": over a thousand times as many rows would be needed"
    if row.over == "items" and row.n:
        return f": about {_round(row.n * factor):,} rows would be needed"
    what = "trainings" if row.over == "trainings" else "rows and trainings"
    return f": about {factor:.2g} times as many {what} would be needed"


def _round(n: float) -> int:
    """Return a count to two digits: more would be a pretence."""
    size = 10 ** max(math.floor(math.log10(n)) - 1, 0)
    return int(math.ceil(n / size) * size)
