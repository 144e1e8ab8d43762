"""Any number of hidden layers, any likelihood, any base kernel, several outputs.

``N`` rows, ``B`` rows of a batch, ``D`` inputs, ``Q`` latent dimensions, ``M`` inducing points, ``F``
latent functions, ``T`` outputs, ``L`` hidden layers, ``S`` nodes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, MixtureSameFamily

from uncertain import checks
from uncertain.fit import Batch
from uncertain.gp import sites
from uncertain.gp.deformation import SMALLEST_VARIANCE
from uncertain.gp.expectations import closed_sites, drawn_sites, over_nodes
from uncertain.gp.exponentials import chunk_numbers
from uncertain.gp.factors import cholesky
from uncertain.gp.initialisation import check_settings, plain_rows, start_stack
from uncertain.gp.kernels import KERNELS, Kernel, base_kernel
from uncertain.gp.layers import Latent, Layer, antithetic_nodes, inner_width, through
from uncertain.gp.likelihoods import (
    SMALLEST_NOISE,
    GaussianNoise,
    Likelihood,
    LikelihoodName,
    Regression,
    Units,
    named,
)
from uncertain.gp.plain_start import take_scales
from uncertain.gp.plans import Phase
from uncertain.gp.readable import output_dtype
from uncertain.gp.scaling import row_weights
from uncertain.gp.thin_deep_gp import ThinDeepGP
from uncertain.gp.training_data import given_points, standardised_inputs
from uncertain.predictive import GaussianMarginal, mixture
from uncertain.predictive.nodes import normal_nodes

_ROWS = 4096
_FIXED = 16
_PASSES, _CLOSE = 50, 1e-8
_DAMPED = 0.5
_WHOLE, _BATCH = 1000, 500


class LayeredThinDeepGP(ThinDeepGP):
    r"""Hidden layers :math:`h_l(x) = W_l(h_{l - 1}(x))\, x`, latent functions f, and a likelihood.

    Every layer bends the original input. Rows are put through the layers below the last at draws of
    one number a row and latent dimension (local reparameterisation). Given these the last layer is
    Gaussian: with a squared-exponential kernel and a likelihood that quadratics bound, everything
    above has a closed form, and with one hidden layer nothing is drawn at all. Otherwise the last
    layer is drawn, too.

    The posterior of each latent function is kept as the natural parameters that rows add up to. In
    training they move towards those of the batch: a step of natural gradient, exact for Gaussian
    noise, Student-t noise and two classes. :meth:`condition` sets them from all rows.

    Args:
        hidden: The last deformation.
        inducing_points: (M, Q), of the latent functions, in the last latent space.
        inner: The deformations below the last, the first of them of standardised inputs.
        likelihood: Of the target.
        rows: How many rows there are to train on.
        kernel: Of the latent functions.
        input_scaling: Centre and spread (D,) of the inputs.
        target_scaling: Centre and spread (T,) of the targets.
        samples: How many draws a row each step of training takes, in pairs of opposite sign.
        rate: Of the natural-gradient steps, in (0, 1].
        members: S, the number of fixed quasi-random nodes that a prediction mixes.
        seed: Of the draws and of the nodes.

    Raises:
        ValueError: For wrong shapes or numbers out of range.

    References:
        D. A. de Souza et al., "Thin and deep Gaussian processes", 2023; H. Salimbeni and M.
        Deisenroth, "Doubly stochastic variational inference for deep Gaussian processes", 2017.

    Example:
        >>> x = torch.rand(40, 2, generator=torch.Generator().manual_seed(0))
        >>> y = (x[:, 0] > x[:, 1]).long()
        >>> model = ThinDeepGP.from_data(
        ...     x, y, hidden_layers=2, likelihood="bernoulli", num_inducing=10
        ... )
        >>> model(x[:3]).component_distribution.batch_shape, len(model.gains())
        (torch.Size([3, 128]), 2)
    """

    step: Tensor

    def __init__(
        self,
        hidden: Layer,
        inducing_points: Float[Tensor, "M Q"],
        *,
        rows: int,
        inner: Sequence[Layer] = (),
        likelihood: Likelihood | None = None,
        kernel: Kernel = "squared_exponential",
        input_scaling: Sequence[Tensor] | None = None,
        target_scaling: Sequence[Tensor | float] | None = None,
        samples: int = 2,
        rate: float = 0.1,
        members: int = 128,
        seed: int = 0,
    ) -> None:
        super().__init__(hidden, inducing_points, rows=rows, rate=rate, members=members, seed=seed)
        checks.check_range("samples", samples, 1)
        checks.check_choice("kernel", kernel, KERNELS)
        del self.log_noise
        self.inner = nn.ModuleList(inner)
        self.likelihood = GaussianNoise() if likelihood is None else likelihood
        self.kernel, self.samples = kernel, samples
        points, count = self.inducing_points.detach(), self.likelihood.functions
        self.log_amplitude = nn.Parameter(points.new_zeros(count))
        scaling = target_scaling or (points.new_zeros(1), points.new_ones(1))
        self._buffer_scaling(input_scaling, scaling, points)
        self.register_buffer("cross", points.new_zeros(count, len(points)))
        self.register_buffer("second", points.new_zeros(count, len(points), len(points)))
        self.register_buffer("step", torch.zeros((), dtype=torch.long, device=points.device))
        self._inner = inner_width(self.layers)
        self._nodes = normal_nodes(members, self._inner + hidden.latent_dim + count, seed)
        half = normal_nodes(_FIXED // 2, self._inner + hidden.latent_dim, seed)
        self._fixed = torch.cat([half, -half])[None]

    @classmethod
    def from_data(
        cls,
        x: Float[Tensor, "N D"],
        y: Tensor,
        *,
        latent_dim: int | None = None,
        num_inducing: int | None = None,
        inducing_points: Float[Tensor, "M D"] | None = None,
        hidden_layers: int = 1,
        likelihood: LikelihoodName | Likelihood = "gaussian",
        kernel: Kernel = "squared_exponential",
        bias: bool = False,
        learned_mean: bool = False,
        noise: float = 0.05,
        members: int = 128,
        seed: int = 0,
    ) -> LayeredThinDeepGP:
        """Start from training data; see :meth:`ThinDeepGP.from_data <uncertain.gp.ThinDeepGP.from_data>`.

        Raises:
            TypeError: For inputs, targets or settings of the wrong kind.
            ValueError: For data that are too few, constant or not finite, shapes that differ, or
                more inducing points than rows.
        """
        check_settings(
            hidden_layers=hidden_layers,
            latent_dim=latent_dim,
            members=members,
            bias=bias,
            learned_mean=learned_mean,
        )
        rows, input_scaling = standardised_inputs(x)
        checks.check_shape("y", y, (len(x), *y.shape[1:]), hint="one target a row of x")
        of_y = (
            likelihood if isinstance(likelihood, Likelihood) else named(likelihood, y, noise=noise)
        )
        given, plain = given_points(inducing_points, input_scaling), None
        if learned_mean:
            loc, scale = of_y.scaling(y)
            first = ((y.detach().to(rows) - loc) / scale).reshape(len(rows), -1)[:, 0]
            real = first if isinstance(of_y, Regression) else None
            plain = plain_rows(rows, real, count=num_inducing, given=given, seed=seed)
        stack, points = start_stack(
            rows,
            latent_dim,
            layers=hidden_layers,
            count=num_inducing,
            given=given,
            seed=seed,
            bias=bias,
            kernel=kernel,
            plain=plain,
        )
        model = cls(
            stack[-1],
            points,
            inner=stack[:-1],
            likelihood=of_y,
            rows=len(rows),
            kernel=kernel,
            input_scaling=input_scaling,
            target_scaling=of_y.scaling(y),
            members=members,
            seed=seed,
        )
        if plain is not None:
            take_scales(model, plain.plain)
        model.condition(x, y)
        return model

    @property
    def layers(self) -> list[Layer]:
        """All hidden layers, from the inputs up."""
        return [*self.inner, self.hidden]  # type: ignore[list-item]

    @property
    def closed(self) -> bool:
        """Whether expectations over the last layer have a closed form."""
        return self.likelihood.closed and self.kernel == "squared_exponential"

    def fitting_plan(self) -> tuple[Phase, ...]:
        """Return how :func:`uncertain.gp.fit` fits it: by Adam, since its steps are noisy."""
        return (Phase(1000, batch_size=None if self.rows <= _WHOLE else _BATCH),)

    def constructor_arguments(self) -> dict[str, Any]:
        """Return what builds this module again, apart from its state."""
        names = ("hidden", "inducing_points", "rows", "likelihood", "kernel", "samples", "rate")
        scaling = {
            "inner": list(self.inner),
            "input_scaling": (self.input_loc, self.input_scale),
            "target_scaling": (self.loc, self.scale),
        }
        return {name: getattr(self, name) for name in (*names, "members", "seed")} | scaling

    def objective(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the negative evidence lower bound a row, in nats and in y's units.

        In training its draws are new every time, and it also moves the posterior of the latent
        functions; otherwise its draws are the same for all rows and calls.

        Raises:
            TypeError, ValueError: For inputs or targets that do not fit.
            NotPositiveDefiniteError: Where a matrix can not be factorised.
        """
        x, y = self._standardised(batch.x), self._targets(batch.y, len(batch.x))
        weight = batch.weight.double() * (batch.total / len(batch.weight))
        whole = len(weight) >= self.rows
        nodes = self._drawn(len(x)) if self.training else self._fixed.to(self.cross)
        before = self._posteriors()
        if self.closed:
            found = self._closed_sites(x, y, weight, nodes, before)
            now = self._best(found) if self.training and whole else before
            bound = sites.bound(found, now)
            rate = 1.0 if whole else self.rate
        else:
            found, bound = self._drawn_sites(x, y, weight, nodes, before)
            rate = max(self.rate, _DAMPED) if whole else self.rate
        if self.training:
            self._move_to(found, rate)
        likelihood = bound - weight.sum() * self.scale.log().sum()
        return (sum(layer.divergence() for layer in self.layers) - likelihood) / batch.total

    @torch.no_grad()
    def condition(
        self, x: Float[Tensor, "N D"], y: Tensor, weight: Float[Tensor, " N"] | None = None
    ) -> None:
        """Set the posterior of the latent functions to the best one for these rows.

        One pass over the rows for Gaussian noise; for other likelihoods passes until it no longer
        moves, fifty at most. No parameter changes.

        Args:
            x: (N, D) inputs.
            y: Targets.
            weight: (N,), ones by default.

        Raises:
            TypeError, ValueError: For inputs or targets that do not fit.
        """
        rows, target = self._standardised(x), self._targets(y, len(x))
        weights = row_weights(weight, rows[:, 0])
        conjugate = isinstance(self.likelihood, GaussianNoise)
        rate = 1.0 if conjugate or self.closed else _DAMPED
        for _ in range(1 if conjugate else _PASSES):
            before, earlier = self._posteriors(), self.cross.clone()
            totals = [torch.zeros_like(self.cross), torch.zeros_like(self.second)]
            for first in range(0, len(rows), _ROWS):
                part = slice(first, first + _ROWS)
                given = (rows[part], target[part], weights[part], self._fixed.to(rows), before)
                found = self._closed_sites(*given) if self.closed else self._drawn_sites(*given)[0]
                totals[0] += found.linear
                totals[1] += found.precision
            self.cross.lerp_(totals[0], rate)
            self.second.lerp_(totals[1], rate)
            if (self.cross - earlier).norm() <= _CLOSE * self.cross.norm():
                break

    def forward(self, x: Float[Tensor, "N D"]) -> MixtureSameFamily:
        """Return the mixture of the likelihood's family over fixed nodes, the same for every row.

        Raises:
            TypeError, ValueError: For inputs that are not floating, not finite or not (N, D).
        """
        mean, variance = self._functions(x)
        nodes = self._nodes[:, -self.likelihood.functions :].to(mean)
        return mixture(self.likelihood.predictive(mean, variance, nodes, self._units(x)))

    def moments(self, x: Float[Tensor, "N D"]) -> Distribution:
        """Return normals with the prediction's mean and variance: ``GaussianMarginal``.

        Exact over the last layer for the squared-exponential kernel; over the others, means over
        the nodes of the prediction.

        Raises:
            TypeError: For classes, or inputs that do not fit.
            ValueError: For inputs that do not fit.
        """
        likelihood = self._regression("moments")
        mean, variance = self._functions(x, exact=self.kernel == "squared_exponential")
        noise = likelihood.noise_variance(mean, variance).mean(1)
        mean, variance = mean[..., : likelihood.width], variance[..., : likelihood.width]
        between = (mean - mean.mean(1, keepdim=True)).square().mean(1)
        spread = variance.mean(1) + between
        loc = self.loc + self.scale * mean.mean(1)
        parameters = (loc, self.scale * spread.sqrt(), self.scale * noise.sqrt())
        return likelihood.of_outputs(GaussianMarginal, *(p.to(output_dtype(x)) for p in parameters))

    def noise_variance(self) -> Float[Tensor, " T"]:
        """Return the variance of the noise in units of the target's variance, (T,).

        Raises:
            TypeError: For likelihoods without a noise that is the same in every row.
        """
        likelihood = self._regression("noise_variance")
        none = self.scale.new_zeros(likelihood.functions)
        return likelihood.noise_variance(none, none)

    def hold_noise(self, variance: float | None) -> None:
        """Hold the noise at a variance, in units of the target's, or train it from where it is.

        Likelihoods without a noise are left as they are.

        Args:
            variance: Above 1e-6; ``None`` to train it again.
        """
        log_noise = getattr(self.likelihood, "log_noise", None)
        if variance is not None:
            checks.check_range("variance", variance, SMALLEST_NOISE, open_low=True)
        if log_noise is None:
            return
        log_noise.requires_grad = variance is None
        if variance is not None:
            log_noise.detach().fill_(math.log(variance - SMALLEST_NOISE))

    def _closed_sites(
        self, x: Tensor, y: Tensor, weight: Tensor, nodes: Tensor, before: sites.Posteriors
    ) -> sites.Sites:
        found = through(self.layers, x, nodes)
        mean, variance, y, weight = over_nodes(found, y, weight, found.nodes)
        given = (self.likelihood, self._processes(), before)
        return closed_sites(*given, mean=mean, variance=variance, y=y, weight=weight)

    def _drawn_sites(
        self, x: Tensor, y: Tensor, weight: Tensor, nodes: Tensor, before: sites.Posteriors
    ) -> tuple[sites.Sites, Tensor]:
        found = through(self.layers, x, nodes)
        mean, variance, y, weight = over_nodes(found, y, weight, nodes.shape[1])
        top = nodes[..., self._inner :].expand(len(x), -1, -1).flatten(0, 1)
        h = mean + variance.sqrt() * top.to(mean)
        return drawn_sites(self.likelihood, self._processes(), before, h=h, y=y, weight=weight)

    def _functions(self, x: Tensor, *, exact: bool = False) -> tuple[Tensor, Tensor]:
        """Return the mean and the variance of f at every node, (N, S, F)."""
        processes, before = self._processes(), self._posteriors()
        parts = []
        for part in self._chunks(self._standardised(x)):
            found = self._through(part)
            if exact:
                pair = sites.averaged_moments(processes, before, found.mean, found.variance)
                nodes = found.nodes
            else:
                h = self._at_nodes(found, len(part)).flatten(0, 1)
                pair = sites.known_moments(processes, before, processes.responses(h))
                nodes = len(self._nodes)
            parts.append([t.unflatten(0, (len(part), nodes)) for t in pair])
        mean, variance = (torch.cat(each) for each in zip(*parts, strict=True))
        return mean, variance.clamp(min=SMALLEST_VARIANCE)

    def _at_nodes(self, found: Latent, count: int) -> Float[Tensor, "N S Q"]:
        top = self._nodes[:, self._inner :][:, : self.hidden.latent_dim].to(found.mean)
        shape = (count, found.nodes)
        spread = found.variance.sqrt().unflatten(0, shape)
        h: Tensor = found.mean.unflatten(0, shape) + spread * top
        return h

    def _chunks(self, x: Tensor) -> Iterator[Tensor]:
        width = len(self._nodes) * len(self.inducing_points) * max(1, len(self.inner))
        return iter(x.split(max(1, chunk_numbers(x) // width)))

    def _through(self, x: Tensor) -> Latent:
        return through(self.layers, x, self._nodes[None, :, : self._inner].to(x))

    def _drawn(self, rows: int) -> Float[Tensor, "N S K"]:
        """Return new draws; their count is a buffer, so that a resumed run goes on as it would have."""
        device = self.cross.device
        seed = (self.seed * 1_000_003 + int(self.step)) % 2**63
        generator = torch.Generator(device).manual_seed(seed)
        self.step += 1
        width = self._inner + (0 if self.closed else self.hidden.latent_dim)
        return antithetic_nodes(rows, self.samples, width, generator, self.cross)

    def _output(self) -> tuple[sites.Processes, sites.Posteriors]:
        return self._processes(), self._posteriors()

    def _noise(self) -> Tensor:
        if not isinstance(self.likelihood, GaussianNoise):
            raise TypeError(
                f"`joint` should be asked of a model with Gaussian noise, got "
                f"{type(self.likelihood).__name__}: take `draws`."
            )
        return self.noise_variance()

    def _given(self, functions: Tensor) -> Tensor:
        likelihood = self.likelihood
        if not isinstance(likelihood, Regression):
            return functions[..., 0] if functions.shape[-1] == 1 else functions
        found: Tensor = self.loc + self.scale * functions[..., : likelihood.width]
        return found[..., 0] if likelihood.outputs is None else found

    def _processes(self) -> sites.Processes:
        z = self.inducing_points
        centred = z - z.detach().mean(0)
        eye = torch.eye(len(z)).to(z)
        factor = cholesky(
            base_kernel(centred, centred, self.kernel) + self.hidden.jitter * eye,
            name="K_ZZ of f",
            remedy=f"raise `jitter` above {self.hidden.jitter:g}, or take fewer inducing points",
        )
        return sites.Processes(z, factor, self.log_amplitude.exp(), self.kernel)

    def _posteriors(self) -> sites.Posteriors:
        return sites.posteriors(self.cross.clone(), self.second.clone())

    @torch.no_grad()
    def _best(self, found: sites.Sites) -> sites.Posteriors:
        # The gradient of the bound at its best posterior needs none of the posterior's.
        return sites.posteriors(found.linear, found.precision)

    @torch.no_grad()
    def _move_to(self, found: sites.Sites, rate: float) -> None:
        self.cross.lerp_(found.linear, rate)
        self.second.lerp_(found.precision, rate)

    def _targets(self, y: Any, count: int) -> Tensor:
        return self.likelihood.target(y, count, self.loc, self.scale)

    def _units(self, x: Tensor) -> Units:
        return Units(self.loc, self.scale, output_dtype(x))

    def _regression(self, asked: str) -> Regression:
        if not isinstance(self.likelihood, Regression):
            raise TypeError(
                f"`{asked}` should be asked of a model of real targets, got "
                f"{type(self.likelihood).__name__}: `forward` has its class probabilities."
            )
        return self.likelihood
