r"""Worse than what was stored? Every figure against a baseline, paired where the file allows it.

What a baseline file allows depends on what it keeps:

- per-row scores (``uncertain evaluate --rows``): the same rows, found by their ids and held to equal
  labels, give paired differences of accuracy, NLL, Brier, CRPS and the like, of a subgroup too;
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

from numpy.typing import NDArray

from uncertain.evaluation.baseline_pairs import pairs_from_results, pairs_from_rows
from uncertain.evaluation.formatting import decimals, interval, number, p_text
from uncertain.evaluation.gate import Rule, Violation, describe, parse_rule, rows_of
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.results import FORMAT, Results, Row
from uncertain.evaluation.row_order import natural_key
from uncertain.intervals import Estimate

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
        ['accuracy of net on test is worse than the baseline by 0.070 [0.034, 0.106], p = 0.00014 (one figure, not adjusted; unpaired): it is 0.880 [0.850, 0.910]']
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
        pairs = pairs_from_results(list(figures.values()), stored)
    else:
        pairs = pairs_from_rows(list(figures.values()), stored, predictions, level)
    _check_all_held(
        Path(path), [rule for rule in parsed if rule.is_relative], figures, pairs, stored
    )
    if not pairs:
        raise ValueError(
            f"{path} shares no figure with these results: it should hold the same metrics on the same "
            "splits, with intervals or per-row scores."
        )
    differences = _holm(_difference(now, estimate) for now, estimate in pairs)
    count = sum(row.p_value is not None for row in differences)
    violations = [
        violation
        for (now, _), row in zip(pairs, differences, strict=True)
        if (violation := _judged(now, row, count, level)) is not None
    ]
    return differences, violations


def not_held(rules: Sequence[str | Rule], baseline: str | Path | None) -> str:
    """Return what a gate leaves out, in one line: rules about a baseline are all that it is held by.

    Args:
        rules: Those of the gate.
        baseline: Its baseline, where it has one.

    Returns:
        The line; empty where there is no baseline, or all of its figures are held.

    Raises:
        ValueError: A text is no rule.

    Example:
        >>> not_held(["nll worse", "accuracy < 0.8"], "old.json")
        'Held against old.json: nll worse. Other figures of the baseline are not held.'
        >>> not_held(["accuracy < 0.8"], "old.json")
        ''
    """
    parsed = [rule if isinstance(rule, Rule) else parse_rule(rule) for rule in rules]
    told = ", ".join(rule.text for rule in parsed if rule.is_relative)
    if baseline is None or not told:
        return ""
    return f"Held against {baseline}: {told}. Other figures of the baseline are not held."


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
    return row.task, row.split, row.metric, row.variant, row.source, row.training, row.subgroup


def _check_all_held(
    path: Path,
    rules: Sequence[Rule],
    figures: Mapping[tuple[str, ...], Row],
    pairs: Sequence[tuple[Row, Estimate]],
    stored: Results | Mapping[str, NDArray[Any]],
) -> None:
    """Raise where a rule names what the baseline does not hold, or every subgroup of which some left."""
    held = {_key(now) for now, _ in pairs}
    for rule in rules:
        mine = {
            k: row
            for k, row in figures.items()
            if row.metric == rule.metric and _is_about(rule, row)
        }
        missing = [row for k, row in mine.items() if k not in held]
        if missing and (rule.subgroup or len(missing) == len(mine)):
            where = f" of {missing[0].subgroup}" if rule.subgroup else ""
            hint = ""
            if missing[0].subgroup.startswith("worst "):
                hint = ": the worst of a column is held against a table of results (--json)"
            elif rule.subgroup and not isinstance(stored, Results):
                hint = ": its rows should be the same, with the same labels"
            raise ValueError(f"{path} holds no {rule.metric}{where} to be held against{hint}.")
        if rule.subgroup.startswith("every ") and isinstance(stored, Results):
            before = {row.subgroup for row in stored if row.subgroup.startswith(f"{rule.column}=")}
            gone = sorted(before - {row.subgroup for row in mine.values()}, key=natural_key)
            if gone:
                raise ValueError(
                    f"`{rule.text}` should find every subgroup of the baseline, got none of "
                    f"{', '.join(gone)}."
                )


def _is_about(rule: Rule, row: Row) -> bool:
    every = rule.subgroup.startswith("every ")
    return row.subgroup.startswith(f"{rule.column}=") if every else row.subgroup == rule.subgroup


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
        subgroup=now.subgroup,
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
    where += f", {row.subgroup}" if row.subgroup else ""
    digits = decimals(loss.value, loss.low, loss.high)
    p = p_text(row.p_value)
    said = p if p.startswith("<") else f"= {p}"
    family = "one figure, not adjusted; " if count == 1 else f"Holm over {count} figures, "
    message = (
        f"{name} of {row.source} on {where} is worse than the baseline by "
        f"{number(loss.value, digits)} {interval(loss)}, p {said} ({family}{row.reason}): it is {describe(now).rpartition(' is ')[2]}"
    )
    return Violation("worse", row, message)
