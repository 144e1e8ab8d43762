r"""Are ranks uniform? Simultaneous bands for their distribution function, and an exact test.

Of R ranks among L draws, the count below j is binomial with chance :math:`j / (L + 1)` under
uniformity. The statistic is the smallest two-sided binomial tail over all j; its law is had by
drawing uniform ranks, so that the test is exact up to Monte Carlo, and the bands that are its
acceptance region hold at all j together.

References:
    Säilynoja, Bürkner and Vehtari, Graphical test for discrete uniformity and its applications in
    goodness-of-fit evaluation and multiple sample comparison, Statistics and Computing (2022).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain.checks import check_finite, check_not_empty, check_range, check_shape
from uncertain.intervals import check_level

Floats = NDArray[np.float64]


class RankTest(NamedTuple):
    """The distribution of ranks beside its bands.

    Attributes:
        p_value: Chance of ranks so far from uniform, if they were.
        at: :math:`j / (L + 1)` for j from 1 to L, (L,).
        share: Share of ranks below j, (L,).
        low: Lower end of the simultaneous band, (L,).
        high: Upper end, (L,).
    """

    p_value: float
    at: Floats
    share: Floats
    low: Floats
    high: Floats

    @property
    def outside(self) -> int:
        """How many of the L points leave the band."""
        return int(np.sum((self.share < self.low - 1e-12) | (self.share > self.high + 1e-12)))


def uniform_rank_test(
    ranks: ArrayLike,
    draws: int,
    *,
    level: float = 0.95,
    replicates: int = 2000,
    seed: int = 0,
) -> RankTest:
    """Test whether ranks are uniform on 0, ..., L.

    Args:
        ranks: (R,) whole numbers from 0 to ``draws``.
        draws: L, the draws that ranks are among.
        level: Chance that all points of uniform ranks lie within the band.
        replicates: Draws of uniform ranks behind the law.
        seed: Of these.

    Raises:
        ValueError: Ranks outside the range, or no whole numbers.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> uniform_rank_test(rng.integers(0, 20, 200), 19).p_value > 0.05
        True
        >>> uniform_rank_test(rng.binomial(19, 0.5, 200), 19).p_value < 0.001
        True
    """
    check_level(level)
    check_range("draws", draws, 1)
    check_range("replicates", replicates, 100)
    r = np.asarray(ranks)
    check_not_empty("ranks", r)
    check_shape("ranks", r, ("R",))
    check_finite("ranks", r)
    check_range("ranks", r, 0, draws)
    if np.any(r != np.floor(r)):
        raise ValueError("`ranks` should be whole numbers, got fractions.")
    tails = _tails(len(r), draws)
    counts = np.searchsorted(np.sort(r), np.arange(1, draws + 1), side="left")
    statistic = tails[np.arange(draws), counts].min()
    rng = np.random.default_rng([seed, 0x5BC])
    shares = np.full(draws + 1, 1 / (draws + 1))
    null = rng.multinomial(len(r), shares, replicates)[:, :draws].cumsum(axis=1)
    least = tails[np.arange(draws), null].min(axis=1)
    # Rounding must not make a tail less than itself.
    p_value = (1 + np.sum(least <= statistic * (1 + 1e-9))) / (replicates + 1)
    cut = float(np.quantile(least, 1 - level, method="lower")) * (1 - 1e-9)
    inside = tails >= cut
    low = inside.argmax(axis=1) / len(r)
    high = (len(r) - inside[:, ::-1].argmax(axis=1)) / len(r)
    at = np.arange(1, draws + 1) / (draws + 1)
    return RankTest(float(p_value), at, counts / len(r), low, high)


def _tails(count: int, draws: int) -> Floats:
    """Return the two-sided tail of each count 0..R at each j, (L, R + 1)."""
    from scipy.special import bdtr, bdtrc

    k = np.arange(count + 1, dtype=np.float64)
    chance = (np.arange(1, draws + 1) / (draws + 1))[:, None]
    upto = bdtr(k, count, chance)
    over = np.concatenate([np.ones((draws, 1)), bdtrc(k[:-1], count, chance)], axis=1)
    return np.asarray(np.minimum(1.0, 2 * np.minimum(upto, over)))
