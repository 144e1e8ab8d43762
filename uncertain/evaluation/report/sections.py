"""The sections of a report, from the figures to what made them; each is empty where it has nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

from uncertain.evaluation.pair_letters import claim_remarks
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.report import pareto, plots, tables
from uncertain.evaluation.report.glossary import COSTS, GLOSSARY, TERMS, entry
from uncertain.evaluation.report.html import (
    element,
    join_names,
    name,
    paragraph,
    text,
)
from uncertain.evaluation.report.layout import (
    STACK,
    by_task,
)
from uncertain.evaluation.report.material import (
    Material,
)
from uncertain.evaluation.report.mistakes import MOST, mistake_tiles
from uncertain.evaluation.row_order import metric_key, split_key

MOST_PANELS = 24


def figures(material: Material) -> str:
    """Return the tables of the labelled splits."""

    def of_task(task: str) -> str:
        shown = [s for s in material.splits(task) if material.metrics(task, s)]
        parts = []
        for split in shown:
            block = tables.summary(material, task, split)
            if split.startswith("shift:"):
                continue  # The curves show them, and the table of all figures holds them.
            if len(shown) > 1 and split != "test":
                block = element("h4", name(split)) + block
            parts.append(block)
        return "".join(parts)

    note = (
        "Below each figure stands its interval. The best of a column is bold; models that share a "
        "letter are not told apart. Calibration errors are diagnostics and have no best: a model "
        "that knows nothing can be calibrated. Proper scores and AUGRC rank."
    )
    remarks = claim_remarks(row for row in material.results.rows if row.rank_group)
    note = " ".join([note, *(f"Letters {text(remark)}." for remark in remarks)])
    body = by_task(material, of_task)
    return body and paragraph(note, "note") + body


def calibration(material: Material) -> str:
    """Return reliability diagrams and PIT histograms."""

    def of_task(task: str) -> str:
        cases = material.labelled(task)[:MOST_PANELS]
        panels = [plots.reliability_figure(material, p) for p in cases if p.is_classification] + [
            plots.pit_figure(material, p) for p in cases if _has_pit(p)
        ]
        shown = tables.diagnostics(material, task)
        return shown + (element("div", "".join(panels), {"class": "panels"}) if panels else "")

    body = by_task(material, of_task)
    classes = any(p.is_classification for p in material.predictions)
    values = any(not p.is_classification for p in material.predictions)
    notes = []
    if classes:
        notes.append(
            "Dots are bins of confidence with 95 % intervals; the grey band is where a calibrated "
            "model would lie; bars show where the rows are."
        )
    if values:
        notes.append("A calibrated model's PIT histogram is flat within the grey band.")
    return body and paragraph(" ".join(notes), "note") + body


def shifts(material: Material) -> str:
    """Return curves of each metric against the severity of each shift."""

    def of_task(task: str) -> str:
        kinds: dict[str, list[str]] = {}
        for split in material.splits(task):
            if split.startswith("shift:"):
                kinds.setdefault(split.split(":")[1], []).append(split)
        panels = [
            panel
            for kind, splits in sorted(kinds.items())
            for metric in _shift_metrics(material, task, splits)
            if (panel := _shift_panel(material, task, kind, metric, splits))
        ][:MOST_PANELS]
        if not panels:
            return ""
        key = plots.legend(material, material.sources_of(task))
        return key + element("div", "".join(panels), {"class": "panels"})

    return by_task(material, of_task)


def _shift_metrics(material: Material, task: str, splits: Sequence[str]) -> list[str]:
    wanted = ("accuracy", "nll", "ece_debiased", "crps", "rmse", "coverage")
    there = {metric for split in splits for metric in material.metrics(task, split)}
    return [metric for metric in wanted if metric in there][:3]


def _shift_panel(
    material: Material, task: str, kind: str, metric: str, splits: Sequence[str]
) -> str:
    series = []
    for source in material.sources_of(task):
        points = []
        for split in ["test", *sorted(splits, key=split_key)]:
            row = material.row(task, split, metric, source)
            severity = 0.0 if split == "test" else float(split.rpartition(":")[2])
            if row is not None and math.isfinite(row.value):
                points.append((severity, row))
        if len(points) > 1:
            series.append((source, points))
    return plots.shift_figure(material, kind, metric, series) if series else ""


def costs(material: Material) -> str:
    """Return what each model cost beside its quality."""

    def of_task(task: str) -> str:
        shown = tables.cost_table(material, task)
        panels = []
        sources = material.sources_of(task)
        priced = next(
            (c for c in COSTS if any(material.row(task, "test", c, s) for s in sources)), ""
        )
        for metric in ("accuracy", "nll", "crps"):
            points = [
                (source, price, quality)
                for source in sources
                if (price := material.row(task, "test", priced, source)) is not None
                and (quality := material.row(task, "test", metric, source)) is not None
                and price.value > 0
                and math.isfinite(quality.value)
            ]
            if len(points) > 1:
                panels.append(pareto.cost_figure(material, priced, metric, points))
        return shown + (element("div", "".join(panels), STACK) if panels else "")

    return by_task(material, of_task)


def mistakes(material: Material) -> str:
    """Return each model's most confident mistakes."""

    def of_task(task: str) -> str:
        blocks = []
        cases = material.labelled(task)[:MOST_PANELS]
        most = MOST if len(cases) <= 2 else MOST // 2
        for p in cases:
            tiles = mistake_tiles(material, p, most=most)
            if tiles:
                head = element("h4", plots.swatch(material, p.source) + name(p.source))
                blocks.append(element("div", head + tiles, STACK))
        return "".join(blocks)

    return by_task(material, of_task)


def everything(material: Material) -> str:
    """Return the whole table."""
    return tables.all_figures(material) if len(material.every) else ""


def glossary(material: Material) -> str:
    """Return every metric of the report, and the words it uses, explained."""
    used = sorted({row.metric for row in material.every.rows}, key=metric_key)
    blocks = [
        _definition(entry(m).label, entry(m).meaning, entry(m).convention, entry(m).caution)
        for m in used
        if m in GLOSSARY
    ]
    blocks += [_definition(word, meaning) for word, meaning in TERMS.items()]
    return element("dl", "".join(blocks), {"class": "glossary"})


def _definition(term: str, *sentences: str) -> str:
    shown = "".join(
        element("dd", text(sentence, longest=1000), {"class": "soft" if i else None})
        for i, sentence in enumerate(sentences)
        if sentence
    )
    return element("div", element("dt", text(term)) + shown)


def provenance(material: Material) -> str:
    """Return the command, the seed and the versions."""
    facts = dict(material.results.metadata)
    command = material.command
    facts.pop("command", None)
    shown = {"models": join_names(material.sources, most=30)}
    files = [(key.replace("_", " "), name(value)) for key, value in facts.items()]
    rows = [*shown.items(), *files]
    facts_list = "".join(element("dt", text(k)) + element("dd", v) for k, v in rows)
    body = element("dl", facts_list, {"class": "facts"})
    code = element("pre", element("code", text(command, longest=4000))) if command else ""
    return code + body


def _has_pit(p: Predictions) -> bool:
    return not p.is_classification
