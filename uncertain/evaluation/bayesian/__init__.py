"""Does the sampler sample, and does the model fit? Diagnostics of anything that gives draws.

==============================================  ============================================
question                                        function
==============================================  ============================================
are the draws from the posterior?               :func:`simulation_based_calibration`
is a row foreseen by the posterior without it?  :func:`psis_loo`; its calibration: :func:`loo_pit`,
                                                :func:`loo_pit_test`
are ranks uniform?                              :func:`uniform_rank_test`
==============================================  ============================================

All take arrays or callables that return arrays: draws of Pyro, of Stan or of a loop in NumPy.

Axis letters: ``R`` simulations, ``L`` kept draws, ``S`` draws of a posterior, ``N`` rows.
"""

from uncertain.evaluation.bayesian.leave_one_out import (
    LeaveOneOut,
    loo_pit,
    loo_pit_test,
    psis_loo,
)
from uncertain.evaluation.bayesian.page import write_calibration
from uncertain.evaluation.bayesian.ranks import RankTest, uniform_rank_test
from uncertain.evaluation.bayesian.simulation import (
    SimulationCalibration,
    simulation_based_calibration,
)

__all__ = [
    "LeaveOneOut",
    "RankTest",
    "SimulationCalibration",
    "loo_pit",
    "loo_pit_test",
    "psis_loo",
    "simulation_based_calibration",
    "uniform_rank_test",
    "write_calibration",
]
