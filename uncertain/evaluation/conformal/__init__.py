"""Conformal prediction: sets and intervals that cover with a stated probability, whatever the model.

=====================================  ============================================================
to get                                 function
=====================================  ============================================================
sets of classes                        :func:`fit_thr`, :func:`fit_aps`, :func:`fit_raps`
intervals of numbers                   :func:`fit_cqr`, :func:`fit_normalised_residuals`
coverage for each group                ``groups=`` of any of them
coverage where inputs have shifted     ``weights=`` of any of them
coverage and size, judged              :func:`evaluate_conformal`, :func:`conformal_rows`,
                                       :func:`coverage_p_value`
=====================================  ============================================================

A fit takes predictions on calibration rows, not a model: those of any framework will do.
"""

from uncertain.evaluation.conformal.intervals import (
    ConformalIntervals,
    fit_cqr,
    fit_normalised_residuals,
)
from uncertain.evaluation.conformal.judging import (
    conformal_rows,
    coverage_p_value,
    evaluate_conformal,
)
from uncertain.evaluation.conformal.scores import Scores, calibration_scores
from uncertain.evaluation.conformal.sets import ConformalSets, fit_aps, fit_raps, fit_thr

__all__ = [
    "ConformalIntervals",
    "ConformalSets",
    "Scores",
    "calibration_scores",
    "conformal_rows",
    "coverage_p_value",
    "evaluate_conformal",
    "fit_aps",
    "fit_cqr",
    "fit_normalised_residuals",
    "fit_raps",
    "fit_thr",
]
