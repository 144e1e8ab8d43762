"""Rows of an :class:`ArrayDistribution`: selecting, joining, and taking outputs apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import checks
from .distribution import ArrayDistribution
from .structure import f64


def select(d: ArrayDistribution, rows: Any) -> ArrayDistribution:
    """Return the predictions of some rows: a slice, a mask (N,) or indices.

    Example:
        >>> d = ArrayDistribution("poisson", {"rate": np.arange(4.0)})
        >>> select(d, [3, 0]).parameters["rate"]
        array([3., 0.])
    """
    if not isinstance(rows, slice):
        rows = np.asarray(rows)
        if rows.size == 0 and rows.dtype.kind == "f":
            rows = rows.astype(np.int64)  # numpy.asarray([]) is floating.
        if rows.ndim != 1 or rows.dtype.kind not in "iub":
            raise TypeError(
                "`rows` should be a slice, a mask or a list of whole numbers, got "
                f"{rows.ndim} dimensions of {rows.dtype}."
            )
        if rows.dtype.kind == "b":
            checks.check_shape("rows", rows, (len(d),), hint="a mask has one entry a row")
        else:
            checks.check_range("rows", rows, -len(d), len(d) - 1)
    shared = {p.name for p in d.form if p.shared}
    parameters = {
        name: value if name in shared else value[rows] for name, value in d.parameters.items()
    }
    weights = None if d.mixture_weights is None else d.mixture_weights[rows]
    return ArrayDistribution(d.family, parameters, weights, d.event_ndim)


def concat(distributions: Sequence[ArrayDistribution]) -> ArrayDistribution:
    """Join predictions of one kind, row after row.

    Raises:
        ValueError: For none at all, or where family, parameters, members, targets or shared levels
            differ.

    Example:
        >>> d = ArrayDistribution("poisson", {"rate": np.ones(2)})
        >>> len(concat([d, d]))
        4
    """
    checks.check_not_empty("distributions", distributions)
    first = distributions[0]
    for number, other in enumerate(distributions[1:], start=1):
        if _kind(other) != _kind(first):
            raise ValueError(
                "`distributions` should be of one kind, got "
                f"{_describe(first)} first and {_describe(other)} at position {number}."
            )
    shared = {p.name for p in first.form if p.shared}
    for name in shared:
        for other in distributions[1:]:
            if not np.array_equal(other.parameters[name], first.parameters[name]):
                raise ValueError(f"`{name}` should be the same in all distributions, got others.")
    parameters = {
        name: value
        if name in shared
        else np.concatenate([d.parameters[name] for d in distributions])
        for name, value in first.parameters.items()
    }
    weights = [d.mixture_weights for d in distributions if d.mixture_weights is not None]
    joined = np.concatenate(weights) if weights else None
    return ArrayDistribution(first.family, parameters, joined, first.event_ndim)


def marginals(d: ArrayDistribution) -> ArrayDistribution:
    """Return each output of a multivariate normal by itself, as independent normals (N, T).

    A mixture stays one: its members keep their weights. The dependence between outputs is lost.

    Raises:
        TypeError: For any other family.

    Example:
        >>> tril = np.array([[[3.0, 0.0], [4.0, 3.0]]])
        >>> d = ArrayDistribution("multivariate_normal", {"loc": np.zeros((1, 2)), "scale_tril": tril})
        >>> marginals(d).parameters["scale"]
        array([[3., 5.]])
    """
    if d.family != "multivariate_normal":
        raise TypeError(f"Only a multivariate_normal has marginals to take, got {d.family}.")
    tril = d.parameters["scale_tril"]
    scale = np.sqrt((f64(tril) ** 2).sum(axis=-1)).astype(tril.dtype)
    parameters = {"loc": d.parameters["loc"], "scale": scale}
    return ArrayDistribution("normal", parameters, d.mixture_weights, event_ndim=1)


def _kind(d: ArrayDistribution) -> tuple[Any, ...]:
    trailing = tuple(
        sorted((p.name, () if p.shared else d.parameters[p.name].shape[1:]) for p in d.form)
    )
    return d.family, d.event_ndim, d.members, trailing


def _describe(d: ArrayDistribution) -> str:
    shapes = ", ".join(f"{name} {value.shape}" for name, value in d.parameters.items())
    members = "" if d.members is None else f", a mixture of {d.members}"
    return f"{d.family} ({shapes}{members})"
