"""Heavy-tailed noise, as Gaussian noise whose precision is unknown for every row."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from uncertain import checks
from uncertain.gp.likelihoods.base import SMALLEST_NOISE, Quadratic, Regression, Units
from uncertain.predictive import StudentTMarginal


class StudentTNoise(Regression):
    r"""Student-t noise, :math:`y_t = f_t + \sigma_t \epsilon`, :math:`\epsilon \sim t_\nu`.

    Its log density is convex in the squared residual, so a tangent bounds it from below: a weighted
    Gaussian likelihood, of weight :math:`(\nu + 1) / (\nu + \mathrm E (y - f)^2 / \sigma^2)`, which is
    the mean of the row's precision given the others (a scale mixture). At the tangent the bound is
    the log density at the root of :math:`\mathrm E (y - f)^2`.

    Args:
        outputs: T; None for targets (N,).
        noise: Where :math:`\sigma^2` starts, in units of the target's variance, above 1e-6.
        df: Where :math:`\nu` starts, above 2; it is learned.

    Raises:
        ValueError: For numbers out of range.

    References:
        M. E. Tipping and N. D. Lawrence, "Variational inference for Student-t models", 2005.

    Example:
        >>> noise = StudentTNoise(noise=1.0, df=4.0)
        >>> near, far = torch.tensor([[0.0]]), torch.tensor([[9.0]])
        >>> [round(noise.quadratic(y, near, 0 * near).precision.item(), 3) for y in (near, far)]
        [1.25, 0.059]
    """

    closed = True

    def __init__(self, outputs: int | None = None, *, noise: float = 0.05, df: float = 5.0) -> None:
        super().__init__(outputs)
        checks.check_range("noise", noise, SMALLEST_NOISE, open_low=True)
        checks.check_range("df", df, 2, open_low=True)
        self.noise, self.df = noise, df
        start = torch.full((self.width,), noise - SMALLEST_NOISE, dtype=torch.float64)
        self.log_noise = nn.Parameter(start.log())
        self.log_excess = nn.Parameter(torch.full_like(start, df - 2).log())

    def degrees_of_freedom(self) -> Float[Tensor, " T"]:
        """Return the degrees of freedom, above 2."""
        return 2 + self.log_excess.exp()

    def expected(
        self, y: Tensor, mean: Float[Tensor, "N F"], variance: Float[Tensor, "N F"]
    ) -> Float[Tensor, " N"]:
        """Return the lower bound at its tangent."""
        return self._log_density((y - mean).square() + variance).sum(1)

    def quadratic(
        self, y: Tensor, mean: Float[Tensor, "N F"], variance: Float[Tensor, "N F"]
    ) -> Quadratic:
        """Return the tangent in the squared residual."""
        square = ((y - mean).square() + variance).detach()
        noise, df = self._variance(), self.degrees_of_freedom()
        precision = (df + 1) / (df * noise + square)
        constant = self._log_density(square) + 0.5 * precision * (square - y.square())
        return Quadratic(constant.sum(1), precision * y, precision)

    def noise_variance(
        self, mean: Float[Tensor, "*N F"], variance: Float[Tensor, "*N F"]
    ) -> Float[Tensor, "*N T"]:
        """Return the variance of the noise, the same for all rows."""
        df = self.degrees_of_freedom()
        return (self._variance() * df / (df - 2)).expand_as(mean)

    def predictive(
        self,
        mean: Float[Tensor, "N S F"],
        variance: Float[Tensor, "N S F"],
        nodes: Float[Tensor, "S F"],
        units: Units,
    ) -> Distribution:
        """Return members with f at its node: f plus the noise has no closed form."""
        loc = units.loc + units.scale * (mean + variance.sqrt() * nodes)
        noise = (units.scale * self._variance().sqrt()).expand_as(loc)
        df = self.degrees_of_freedom().expand_as(loc)
        parameters = (df, loc, torch.zeros_like(loc), noise)
        return self.of_outputs(StudentTMarginal, *(p.to(units.dtype) for p in parameters))

    def _variance(self) -> Float[Tensor, " T"]:
        return self.log_noise.exp() + SMALLEST_NOISE

    def _log_density(self, square: Float[Tensor, "N T"]) -> Float[Tensor, "N T"]:
        noise, df = self._variance(), self.degrees_of_freedom()
        constant = torch.lgamma((df + 1) / 2) - torch.lgamma(df / 2)
        constant = constant - 0.5 * (math.pi * df * noise).log()
        return constant - 0.5 * (df + 1) * torch.log1p(square / (df * noise))
