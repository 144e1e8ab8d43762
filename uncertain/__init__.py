"""Predictions as distributions, and one honest judge for all of them.

Sub-packages load on first use, so ``import uncertain`` costs no more than ``import numpy``:

>>> import uncertain
>>> uncertain.evaluation.__name__
'uncertain.evaluation'
"""

import importlib
from types import ModuleType

__version__ = "0.1.0"

_SUBPACKAGES = frozenset(
    {
        "baselines",
        "benchmark",
        "checks",
        "data",
        "discrepancy",
        "evaluation",
        "families",
        "fit",
        "gp",
        "intervals",
        "keyed",
        "predictive",
        "wasserstein",
    }
)


def __getattr__(name: str) -> ModuleType:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_SUBPACKAGES | set(globals()))
