"""A network that predicts a normal distribution, in the target's own units."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from uncertain import checks
from uncertain.fit import Batch
from uncertain.predictive import log_prob
from uncertain.predictive.standardisation import checked_standardisation, standardisation


class GaussianRegression(nn.Module):
    r"""A normal distribution whose mean and scale are a network's outputs.

    The network works on standardised targets; the standardisation lives in the module as buffers, so
    that predictions, likelihoods and what is saved are in y's units:

    .. math:: y \mid x \sim \mathcal N(\mathrm{loc} + \mathrm{scale} \cdot a(x),\;
        \mathrm{scale}^2 (\mathrm{softplus}(b(x)) + \varepsilon)^2)

    Args:
        network: From inputs to (N, 2 T): T means a, then T raw scales b.
        loc: () or (T,), the target's centre; () means one target without an axis of its own.
        scale: Of the same shape, the target's spread, above 0.
        minimum_scale: The smallest standard deviation, in units of ``scale``: keeps the likelihood of
            a repeated target bounded.

    Raises:
        ValueError: Where shapes differ or a scale is not above 0.

    References:
        D. A. Nix and A. S. Weigend, "Estimating the mean and variance of the target probability
        distribution", 1994.

    Example:
        >>> y = torch.tensor([10.0, 20.0, 30.0])
        >>> predictor = GaussianRegression.from_data(nn.Linear(2, 2), y)
        >>> predictor.loc, predictor(torch.zeros(5, 2)).batch_shape
        (tensor(20.), torch.Size([5]))
    """

    loc: Tensor
    scale: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        loc: Tensor | float = 0.0,
        scale: Tensor | float = 1.0,
        minimum_scale: float = 1e-3,
    ) -> None:
        super().__init__()
        centre, spread = checked_standardisation(loc, scale)
        checks.check_range("minimum_scale", minimum_scale, 0)
        self.network = network
        self.minimum_scale = minimum_scale
        self.register_buffer("loc", centre)
        self.register_buffer("scale", spread)

    @classmethod
    def from_data(
        cls,
        network: nn.Module,
        y: Float[Tensor, " N"] | Float[Tensor, "N T"],
        *,
        minimum_scale: float = 1e-3,
    ) -> GaussianRegression:
        """Standardise by the mean and standard deviation of training targets.

        Args:
            network: From inputs to (N, 2 T).
            y: (N,) or (N, T) training targets.
            minimum_scale: As for the class.

        Raises:
            ValueError: Where targets are missing, not finite, or all the same.
        """
        loc, scale = standardisation(y)
        return cls(network, loc=loc, scale=scale, minimum_scale=minimum_scale)

    def forward(self, x: Any) -> Distribution:
        """Return a ``Normal`` a row, or an ``Independent`` one over T targets.

        Raises:
            TypeError: Where the network returns no floating tensor.
            ValueError: Where it does not have shape (N, 2 T).
        """
        output = self.network(x)
        if not isinstance(output, Tensor) or not output.is_floating_point():
            what = output.dtype if isinstance(output, Tensor) else type(output).__name__
            raise TypeError(f"`network` should return a floating tensor (N, 2 T), got {what}.")
        targets = self.loc.numel()
        checks.check_shape(
            "network(x)", output, ("N", 2 * targets), hint="a mean and a raw scale a target"
        )
        output = output.to(torch.promote_types(output.dtype, torch.float32))
        mean, raw = output[:, :targets], output[:, targets:]
        spread = self.scale.to(output)
        loc = self.loc.to(output) + spread * mean
        scale = spread * (F.softplus(raw) + self.minimum_scale)
        if self.loc.ndim == 0:
            return Normal(loc[:, 0], scale[:, 0])
        return Independent(Normal(loc, scale), 1)

    def objective(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the weighted mean negative log-likelihood of a batch, in nats and in y's units."""
        return batch.mean(-log_prob(self(batch.x), batch.y))
