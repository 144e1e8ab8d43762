"""The tables of a report: every cell carries the row it shows, in full precision."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from uncertain.evaluation.formatting import (
    NOTHING,
    count,
    decimals,
    figure,
    interval,
    number,
    p_text,
)
from uncertain.evaluation.report.glossary import ARROWS, COSTS, entry
from uncertain.evaluation.report.html import Attributes, clean, details, element, name, text
from uncertain.evaluation.report.material import Material, is_control, main_variant, ood_parts
from uncertain.evaluation.report.plots import swatch
from uncertain.evaluation.report.svg import Axis, padded, strip
from uncertain.evaluation.results import FIELDS, Row

ASIDE = (
    "ece_null",
    "auroc",
    "aurc",
    "aupr_error_positive",
    "aupr_correct_positive",
    "fpr95_error_positive",
)
"""Metrics with a place of their own: beside the ECE, or with the mistakes."""
MOST_ROWS = 2000
MOST_PAIRS = 48


def row_attributes(row: Row) -> Attributes:
    """Return what a cell says of its row: names, and numbers in full; NaN is left out."""
    numbers = {name: getattr(row, name) for name in ("value", "low", "high")}
    finite = {f"data-{k}": v for k, v in numbers.items() if not math.isnan(v)}
    words = {
        f"data-{field}": clean(getattr(row, field))
        for field in ("metric", "variant", "split", "source", "kind", "other", "task", "training")
        if getattr(row, field)
    }
    return {**words, "data-over": row.over, "data-n": row.n, **finite}


def cell(row: Row | None, label: str, *, extra: str = "", best: bool = False) -> str:
    """Return a cell: figure, rank group, interval below, and a remark."""
    attributes: Attributes = {"class": "n", "role": "cell", "data-label": label}
    if row is None:
        return element("td", NOTHING, attributes)
    group = element("span", text(row.rank_group), _GROUP) if row.rank_group else ""
    shown = element("span", text(figure(row)), {"class": "best" if best else None})
    small = element("small", text(interval(row))) if row.has_interval else ""
    if not math.isfinite(row.value):
        small = element("small", text(row.reason), {"class": "words"})
    content = element("span", shown + group + small + extra)
    return element("td", content, {**attributes, **row_attributes(row)})


_GROUP: Attributes = {
    "class": "group",
    "title": "rank group: models that share a letter are not told apart",
}


def table(caption: str, header: Sequence[tuple[str, bool]], body: Sequence[str]) -> str:
    """Return a table that becomes a list of cards on a narrow page.

    Args:
        caption: What it holds, read out but not shown.
        header: Column heads as HTML, and whether each holds numbers.
        body: Rows as HTML.
    """
    head = "".join(
        element(
            "th",
            content,
            {"scope": "col", "role": "columnheader", "class": "n" if numeric else None},
        )
        for content, numeric in header
    )
    # Roles are spelled out because `display: block` takes a table's own away.
    parts = (
        element("caption", element("span", text(caption), {"class": "sr"}))
        + element("thead", element("tr", head, {"role": "row"}), {"role": "rowgroup"})
        + element("tbody", "".join(body), {"role": "rowgroup"})
    )
    inner = element("table", parts, {"class": "table", "role": "table"})
    region: Attributes = {
        "class": "wide", "tabindex": 0, "role": "region", "aria-label": clean(caption),
    }  # fmt: skip
    return element("div", inner, region)


def line(head: str, cells: Sequence[str]) -> str:
    """Return a row: its head and its cells."""
    first = element("th", head, {"scope": "row", "role": "rowheader"})
    return element("tr", first + "".join(cells), {"role": "row"})


def metric_head(metric: str, variant: str = "") -> str:
    """Return a column head: the metric, which way is better, and its variant."""
    info = entry(metric)
    arrow, words = ARROWS[info.better]
    shown = text(info.label)
    if arrow:
        shown += f' <span aria-hidden="true">{arrow}</span>' + element(
            "span", f" ({words})", {"class": "sr"}
        )
    return shown + (element("small", name(variant)) if variant else "")


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
            extra = _null_remark(material, row)
            cells.append(cell(row, label, extra=extra, best=_is_best(metric, row, rivals)))
        remark = _over_remark([found[m, source] for m in columns])
        body.append(line(swatch(material, source) + name(source) + remark, cells))
    header = [("Model", False)] + [
        (metric_head(m, _shown_variant(m, [found[m, s] for s in sources])), True) for m in columns
    ]
    return table(f"Figures on {clean(split)}", header, body)


def _shown_variant(metric: str, rows: Sequence[Row | None]) -> str:
    variants = {row.variant for row in rows if row is not None and row.variant}
    return main_variant(metric, variants).replace(",", ", ").replace("_", " ") if variants else ""


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
    better = entry(metric).better
    values = [r.value for r in rivals if r is not None and math.isfinite(r.value)]
    if row is None or better not in ("higher", "lower") or len(values) < 2:
        return False
    return row.value == (max(values) if better == "higher" else min(values))


def ood_table(material: Material, task: str, ood: str, rows: Sequence[Row]) -> str:
    """Return how well each model and score notices one set of strange inputs, controls below."""
    metrics = ("auroc", "aupr_ood_positive", "aupr_id_positive", "fpr95_ood_positive")
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
        drawing = _strip_cell(material, auroc, axis, css, guide=0.5)
        cells = [cell(found.get((m, source, score)), clean(entry(m).label)) for m in metrics]
        body.append(line(_score_head(material, source, score, auroc), [drawing, *cells]))
    header = [("Model and score", False), ("", False)] + [(metric_head(m), True) for m in metrics]
    return table(f"Noticing {clean(ood)}", header, body)


def error_table(material: Material, task: str) -> str:
    """Return how well each model's scores rank its own mistakes on the test set."""
    metrics = (
        "auroc",
        "aupr_error_positive",
        "aupr_correct_positive",
        "fpr95_error_positive",
        "aurc",
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


def _score_head(material: Material, source: str, score: str, row: Row | None) -> str:
    if row is not None and is_control(row):
        control = source.removeprefix("control").lstrip(": ") or score.removeprefix("control:")
        return name(control) + element("small", "control: looks at no model")
    return swatch(material, source) + name(source) + element("small", f"by {name(score)}")


def _strip_cell(
    material: Material, row: Row | None, axis: Axis, css: str, *, guide: float | None
) -> str:
    if row is None or not math.isfinite(row.value):
        return element("td", "", {"class": "bare", "role": "cell"})
    title = f"{clean(row.source)}: {figure(row)} {interval(row)}"
    dots = [(row.value, row.low, row.high, css)]
    drawing = strip(material.identifier(), title, axis, dots, guide=guide)
    return element("td", drawing, {"class": "bare", "role": "cell"})


def comparison_table(material: Material, rows: Sequence[Row]) -> str:
    """Return paired differences: a dot and its interval, one scale a metric, and Holm's p."""
    axes = {}
    for key in dict.fromkeys((row.metric, row.variant) for row in rows):
        ends = [
            v
            for row in rows
            if (row.metric, row.variant) == key
            for v in (0.0, row.value, row.low, row.high)
            if math.isfinite(v)
        ]
        axes[key] = Axis("difference", *padded(min(ends), max(ends)))
    body = []
    for row in rows:
        css = "none" if undecided(row) else str(material.style(winner(row))["class"])
        drawing = _strip_cell(material, row, axes[row.metric, row.variant], css, guide=0.0)
        head = name(row.source) + " − " + name(row.other)
        over = "" if row.over == "items" else f", over {row.over}"
        variant = f", {name(row.variant)}" if row.variant else ""
        label = element(
            "span", text(entry(row.metric).label) + element("small", f"{head}{variant}{over}")
        )
        p = element(
            "td",
            text(p_text(row.p_value)),
            {"class": "n", "role": "cell", "data-label": "p (Holm)", "data-p": row.p_value},
        )
        verdict = element(
            "td", element("span", _verdict(row)), {"role": "cell", "data-label": "Reading"}
        )
        body.append(line(label, [drawing, cell(row, "Difference"), p, verdict]))
    header = [
        ("Figure and pair", False), ("", False), ("Difference", True), ("p (Holm)", True),
        ("Reading", False),
    ]  # fmt: skip
    return table("Paired differences", header, body)


def undecided(row: Row) -> bool:
    """Return whether a difference may be zero: by its adjusted p-value, else by its interval."""
    if row.p_value is not None:
        return row.p_value >= 1 - row.level or not row.has_interval
    return not row.has_interval or row.low <= 0 <= row.high


def winner(row: Row) -> str:
    """Return which of the two sources of a difference is better."""
    higher = entry(row.metric).better == "higher"
    return row.source if (row.value > 0) == higher else row.other


def _verdict(row: Row) -> str:
    if not math.isfinite(row.value):
        return text(row.reason)
    if undecided(row):
        return "not told apart"
    if entry(row.metric).better not in ("higher", "lower"):
        return "they differ"
    return f"{name(winner(row))} is better"


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
    rows = material.results.rows
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
