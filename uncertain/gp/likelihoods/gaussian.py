"""Gaussian noise: of one size an output, or of a size that varies over the inputs."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from uncertain import checks
from uncertain.gp.likelihoods.base import SMALLEST_NOISE, Quadratic, Regression, Units
from uncertain.predictive import GaussianMarginal

_LOG_TWO_PI = math.log(2 * math.pi)


class GaussianNoise(Regression):
    r"""Noise of one size an output, :math:`y_t \sim N(f_t, \sigma_t^2)`.

    Args:
        outputs: T; None for targets (N,).
        noise: Where the variance starts, in units of the target's, above 1e-6.

    Raises:
        ValueError: For numbers out of range.

    Example:
        >>> y, mean = torch.zeros(1, 1), torch.ones(1, 1)
        >>> GaussianNoise(noise=0.5).expected(y, mean, torch.zeros(1, 1)).isclose(
        ...     torch.distributions.Normal(1.0, 0.5**0.5).log_prob(torch.tensor(0.0)).double()
        ... )
        tensor([True])
    """

    closed = True

    def __init__(self, outputs: int | None = None, *, noise: float = 0.05) -> None:
        super().__init__(outputs)
        checks.check_range("noise", noise, SMALLEST_NOISE, open_low=True)
        self.noise = noise
        start = torch.full((self.width,), noise - SMALLEST_NOISE, dtype=torch.float64)
        self.log_noise = nn.Parameter(start.log())

    def expected(
        self, y: Tensor, mean: Float[Tensor, "N F"], variance: Float[Tensor, "N F"]
    ) -> Float[Tensor, " N"]:
        """Return the expected log likelihood, exactly."""
        noise = self._variance()
        square = (y - mean).square() + variance
        return -0.5 * (_LOG_TWO_PI + noise.log() + square / noise).sum(1)

    def quadratic(
        self, y: Tensor, mean: Float[Tensor, "N F"], variance: Float[Tensor, "N F"]
    ) -> Quadratic:
        """Return the log likelihood itself."""
        noise = self._variance()
        constant = -0.5 * (_LOG_TWO_PI + noise.log() + y.square() / noise).sum(1)
        return Quadratic(constant, y / noise, (1 / noise).expand_as(y))

    def noise_variance(
        self, mean: Float[Tensor, "*N F"], variance: Float[Tensor, "*N F"]
    ) -> Float[Tensor, "*N T"]:
        """Return the variance of the noise, the same for all rows."""
        return self._variance().expand_as(mean)

    def predictive(
        self,
        mean: Float[Tensor, "N S F"],
        variance: Float[Tensor, "N S F"],
        nodes: Float[Tensor, "S F"],
        units: Units,
    ) -> Distribution:
        """Return members that keep what f is unsure of."""
        noise = units.scale * self._variance().sqrt().expand_as(mean)
        loc, spread = units.loc + units.scale * mean, units.scale * variance.sqrt()
        return self.of_outputs(GaussianMarginal, *(t.to(units.dtype) for t in (loc, spread, noise)))

    def _variance(self) -> Float[Tensor, " T"]:
        return self.log_noise.exp() + SMALLEST_NOISE


class HeteroscedasticNoise(Regression):
    r"""Noise whose logarithm is a latent function too, :math:`y_t \sim N(f_t, e^{g_t + c_t})`.

    Of 2 T latent functions the first T are f, the others g. The expected log likelihood has a closed
    form, but is no quadratic in g.

    Args:
        outputs: T; None for targets (N,).
        noise: Where the variance starts, in units of the target's, above 1e-6.

    Raises:
        ValueError: For numbers out of range.

    References:
        M. Lazaro-Gredilla and M. K. Titsias, "Variational heteroscedastic Gaussian process
        regression", 2011, equation 6.

    Example:
        >>> noise = HeteroscedasticNoise(noise=0.25)
        >>> noise.noise_variance(torch.zeros(1, 2), torch.zeros(1, 2))
        tensor([[0.2500]], dtype=torch.float64, grad_fn=<ExpBackward0>)
    """

    def __init__(self, outputs: int | None = None, *, noise: float = 0.05) -> None:
        super().__init__(outputs)
        checks.check_range("noise", noise, SMALLEST_NOISE, open_low=True)
        self.noise, self.functions = noise, 2 * self.width
        start = torch.full((self.width,), noise, dtype=torch.float64)
        self.log_noise = nn.Parameter(start.log())

    def expected(
        self, y: Tensor, mean: Float[Tensor, "N F"], variance: Float[Tensor, "N F"]
    ) -> Float[Tensor, " N"]:
        """Return the expected log likelihood, exactly."""
        square, inverse, log_noise = self._parts(y, mean, variance)
        return -0.5 * (_LOG_TWO_PI + log_noise + square * inverse).sum(1)

    def quadratic(
        self, y: Tensor, mean: Float[Tensor, "N F"], variance: Float[Tensor, "N F"]
    ) -> Quadratic:
        """Return the quadratic of the same derivatives in the moments of f and g."""
        square, inverse, log_noise = self._parts(y, mean, variance)
        curvature = 0.5 * square * inverse
        slope = curvature - 0.5
        linear = torch.cat([y * inverse, slope + curvature * mean[:, self.width :]], 1)
        constant = -0.5 * (_LOG_TWO_PI + log_noise + square * inverse).sum(1)
        return Quadratic(constant, linear, torch.cat([inverse, curvature], 1))

    def noise_variance(
        self, mean: Float[Tensor, "*N F"], variance: Float[Tensor, "*N F"]
    ) -> Float[Tensor, "*N T"]:
        """Return the mean of the log-normal variance."""
        centre, spread = mean[..., self.width :], variance[..., self.width :]
        return (centre + self.log_noise + spread / 2).exp()

    def predictive(
        self,
        mean: Float[Tensor, "N S F"],
        variance: Float[Tensor, "N S F"],
        nodes: Float[Tensor, "S F"],
        units: Units,
    ) -> Distribution:
        """Return members with g at its node and f integrated out."""
        t = self.width
        logs = mean[..., t:] + variance[..., t:].sqrt() * nodes[:, t:] + self.log_noise
        noise = units.scale * (logs / 2).exp()
        loc = units.loc + units.scale * mean[..., :t]
        spread = units.scale * variance[..., :t].sqrt()
        return self.of_outputs(GaussianMarginal, *(p.to(units.dtype) for p in (loc, spread, noise)))

    def _parts(self, y: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return E (y - f)^2, E 1 / noise and E log noise."""
        t = self.width
        square = (y - mean[:, :t]).square() + variance[:, :t]
        log_noise = mean[:, t:] + self.log_noise
        return square, (variance[:, t:] / 2 - log_noise).exp(), log_noise
