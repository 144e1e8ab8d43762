"""Which is better? What the paired comparisons or the rank groups say, and of whom."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from uncertain.evaluation.formatting import p_text
from uncertain.evaluation.leakage import leaks_of
from uncertain.evaluation.report.comparison import undecided, winner
from uncertain.evaluation.report.html import element, join_names, name, paragraph, text
from uncertain.evaluation.report.layout import shown
from uncertain.evaluation.report.material import Material, is_control, main_variant
from uncertain.evaluation.results import Row

MOST_LINES = 4
"""How many sentences one answer on top of the page may have."""

_RANKING = {"accuracy": "accuracy", "nll": "NLL", "crps": "CRPS", "augrc": "AUGRC"}
"""What models are ranked by, and its name: proper scores, and AUGRC for abstaining."""


def better(material: Material) -> str:
    """Return what the paired comparisons, or the rank groups, say."""
    if len(material.sources) < 2:
        return element("strong", "One model only.") + paragraph(
            "Give several files of predictions on the same rows to compare them in pairs.", "soft"
        )
    parts = []
    for task in material.tasks:
        known = material.metrics(task, "test")
        for metric in (m for m in _RANKING if m in known):
            parts.append(_better_by(material, task, metric))
    kept = [part for part in parts if part][:MOST_LINES]
    return "".join(kept) or _not_compared(material)


def _not_compared(material: Material) -> str:
    """Return why nothing that ranks was compared: no figure in common, or other rows."""
    pairs = [r for r in material.results.select(split="test") if r.other]
    reasons = dict.fromkeys(r.reason for r in pairs if r.metric in _RANKING and r.reason)
    if reasons:
        words = f"No difference can be taken: {text('; '.join(reasons))}."
    elif pairs or not any(_shared(material, task) for task in material.tasks):
        words = "No two models have a figure in common that models are ranked by."
        words += " What else was compared is in the table of differences." if pairs else ""
    else:
        words = "The models were not judged together on the same rows."
    return element("strong", "Not compared.") + paragraph(words, "soft")


def _shared(material: Material, task: str) -> bool:
    """Return whether two models have the same figure that ranks, in the same variant."""
    holders: dict[tuple[str, str], set[str]] = {}
    for row in material.results.select(task=task, split="test", kind="estimate"):
        if row.metric in _RANKING and math.isfinite(row.value) and not is_control(row):
            holders.setdefault((row.metric, row.variant), set()).add(row.source)
    return any(len(sources) > 1 for sources in holders.values())


def _better_by(material: Material, task: str, metric: str) -> str:
    differences = [
        r
        for r in material.results.select(metric=metric, task=task, split="test", kind="difference")
        if math.isfinite(r.value)
    ]
    main = main_variant(metric, {r.variant for r in differences})
    differences = [r for r in differences if r.variant == main]
    if not differences:
        return ""
    # Over the most pairs, and then over the most that varies: a pair left out is not beaten.
    pairs, order = Counter(r.over for r in differences), {"both": 0, "trainings": 1, "items": 2}
    widest = min(pairs, key=lambda over: (-pairs[over], order[over]))
    differences = [r for r in differences if r.over == widest]
    where = f" on {name(task)}" if task and len(material.tasks) > 1 else ""
    label = _RANKING[metric]
    if len(differences) == 1:
        said = _one_pair(material, differences[0], label, where)
    else:
        said = _groups(material, differences, label, where)
    return said + _left_out(material, task, differences)


def _left_out(material: Material, task: str, differences: Sequence[Row]) -> str:
    """Return which models judged on the task took no part in a comparison."""
    compared = {name for r in differences for name in (r.source, r.other)}
    metrics = material.metrics(task, "test")
    left = [
        source
        for source in material.sources_of(task)
        if source not in compared and any(material.rows(task, "test", m, source) for m in metrics)
    ]
    return paragraph(f"Not compared with these: {join_names(left)}.", "soft") if left else ""


def _flattered(material: Material, sources: Sequence[str]) -> str:
    """Return a warning where one that is called better has seen the rows it is judged on."""
    leaking = leaks_of(material.every.rows)
    found = [source for source in sources if source in leaking]
    if not found:
        return ""
    return f' <span class="tag">not a claim</span> {join_names(found)} was calibrated on the rows judged.'


def _one_pair(material: Material, row: Row, label: str, where: str) -> str:
    flattered = ""
    if undecided(row):
        sentence = f"Not told apart by {label}{where}."
    else:
        sentence = f"{name(winner(row))} has the better {label}{where}."
        flattered = _flattered(material, [winner(row)])
    p = f", p {p_text(row.p_value)}" if row.p_value is not None else ""
    words = f"{name(row.source)} − {name(row.other)}: {shown(row)}{text(p)}, on the same rows."
    return element("strong", sentence) + paragraph(words + flattered, "soft")


def _groups(material: Material, differences: Sequence[Row], label: str, where: str) -> str:
    one = differences[0]
    first = [
        source
        for source in material.sources_of(one.task)
        for row in material.rows(one.task, "test", one.metric, source)
        if (row.variant, row.over) == (one.variant, one.over) and "A" in row.rank_group.upper()
    ]
    told = sum(r.p_value is not None and r.p_value < 1 - r.level for r in differences)
    words = f"{told} of {len(differences)} pairs differ after Holm's correction."
    if first:
        verb = "leads" if len(first) == 1 else "lead, not told apart,"
        sentence = f"{join_names(first, most=4)} {verb} by {label}{where}."
    else:
        sentence = f"Compared in pairs by {label}{where}, without rank groups."
    return element("strong", sentence) + paragraph(words + _flattered(material, first), "soft")
