"""Predictions as torch distributions: ``uncertain.predictive.X`` is the public name.

A predictor is any callable ``x -> torch.distributions.Distribution`` over the target, with
``batch_shape == (len(x),)``. What is here builds such distributions, asks them things torch cannot
answer, splits their uncertainty, runs predictors over data, and stores both.

Names load on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uncertain.predictive.arrays import from_arrays, to_arrays
    from uncertain.predictive.classes import class_log_probs, class_probs
    from uncertain.predictive.decomposition import Decomposition, decompose
    from uncertain.predictive.densities import cdf, entropy, log_prob, quantile
    from uncertain.predictive.marginals import DirichletCategorical, GaussianMarginal
    from uncertain.predictive.mixtures import mixture
    from uncertain.predictive.parts import Parts, parts
    from uncertain.predictive.rows import concat, marginals, select
    from uncertain.predictive.sampled import Empirical, Quantiles

_MODULES = {
    "Decomposition": "decomposition",
    "DirichletCategorical": "marginals",
    "Empirical": "sampled",
    "GaussianMarginal": "marginals",
    "Parts": "parts",
    "Quantiles": "sampled",
    "cdf": "densities",
    "class_log_probs": "classes",
    "class_probs": "classes",
    "concat": "rows",
    "decompose": "decomposition",
    "entropy": "densities",
    "from_arrays": "arrays",
    "log_prob": "densities",
    "marginals": "rows",
    "mixture": "mixtures",
    "parts": "parts",
    "quantile": "densities",
    "select": "rows",
    "to_arrays": "arrays",
}

__all__ = [
    "Decomposition",
    "DirichletCategorical",
    "Empirical",
    "GaussianMarginal",
    "Parts",
    "Quantiles",
    "cdf",
    "class_log_probs",
    "class_probs",
    "concat",
    "decompose",
    "entropy",
    "from_arrays",
    "log_prob",
    "marginals",
    "mixture",
    "parts",
    "quantile",
    "select",
    "to_arrays",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*_MODULES, *globals()})
