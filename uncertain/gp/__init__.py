"""Gaussian processes whose inputs are bent by other Gaussian processes, to be read afterwards."""

from uncertain.gp.factors import NotPositiveDefiniteError
from uncertain.gp.psi_statistics import psi1, psi2, psi2_forms

__all__ = ["NotPositiveDefiniteError", "psi1", "psi2", "psi2_forms"]
