"""The answers on top of a report, each in one sentence with the figures that it rests on."""

from __future__ import annotations

import math
from collections.abc import Sequence

from uncertain.evaluation.formatting import count, figure, percent
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.report import curves
from uncertain.evaluation.report.better import MOST_LINES, better
from uncertain.evaluation.report.html import element, join_names, name, paragraph, text
from uncertain.evaluation.report.layout import row_attributes, shown
from uncertain.evaluation.report.material import (
    Material,
    defined,
    is_control,
    is_detector,
    is_trivial,
    ood_parts,
)
from uncertain.evaluation.results import Row
from uncertain.evaluation.row_order import is_sanity


def answers(material: Material) -> str:
    """Return the block of answers."""
    blocks = (
        ("What was judged", judged(material)),
        ("How far can the probabilities be trusted?", trust(material)),
        ("Does it notice strange inputs?", notices(material)),
        ("Which is better?", better(material)),
    )
    return element(
        "div",
        "".join(
            element("div", element("h2", question) + answer, {"class": "answer"})
            for question, answer in blocks
        ),
        {"class": "answers"},
    )


def judged(material: Material) -> str:
    """Return how many models on how many rows of what."""
    sources, tasks = material.sources, [task for task in material.tasks if task]
    tests = [p for p in material.predictions if p.split == "test"]
    rows = sum({p.task: len(p) for p in tests}.values())
    if not tests:
        rows = max((r.n for r in material.results.select(split="test")), default=0)
    models = "1 model" if len(sources) == 1 else f"{len(sources)} models"
    first = f"{models} on {count(rows)} test rows"
    if len(tasks) > 1:
        first += f" of {len(tasks)} tasks"
    parts = [join_names(sources) + "."]
    if tasks:
        parts.append(f"Data: {join_names(tasks)}.")
    parts += _inputs_judged(material, tests)
    return element("strong", first) + paragraph(" ".join(parts), "soft")


def _inputs_judged(material: Material, tests: Sequence[Predictions]) -> list[str]:
    parts = []
    classes = sorted({p.classes for p in tests if p.classes})
    if classes:
        parts.append(f"{' or '.join(map(str, classes))} classes.")
    trainings = max((material.trainings(p.task, p.split, p.source) for p in tests), default=1)
    if trainings > 1:
        parts.append(f"{trainings} trainings of each.")
    splits = {row.split for row in material.results.rows}
    strange = sorted({s.partition(":")[2] for s in splits if s.startswith("ood:")})
    shifts = sorted({s.split(":")[1] for s in splits if s.startswith("shift:")})
    if strange:
        parts.append(f"Strange inputs: {join_names(strange)}.")
    if shifts:
        parts.append(f"Shifts: {join_names(shifts)}.")
    if any(p.groups is not None for p in tests):
        parts.append("Intervals count groups of rows, not rows.")
    return parts


def trust(material: Material) -> str:
    """Return confidence against accuracy, or coverage against its level."""
    lines = [
        line
        for task in material.tasks
        for line in (_trust_classes(material, task), _trust_values(material, task))
        if line
    ]
    if not lines:
        return element("strong", "Not measured") + paragraph(
            "No labelled test rows were given.", "soft"
        )
    return "".join(lines[:MOST_LINES])


def _trust_classes(material: Material, task: str) -> str:
    cases = [p for p in material.labelled(task) if p.is_classification]
    if not cases:
        return ""
    said = {p.source: curves.top_label(p, material.probabilities(p)) for p in cases}
    ranked = sorted(said, key=lambda source: abs(said[source].confidence - said[source].accuracy))
    where = _where(material, task)
    if len(ranked) <= 2:
        return "".join(_says(material, task, source, said[source], where) for source in ranked)
    worst = said[ranked[-1]]
    words = (
        f"That is the smallest gap of {len(ranked)} models. The widest: {name(ranked[-1])} says "
        f"{percent(worst.confidence)} and is right {percent(worst.accuracy)} of the time."
    )
    best = _says(material, task, ranked[0], said[ranked[0]], where)
    return best + paragraph(words, "soft")


def _says(material: Material, task: str, source: str, data: curves.TopLabel, where: str) -> str:
    sentence = (
        f"{where}{name(source)} says {percent(data.confidence)} and is right "
        f"{percent(data.accuracy)} of the time."
    )
    words = _calibration_words(material, task, source, data.confidence - data.accuracy)
    first = material.first(task, "test", source)
    if first is not None and material.trainings(task, "test", source) > 1:
        words += f" The sentence is of training {name(first.training)}, the figures of all."
    return element("strong", sentence) + paragraph(words, "soft")


def _where(material: Material, task: str) -> str:
    return f"On {name(task)}, " if task and len(material.tasks) > 1 else ""


