"""Does it know when it is wrong, and does it notice strange inputs? Tables, curves and controls."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.ranking_sums import SELECTIVE
from uncertain.evaluation.report import curves, plots
from uncertain.evaluation.report.glossary import entry
from uncertain.evaluation.report.html import (
    clean,
    details,
    element,
    name,
    paragraph,
)
from uncertain.evaluation.report.layout import (
    STACK,
    by_task,
    cell,
    line,
    metric_head,
    strip_cell,
    table,
)
from uncertain.evaluation.report.material import (
    Material,
    is_control,
    is_detector,
    is_trivial,
    main_variant,
    ood_parts,
)
from uncertain.evaluation.report.plots import swatch
from uncertain.evaluation.report.svg import Axis
from uncertain.evaluation.results import Row
from uncertain.evaluation.row_order import is_sanity, natural_key
from uncertain.evaluation.uncertainty import uncertainty_scores


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
        table = error_table(material, task)
        return table + key + element("div", panels, {"class": "panels wide-panels"})

    body = by_task(material, of_task)
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


def error_table(material: Material, task: str) -> str:
    """Return how well each model's scores rank its own mistakes on the test set."""
    metrics = (
        "auroc",
        "aupr_error_positive",
        "aupr_correct_positive",
        "fpr95_error_positive",
        *SELECTIVE,
    )
    found: dict[tuple[str, str, str], Row] = {}
    for row in material.results.select(task=task, split="test", metric=metrics, kind=_FIGURES):
        key = (row.metric, row.source, row.variant)
        if row.variant.startswith("error:") and (key not in found or not row.training):
            found[key] = row
    variants = {variant for _, _, variant in found}
    main = main_variant("auroc", variants)
    header = [("Model and score", False)] + [(metric_head(m), True) for m in metrics]

    def body(chosen: Collection[str]) -> list[str]:
        lines = []
        for source in material.sources_of(task):
            for variant in sorted({v for _, s, v in found if s == source and v in chosen}):
                cells = [
                    cell(found.get((m, source, variant)), clean(entry(m).label)) for m in metrics
                ]
                score = element("small", f"by {name(variant.removeprefix('error:'))}")
                lines.append(line(swatch(material, source) + name(source) + score, cells))
        return lines

    if not found:
        return ""
    shown = table("Ranking its own mistakes", header, body({main}))
    others = body(variants - {main})
    hidden = table("Ranking its own mistakes by other scores", header, others) if others else ""
    return shown + (details("Other scores", hidden) if hidden else "")


_FIGURES = ("estimate", "undefined")


def strange_inputs(material: Material) -> str:
    """Return tables and ROC curves of out-of-distribution partners, with the controls."""

    def of_task(task: str) -> str:
        pairs: dict[str, list[Row]] = {}
        for row in material.results.rows:
            strange = ood_parts(row)[0] and row.kind in ("estimate", "undefined")
            if row.task == task and strange and not is_detector(row):
                pairs.setdefault(ood_parts(row)[0], []).append(row)
        names = sorted(pairs, key=natural_key)
        blocks = "".join(_ood_block(material, task, ood, pairs[ood]) for ood in names)
        return blocks + _ood_curves(material, task, names)

    body = by_task(material, of_task)
    note = (
        "Controls look at no model. Where one of them tells the sets apart better than 0.85, in "
        "either direction, the pair is trivial: it supports no claim about any model. A sanity "
        "pair shows only whether something is broken."
    )
    return body and paragraph(note, "note") + body


def _ood_block(material: Material, task: str, ood: str, rows: Sequence[Row]) -> str:
    tag = ' <span class="tag">trivial</span>' if is_trivial(rows) else ""
    tag += ' <span class="tag">sanity</span>' if any(map(is_sanity, rows)) else ""
    head = element("h4", f"{name(ood)}{tag}", {"data-ood": clean(ood)})
    return element("div", head + ood_table(material, task, ood, rows), STACK)


def ood_table(material: Material, task: str, ood: str, rows: Sequence[Row]) -> str:
    """Return how well each model and score notices one set of strange inputs, controls below."""
    metrics = ("auroc", "aupr_ood_positive", "aupr_id_positive", "fpr95_ood_positive", "scod_cost")
    found: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        key = (row.metric, row.source, ood_parts(row)[1])
        # Means over trainings come before single ones.
        if key not in found or (found[key].training and not row.training):
            found[key] = row
    models = dict.fromkeys((r.source, ood_parts(r)[1]) for r in rows if not is_control(r))
    controls = dict.fromkeys((r.source, ood_parts(r)[1]) for r in rows if is_control(r))
    ends = [v for (m, _, _), r in found.items() if m == "auroc" for v in (r.value, r.low, r.high)]
    axis = Axis("AUROC", min([0.5, *(v for v in ends if math.isfinite(v))]), 1.0)
    body = []
    for source, score in [*sorted(models, key=lambda m: material.sources.index(m[0])), *controls]:
        auroc = found.get(("auroc", source, score))
        css = str(material.style(source)["class"]) if (source, score) in models else "none"
        drawing = strip_cell(material, auroc, axis, css, guide=0.5)
        cells = [cell(found.get((m, source, score)), clean(entry(m).label)) for m in metrics]
        body.append(line(_score_head(material, source, score, auroc), [drawing, *cells]))
    header = [("Model and score", False), ("", False)] + [(metric_head(m), True) for m in metrics]
    return table(f"Noticing {clean(ood)}", header, body)


def _score_head(material: Material, source: str, score: str, row: Row | None) -> str:
    if row is not None and is_control(row):
        control = source.removeprefix("control").lstrip(": ") or score.removeprefix("control:")
        return name(control) + element("small", "control: looks at no model")
    return swatch(material, source) + name(source) + element("small", f"by {name(score)}")


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
