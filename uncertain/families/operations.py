"""What can be asked of an :class:`ArrayDistribution`: every function answers for all rows at once.

Targets have the shape (N,) or (N, T), may carry more axes in front, or be one number for all rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from . import classes, integration
from .distribution import ArrayDistribution
from .structure import Array, Family, Undefined, f64, log, log_sum_exp
from .table import FAMILIES

_ROUNDING = 2e-6
"""Log-sum-exp of a row of classes up to which it is left as it is."""

Float = NDArray[np.float64]


def _open(d: ArrayDistribution) -> tuple[Family, dict[str, Array], Array | None]:
    """Return the family, the parameters with members after targets, and weights to match."""
    family = FAMILIES[d.family]
    if d.mixture_weights is None:
        return family, dict(d.parameters), None
    weights = f64(d.mixture_weights)
    if not d.event_ndim:
        return family, dict(d.parameters), weights
    shared = {p.name for p in d.form if p.shared}
    swapped = {
        name: value if name in shared else np.swapaxes(value, 1, 2)
        for name, value in d.parameters.items()
    }
    shape = (len(d), *d.event_shape, weights.shape[1])
    return family, swapped, np.broadcast_to(weights[:, None, :], shape)


def _target(d: ArrayDistribution, y: Any, *, name: str = "y", finite: bool = True) -> Array:
    """Return targets as an array of shape (..., N, *event) or (); check values and labels."""
    array = np.asarray(y)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"`{name}` should hold numbers, got dtype {array.dtype}.")
    shape = (len(d), *d.event_shape)
    if array.ndim and array.shape[max(0, array.ndim - len(shape)) :] != shape:
        checks.check_shape(name, array, shape, hint="one target a row (more axes may stand first)")
    if finite:
        checks.check_finite(name, array)
    elif np.isnan(array).any():
        raise ValueError(f"`{name}` should not hold NaN, got {int(np.isnan(array).sum())}.")
    return array


def _labels(d: ArrayDistribution, y: Any) -> Array:
    array = _target(d, y)
    if d.family == "bernoulli":
        checks.check_labels("y", array.reshape(-1), 2)
    else:
        table = next(iter(d.parameters.values()))
        checks.check_labels("y", array.reshape(-1), table.shape[-1])
    if array.ndim == 0:
        return np.full((len(d), *d.event_shape), array)
    return array


def log_prob(d: ArrayDistribution, y: Any) -> Float:
    """Return log p(y), (N,): nats, never clamped; minus infinity where y has no mass.

    Members are joined by log-sum-exp; independent targets are summed within each member first.

    Args:
        d: N predictions.
        y: (N,) class indices or numbers, (N, T) for T targets.

    Returns:
        (N,) log density or log mass.

    Raises:
        TypeError: For families without a density (points and quantiles).
        ValueError: For labels out of range, wrong shapes, NaN or infinity.

    Example:
        >>> p = np.array([[1e-20, 1.0]], dtype=np.float32)
        >>> log_prob(ArrayDistribution("categorical", {"probs": p}), np.array([0]))
        array([-46.0517...])
    """
    family, p, w = _open(d)
    y = _labels(d, y) if family.class_log_probs else _target(d, y)
    if w is None:
        value = f64(family.log_prob(p, y))
        return f64(value.sum(axis=-1)) if d.event_ndim else value
    if y.ndim:
        y = np.expand_dims(y, -1 - family.event_ndim)
    value = family.log_prob(p, y)
    if d.event_ndim:
        value, w = value.sum(axis=-2), w[:, 0, :]
    return log_sum_exp(log(w) + value)


def cdf(d: ArrayDistribution, y: Any) -> Float:
    """Return P(Y <= y), (N,) or (N, T).

    Raises:
        TypeError: For classes without order and for joint distributions.

    Example:
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(2), "scale": np.ones(2)})
        >>> cdf(d, np.array([0.0, 1.0]))
        array([0.5       , 0.84134475])
    """
    family, p, w = _open(d)
    _defined(family.cdf)
    y = f64(_target(d, y, finite=False))
    return f64(family.cdf(p, y)) if w is None else integration.mixture_cdf(family, p, w, y)


def quantile(d: ArrayDistribution, q: Any) -> Float:
    """Return the smallest y with P(Y <= y) >= q, (N,) or (N, T).

    Args:
        d: N predictions.
        q: A level in [0, 1], one a row (N,), or several as (L, 1), which gives (L, N).

    Returns:
        Quantiles in y's units; infinite at 0 and 1 where the support is.

    Raises:
        TypeError: For classes without order and for joint distributions.
        ValueError: For levels outside [0, 1], or outside the predicted ones of ``quantiles``.

    Example:
        >>> d = ArrayDistribution("poisson", {"rate": np.array([3.0])})
        >>> quantile(d, np.array([[0.5], [0.9]])).ravel()
        array([3., 5.])
    """
    family, p, w = _open(d)
    _defined(family.quantile)
    q = f64(q)
    checks.check_range("q", q, 0, 1)
    shape = (len(d), *d.event_shape)
    if any(got not in (1, want) for got, want in zip(q.shape[::-1], shape[::-1], strict=False)):
        checks.check_shape("q", q, shape, hint="or one level, or (L, 1) for several levels")
    q = np.broadcast_to(q, np.broadcast_shapes(q.shape, shape))
    if w is None:
        return f64(family.quantile(p, q))
    if family.mixture_quantile is not None:
        return f64(family.mixture_quantile(p, w, q))
    return f64(integration.mixture_quantile(family, p, w, q))


def entropy(d: ArrayDistribution) -> Float:
    """Return the entropy in nats, (N,).

    Class mixtures in closed form; sums for counts; mixtures of other one-dimensional families by
    quadrature (absolute error about 1e-12, and below 1e-6 for Student-t with df near 1).
    Independent targets add up.

    Raises:
        TypeError: Where there is none, or for mixtures over several outputs, whose joint entropy
            is not the sum over targets.

    Example:
        >>> entropy(ArrayDistribution("bernoulli", {"probs": np.array([0.5])}))
        array([0.69314718])
    """
    family, p, w = _open(d)
    _defined(family.entropy)
    if w is None:
        value = f64(family.entropy(p))
        return f64(value.sum(axis=-1)) if d.event_ndim else value
    if d.event_ndim and w.shape[1] > 1:
        raise TypeError(
            "The joint entropy of a mixture over several targets has no closed form: estimate it "
            "from `sample` and `log_prob`, or use `decompose` for each target."
        )
    if family.class_log_probs is not None:
        value = classes.entropy_of(_mixed_log_probs(family, p, w))
    elif family.mixture_entropy is not None:
        value = family.mixture_entropy(p, w)
    else:
        value = integration.entropy(family, p, w)
    return f64(value[:, 0] if d.event_ndim else value)


def mean(d: ArrayDistribution) -> Float:
    """Return E Y, (N,) or (N, T); NaN where it does not exist (Student-t with df <= 1).

    Raises:
        TypeError: For classes without order and for quantile predictions.

    Example:
        >>> mean(ArrayDistribution("poisson", {"rate": np.array([3.0])}))
        array([3.])
    """
    family, p, w = _open(d)
    value = f64(family.mean(p))
    return value if w is None else f64((_over(family, w) * value).sum(axis=_member_axis(family)))


def variance(d: ArrayDistribution) -> Float:
    """Return Var Y in y's units squared, (N,) or (N, T); a mixture's adds the spread of members.

    Raises:
        TypeError: For classes without order and for quantile predictions.

    Example:
        >>> w = np.array([[0.5, 0.5]])
        >>> loc, scale = np.array([[-1.0, 1.0]]), np.array([[1.0, 1.0]])
        >>> variance(ArrayDistribution("normal", {"loc": loc, "scale": scale}, w))
        array([2.])
    """
    family, p, w = _open(d)
    within = f64(family.variance(p))
    if w is None:
        return within
    axis = _member_axis(family)
    return f64((_over(family, w) * within).sum(axis=axis) + _spread(family, p, w))


def crps(d: ArrayDistribution, y: Any) -> Float:
    """Return the continuous ranked probability score, (N,) or (N, T): y's units, lower is better.

    Closed forms, except mixtures of Student-t or log-normal (quadrature) and counts (sums).
    ``empirical`` is scored as the distribution it is, ``empirical_sample`` by the fair form,
    ``quantiles`` by twice the mean pinball loss, an approximation.

    Raises:
        TypeError: For classes without order and for joint distributions.

    Example:
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(1), "scale": np.ones(1)})
        >>> crps(d, np.zeros(1))
        array([0.23369498])
    """
    family, p, w = _open(d)
    _defined(family.crps)
    y = f64(_target(d, y))
    if w is None:
        return f64(family.crps(p, y))
    if family.mixture_crps is not None:
        return f64(family.mixture_crps(p, w, y[..., None] if y.ndim else y))
    return f64(integration.mixture_crps(family, p, w, y))


def pit(d: ArrayDistribution, y: Any) -> Float:
    """Return the probability integral transform, (N,) or (N, T): uniform under a calibrated model.

    Where P(Y = y) > 0 (counts, points, Bernoulli) this is the mid form P(Y < y) + P(Y = y) / 2,
    without randomisation: its mean is 1/2 under a calibrated model, its variance below 1/12. For
    ``quantiles`` it is the middle of what is known: half the lowest level below all quantiles.

    Raises:
        TypeError: For classes without order and for joint distributions.

    Example:
        >>> pit(ArrayDistribution("bernoulli", {"probs": np.array([0.5])}), np.array([1]))
        array([0.75])
    """
    low, high = pit_bounds(d, y)
    return low if high is low else f64(0.5 * (low + high))


def pit_bounds(d: ArrayDistribution, y: Any) -> tuple[Float, Float]:
    """Return P(Y < y) and P(Y <= y), each (N,) or (N, T); the same array where no y has mass.

    For ``quantiles`` they are what is known of P(Y <= y): an interval beyond the outer quantiles.

    Raises:
        TypeError: For classes without order and for joint distributions.

    Example:
        >>> d = ArrayDistribution("bernoulli", {"probs": np.array([0.25])})
        >>> [float(end[0]) for end in pit_bounds(d, np.array([1]))]
        [0.75, 1.0]
    """
    family, p, w = _open(d)
    if family.pit_bounds is None:
        value = cdf(d, _target(d, y))
        return value, value
    y = f64(_target(d, y))
    if w is None:
        low, high = family.pit_bounds(p, y)
        return f64(low), f64(high)
    low, high = family.pit_bounds(p, y[..., None])
    return f64((w * low).sum(axis=-1)), f64((w * high).sum(axis=-1))


def sample(d: ArrayDistribution, rng: np.random.Generator, n: int) -> Array:
    """Draw n targets for every row: (n, N) or (n, N, T); int64 for classes, else float64.

    A row of a mixture picks one member for all its targets.

    Raises:
        TypeError: For quantile predictions.
        ValueError: For a negative n.

    Example:
        >>> d = ArrayDistribution("normal", {"loc": np.zeros(2), "scale": np.ones(2)})
        >>> sample(d, np.random.default_rng(0), 5).shape
        (5, 2)
    """
    family = FAMILIES[d.family]
    _defined(family.sample)
    checks.check_range("n", n, 0)
    parameters = dict(d.parameters)
    if d.mixture_weights is not None:
        member = classes.sample_classes(log(d.mixture_weights), rng, (n, len(d)))
        shared = {p.name for p in d.form if p.shared}
        parameters = {
            name: value if name in shared else value[np.arange(len(d)), member]
            for name, value in parameters.items()
        }
    shape = (n, len(d), *(d.event_shape if d.event_ndim else ()))
    return family.sample(parameters, rng, shape)


def class_log_probabilities(d: ArrayDistribution) -> Float:
    """Return (N, C) log-probabilities ((N, T, C) for T targets), by log-sum-exp over members.

    Raises:
        TypeError: For families over numbers.

    Example:
        >>> d = ArrayDistribution("bernoulli", {"logits": np.array([800.0])})
        >>> class_log_probabilities(d)
        array([[-800.,   -0.]])
    """
    family, p, w = _open(d)
    if family.class_log_probs is None:
        raise TypeError(f"A {d.family} distribution has no classes, so no class probabilities.")
    value = family.class_log_probs(p) if w is None else _mixed_log_probs(family, p, w)
    return _summing_to_one(value)


def _summing_to_one(log_p: Float) -> Float:
    """Normalise rows that rounding has taken off one by more than probabilities may be off.

    Large logits in float32 are log-probabilities to 1e-4 only, which is why files of them may be off
    by that much.
    """
    off = log_sum_exp(log_p)[..., None]
    seen = np.abs(off) > _ROUNDING
    return np.where(seen, log_p - off, log_p) if seen.any() else log_p


def class_probabilities(d: ArrayDistribution) -> Float:
    """Return (N, C) class probabilities ((N, T, C) for T targets).

    A categorical given as probabilities gives back their very values in float64.

    Raises:
        TypeError: For families over numbers.

    Example:
        >>> d = ArrayDistribution("dirichlet_categorical", {"concentration": np.array([[1.0, 3.0]])})
        >>> class_probabilities(d)
        array([[0.25, 0.75]])
    """
    if d.family == "categorical" and "probs" in d.parameters:
        _, p, w = _open(d)
        probs = f64(p["probs"])
        return probs if w is None else f64((w[..., None] * probs).sum(axis=-2))
    return f64(np.exp(class_log_probabilities(d)))


def decompose(d: ArrayDistribution) -> tuple[Float, Float, Float]:
    """Split uncertainty into (total, aleatoric, epistemic), each (N,) or (N, T).

    Classes, in nats: the entropy of the mean, the mean entropy of the members, and their difference
    (the mutual information of class and member; in closed form within a Dirichlet). Numbers, in y's
    units squared: the law of total variance. A ``gaussian_marginal`` keeps noise and latent variance
    apart; a mixture adds the spread of its members' means to the epistemic part.

    Raises:
        TypeError: For a single distribution that does not know its parts (they are not zero).

    Example:
        >>> d = ArrayDistribution("gaussian_marginal", {
        ...     "loc": np.zeros(1), "latent_scale": np.array([3.0]), "noise_scale": np.array([4.0])})
        >>> [float(part[0]) for part in decompose(d)]
        [25.0, 16.0, 9.0]
    """
    family, p, w = _open(d)
    if w is None and family.parts is None:
        raise TypeError(
            f"A single {d.family} distribution cannot be split into aleatoric and epistemic parts: "
            "that takes members (a mixture), or a family that keeps its parts "
            "(gaussian_marginal, student_t_marginal, dirichlet_categorical)."
        )
    if family.class_log_probs is not None:
        return _decompose_classes(family, p, w)
    if family.parts is not None:
        aleatoric, epistemic = family.parts(p)
    else:
        aleatoric = f64(family.variance(p))
        epistemic = np.zeros_like(aleatoric)
    if w is not None:
        over, axis = _over(family, w), _member_axis(family)
        aleatoric = (over * aleatoric).sum(axis=axis)
        epistemic = (over * epistemic).sum(axis=axis) + _spread(family, p, w)
    return f64(aleatoric + epistemic), f64(aleatoric), f64(epistemic)


def _decompose_classes(
    family: Family, p: dict[str, Array], w: Array | None
) -> tuple[Float, Float, Float]:
    if family.parts is not None:
        aleatoric, epistemic = family.parts(p)
    else:
        aleatoric = f64(family.entropy(p))
        epistemic = np.zeros_like(aleatoric)
    if w is None:
        return f64(aleatoric + epistemic), aleatoric, epistemic
    assert family.class_log_probs is not None
    members = family.class_log_probs(p)
    mixed = _mixed_log_probs(family, p, w)[..., None, :]
    # The information between class and member as a mean divergence: no difference of entropies.
    with np.errstate(invalid="ignore"):
        terms = np.where(np.isneginf(members), 0.0, np.exp(members) * (members - mixed))
    between = np.maximum((w * np.where(w > 0, terms.sum(axis=-1), 0.0)).sum(axis=-1), 0.0)
    aleatoric = f64((w * aleatoric).sum(axis=-1))
    epistemic = f64((w * epistemic).sum(axis=-1) + between)
    return f64(aleatoric + epistemic), aleatoric, epistemic


def _mixed_log_probs(family: Family, p: dict[str, Array], w: Array) -> Float:
    assert family.class_log_probs is not None
    return log_sum_exp(log(w)[..., None] + family.class_log_probs(p), axis=-2)


def _spread(family: Family, p: dict[str, Array], w: Array) -> Array:
    """Return the variance of the members' means."""
    means, over, axis = f64(family.mean(p)), _over(family, w), _member_axis(family)
    centre = (over * means).sum(axis=axis, keepdims=True)
    return f64((over * (means - centre) ** 2).sum(axis=axis))


def _member_axis(family: Family) -> int:
    return -1 - family.event_ndim


def _over(family: Family, w: Array) -> Array:
    """Return the weights with an axis for the family's own outputs, so they scale its means."""
    return w[..., None] if family.event_ndim else w


def _defined(function: Any) -> None:
    """Raise the reason of an undefined quantity before anything else is looked at."""
    if isinstance(function, Undefined):
        function()