def _calibration_words(material: Material, task: str, source: str, gap: float) -> str:
    row = material.row(task, "test", "ece_debiased", source)
    plug_in = material.row(task, "test", "ece", source)
    null = None if plug_in is None else material.null_of(plug_in)
    words = []
    if row is not None and math.isfinite(row.value):
        calibrated = row.has_interval and row.low <= 0
        verdict = (
            "No evidence of miscalibration"
            if calibrated
            else ("Over-confident" if gap > 0 else "Under-confident")
        )
        words.append(f"{verdict}: debiased calibration error {shown(row)}.")
    if plug_in is not None and null is not None:
        words.append(
            f"Plug-in ECE {shown(plug_in)}, where a calibrated model would show "
            f"{element('span', text(figure(null)), row_attributes(null))}."
        )
    return " ".join(words)


def _trust_values(material: Material, task: str) -> str:
    rows = [
        row
        for source in material.sources_of(task)
        if (row := material.row(task, "test", "coverage", source)) is not None and defined(row)
    ]
    if not rows:
        return ""
    parts = []
    for row in rows if len(rows) <= 2 else rows[:2]:
        level = _level(row.variant)
        stated = f"{100 * level:g} %" if level else "stated"
        parts.append(
            element(
                "strong",
                f"{_where(material, task)}{stated} intervals of {name(row.source)} hold {percent(row.value)} of targets.",
            )
        )
        parts.append(paragraph(_coverage_words(material, row, level), "soft"))
    return "".join(parts)


def _coverage_words(material: Material, row: Row, level: float | None) -> str:
    """Hold a coverage against that of right predictions: of counts or few draws not the level."""
    null = material.null_of(row) or material.row(
        row.task, row.split, "coverage_null", row.source, variant=row.variant
    )
    if null is not None and not defined(null):
        return f"Coverage {shown(row)}. No verdict: {text(null.reason)}."
    aim = level if null is None else null.value
    verdict = ""
    if aim and row.has_interval:
        verdict = (
            "Too narrow: " if row.high < aim
            else "Too wide: " if row.low > aim
            else "As stated: " if null is None
            else "As expected: "
        )  # fmt: skip
    expected = "" if null is None else f", expected {shown(null)} {text(null.reason)}"
    return f"{verdict}coverage {shown(row)}{expected}."


def _level(variant: str) -> float | None:
    try:
        value = float(variant.rpartition(":")[2].rstrip("%"))
    except ValueError:
        return None
    return value if 0 < value < 1 else value / 100 if 1 < value < 100 else None


def notices(material: Material) -> str:
    """Return the best detector of each set of strange inputs, or of mistakes where none was given."""
    pairs = sorted(
        {
            (r.task, ood_parts(r)[0])
            for r in material.results.rows
            if r.metric == "auroc" and ood_parts(r)[0]
        }
    )
    parts = [_notices_pair(material, task, ood) for task, ood in pairs[:MOST_LINES]]
    if not parts:
        parts = [
            element("strong", "Not tested."),
            paragraph("No out-of-distribution rows were given.", "soft"),
        ]
    return "".join(parts) + _notices_errors(material)


def _notices_pair(material: Material, task: str, ood: str) -> str:
    rows = [
        r
        for r in material.results.select(metric="auroc", task=task)
        if ood_parts(r)[0] == ood and r.kind == "estimate"
    ]
    # The best of twenty detectors on the rows they are judged by is no finding.
    models = [r for r in rows if not is_control(r) and not is_detector(r)]
    whole = [r for r in models if not r.training] or models
    if not whole:
        return ""
    best = max(whole, key=lambda r: r.value)
    sentence = (
        f"{name(ood)}: told apart with probability {text(figure(best))} by {name(best.source)}."
    )
    words = f"AUROC {shown(best)} of the score {name(ood_parts(best)[1])}"
    words += f", the best of {len(whole)} tried." if len(whole) > 1 else "."
    if is_trivial(rows):
        control = max((r for r in rows if is_control(r)), key=lambda r: r.value, default=None)
        without = f" {name(control.source)} reaches {shown(control)}." if control else ""
        words += f' <span class="tag">trivial</span> A score that looks at no model does it too.{without}'
    if any(map(is_sanity, rows)):
        words += ' <span class="tag">sanity</span> This shows only whether something is broken.'
    return element("strong", sentence) + paragraph(words, "soft")


def _notices_errors(material: Material) -> str:
    found = [
        row
        for task in material.tasks
        for source in material.sources_of(task)
        if (row := material.row(task, "test", "auroc", source)) is not None and defined(row)
    ]
    if not found:
        return ""
    shown_rows = "; ".join(f"{name(r.source)} {shown(r)}" for r in found[:MOST_LINES])
    return paragraph(f"Mistakes against right answers, AUROC: {shown_rows}.", "soft")
