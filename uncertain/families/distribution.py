"""N predictions of one family as plain arrays, checked when they are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from .structure import Array, Parameter, f64, log_sum_exp
from .table import FAMILIES

LOG_TOLERANCE = 1e-4
"""How far log sum exp of log-probabilities may lie from zero: float32 logits of 1e3 leave 6e-5."""


@dataclass(frozen=True)
class ArrayDistribution:
    """N predictions of one family, or N mixtures of S members of it.

    Axes come in the order rows, members, targets, and then the family's own: (N,), (N, S), (N, T)
    or (N, S, T), followed by the classes C, points K or levels Q of the family. ``event_ndim`` is 1
    where one row is T *independent* targets (torch's ``Independent``): ``log_prob`` and ``entropy``
    then add over the targets, and everything else answers for each target, (N, T). A
    ``multivariate_normal`` has its T outputs by itself and keeps ``event_ndim`` 0.

    Arrays are kept as they come, dtype included; every function computes in float64.

    Args:
        family: A key of ``FAMILIES``.
        parameters: Name -> array, as the family's row in ``FAMILIES`` asks.
        mixture_weights: (N, S), rows summing to one; ``None`` where there are no members.
        event_ndim: 0 or 1, the number of axes of independent targets.

    Raises:
        ValueError: For an unknown family, wrong names or shapes, and values outside their range.
        TypeError: For arrays that hold no numbers.

    Example:
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(3), "scale": np.ones(3)})
        >>> len(d), d.event_shape, d.members
        (3, (), None)
    """

    family: str
    parameters: Mapping[str, Array]
    mixture_weights: NDArray[Any] | None = None
    event_ndim: int = 0

    def __post_init__(self) -> None:
        checks.check_choice("family", self.family, FAMILIES)
        if self.event_ndim not in (0, 1):
            raise ValueError(f"`event_ndim` should be 0 or 1, got {self.event_ndim!r}.")
        row = FAMILIES[self.family]
        if self.event_ndim and row.event_ndim:
            raise ValueError(
                f"`event_ndim` should be 0 for {self.family}, which is joint over its outputs "
                f"already, got {self.event_ndim}."
            )
        arrays = {name: _array(name, value) for name, value in self.parameters.items()}
        object.__setattr__(self, "parameters", arrays)
        if self.mixture_weights is not None:
            weights = _array("mixture_weights", self.mixture_weights)
            object.__setattr__(self, "mixture_weights", weights)
            checks.check_probabilities("mixture_weights", weights)
        form = row.form(set(arrays))
        if form is None:
            wanted = " or ".join("{" + ", ".join(p.name for p in f) + "}" for f in row.forms)
            raise ValueError(
                f"`parameters` of {self.family} should be {wanted}, got "
                f"{{{', '.join(sorted(arrays))}}}."
            )
        self._check_shapes(form)
        for parameter in form:
            _check_values(parameter, arrays[parameter.name])
        if self.family in ("gaussian_marginal", "student_t_marginal"):
            _check_some_variance(arrays)
        if self.family == "empirical_sample" and arrays["samples"].shape[-1] < 2:
            raise ValueError(
                "`samples` should have at least 2 draws a row for the fair score, got "
                f"{arrays['samples'].shape[-1]}: use the family empirical."
            )

    def _check_shapes(self, form: tuple[Parameter, ...]) -> None:
        sizes: dict[str, int] = {}
        batch: list[int | str] = ["N"]
        if self.mixture_weights is not None:
            batch = [*self.mixture_weights.shape]
        batch += ["targets"] * self.event_ndim
        for parameter in form:
            array = self.parameters[parameter.name]
            named = [*([] if parameter.shared else batch), *parameter.trailing]
            expected = [sizes.get(axis, axis) if isinstance(axis, str) else axis for axis in named]
            checks.check_shape(
                parameter.name, array, expected, hint=f"a parameter of {self.family}"
            )
            sizes |= {a: n for a, n in zip(named, array.shape, strict=True) if isinstance(a, str)}
            if parameter.trailing and 0 in array.shape[-len(parameter.trailing) :]:
                raise ValueError(
                    f"`{parameter.name}` should have at least one entry along every axis after "
                    f"the rows, got shape {array.shape}."
                )

    def __len__(self) -> int:
        name = next(p.name for p in self.form if not p.shared)
        return len(self.parameters[name])

    @property
    def form(self) -> tuple[Parameter, ...]:
        """The parameters that this distribution holds, as the family describes them."""
        found = FAMILIES[self.family].form(set(self.parameters))
        assert found is not None  # Checked when made.
        return found

    @property
    def members(self) -> int | None:
        """The number of members S of a mixture, ``None`` where there are none."""
        return None if self.mixture_weights is None else int(self.mixture_weights.shape[1])

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one target: () or (T,)."""
        own = FAMILIES[self.family].event_ndim
        if not (own or self.event_ndim):
            return ()
        leading = 1 if self.mixture_weights is None else 2
        name = next(p.name for p in self.form if not p.shared)
        return (int(self.parameters[name].shape[leading]),)


