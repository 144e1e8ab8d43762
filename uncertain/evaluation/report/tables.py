"""The tables of a report: every cell carries the row it shows, in full precision."""

from __future__ import annotations

import math
from collections.abc import Sequence

from uncertain.evaluation.corp import SCORES, TERMS
from uncertain.evaluation.formatting import (
    count,
    decimals,
    figure,
    interval,
    number,
    p_text,
)
from uncertain.evaluation.ranking_sums import SELECTIVE
from uncertain.evaluation.report.glossary import COSTS, DIAGNOSTICS, PARTS, entry
from uncertain.evaluation.report.html import (
    Attributes,
    clean,
    details,
    element,
    name,
    text,
)
from uncertain.evaluation.report.layout import (
    cell,
    line,
    metric_head,
    row_attributes,
    table,
)
from uncertain.evaluation.report.material import (
    Material,
    main_variant,
)
from uncertain.evaluation.report.plots import swatch
from uncertain.evaluation.results import Row
from uncertain.evaluation.row import FIELDS

ASIDE = (
    "coverage_null",
    "ece_null",
    "quantile_calibration_error_null",
    "smooth_ece_null",
    "calibration_ks",
    "calibration_kuiper",
    "spiegelhalter_z",
    *(f"{score}_{term}" for score in SCORES for term in TERMS),
    "auroc",
    "aupr_error_positive",
    "aupr_correct_positive",
    "fpr95_error_positive",
    *PARTS,
    *SELECTIVE,
)
"""Metrics with a place of their own: beside the ECE, with the diagnostics, the mistakes or the parts."""


MOST_ROWS = 2000


def summary(material: Material, task: str, split: str) -> str:
    """Return the table of a split: one line a model, one column a metric."""
    sources = [s for s in material.sources_of(task) if material.metrics(task, split)]
    columns = [m for m in material.metrics(task, split) if m not in ASIDE]
    found = {
        (metric, source): material.row(task, split, metric, source)
        for metric in columns
        for source in sources
    }
    columns = [m for m in columns if any(found[m, s] for s in sources)]
    body = []
    for source in sources:
        cells = []
        for metric in columns:
            row = found[metric, source]
            label = clean(entry(metric).label)
            rivals = [found[metric, s] for s in sources]
            extra = _variant_remark(row, rivals) + _null_remark(material, row)
            cells.append(cell(row, label, extra=extra, best=_is_best(metric, row, rivals)))
        remark = _over_remark([found[m, source] for m in columns])
        body.append(line(swatch(material, source) + name(source) + remark, cells))
    header = [("Model", False)] + [
        (metric_head(m, _shown_variant(m, [found[m, s] for s in sources])), True) for m in columns
    ]
    return table(f"Figures on {clean(split)}", header, body)


def _variants(rows: Sequence[Row | None]) -> set[str]:
    return {row.variant for row in rows if row is not None and math.isfinite(row.value)}


def _shown_variant(metric: str, rows: Sequence[Row | None]) -> str:
    """Return the variant of a whole column; where its cells differ each says its own."""
    variants = _variants(rows) or {row.variant for row in rows if row is not None}
    return "" if len(variants) > 1 else _in_words(main_variant(metric, variants))


def _variant_remark(row: Row | None, rivals: Sequence[Row | None]) -> str:
    differ = row is not None and row.variant and len(_variants(rivals)) > 1
    return element("small", text(_in_words(row.variant))) if row is not None and differ else ""


def _in_words(variant: str) -> str:
    return variant.replace(",", ", ").replace("_", " ")


def _null_remark(material: Material, row: Row | None) -> str:
    """Return what a plug-in calibration error would be if the model were calibrated."""
    null = None if row is None else material.null_of(row)
    if row is None or null is None:
        return ""
    digits = min(decimals(row.value), decimals(null.value))
    words = f"{number(null.value, digits)} if calibrated"
    if math.isfinite(null.high):
        words += f" (95\N{NO-BREAK SPACE}% below {number(null.high, digits)})"
    return element("small", text(words), {"class": "words", **row_attributes(null)})


def _over_remark(rows: Sequence[Row | None]) -> str:
    overs = {row.over for row in rows if row is not None} - {"items"}
    return element("small", "mean over trainings") if overs else ""


