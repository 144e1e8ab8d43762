r"""Calibration scores and the quantile that makes a set: the core of every conformal method.

With scores :math:`s_1, \ldots, s_n` of calibration rows that are exchangeable with the next one, a set
that holds everything whose score is at most the :math:`\lceil (n + 1)(1 - \alpha) \rceil`-th smallest
covers the next target with a probability of at least :math:`1 - \alpha`. Where that number exceeds n,
only the set of everything does: the threshold is infinite.

Under covariate shift each row counts with the ratio :math:`w(x)` of the densities of its input in the
two places, the new row with its own: the threshold is the smallest score up to which the weights reach
:math:`(1 - \alpha) (\sum_i w_i + w_{n+1})`. Group-conditional thresholds are those of a group's rows.

Axis letters: ``N`` rows.

References:
    Vovk, Gammerman, Shafer, Algorithmic learning in a random world (2005), sections 2 and 4.5.
    Tibshirani, Foygel Barber, Candès, Ramdas, Conformal prediction under covariate shift, NeurIPS
    (2019), corollary 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain import checks
from uncertain.evaluation.calibrators.rows import Float, as_array


@dataclass(frozen=True, eq=False)
class Scores:
    """Calibration scores in increasing order, of everything or of each group.

    Attributes:
        alpha: The share of targets that may be missed.
        values: Group to (n,) scores; the key is ``""`` where there are no groups.
        masses: Group to (n,) running sums of weights; running counts where rows have none.
        grouped: Whether thresholds are those of groups.
        weighted: Whether rows had weights.

    Example:
        >>> scores = calibration_scores(np.arange(1.0, 20.0), alpha=0.1)
        >>> scores.thresholds(2)
        array([18., 18.])
        >>> calibration_scores(np.arange(1.0, 9.0), alpha=0.1).thresholds(1)
        array([inf])
        >>> scores
        Scores(n=19, level=0.9)
    """

    alpha: float
    values: Mapping[str, Float]
    masses: Mapping[str, Float]
    grouped: bool = False
    weighted: bool = False

    def __repr__(self) -> str:
        """Show how many there are, and the share of targets that they are to cover."""
        groups = f", groups={len(self.values)}" if self.grouped else ""
        weighted = ", weighted" if self.weighted else ""
        return f"Scores(n={len(self)}, level={1 - self.alpha:.12g}{groups}{weighted})"

    def __len__(self) -> int:
        return sum(map(len, self.values.values()))

    def thresholds(self, n: int, *, groups: Any = None, weights: Any = None) -> Float:
        """Return the threshold of each of n new rows; infinite where the rows are too few.

        Args:
            n: Number of rows.
            groups: (n,), exactly where the calibration rows had groups. A group that had no
                calibration rows has an infinite threshold.
            weights: (n,) density ratios, exactly where the calibration rows had weights.

        Raises:
            ValueError: Groups or weights are missing, or given where there were none; or negative.
        """
        _check_alike("groups", groups is not None, self.grouped)
        _check_alike("weights", weights is not None, self.weighted)
        own = np.ones(n) if weights is None else _checked_weights(weights, n)
        names = _names(groups, n)
        found = np.full(n, math.inf)
        for name in np.unique(names):
            rows = names == name
            if name in self.values:
                found[rows] = _quantile(self.values[name], self.masses[name], own[rows], self.alpha)
        return found


def calibration_scores(
    scores: Float, *, alpha: float, groups: Any = None, weights: Any = None
) -> Scores:
    """Return scores ready to give thresholds.

    Args:
        scores: (n,), larger is stranger; infinite ones are allowed.
        alpha: The share of targets that may be missed, in (0, 1).
        groups: (n,) group of each row, for thresholds of each group.
        weights: (n,) density ratios, at least 0, for a shift of the inputs.

    Raises:
        ValueError: No rows, NaN, an alpha outside (0, 1), wrong lengths or negative weights.
    """
    checks.check_range("alpha", alpha, 0, 1, open_low=True, open_high=True)
    s = np.asarray(scores, dtype=np.float64)
    checks.check_not_empty("scores", s)
    checks.check_finite("scores", np.where(np.isinf(s), 0.0, s))
    w = np.ones(len(s)) if weights is None else _checked_weights(weights, len(s))
    names = _names(groups, len(s))
    values, masses = {}, {}
    for name in np.unique(names).tolist():
        rows = names == name
        order = np.argsort(s[rows], kind="stable")
        values[name], masses[name] = s[rows][order], np.cumsum(w[rows][order])
    return Scores(alpha, values, masses, groups is not None, weights is not None)


def _quantile(values: Float, masses: Float, own: Float, alpha: float) -> Float:
    wanted = (1 - alpha) * (masses[-1] + own)
    # A rounding error below, so that 0.9 * 20 asks for the 18th of 19.
    place = np.searchsorted(masses, wanted * (1 - 1e-12), side="left")
    out: Float = np.append(values, math.inf)[place]
    return out


def _names(groups: Any, n: int) -> NDArray[Any]:
    if groups is None:
        return np.full(n, "", dtype="<U1")
    array = as_array(groups)
    checks.check_shape("groups", array, (n,), hint="one a row")
    checks.check_finite("groups", array)
    return array.astype(str)


def _checked_weights(weights: Any, n: int) -> Float:
    w = as_array(weights).astype(np.float64)
    checks.check_shape("weights", w, (n,), hint="one density ratio a row")
    checks.check_finite("weights", w)
    checks.check_range("weights", w, 0)
    return w


def _check_alike(name: str, given: bool, expected: bool) -> None:
    if given != expected:
        had, got = ("had them", "none") if expected else ("had none", "them")
        raise ValueError(
            f"`{name}` should be given exactly where the calibration rows had them: these {had}, got "
            f"{got}."
        )
