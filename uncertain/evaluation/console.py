"""Results, listings and cards as terminal tables."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from uncertain.evaluation.console_lines import interval_name, plain, print_lines, say
from uncertain.evaluation.formatting import count, decimals, figure, interval, number, p_text
from uncertain.evaluation.leakage import LEAK, leaks_of
from uncertain.evaluation.pair_letters import claim_remarks
from uncertain.evaluation.results import Results, Row
from uncertain.evaluation.row_order import is_sanity
from uncertain.evaluation.temperature_scaled import as_raw, is_scaled
from uncertain.evaluation.uncertainty import DETECTOR
from uncertain.evaluation.worst import worst_name
from uncertain.terminal import Console, Table, Text

ECE = "equal_width,15,l1,top_label"
_HEADLINES = (
    ("accuracy", ""), ("nll", ""), ("crps", ""), ("brier", ""), ("rmse", ""),
    ("ece", ECE), ("ece_debiased", ECE), ("auroc", "error:msp"), ("augrc", "error:msp"),
    ("aurc", "error:msp"),
    ("coverage", "0.9"), ("interval_score", "0.9"), ("pit_ks", ""),
    ("rps", ""), ("rps", "1"), ("grid_nll", "1"),
    ("train_seconds", ""),
)  # fmt: skip
"""What is shown of labelled rows, in order: the rest is in the files."""
_BRIEF = ("accuracy", "nll", "crps", "rmse", "ece_debiased")
"""What is shown of other splits than `test`."""
_OF_SUBGROUPS = ("accuracy", "nll", "crps", "rmse", "ece_debiased", "coverage")
"""What is shown of the worst subgroups."""
_OOD = ("auroc", "fpr95_ood_positive")
_OOD_SCORES = ("msp", "epistemic", "sd", "width")
_CALIBRATION = "squared_calibration_error_debiased"
_CONTROL = "control: "
_FEW = 6
"""Pairs of sources that are all shown: those of four."""


def _headline(row: Row) -> tuple[str, str]:
    """Return a row's name among the headlines: a CRPS is one whatever it is taken of."""
    return row.metric, "" if row.metric == "crps" else row.variant


