r"""Several splits of one data set: repetitions that share rows, and so are not independent.

Train and test K times on random splits of the same rows. Any two training parts share most of their
rows, so the K figures are correlated and their plain spread says how much the *split* matters, not
how another data set would have turned out. Nadeau and Bengio take the correlation of two
repetitions to be the share of rows that are tested, and correct the variance of the mean to

.. math::
    \Big(\frac1K + \frac{n_\text{test}}{n_\text{train}}\Big) s^2,

with Student's t on K - 1 degrees of freedom. More splits of the same rows no longer make the
interval as short as one likes.

References:
    Nadeau and Bengio, Inference for the generalization error, Machine Learning 52 (2003): the
    corrected resampled t-test.
    Bouckaert and Frank, Evaluating the replicability of significance tests for comparing learning
    algorithms, PAKDD (2004).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from uncertain.checks import check_finite, check_range, check_shape
from uncertain.intervals.estimate import NAN, Estimate, check_level, undefined
from uncertain.intervals.means import t_estimate


def corrected_resampled_t(
    values: ArrayLike,
    *,
    test_share: float,
    level: float = 0.95,
    n: int = 0,
    null: float | None = None,
) -> Estimate:
    r"""Return the mean of one figure a split, with the corrected resampled t interval.

    Args:
        values: (K,) one figure, or one difference of two models, a split of the same rows.
        test_share: Share of all rows that each split tests, :math:`n_\text{test} / (n_\text{train} +
            n_\text{test})`, in (0, 1).
        level: Nominal coverage.
        n: Rows behind each figure.
        null: A value to test against; 0 for differences.

    Returns:
        The estimate over new rows and new trainings on as many rows (``over="both"``); undefined
        for fewer than two splits.

    Raises:
        ValueError: Where a value is not finite, or ``test_share`` is out of range.

    References:
        Nadeau and Bengio, Inference for the generalization error, Machine Learning 52 (2003).

    Example:
        >>> e = corrected_resampled_t([0.1, 0.2, 0.3], test_share=0.1, null=0.0)
        >>> plain = 4.302653 * 0.1 / 3**0.5
        >>> round(e.margin / plain, 4), round((1 + 3 / 9) ** 0.5, 4)
        (1.1547, 1.1547)
    """
    x = np.asarray(values, dtype=np.float64)
    check_shape("values", x, ("K",))
    check_finite("values", x)
    check_level(level)
    check_range("test_share", test_share, 0, 1, open_low=True, open_high=True)
    if len(x) < 2:
        value = float(x[0]) if len(x) else NAN
        reason = "one split has no spread" if len(x) else "no splits"
        return undefined(reason, value=value, n=n, level=level, over="both")
    correlation_odds = test_share / (1 - test_share)
    variance = float(x.var(ddof=1)) * (1 / len(x) + correlation_odds)
    return t_estimate(
        float(x.mean()), variance, len(x) - 1, n=n, level=level, null=null, over="both"
    )
