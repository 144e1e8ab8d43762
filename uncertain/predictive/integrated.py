"""Distributions that remember how much of their spread is noise.

A posterior integrated out in closed form leaves one `Normal` or one `Categorical` over y, from which
nobody can tell noise from ignorance any more. These two keep the parts beside it. Both *are* the
torch distribution they extend: they score, sample and mix like it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Size, Tensor
from torch.distributions import Categorical, Normal, constraints
from torch.distributions.utils import broadcast_all


class GaussianMarginal(Normal):
    r"""A normal over y with the variance of a latent mean and the variance of noise kept apart.

    .. math:: y \sim N(\mu, \sigma_f^2 + \sigma_n^2), \qquad
              f \sim N(\mu, \sigma_f^2), \quad y \mid f \sim N(f, \sigma_n^2)

    Args:
        loc: The mean of y, in y's unit.
        latent_scale: The standard deviation of the latent function, at least 0, in y's unit; it
            shrinks with more data (epistemic).
        noise_scale: The standard deviation of the noise, at least 0, in y's unit; it does not
            (aleatoric). The two must not both be 0.
        validate_args: As for every torch distribution; ``None`` follows torch's setting.

    Raises:
        ValueError: Where a scale is negative or NaN, or both are zero.

    Example:
        >>> y = GaussianMarginal(torch.zeros(1), torch.tensor([3.0]), torch.tensor([4.0]))
        >>> y.scale, y.latent_variance, y.noise_variance
        (tensor([5.]), tensor([9.]), tensor([16.]))
    """

    arg_constraints = {  # noqa: RUF012  torch's own form
        "loc": constraints.real,
        "scale": constraints.positive,
        "latent_scale": constraints.nonnegative,
        "noise_scale": constraints.nonnegative,
    }

    def __init__(
        self,
        loc: Float[Tensor, "*batch"] | float,
        latent_scale: Float[Tensor, "*batch"] | float,
        noise_scale: Float[Tensor, "*batch"] | float,
        validate_args: bool | None = None,
    ) -> None:
        self.latent_scale: Tensor
        self.noise_scale: Tensor
        loc, self.latent_scale, self.noise_scale = broadcast_all(loc, latent_scale, noise_scale)
        scale = torch.hypot(self.latent_scale, self.noise_scale)
        super().__init__(loc, scale, validate_args=validate_args)

    @property
    def latent_variance(self) -> Float[Tensor, "*batch"]:
        """The epistemic part of the variance, in y's unit squared."""
        return self.latent_scale.square()

    @property
    def noise_variance(self) -> Float[Tensor, "*batch"]:
        """The aleatoric part of the variance, in y's unit squared."""
        return self.noise_scale.square()

    def expand(
        self, batch_shape: Size | Sequence[int], _instance: Any = None
    ) -> "GaussianMarginal":
        """Return the distribution with a larger batch shape, without copying its parameters."""
        new = self._get_checked_instance(GaussianMarginal, _instance)
        new.latent_scale = self.latent_scale.expand(batch_shape)
        new.noise_scale = self.noise_scale.expand(batch_shape)
        expanded: GaussianMarginal = super().expand(batch_shape, _instance=new)
        return expanded


class DirichletCategorical(Categorical):
    r"""A categorical whose probabilities have a Dirichlet distribution.

    .. math:: p \sim \mathrm{Dir}(\alpha), \quad y \mid p \sim \mathrm{Cat}(p)
              \quad\Rightarrow\quad P(y = k) = \alpha_k / \textstyle\sum_j \alpha_j

    As a prediction it is the categorical of its mean; how concentrated the Dirichlet is says how
    much of its entropy more data would remove.

    Args:
        concentration: (\*batch, C), every entry greater than 0, without unit.
        validate_args: As for every torch distribution; ``None`` follows torch's setting.

    Raises:
        ValueError: Where an entry is not positive.

    Example:
        >>> DirichletCategorical(torch.tensor([3.0, 1.0])).probs
        tensor([0.7500, 0.2500])
    """

    arg_constraints = {  # noqa: RUF012  torch's own form
        "concentration": constraints.independent(constraints.positive, 1)
    }

    def __init__(
        self, concentration: Float[Tensor, "*batch C"], validate_args: bool | None = None
    ) -> None:
        self.concentration = concentration
        super().__init__(logits=concentration.log(), validate_args=validate_args)

    def expand(
        self, batch_shape: Size | Sequence[int], _instance: Any = None
    ) -> "DirichletCategorical":
        """Return the distribution with a larger batch shape, without copying its parameters."""
        new = self._get_checked_instance(DirichletCategorical, _instance)
        new.concentration = self.concentration.expand(*batch_shape, -1)
        expanded: DirichletCategorical = super().expand(batch_shape, _instance=new)
        return expanded
