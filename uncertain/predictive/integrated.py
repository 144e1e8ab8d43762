"""Distributions that remember how much of their spread is noise.

A posterior integrated out in closed form leaves one `Normal` or one `Categorical` over y, from which
nobody can tell noise from ignorance any more. These keep the parts beside it. Each *is* the torch
distribution it extends: it scores, samples and mixes like it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Size, Tensor
from torch.distributions import Categorical, Normal, StudentT, constraints
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


class StudentTMarginal(StudentT):
    r"""A Student-t over y that remembers how much of its spread is noise.

    The prediction of a normal with unknown mean and unknown noise, both integrated out: with
    :math:`f \mid \sigma^2 \sim N(\mu, r \sigma^2)`, :math:`y \mid f, \sigma^2 \sim N(f, \sigma^2)` and
    an inverse gamma :math:`\sigma^2`,

    .. math:: y \sim t_\nu(\mu, s_f^2 + s_n^2), \qquad s_f^2 / s_n^2 = r, \qquad
              \mathrm{Var}\, f = \tfrac{\nu}{\nu - 2} s_f^2, \quad
              \mathrm E\, \sigma^2 = \tfrac{\nu}{\nu - 2} s_n^2

    Args:
        df: Degrees of freedom, above 0; the variance is finite above 2.
        loc: The location of y, in y's unit.
        latent_scale: The scale of the latent mean, at least 0, in y's unit (epistemic).
        noise_scale: The scale of the noise, at least 0, in y's unit (aleatoric). The two must not
            both be 0.
        validate_args: As for every torch distribution; ``None`` follows torch's setting.

    Raises:
        ValueError: Where the degrees of freedom are not positive, a scale is negative or NaN, or
            both are zero.

    Example:
        >>> y = StudentTMarginal(torch.tensor([4.0]), 0.0, torch.tensor([3.0]), torch.tensor([4.0]))
        >>> y.scale, y.latent_variance, y.noise_variance
        (tensor([5.]), tensor([18.]), tensor([32.]))
    """

    arg_constraints = {  # noqa: RUF012  torch's own form
        "df": constraints.positive,
        "loc": constraints.real,
        "scale": constraints.positive,
        "latent_scale": constraints.nonnegative,
        "noise_scale": constraints.nonnegative,
    }

    def __init__(
        self,
        df: Float[Tensor, "*batch"] | float,
        loc: Float[Tensor, "*batch"] | float,
        latent_scale: Float[Tensor, "*batch"] | float,
        noise_scale: Float[Tensor, "*batch"] | float,
        validate_args: bool | None = None,
    ) -> None:
        self.latent_scale: Tensor
        self.noise_scale: Tensor
        df, loc, self.latent_scale, self.noise_scale = broadcast_all(
            df, loc, latent_scale, noise_scale
        )
        scale = torch.hypot(self.latent_scale, self.noise_scale)
        super().__init__(df, loc, scale, validate_args=validate_args)

    @property
    def latent_variance(self) -> Float[Tensor, "*batch"]:
        """The epistemic part of the variance, in y's unit squared; infinite up to df 2."""
        return self._part(self.latent_scale)

    @property
    def noise_variance(self) -> Float[Tensor, "*batch"]:
        """The aleatoric part of the variance, in y's unit squared; infinite up to df 2."""
        return self._part(self.noise_scale)

    def expand(
        self, batch_shape: Size | Sequence[int], _instance: Any = None
    ) -> "StudentTMarginal":
        """Return the distribution with a larger batch shape, without copying its parameters."""
        new = self._get_checked_instance(StudentTMarginal, _instance)
        new.latent_scale = self.latent_scale.expand(batch_shape)
        new.noise_scale = self.noise_scale.expand(batch_shape)
        expanded: StudentTMarginal = super().expand(batch_shape, _instance=new)
        return expanded

    def _part(self, scale: Tensor) -> Tensor:
        finite = self.df > 2
        factor = self.df / (self.df - 2).where(finite, torch.ones_like(self.df))
        infinite = torch.full_like(scale, torch.inf).where(scale > 0, scale)
        return (factor * scale.square()).where(finite, infinite)


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
        # torch's check of concentrations can't take no rows.
        checked = validate_args if concentration.numel() else False
        super().__init__(logits=concentration.log(), validate_args=checked)

    def expand(
        self, batch_shape: Size | Sequence[int], _instance: Any = None
    ) -> "DirichletCategorical":
        """Return the distribution with a larger batch shape, without copying its parameters."""
        new = self._get_checked_instance(DirichletCategorical, _instance)
        new.concentration = self.concentration.expand(*batch_shape, -1)
        expanded: DirichletCategorical = super().expand(batch_shape, _instance=new)
        return expanded
