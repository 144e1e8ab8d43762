"""Tables for the page of results, from the files that confirming runs left in ``docs/results``.

Only confirming runs are shown: a file of anything else stops the build. A cell shows a mean over
trainings with the interval over them; where trainings share their rows, over rows and trainings.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from uncertain.evaluation import Results, Row
from uncertain.evaluation.formatting import figure, interval

MARK = "<!-- results -->"
NONE = "*No confirming run has been stored yet.*"
OVER = ("both", "trainings", "items")
CLASSES = (
    ("nll", "", "NLL"), ("accuracy", "", "accuracy"), ("brier", "", "Brier"),
    ("augrc", "error:msp", "AUGRC"), ("ece_debiased", "equal_width,15,l1,top_label", "ECE (debiased)"),
    ("train_seconds", "", "CPU s"),
)  # fmt: skip
NUMBERS = (
    ("nll", "", "NLL"), ("crps", "", "CRPS"), ("rmse", "", "RMSE"), ("coverage", "0.9", "coverage of 90 %"),
    ("interval_score", "0.9", "interval score, 90 %"), ("train_seconds", "", "CPU s"),
)  # fmt: skip
SHIFTED = (
    ("nll", "", "NLL"), ("accuracy", "", "accuracy"), ("crps", "", "CRPS"),
    ("coverage", "0.9", "coverage of 90 %"), ("ece_debiased", "equal_width,15,l1,top_label", "ECE (debiased)"),
)  # fmt: skip
COLUMNS = {(metric, variant) for metric, variant, _ in (*CLASSES, *NUMBERS, *SHIFTED)}


def shown(rows: Iterable[Row]) -> list[Row]:
    """Return the rows that the page needs: what stands in its tables, and the NLL by training."""
    wanted = [row for row in rows if row.kind in ("estimate", "undefined") and not row.other]
    stands: dict[tuple[str, ...], Row] = {}
    for row in wanted:
        strange = row.metric == "auroc" and row.split.startswith("ood:")
        if not row.training and (strange or (row.metric, row.variant) in COLUMNS):
            key = (row.task, row.source, row.split, row.metric, row.variant, row.subgroup)
            if key not in stands or OVER.index(row.over) < OVER.index(stands[key].over):
                stands[key] = row
    single = [
        row
        for row in wanted
        if row.training and (row.metric, row.variant, row.split) == ("nll", "", "test")
    ]
    return [*stands.values(), *single]


def check_confirmed(results: Results, name: str) -> None:
    """Raise unless the results are those of a confirming run that was counted.

    Raises:
        ValueError: They are of another half, or do not say which look they were.
    """
    half = results.metadata.get("half", "")
    if half != "confirm" or "confirm_runs" not in results.metadata:
        raise ValueError(
            f"{name} holds results of the half {half or 'that nobody wrote down'!r}: only those of "
            "`uncertain benchmark --half confirm` may be shown."
        )


def page(folder: Path) -> str:
    """Return the Markdown of every file of the folder, or a sentence that there is none."""
    files = sorted(folder.glob("*.json"))
    parts = []
    for file in files:
        results = Results.read(file)
        check_confirmed(results, file.name)
        parts.append(section(file.stem, results))
    return "\n\n".join(parts) or NONE


def section(name: str, results: Results) -> str:
    """Return one run's heading, how it was made, and its tables."""
    facts = results.metadata
    seeds = sorted({row.training for row in results.rows if row.training})
    lines = [
        f"## {name}",
        f"`{facts.get('command', '')}`, version {facts.get('uncertain', '?')}, "
        f"{facts.get('created', '')[:10]}. This half had been run {_times(facts['confirm_runs'])} "
        f"when these were stored. Trainings: seeds {', '.join(seeds) or 'not kept'}. "
        "Small letters: models that share one are not told apart.",
    ]
    for task in dict.fromkeys(row.task for row in results.rows):
        lines += [f"### {name}: {task}", *_tables([r for r in results.rows if r.task == task])]
    hashes = json.loads(facts.get("splits", "{}"))
    if hashes:
        tests = ", ".join(f"{split} `{parts['test']}`" for split, parts in hashes.items())
        lines.append(f"Test rows, [by hash](protocols.md#split-hashes): {tests}.")
    return "\n\n".join(lines)


def _tables(rows: Sequence[Row]) -> list[str]:
    columns = NUMBERS if any(row.metric == "crps" for row in rows) else CLASSES
    test = [row for row in rows if row.split == "test"]
    tables = [_by_metric(test, columns, first="model")]
    strange = [row for row in rows if row.split.startswith("ood:") and row.metric == "auroc"]
    if strange:
        tables += ["Strange inputs, AUROC of each score of each model:", _by_partner(strange)]
    for split in dict.fromkeys(row.split for row in rows if row.split.startswith("shift:")):
        moved = [row for row in rows if row.split == split]
        table = _by_metric(moved, SHIFTED, first="model")
        tables += [f"{split.removeprefix('shift:').replace(':', ', severity ')}:", table]
    return tables


def _by_metric(rows: Iterable[Row], columns: Sequence[tuple[str, str, str]], *, first: str) -> str:
    found = _whole(rows)
    sources = list(dict.fromkeys(source for source, *_ in found))
    used = [c for c in columns if any((s, c[0], c[1]) in found for s in sources)]
    body = [
        [source, *(_cell(found.get((source, metric, variant))) for metric, variant, _ in used)]
        for source in sources
    ]
    return markdown_table([first, *(title for *_, title in used)], body)


def _by_partner(rows: Sequence[Row]) -> str:
    found = _whole(rows)
    partners = list(dict.fromkeys(row.split for row in rows))
    reasons = {row.split: row.reason for row in rows}
    # A variant is PARTNER:SCORE, or PARTNER:detector:NAME.
    lines = dict.fromkeys(
        (row.source, row.variant.removeprefix(f"{row.split}:")) for row in found.values()
    )
    body = [
        [f"{source}, {score.removeprefix('detector:')}"]
        + [_cell(found.get((source, "auroc", f"{partner}:{score}"))) for partner in partners]
        for source, score in lines
    ]
    titles = [partner.removeprefix("ood:") + _mark(reasons[partner]) for partner in partners]
    return markdown_table(["model, score", *titles], body)


def _mark(reason: str) -> str:
    return " (sanity)" * ("sanity:" in reason) + " (trivial)" * ("trivial:" in reason)


def _whole(rows: Iterable[Row]) -> dict[tuple[str, str, str], Row]:
    """Return the row that stands for each figure: over rows and trainings, if there is one."""
    found: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        key = (row.source, row.metric, row.variant)
        if row.training or row.kind not in ("estimate", "undefined"):
            continue
        if key not in found or OVER.index(row.over) < OVER.index(found[key].over):
            found[key] = row
    return found


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    if row.kind == "undefined":
        return "undefined"
    letters = f" <small>{row.rank_group}</small>" if row.rank_group else ""
    return f"{figure(row)} {interval(row)}".strip() + letters


def markdown_table(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _times(number: str) -> str:
    return {"1": "once", "2": "twice"}.get(number, f"{number} times")
