r"""The deep Gaussian process in the usual sense: processes of processes, made of GPyTorch's layers.

``N`` rows, ``D`` inputs, ``Q`` units of a hidden layer, ``M`` inducing points, ``S`` members.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import MixtureSameFamily

from uncertain import checks
from uncertain.fit import Batch
from uncertain.gp.bounds import best_posterior
from uncertain.gp.covariances import dense, likelihood, stationary
from uncertain.gp.factors import cholesky
from uncertain.gp.initialisation import projection
from uncertain.gp.plans import Phase
from uncertain.gp.scaling import MEMBERS, ScaledModel, Scaling
from uncertain.gp.sparse import checked_points, starting_points
from uncertain.gp.training_data import checked_rows
from uncertain.predictive import import_quietly, mixture
from uncertain.predictive.nodes import normal_nodes

gpytorch: Any = import_quietly("gpytorch")

_POINTS = 100
_ROWS = 1024
_INNER_VARIANCE = 1e-2
_INNER_ROOT = 1e-3


_DeepGPLayer: Any = gpytorch.models.deep_gps.DeepGPLayer


class Layer(_DeepGPLayer):  # type: ignore[misc]
    """One layer: Q independent processes, or a single one without a dimension of units.

    Whitened inducing variables with full covariances. A hidden layer has a linear mean *for each
    unit*, and starts near it: small variances of the process and of its posterior.

    Args:
        inducing_points: (M, D).
        units: Q; ``None`` for the last layer, which has a constant mean.
        slope: (Q, D), where the linear mean of a hidden layer starts.
    """

    def __init__(
        self,
        inducing_points: Float[Tensor, "M D"],
        *,
        units: int | None = None,
        slope: Float[Tensor, "Q D"] | None = None,
    ) -> None:
        count, inputs = inducing_points.shape
        batch = torch.Size() if units is None else torch.Size([units])
        q = gpytorch.variational.CholeskyVariationalDistribution(count, batch, mean_init_std=0.0)
        points = inducing_points if units is None else inducing_points.repeat(units, 1, 1)
        strategy = gpytorch.variational.VariationalStrategy(self, points, q)
        super().__init__(strategy, inputs, units)
        self.covar_module = stationary(
            "squared_exponential", inputs, lengthscale=math.sqrt(inputs), batch=units
        )
        if units is None or slope is None:
            self.mean_module = gpytorch.means.ConstantMean()
        else:
            self.mean_module = gpytorch.means.LinearMean(inputs, batch_shape=batch)
            self.mean_module.weights.data = slope[:, :, None].clone()
            self.mean_module.bias.data.zero_()
            self.covar_module.outputscale = _INNER_VARIANCE
            q.chol_variational_covar.data.mul_(_INNER_ROOT)
        # GPyTorch would set both to the prior at the first call, and draw from the global generator.
        strategy.variational_params_initialized.fill_(1)
        self.double()

    def forward(self, x: Tensor) -> Any:
        """Return the prior at some rows."""
        return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))

    def moments(self, x: Float[Tensor, "*S N D"]) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the posterior, (..., N, Q) or (..., N)."""
        # What GPyTorch keeps from the step before belongs to the parameters before it.
        gpytorch.utils.memoize.clear_cache_hook(self.variational_strategy)
        inputs = x if self.output_dims is None else x.unsqueeze(-3)
        found = self.variational_strategy(inputs)
        if self.output_dims is None:
            return found.mean, found.variance
        return found.mean.mT, found.variance.mT


