"""The stationary sparse Gaussian process: what a bent one has to beat.

``N`` rows, ``D`` inputs, ``M`` inducing points.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uncertain import checks
from uncertain.gp.covariances import dense, diagonal, stationary
from uncertain.gp.inducing import InducingPointGP, Whitened
from uncertain.gp.initialisation import cluster_centres
from uncertain.gp.kernels import Kernel
from uncertain.gp.plans import Phase
from uncertain.gp.scaling import Scaling
from uncertain.gp.training_data import TrainingData, checked_inputs, checked_rows
from uncertain.predictive import GaussianMarginal, import_quietly

_POINTS = 100
WHOLE = 2000
"""Rows up to which all of them go into a step."""


class SparseGP(InducingPointGP):
    """Gaussian-process regression through inducing points, with a kernel of GPyTorch.

    On all rows at once the objective is the collapsed bound of Titsias; on fewer the stochastic one
    of Hensman, Fusi and Lawrence, whose posterior moves by natural-gradient steps. Parameters are
    kept in float64; inputs and the target are standardised inside. Call :meth:`condition` with the
    training data after ``fit``.

    Args:
        inducing_points: (M, D), of standardised inputs.
        rows: How many rows there are to train on.
        scaling: Of inputs and target.
        kernel: ``"squared_exponential"``, ``"matern_3_2"`` or ``"matern_5_2"``, with a lengthscale for each input.
        noise: Where the noise variance starts, in units of the target's, above 1e-6.
        rate: Of the natural-gradient steps, in (0, 1].
        jitter: Added to the diagonal of the inducing points' covariance, relative to its variance.

    Raises:
        ValueError: For wrong shapes or numbers out of range.

    References:
        M. K. Titsias, "Variational learning of inducing variables in sparse Gaussian processes",
        2009; J. Hensman, N. Fusi and N. D. Lawrence, "Gaussian processes for big data", 2013.

    Example:
        >>> x = torch.linspace(0, 1, 200)[:, None]
        >>> model = SparseGP.from_data(x, (6 * x[:, 0]).sin(), num_inducing=10)
        >>> near, far = model(torch.tensor([[0.5], [5.0]])).latent_variance
        >>> bool(far > 10 * near)
        True
    """

    def __init__(
        self,
        inducing_points: Float[Tensor, "M D"],
        *,
        rows: int,
        scaling: Scaling,
        kernel: Kernel = "matern_5_2",
        noise: float = 0.05,
        rate: float = 0.1,
        jitter: float = 1e-6,
    ) -> None:
        points = checked_points(inducing_points, scaling)
        super().__init__(
            len(points), rows=rows, scaling=scaling, noise=noise, rate=rate, jitter=jitter
        )
        self.kernel = kernel
        self.inducing_points = nn.Parameter(points)
        inputs = points.shape[1]
        self.covariance = stationary(kernel, inputs, lengthscale=math.sqrt(inputs))
        self.constant = import_quietly("gpytorch").means.ConstantMean().double()

    @classmethod
    def from_data(
        cls,
        x: Float[Tensor, "N D"],
        y: Float[Tensor, " N"],
        *,
        num_inducing: int | None = None,
        inducing_points: Float[Tensor, "M D"] | None = None,
        kernel: Kernel = "matern_5_2",
        noise: float = 0.05,
        seed: int = 0,
    ) -> SparseGP:
        """Start from training data, with k-means centres and lengthscales at the root of D.

        Args:
            x: (N, D) inputs, floating, finite, no column constant.
            y: (N,) targets.
            num_inducing: M; by default 100, or N where that is less.
            inducing_points: (M, D) in the units of x, in place of k-means (which needs scikit-learn).
            kernel: As for the class.
            noise: As for the class.
            seed: Of k-means.

        Raises:
            TypeError: For integers.
            ValueError: For data that are too few, constant or not finite, shapes that differ, or
                more inducing points than rows.
        """
        data = checked_rows(x, y)
        points = starting_points(data, num_inducing, inducing_points, seed)
        scaling = Scaling.of(data)
        model = cls(points, rows=len(x), scaling=scaling, kernel=kernel, noise=noise)
        model.condition(x, y)
        return model

    def forward(self, x: Float[Tensor, "N D"]) -> GaussianMarginal:
        """Return a ``GaussianMarginal`` a row.

        Raises:
            TypeError, ValueError: For inputs that are not floating, not finite or not (N, D).
        """
        mean, variance = self.latent_moments(self.whitened(self.scaling.inputs(x)))
        return self.scaling.marginal(mean[0], variance[0], self.noise_variance(), x.dtype)

    def whitened(self, x: Float[Tensor, "N D"]) -> Whitened:
        """Return the kernel at standardised rows, seen from the inducing points."""
        return stationary_response(self, x, self.inducing_points)

    def prior_divergence(self) -> Float[Tensor, ""]:
        """Return 0: nothing but the latent function is uncertain."""
        return self.cross.new_zeros(())

    def fitting_plan(self) -> tuple[Phase, ...]:
        """Return how :func:`uncertain.gp.fit` fits it: by L-BFGS while all rows go into a step."""
        if self.rows <= WHOLE:
            return (Phase(8, method="lbfgs"),)
        return (Phase(1500, rate=0.02, batch_size=500),)

    def constructor_arguments(self) -> dict[str, Any]:
        """Return what builds this module again, apart from its state."""
        names = ("inducing_points", "kernel")
        return {name: getattr(self, name) for name in names} | self._common_arguments()


def stationary_response(
    model: Any, features: Float[Tensor, "N Q"], points: Float[Tensor, "M Q"]
) -> Whitened:
    """Return a stationary kernel at rows and points of one space.

    Args:
        model: With ``covariance``, ``constant`` and ``factor``.
        features: (N, Q).
        points: (M, Q).
    """
    variance = model.covariance.outputscale
    factor = model.factor(dense(model.covariance, points), variance)
    cross = dense(model.covariance, points, features)
    response = torch.linalg.solve_triangular(factor, cross, upper=False)
    prior = diagonal(model.covariance, features)
    return Whitened(response[None], prior[None], model.constant(features))


def checked_points(points: Any, scaling: Scaling) -> Float[Tensor, "M D"]:
    """Return inducing points in float64 after checking that they are.

    Raises:
        ValueError: For a wrong shape, none at all, or numbers that are not finite.
    """
    checks.check_shape("inducing_points", points, ("M", len(scaling.input_loc)))
    checks.check_not_empty("inducing_points", points)
    checks.check_finite("inducing_points", points)
    wide: Tensor = points.detach().to(torch.float64, copy=True)
    return wide


def starting_points(
    data: TrainingData, count: int | None, given: Tensor | None, seed: int, *, most: int = _POINTS
) -> Float[Tensor, "M D"]:
    """Return inducing points of standardised inputs: those given, or k-means centres.

    Args:
        data: Checked and standardised rows.
        count: How many; by default ``most``, or as many as rows where that is less.
        given: (M, D) in the user's units.
        seed: Of k-means.
        most: How many by default.

    Raises:
        ValueError: For more points than rows, or both ``count`` and ``given``.
    """
    if given is not None:
        if count is not None:
            raise ValueError(
                "`num_inducing` should be left out where `inducing_points` are given, got both."
            )
        checked_inputs(given, data.x.shape[1], name="inducing_points")
        loc, scale = data.input_scaling
        return (given.detach().to(data.x) - loc) / scale
    rows = len(data.x)
    wanted = min(most, rows) if count is None else count
    hint = f"there are {rows} rows: take no more points than that"
    checks.check_range("num_inducing", wanted, 1, rows, hint=hint)
    return cluster_centres(data.x, wanted, seed)
