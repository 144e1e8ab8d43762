"""Quality against cost: every model a labelled dot, and the front that no other model beats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from uncertain.evaluation.formatting import figure, interval, number
from uncertain.evaluation.report.glossary import entry
from uncertain.evaluation.report.html import Attributes, clean, element, name, text
from uncertain.evaluation.report.material import Material
from uncertain.evaluation.report.plots import as_figure
from uncertain.evaluation.report.svg import BOTTOM, LEFT, RIGHT, TOP, Axis, Plot, log_ticks, padded
from uncertain.evaluation.results import Row

WIDE, HIGH = 720.0, 400.0
_CHARACTER, _LINE = 5.9, 13.0
"""Size of a letter of a label, in units of the drawing: a little more than most fonts take."""
_BOLD = 1.1
"""How much wider bold letters are."""
_REACH = 4.0
"""Worse than the best by more than so many times the median's distance: drawn at the edge."""

Point = tuple[str, Row, Row]
"""A model, its cost and its quality."""


def cost_figure(material: Material, cost: str, metric: str, points: Sequence[Point]) -> str:
    """Return quality against cost on a logarithmic axis, with the Pareto front.

    A model is on the front where no other is both cheaper and better, by the point estimates. What
    is far worse than the rest is drawn at the edge, and its label says the value.
    """
    info, price_info = entry(metric), entry(cost)
    front = pareto_front(points, higher_is_better=info.better == "higher")
    low, high = min(p.value for _, p, _ in points) / 1.6, max(p.value for _, p, _ in points) * 1.6
    plot = Plot(
        material.identifier(),
        f"{info.label} against {price_info.label}",
        "; ".join(f"{clean(s)}: {number(c.value)} and {figure(q)}" for s, c, q in points)
        + f". Not beaten in both: {', '.join(clean(s) for s, _, _ in front)}.",
        Axis(f"{price_info.label}, logarithmic", low, high, log=True, ticks=log_ticks(low, high)),
        Axis(info.label, *_limits(points, higher_is_better=info.better == "higher")),
        width=WIDE,
        height=HIGH,
    )
    _draw_front(plot, front)
    _draw_dots(plot, material, metric, points)
    _draw_labels(plot, material, points, {source for source, _, _ in front})
    caption = (
        f"The line is the Pareto front: {', '.join(clean(s) for s, _, _ in front)}. No other model "
        "is both cheaper and better, by the point estimates; the whiskers say how sure they are."
    )
    # On a narrow screen it scrolls: shrunk to fit, a dozen labels could not be read.
    title = f"{info.label} against cost"
    box: Attributes = {
        "class": "scroll",
        "tabindex": 0,
        "role": "region",
        "aria-label": clean(title),
    }
    drawing = element("div", plot.render(), box)
    return as_figure(drawing, f"{name(info.label)} and cost", text(caption, longest=900))


def pareto_front(points: Sequence[Point], *, higher_is_better: bool) -> list[Point]:
    """Return the points that no other dominates, cheapest first.

    Args:
        points: Model, cost and quality; a lower cost is better.
        higher_is_better: Of the quality.

    Returns:
        The front. Of points that agree in both the first is kept.
    """
    sign = -1.0 if higher_is_better else 1.0
    best, front = math.inf, []
    for point in sorted(points, key=lambda p: (p[1].value, sign * p[2].value)):
        if sign * point[2].value < best:
            best = sign * point[2].value
            front.append(point)
    return front


def _limits(points: Sequence[Point], *, higher_is_better: bool) -> tuple[float, float]:
    """Return the ends of the quality axis, without what is far worse than the rest."""
    sign = -1.0 if higher_is_better else 1.0
    values = np.array([sign * q.value for _, _, q in points])
    worst = values.min() + _REACH * (np.median(values) - values.min())
    kept = [q for v, (_, _, q) in zip(values, points, strict=True) if v <= worst] or [
        q for _, _, q in points
    ]
    ends = [v for q in kept for v in (q.value, q.low, q.high) if math.isfinite(v)]
    if len(kept) < len(points) and worst > values.min():
        # Whiskers may leave the plot as the dots do.
        ends = [v for v in ends if sign * v <= worst]
    return padded(min(ends), max(ends))


