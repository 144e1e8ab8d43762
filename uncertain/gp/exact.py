"""The Gaussian process without approximation, for as many rows as that is affordable.

``N`` training rows, ``P`` rows to predict, ``D`` inputs.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import MultivariateNormal

from uncertain import checks
from uncertain.fit import Batch
from uncertain.gp import known_rows
from uncertain.gp.covariances import dense, diagonal, likelihood, stationary
from uncertain.gp.kernels import Kernel
from uncertain.gp.known_rows import KnownRows
from uncertain.gp.plans import Phase
from uncertain.gp.scaling import ScaledModel, Scaling, row_weights
from uncertain.gp.training_data import MOST_ROWS, check_affordable, checked_rows
from uncertain.predictive import GaussianMarginal, import_quietly


class ExactGP(ScaledModel):
    r"""Gaussian-process regression, :math:`y = f(x) + \varepsilon`, in closed form.

    A row of weight :math:`w` counts as :math:`w` copies of itself. With
    :math:`B = I + W^{1/2} K W^{1/2} / \sigma^2` and residuals :math:`r` from the constant mean,

    .. math:: \log p(y) = -\tfrac12 \textstyle\sum_n w_n \log 2 \pi \sigma^2 - \tfrac12 \log |B|
              - \tfrac{1}{2 \sigma^2} r^\top W^{1/2} B^{-1} W^{1/2} r.

    Kernel and noise are GPyTorch's, parameters are kept in float64, and inputs and the target are
    standardised inside. Trained best by L-BFGS on all rows at once: on some of them
    :meth:`objective` is the marginal likelihood of those, repeated, which is another thing. A
    prediction without gradients keeps the factor of the training rows for the next one.

    Args:
        rows: (N, D), standardised training inputs.
        targets: (N,), standardised.
        weights: (N,), at least 0.
        scaling: Of inputs and target.
        kernel: ``"squared_exponential"``, ``"matern_3_2"`` or ``"matern_5_2"``, with a lengthscale for each input.
        noise: Where the noise variance starts, in units of the target's, above 1e-6.

    Raises:
        ValueError: For wrong shapes or numbers out of range.

    References:
        C. E. Rasmussen and C. K. I. Williams, "Gaussian processes for machine learning", 2006,
        equations 2.25, 2.26 and 2.30.

    Example:
        >>> x = torch.linspace(0, 1, 20)[:, None]
        >>> model = ExactGP.from_data(x, (6 * x[:, 0]).sin()).eval()
        >>> near, far = model(torch.tensor([[0.5], [5.0]])).latent_variance
        >>> bool(far > 10 * near)
        True
    """

    rows: Tensor
    targets: Tensor
    weights: Tensor

    def __init__(
        self,
        rows: Float[Tensor, "N D"],
        targets: Float[Tensor, " N"],
        weights: Float[Tensor, " N"],
        *,
        scaling: Scaling,
        kernel: Kernel = "matern_5_2",
        noise: float = 0.05,
    ) -> None:
        super().__init__(scaling)
        checks.check_shape("rows", rows, ("N", len(scaling.input_loc)))
        checks.check_not_empty("rows", rows)
        checks.check_shape("targets", targets, (len(rows),), hint="one target a row")
        self.kernel, self.noise = kernel, noise
        for name, value in (("rows", rows), ("targets", targets)):
            checks.check_finite(name, value)
            self.register_buffer(name, value.detach().to(torch.float64, copy=True))
        self.register_buffer("weights", row_weights(weights.detach(), self.targets).clone())
        inputs = rows.shape[1]
        self.covariance = stationary(kernel, inputs, lengthscale=math.sqrt(inputs))
        self.constant = import_quietly("gpytorch").means.ConstantMean().double()
        self.likelihood = likelihood(noise)

    @classmethod
    def from_data(
        cls,
        x: Float[Tensor, "N D"],
        y: Float[Tensor, " N"],
        *,
        kernel: Kernel = "matern_5_2",
        noise: float = 0.05,
        max_rows: int = MOST_ROWS,
    ) -> ExactGP:
        """Start from training data, with lengthscales at the root of D.

        Args:
            x: (N, D) inputs, floating, finite, no column constant.
            y: (N,) targets.
            kernel: As for the class.
            noise: As for the class.
            max_rows: More rows are refused: one step takes N^3 operations and several N x N
                matrices, at 8 bytes a number.

        Raises:
            TypeError: For integers.
            ValueError: For data that are too few, too many, constant or not finite, or shapes that
                differ.
        """
        data = checked_rows(x, y)
        check_affordable(len(data.x), max_rows, instead="SparseGP")
        scaling = Scaling.of(data)
        target = scaling.target(y.detach(), len(x))
        weights = torch.ones_like(target)
        return cls(data.x, target, weights, scaling=scaling, kernel=kernel, noise=noise)

    def objective(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the negative log marginal likelihood a row, in nats and in y's units.

        Raises:
            TypeError, ValueError: For inputs or targets that do not fit.
            NotPositiveDefiniteError: Where a matrix can not be factorised.
        """
        x, y = self.scaling.inputs(batch.x), self.scaling.target(batch.y, len(batch.x))
        weight = batch.weight.to(y) * (batch.total / len(batch.weight))
        solved = self._solve(x, y, weight)
        noise = self._noise()
        misfit: Tensor = solved.weights @ (y - self.constant(x))
        logs = 2 * solved.factor.diagonal().log().sum()
        count = weight.sum()
        nats = count * (2 * math.pi * noise).log() + logs + misfit
        return (0.5 * nats + count * self.scaling.scale.log()) / batch.total

    @torch.no_grad()
    def condition(
        self,
        x: Float[Tensor, "N D"],
        y: Float[Tensor, " N"],
        weight: Float[Tensor, " N"] | None = None,
    ) -> None:
        """Predict from these rows from now on, at the present parameters and standardisation.

        Args:
            x: (N, D) inputs.
            y: (N,) targets.
            weight: (N,), ones by default.

        Raises:
            TypeError, ValueError: For inputs or targets that do not fit.
        """
        rows, target = self.scaling.inputs(x), self.scaling.target(y, len(x))
        self.rows, self.targets = rows.clone(), target.clone()
        self.weights = row_weights(weight, target).clone()

    def forward(self, x: Float[Tensor, "P D"]) -> GaussianMarginal:
        """Return a ``GaussianMarginal`` a row.

        Raises:
            TypeError, ValueError: For inputs that are not floating, not finite or not (P, D).
        """
        asked = self.scaling.inputs(x)
        solved = self._training_rows()
        cross = dense(self.covariance, self.rows, asked)
        mean, variance = known_rows.moments(solved, cross, diagonal(self.covariance, asked))
        mean = self.constant(asked) + mean
        return self.scaling.marginal(mean, variance, self._noise(), x.dtype)

    def joint_functions(self, x: Float[Tensor, "*b P D"]) -> MultivariateNormal:
        """Return f over all rows together, in y's units.

        Args:
            x: (..., P, D), with leading axes for several sets of rows.

        Returns:
            Batch shape (..., 1), the one member of an exact posterior; event shape (P,). In float64,
            with 1e-8 of the target's variance on the diagonal.

        Raises:
            TypeError, ValueError: For inputs that do not fit.
        """
        rows = x.shape[-2]
        asked = self.scaling.inputs(x.reshape(-1, x.shape[-1]))
        solved = self._training_rows()
        cross = dense(self.covariance, self.rows, asked)
        prior = dense(self.covariance, asked.unflatten(0, (-1, rows)))
        mean, covariance = known_rows.joint(solved, cross, prior)
        mean = self.constant(asked) + mean.flatten()
        covariance = covariance + 1e-8 * torch.eye(rows).to(asked)
        shape, scale = (*x.shape[:-2], 1), self.scaling.scale
        return MultivariateNormal(
            (self.scaling.loc + scale * mean).reshape(*shape, rows),
            (scale.square() * covariance).reshape(*shape, rows, rows),
        )

    def noise_variances(self) -> Float[Tensor, " T"]:
        """Return the variance of the noise, in the square of y's units; one number."""
        return (self.scaling.scale.square() * self._noise()).reshape(1)

    def fitting_plan(self) -> tuple[Phase, ...]:
        """Return how :func:`uncertain.gp.fit` fits it: up to 100 iterations of L-BFGS."""
        return (Phase(5, method="lbfgs"),)

    def constructor_arguments(self) -> dict[str, Any]:
        """Return what builds this module again, apart from its state."""
        names = ("rows", "targets", "weights", "scaling", "kernel", "noise")
        return {name: getattr(self, name) for name in names}

    def _noise(self) -> Float[Tensor, ""]:
        value: Tensor = self.likelihood.noise.squeeze()
        return value

    def _training_rows(self) -> KnownRows:
        """Solve for the training rows, or take what was kept where nothing can have changed."""
        state = [*self.parameters(), *self.buffers()]
        found: KnownRows = self.kept(
            lambda: self._solve(self.rows, self.targets, self.weights), state
        )
        return found

    def _solve(self, x: Tensor, y: Tensor, weight: Tensor) -> KnownRows:
        noise = self._noise()
        told = f"the noise variance is {float(noise.detach()):.3g} of the target's: raise `noise`"
        residual = y - self.constant(x)
        return known_rows.solve(dense(self.covariance, x), residual, weight / noise, remedy=told)
