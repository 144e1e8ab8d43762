"""Between torch distributions and the plain arrays of `uncertain.families`, without loss."""

from functools import singledispatch
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Independent,
    LogNormal,
    MixtureSameFamily,
    MultivariateNormal,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
)

from uncertain.families import ArrayDistribution
from uncertain.predictive.classes import log_weights
from uncertain.predictive.composition import chances, exact_categorical, parts
from uncertain.predictive.integrated import (
    DirichletCategorical,
    GaussianMarginal,
    StudentTMarginal,
)
from uncertain.predictive.sampled import Empirical, Quantiles

Device = torch.device | str | int

_ROUNDING = 2e-6
"""Log-sum-exp of a row beyond which it is more than the rounding of usual logits."""

# family -> the torch class whose constructor takes the family's parameters under the same names
_CLASSES: dict[str, type[Distribution]] = {
    "bernoulli": Bernoulli,
    "dirichlet_categorical": DirichletCategorical,
    "normal": Normal,
    "gaussian_marginal": GaussianMarginal,
    "student_t": StudentT,
    "student_t_marginal": StudentTMarginal,
    "log_normal": LogNormal,
    "poisson": Poisson,
    "negative_binomial": NegativeBinomial,
    "multivariate_normal": MultivariateNormal,
    "quantiles": Quantiles,
}
_FAMILIES = {made: family for family, made in _CLASSES.items()}


def to_arrays(dist: Distribution) -> ArrayDistribution:
    """Copy a batch of predictions to plain arrays on the host.

    Tensors are detached; half and bfloat16 become float32, wider ones keep their dtype. What a
    categorical was made from, probabilities or logits, is kept bit for bit (half-width parameters
    are normalised again in float32, because their sums are off by up to a percent; so are rows of
    logits so large, as distances can be, that torch's own normalisation is off by more than 2e-6).

    Args:
        dist: A distribution of batch shape (N,): a single family, ``Independent`` over one axis of
            outputs, or a mixture of either.

    Returns:
        The same N predictions as an `uncertain.families.ArrayDistribution`.

    Raises:
        ValueError: Where the batch shape is not (N,), or a parameter is not finite.
        TypeError: For a distribution that no family describes.

    Example:
        >>> d = to_arrays(Normal(torch.zeros(2), torch.ones(2)))
        >>> d.family, d.parameters["scale"]
        ('normal', array([1., 1.], dtype=float32))
    """
    if len(dist.batch_shape) != 1:
        raise ValueError(
            f"`dist` should have batch shape (N,), got {tuple(dist.batch_shape)}: flatten its rows."
        )
    weights = None
    component: Distribution = dist
    if isinstance(dist, MixtureSameFamily):
        component = dist.component_distribution
        weights = to_host(_wide(log_weights(dist)).log_softmax(-1).exp())
    outputs = 0
    while isinstance(component, Independent):
        outputs += component.reinterpreted_batch_ndims
        component = component.base_dist
    if outputs > 1 or isinstance(component, MixtureSameFamily):
        raise TypeError(
            f"`dist` should be one family, Independent over one axis of outputs, or a mixture of "
            f"those, got {type(dist).__name__} over {outputs} axes of {type(component).__name__}: "
            "put the mixture outermost."
        )
    family, tensors = family_parameters(component)
    arrays = {name: to_host(tensor) for name, tensor in tensors.items()}
    return ArrayDistribution(family, arrays, weights, event_ndim=outputs)


def from_arrays(
    d: ArrayDistribution, *, dtype: torch.dtype | None = None, device: Device | None = None
) -> Distribution:
    """Make torch distributions from plain arrays; undoes `to_arrays`.

    Args:
        d: N predictions.
        dtype: Of the parameters; by default theirs (float32 at least, float64 for whole numbers).
        device: Where to put them; the CPU by default.

    Returns:
        A distribution of batch shape (N,).

    Example:
        >>> import numpy as np
        >>> from uncertain.families import ArrayDistribution
        >>> probs = np.array([[0.2, 0.8]])
        >>> bool((from_arrays(ArrayDistribution("categorical", {"probs": probs})).probs == torch.from_numpy(probs)).all())
        True
    """
    tensors = {name: _tensor(a, dtype, device) for name, a in d.parameters.items()}
    component = _make(d.family, tensors)
    if d.event_ndim:
        component = Independent(component, d.event_ndim, validate_args=False)
    if d.mixture_weights is not None:
        like = next(iter(tensors.values())).dtype
        weights = _tensor(d.mixture_weights, dtype or like, device)
        chosen = exact_categorical(probs=weights)
        component = MixtureSameFamily(chosen, component, validate_args=False)
    return _validating(component)