def _draw_front(plot: Plot, front: Sequence[Point]) -> None:
    """Draw the front as steps: at a cost, the best that is to be had for it."""
    x: list[float] = []
    y: list[float] = []
    for _, price, quality in front:
        if y:
            x.append(price.value)
            y.append(y[-1])
        x.append(price.value)
        y.append(quality.value)
    x.append(plot.x.high)
    y.append(y[-1])
    plot.line(x, y, {"class": "front", "data-plot": "front"})


def _draw_dots(plot: Plot, material: Material, metric: str, points: Sequence[Point]) -> None:
    for source, price, quality in points:
        marks: Attributes = {
            "class": str(material.style(source)["class"]),
            "data-plot": "cost",
            "data-source": clean(source),
            "data-metric": metric,
        }
        tip = f"{clean(source)}: {number(price.value)}, {figure(quality)} {interval(quality)}"
        plot.dot(
            price.value, quality.value, marks, low=quality.low, high=quality.high, radius=5, tip=tip
        )


@dataclass(frozen=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: _Box) -> float:
        """Return the area the two share."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(across, 0.0) * max(down, 0.0)


def _draw_labels(plot: Plot, material: Material, points: Sequence[Point], front: set[str]) -> None:
    places = [(float(plot.across(p.value)), float(plot.up(q.value))) for _, p, q in points]
    words = [
        clean(source) + ("" if plot.y.low <= q.value <= plot.y.high else f" ({figure(q)})")
        for source, _, q in points
    ]
    frame = _Box(LEFT + 2, TOP, plot.width - RIGHT, plot.height - BOTTOM - 2)
    widths = [
        _CHARACTER * len(word) * (_BOLD if source in front else 1)
        for word, (source, _, _) in zip(words, points, strict=True)
    ]
    boxes = place_labels(places, widths, frame)
    for (source, _, _), (x, y), word, box in zip(points, places, words, boxes, strict=True):
        css = str(material.style(source)["class"])
        middle = (box.top + box.bottom) / 2
        near = min(max(x, box.left), box.right), min(max(y, box.top), box.bottom)
        if math.dist((x, y), near) > 12:
            line: Attributes = {
                "x1": round(x, 2), "y1": round(y, 2), "x2": round(near[0], 2),
                "y2": round(near[1], 2), "class": f"leader {css}",
            }  # fmt: skip
            plot.marks.append(element("line", "", line))
        # A label on the left ends at its dot, however wide its letters are.
        left = box.right < x
        style = f"label {css}" + (" best" if source in front else "") + (" end" if left else "")
        place: Attributes = {
            "x": round(box.right if left else box.left, 2), "y": round(middle, 2), "dy": ".32em",
            "class": style, "data-label": clean(source),
        }  # fmt: skip
        plot.marks.append(element("text", text(word), place))


def place_labels(
    places: Sequence[tuple[float, float]], widths: Sequence[float], frame: _Box
) -> list[_Box]:
    """Return a box for each label near its dot, that covers no dot and no label placed before.

    Places around the dot are tried from near to far; where all are taken, the one that covers least
    is kept.

    Args:
        places: Of the dots, in units of the drawing.
        widths: Of the labels.
        frame: What they should stay in.
    """
    dots = [_Box(x - 6, y - 6, x + 6, y + 6) for x, y in places]
    boxes: list[_Box] = []
    order = sorted(range(len(places)), key=lambda i: places[i])
    found: dict[int, _Box] = {}
    for i in order:
        candidates = list(_around(places[i], widths[i]))
        taken = dots + boxes

        def cost(box: _Box, taken: list[_Box] = taken) -> float:
            area = (box.right - box.left) * (box.bottom - box.top)
            return sum(box.overlap(other) for other in taken) + 3 * (area - box.overlap(frame))

        best = next((b for b in candidates if cost(b) < 1e-9), None) or min(candidates, key=cost)
        boxes.append(best)
        found[i] = best
    return [found[i] for i in range(len(places))]


def _around(place: tuple[float, float], width: float) -> list[_Box]:
    """Return boxes around a dot, nearest first; those beside it before those above and below."""
    x, y = place
    half = _LINE / 2
    boxes = []
    for ring, side in product(range(8), ("right", "left", "middle")):
        for down in (0.0,) if ring == 0 and side != "middle" else (-ring - 1.0, ring + 1.0):
            middle = y + down * _LINE
            gap = 8 if ring == 0 else 10
            start = {"right": x + gap, "left": x - gap - width, "middle": x - width / 2}[side]
            boxes.append(_Box(start, middle - half, start + width, middle + half))
    return boxes
