"""A small plotting module: axes, ticks, lines, bands, dots and bars as inline SVG.

Colours come from CSS variables, so that one drawing serves light and dark. Every mark carries the
numbers it was drawn from (``data-x``, ``data-y``, in full), so that a reader, or a test, can hold the
picture against the table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain.evaluation.formatting import number
from uncertain.evaluation.report.html import Attributes, element, text

WIDTH, HEIGHT = 360.0, 280.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 12.0, 42.0
SERIES = 8
"""Colours there are; more series repeat them with other dashes."""
DASHES = (None, "7 3", "2 2.5", "9 3 2 3")

Floats = NDArray[np.float64]
Numbers = float | Sequence[float] | NDArray[Any]


@dataclass(frozen=True)
class Axis:
    """One axis: what it shows and from where to where.

    Attributes:
        label: What is shown, with its unit.
        low: Left or lower end.
        high: Right or upper end, above ``low``.
        log: Whether distances are ratios; both ends are positive then.
        ticks: Where the marks are; chosen where empty.
    """

    label: str
    low: float
    high: float
    log: bool = False
    ticks: tuple[float, ...] = ()

    def place(self, values: Numbers) -> Floats:
        """Return positions from 0 to 1; what lies outside is held at the edge.

        Example:
            >>> Axis("x", 1, 100, log=True).place([1, 10, 1000]).tolist()
            [0.0, 0.5, 1.0]
        """
        v = np.asarray(values, dtype=np.float64)
        low, high = self.low, self.high
        if self.log:
            low, high = math.log10(low), math.log10(high)
            v = np.log10(np.maximum(v, np.finfo(np.float64).tiny))
        return np.asarray(np.clip((v - low) / (high - low), 0.0, 1.0))

    def marks(self) -> tuple[float, ...]:
        """Return the tick positions."""
        if self.ticks:
            return self.ticks
        return log_ticks(self.low, self.high) if self.log else linear_ticks(self.low, self.high)


def linear_ticks(low: float, high: float, *, most: int = 6) -> tuple[float, ...]:
    """Return round numbers from ``low`` to ``high``, at most ``most``.

    Example:
        >>> linear_ticks(0, 1), linear_ticks(-0.003, 0.0121)
        ((0.0, 0.2, 0.4, 0.6, 0.8, 1.0), (0.0, 0.005, 0.01))
    """
    if not high > low:
        return (low,)
    step = 10.0 ** math.floor(math.log10(high - low))
    steps = [step * f for f in (0.1, 0.2, 0.5, 1, 2, 5)]
    for size in steps:
        first, last = math.ceil(low / size - 1e-9), math.floor(high / size + 1e-9)
        if last - first + 1 <= most:
            # Rounding keeps 0.30000000000000004 out of the labels.
            return tuple(round(i * size, 12) + 0.0 for i in range(first, last + 1))
    return (low, high)


def log_ticks(low: float, high: float) -> tuple[float, ...]:
    """Return powers of ten, with 2 and 5 between where there are few.

    Example:
        >>> log_ticks(1, 100)
        (1.0, 10.0, 100.0)
    """
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        ticks = [f * 10.0**e for e in exponents for f in factors]
        kept = tuple(t for t in ticks if low * (1 - 1e-9) <= t <= high * (1 + 1e-9))
        if len(kept) >= 3:
            step = -(-len(kept) // 7)
            return kept[::step]
    return (low, high)


def padded(low: float, high: float, *, share: float = 0.06) -> tuple[float, float]:
    """Return a range a little wider, never of length zero.

    Example:
        >>> padded(0.0, 1.0, share=0.1), padded(2.0, 2.0)
        ((-0.1, 1.1), (1.0, 3.0))
    """
    room = (high - low) * share or abs(high) / 2 or 1.0
    return low - room, high + room


def series_style(index: int) -> Attributes:
    """Return the colour, and beyond the eighth series the dashes, of a series."""
    return {
        "class": f"s{index % SERIES}",
        "stroke-dasharray": DASHES[(index // SERIES + index % SERIES % 2) % len(DASHES)],
    }


@dataclass
class Plot:
    """One pair of axes and the marks on it, in the order they were added.

    Attributes:
        identifier: Unique in the page; the text alternative is found by it.
        title: What the plot is, one phrase.
        description: What it shows, with the key numbers.
        x: The horizontal axis.
        y: The vertical axis.
        height: In units of the drawing.
        width: In the same units.
    """

    identifier: str
    title: str
    description: str
    x: Axis
    y: Axis
    height: float = HEIGHT
    width: float = WIDTH
    marks: list[str] = field(default_factory=list)

    def across(self, values: Numbers) -> Floats:
        """Return horizontal positions in the drawing."""
        return np.asarray(LEFT + (self.width - LEFT - RIGHT) * self.x.place(values))

    def up(self, values: Numbers) -> Floats:
        """Return vertical positions in the drawing."""
        span = self.height - TOP - BOTTOM
        return np.asarray(self.height - BOTTOM - span * self.y.place(values))

    def line(self, x: Numbers, y: Numbers, attributes: Attributes) -> None:
        """Draw a line through points; its numbers travel with it."""
        numbers: Attributes = {"data-x": _numbers(x), "data-y": _numbers(y)}
        self.marks.append(
            element(
                "polyline",
                "",
                {"points": self._points(x, y), "fill": "none", **attributes, **numbers},
            )
        )

    def guide(self, x: Numbers, y: Numbers) -> None:
        """Draw a thin line that carries no data: a diagonal, a threshold."""
        self.marks.append(element("polyline", "", {"points": self._points(x, y), "class": "guide"}))

    def band(self, x: Numbers, low: Numbers, high: Numbers, attributes: Attributes) -> None:
        """Fill between two curves; its numbers travel with it."""
        xs, lows, highs = (np.asarray(v, dtype=np.float64) for v in (x, low, high))
        points = self._points(np.concatenate([xs, xs[::-1]]), np.concatenate([lows, highs[::-1]]))
        numbers: Attributes = {
            "data-x": _numbers(xs),
            "data-low": _numbers(lows),
            "data-high": _numbers(highs),
        }
        self.marks.append(element("polygon", "", {"points": points, **attributes, **numbers}))

    def dot(
        self,
        x: float,
        y: float,
        attributes: Attributes,
        *,
        low: float = math.nan,
        high: float = math.nan,
        radius: float = 3.4,
        tip: str = "",
    ) -> None:
        """Draw a dot with a vertical interval, and words for whoever points at it."""
        cx, cy = float(self.across(x)), float(self.up(y))
        css = str(attributes.get("class", ""))
        if not (math.isnan(low) or math.isnan(high)):
            ends: Attributes = {
                "x1": _short(cx), "x2": _short(cx),
                "y1": _short(float(self.up(low))), "y2": _short(float(self.up(high))),
                "class": f"whisker {css}", "data-low": low, "data-high": high,
            }  # fmt: skip
            self.marks.append(element("line", "", ends))
        place: Attributes = {"cx": _short(cx), "cy": _short(cy), "r": _short(radius)}
        data: Attributes = {"data-x": x, "data-y": y}
        inside = element("title", text(tip)) if tip else ""
        self.marks.append(
            element("circle", inside, {**place, **attributes, "class": f"dot {css}", **data})
        )

    def bar(
        self, left: float, right: float, top: float, attributes: Attributes, *, tip: str = ""
    ) -> None:
        """Draw a bar from the axis up to ``top``."""
        x0, x1 = (float(v) for v in self.across([left, right]))
        y0, y1 = (float(v) for v in self.up([self.y.low, top]))
        gap = min(1.0, (x1 - x0) * 0.08)
        box: Attributes = {
            "x": _short(x0 + gap), "y": _short(y1),
            "width": _short(max(x1 - x0 - 2 * gap, 0.1)), "height": _short(max(y0 - y1, 0.0)),
            "data-left": left, "data-right": right, "data-y": top,
        }  # fmt: skip
        inside = element("title", text(tip)) if tip else ""
        self.marks.append(element("rect", inside, {**box, **attributes}))

    def render(self) -> str:
        """Return the SVG element."""
        title_id, desc_id = f"{self.identifier}-t", f"{self.identifier}-d"
        words = element("title", text(self.title, longest=400), {"id": title_id}) + element(
            "desc", text(self.description, longest=2000), {"id": desc_id}
        )
        frame: Attributes = {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {self.width:g} {self.height:g}",
            "role": "img",
            "class": "plot" if self.width <= WIDTH else "plot broad",
            "id": self.identifier,
            "aria-labelledby": f"{title_id} {desc_id}",
        }
        return element("svg", words + self._axes() + "".join(self.marks), frame)

    def _points(self, x: Numbers, y: Numbers) -> str:
        pairs = np.stack([self.across(x), self.up(y)], axis=-1)
        return " ".join(f"{_short(a)},{_short(b)}" for a, b in pairs.tolist())

    def _axes(self) -> str:
        parts = []
        bottom, right = self.height - BOTTOM, self.width - RIGHT
        for tick, at in zip(self.y.marks(), self.up(self.y.marks()).tolist(), strict=True):
            y = _short(at)
            parts.append(f'<line class="grid" x1="{LEFT:g}" x2="{right:g}" y1="{y}" y2="{y}"/>')
            label = text(tick_label(tick, self.y))
            parts.append(f'<text x="{LEFT - 6:g}" y="{y}" dy=".32em" class="end">{label}</text>')
        for tick, at in zip(self.x.marks(), self.across(self.x.marks()).tolist(), strict=True):
            x = _short(at)
            parts.append(
                f'<line class="tick" x1="{x}" x2="{x}" y1="{bottom:g}" y2="{bottom + 4:g}"/>'
                f'<text x="{x}" y="{bottom + 16:g}" class="mid">{text(tick_label(tick, self.x))}</text>'
            )
        middle = (LEFT + right) / 2
        half = (TOP + bottom) / 2
        parts.append(
            f'<line class="axis" x1="{LEFT:g}" x2="{right:g}" y1="{bottom:g}" y2="{bottom:g}"/>'
            f'<text x="{middle:g}" y="{self.height - 6:g}" class="mid name">{text(self.x.label)}</text>'
            f'<text transform="translate(11 {half:g}) rotate(-90)" class="mid name">'
            f"{text(self.y.label)}</text>"
        )
        return "".join(parts)


def tick_label(tick: float, axis: Axis) -> str:
    """Return a tick's text, with as many decimals as its neighbours need.

    Example:
        >>> tick_label(0.2, Axis("x", 0, 1)), tick_label(10_000.0, Axis("x", 1, 1e5, log=True))
        ('0.2', '10k')
    """
    if abs(tick) >= 1000:
        power = min(int(math.log10(abs(tick)) // 3), 4)
        return number(tick / 1000**power, _decimals_of(tick / 1000**power)) + " kMGT"[power].strip()
    marks = axis.marks() if not axis.log else (tick,)
    return number(tick, max(_decimals_of(t) for t in marks))


def strip(
    identifier: str,
    title: str,
    axis: Axis,
    dots: Sequence[tuple[float, float, float, str]],
    *,
    guide: float | None = None,
) -> str:
    """Return a one-line drawing: a dot and its interval on a shared horizontal axis.

    Args:
        identifier: Unique in the page.
        title: The text alternative, with the numbers.
        axis: Shared by the lines of a table, so that they compare.
        dots: Value, low, high and CSS class of each.
        guide: Where a reference stands: zero, or one half.
    """
    width, height = 240.0, 22.0
    middle = height / 2

    def at(value: float) -> str:
        return _short(6 + (width - 12) * float(axis.place(value)))

    parts = [element("title", text(title, longest=400), {"id": f"{identifier}-t"})]
    parts.append(f'<line class="grid" x1="0" x2="{width:g}" y1="{middle:g}" y2="{middle:g}"/>')
    if guide is not None:
        parts.append(
            f'<line class="zero" x1="{at(guide)}" x2="{at(guide)}" y1="1" y2="{height - 1:g}"/>'
        )
    for value, low, high, css in dots:
        if not (math.isnan(low) or math.isnan(high)):
            parts.append(
                f'<line class="whisker {css}" x1="{at(low)}" x2="{at(high)}" y1="{middle:g}" '
                f'y2="{middle:g}" data-low="{low!r}" data-high="{high!r}"/>'
            )
        if math.isfinite(value):
            parts.append(
                f'<circle class="dot {css}" cx="{at(value)}" cy="{middle:g}" r="4" data-x="{value!r}"/>'
            )
    frame: Attributes = {
        "xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {width:g} {height:g}",
        "role": "img", "class": "strip", "id": identifier, "aria-labelledby": f"{identifier}-t",
    }  # fmt: skip
    return element("svg", "".join(parts), frame)


def _numbers(values: Numbers) -> str:
    return " ".join(map(repr, np.asarray(values, dtype=np.float64).tolist()))


def _short(value: float) -> str:
    """Return a coordinate to a hundredth of a unit: finer than any screen."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _decimals_of(value: float) -> int:
    written = f"{value:.6f}".rstrip("0")
    return len(written.partition(".")[2])
