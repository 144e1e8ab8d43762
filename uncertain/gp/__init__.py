"""Gaussian processes whose inputs are bent by other Gaussian processes, to be read afterwards."""

from uncertain.gp.deformation import Deformation
from uncertain.gp.encoded import EncodedInputs
from uncertain.gp.encoding import Columns, Fill
from uncertain.gp.factors import NotPositiveDefiniteError
from uncertain.gp.fitting import Fitted, fit
from uncertain.gp.layered import LayeredThinDeepGP
from uncertain.gp.plans import Phase
from uncertain.gp.psi_statistics import psi1, psi2, psi2_forms
from uncertain.gp.reading import MetricField
from uncertain.gp.thin_deep_gp import ThinDeepGP

__all__ = [
    "Columns",
    "Deformation",
    "EncodedInputs",
    "Fill",
    "Fitted",
    "LayeredThinDeepGP",
    "MetricField",
    "NotPositiveDefiniteError",
    "Phase",
    "ThinDeepGP",
    "fit",
    "psi1",
    "psi2",
    "psi2_forms",
]
