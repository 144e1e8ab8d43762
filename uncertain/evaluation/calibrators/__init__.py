"""Calibration after training: fitted values whose call maps predictions to predictions.

=============================================  =====================================================
to calibrate                                   function
=============================================  =====================================================
predictions of classes, by one number          :func:`fit_temperature`
raw logits, by a number or a row a class       :func:`fit_vector`, :func:`fit_matrix`
predictions of classes, each class by all      :func:`fit_dirichlet`
predictions of classes, each class alone       :func:`fit_beta`, :func:`fit_isotonic`,
                                               :func:`fit_histogram_binning`, :func:`fit_bbq`,
                                               :func:`fit_venn_abers`
predictions of numbers                         :func:`fit_scale`, :func:`fit_quantile_recalibration`
keep one                                       :func:`save_calibrator`, :func:`load_calibrator`
=============================================  =====================================================

Each is fitted on rows that the model was not trained on, and remembers which these were, so that the
judge can tell when it is judged on them.

>>> import numpy as np
>>> from uncertain.families import ArrayDistribution
>>> p = np.array([[0.99, 0.01]] * 20)
>>> fitted = fit_temperature(ArrayDistribution("categorical", {"probs": p}), [0] * 17 + [1] * 3)
>>> fitted(ArrayDistribution("categorical", {"probs": p[:1]})).parameters["logits"]
array([[-0.16..., -1.89...]])
"""

from uncertain.evaluation.calibrators.bbq import fit_bbq
from uncertain.evaluation.calibrators.beta import fit_beta
from uncertain.evaluation.calibrators.calibrator import Calibrator
from uncertain.evaluation.calibrators.dirichlet import Dirichlet, fit_dirichlet
from uncertain.evaluation.calibrators.histogram import fit_histogram_binning
from uncertain.evaluation.calibrators.isotonic import fit_isotonic
from uncertain.evaluation.calibrators.logits import LogitScaling, fit_matrix, fit_vector
from uncertain.evaluation.calibrators.one_vs_rest import OneVersusRest
from uncertain.evaluation.calibrators.recalibration import (
    QuantileRecalibration,
    fit_quantile_recalibration,
)
from uncertain.evaluation.calibrators.saving import load_calibrator, save_calibrator
from uncertain.evaluation.calibrators.scale import Scale, fit_scale
from uncertain.evaluation.calibrators.temperature import Temperature, fit_temperature
from uncertain.evaluation.calibrators.venn_abers import fit_venn_abers

__all__ = [
    "Calibrator",
    "Dirichlet",
    "LogitScaling",
    "OneVersusRest",
    "QuantileRecalibration",
    "Scale",
    "Temperature",
    "fit_bbq",
    "fit_beta",
    "fit_dirichlet",
    "fit_histogram_binning",
    "fit_isotonic",
    "fit_matrix",
    "fit_quantile_recalibration",
    "fit_scale",
    "fit_temperature",
    "fit_vector",
    "fit_venn_abers",
    "load_calibrator",
    "save_calibrator",
]
