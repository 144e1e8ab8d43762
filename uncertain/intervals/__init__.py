"""Intervals, standard errors and comparisons, on NumPy only.

==============================  =========================================================================
question                        function
==============================  =========================================================================
a proportion of rows            :func:`wilson`, :func:`proportion`; exact: :func:`clopper_pearson`
a mean of row scores            :func:`mean_t` (from sums), :func:`mean` (rows), :func:`ratio_t` (groups)
an area under the ROC curve     :func:`delong`; two models: :func:`delong_difference`
any function of binned weights  :func:`cell_weights`, :func:`bootstrap_estimate`
a rank correlation              :func:`rank_correlation`, :func:`rank_correlation_difference`
two models on the same rows     :func:`mean` of the differences, :func:`crossed_difference`
several trainings               :func:`crossed`, :func:`over_trainings`
several splits of one data set  :func:`corrected_resampled_t`
several tests at once           :func:`holm`, :func:`rank_groups`
several tasks                   :func:`mean_ranks`, :func:`sign_flip`
==============================  =========================================================================

Everything takes ``weights`` and ``groups`` (the resampling unit) and returns an :class:`Estimate`.
Axis letters: ``N`` rows, ``G`` groups, ``B`` replicates, ``K`` trainings, ``M`` models.
"""

from uncertain.intervals.areas import (
    AreaVariance,
    Placements,
    area_bounds,
    area_variance,
    delong,
    delong_difference,
    hanley_mcneil,
    perfect_area_bound,
    placements,
)
from uncertain.intervals.bootstrap import bootstrap_estimate, cell_weights, gamma_weights
from uncertain.intervals.correlations import rank_correlation, rank_correlation_difference
from uncertain.intervals.crossed import (
    CLAIM_TRAININGS,
    Component,
    Crossed,
    add_components,
    crossed,
    crossed_contrast,
    crossed_difference,
    over_trainings,
)
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
    ratio_sums,
    ratio_t,
    ratio_variance,
    t_estimate,
)
from uncertain.intervals.multiple import holm, rank_groups
from uncertain.intervals.proportions import (
    clopper_pearson,
    design_effect,
    proportion,
    wilson,
    wilson_bounds,
)
from uncertain.intervals.ranks import MeanRanks, mean_ranks, sign_flip
from uncertain.intervals.resampled import corrected_resampled_t

__all__ = [
    "CLAIM_TRAININGS",
    "AreaVariance",
    "Component",
    "Crossed",
    "Estimate",
    "MeanRanks",
    "Placements",
    "add_components",
    "area_bounds",
    "area_variance",
    "bootstrap_estimate",
    "cell_weights",
    "check_level",
    "check_weights",
    "clopper_pearson",
    "corrected_resampled_t",
    "crossed",
    "crossed_contrast",
    "crossed_difference",
    "delong",
    "delong_difference",
    "design_effect",
    "effective_rows",
    "gamma_weights",
    "group_ids",
    "hanley_mcneil",
    "holm",
    "mean",
    "mean_ranks",
    "mean_t",
    "normal_quantile",
    "normal_two_sided",
    "over_trainings",
    "perfect_area_bound",
    "placements",
    "proportion",
    "rank_correlation",
    "rank_correlation_difference",
    "rank_groups",
    "ratio_sums",
    "ratio_t",
    "ratio_variance",
    "sign_flip",
    "t_estimate",
    "t_quantile",
    "t_two_sided",
    "undefined",
    "wilson",
    "wilson_bounds",
]
