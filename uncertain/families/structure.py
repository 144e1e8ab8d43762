"""What a row of the table of families holds: parameters with constraints, and NumPy functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Parameters = Mapping[str, Array]

Constraint = Literal[
    "real",
    "positive",
    "nonnegative",
    "log_odds",
    "probability",
    "simplex",
    "log_simplex",
    "levels",
    "increasing",
    "cholesky",
]
Support = Literal["classes", "real", "positive", "counts"]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a family.

    Args:
        name: Its key in ``ArrayDistribution.parameters`` and its column in a table.
        constraint: Which values it may take.
        trailing: Names of the axes that follow the rows (and members, and independent targets).
        shared: One array for all rows, without a row axis (the levels of ``quantiles``).
    """

    name: str
    constraint: Constraint
    trailing: tuple[str, ...] = ()
    shared: bool = False


@dataclass(frozen=True)
class Undefined:
    """Stands in the table where a quantity does not exist; calling it raises with the reason."""

    reason: str

    def __call__(self, *_: Any) -> Any:
        """Raise ``TypeError`` with the reason."""
        raise TypeError(self.reason)


Function = Callable[..., Array] | Undefined


@dataclass(frozen=True)
class Family:
    """One family of distributions: its parameters and the functions that other code may ask for.

    Every function takes the parameters with any leading batch axes, then a target (or level) that
    broadcasts against them, and returns float64. An :class:`Undefined` says why there is none.

    Args:
        name: The key in ``FAMILIES``.
        forms: Alternative sets of parameters; a distribution holds exactly one of them.
        support: What y is: class indices, real or positive numbers, or counts.
        log_prob: (parameters, y) -> log density or log mass; minus infinity outside the support.
        cdf: (parameters, y) -> P(Y <= y).
        quantile: (parameters, q) -> the smallest y with P(Y <= y) >= q.
        entropy: (parameters,) -> nats.
        mean: (parameters,) -> E Y.
        variance: (parameters,) -> Var Y.
        crps: (parameters, y) -> continuous ranked probability score.
        sample: (parameters, generator, shape of the draws' batch) -> draws.
        event_ndim: How many trailing axes one target has (1 for a joint distribution of T outputs).
        pit_bounds: (parameters, y) -> (P(Y < y), P(Y <= y)) where these differ; ``None``: the cdf.
        class_log_probs: (parameters,) -> (..., C), for class families only.
        parts: (parameters,) -> (aleatoric, epistemic) where one distribution knows both.
        mixture_quantile: (parameters, weights, q), members last; ``None``: root finding.
        mixture_crps: (parameters, weights, y), members last; ``None``: integration of (F - 1)^2.
        mixture_entropy: As above; ``None``: integration of -p log p.
    """

    name: str
    forms: tuple[tuple[Parameter, ...], ...]
    support: Support
    log_prob: Function
    cdf: Function
    quantile: Function
    entropy: Function
    mean: Function
    variance: Function
    crps: Function
    sample: Function
    event_ndim: int = 0
    pit_bounds: Callable[..., tuple[Array, Array]] | None = None
    class_log_probs: Callable[[Parameters], Array] | None = None
    parts: Callable[[Parameters], tuple[Array, Array]] | None = None
    mixture_quantile: Function | None = None
    mixture_crps: Function | None = None
    mixture_entropy: Function | None = None

    def form(self, names: set[str]) -> tuple[Parameter, ...] | None:
        """Return the set of parameters with these names, or ``None``."""
        return next((form for form in self.forms if {p.name for p in form} == names), None)


def f64(value: Any) -> NDArray[np.float64]:
    """Return ``value`` as float64, without a copy where it is one."""
    return np.asarray(value, dtype=np.float64)


def log_sum_exp(value: Array, axis: int = -1) -> NDArray[np.float64]:
    """Return log sum exp along an axis; minus infinity where every term is.

    Kept here because ``scipy.special`` costs a fifth of a second to import.

    Example:
        >>> float(log_sum_exp(np.array([-1000.0, -1000.0])))
        -999.30685...
    """
    top = np.max(value, axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        out = np.log(np.sum(np.exp(value - top), axis=axis, keepdims=True)) + top
    return f64(np.squeeze(out, axis=axis))


def log(value: Any) -> NDArray[np.float64]:
    """Return the natural logarithm in float64, with log 0 = -inf and no warning."""
    with np.errstate(divide="ignore"):
        return f64(np.log(f64(value)))


def neg_x_log_x(log_p: Array) -> NDArray[np.float64]:
    """Return -p log p from log p, with 0 at p = 0."""
    with np.errstate(invalid="ignore"):
        return f64(np.where(np.isneginf(log_p), 0.0, -np.exp(log_p) * log_p))
