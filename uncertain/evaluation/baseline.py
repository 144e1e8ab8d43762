r"""Worse than what was stored? Every figure against a baseline, paired where the file allows it.

What a baseline file allows depends on what it keeps:

- per-row scores (``uncertain evaluate --rows``): the same rows, found by their ids and held to equal
  labels, give paired differences of accuracy, NLL, Brier, CRPS and the like;
- a table of results (``uncertain evaluate --json``): figures with intervals only. The difference has
  the interval of two independent figures, :math:`d - \sqrt{(\theta_1 - l_1)^2 + (u_2 - \theta_2)^2}`
  below and likewise above. Where both judged the same rows it is too wide, and a small loss goes
  unnoticed: it errs on the side of passing.

References:
    Newcombe, Interval estimation for the difference between independent proportions, Statistics in
    Medicine 17 (1998), method 10; Zou and Donner, Construction of confidence limits about effect
    measures, Statistics in Medicine 27 (2008).
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain import checks
from uncertain.evaluation.formatting import decimals, interval, number, p_text
from uncertain.evaluation.gate import Rule, Violation, describe, parse_rule, rows_of
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.results import FORMAT, Results, Row
from uncertain.evaluation.row_scores import row_scores, split_variant
from uncertain.intervals import Estimate, group_ids, mean, normal_quantile, normal_two_sided

BASELINE = "baseline"


def check_baseline(
    results: Results,
    predictions: Sequence[Predictions],
    path: str | Path,
    *,
    rules: Sequence[str | Rule] = (),
    level: float = 0.95,
) -> tuple[list[Row], list[Violation]]:
    """Return differences from a stored baseline, and where they say that a figure got worse.

    A figure got worse where its difference points the wrong way and Holm's p-value, over all figures
    that are held, is below ``1 - level``; where it is undefined or infinite and was not before.

    Args:
        results: The new figures.
        predictions: What they are of, for pairing row by row.
        path: A table of results (``.json``, ``.parquet``) or per-row scores (``.csv``, ``.parquet``).
        rules: Those of the form ``METRIC worse`` say which figures are held; all that have an interval
            and a better direction, in their usual variant, where there is none.
        level: One minus the chance that an unchanged model fails.

    Raises:
        ValueError: The file is no baseline, is of a model of another kind, lacks a source or a figure
            that a rule names, or shares no figure with the results.

    Example:
        >>> import tempfile
        >>> stored = Path(tempfile.mkdtemp()) / "stored.json"
        >>> Results([Row("accuracy", 0.95, 0.93, 0.97, source="net", n=500)]).write(stored)
        >>> now = Results([Row("accuracy", 0.88, 0.85, 0.91, source="net", n=500)])
        >>> [violation.message for violation in check_baseline(now, [], stored)[1]]
        ['accuracy of net on test is worse than the baseline by 0.070 [0.034, 0.106], p = 0.00014 (Holm over 1 figures, unpaired): it is 0.880 [0.850, 0.910]']
    """
    parsed = [rule if isinstance(rule, Rule) else parse_rule(rule) for rule in rules]
    held = [rule for rule in parsed if rule.is_relative] or _every_figure(results)
    figures = {_key(row): row for rule in held for row in rows_of(results, rule)}
    stored = _read(Path(path))
    now = _kind({row.metric for row in results})
    then = _kind({r.metric for r in stored} if isinstance(stored, Results) else set(stored))
    if now and then and now != then:
        raise ValueError(
            f"{path} should be of a model that predicts {now} as these results are, got one that "
            f"predicts {then}: their figures share names and nothing else."
        )
    if isinstance(stored, Results):
        pairs = _from_results(list(figures.values()), stored)
    else:
        pairs = _from_rows(list(figures.values()), stored, predictions, level)
    if not pairs:
        raise ValueError(
            f"{path} shares no figure with these results: it should hold the same metrics on the same "
            "splits, with intervals or per-row scores."
        )
    named = {rule.metric for rule in parsed if rule.is_relative}
    missing = sorted(named - {now.metric for now, _ in pairs})
    if missing:
        raise ValueError(f"{path} holds no {', '.join(missing)} to be held against.")
    differences = _holm(_difference(now, estimate) for now, estimate in pairs)
    count = sum(row.p_value is not None for row in differences)
    violations = [
        violation
        for (now, _), row in zip(pairs, differences, strict=True)
        if (violation := _judged(now, row, count, level)) is not None
    ]
    return differences, violations


def unpaired_difference(first: Row | Estimate, second: Row | Estimate) -> Estimate:
    """Return ``first - second`` of two figures known by their intervals alone, as if independent.

    Raises:
        ValueError: The intervals have different levels.

    Example:
        >>> e = unpaired_difference(Row("nll", 0.5, 0.4, 0.6), Row("nll", 0.2, 0.1, 0.3))
        >>> round(e.low, 3), round(e.high, 3)
        (0.159, 0.441)
    """
    if first.level != second.level:
        raise ValueError(
            f"two figures should have intervals of one level, got {first.level} and {second.level}: "
            f"judge again with --level {second.level}."
        )
    value = first.value - second.value
    below = math.hypot(first.value - first.low, second.high - second.value)
    above = math.hypot(first.high - first.value, second.value - second.low)
    p_value = None
    towards_zero = below if value > 0 else above
    if math.isfinite(value) and math.isfinite(towards_zero):
        z = normal_quantile((1 + first.level) / 2) * abs(value)
        p_value = normal_two_sided(z / towards_zero) if towards_zero else float(value == 0)
    n = min(first.n, second.n)
    over = str(getattr(first, "over", "items"))
    return Estimate(
        value, value - below, value + above, n, first.level, None, p_value, "unpaired", over
    )


def _every_figure(results: Results) -> list[Rule]:
    """Return a rule for each figure that has an interval and a better direction, and is no cost."""
    from uncertain.evaluation.report.glossary import COSTS
    from uncertain.evaluation.report.material import main_variant

    variants: dict[tuple[str, str], set[str]] = {}
    for row in results:
        held = direction(row.metric) and row.metric not in COSTS
        if held and not (row.other or row.subgroup) and not row.source.startswith("control"):
            variants.setdefault((row.metric, row.split), set()).add(row.variant)
    return [
        Rule(
            "worse", metric, main_variant(metric, found) if len(found) > 1 else None, split, "", 0.0
        )
        for (metric, split), found in variants.items()
        if metric != "ece"
    ]


def direction(metric: str) -> int:
    """Return 1 where higher is better, -1 where lower is, 0 where neither is known.

    Example:
        >>> direction("accuracy"), direction("nll"), direction("coverage")
        (1, -1, 0)
    """
    from uncertain.evaluation.report.glossary import entry

    return {"higher": 1, "lower": -1}.get(entry(metric).better, 0)


def _kind(metrics: set[str]) -> str:
    """Return what figures of these names are about, empty where they don't say, or are of both."""
    kinds = {"classes": "accuracy" in metrics, "numbers": bool({"crps", "rmse", "mae"} & metrics)}
    told = [kind for kind, there in kinds.items() if there]
    return told[0] if len(told) == 1 else ""