def _is_best(metric: str, row: Row | None, rivals: Sequence[Row | None]) -> bool:
    """Return whether a figure is the best of its variant: another variant is another quantity."""
    better = entry(metric).better
    if row is None or better not in ("higher", "lower") or metric in DIAGNOSTICS:
        return False
    same = [r for r in rivals if r is not None and r.variant == row.variant]
    values = [r.value for r in same if math.isfinite(r.value)]
    if len(values) < 2:
        return False
    return row.value == (max(values) if better == "higher" else min(values))


def diagnostics(material: Material, task: str) -> str:
    """Return the tests of calibration and the terms of the scores; empty where there are none."""
    tests = ("calibration_ks", "calibration_kuiper", "spiegelhalter_z")
    columns = [*tests, *(f"{score}_{term}" for score in SCORES for term in TERMS)]
    found = {
        (metric, source): material.row(task, "test", metric, source)
        for metric in columns
        for source in material.sources_of(task)
    }
    if not any(found.values()):
        return ""
    body = []
    for source in material.sources_of(task):
        cells = []
        for metric in columns:
            row = found[metric, source]
            p_value = None if row is None else row.p_value
            said = "" if p_value is None else element("small", text(f"p {p_text(p_value)}"))
            cells.append(cell(row, clean(entry(metric).label), extra=said))
        body.append(line(swatch(material, source) + name(source), cells))
    header = [("Model", False)] + [(metric_head(m), True) for m in columns]
    shown = table("Tests of calibration and what the scores are made of", header, body)
    return details("Tests of calibration, and what the scores are made of (CORP)", shown)


def cost_table(material: Material, task: str) -> str:
    """Return what each model cost, beside its main figures; empty where no cost is known."""
    costs = [
        c for c in COSTS
        if any(material.row(task, "test", c, s) for s in material.sources_of(task))
    ]  # fmt: skip
    if not costs:
        return ""
    quality = [m for m in ("accuracy", "nll", "crps") if m in material.metrics(task, "test")]
    body = []
    for source in material.sources_of(task):
        cells = [
            cell(material.row(task, "test", m, source), clean(entry(m).label))
            for m in [*costs, *quality]
        ]
        body.append(line(swatch(material, source) + name(source), cells))
    header = [("Model", False)] + [(metric_head(m), True) for m in [*costs, *quality]]
    return table("Cost and quality", header, body)


def all_figures(material: Material) -> str:
    """Return every row of the table, folded away; the first two thousand where there are more."""
    rows = material.every.rows
    names = [
        field
        for field in FIELDS
        if field not in ("value", "low", "high", "level", "versions", "n")
        and any(getattr(row, field) not in ("", None) for row in rows)
        and not (field == "over" and all(row.over == "items" for row in rows))
    ]
    columns = [*names, "n", "value", "interval"]
    numeric = {"n", "value", "interval", "p_value", "n_groups"}
    head = "".join(
        element(
            "th",
            text(c.replace("_", " ")),
            {"scope": "col", "class": "n" if c in numeric else None},
        )
        for c in columns
    )
    body = "".join(_full_row(row, names) for row in rows[:MOST_ROWS])
    region: Attributes = {
        "class": "scroll",
        "tabindex": 0,
        "role": "region",
        "aria-label": "All figures",
    }
    inner = element("thead", element("tr", head)) + element("tbody", body)
    shown = element("div", element("table", inner, {"class": "plain", "id": "all-figures"}), region)
    hidden = len(rows) - MOST_ROWS
    note = (
        f"<p class='note'>{count(hidden)} more are in the results file.</p>" if hidden > 0 else ""
    )
    return details(f"All {count(len(rows))} figures", shown + note)


def _full_row(row: Row, names: Sequence[str]) -> str:
    cells = [
        element("td", text(p_text(row.p_value)), {"class": "n"})
        if field == "p_value"
        else element("td", text("" if getattr(row, field) is None else getattr(row, field)))
        for field in names
    ]
    cells += [
        element("td", text(count(row.n) if row.n else ""), {"class": "n"}),
        element(
            "td", text(figure(row)), {"class": "n", **row_attributes(row), "data-p": row.p_value}
        ),
        element("td", text(interval(row)), {"class": "n"}),
    ]
    return element("tr", "".join(cells))
