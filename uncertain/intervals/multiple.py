"""Many comparisons at once: Holm's p-values."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain.checks import check_range, check_shape


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return Holm's adjusted p-values: rejecting those below alpha keeps false alarms below alpha.

    The chance of even one false rejection is at most alpha under any dependence.

    Args:
        p_values: (K,) in [0, 1]. NaN marks a comparison that could not be made: it stays NaN and
            counts for nothing.

    Returns:
        (K,) adjusted p-values, in the order given.

    References:
        Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statistics (1979).

    Example:
        >>> holm([0.01, 0.04, 0.03])
        array([0.03, 0.06, 0.06])
    """
    p = np.asarray(p_values, dtype=np.float64)
    check_shape("p_values", p, ("K",))
    made = ~np.isnan(p)
    check_range("p_values", p[made], 0, 1)
    found = p[made]
    order = np.argsort(found, kind="stable")
    steps = found[order] * np.arange(len(found), 0, -1)
    adjusted = np.empty_like(found)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1) if len(found) else steps
    out = np.full_like(p, np.nan)
    out[made] = adjusted
    return out