def print_table(title: str, rows: Sequence[Any], *, console: Console | None = None) -> None:
    """Print a sequence of dataclasses or mappings as a table.

    Example:
        >>> print_table("Data", [])
        Data: none
    """
    records = [_record(row) for row in rows]
    if not records:
        (console or Console()).print(Text(f"{title}: none"))
        return
    table = Table(title=title, box=None, padding=(0, 2, 0, 0))
    for name in records[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for record in records:
        table.add_row(*(Text(_text(value)) for value in record.values()))
    (console or Console()).print(table)


def print_card(name: str, card: Any, *, console: Console | None = None) -> None:
    """Print a card's fields, one a line, without those that are empty.

    Example:
        >>> print_card("digits", {"source": "UCI"})  # doctest: +NORMALIZE_WHITESPACE
          digits
        source UCI
    """
    table = Table(title=name, box=None, show_header=False, padding=(0, 2, 0, 0))
    for field, value in _record(card).items():
        if text := _text(value):
            table.add_row(Text(field.replace("_", " "), style="bold"), Text(text))
    (console or Console()).print(table)


def print_results(results: Results, *, console: Console | None = None) -> None:
    """Print the headline figures: a block a task, a table a split, differences below.

    The whole table is several times as long: :meth:`Results.write` and the report have it. Of a
    source with several trainings only the mean is shown, its interval over trainings and rows where
    there is such a one.

    Args:
        results: Any table of figures.
        console: Where to print; the terminal by default.

    Example:
        >>> row = Row("accuracy", 0.9, 0.878, 0.918, source="net", n=900)
        >>> print_results(Results([row]))  # doctest: +NORMALIZE_WHITESPACE
        test: net, 900 rows
        figure    value  95% interval
        accuracy  0.900  [0.878, 0.918]
    """
    console = console or Console()
    if not results.rows:
        say(console, "Results: none")
    for place, task in enumerate(dict.fromkeys(row.task for row in results)):
        if place:
            say(console, "")
        if task:
            say(console, f"Task {task}", style="bold underline")
        _print_task(results.select(task=task), console)


def print_verdicts(results: Results, *, console: Console | None = None) -> None:
    """Print what may be said of every difference, a line each, and mean ranks over tasks.

    Example:
        >>> row = Row("nll", 0.1, 0.05, 0.15, kind="difference", source="a", other="b", p_value=0.01)
        >>> print_verdicts(Results([row]))
        nll: b is lower than a by 0.100 [0.050, 0.150], p = 0.01
    """
    from uncertain.evaluation.comparing import MEAN_RANK, verdicts

    console = console or Console()
    _print_leaks(results, console)
    for verdict in verdicts(results):
        line = plain(verdict.text, console)
        console.print(Text(line, style="" if verdict.lower else "dim"), soft_wrap=True)
    ranked = results.select(metric=MEAN_RANK)
    if len(ranked):
        say(console, "")
        say(console, f"Mean ranks over {ranked.rows[0].n} tasks; 1 is the best", style="bold")
        lines = [
            {"figure": r.variant, "source": r.source, "value": number(r.value, 2),
             "group": r.rank_group}
            for r in ranked
        ]  # fmt: skip
        print_lines(lines, console)
        for remark in dict.fromkeys(row.reason for row in ranked if row.reason):
            say(console, remark, style="dim")
    if said := results.metadata.get("p-values"):
        say(console, f"p-values: {said}.", style="dim")


def _print_task(results: Results, console: Console) -> None:
    shown = _headlines(results)
    if not shown:
        say(console, "none of the usual figures: the files have what there is")
    _print_leaks(results, console)
    for place, split in enumerate(dict.fromkeys(row.split for row in shown)):
        if place:
            say(console, "")
        _print_split([row for row in shown if row.split == split], results, console)
    if any(row.rank_group for row in shown):
        say(console, "Sources that share a letter are not told apart; a is the best.", style="dim")
    for remark in claim_remarks(row for row in shown if row.rank_group):
        say(console, f"Letters {remark}.", style="dim")
    if any(row.over == "both" for row in shown):
        say(console, "Over both: intervals hold for new trainings and new rows.", style="dim")
    for remark in dict.fromkeys(_remarks(shown)):
        say(console, remark, style="dim")
    _print_worst(results, console)
    _print_differences(results, console)
    _print_scaled(results, console)


def _print_leaks(results: Results, console: Console) -> None:
    for source, why in leaks_of(results).items():
        words = f"{source} was calibrated on the rows judged ({why.removeprefix(LEAK)})"
        say(console, f"{words}: every figure flatters it.", style="bold red")


def _print_scaled(results: Results, console: Console) -> None:
    """Print what is left of the figures after every source got its best temperature."""
    shown = [row for row in _headlines(as_raw(results)) if row.split == "test"]
    if not shown:
        return
    say(console, "")
    say(console, "After temperature scaling of every source", style="bold")
    _print_split(shown, as_raw(results), console)
    for remark in dict.fromkeys(_remarks(shown)):
        say(console, remark, style="dim")


def _print_worst(results: Results, console: Console) -> None:
    """Print the worst subgroup of the headline figures, a line a figure and column."""
    found = [
        row
        for row in results
        if worst_name(row) and _place(row) is not None and row.metric in _OF_SUBGROUPS
    ]
    if not found:
        return
    found.sort(key=lambda row: (row.subgroup, _place(row)))
    lines = [
        {
            "figure": _name(row),
            "column": row.subgroup.removeprefix("worst "),
            "worst": worst_name(row),
            "source": row.source + (f" ({row.training})" if row.training else ""),
            "split": row.split,
            "value": figure(row),
            interval_name(found): interval(row),
            "rows": count(row.n),
        }
        for row in found
    ]
    alone = {name for name in ("source", "split") if len({line[name] for line in lines}) == 1}
    say(console, "")
    say(console, "Worst subgroups", style="bold")
    print_lines(lines, console, without=alone)
    say(console, "Their intervals hold for all subgroups of a column together.", style="dim")


def _headlines(results: Results) -> list[Row]:
    """Return the rows to show, in order: of a source's trainings the mean where there is one."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in results:
        if not row.other and not row.subgroup and _place(row) is not None:
            found.setdefault((row.split, row.metric, row.variant, row.source), []).append(row)
    chosen = _without_weak_controls([row for rows in found.values() for row in _widest(rows)])
    splits = list(dict.fromkeys(row.split for row in results))
    sources = results.sources

    def order(row: Row) -> tuple[Any, ...]:
        return splits.index(row.split), _place(row), sources.index(row.source), row.training

    return sorted(chosen, key=order)


def _without_weak_controls(rows: Sequence[Row]) -> list[Row]:
    """Keep of the scores that look at no model the one that tells a split apart best."""
    strongest: dict[str, Row] = {}
    for row in rows:
        if row.source.startswith(_CONTROL) and row.metric == "auroc":
            best = strongest.setdefault(row.split, row)
            if abs(row.value - 0.5) > abs(best.value - 0.5):
                strongest[row.split] = row
    kept = {(split, row.source) for split, row in strongest.items()}
    return [r for r in rows if not r.source.startswith(_CONTROL) or (r.split, r.source) in kept]


def _widest(rows: Sequence[Row]) -> Sequence[Row]:
    """Return the mean over trainings with the interval that says most, or all where none is."""
    for over in ("both", "trainings", "items"):
        means = [row for row in rows if row.over == over and not row.training]
        if means:
            return means
    return rows


def _place(row: Row) -> tuple[int, int] | None:
    """Return where a row stands among the headline figures, ``None`` where it is none of them."""
    if row.split.startswith("ood:"):
        score = row.variant.rpartition(":")[2]
        # Detectors have a table of their own in the report.
        if row.metric not in _OOD or f":{DETECTOR}" in row.variant:
            return None
        if row.source.startswith(_CONTROL):
            return len(_OOD_SCORES), _OOD.index(row.metric)
        known = score in _OOD_SCORES
        return (_OOD_SCORES.index(score), _OOD.index(row.metric)) if known else None
    named = _headline(row)
    if named not in _HEADLINES or (row.split != "test" and row.metric not in _BRIEF):
        return None
    return 0, _HEADLINES.index(named)


def _print_split(rows: Sequence[Row], results: Results, console: Console) -> None:
    lines = [
        {
            "figure": _name(row),
            "source": row.source + (f" ({row.training})" if row.training else ""),
            "value": figure(row),
            interval_name(rows): interval(row),
            "over": "" if row.over == "items" else row.over,
            "beside": _beside(row, results),
            "group": row.rank_group,
        }
        for row in rows
    ]
    n = f"{count(max(row.n for row in rows))} rows"
    alone = len({line["source"] for line in lines}) == 1
    title = f"{rows[0].split}: {lines[0]['source']}, {n}" if alone else f"{rows[0].split}: {n}"
    trivial = next((row.reason for row in rows if "trivial: " in row.reason), "")
    if trivial:
        title += f"; trivial: {trivial.partition('trivial: ')[2]}, so it supports no claim"
    elif any(is_sanity(row) for row in rows):
        title += "; a sanity check, so it supports no claim"
    say(console, title, style="bold")
    print_lines(lines, console, without={"source"} if alone else set())


def _name(row: Row) -> str:
    """Return a figure's name as in the table, without what every reader takes for granted."""
    if row.split.startswith("ood:"):
        metric = "fpr95" if row.metric.startswith("fpr95") else row.metric
        score = row.variant.rpartition(":")[2]
        return f"{metric} {'of' if row.source.startswith(_CONTROL) else 'by'} {score}"
    if row.metric == _CALIBRATION:
        return "calibration, squared"
    return f"{row.metric} {row.variant}" if row.variant and row.variant != ECE else row.metric


def _beside(row: Row, results: Results) -> str:
    """Return what a figure is to be held against: a coverage its level, a plug-in ECE its null."""
    nulls = results.select(
        metric=f"{row.metric}_null",
        source=row.source,
        split=row.split,
        variant=row.variant,
        subgroup="",
    )
    found = [
        null.value
        for null in nulls
        if math.isfinite(null.value) and (not row.training or null.training == row.training)
    ]
    mean = number(sum(found) / len(found), decimals(row.value)) if found else ""
    if row.metric == "coverage":
        return f"aim {mean or row.variant}"
    return f"null {mean}" if found else ""


def _remarks(rows: Iterable[Row]) -> Iterator[str]:
    """Say why a figure is missing or infinite."""
    for row in rows:
        if not math.isfinite(row.value):
            where = "" if row.split == "test" else f" on {row.split}"
            yield f"{_name(row)} of {row.source}{where}: {row.reason}"


def _print_differences(results: Results, console: Console) -> None:
    usual = [named for named in _HEADLINES if named[0] != "ece"]
    kept = [
        row
        for row in results
        if row.kind == "difference"
        and (_headline(row) in usual or row.metric == _CALIBRATION)
        and row.split == "test"
        and not is_scaled(row)
    ]
    kept = [row for rows in _alike(kept) for row in _widest(rows)]
    pairs = dict.fromkeys((row.source, row.other) for row in kept)
    if not kept:
        return
    say(console, "")
    title = "Differences"
    if len(pairs) == 1:
        title += f": {kept[0].source} minus {kept[0].other}"
    elif len(pairs) > _FEW:
        best = _best(results)
        kept = [row for row in kept if best in (row.source, row.other)] if best else kept
        title += f" from {best}, the best by its score; the files have all" if best else ""
    say(console, title, style="bold")
    lines = [
        {
            "figure": _name(row),
            "first minus second": f"{row.source} \N{MINUS SIGN} {row.other}",
            "difference": figure(row),
            interval_name(kept): interval(row),
            "p (Holm)": p_text(row.p_value),
        }
        for row in kept
    ]
    print_lines(lines, console, without={"first minus second"} if len(pairs) == 1 else set())


def _alike(rows: Sequence[Row]) -> Iterable[list[Row]]:
    """Return rows of one comparison of one figure together: they differ in training and `over`."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault((row.metric, row.variant, row.source, row.other), []).append(row)
    return found.values()


def _best(results: Results) -> str:
    """Return the source with the least proper score."""
    for metric in ("nll", "crps"):
        scored = _headlines(results.select(metric=metric, split="test"))
        finite = [row for row in scored if math.isfinite(row.value)]
        if finite:
            return min(finite, key=lambda row: row.value).source
    return ""


def _record(row: Any) -> Mapping[str, Any]:
    if isinstance(row, Mapping):
        return row
    return {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
