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
    from uncertain.predictive.composition import Parts, parts
    from uncertain.predictive.decomposition import Decomposition, decompose
    from uncertain.predictive.densities import cdf, entropy, log_prob, quantile
    from uncertain.predictive.driver import Predictor, predict, predict_to_file
    from uncertain.predictive.estimators import EstimatorPredictor, from_sklearn
    from uncertain.predictive.files import StoredPredictions, load_predictions, save_predictions
    from uncertain.predictive.gaussian_processes import from_gpytorch
    from uncertain.predictive.integrated import (
        DirichletCategorical,
        GaussianMarginal,
        StudentTMarginal,
    )
    from uncertain.predictive.mixtures import mixture
    from uncertain.predictive.provenance import FittedOn, fitted_on
    from uncertain.predictive.quiet import import_quietly
    from uncertain.predictive.recipes import Arguments, constructor_arguments
    from uncertain.predictive.rows import concat, marginals, select
    from uncertain.predictive.sampled import Empirical, Quantiles
    from uncertain.predictive.saving import load, save

_MODULES = {
    "Arguments": "recipes",
    "Decomposition": "decomposition",
    "DirichletCategorical": "integrated",
    "Empirical": "sampled",
    "EstimatorPredictor": "estimators",
    "FittedOn": "provenance",
    "GaussianMarginal": "integrated",
    "Parts": "composition",
    "Predictor": "driver",
    "Quantiles": "sampled",
    "StoredPredictions": "files",
    "StudentTMarginal": "integrated",
    "cdf": "densities",
    "class_log_probs": "classes",
    "class_probs": "classes",
    "concat": "rows",
    "constructor_arguments": "recipes",
    "decompose": "decomposition",
    "entropy": "densities",
    "fitted_on": "provenance",
    "from_arrays": "arrays",
    "from_gpytorch": "gaussian_processes",
    "from_sklearn": "estimators",
    "import_quietly": "quiet",
    "load": "saving",
    "load_predictions": "files",
    "log_prob": "densities",
    "marginals": "rows",
    "mixture": "mixtures",
    "parts": "composition",
    "predict": "driver",
    "predict_to_file": "driver",
    "quantile": "densities",
    "save": "saving",
    "save_predictions": "files",
    "select": "rows",
    "to_arrays": "arrays",
}

__all__ = [
    "Arguments",
    "Decomposition",
    "DirichletCategorical",
    "Empirical",
    "EstimatorPredictor",
    "FittedOn",
    "GaussianMarginal",
    "Parts",
    "Predictor",
    "Quantiles",
    "StoredPredictions",
    "StudentTMarginal",
    "cdf",
    "class_log_probs",
    "class_probs",
    "concat",
    "constructor_arguments",
    "decompose",
    "entropy",
    "fitted_on",
    "from_arrays",
    "from_gpytorch",
    "from_sklearn",
    "import_quietly",
    "load",
    "load_predictions",
    "log_prob",
    "marginals",
    "mixture",
    "parts",
    "predict",
    "predict_to_file",
    "quantile",
    "save",
    "save_predictions",
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
