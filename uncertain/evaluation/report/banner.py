"""What a reader must know before any figure: in red, on top."""

from __future__ import annotations

from uncertain.evaluation.leakage import LEAK, leaks_of
from uncertain.evaluation.report.html import element, name, paragraph, text
from uncertain.evaluation.report.material import Material

MOST = 6


def banner(material: Material) -> str:
    """Return the warning that a source was calibrated on what it is judged on; empty where none was."""
    leaks = leaks_of(material.every.rows)
    if not leaks:
        return ""
    shown = [
        element("li", f"{name(source)}: {text(why.removeprefix(LEAK), longest=400)}.")
        for source, why in list(leaks.items())[:MOST]
    ]
    hidden = len(leaks) - len(shown)
    if hidden > 0:
        shown.append(element("li", f"and {hidden} more."))
    head = element("strong", "Calibrated on the rows that are judged")
    words = (
        "Every figure of these models flatters them, and no comparison with them counts: calibrate on "
        "other rows, and judge again."
    )
    body = head + element("ul", "".join(shown)) + paragraph(words)
    return element("div", body, {"class": "banner", "role": "alert"})