def log_softmax(logits: Any) -> Array:
    """Return normalised log-probabilities from raw logits (..., C), in their own floating dtype.

    Raises:
        ValueError: Where a logit is NaN or plus infinity.

    Example:
        >>> log_softmax(np.array([[1e4, 0.0]]))
        array([[     0., -10000.]])
    """
    array = _array("logits", logits)
    if not np.all(array < np.inf):
        raise ValueError("`logits` should be below infinity and not NaN, got such values.")
    wide = f64(array)
    dtype = array.dtype if array.dtype.kind == "f" else np.float64
    top = wide.max(axis=-1, keepdims=True)
    shifted = wide - np.where(np.isfinite(top), top, 0.0)
    return np.asarray(shifted - log_sum_exp(shifted)[..., None], dtype=dtype)


def _array(name: str, value: Any) -> Array:
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"`{name}` should hold numbers, got dtype {array.dtype}.")
    return array


def _check_some_variance(arrays: Mapping[str, Array]) -> None:
    total = f64(arrays["latent_scale"]) + f64(arrays["noise_scale"])
    checks.check_range("latent_scale + noise_scale", total, 0, open_low=True)


def _check_values(parameter: Parameter, array: Array) -> None:
    name, constraint = parameter.name, parameter.constraint
    if constraint == "log_simplex":
        _check_log_simplex(name, array)
    elif constraint == "simplex":
        checks.check_probabilities(name, array.reshape(-1, array.shape[-1]))
    elif constraint == "probability":
        checks.check_range(name, array, 0, 1)
    elif constraint == "log_odds":
        checks.check_range(name, array, -np.inf, np.inf)
    else:
        checks.check_finite(name, array)
        _check_finite_values(name, constraint, array)


def _check_finite_values(name: str, constraint: str, array: Array) -> None:
    if constraint == "positive":
        checks.check_range(name, array, 0, open_low=True)
    elif constraint == "nonnegative":
        checks.check_range(name, array, 0)
    elif constraint == "levels":
        checks.check_range(name, array, 0, 1, open_low=True, open_high=True)
        if np.any(np.diff(array) <= 0):
            raise ValueError(f"`{name}` should increase strictly, got {array.tolist()}.")
    elif constraint == "increasing" and np.any(np.diff(array, axis=-1) < 0):
        bad = (np.diff(array, axis=-1) < 0).reshape(len(array), -1).any(axis=-1)
        raise ValueError(
            f"`{name}` should not decrease along the levels, got crossing quantiles at row "
            f"{int(np.argmax(bad))} ({int(bad.sum())} of {len(array)} rows): sort them yourself."
        )
    elif constraint == "cholesky":
        checks.check_range(
            f"{name} diagonal", np.diagonal(array, axis1=-2, axis2=-1), 0, open_low=True
        )
        if np.any(np.triu(array, 1)):
            raise ValueError(
                f"`{name}` should be lower triangular, got entries above the diagonal."
            )


def _check_log_simplex(name: str, array: Array) -> None:
    hint = "pass raw logits through `log_softmax` first"
    if np.isnan(array).any():
        checks.check_finite(name, np.where(np.isneginf(array), 0.0, array), hint=hint)
    if array.size == 0:
        return
    off = np.abs(log_sum_exp(f64(array)))
    if off.max() > LOG_TOLERANCE:
        row = int(np.argmax(off.reshape(len(array), -1).max(axis=-1)))
        raise ValueError(
            f"`{name}` should be log-probabilities whose log-sum-exp is 0 within "
            f"{LOG_TOLERANCE:g}, got one off by {off.max():.3g} at row {row}: {hint}."
        )
