"""One honest judge for all predictions: every figure with its interval, on plain arrays.

===========================  ======================================================================
to do                        function
===========================  ======================================================================
judge predictions            :func:`evaluate` (arrays or torch), :func:`evaluate_files`
bring predictions in         :class:`Predictions`, :func:`from_distribution`, :func:`read_predictions`
record features, logits      :func:`collect`, :class:`Collected`, :func:`save_collected`,
                             :func:`load_collected`
take results out             :class:`Results`, :func:`write_report`, :func:`write_rows`
score torch distributions    :func:`nll`, :func:`brier`, :func:`crps`, :func:`interval_score`
figures of classes           :func:`accuracy`, :func:`ece`, :func:`ece_null`, :func:`ece_debiased`,
                             :func:`rms_calibration_error_debiased`, :func:`smooth_ece`,
                             :func:`smooth_ece_null`, :func:`adaptive_calibration_error`,
                             :func:`calibration_tests`, :func:`score_decomposition`; all of them:
                             :func:`classification_estimates`
figures of numbers           :func:`central_interval`, :func:`coverage`, :func:`pit_ks`,
                             :func:`pit_histogram`, :func:`randomised_pit`,
                             :func:`quantile_calibration_error`; all of them: :func:`regression_estimates`
scores of ranks and grids    :func:`ranked_probability_scores`, :func:`grid_spacing`,
                             :func:`log_cell_probabilities`
rows or targets together     :func:`joint_nll`, :func:`dyadic_blocks`, :func:`energy_scores`
rank by uncertainty          :func:`uncertainty_scores`, :func:`ranking_estimates`,
                             :func:`area_under_roc`, :func:`average_precision`,
                             :func:`false_positive_rate`
doubt the two parts          :func:`disentangle`, with :class:`Retraining`
promise a risk               :func:`control_risk`, :func:`learn_then_test`,
                             :func:`control_selective_risk`
abstain by uncertainty       :func:`area_under_generalised_risk_coverage`,
                             :func:`area_under_risk_coverage`,
                             :func:`excess_area_under_risk_coverage`,
                             :func:`risk_at_coverage`, :func:`coverage_at_risk`,
                             :func:`scod_cost`
calibrate after training     :func:`fit_temperature` and more in
                             :mod:`uncertain.evaluation.calibrators`
promise a coverage           :func:`evaluate_conformal` and more in
                             :mod:`uncertain.evaluation.conformal`
stream and shard             :class:`RankHistogram`, :class:`RankState`, :func:`reduce_states`
compare models               :func:`compare`, :func:`compare_files`, :func:`verdicts`,
                             :func:`paired_mean`, :func:`compare_methods`,
                             :func:`ranking_differences`, :func:`paired_bootstrap`
hold a model to rules        :func:`check_rules`, :func:`check_baseline`
doubt a judgement            :func:`audit`, :func:`audit_files`
===========================  ======================================================================

``nll`` and ``brier`` here score torch distributions row by row and are differentiable; the figures
with an interval, of arrays, are in :mod:`uncertain.evaluation.classification`.

The core knows no model and no torch; names load on first use, so that judging a file starts fast.

>>> import uncertain.evaluation
>>> uncertain.evaluation.Results.__name__
'Results'
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uncertain.evaluation.auditing import AuditReport as AuditReport
    from uncertain.evaluation.auditing import Finding as Finding
    from uncertain.evaluation.auditing import audit as audit
    from uncertain.evaluation.auditing import audit_files as audit_files
    from uncertain.evaluation.baseline import check_baseline as check_baseline
    from uncertain.evaluation.calibration import (
        adaptive_calibration_error as adaptive_calibration_error,
    )
    from uncertain.evaluation.calibration import ece as ece
    from uncertain.evaluation.calibration import ece_debiased as ece_debiased
    from uncertain.evaluation.calibration import ece_null as ece_null
    from uncertain.evaluation.calibration import (
        rms_calibration_error_debiased as rms_calibration_error_debiased,
    )
    from uncertain.evaluation.calibrators import fit_bbq as fit_bbq
    from uncertain.evaluation.calibrators import fit_beta as fit_beta
    from uncertain.evaluation.calibrators import fit_dirichlet as fit_dirichlet
    from uncertain.evaluation.calibrators import fit_histogram_binning as fit_histogram_binning
    from uncertain.evaluation.calibrators import fit_isotonic as fit_isotonic
    from uncertain.evaluation.calibrators import fit_matrix as fit_matrix
    from uncertain.evaluation.calibrators import (
        fit_quantile_recalibration as fit_quantile_recalibration,
    )
    from uncertain.evaluation.calibrators import fit_scale as fit_scale
    from uncertain.evaluation.calibrators import fit_temperature as fit_temperature
    from uncertain.evaluation.calibrators import fit_vector as fit_vector
    from uncertain.evaluation.calibrators import fit_venn_abers as fit_venn_abers
    from uncertain.evaluation.calibrators import load_calibrator as load_calibrator
    from uncertain.evaluation.calibrators import save_calibrator as save_calibrator
    from uncertain.evaluation.classification import accuracy as accuracy
    from uncertain.evaluation.classification_report import (
        classification_estimates as classification_estimates,
    )
    from uncertain.evaluation.collected import Collected as Collected
    from uncertain.evaluation.collected import load_collected as load_collected
    from uncertain.evaluation.collected import save_collected as save_collected
    from uncertain.evaluation.comparing import compare as compare
    from uncertain.evaluation.comparing import compare_stored as compare_stored
    from uncertain.evaluation.comparing import verdicts as verdicts
    from uncertain.evaluation.comparing_files import compare_files as compare_files
    from uncertain.evaluation.comparison import compare_methods as compare_methods
    from uncertain.evaluation.comparison import paired_mean as paired_mean
    from uncertain.evaluation.comparison_bootstrap import paired_bootstrap as paired_bootstrap
    from uncertain.evaluation.comparison_bootstrap import (
        ranking_differences as ranking_differences,
    )
    from uncertain.evaluation.conformal import conformal_rows as conformal_rows
    from uncertain.evaluation.conformal import coverage_p_value as coverage_p_value
    from uncertain.evaluation.conformal import evaluate_conformal as evaluate_conformal
    from uncertain.evaluation.conformal import fit_aps as fit_aps
    from uncertain.evaluation.conformal import fit_cqr as fit_cqr
    from uncertain.evaluation.conformal import fit_normalised_residuals as fit_normalised_residuals
    from uncertain.evaluation.conformal import fit_raps as fit_raps
    from uncertain.evaluation.conformal import fit_thr as fit_thr
    from uncertain.evaluation.corp import score_decomposition as score_decomposition
    from uncertain.evaluation.cumulative_calibration import calibration_tests as calibration_tests
    from uncertain.evaluation.discrete_pit import randomised_pit as randomised_pit
    from uncertain.evaluation.disentanglement import Retraining as Retraining
    from uncertain.evaluation.disentanglement import disentangle as disentangle
    from uncertain.evaluation.disentanglement import rating_entropy as rating_entropy
    from uncertain.evaluation.distributed import reduce_states as reduce_states
    from uncertain.evaluation.distributions import from_distribution as from_distribution
    from uncertain.evaluation.files import evaluate_files as evaluate_files
    from uncertain.evaluation.gate import GateFailedError as GateFailedError
    from uncertain.evaluation.gate import check_rules as check_rules
    from uncertain.evaluation.joint import dyadic_blocks as dyadic_blocks
    from uncertain.evaluation.joint import energy_scores as energy_scores
    from uncertain.evaluation.joint import joint_nll as joint_nll
    from uncertain.evaluation.judge import evaluate as evaluate
    from uncertain.evaluation.ordinal import grid_spacing as grid_spacing
    from uncertain.evaluation.ordinal import log_cell_probabilities as log_cell_probabilities
    from uncertain.evaluation.ordinal import (
        ranked_probability_scores as ranked_probability_scores,
    )
    from uncertain.evaluation.pit import pit_histogram as pit_histogram
    from uncertain.evaluation.predictions import Predictions as Predictions
    from uncertain.evaluation.predictions import RepeatedRowsWarning as RepeatedRowsWarning
    from uncertain.evaluation.provenance import versions as versions
    from uncertain.evaluation.quantile_calibration import pit_ks as pit_ks
    from uncertain.evaluation.quantile_calibration import (
        quantile_calibration_error as quantile_calibration_error,
    )
    from uncertain.evaluation.ranking import (
        area_under_generalised_risk_coverage as area_under_generalised_risk_coverage,
    )
    from uncertain.evaluation.ranking import (
        area_under_risk_coverage as area_under_risk_coverage,
    )
    from uncertain.evaluation.ranking import area_under_roc as area_under_roc
    from uncertain.evaluation.ranking import average_precision as average_precision
    from uncertain.evaluation.ranking import coverage_at_risk as coverage_at_risk
    from uncertain.evaluation.ranking import (
        excess_area_under_risk_coverage as excess_area_under_risk_coverage,
    )
    from uncertain.evaluation.ranking import false_positive_rate as false_positive_rate
    from uncertain.evaluation.ranking import rank_curve as rank_curve
    from uncertain.evaluation.ranking import ranking_estimates as ranking_estimates
    from uncertain.evaluation.ranking import risk_at_coverage as risk_at_coverage
    from uncertain.evaluation.ranking_histogram import RankHistogram as RankHistogram
    from uncertain.evaluation.ranking_state import RankState as RankState
    from uncertain.evaluation.readers import read_predictions as read_predictions
    from uncertain.evaluation.recording import collect as collect
    from uncertain.evaluation.regression import central_interval as central_interval
    from uncertain.evaluation.regression import coverage as coverage
    from uncertain.evaluation.regression import regression_estimates as regression_estimates
    from uncertain.evaluation.report import write_report as write_report
    from uncertain.evaluation.results import Results as Results
    from uncertain.evaluation.risk_control import Controlled as Controlled
    from uncertain.evaluation.risk_control import control_risk as control_risk
    from uncertain.evaluation.risk_control import control_selective_risk as control_selective_risk
    from uncertain.evaluation.risk_control import learn_then_test as learn_then_test
    from uncertain.evaluation.row import Row as Row
    from uncertain.evaluation.rows import write_rows as write_rows
    from uncertain.evaluation.scod import scod_cost as scod_cost
    from uncertain.evaluation.scores import brier as brier
    from uncertain.evaluation.scores import crps as crps
    from uncertain.evaluation.scores import interval_score as interval_score
    from uncertain.evaluation.scores import nll as nll
    from uncertain.evaluation.smooth_calibration import smooth_ece as smooth_ece
    from uncertain.evaluation.smooth_calibration import smooth_ece_null as smooth_ece_null
    from uncertain.evaluation.uncertainty import uncertainty_scores as uncertainty_scores

_HOMES = {
    "AuditReport": "auditing",
    "Collected": "collected",
    "Controlled": "risk_control",
    "Finding": "auditing",
    "GateFailedError": "gate",
    "Predictions": "predictions",
    "RankHistogram": "ranking_histogram",
    "RankState": "ranking_state",
    "RepeatedRowsWarning": "predictions",
    "Results": "results",
    "Retraining": "disentanglement",
    "Row": "row",
    "accuracy": "classification",
    "adaptive_calibration_error": "calibration",
    "area_under_generalised_risk_coverage": "ranking",
    "area_under_risk_coverage": "ranking",
    "area_under_roc": "ranking",
    "audit": "auditing",
    "audit_files": "auditing",
    "average_precision": "ranking",
    "brier": "scores",
    "calibration_tests": "cumulative_calibration",
    "central_interval": "regression",
    "check_baseline": "baseline",
    "check_rules": "gate",
    "classification_estimates": "classification_report",
    "collect": "recording",
    "compare": "comparing",
    "compare_files": "comparing_files",
    "compare_methods": "comparison",
    "compare_stored": "comparing",
    "conformal_rows": "conformal",
    "control_risk": "risk_control",
    "control_selective_risk": "risk_control",
    "coverage": "regression",
    "coverage_at_risk": "ranking",
    "coverage_p_value": "conformal",
    "crps": "scores",
    "disentangle": "disentanglement",
    "dyadic_blocks": "joint",
    "ece": "calibration",
    "ece_debiased": "calibration",
    "ece_null": "calibration",
    "energy_scores": "joint",
    "evaluate": "judge",
    "evaluate_conformal": "conformal",
    "evaluate_files": "files",
    "excess_area_under_risk_coverage": "ranking",
    "false_positive_rate": "ranking",
    "fit_aps": "conformal",
    "fit_bbq": "calibrators",
    "fit_beta": "calibrators",
    "fit_cqr": "conformal",
    "fit_dirichlet": "calibrators",
    "fit_histogram_binning": "calibrators",
    "fit_isotonic": "calibrators",
    "fit_matrix": "calibrators",
    "fit_normalised_residuals": "conformal",
    "fit_quantile_recalibration": "calibrators",
    "fit_raps": "conformal",
    "fit_scale": "calibrators",
    "fit_temperature": "calibrators",
    "fit_thr": "conformal",
    "fit_vector": "calibrators",
    "fit_venn_abers": "calibrators",
    "from_distribution": "distributions",
    "grid_spacing": "ordinal",
    "interval_score": "scores",
    "joint_nll": "joint",
    "learn_then_test": "risk_control",
    "load_calibrator": "calibrators",
    "load_collected": "collected",
    "log_cell_probabilities": "ordinal",
    "nll": "scores",
    "paired_bootstrap": "comparison_bootstrap",
    "paired_mean": "comparison",
    "pit_histogram": "pit",
    "pit_ks": "quantile_calibration",
    "quantile_calibration_error": "quantile_calibration",
    "randomised_pit": "discrete_pit",
    "rank_curve": "ranking",
    "ranked_probability_scores": "ordinal",
    "ranking_differences": "comparison_bootstrap",
    "ranking_estimates": "ranking",
    "rating_entropy": "disentanglement",
    "read_predictions": "readers",
    "reduce_states": "distributed",
    "regression_estimates": "regression",
    "risk_at_coverage": "ranking",
    "rms_calibration_error_debiased": "calibration",
    "save_calibrator": "calibrators",
    "save_collected": "collected",
    "scod_cost": "scod",
    "score_decomposition": "corp",
    "smooth_ece": "smooth_calibration",
    "smooth_ece_null": "smooth_calibration",
    "uncertainty_scores": "uncertainty",
    "verdicts": "comparing",
    "versions": "provenance",
    "write_report": "report",
    "write_rows": "rows",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
        value = getattr(module, name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
