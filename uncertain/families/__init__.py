"""The table of distribution families, on NumPy: predictions as plain arrays, without torch.

An :class:`ArrayDistribution` holds N predictions of one family (or N mixtures of S members of it);
the functions below answer for all rows at once, in float64: ``log_prob``, ``cdf``, ``quantile``,
``entropy``, ``mean``, ``variance``, ``crps``, ``pit``, ``pit_bounds``, ``sample``,
``class_probabilities``, ``decompose``, ``select``, ``concat`` and the Arrow table. What a family cannot answer raises a
``TypeError`` that says why.

Axis letters: N rows, S members, T targets, C classes, K points, Q levels.
"""

from .distribution import ArrayDistribution, log_softmax
from .operations import (
    cdf,
    class_log_probabilities,
    class_probabilities,
    crps,
    decompose,
    entropy,
    log_prob,
    mean,
    pit,
    pit_bounds,
    quantile,
    sample,
    variance,
)
from .rows import concat, marginals, select
from .storage import FORMAT_VERSION, from_table, to_table
from .structure import Family, Parameter, Undefined
from .table import FAMILIES

__all__ = [
    "FAMILIES",
    "FORMAT_VERSION",
    "ArrayDistribution",
    "Family",
    "Parameter",
    "Undefined",
    "cdf",
    "class_log_probabilities",
    "class_probabilities",
    "concat",
    "crps",
    "decompose",
    "entropy",
    "from_table",
    "log_prob",
    "log_softmax",
    "marginals",
    "mean",
    "pit",
    "pit_bounds",
    "quantile",
    "sample",
    "select",
    "to_table",
    "variance",
]
