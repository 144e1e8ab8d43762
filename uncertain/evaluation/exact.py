r"""Sums of floating-point numbers without rounding: the same bits for any batching, order or shard.

A float is a whole number times a power of two, so a sum of floats is one too. :class:`ExactSum`
keeps that whole number in limbs of 32 bits: limb ``k`` counts units of :math:`2^{32k}`. A chunk is
split limb by limb, largest first,

.. math:: q = \mathrm{trunc}(x\,2^{-32k}), \qquad x \leftarrow x - q\,2^{32k},

where both lines are exact in float64, and the ``q`` of at most :math:`2^{20}` rows sum to less than
:math:`2^{53}`, so NumPy may add them in any order. Rounding happens once, when the total is read.

References:
    Kulisch and Snyder, The exact dot product as basic tool for long interval arithmetic, Computing
    (2011). Neal, Fast exact summation using small and large superaccumulators (2015).
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain.checks import check_range, check_shape

LIMB_BITS = 32
CHUNK = 1 << 14
"""Rows at a time: three float64 buffers of this length stay in the second-level cache."""

MAX_CHUNK = 1 << 20
_LOWEST = -34
"""2^(32 * -34) is below the smallest subnormal, 2^-1074."""
_CARRY_AFTER = 1 << 30
"""Rows added before the carries are moved up: 2^30 rows of 2^32 units stay inside an int64."""


class ExactSum:
    """Exact sums of float64 values, one or one for each of ``G`` groups.

    ``+inf`` is counted apart and makes the total infinite; ``-inf`` and NaN are errors. States
    merge to the bits that one pass over all rows gives.

    Args:
        groups: Number of groups ``G``.

    Attributes:
        groups: ``G``.
        infinite: Infinite values seen, int64, (G,).

    Example:
        Rounding loses the one; an exact sum keeps it, in any order.

        >>> values = np.array([1e16, 1.0, -1e16])
        >>> float(values.sum()), ExactSum().update(values).total()
        (0.0, 1.0)
    """

    def __init__(self, groups: int = 1) -> None:
        check_range("groups", groups, 1)
        self.groups = groups
        self.infinite: NDArray[np.int64] = np.zeros(groups, np.int64)
        self._limbs: dict[int, NDArray[np.int64]] = {}
        self._rows = 0

    def update(self, values: ArrayLike, index: NDArray[np.integer] | None = None) -> ExactSum:
        """Add values.

        Args:
            values: (N,), any floating or integer dtype that float64 holds.
            index: The group of each value, (N,), integers from 0 to ``G - 1``; needed where there
                is more than one group.

        Returns:
            The state itself.

        Raises:
            ValueError: For NaN, ``-inf``, a wrong shape or an index out of range.
        """
        array = np.asarray(values)
        check_shape("values", array, ("N",))
        if index is not None:
            index = np.asarray(index)
            check_shape("index", index, (len(array),), hint="one group for each value")
            check_range("index", index, 0, self.groups - 1)
        elif self.groups > 1:
            raise ValueError(
                f"`index` should give the group of each value, got None for {self.groups} groups."
            )
        # A state of many groups pays for its length once a chunk, so its chunks are longer.
        step = min(max(CHUNK, self.groups), MAX_CHUNK)
        for start in range(0, len(array), step):
            part = slice(start, start + step)
            self._add(array[part].astype(np.float64), None if index is None else index[part])
        return self

    def merge(self, other: ExactSum) -> ExactSum:
        """Add another state of as many groups to this one.

        Raises:
            ValueError: Where the numbers of groups differ.
        """
        if other.groups != self.groups:
            raise ValueError(
                f"`other` should have {self.groups} groups to merge, got {other.groups}."
            )
        # After its carries a state's limbs are at most 2^31: any number of merges fits.
        other._carry()
        self._carry()
        for level, limb in other._limbs.items():
            self._limb(level)[...] += limb
        self.infinite += other.infinite
        return self

    def fraction(self, group: int = 0) -> Fraction:
        """Return the exact sum of a group's finite values."""
        whole = 0
        for level, limb in self._limbs.items():
            whole += int(limb[group]) << (LIMB_BITS * (level - _LOWEST))
        return Fraction(whole, 1 << (-LIMB_BITS * _LOWEST))

    def total(self, group: int = 0) -> float:
        """Return a group's sum, rounded once; ``inf`` where an infinite value was added."""
        return float("inf") if self.infinite[group] else _rounded(self.fraction(group))

    def totals(self) -> NDArray[np.float64]:
        """Return the sums of all groups, rounded once each, (G,)."""
        return np.array([self.total(group) for group in range(self.groups)])

    def _add(self, x: NDArray[np.float64], index: NDArray[np.integer] | None) -> None:
        largest = float(np.abs(x).max())
        if not np.isfinite(largest):
            x = self._set_aside(x, index)
            largest = float(np.abs(x).max())
        self._rows += len(x)
        if self._rows > _CARRY_AFTER:
            self._carry()
            self._rows += len(x)
        level = (int(np.frexp(largest)[1]) - 1) // LIMB_BITS
        while largest:
            quotient = _scale(x, -LIMB_BITS * level)
            np.trunc(quotient, out=quotient)  # never away from zero: that could overflow
            if index is None:
                self._limb(level)[0] += np.int64(quotient.sum())
            else:
                sums = np.bincount(index, weights=quotient, minlength=self.groups)
                self._limb(level)[...] += sums.astype(np.int64)
            x -= _scale(quotient, LIMB_BITS * level)
            largest = float(np.abs(x).max())
            level -= 1

    def _set_aside(
        self, x: NDArray[np.float64], index: NDArray[np.integer] | None
    ) -> NDArray[np.float64]:
        infinite = x == np.inf
        bad = ~(infinite | np.isfinite(x))
        if bad.any():
            raise ValueError(
                f"`values` should be numbers above -inf, got {x[np.argmax(bad)]} "
                f"({int(bad.sum())} of {len(x)} values)."
            )
        if index is None:
            self.infinite[0] += int(infinite.sum())
        else:
            self.infinite += np.bincount(index[infinite], minlength=self.groups)
        return np.where(infinite, 0.0, x)

    def _limb(self, level: int) -> NDArray[np.int64]:
        if level not in self._limbs:
            self._limbs[level] = np.zeros(self.groups, np.int64)
        return self._limbs[level]

    def _carry(self) -> None:
        """Move what exceeds 31 bits up one limb, rounded to nearest so that small negatives stay."""
        level = min(self._limbs, default=0)
        while level in self._limbs or level < max(self._limbs, default=level):
            limb = self._limb(level)
            carry = (limb + (1 << (LIMB_BITS - 1))) >> LIMB_BITS
            if carry.any():
                limb -= carry << LIMB_BITS
                self._limb(level + 1)[...] += carry
            level += 1
        self._rows = 1


def exact_sum(values: ArrayLike) -> float:
    """Return the sum of ``values``, rounded once.

    Example:
        >>> exact_sum(np.full(10, 0.1))
        1.0
    """
    return ExactSum().update(values).total()


def _scale(x: NDArray[np.float64], exponent: int) -> NDArray[np.float64]:
    """Return ``x * 2**exponent``: exact here, as the caller keeps the result in range."""
    if -1000 <= exponent <= 1000:
        return x * 2.0**exponent
    return np.ldexp(x, exponent)


def _rounded(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
