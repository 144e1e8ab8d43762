"""The plots of a report as figures: drawing, caption, and the numbers as a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from uncertain.evaluation.formatting import count, figure, interval, number, percent
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.report import curves
from uncertain.evaluation.report.glossary import entry
from uncertain.evaluation.report.html import Attributes, clean, data_table, details, element, name
from uncertain.evaluation.report.material import Material
from uncertain.evaluation.report.svg import Axis, Plot, padded
from uncertain.evaluation.results import Row

UNIT = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
BUDGET = 9000
"""Points of all curves of a page together."""


def as_figure(drawing: str, heading: str, caption: str = "", table: str = "") -> str:
    """Return a figure: heading above, drawing, caption and numbers below. All are HTML."""
    parts = [element("h4", heading) if heading else "", drawing]
    if caption:
        parts.append(element("figcaption", caption))
    if table:
        parts.append(details("The numbers", table))
    return element("figure", "".join(parts))


def legend(material: Material, sources: Iterable[str]) -> str:
    """Return the key of a plot with several models."""
    return element(
        "ul",
        "".join(element("li", swatch(material, s) + name(s)) for s in sources),
        {"class": "legend"},
    )


def swatch(material: Material, source: str) -> str:
    """Return the little line that stands for a model."""
    style = material.style(source)
    line = element(
        "line",
        "",
        {"x1": 0, "x2": 24, "y1": 6, "y2": 6, "stroke": "var(--c)", "stroke-width": 3, **style},
    )
    frame: Attributes = {"class": "swatch", "viewBox": "0 0 24 12", "aria-hidden": "true"}
    return element("svg", line, frame)


def reliability_figure(material: Material, predictions: Predictions) -> str:
    """Return the reliability diagram of one source."""
    data = curves.top_label(predictions, material.probabilities(predictions))
    bins = data.bins
    source = predictions.source
    plot = Plot(
        material.identifier(),
        f"Reliability of {clean(source)}",
        f"Mean confidence {data.confidence:.4f}, accuracy {data.accuracy:.4f} over "
        f"{count(data.rows)} rows; {data.outside} of {len(bins.count)} bins lie outside the 95 % "
        "band of a calibrated model.",
        Axis("confidence of the predicted class", 0, 1, ticks=UNIT),
        Axis("share correct", 0, 1, ticks=UNIT),
        height=312,
    )
    style = material.style(source)
    series: Attributes = {"data-source": clean(source), "data-plot": "reliability"}
    _confidence_bars(plot, data, style)
    plot.guide([0, 1], [0, 1])
    plot.band(bins.confidence, bins.null_low, bins.null_high, {"class": "null", **series})
    css = str(style["class"])
    line: Attributes = {**series, "class": f"thin {css}", "data-plot": "reliability-line"}
    plot.line(bins.confidence, bins.frequency, line)
    for i in range(len(bins.count)):
        x, y, n = float(bins.confidence[i]), float(bins.frequency[i]), int(bins.count[i])
        dot: Attributes = {
            "class": css,
            "data-share": float(bins.share[i]),
            "data-n": n,
            **series,
        }
        tip = f"confidence {x:.4f}, correct {y:.4f}, {count(n)} rows"
        # Area is rows: a bin of three rows should not shout.
        radius = 2.3 + 2.7 * math.sqrt(float(bins.share[i] / bins.share.max()))
        low, high = float(bins.low[i]), float(bins.high[i])
        plot.dot(x, y, dot, low=low, high=high, radius=radius, tip=tip)
    return as_figure(
        plot.render(),
        swatch(material, source) + name(source) + _training_note(material, predictions),
        _reliability_words(data),
        _reliability_table(source, data),
    )


def _confidence_bars(plot: Plot, data: curves.TopLabel, style: Attributes) -> None:
    """Draw how many rows each bin holds along the bottom, at most a fifth of the height."""
    edges = np.arange(curves.BINS + 1) / curves.BINS
    share = data.bins.share
    places = np.minimum((data.bins.confidence * curves.BINS).astype(int), curves.BINS - 1)
    for place, part, n in zip(places, share, data.bins.count, strict=True):
        plot.bar(
            float(edges[place]),
            float(edges[place + 1]),
            float(0.2 * part / share.max()),
            {"class": f"bar quiet {style['class']}"},
            tip=f"{count(int(n))} rows",
        )


def _reliability_words(data: curves.TopLabel) -> str:
    return (
        f"Says {percent(data.confidence)}, is right {percent(data.accuracy)} of the time. "
        f"{data.outside} of {len(data.bins.count)} bins leave the grey band."
    )


def _reliability_table(source: str, data: curves.TopLabel) -> str:
    bins = data.bins
    rows = [
        (
            number(float(bins.confidence[i]), 4),
            number(float(bins.frequency[i]), 4),
            f"[{bins.low[i]:.4f}, {bins.high[i]:.4f}]",
            f"[{bins.null_low[i]:.4f}, {bins.null_high[i]:.4f}]",
            count(int(bins.count[i])),
        )
        for i in range(len(bins.count))
    ]
    header = ("confidence", "correct", "95 % interval", "if calibrated", "rows")
    return data_table(f"Reliability of {clean(source)}", header, rows)


def pit_figure(material: Material, predictions: Predictions) -> str:
    """Return the PIT histogram of one source."""
    data = curves.pit(predictions)
    top = max(float(data.density.max()), data.null_high) * 1.08
    source = predictions.source
    outside = int(np.sum((data.density < data.null_low) | (data.density > data.null_high)))
    words = (
        f"{outside} of {len(data.density)} bars leave the grey band. A U means intervals too narrow, "
        "a hump too wide, a slope a biased centre."
    )
    plot = Plot(
        material.identifier(),
        f"PIT histogram of {clean(source)}",
        words,
        Axis("predictive cdf at the target", 0, 1, ticks=UNIT),
        Axis("density", 0, top),
    )
    series: Attributes = {"data-source": clean(source), "data-plot": "pit"}
    plot.band([0, 1], [data.null_low] * 2, [data.null_high] * 2, {"class": "null"})
    css = material.style(source)["class"]
    for i, density in enumerate(data.density.tolist()):
        left, right = float(data.edges[i]), float(data.edges[i + 1])
        tip = f"{left:.2f} to {right:.2f}: {density:.3f}"
        plot.bar(left, right, density, {"class": f"bar {css}", **series}, tip=tip)
    plot.guide([0, 1], [1, 1])
    heading = swatch(material, source) + name(source) + _training_note(material, predictions)
    rows = [
        (f"{data.edges[i]:.2f} to {data.edges[i + 1]:.2f}", f"{d:.4f}")
        for i, d in enumerate(data.density.tolist())
    ]
    table = data_table(f"PIT histogram of {clean(source)}", ("PIT", "density"), rows)
    return as_figure(plot.render(), heading, words, table)


Curve = tuple[Row, Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]


def roc_figure(material: Material, heading: str, drawn: Sequence[Curve]) -> str:
    """Return the ROC curves of several sources, each beside the row that it is the area of."""
    values = "; ".join(f"{clean(r.source)} {figure(r)} {interval(r)}" for r, _, _ in drawn)
    plot = Plot(
        material.identifier(),
        f"ROC curves: {clean(heading)}",
        f"Area under the curve: {values}.",
        Axis("false positive rate", 0, 1, ticks=UNIT),
        Axis("true positive rate", 0, 1, ticks=UNIT),
        height=312,
    )
    plot.guide([0, 1], [0, 1])
    for row, x, y in drawn:
        plot.line(x, y, _curve_attributes(material, row, "roc"))
    return as_figure(plot.render(), name(heading), "", _values_table(heading, drawn))


def risk_figure(material: Material, heading: str, drawn: Sequence[Curve]) -> str:
    """Return the risk-coverage curves of several sources."""
    values = "; ".join(f"{clean(r.source)} {figure(r)} {interval(r)}" for r, _, _ in drawn)
    # A handful of confident mistakes makes the left end of a curve shoot up: it may leave the plot.
    tops = [float(np.max(np.asarray(y)[np.asarray(x) >= 0.02])) for _, x, y in drawn]
    top = min(1.0, max([*tops, 1e-3]) * 1.12)
    plot = Plot(
        material.identifier(),
        f"Risk and coverage: {clean(heading)}",
        f"Mean error rate over coverages: {values}.",
        Axis("share of rows kept, most certain first", 0, 1, ticks=UNIT),
        Axis("error rate among them", 0, top),
        height=312,
    )
    for row, x, y in drawn:
        plot.line(x, y, _curve_attributes(material, row, "risk-coverage"))
    rows = [
        (
            clean(row.source),
            *(number(float(np.interp(c, x, y)), 4) for c in (0.5, 0.8, 0.9, 1.0)),
        )
        for row, x, y in drawn
    ]
    header = ("model", "keep 50 %", "keep 80 %", "keep 90 %", "keep all")
    table = data_table(f"Error rate by coverage: {clean(heading)}", header, rows)
    return as_figure(plot.render(), name(heading), "", table)


def _curve_attributes(material: Material, row: Row, plot: str) -> Attributes:
    style = material.style(row.source)
    return {
        **style,
        "class": f"line {style['class']}",
        "data-plot": plot,
        "data-metric": row.metric,
        "data-variant": clean(row.variant),
        "data-source": clean(row.source),
        "data-training": clean(row.training),
        "data-task": clean(row.task),
        "data-split": clean(row.split),
        "data-value": row.value,
    }


def _values_table(heading: str, drawn: Sequence[Curve]) -> str:
    rows = [
        (clean(r.source), clean(r.variant), figure(r), interval(r), count(r.n)) for r, _, _ in drawn
    ]
    header = ("model", "variant", "area", "interval", "rows")
    return data_table(f"Area under the curve: {clean(heading)}", header, rows)


def shift_figure(
    material: Material,
    kind: str,
    metric: str,
    series: Sequence[tuple[str, Sequence[tuple[float, Row]]]],
) -> str:
    """Return one metric against the severity of a shift, severity 0 being the test set."""
    rows = [row for _, points in series for _, row in points]
    ends = [v for row in rows for v in (row.value, row.low, row.high) if math.isfinite(v)]
    severities = sorted({severity for _, points in series for severity, _ in points})
    low, high = padded(min(ends), max(ends))
    if min(ends) >= 0:
        low = max(low, 0.0)
    info = entry(metric)
    first, last = severities[0], severities[-1]
    words = "; ".join(
        f"{clean(source)} from {figure(points[0][1])} to {figure(points[-1][1])}"
        for source, points in series
    )
    plot = Plot(
        material.identifier(),
        f"{info.label} under {clean(kind)}",
        f"From severity {first:g} to {last:g}: {words}.",
        Axis("severity (0 is the test set)", *padded(first, last), ticks=tuple(severities)),
        Axis(info.label, low, high),
    )
    for i, (source, points) in enumerate(series):
        style = material.style(source)
        # A small step aside keeps the whiskers of several models apart.
        aside = (i - (len(series) - 1) / 2) * 0.012 * (last - first)
        plot.line(
            [severity + aside for severity, _ in points],
            [row.value for _, row in points],
            {**style, "class": f"line {style['class']}", "data-plot": "shift-line"},
        )
        for severity, row in points:
            marks: Attributes = {
                "class": str(style["class"]), "data-plot": "shift", "data-severity": severity,
                "data-metric": metric, "data-source": clean(source), "data-split": clean(row.split),
                "data-variant": clean(row.variant), "data-task": clean(row.task),
            }  # fmt: skip
            tip = f"{clean(source)}, severity {severity:g}: {figure(row)} {interval(row)}"
            plot.dot(severity + aside, row.value, marks, low=row.low, high=row.high, tip=tip)
    cells = [
        (clean(source), f"{severity:g}", figure(row), interval(row))
        for source, points in series
        for severity, row in points
    ]
    table = data_table(
        f"{info.label} under {clean(kind)}", ("model", "severity", "value", "interval"), cells
    )
    return as_figure(plot.render(), f"{name(info.label)}, {name(kind)}", "", table)


def _training_note(material: Material, predictions: Predictions) -> str:
    if not predictions.training:
        return ""
    k = material.trainings(predictions.task, predictions.split, predictions.source)
    shown = f"training {clean(predictions.training)}" + (f" of {k}" if k > 1 else "")
    return element("small", f" · {name(shown)}", {"class": "soft"})
