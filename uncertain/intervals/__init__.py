"""Intervals, standard errors and comparisons, on NumPy only.

| question | function |
|---|---|
| a proportion of rows | :func:`wilson`, :func:`proportion` |
| a mean of row scores | :func:`mean_t` (from sums), :func:`mean` (from rows), :func:`ratio_t` (from groups) |
| several tests at once | :func:`holm` |

Everything takes ``weights`` and ``groups`` (the resampling unit) and returns an :class:`Estimate`.
Axis letters: ``N`` rows, ``G`` groups, ``B`` replicates, ``K`` trainings or comparisons.
"""

from uncertain.intervals.estimate import (
    Estimate,
    check_level,
    normal_quantile,
    normal_two_sided,
    t_quantile,
    t_two_sided,
    undefined,
)
from uncertain.intervals.means import (
    check_weights,
    effective_rows,
    group_ids,
    mean,
    mean_t,
    proportion,
    ratio_sums,
    ratio_t,
    ratio_variance,
    t_estimate,
    wilson,
    wilson_bounds,
)
from uncertain.intervals.multiple import holm

__all__ = [
    "Estimate",
    "check_level",
    "check_weights",
    "effective_rows",
    "group_ids",
    "holm",
    "mean",
    "mean_t",
    "normal_quantile",
    "normal_two_sided",
    "proportion",
    "ratio_sums",
    "ratio_t",
    "ratio_variance",
    "t_estimate",
    "t_quantile",
    "t_two_sided",
    "undefined",
    "wilson",
    "wilson_bounds",
]
