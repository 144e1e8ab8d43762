r"""Thresholds with a guarantee: choose how cautious to be so that a risk stays below what is allowed.

A family of decisions is indexed by thresholds :math:`\lambda_1` to :math:`\lambda_T`, from the boldest to
the most cautious; :math:`L_i(\lambda_t)` is what row i loses. Rows are exchangeable with those to come.

- :func:`control_risk`, in expectation, for losses that never rise with caution:
  :math:`\hat\lambda = \min\{\lambda : \frac{n}{n+1} \hat R(\lambda) + \frac{B}{n+1} \le \alpha\}` gives
  :math:`\mathbb{E} L(\hat\lambda) \le \alpha`.
- :func:`learn_then_test`, with high probability, for any losses in [0, 1]: every threshold whose null
  hypothesis :math:`R(\lambda) > \alpha` is rejected at family-wise level :math:`\delta`.
- :func:`control_selective_risk`, with high probability, for abstaining: the largest share of rows to
  answer such that at most :math:`\alpha` of the answers are wrong.

Axis letters: ``N`` rows, ``T`` thresholds.

References:
    Angelopoulos, Bates, Fisch, Lei, Schuster, Conformal risk control, ICLR (2024), theorem 1.
    Angelopoulos, Bates, Candès, Jordan, Lei, Learn then test: calibrating predictive algorithms to
    achieve risk control, Annals of Applied Statistics (2025), proposition 5.
    Geifman, El-Yaniv, Selective classification for deep neural networks, NeurIPS (2017).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain import checks


@dataclass(frozen=True)
class Controlled:
    """A threshold, and what it promises.

    Attributes:
        threshold: The boldest one that keeps the promise; NaN where none does.
        allowed: The risk it is promised to stay below.
        confidence: With which probability over calibration rows; NaN for a promise in expectation.
        risk: The observed risk at the threshold; NaN where there is none.
        coverage: Share of the rows that are answered, for abstaining; else 1, and 0 where there is
            no threshold.
        n: Calibration rows.
        reason: Why there is no threshold.

    Example:
        >>> control_risk(np.zeros((3, 2)), [0.0, 1.0], allowed=0.1).reason
        '3 rows are too few: at least 9'
    """

    threshold: float
    allowed: float
    confidence: float
    risk: float
    coverage: float
    n: int
    reason: str = ""


def control_risk(
    losses: ArrayLike, thresholds: ArrayLike, *, allowed: float, bound: float = 1.0
) -> Controlled:
    r"""Return the boldest threshold whose expected loss on a new row is at most ``allowed``.

    Args:
        losses: (N, T), each row never rising from the first threshold to the last; in
            (-inf, ``bound``].
        thresholds: (T,) strictly monotone, the boldest first.
        allowed: :math:`\alpha`, below ``bound``.
        bound: B, the largest loss there can be.

    Returns:
        The threshold; without one where even the most cautious loses too much, or rows are too few.

    Raises:
        ValueError: Wrong shapes, NaN, losses above the bound or rising with caution.

    Example:
        Sets of all classes with a probability of at least 1 - t miss the label when p(label) < 1 - t:

        >>> p_label = np.array([0.9, 0.8, 0.6, 0.95, 0.4, 0.7, 0.85, 0.9, 0.99])
        >>> t = np.linspace(0, 1, 101)
        >>> chosen = control_risk(p_label[:, None] < 1 - t, t, allowed=0.2)
        >>> round(chosen.threshold, 2), round(chosen.risk, 3)
        (0.4, 0.111)
    """
    values, at = _checked(losses, thresholds)
    checks.check_range("allowed", allowed, high=bound, open_high=True)
    checks.check_range("losses", values, high=bound)
    rises = (np.diff(values, axis=1) > 0).any(axis=1)
    if rises.any():
        raise ValueError(
            f"`losses` should never rise with caution, got {int(rises.sum())} of {len(values)} rows "
            "that do: order the thresholds from bold to cautious, or use `learn_then_test`."
        )
    n = len(values)
    risk = values.mean(axis=0)
    kept = np.flatnonzero((n * risk + bound) / (n + 1) <= allowed)
    if not len(kept):
        least = math.ceil(bound / allowed - 1) if allowed > 0 else 0
        few = n < least
        reason = f"{n} rows are too few: at least {least}" if few else "the risk is never so low"
        return Controlled(math.nan, allowed, math.nan, math.nan, 0.0, n, reason)
    first = int(kept[0])
    return Controlled(float(at[first]), allowed, math.nan, float(risk[first]), 1.0, n)


def learn_then_test(
    losses: ArrayLike, thresholds: ArrayLike, *, allowed: float, confidence: float = 0.9
) -> NDArray[np.bool_]:
    r"""Return the thresholds whose risk is at most ``allowed``, all of them with one confidence.

    p-values are Hoeffding-Bentkus's, or the exact binomial where losses are 0 or 1; Holm's method
    holds the chance that *any* returned threshold exceeds the allowed risk to ``1 - confidence``. One
    may then choose among them by any other criterion.

    Args:
        losses: (N, T) in [0, 1], in any order of thresholds.
        thresholds: (T,), only their number is used.
        allowed: :math:`\alpha`, in (0, 1).
        confidence: :math:`1 - \delta`, in (0, 1).

    Returns:
        (T,) booleans.

    Raises:
        ValueError: Wrong shapes, NaN, or losses outside [0, 1].

    Example:
        >>> losses = np.zeros((100, 3))
        >>> losses[:30, 0] = losses[:9, 1] = 1
        >>> learn_then_test(losses, [0.1, 0.2, 0.3], allowed=0.2, confidence=0.95)
        array([False,  True,  True])
    """
    from uncertain.intervals import holm

    values = np.asarray(losses, dtype=np.float64)
    checks.check_shape("losses", values, ("N", len(np.asarray(thresholds))))
    checks.check_not_empty("losses", values)
    checks.check_range("losses", values, 0, 1)
    _check_shares(allowed, confidence)
    return np.asarray(holm(risk_p_values(values, allowed)) <= 1 - confidence)


def control_selective_risk(
    scores: ArrayLike, wrong: ArrayLike, *, allowed: float, confidence: float = 0.9
) -> Controlled:
    r"""Return up to which uncertainty to answer, so that few of the answers are wrong.

    Thresholds are tried from the most cautious on, at a fixed grid of coverages, each by the exact
    binomial test of ``error among the answered > allowed``, until the first that can't be rejected: a
    fixed sequence needs no correction. Unlike the risk-coverage curve, the promise holds for new rows
    with the stated confidence.

    Args:
        scores: (N,) uncertainty, larger is less certain; rows up to the threshold are answered.
        wrong: (N,) booleans: whether the answer would be wrong.
        allowed: Share of the answers that may be wrong, in (0, 1).
        confidence: In (0, 1).

    Returns:
        The threshold, the observed share of wrong answers and the share of rows answered.

    Raises:
        ValueError: Wrong shapes, NaN, or values out of range.

    Example:
        >>> scores = np.arange(1000) / 1000
        >>> chosen = control_selective_risk(scores, scores > 0.7, allowed=0.05, confidence=0.95)
        >>> 0.7 < chosen.threshold < 0.75, chosen.risk < 0.05
        (True, True)
    """
    s, w = np.asarray(scores, dtype=np.float64), np.asarray(wrong)
    checks.check_shape("scores", s, ("N",))
    checks.check_not_empty("scores", s)
    checks.check_same_length(scores=s, wrong=w)
    if np.isnan(s).any():
        raise ValueError(f"`scores` should not be NaN, got {int(np.isnan(s).sum())} rows that are.")
    if w.dtype != np.bool_:
        raise TypeError(f"`wrong` should be booleans, got dtype {w.dtype}.")
    _check_shares(allowed, confidence)
    order = np.argsort(s, kind="stable")
    ordered, errors = s[order], np.cumsum(w[order])
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    grid = ends[_coverages(ends, len(s))]
    p_values = _binomial_below(errors[grid], grid + 1, allowed)
    failed = np.flatnonzero(p_values > 1 - confidence)
    # The most cautious thresholds have too few rows to reject anything: start where one could.
    start = int(
        np.argmax(_binomial_below(np.zeros(len(grid)), grid + 1, allowed) <= 1 - confidence)
    )
    failed = failed[failed >= start]
    stop = int(failed[0]) if len(failed) else len(grid)
    could = (1 - allowed) ** (grid[start] + 1) <= 1 - confidence
    if stop == start or not could:
        least = math.ceil(math.log(1 - confidence) / math.log1p(-allowed))
        reason = (
            "the most certain rows are wrong too often"
            if could
            else f"{len(s)} rows are too few: at least {least}"
        )
        return Controlled(math.nan, allowed, confidence, math.nan, 0.0, len(s), reason)
    last = int(grid[stop - 1])
    share = (last + 1) / len(s)
    return Controlled(
        float(ordered[last]), allowed, confidence, float(errors[last] / (last + 1)), share, len(s)
    )


def risk_p_values(losses: NDArray[np.float64], allowed: float) -> NDArray[np.float64]:
    r"""Return valid p-values of :math:`R(\lambda_t) > \alpha`, (T,).

    .. math:: p = \min\big(e^{-n h(\min(\hat R, \alpha), \alpha)},\;
              e P(\mathrm{Bin}(n, \alpha) \le \lceil n \hat R \rceil)\big),

    with h the binary relative entropy; where all losses are 0 or 1 the exact binomial tail.

    Example:
        >>> risk_p_values(np.zeros((10, 1)), 0.5) == 0.5**10
        array([ True])
    """
    n = len(losses)
    total = losses.sum(axis=0)
    exact = np.isin(losses, (0.0, 1.0)).all(axis=0)
    tail = _binomial_below(np.ceil(total - 1e-9), np.full(len(total), n), allowed)
    mean = np.minimum(total / n, allowed)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = np.where(mean > 0, mean * np.log(mean / allowed), 0.0) + (1 - mean) * np.log(
            (1 - mean) / (1 - allowed)
        )
    hoeffding = np.exp(-n * entropy)
    bound = np.minimum(hoeffding, np.e * tail)
    return np.asarray(np.where(exact, tail, np.minimum(bound, 1.0)), dtype=np.float64)


def _binomial_below(
    count: NDArray[np.generic], n: NDArray[np.generic], p: float
) -> NDArray[np.float64]:
    from scipy.special import bdtr

    # bdtr(k, n) of k = n is 1 and of k < 0 is 0, as it should be.
    return np.asarray(bdtr(np.asarray(count, np.float64), np.asarray(n, np.int64), p), np.float64)


def _coverages(ends: NDArray[np.intp], n: int) -> NDArray[np.intp]:
    """Return places in ``ends`` nearest below each hundredth of the rows, each once."""
    wanted = np.ceil(n * np.arange(1, 101) / 100) - 1
    places = np.searchsorted(ends, wanted, side="right") - 1
    return np.unique(places[places >= 0]).astype(np.intp)


def _checked(
    losses: ArrayLike, thresholds: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    at = np.asarray(thresholds, dtype=np.float64)
    checks.check_shape("thresholds", at, ("T",))
    checks.check_not_empty("thresholds", at)
    checks.check_finite("thresholds", at)
    values = np.asarray(losses, dtype=np.float64)
    checks.check_shape("losses", values, ("N", len(at)))
    checks.check_not_empty("losses", values)
    checks.check_finite("losses", values)
    steps = np.diff(at)
    if len(steps) and not ((steps > 0).all() or (steps < 0).all()):
        raise ValueError("`thresholds` should rise or fall throughout, got both or equal ones.")
    return values, at


def _check_shares(allowed: float, confidence: float) -> None:
    checks.check_range("allowed", allowed, 0, 1, open_low=True, open_high=True)
    checks.check_range("confidence", confidence, 0, 1, open_low=True, open_high=True)
