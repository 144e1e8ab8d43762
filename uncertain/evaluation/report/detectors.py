"""Which detector notices strange inputs: one table a model, its detectors against its partners."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from uncertain.evaluation.formatting import figure, p_text
from uncertain.evaluation.report.html import clean, element, name, paragraph, text
from uncertain.evaluation.report.layout import by_task, cell, line, table
from uncertain.evaluation.report.material import (
    OVER_ORDER,
    Material,
    is_detector,
    is_trivial,
    ood_parts,
)
from uncertain.evaluation.report.plots import swatch
from uncertain.evaluation.results import Row
from uncertain.evaluation.row_order import natural_key

Found = Mapping[tuple[str, str], Row]
"""Detector and partner to the row that stands for them."""


def detector_tables(material: Material) -> str:
    """Return each model's detectors by AUROC, paired on the same features; empty without any."""

    def of_task(task: str) -> str:
        sources = material.sources_of(task)
        return "".join(_of_source(material, task, source) for source in sources)

    body = by_task(material, of_task)
    note = (
        "All detectors of a model read the same features, recorded once a training, with their "
        "papers' settings: nothing is tuned. Figures are AUROC, strange rows positive; below stands "
        "the difference from the maximum softmax probability, paired by row or by training, where "
        "Holm's p-value over all pairs is under 0.05. Detectors that share a letter are not told "
        "apart. The order is that of the mean over partners: to take the first is to tune on them."
    )
    return body and paragraph(note, "note") + body


def _of_source(material: Material, task: str, source: str) -> str:
    rows = [r for r in material.results.select(metric="auroc", task=task) if r.source == source]
    rows = [row for row in rows if is_detector(row)]
    figures = _standing([r for r in rows if r.kind in ("estimate", "undefined")])
    if not figures:
        return ""
    gaps = _standing([row for row in rows if row.kind == "difference"])
    partners = sorted({ood for _, ood in figures}, key=natural_key)
    detectors = sorted({detector for detector, _ in figures}, key=natural_key)
    detectors.sort(key=lambda detector: -_mean(figures, detector, partners))
    header = [("Detector", False)] + [(_head(material, task, ood), True) for ood in partners]
    body = [
        line(
            name(detector.removeprefix("detector:")),
            [
                cell(
                    figures.get((detector, ood)),
                    clean(ood),
                    extra=_gap(gaps.get((detector, ood))),
                )
                for ood in partners
            ],
        )
        for detector in detectors
    ]
    heading = element("h4", swatch(material, source) + name(source))
    return heading + table(f"Detectors of {clean(source)}", header, body)


def _head(material: Material, task: str, ood: str) -> str:
    pair = [
        row
        for row in material.results.select(metric="auroc", task=task)
        if ood_parts(row)[0] == ood
    ]
    return name(ood) + (' <span class="tag">trivial</span>' if is_trivial(pair) else "")


def _standing(rows: list[Row]) -> dict[tuple[str, str], Row]:
    """Return the row that stands for each detector and partner: the mean with the widest interval.

    Its letter is that of the comparison, which may be over trainings alone.
    """
    found: dict[tuple[str, str], Row] = {}
    letters: dict[tuple[str, str], str] = {}
    for row in sorted(rows, key=lambda row: (bool(row.training), OVER_ORDER[row.over])):
        ood, detector = ood_parts(row)
        found.setdefault((detector, ood), row)
        if row.rank_group:
            letters.setdefault((detector, ood), row.rank_group)
    return {
        key: dataclasses.replace(row, rank_group=letters.get(key, "")) for key, row in found.items()
    }


def _mean(figures: Found, detector: str, partners: list[str]) -> float:
    values = [figures[detector, ood].value for ood in partners if (detector, ood) in figures]
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else 0.0


def _gap(row: Row | None) -> str:
    if row is None or row.p_value is None or row.p_value >= 0.05:
        return ""
    return element("small", text(f"{figure(row)} from msp, p {p_text(row.p_value)}"))