class CompositionalDeepGP(ScaledModel):
    r"""The deep process :math:`y = f(h(x)) + \varepsilon` of GPyTorch, started as it should be.

    Trained by doubly stochastic variational inference: in training every row goes through draws of
    its own, else through S fixed quasi-random nodes, the same for every row and call, over which the
    prediction mixes. Unlike in the example that most people copy, each hidden unit has a linear mean
    of its own, which starts as the identity or the leading principal directions, inducing points are
    k-means centres mapped through the means, and hidden variances start small.

    Args:
        inducing_points: (M, D), of standardised inputs.
        scaling: Of inputs and target.
        slope: (Q, D), where the first layer's linear mean starts; further layers' is the identity.
        hidden_layers: How many.
        noise: Where the noise variance starts, in units of the target's, above 1e-6.
        members: S.
        samples: Those of a training step.
        seed: Of the members.

    Raises:
        ValueError: For wrong shapes or numbers out of range.

    References:
        H. Salimbeni and M. Deisenroth, "Doubly stochastic variational inference for deep Gaussian
        processes", 2017.

    Example:
        >>> x = torch.rand(40, 2, generator=torch.Generator().manual_seed(0))
        >>> model = CompositionalDeepGP.from_data(x, (6 * x[:, 0]).sin(), num_inducing=8, members=4)
        >>> model(x[:3]).component_distribution.batch_shape
        torch.Size([3, 4])
    """

    nodes: Tensor
    _MOST_AT_START = 5000

    def __init__(
        self,
        inducing_points: Float[Tensor, "M D"],
        *,
        scaling: Scaling,
        slope: Float[Tensor, "Q D"],
        hidden_layers: int = 1,
        noise: float = 0.05,
        members: int = MEMBERS,
        samples: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(scaling)
        points = checked_points(inducing_points, scaling)
        checks.check_shape("slope", slope, ("Q", points.shape[1]))
        checks.check_range("hidden_layers", hidden_layers, 1)
        checks.check_range("members", members, 1)
        checks.check_range("samples", samples, 1)
        self.inducing_points, self.slope, self.noise = points, slope, noise
        self.hidden_layers, self.members = hidden_layers, members
        self.samples, self.seed = samples, seed
        step, units = slope.detach().to(points), len(slope)
        self.hidden = nn.ModuleList()
        for _ in range(hidden_layers):
            self.hidden.append(Layer(points, units=units, slope=step))
            points = points @ step.T
            step = torch.eye(units).to(points)
        self.last = Layer(points)
        self.likelihood = likelihood(noise)
        fixed = normal_nodes(members, hidden_layers * units, seed)
        fixed = fixed.reshape(members, hidden_layers, units).to(points)
        self.register_buffer("nodes", fixed, persistent=False)

    @classmethod
    def from_data(
        cls,
        x: Float[Tensor, "N D"],
        y: Float[Tensor, " N"],
        *,
        hidden_layers: int = 1,
        latent_dim: int | None = None,
        num_inducing: int | None = None,
        inducing_points: Float[Tensor, "M D"] | None = None,
        noise: float = 0.05,
        members: int = MEMBERS,
        samples: int = 1,
        seed: int = 0,
    ) -> CompositionalDeepGP:
        """Start from training data, as a sparse process on what the linear means make of it.

        Args:
            x: (N, D) inputs, floating, finite, no column constant.
            y: (N,) targets.
            hidden_layers: As for the class.
            latent_dim: Q; by default D, at most 8.
            num_inducing: M, in every layer; by default 100, or N where that is less.
            inducing_points: (M, D) in the units of x, in place of k-means (which needs scikit-learn).
            noise: As for the class.
            members: As for the class.
            samples: As for the class.
            seed: Of k-means and of the members.

        Raises:
            TypeError: For integers.
            ValueError: For data that are too few, constant or not finite, shapes that differ, or
                more inducing points than rows.
        """
        data = checked_rows(x, y)
        width = min(8, x.shape[1]) if latent_dim is None else latent_dim
        checks.check_range("latent_dim", width, 1)
        matrix = projection(data.x, width)
        model = cls(
            starting_points(data, num_inducing, inducing_points, seed, most=_POINTS),
            scaling=Scaling.of(data),
            # Of unit length a row, so that each layer passes distances on as they are.
            slope=matrix / matrix.norm(dim=1, keepdim=True).clamp(min=1e-12),
            hidden_layers=hidden_layers,
            noise=noise,
            members=members,
            samples=samples,
            seed=seed,
        )
        model._start_last(data.x, model.scaling.target(y.detach(), len(x)))
        return model

    def objective(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the negative evidence lower bound a row, in nats and in y's units.

        In training, an estimate by ``samples`` draws of torch's global generator.

        Raises:
            TypeError, ValueError: For inputs or targets that do not fit.
        """
        x, y = self.scaling.inputs(batch.x), self.scaling.target(batch.y, len(batch.x))
        units = len(self.slope)
        if self.training:
            shape = (self.samples, self.hidden_layers, len(x), units)
            nodes = torch.randn(shape, dtype=torch.float64).to(x)
        else:
            nodes = self.nodes[:, :, None]
        mean, variance = self._latent(x, nodes)
        noise = self.likelihood.noise.squeeze()
        square = ((y - mean).square() + variance) / noise
        rows: Tensor = 0.5 * (square + (2 * math.pi * noise).log()).mean(0)
        rows = rows + self.scaling.scale.log()
        parts = [layer.variational_strategy.kl_divergence().sum() for layer in self._layers()]
        divergence = torch.stack(parts).sum() / batch.total
        data: Tensor = (batch.weight.to(rows) * rows).mean()
        return data + divergence

    def forward(self, x: Float[Tensor, "N D"]) -> MixtureSameFamily:
        """Return the mixture of ``GaussianMarginal`` over the nodes of the hidden layers.

        Raises:
            TypeError, ValueError: For inputs that are not floating, not finite or not (N, D).
        """
        rows, nodes = self.scaling.inputs(x), self.nodes[:, :, None]
        firsts = range(0, max(len(rows), 1), _ROWS)
        parts = [self._latent(rows[i : i + _ROWS], nodes) for i in firsts]
        mean, variance = (torch.cat(part, 1).T for part in zip(*parts, strict=True))
        noise = self.likelihood.noise.squeeze()
        return mixture(self.scaling.marginal(mean, variance, noise, x.dtype))

    def fitting_plan(self) -> tuple[Phase, ...]:
        """Return how :func:`uncertain.gp.fit` fits it: by many steps of Adam, since they are noisy."""
        return (Phase(3000, rate=0.01, batch_size=1000),)

    def constructor_arguments(self) -> dict[str, Any]:
        """Return what builds this module again, apart from its state."""
        names = ("inducing_points", "scaling", "slope", "hidden_layers", "noise")
        return {name: getattr(self, name) for name in (*names, "members", "samples", "seed")}

    @torch.no_grad()
    def _start_last(self, x: Float[Tensor, "N D"], y: Float[Tensor, " N"]) -> None:
        """Set the last layer's posterior to the best one on the means of the layers before."""
        rows = x[: self._MOST_AT_START]
        h = rows
        for layer in self.hidden:
            h = layer.moments(h)[0]  # type: ignore[operator]
        strategy, kernel = self.last.variational_strategy, self.last.covar_module
        points = strategy.inducing_points
        eye = torch.eye(len(points)).to(points)
        factor = cholesky(
            dense(kernel, points) + strategy.jitter_val * eye,
            name="K_ZZ",
            remedy="take fewer inducing points, or spread them",
        )
        cross = dense(kernel, points, h)
        response = torch.linalg.solve_triangular(factor, cross, upper=False)
        scale = len(x) / len(rows)
        second = scale * response @ response.T
        noise = self.likelihood.noise.squeeze()
        found = best_posterior(scale * response @ y[: len(rows)], second, noise)
        q = strategy._variational_distribution
        q.variational_mean.copy_(found.mean)
        q.chol_variational_covar.copy_(torch.linalg.cholesky(torch.cholesky_inverse(found.factor)))

    def _layers(self) -> list[Any]:
        return [*self.hidden, self.last]

    def _latent(
        self, x: Float[Tensor, "N D"], nodes: Float[Tensor, "S L *N Q"]
    ) -> tuple[Float[Tensor, "S N"], Float[Tensor, "S N"]]:
        h = x
        for place, layer in enumerate(self.hidden):
            mean, variance = layer.moments(h)  # type: ignore[operator]
            h = mean + variance.clamp(min=0).sqrt() * nodes[:, place]
        moments: tuple[Tensor, Tensor] = self.last.moments(h)
        return moments
