"""The ranks of a simulation-based calibration as a page: one drawing a parameter, with its bands."""

from __future__ import annotations

from uncertain import atomic
from uncertain.evaluation.bayesian.simulation import SimulationCalibration
from uncertain.evaluation.formatting import p_text
from uncertain.evaluation.report.html import clean, element, name, paragraph, text
from uncertain.evaluation.report.page import document
from uncertain.evaluation.report.svg import Axis, Plot


def write_calibration(
    found: SimulationCalibration, path: atomic.StrPath, *, title: str = "Simulation calibration"
) -> None:
    """Write the rank distributions, less the diagonal, with simultaneous bands, as one HTML page.

    Args:
        found: From :func:`~uncertain.evaluation.bayesian.simulation_based_calibration`.
        path: Where to; written whole or not at all.
        title: The page's heading.

    Raises:
        OSError: Where the page can't be written.
    """
    words = (
        "passes: no parameter's ranks leave uniformity"
        if found.passes
        else "fails: draws are not from the posterior that was asked for"
    )
    count = len(next(iter(found.ranks.values())))
    lead = (
        f"{count} simulations, ranks among {found.draws} draws; at {100 * found.level:g} % for all "
        f"parameters together it {words}."
    )
    if found.short:
        lead += f" {found.short} simulations have fewer effective draws than half of those kept."
    note = (
        "The line is the share of ranks below, less the share that uniform ranks have; the grey band "
        "holds all its points together. A rise then a fall are draws too narrow or shifted."
    )
    figures = "".join(
        element("figure", _drawing(found, key, i)) for i, key in enumerate(found.tests)
    )
    body = element("header", element("h1", name(title)), {"class": "masthead"}) + element(
        "main",
        paragraph(text(lead, longest=1000))
        + paragraph(note, "note")
        + element("div", figures, {"class": "panels"}),
    )
    atomic.write_text(path, document(title, body))


def _drawing(found: SimulationCalibration, key: str, place: int) -> str:
    test = found.tests[key]
    low, high, gap = test.low - test.at, test.high - test.at, test.share - test.at
    reach = 1.1 * max(abs(v) for ends in (low, high, gap) for v in ends)
    words = f"p = {p_text(found.p_values[key])} (Holm), {test.outside} of {len(gap)} points outside"
    plot = Plot(
        f"sbc{place}",
        f"Ranks of {clean(key)}",
        words,
        Axis("rank, as a share", 0, 1),
        Axis("share below, less uniform", -reach, reach),
    )
    plot.band(test.at, low, high, {"class": "null"})
    plot.guide([0, 1], [0, 0])
    plot.line(
        test.at, gap, {"class": "line s0", "data-plot": "ranks", "data-parameter": clean(key)}
    )
    return element("h4", name(key)) + plot.render() + element("figcaption", text(words))
