"""The sections of a report, from the figures to what made them; each is empty where it has nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.report import curves, plots, tables
from uncertain.evaluation.report.glossary import COSTS, GLOSSARY, TERMS, entry
from uncertain.evaluation.report.headline import is_trivial
from uncertain.evaluation.report.html import clean, element, join_names, name, paragraph, text
from uncertain.evaluation.report.material import Material, ood_parts
from uncertain.evaluation.report.mistakes import mistake_tiles
from uncertain.evaluation.results import Row, metric_key, natural_key, split_key
from uncertain.evaluation.uncertainty import uncertainty_scores

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
        "letter are not told apart."
    )
    body = _by_task(material, of_task)
    return body and paragraph(note, "note") + body


def calibration(material: Material) -> str:
    """Return reliability diagrams and PIT histograms."""

    def of_task(task: str) -> str:
        cases = material.labelled(task)[:MOST_PANELS]
        panels = [plots.reliability_figure(material, p) for p in cases if p.is_classification] + [
            plots.pit_figure(material, p) for p in cases if _has_pit(p)
        ]
        return element("div", "".join(panels), {"class": "panels"}) if panels else ""

    body = _by_task(material, of_task)
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


def errors_known(material: Material) -> str:
    """Return risk-coverage and ROC curves of error detection."""

    def of_task(task: str) -> str:
        cases = [p for p in material.labelled(task) if p.is_classification]
        risk, roc = [], []
        for p in cases:
            found = _error_curves(material, p, len(cases))
            risk += found[:1]
            roc += found[1:]
        if not risk:
            return ""
        score = f"score: {risk[0][0].variant.partition(':')[2] or risk[0][0].variant}"
        panels = plots.risk_figure(material, f"Errors among the rows kept ({score})", risk)
        if roc:
            panels += plots.roc_figure(material, f"Mistakes against right answers ({score})", roc)
        key = plots.legend(material, [p.source for p in cases])
        table = tables.error_table(material, task)
        return table + key + element("div", panels, {"class": "panels wide-panels"})

    body = _by_task(material, of_task)
    note = "Keep the rows that the model is most certain of: how often is it wrong among them?"
    return body and paragraph(note, "note") + body


def _error_curves(material: Material, p: Predictions, cases: int) -> list[plots.Curve]:
    most = max(40, min(240, plots.BUDGET // (4 * cases)))
    wrong = material.probabilities(p).argmax(axis=1) != p.target
    scores = uncertainty_scores(p)
    found: list[plots.Curve] = []
    for metric in ("aurc", "auroc"):
        row = material.row(p.task, p.split, metric, p.source, training=p.training)
        score = scores.get(row.variant.rpartition(":")[2]) if row is not None else None
        if row is None or score is None or not math.isfinite(row.value):
            continue
        draw = curves.risk_coverage if metric == "aurc" else curves.roc
        found.append((row, *draw(score, wrong, p.weights, most=most)))
    return found


def strange_inputs(material: Material) -> str:
    """Return tables and ROC curves of out-of-distribution partners, with the controls."""

    def of_task(task: str) -> str:
        pairs: dict[str, list[Row]] = {}
        for row in material.results.rows:
            if row.task == task and ood_parts(row)[0] and row.kind in ("estimate", "undefined"):
                pairs.setdefault(ood_parts(row)[0], []).append(row)
        names = sorted(pairs, key=natural_key)
        blocks = "".join(_ood_block(material, task, ood, pairs[ood]) for ood in names)
        return blocks + _ood_curves(material, task, names)

    body = _by_task(material, of_task)
    note = (
        "Controls look at no model. Where one of them tells the sets apart better than 0.85, in "
        "either direction, the pair is trivial: it supports no claim about any model."
    )
    return body and paragraph(note, "note") + body


def _ood_block(material: Material, task: str, ood: str, rows: Sequence[Row]) -> str:
    tag = ' <span class="tag">trivial</span>' if is_trivial(rows) else ""
    head = element("h4", f"{name(ood)}{tag}", {"data-ood": clean(ood)})
    return element("div", head + tables.ood_table(material, task, ood, rows), _STACK)


def _ood_curves(material: Material, task: str, names: Sequence[str]) -> str:
    panels, shown = [], set()
    for ood in names:
        sources = [s for s in material.sources_of(task) if material.first(task, f"ood:{ood}", s)]
        drawn = [
            curve
            for source in sources
            if (curve := _ood_curve(material, task, ood, source, len(names) * len(sources)))
        ]
        if drawn:
            score = ood_parts(drawn[0][0])[1]
            heading = f"{ood} against the test set (score: {score})"
            panels.append(plots.roc_figure(material, heading, drawn))
            shown |= {row.source for row, _, _ in drawn}
    if not panels:
        return ""
    key = plots.legend(material, [s for s in material.sources_of(task) if s in shown])
    return key + element("div", "".join(panels), {"class": "panels wide-panels"})


_STACK = {"class": "stack"}


def _ood_curve(
    material: Material, task: str, ood: str, source: str, curves_drawn: int
) -> plots.Curve | None:
    outside = material.first(task, f"ood:{ood}", source)
    inside = material.first(task, "test", source)
    if outside is None or inside is None:
        return None
    seen, strange = uncertainty_scores(inside), uncertainty_scores(outside)
    for score in ("msp", "sd", *seen):
        if score not in seen or score not in strange:
            continue
        rows = [
            r
            for r in material.results.select(
                metric="auroc", task=task, source=source, variant=f"ood:{ood}:{score}",
                training=outside.training,
            )
            if math.isfinite(r.value)
        ]  # fmt: skip
        if not rows:
            continue
        scores = np.concatenate([seen[score], strange[score]])
        positive = np.repeat([False, True], [len(inside), len(outside)])
        most = max(40, min(240, plots.BUDGET // (2 * curves_drawn)))
        return (rows[0], *curves.roc(scores, positive, _weights(inside, outside), most=most))
    return None


def _weights(inside: Predictions, outside: Predictions) -> np.ndarray | None:
    if inside.weights is None and outside.weights is None:
        return None
    # Rates are taken within each side, so that the sides' scales cancel.
    return np.concatenate(
        [np.ones(len(p)) if p.weights is None else p.weights for p in (inside, outside)]
    )


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

    return _by_task(material, of_task)


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


def comparisons(material: Material) -> str:
    """Return the paired differences on the test set."""

    def of_task(task: str) -> str:
        rows = [
            r
            for r in material.results.rows
            if r.task == task and r.kind == "difference" and not r.variant.startswith("ood:")
        ]
        tests = [r for r in rows if r.split == "test"] or rows
        order = {"both": 0, "trainings": 1, "items": 2}
        chosen = sorted(tests, key=lambda r: (order[r.over], *metric_key(r.metric)))
        shown = chosen[: tables.MOST_PAIRS]
        shown.sort(key=lambda r: (*metric_key(r.metric), r.variant, order[r.over]))
        if not shown:
            return ""
        hidden = len(rows) - len(shown)
        note = f"{hidden} more are in the table of all figures." if hidden else ""
        return tables.comparison_table(material, shown) + (paragraph(note, "note") if note else "")

    body = _by_task(material, of_task)
    note = (
        "Differences on the same rows, the first model minus the second. p-values are adjusted by "
        "Holm for the number of comparisons; a coloured dot names the better model."
    )
    return body and paragraph(note, "note") + body


def costs(material: Material) -> str:
    """Return what each model cost beside its quality."""

    def of_task(task: str) -> str:
        shown = tables.cost_table(material, task)
        panels = []
        priced = next((c for c in COSTS if material.row(task, "test", c, material.sources[0])), "")
        for metric in ("accuracy", "nll", "crps"):
            points = [
                (source, price, quality)
                for source in material.sources_of(task)
                if (price := material.row(task, "test", priced, source)) is not None
                and (quality := material.row(task, "test", metric, source)) is not None
                and price.value > 0
                and math.isfinite(quality.value)
            ]
            if len(points) > 1:
                panels.append(plots.cost_figure(material, priced, metric, points))
        return shown + (element("div", "".join(panels), {"class": "panels"}) if panels else "")

    return _by_task(material, of_task)


def mistakes(material: Material) -> str:
    """Return each model's most confident mistakes."""

    def of_task(task: str) -> str:
        blocks = []
        for p in material.labelled(task)[:MOST_PANELS]:
            tiles = mistake_tiles(material, p)
            if tiles:
                head = element("h4", plots.swatch(material, p.source) + name(p.source))
                blocks.append(element("div", head + tiles, _STACK))
        return "".join(blocks)

    return _by_task(material, of_task)


def everything(material: Material) -> str:
    """Return the whole table."""
    return tables.all_figures(material) if len(material.results) else ""


def glossary(material: Material) -> str:
    """Return every metric of the report, and the words it uses, explained."""
    used = sorted({row.metric for row in material.results.rows}, key=metric_key)
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


def _by_task(material: Material, of_task: Callable[[str], str]) -> str:
    """Return one block a task, under its name where there are several."""
    blocks = [(task, of_task(task)) for task in material.tasks]
    several = len(material.tasks) > 1
    return "".join(
        element("section", element("h3", name(task or "data")) + block) if several else block
        for task, block in blocks
        if block
    )


def _has_pit(p: Predictions) -> bool:
    return not p.is_classification
