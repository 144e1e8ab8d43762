"""When a test is failed. The thresholds are ours, but for the first; the page on them says why.

A failed row's ``reason`` starts with ``red:``; the report colours it.
"""

from __future__ import annotations

import math

from uncertain.intervals import Estimate

RED_CORRELATION = 0.8
"""Above it the two parts rank rows alike, so that one of them says nothing of its own."""
RED_SLOPE_RATIO = 0.5
"""How much of the epistemic part's fall with N the aleatoric part may share."""
RED_SHARE = 0.25
"""How much of injected noise may be taken for ignorance, or turn up where none was injected."""
RED = "red: "


def correlation(estimate: Estimate) -> str:
    """Judge the rank correlation of the two parts.

    Example:
        >>> correlation(Estimate(0.93, 0.91, 0.95, 100))
        'red: the parts rank rows alike (above 0.8)'
    """
    if estimate.value > RED_CORRELATION:
        return f"{RED}the parts rank rows alike (above {RED_CORRELATION})"
    return ""


def epistemic_slope(estimate: Estimate) -> str:
    """Judge the slope of log epistemic against log N: it should be surely below 0."""
    if estimate.value >= 0:
        return f"{RED}ignorance does not fall with more rows"
    if not estimate.high < 0:
        return f"{RED}ignorance does not surely fall with more rows (the interval reaches 0)"
    return ""


def aleatoric_slope(estimate: Estimate, epistemic: Estimate) -> str:
    """Judge the slope of log aleatoric against log N: it should be small beside the other one."""
    sure = estimate.low > 0 or estimate.high < 0
    allowed = RED_SLOPE_RATIO * abs(epistemic.value) if math.isfinite(epistemic.value) else 0.0
    if sure and abs(estimate.value) > allowed:
        return f"{RED}noise changes with the number of rows (by over {RED_SLOPE_RATIO} of ignorance's slope)"
    return ""


def noise_noticed(estimate: Estimate) -> str:
    """Judge the rise of the aleatoric part where noise was injected: it should be surely above 0."""
    return "" if estimate.low > 0 else f"{RED}the injected noise is not surely noticed"


def share(estimate: Estimate, what: str) -> str:
    """Judge how much of the injected noise went elsewhere.

    Example:
        >>> share(Estimate(0.4, 0.3, 0.5, 5), "is taken for ignorance")
        'red: over 0.25 of the injected noise is taken for ignorance'
    """
    if abs(estimate.value) > RED_SHARE:
        return f"{RED}over {RED_SHARE} of the injected noise {what}"
    return ""


def ratings(estimate: Estimate) -> str:
    """Judge the rank correlation of noise with the raters' disagreement: surely above 0."""
    return "" if estimate.low > 0 else f"{RED}noise does not surely follow the raters' disagreement"


def ratings_gain(estimate: Estimate) -> str:
    """Judge whether noise follows the raters better than ignorance does."""
    return "" if estimate.value > 0 else f"{RED}ignorance follows the raters as well as noise does"
