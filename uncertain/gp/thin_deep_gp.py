"""A Gaussian process on inputs that a matrix of Gaussian processes bends: deep, thin, and readable.

``N`` rows, ``B`` rows of a batch, ``D`` inputs, ``Q`` latent dimensions, ``M`` inducing points, ``S``
members of a prediction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, MixtureSameFamily

from uncertain import checks
from uncertain.fit import Batch
from uncertain.gp import prediction
from uncertain.gp.bounds import (
    Posterior,
    Statistics,
    best_posterior,
    collapsed_bound,
    statistics,
    uncollapsed_bound,
)
from uncertain.gp.deformation import SMALLEST_VARIANCE
from uncertain.gp.factors import cholesky
from uncertain.gp.initialisation import check_settings, plain_rows, start
from uncertain.gp.kernels import Kernel, unit_kernel
from uncertain.gp.layers import Latent, Layer, through
from uncertain.gp.likelihoods import SMALLEST_NOISE, Likelihood, LikelihoodName
from uncertain.gp.plain_start import take_scales
from uncertain.gp.plans import Phase, settled
from uncertain.gp.readable import ReadableProcess, output_dtype
from uncertain.gp.scaling import row_weights
from uncertain.gp.sites import Posteriors, Processes
from uncertain.gp.training_data import (
    checked_rows,
    checked_targets,
    given_points,
)
from uncertain.predictive import GaussianMarginal, mixture
from uncertain.predictive.nodes import normal_nodes

_ROWS = 4096


class ThinDeepGP(ReadableProcess):
    r"""One hidden layer: :math:`y = f(W(x)\,x) + \varepsilon`, with Gaussian processes for f and W.

    Trained without Monte-Carlo noise: the expectations of a squared-exponential kernel over the
    Gaussian :math:`h = W(x)\,x` have closed forms, and so has the best posterior of f. Inputs and the
    target are standardised inside; predictions, objective and readings are in the user's units.

    The whitened statistics of the data, from which the posterior of f follows, are buffers. In
    training, a batch of all ``rows`` gives the collapsed bound and replaces them; a smaller one gives
    the uncollapsed bound at the posterior as it was, and then moves them by ``rate``: a
    natural-gradient step. They lag behind the parameters by a step, so call :meth:`condition` with
    the training data after ``fit``.

    Parameters and buffers are kept in float64, and everything is computed there; a prediction has
    the dtype of x. ``model.float()`` changes nothing.

    Args:
        hidden: The deformation W, of standardised inputs.
        inducing_points: (M, Q), of f, in the latent space.
        rows: How many rows there are to train on.
        input_scaling: Centre and spread (D,) of the inputs.
        target_scaling: Centre and spread of the target.
        noise: Where the noise variance starts, in units of the target's variance, above 1e-6.
        rate: Of the natural-gradient steps, in (0, 1].
        members: S, the number of fixed quasi-random nodes of h that a prediction mixes.
        seed: Of the nodes.

    Raises:
        ValueError: For wrong shapes or numbers out of range.

    References:
        D. A. de Souza et al., "Thin and deep Gaussian processes", 2023; M. K. Titsias and M.
        Lazaro-Gredilla, "Variational inference for Mahalanobis distance metrics in Gaussian process
        regression", 2013.

    Example:
        >>> x = torch.rand(40, 2, generator=torch.Generator().manual_seed(0))
        >>> y = (6 * x[:, 0]).sin()
        >>> model = ThinDeepGP.from_data(x, y, num_inducing=10)
        >>> prediction = model(x[:3])
        >>> prediction.batch_shape, prediction.mean.dtype
        (torch.Size([3]), torch.float32)
    """

    cross: Tensor
    second: Tensor

    def __init__(
        self,
        hidden: Layer,
        inducing_points: Float[Tensor, "M Q"],
        *,
        rows: int,
        input_scaling: Sequence[Tensor] | None = None,
        target_scaling: Sequence[Tensor | float] = (0.0, 1.0),
        noise: float = 0.05,
        rate: float = 0.1,
        members: int = 128,
        seed: int = 0,
    ) -> None:
        super().__init__()
        checks.check_shape("inducing_points", inducing_points, ("M", hidden.latent_dim))
        checks.check_not_empty("inducing_points", inducing_points)
        checks.check_finite("inducing_points", inducing_points)
        checks.check_range("rows", rows, 1)
        checks.check_range("noise", noise, SMALLEST_NOISE, open_low=True)
        checks.check_range("rate", rate, 0, 1, open_low=True)
        checks.check_range("members", members, 1)
        self.hidden = hidden  # type: ignore[assignment]  # What only a matrix has, is refused in words.
        self.rows, self.noise = rows, noise
        self.rate, self.members, self.seed = rate, members, seed
        points = inducing_points.detach().to(torch.float64, copy=True)
        self.inducing_points = nn.Parameter(points)
        self.log_amplitude = nn.Parameter(points.new_zeros(()))
        self.log_noise = nn.Parameter(points.new_tensor(noise - SMALLEST_NOISE).log())
        self._buffer_scaling(input_scaling, target_scaling, points)
        self.register_buffer("cross", points.new_zeros(len(points)))
        self.register_buffer("second", points.new_zeros(len(points), len(points)))
        self._nodes = normal_nodes(members, hidden.latent_dim, seed)

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
    ) -> ThinDeepGP:
        """Start from training data, as a sparse Gaussian process that is not bent yet.

        With several hidden layers or targets, another likelihood or another kernel, the model is a
        :class:`~uncertain.gp.LayeredThinDeepGP`.

        The mean of W starts as the identity, or the leading principal directions where Q is below D,
        scaled, within 5 % at 95 % of rows. Inducing points are k-means centres (which needs
        scikit-learn): half as many for W, in the inputs, as for f, among the latent rows.

        Args:
            x: (N, D) inputs, floating, finite, no column constant.
            y: (N,) targets; (N, T) for several outputs, class indices for classes. A column (N, 1)
                counts as several outputs, of which there is one: take ``y[:, 0]`` for one target,
                which with the usual settings is fitted without Monte-Carlo noise, from a race of starts.
            latent_dim: Q; by default D, at most 8. Above D is allowed, with a warning.
            num_inducing: M; by default 50, or N where that is less.
            inducing_points: (M, D) in the units of x, used for W and, bent, for f, in place of
                k-means: nothing but torch is needed then.
            hidden_layers: L, how many deformations there are on top of each other.
            likelihood: A name, or a likelihood from :mod:`uncertain.gp.likelihoods`.
            kernel: Of the processes.
            bias: Whether W has a column for an input that is 1 everywhere, so that h varies at the
                centre of the data, too; :meth:`bias_share` says how much it carries.
            learned_mean: Whether the prior of W has a constant mean that is trained. It starts at the
                inverse lengthscales of a sparse process, which costs its fit to 2,000 rows here and
                spares the race of starts later; rows of W are then less prone to be pruned.
            noise: As for the class.
            members: As for the class.
            seed: Of k-means and of the nodes.

        Raises:
            TypeError: For data that are integers, settings that should be and are not, or a ``bias``
                or ``learned_mean`` that is neither True nor False.
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
        usual = likelihood == "gaussian" and kernel == "squared_exponential"
        if hidden_layers != 1 or not usual or getattr(y, "ndim", 1) > 1:
            # It extends this class, and so can only be imported now.
            from uncertain.gp.layered import LayeredThinDeepGP

            return LayeredThinDeepGP.from_data(
                x,
                y,
                latent_dim=latent_dim,
                num_inducing=num_inducing,
                inducing_points=inducing_points,
                hidden_layers=hidden_layers,
                likelihood=likelihood,
                kernel=kernel,
                bias=bias,
                learned_mean=learned_mean,
                noise=noise,
                members=members,
                seed=seed,
            )
        data = checked_rows(x, y)
        given = given_points(inducing_points, data.input_scaling)
        plain = None
        if learned_mean:
            loc, scale = data.target_scaling
            target = (y.detach().to(data.x) - loc) / scale
            plain = plain_rows(data.x, target, count=num_inducing, given=given, seed=seed)
        hidden, points = start(
            data.x,
            latent_dim,
            count=num_inducing,
            given=given,
            seed=seed,
            bias=bias,
            plain=plain,
        )
        model = cls(
            hidden,
            points,
            rows=len(data.x),
            input_scaling=data.input_scaling,
            target_scaling=data.target_scaling,
            noise=noise,
            members=members,
            seed=seed,
        )
        if plain is not None:
            take_scales(model, plain.plain)
        model.condition(x, y)
        return model

    def fitting_plan(self) -> tuple[Phase, ...]:
        """Return how :func:`uncertain.gp.fit` fits it without a race: by L-BFGS up to 2,000 rows."""
        return settled(self.rows)

    def constructor_arguments(self) -> dict[str, Any]:
        """Return what builds this module again, apart from its state."""
        names = ("hidden", "inducing_points", "rows", "noise", "rate", "members", "seed")
        scaling = {
            "input_scaling": (self.input_loc, self.input_scale),
            "target_scaling": (float(self.loc), float(self.scale)),
        }
        return {name: getattr(self, name) for name in names} | scaling

    def objective(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the negative evidence lower bound a row, in nats and in y's units.

        In training it also moves the statistics that the posterior of f follows from.

        Raises:
            TypeError, ValueError: For inputs or targets that do not fit.
            NotPositiveDefiniteError: Where a matrix can not be factorised.
        """
        x, y = self._standardised(batch.x), self._target(batch.y, len(batch.x))
        weight = batch.weight.double() * (batch.total / len(batch.weight))
        data = self._statistics(x, y, weight)
        if self.training and len(weight) >= self.rows:
            bound, rate = collapsed_bound(data, self.noise_variance()), 1.0
        else:
            bound = uncollapsed_bound(data, self.noise_variance(), self._posterior())
            rate = self.rate
        if self.training:
            self._move(data, rate)
        likelihood = bound - data.count * self.scale.log()
        return (self.hidden.divergence() - likelihood) / batch.total

    @torch.no_grad()
    def condition(
        self,
        x: Float[Tensor, "N D"],
        y: Float[Tensor, " N"],
        weight: Float[Tensor, " N"] | None = None,
    ) -> None:
        """Set the posterior of f to the best one for these rows at the present parameters.

        One pass over the rows; no parameter changes. Call it after training, which leaves the
        posterior a step behind.

        Args:
            x: (N, D) inputs.
            y: (N,) targets.
            weight: (N,), ones by default.

        Raises:
            TypeError, ValueError: For inputs or targets that do not fit.
        """
        rows, target = self._standardised(x), self._target(y, len(x))
        weights = row_weights(weight, target)
        self.cross.zero_()
        self.second.zero_()
        for first in range(0, len(rows), _ROWS):
            part = slice(first, first + _ROWS)
            data = self._statistics(rows[part], target[part], weights[part])
            self.cross += data.cross
            self.second += data.second

    def forward(self, x: Float[Tensor, "N D"]) -> MixtureSameFamily:
        """Return the mixture of ``GaussianMarginal`` over the nodes of h, the same for every row.

        Raises:
            TypeError, ValueError: For inputs that are not floating, not finite or not (N, D).
        """
        mean, variance = self.hidden(self._standardised(x))
        nodes = self._nodes.to(self.cross)
        found = prediction.at_nodes(self._process(), mean, variance, nodes)
        return mixture(self._marginal(found, x))

    def moments(self, x: Float[Tensor, "N D"]) -> Distribution:
        """Return the normal with the prediction's exact mean and variance, which is not the mixture.

        Raises:
            TypeError, ValueError: As for ``forward``.
        """
        mean, variance = self.hidden(self._standardised(x))
        found = prediction.averaged(self._process(), mean, variance)
        return self._marginal(found, x)

    def noise_variance(self) -> Float[Tensor, ""]:
        """Return the variance of the noise in units of the target's variance; above 1e-6."""
        return self.log_noise.exp() + SMALLEST_NOISE

    def hold_noise(self, variance: float | None) -> None:
        """Hold the noise at a variance, in units of the target's, or train it from where it is.

        Args:
            variance: Above 1e-6; ``None`` to train it again.
        """
        if variance is None:
            self.log_noise.requires_grad = True
            return
        checks.check_range("variance", variance, SMALLEST_NOISE, open_low=True)
        self.log_noise.requires_grad = False
        self.log_noise.fill_(math.log(variance - SMALLEST_NOISE))

    def _through(self, x: Tensor) -> Latent:
        return through(self.layers, x, x.new_zeros(1, 1, 0))

    def _output(self) -> tuple[Processes, Posteriors]:
        points, factor, posterior, amplitude = self._process()
        processes = Processes(points, factor, amplitude[None], "squared_exponential")
        return processes, Posteriors(posterior.mean[None], posterior.factor[None])

    def _noise(self) -> Tensor:
        return self.noise_variance()[None]

    def _target(self, y: Any, count: int) -> Float[Tensor, " N"]:
        return (checked_targets(y, count).to(self.loc) - self.loc) / self.scale

    def _factor(self) -> Float[Tensor, "M M"]:
        z = self.inducing_points
        centred = z - z.detach().mean(0)
        eye = torch.eye(len(z)).to(z)
        return cholesky(
            unit_kernel(centred, centred) + self.hidden.jitter * eye,
            name="K_ZZ of f",
            remedy=f"raise `jitter` above {self.hidden.jitter:g}, or take fewer inducing points",
        )

    def _process(self) -> prediction.Process:
        amplitude = self.log_amplitude.exp()
        return prediction.Process(
            self.inducing_points, self._factor(), self._posterior(), amplitude
        )

    def _posterior(self) -> Posterior:
        # Copies: training moves the buffers while this graph is still needed.
        return best_posterior(self.cross.clone(), self.second.clone(), self.noise_variance())

    def _statistics(self, x: Tensor, y: Tensor, weight: Tensor) -> Statistics:
        mean, variance = self.hidden(x)
        return statistics(
            mean,
            variance,
            y,
            weight,
            points=self.inducing_points,
            factor=self._factor(),
            amplitude=self.log_amplitude.exp(),
        )

    @torch.no_grad()
    def _move(self, data: Statistics, rate: float) -> None:
        # In place, so that whoever holds the buffers to put them back holds these.
        self.cross.lerp_(data.cross, rate)
        self.second.lerp_(data.second, rate)

    def _marginal(self, found: prediction.Moments, x: Tensor) -> GaussianMarginal:
        """Return predictions in y's units and the dtype of x."""
        noise = (self.scale * self.noise_variance().sqrt()).expand_as(found.mean)
        spread = self.scale * found.variance.clamp(min=SMALLEST_VARIANCE).sqrt()
        dtype = output_dtype(x)
        centre = self.loc + self.scale * found.mean
        return GaussianMarginal(centre.to(dtype), spread.to(dtype), noise.to(dtype))