def _read(path: Path) -> Results | dict[str, NDArray[Any]]:
    """Return stored results, or per-row scores by column."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}: check the path and the current folder.")
    if path.suffix.lower() == ".json":
        return Results.read(path)
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as parquet

        facts = json.loads((parquet.read_schema(path).metadata or {}).get(b"uncertain", b"{}"))
        if facts.get("format") == FORMAT:
            return Results.read(path)
    from uncertain.evaluation.readers import read_arrays

    columns, _ = read_arrays(path)
    if not {"source", "split", "row_id"} <= columns.keys():
        raise ValueError(
            f"{path}: a baseline should be a table of results (uncertain evaluate --json) or per-row "
            f"scores (--rows), got columns {', '.join(columns)}."
        )
    return columns


def _key(row: Row) -> tuple[str, ...]:
    return row.task, row.split, row.metric, row.variant, row.source, row.training


def _counterpart(source: str, now: Sequence[str], then: Sequence[str]) -> str:
    """Return which stored source a new one is held against: one of its name, or the only one."""
    if source in then:
        return source
    if len(set(now)) == len(set(then)) == 1:
        return then[0]
    checks.check_choice("a source of the baseline", source, set(then))
    return source


def _from_results(figures: Sequence[Row], stored: Results) -> list[tuple[Row, Estimate]]:
    then = [r for r in stored if r.kind != "difference" and not (r.other or r.subgroup)]
    sources = [row.source for row in then if not row.source.startswith("control")]
    pairs = []
    for row in figures:
        source = _counterpart(row.source, [r.source for r in figures], sources)
        same = [
            r
            for r in then
            if (r.task, r.split, r.metric, r.variant)
            == (row.task, row.split, row.metric, row.variant)
            and r.source == source
            and (r.over, bool(r.training)) == (row.over, bool(row.training))
        ]
        same = [r for r in same if r.training == row.training] or same
        # A figure that was undefined says nothing of what comes after it.
        if same and same[0].has_interval and math.isfinite(same[0].value):
            pairs.append((row, unpaired_difference(row, same[0])))
    return pairs


def _from_rows(
    figures: Sequence[Row],
    stored: Mapping[str, NDArray[Any]],
    predictions: Sequence[Predictions],
    level: float,
) -> list[tuple[Row, Estimate]]:
    pairs = []
    then = list(dict.fromkeys(stored["source"].astype(str).tolist()))
    for row in figures:
        case = next(
            (
                c
                for c in predictions
                if (c.task, c.split, c.source, c.training)
                == (row.task, row.split, row.source, row.training)
            ),
            None,
        )
        if case is None or case.target is None or row.metric not in stored:
            continue
        scores = {split_variant(name)[0]: score for name, score in row_scores(case).items()}
        if row.metric not in scores:
            continue
        source = _counterpart(row.source, [r.source for r in figures], then)
        chosen = (stored["source"].astype(str) == source) & (
            stored["split"].astype(str) == row.split
        )
        if chosen.any():
            taken = {name: column[chosen] for name, column in stored.items()}
            pairs.append((row, _paired(row, scores[row.metric], case, taken, level)))
    return pairs


def _paired(
    row: Row,
    scores: NDArray[Any],
    case: Predictions,
    stored: Mapping[str, NDArray[Any]],
    level: float,
) -> Estimate:
    """Return the paired difference on the same rows; of the two means where they are not the same."""
    before = np.asarray(stored[row.metric], dtype=np.float64)
    ids = np.arange(len(case)) if case.row_ids is None else np.asarray(case.row_ids)
    here, there = np.argsort(ids.astype(str)), np.argsort(stored["row_id"].astype(str))
    same = len(ids) == len(before) and np.array_equal(
        ids.astype(str)[here], stored["row_id"].astype(str)[there]
    )
    if not same or not _same_targets(case, stored, here, there):
        now = mean(scores, weights=case.weights, groups=case.groups, level=level)
        return unpaired_difference(now, mean(before, level=level))
    groups = None if case.groups is None else group_ids(case.groups)[here]
    weights = None if case.weights is None else case.weights[here]
    a, b = scores[here], before[there]
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        value = float(np.average(a, weights=weights)) - float(np.average(b, weights=weights))
        return Estimate(value, math.nan, math.nan, len(a), level, reason="paired")
    found = mean(a - b, weights=weights, groups=groups, level=level, null=0.0)
    return found._replace(reason="paired")


def _same_targets(
    case: Predictions,
    stored: Mapping[str, NDArray[Any]],
    here: NDArray[Any],
    there: NDArray[Any],
) -> bool:
    """Return whether the same ids have the same labels: ids that are mere positions may not."""
    if "label" in stored:
        target = np.asarray(case.target)
        named = target if case.class_names is None else np.asarray(case.class_names)[target]
        return np.array_equal(named.astype(str)[here], stored["label"].astype(str)[there])
    if "target" in stored:
        return np.allclose(np.asarray(case.target, float)[here], stored["target"][there], rtol=1e-6)
    return True


def _difference(now: Row, estimate: Estimate) -> Row:
    reason = estimate.reason
    if not math.isfinite(estimate.value):
        reason = now.reason or "the baseline is not finite"
    return Row.from_estimate(
        now.metric,
        estimate._replace(reason=reason),
        source=now.source,
        other=BASELINE,
        kind="difference",
        variant=now.variant,
        split=now.split,
        task=now.task,
        training=now.training,
        positive_class=now.positive_class,
    )


def _holm(rows: Any) -> list[Row]:
    """Adjust over all figures that are held: one family."""
    from uncertain.intervals import holm

    found = list(rows)
    tested = [i for i, row in enumerate(found) if row.p_value is not None]
    for i, p in zip(tested, holm([found[i].p_value for i in tested]), strict=True):
        found[i] = dataclasses.replace(found[i], p_value=float(p))
    return found


def _judged(now: Row, row: Row, count: int, level: float) -> Violation | None:
    better = direction(now.metric)
    if not math.isfinite(now.value):
        wrong = math.isnan(now.value) or (now.value > 0) == (better < 0)
        message = f"{describe(now)}, which the baseline was not: worse than the baseline"
        return Violation("worse", row, message) if wrong else None
    if row.p_value is None or row.p_value >= 1 - level or (row.value > 0) == (better > 0):
        return None
    # Told as a loss: how much worse, whichever way the figure points.
    low, high = sorted((-better * row.low, -better * row.high))
    loss = dataclasses.replace(row, value=-better * row.value, low=low, high=high)
    name = f"{row.metric}[{row.variant}]" if row.variant else row.metric
    where = f"{row.task}, {row.split}" if row.task else row.split
    digits = decimals(loss.value, loss.low, loss.high)
    p = p_text(row.p_value)
    said = p if p.startswith("<") else f"= {p}"
    message = (
        f"{name} of {row.source} on {where} is worse than the baseline by "
        f"{number(loss.value, digits)} {interval(loss)}, p {said} (Holm over {count} figures, "
        f"{row.reason}): it is {describe(now).rpartition(' is ')[2]}"
    )
    return Violation("worse", row, message)
