"""Selective prediction where every row is right, or every row is wrong: the score has nothing to rank."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from uncertain.evaluation.ranking_sums import COVERAGES, RISKS, coverage_name, risk_name
from uncertain.intervals import Estimate, effective_rows, proportion, undefined, wilson_bounds


def one_class_estimates(
    values: Mapping[str, float],
    positive: NDArray[np.bool_],
    weights: NDArray[np.float64] | None,
    groups: NDArray[np.generic] | None,
    *,
    level: float,
) -> dict[str, Estimate]:
    """Return the figures of the risk-coverage curve where it is flat, at 0 or at 1.

    AURC and the risks are then exactly 0 or 1 and have the interval of the error rate (of the rows
    accepted, for a risk at a coverage), AUGRC half of it. What compares with an oracle, and the
    coverage at a risk, have no interval: no row says how mistakes would be ranked.

    Args:
        values: The exact figures, by name.
        positive: (N,) whether a row is a mistake.
        weights: (N,) or ``None``.
        groups: (N,) or ``None``.
        level: Nominal coverage.

    Example:
        >>> values = {"aurc": 0.0, "augrc": 0.0, "excess_aurc": 0.0, "coverage_at_1_risk": 1.0}
        >>> found = one_class_estimates(values, np.zeros(9, bool), None, None, level=0.95)
        >>> found["aurc"].high == 2 * found["augrc"].high > 0.2
        True
    """
    if len(positive) == 0:
        return {name: undefined("no rows", level=level) for name in values if name in _NAMES}
    rate = proportion(positive, weights=weights, groups=groups, level=level)
    what = "every row is a mistake" if rate.value == 1 else "no row is a mistake"
    reason = f"{what}: the interval is that of the error rate"
    rows = effective_rows(np.ones(len(positive)) if weights is None else weights, groups=groups)
    found = {}
    for name in (name for name in _NAMES if name in values):
        e = rate._replace(value=values[name], reason=reason)
        if name == "augrc":
            e = e._replace(low=e.low / 2, high=e.high / 2)
        elif name in _RISKS:
            low, high = wilson_bounds(rate.value, _RISKS[name] * rows, level=level)
            e = e._replace(low=min(low, e.low), high=max(high, e.high))
        elif name != "aurc":
            e = e._replace(low=math.nan, high=math.nan, reason=f"{what}: nothing to rank")
        found[name] = e
    return found


_RISKS = {risk_name(c): c for c in COVERAGES}
_NAMES = ("aurc", "augrc", "excess_aurc", *_RISKS, *map(coverage_name, RISKS))
