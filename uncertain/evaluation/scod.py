r"""Abstaining where both kinds of trouble come: mistakes, and rows the model was not made for.

Accept rows from the smallest score on until a share b of the in-distribution weight is rejected. What
was accepted wrongly costs

.. math:: (1 - \gamma)\, P_\text{in}(\text{wrong, accepted}) + \gamma\, P_\text{out}(\text{accepted}),

the objective of selective classification with out-of-distribution detection (SCOD) at a budget. Each
share is of its own side, so the figure does not depend on how many strange rows were collected. Here
:math:`\gamma = 1/2` and b = 5 %: from 0 to 1, lower is better. Rows that tie with the threshold are
accepted in part, all by the same share, which is the mean over their orders.

References:
    Xia and Bouganis, Augmenting softmax information for selective classification with
    out-of-distribution data, ACCV (2022): the task.
    Narasimhan, Menon, Jitkrittum and Kumar, Plugin estimators for selective classification with
    out-of-distribution detection, ICLR (2024): the cost at a budget.

Axis letters: ``N`` rows, ``B`` replicates.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain import checks
from uncertain.evaluation.ranking_bootstrap import score_bins
from uncertain.intervals import (
    Estimate,
    bootstrap_estimate,
    cell_weights,
    check_level,
    check_weights,
    effective_rows,
    group_ids,
    undefined,
    wilson_bounds,
)
from uncertain.intervals.areas import check_no_nan

_KINDS = 3
"""Right, wrong, strange."""


def scod_cost(
    scores: ArrayLike,
    wrong: ArrayLike,
    strange: ArrayLike,
    *,
    rejected: float = 0.05,
    strange_cost: float = 0.5,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
    replicates: int = 1000,
) -> Estimate:
    """Return the cost of what is accepted, with a bootstrap interval.

    Args:
        scores: (N,) without NaN, larger = less certain, of both sides.
        wrong: (N,) booleans: mistakes; of strange rows it is not read.
        strange: (N,) booleans: out-of-distribution rows.
        rejected: b, share of the in-distribution weight that is rejected, in [0, 1).
        strange_cost: What accepting a strange row costs, in [0, 1]; a mistake costs the rest.
        weights: Non-negative row weights, (N,).
        groups: Resampling unit of each row, (N,).
        level: Nominal coverage.
        seed: Of the bootstrap.
        replicates: Of the bootstrap.

    Returns:
        The estimate: never narrower than the two accepted shares' Wilson intervals, combined as
        independent. Undefined where a side has no rows.

    Raises:
        ValueError: For NaN, wrong lengths or values out of range.

    Example:
        >>> found = scod_cost([1, 2, 3, 4], [0, 0, 0, 0], [0, 0, 1, 1], rejected=0.5)
        >>> found.value                           # one row is accepted, and it is right
        0.0
    """
    check_level(level)
    checks.check_range("rejected", rejected, 0, 1, open_high=True)
    checks.check_range("strange_cost", strange_cost, 0, 1)
    checks.check_range("replicates", replicates, 10)
    x, out = np.asarray(scores, dtype=np.float64), np.asarray(strange, dtype=bool)
    checks.check_shape("scores", x, ("N",))
    check_no_nan("scores", x)  # infinities are in order
    checks.check_same_length(scores=x, wrong=wrong, strange=out, weights=weights, groups=groups)
    w = check_weights(weights, len(x))
    n_groups = None if groups is None else int(group_ids(groups).max(initial=-1)) + 1
    for side, name in ((~out, "in-distribution"), (out, "strange")):
        if not w[side].any():
            reason = f"no {name} rows"
            return undefined(reason, n=len(x), level=level, n_groups=n_groups)
    kind = np.where(out, 2, np.asarray(wrong, dtype=bool)).astype(np.intp)
    order = np.lexsort((w, kind, x) if groups is None else (group_ids(groups), w, kind, x))
    x, kind, w = x[order], kind[order], w[order]
    labels = None if groups is None else np.asarray(groups)[order]
    sizes = [
        effective_rows(w[side], groups=None if labels is None else labels[side])
        for side in (kind < 2, kind == 2)
    ]
    ties = np.cumsum(np.append(True, x[1:] != x[:-1])) - 1
    exact = np.bincount(_KINDS * ties + kind, w, _KINDS * (int(ties[-1]) + 1))
    shares = _accepted(exact.reshape(1, -1, _KINDS), rejected)
    cost = np.array([1 - strange_cost, strange_cost])
    bins, _ = score_bins(x, kind == 2, w)
    cells, n_cells = _KINDS * bins + kind, _KINDS * (int(bins[-1]) + 1)
    drawn = cell_weights(
        cells,
        n_cells,
        weights=None if weights is None else w,
        groups=labels,
        replicates=replicates,
        seed=seed,
    )
    totals = np.bincount(cells, w, n_cells).reshape(1, -1, _KINDS)
    value = float((shares @ cost)[0])
    found = bootstrap_estimate(
        value,
        _accepted(drawn.reshape(replicates, -1, _KINDS), rejected) @ cost,
        n=len(x),
        level=level,
        n_groups=n_groups,
        centre=float((_accepted(totals, rejected) @ cost)[0]),
        bounds=(0.0, 1.0),
    )
    return _with_floor(found, shares[0], cost, sizes)


def _accepted(cells: NDArray[Any], rejected: float) -> NDArray[np.float64]:
    """Return the shares accepted and wrong, and accepted and strange, of each replicate, (B, 2).

    Args:
        cells: (B, bins, 3) weights of right, wrong and strange rows in bins of ascending score.
        rejected: Share of the right and wrong weight to reject.
    """
    through = np.cumsum(cells, axis=1, dtype=np.float64)
    inside = through[:, :, 0] + through[:, :, 1]
    target = (1 - rejected) * inside[:, -1]
    place = np.argmax(inside >= target[:, None] * (1 - 1e-12), axis=1)
    rows = np.arange(len(cells))
    last = cells[rows, place].astype(np.float64)
    before = through[rows, place] - last
    held = last[:, 0] + last[:, 1]
    part = (target - before[:, 0] - before[:, 1]) / np.where(held > 0, held, 1.0)
    accepted = before + np.clip(part, 0, 1)[:, None] * last
    return np.stack([accepted[:, 1] / inside[:, -1], accepted[:, 2] / through[:, -1, 2]], axis=1)


def _with_floor(
    found: Estimate, shares: NDArray[np.float64], cost: NDArray[np.float64], sizes: list[float]
) -> Estimate:
    """Widen to the shares' own Wilson intervals, added in squares (Zou and Donner 2008)."""
    if math.isnan(found.low):
        return found
    ends = [
        wilson_bounds(float(share), size, level=found.level)
        for share, size in zip(shares, sizes, strict=True)
    ]
    below = math.hypot(*(c * (s - e[0]) for c, s, e in zip(cost, shares, ends, strict=True)))
    above = math.hypot(*(c * (e[1] - s) for c, s, e in zip(cost, shares, ends, strict=True)))
    return found._replace(
        low=max(0.0, min(found.low, found.value - below)),
        high=min(1.0, max(found.high, found.value + above)),
    )
