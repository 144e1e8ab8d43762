"""Gaussian processes whose inputs are bent by other Gaussian processes, to be read afterwards.

What one would pick instead stands beside them. Those models are made of GPyTorch's parts, so their
names load on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

from uncertain.gp.botorch import to_botorch
from uncertain.gp.deformation import Deformation
from uncertain.gp.direct import DirectDeformation
from uncertain.gp.encoded import EncodedInputs
from uncertain.gp.encoding import Columns, Fill
from uncertain.gp.exact_thin_deep_gp import ExactThinDeepGP
from uncertain.gp.factors import NotPositiveDefiniteError
from uncertain.gp.fitting import Fitted, fit
from uncertain.gp.laplace import Peak, laplace_posterior
from uncertain.gp.layered import LayeredThinDeepGP
from uncertain.gp.plans import Phase
from uncertain.gp.projected import ProjectedDeformation
from uncertain.gp.psi_statistics import psi1, psi2, psi2_forms
from uncertain.gp.reading import MetricField
from uncertain.gp.sampled import SampledThinDeepGP
from uncertain.gp.sampling import Sampled, sample_posterior, usual_priors
from uncertain.gp.thin_deep_gp import ThinDeepGP

if TYPE_CHECKING:
    from uncertain.gp.compositional import CompositionalDeepGP
    from uncertain.gp.deep_kernel import DeepKernelGP
    from uncertain.gp.exact import ExactGP
    from uncertain.gp.nonstationary import NonstationaryGP
    from uncertain.gp.sparse import SparseGP

_ON_FIRST_USE = {
    "CompositionalDeepGP": "compositional",
    "DeepKernelGP": "deep_kernel",
    "ExactGP": "exact",
    "NonstationaryGP": "nonstationary",
    "SparseGP": "sparse",
}

__all__ = [
    "Columns",
    "CompositionalDeepGP",
    "DeepKernelGP",
    "Deformation",
    "DirectDeformation",
    "EncodedInputs",
    "ExactGP",
    "ExactThinDeepGP",
    "Fill",
    "Fitted",
    "LayeredThinDeepGP",
    "MetricField",
    "NonstationaryGP",
    "NotPositiveDefiniteError",
    "Peak",
    "Phase",
    "ProjectedDeformation",
    "Sampled",
    "SampledThinDeepGP",
    "SparseGP",
    "ThinDeepGP",
    "fit",
    "laplace_posterior",
    "psi1",
    "psi2",
    "psi2_forms",
    "sample_posterior",
    "to_botorch",
    "usual_priors",
]


def __getattr__(name: str) -> Any:
    if name in _ON_FIRST_USE:
        return getattr(importlib.import_module(f"{__name__}.{_ON_FIRST_USE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *globals()})