@singledispatch
def family_parameters(dist: Distribution) -> tuple[str, dict[str, Tensor]]:
    """The family of a single distribution and its parameters under the family's names."""
    family = _FAMILIES.get(type(dist))
    if family is None:
        raise TypeError(
            f"`dist` should belong to one of the families in `uncertain.families.FAMILIES`, got "
            f"{type(dist).__name__}: represent it by draws, `Empirical(dist.sample((S,)).T)`."
        )
    return family, {name: _wide(tensor) for name, tensor in parts(dist).tensors.items()}


@family_parameters.register
def _(dist: Categorical) -> tuple[str, dict[str, Tensor]]:
    name, tensor = chances(dist)
    if tensor.dtype in (torch.float16, torch.bfloat16):
        wide = tensor.float()
        tensor = wide.log_softmax(-1) if name == "logits" else wide / wide.sum(-1, keepdim=True)
    return "categorical", {name: _summing_to_one(tensor) if name == "logits" else tensor}


def _summing_to_one(logits: Tensor) -> Tensor:
    """Normalise rows again that torch could not: logits of some thousands round to 1e-4 in float32."""
    off = logits.logsumexp(-1, keepdim=True).abs() > _ROUNDING
    if not bool(off.any()):
        return logits
    return torch.where(off, logits.double().log_softmax(-1).to(logits.dtype), logits)


@family_parameters.register
def _(dist: DirichletCategorical) -> tuple[str, dict[str, Tensor]]:
    return "dirichlet_categorical", {"concentration": _wide(dist.concentration)}


@family_parameters.register
def _(dist: NegativeBinomial) -> tuple[str, dict[str, Tensor]]:
    name, tensor = chances(dist)
    tensor = _wide(tensor)
    logits = tensor if name == "logits" else tensor.log() - torch.log1p(-tensor)
    total = _wide(dist.total_count).to(logits.dtype).expand(logits.shape)
    return "negative_binomial", {"total_count": total, "logits": logits}


@family_parameters.register
def _(dist: MultivariateNormal) -> tuple[str, dict[str, Tensor]]:
    tensors = {name: _wide(tensor) for name, tensor in parts(dist).tensors.items()}
    return "multivariate_normal", tensors


@family_parameters.register
def _(dist: Empirical) -> tuple[str, dict[str, Tensor]]:
    family = "empirical_sample" if dist.is_sample else "empirical"
    return family, {"samples": _wide(dist.samples)}


@family_parameters.register
def _(dist: Quantiles) -> tuple[str, dict[str, Tensor]]:
    return "quantiles", {"levels": _wide(dist.levels), "values": _wide(dist.values)}


def to_host(tensor: Tensor) -> NDArray[Any]:
    """A tensor as an array of its own: detached, on the host, float32 where it was narrower."""
    array: NDArray[Any] = _wide(tensor.detach()).to("cpu").numpy()
    return array.copy()


def _wide(tensor: Tensor) -> Tensor:
    narrow = tensor.is_floating_point() and tensor.element_size() < 4
    return tensor.float() if narrow else tensor


def _tensor(array: NDArray[Any], dtype: torch.dtype | None, device: Device | None) -> Tensor:
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    elif array.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        array = array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
    native = np.array(array, dtype=array.dtype.newbyteorder("="))
    return torch.from_numpy(native).to(device=device, dtype=dtype)


def _make(family: str, tensors: dict[str, Tensor]) -> Distribution:
    # Values were checked when the arrays were; torch's own simplex check is narrower than ours.
    if family == "categorical":
        return exact_categorical(**tensors)  # type: ignore[arg-type]
    if family in ("empirical", "empirical_sample"):
        fair = family == "empirical_sample"
        return Empirical(tensors["samples"], is_sample=fair, validate_args=False)
    return _CLASSES[family](**tensors, validate_args=False)  # type: ignore[arg-type]


def _validating(dist: Distribution) -> Distribution:
    """Turn the validation of later arguments back to torch's setting, through all layers."""
    dist._validate_args = Distribution._validate_args
    if isinstance(dist, MixtureSameFamily):
        _validating(dist.mixture_distribution)
        _validating(dist.component_distribution)
    elif isinstance(dist, Independent):
        _validating(dist.base_dist)
    return dist
