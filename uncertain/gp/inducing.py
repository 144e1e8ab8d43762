r"""What sparse processes share: a Gaussian posterior at inducing points, from statistics of the data.

``N`` rows, ``M`` inducing points, ``S`` draws of what the kernel depends on.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain import checks
from uncertain.fit import Batch
from uncertain.gp.bounds import (
    Posterior,
    Statistics,
    best_posterior,
    collapsed_bound,
    uncollapsed_bound,
)
from uncertain.gp.covariances import likelihood
from uncertain.gp.factors import cholesky
from uncertain.gp.scaling import ScaledModel, Scaling, row_weights


class Whitened(NamedTuple):
    r"""A kernel at some rows, seen from the inducing points.

    Attributes:
        response: (S, M, N), :math:`L^{-1} k(Z, x)` with :math:`L L^\top = K_{ZZ}`.
        prior: (S, N), :math:`k(x, x)`.
        mean: (N,), the prior mean.
    """

    response: Float[Tensor, "S M N"]
    prior: Float[Tensor, "S N"]
    mean: Float[Tensor, " N"]


class InducingPointGP(ScaledModel):
    r"""Regression by a sparse process whose posterior is always the best one for its statistics.

    The whitened statistics of the data, :math:`r = \mathrm E\, A W (y - m)` and
    :math:`R = \mathrm E\, A W A^\top` with :math:`A = L^{-1} K_{ZX}`, are buffers; the expectation is
    over draws where the kernel itself is uncertain. In training a batch of all rows gives the
    collapsed bound and replaces them; a smaller one gives the uncollapsed bound at the posterior as it
    was, and then moves them by ``rate``: a natural-gradient step.

    Args:
        count: M.
        rows: How many rows there are to train on.
        scaling: Of inputs and target.
        noise: Where the noise variance starts, in units of the target's, above 1e-6.
        rate: Of the natural-gradient steps, in (0, 1].
        jitter: Added to the diagonal of the inducing points' covariance, relative to its scale.
    """

    cross: Tensor
    second: Tensor
    chunk = 4096
    """Rows that are looked at together where gradients are not needed."""

    def __init__(
        self,
        count: int,
        *,
        rows: int,
        scaling: Scaling,
        noise: float,
        rate: float,
        jitter: float,
    ) -> None:
        super().__init__(scaling)
        checks.check_range("rows", rows, 1)
        checks.check_range("rate", rate, 0, 1, open_low=True)
        checks.check_range("jitter", jitter, 0)
        self.rows, self.noise, self.rate, self.jitter = rows, noise, rate, jitter
        self.likelihood = likelihood(noise)
        like = scaling.input_loc
        self.register_buffer("cross", like.new_zeros(count))
        self.register_buffer("second", like.new_zeros(count, count))

    @abstractmethod
    def whitened(self, x: Float[Tensor, "N D"]) -> Whitened:
        """Return the kernel at standardised rows: the same at every call, draws included."""

    def sampled(self, x: Float[Tensor, "N D"]) -> Whitened:
        """Return the same by new draws, where the kernel depends on any."""
        return self.whitened(x)

    @abstractmethod
    def prior_divergence(self) -> Float[Tensor, ""]:
        """Return the divergence of what the kernel depends on from its prior, in nats."""

    def objective(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the negative evidence lower bound a row, in nats and in y's units.

        In training it also moves the statistics that the posterior follows from.

        Raises:
            TypeError, ValueError: For inputs or targets that do not fit.
            NotPositiveDefiniteError: Where a matrix can not be factorised.
        """
        x, y = self.scaling.inputs(batch.x), self.scaling.target(batch.y, len(batch.x))
        weight = batch.weight.to(y) * (batch.total / len(batch.weight))
        seen = self.sampled(x) if self.training else self.whitened(x)
        data = _statistics(seen, y, weight)
        if self.training and len(weight) >= self.rows:
            bound, rate = collapsed_bound(data, self.noise_variance()), 1.0
        else:
            bound = uncollapsed_bound(data, self.noise_variance(), self.posterior())
            rate = self.rate
        if self.training:
            self._move(data, rate)
        nats = bound - data.count * self.scaling.scale.log()
        return (self.prior_divergence() - nats) / batch.total

    @torch.no_grad()
    def condition(
        self,
        x: Float[Tensor, "N D"],
        y: Float[Tensor, " N"],
        weight: Float[Tensor, " N"] | None = None,
    ) -> None:
        """Set the posterior to the best one for these rows at the present parameters.

        One pass over the rows; no parameter changes. Call it after training, which leaves the
        posterior a step behind.

        Args:
            x: (N, D) inputs.
            y: (N,) targets.
            weight: (N,), ones by default.

        Raises:
            TypeError, ValueError: For inputs or targets that do not fit.
        """
        rows, target = self.scaling.inputs(x), self.scaling.target(y, len(x))
        weights = row_weights(weight, target)
        self.cross.zero_()
        self.second.zero_()
        for first in range(0, len(rows), self.chunk):
            part = slice(first, first + self.chunk)
            data = _statistics(self.whitened(rows[part]), target[part], weights[part])
            self.cross += data.cross
            self.second += data.second

    def noise_variance(self) -> Float[Tensor, ""]:
        """Return the variance of the noise in units of the target's variance; above 1e-6."""
        value: Tensor = self.likelihood.noise.squeeze()
        return value

    def posterior(self) -> Posterior:
        """Return the posterior of the whitened inducing variables."""
        # Copies: training moves the buffers while this graph is still needed.
        return best_posterior(self.cross.clone(), self.second.clone(), self.noise_variance())

    def latent_moments(self, seen: Whitened) -> tuple[Float[Tensor, "S N"], Float[Tensor, "S N"]]:
        """Return mean and variance of the latent function at some rows, for every draw.

        Args:
            seen: The rows, seen from the inducing points.
        """
        q = self.posterior()
        mean = seen.mean + torch.einsum("m,smn->sn", q.mean, seen.response)
        spread = torch.linalg.solve_triangular(q.factor, seen.response, upper=False)
        known = seen.response.square().sum(1) - spread.square().sum(1)
        return mean, seen.prior - known

    def factor(
        self, matrix: Float[Tensor, "*batch M M"], scale: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch M M"]:
        """Return the Cholesky factor of the inducing points' covariance with its jitter.

        Args:
            matrix: (..., M, M).
            scale: (...), the kernel's variance.
        """
        eye = torch.eye(matrix.shape[-1]).to(matrix)
        return cholesky(
            matrix + self.jitter * scale[..., None, None] * eye,
            name="K_ZZ",
            remedy=f"raise `jitter` above {self.jitter:g}, take fewer inducing points, or spread them",
        )

    @torch.no_grad()
    def _move(self, data: Statistics, rate: float) -> None:
        # In place, so that whoever holds the buffers to put them back holds these.
        self.cross.lerp_(data.cross, rate)
        self.second.lerp_(data.second, rate)

    def _common_arguments(self) -> dict[str, Any]:
        names = ("scaling", "noise", "rate", "jitter")
        return {"rows": self.rows} | {name: getattr(self, name) for name in names}


def _statistics(seen: Whitened, y: Float[Tensor, " N"], weight: Float[Tensor, " N"]) -> Statistics:
    residual = y - seen.mean
    draws = len(seen.response)
    scaled = (seen.response * weight.sqrt()).transpose(0, 1).flatten(1)
    return Statistics(
        count=weight.sum(),
        squares=(weight * residual.square()).sum(),
        prior=(weight * seen.prior).sum() / draws,
        cross=seen.response.mean(0) @ (weight * residual),
        second=scaled @ scaled.T / draws,
    )
