"""A thin-and-deep process with f integrated out exactly, for up to two thousand rows.

``N`` training rows, ``P`` rows to predict, ``D`` inputs, ``M`` inducing points of a matrix, ``L`` hidden
layers, ``S`` draws of the matrices.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, MixtureSameFamily

from uncertain import checks
from uncertain.fit import Batch
from uncertain.gp import known_rows
from uncertain.gp.deformation import SMALLEST_VARIANCE
from uncertain.gp.evidence import log_evidence
from uncertain.gp.exact_start import bent_layers, stationary_process
from uncertain.gp.exponentials import chunk_numbers
from uncertain.gp.initialisation import checked_count, cluster_centres
from uncertain.gp.kernels import KERNELS, Kernel, base_kernel
from uncertain.gp.known_rows import KnownRows
from uncertain.gp.layers import Latent, antithetic_nodes, inner_width, through
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
from uncertain.gp.projected import ProjectedDeformation
from uncertain.gp.readable import ReadableProcess, output_dtype
from uncertain.gp.scaling import Kept, row_weights
from uncertain.gp.sites import Posteriors, Processes
from uncertain.gp.training_data import (
    MOST_ROWS,
    check_affordable,
    given_points,
    standardised_inputs,
)
from uncertain.predictive import GaussianMarginal, mixture
from uncertain.predictive.nodes import normal_nodes

_POINTS = 25
_NODES = 8
"""Members a draw of the matrices where f can not be integrated out of the prediction of y."""
_READ = 128
_DAMPED, _PASSES, _CLOSE = 0.5, 50, 1e-5


class _Draw(NamedTuple):
    """One draw of the matrices.

    Attributes:
        noise: (Q, M, D) for every layer.
        h: (N, Q), the training rows, bent by it.
        known: What they say of f.
    """

    noise: tuple[Tensor, ...]
    h: Tensor
    known: KnownRows


class ExactThinDeepGP(ReadableProcess):
    r"""Bent inputs under an exact process: :math:`y = f(h(x)) + \varepsilon`, f integrated out.

    :math:`h(x) = (\operatorname{diag}(c) + W(x))\, x`, with one latent row an input, so that where
    nothing bends this is the exact process with a lengthscale an input. f has no inducing points; W
    has, and is the function of their values (see :class:`ProjectedDeformation
    <uncertain.gp.ProjectedDeformation>`). The objective is

    .. math:: \mathrm E_{q(W)} \log p(y \mid h) - \mathrm{KL}(q(W) \,\|\, p(W)),

    the first part at a draw of the matrices a step. Likelihoods that quadratics bound from below are
    taken, Student-t noise and two classes at the touching point that moves along.

    A step is a factor and an inverse of the rows' covariance, :math:`N^3` operations, which
    ``benchmarks/evidence.py`` times. For more rows take :class:`~uncertain.gp.ThinDeepGP`. Trained on all rows at once;
    on some of them
    :meth:`objective` is the bound of those, repeated, which is not an estimate of the bound of all.

    Parameters are kept in float64; inputs and the target are standardised inside.

    Args:
        layers: The deformations, from the inputs up.
        rows: (N, D), standardised training inputs.
        targets: As the likelihood takes them: (N, 1), standardised, or class indices (N,).
        likelihood: Of the target, with one latent function and a quadratic bound.
        kernel: Of f.
        weights: (N,), at least 0; ones by default.
        input_scaling: Centre and spread (D,) of the inputs.
        target_scaling: Centre and spread (1,) of the target.
        samples: Draws of the matrices that each step of training takes, in pairs of opposite sign.
        members: S, how many draws of the matrices a prediction mixes.
        seed: Of the draws.

    Raises:
        ValueError: For wrong shapes or numbers out of range.

    References:
        D. A. de Souza et al., "Thin and deep Gaussian processes", 2023, for the model. That f is
        integrated out, the diagonal and the projection are this library's.

    Example:
        >>> x = torch.rand(40, 2, generator=torch.Generator().manual_seed(0))
        >>> y = (6 * x[:, 0]).sin()
        >>> model = ExactThinDeepGP.from_data(x, y)
        >>> prediction = model(x[:3])
        >>> prediction.batch_shape, bool((prediction.mean - y[:3]).abs().max() < 0.1)
        (torch.Size([3]), True)
    """

    rows: Tensor
    targets: Tensor
    weights: Tensor
    centre: Tensor
    spread: Tensor
    step: Tensor
    hidden: ProjectedDeformation

    def __init__(
        self,
        layers: Sequence[ProjectedDeformation],
        rows: Float[Tensor, "N D"],
        targets: Tensor,
        *,
        likelihood: Likelihood | None = None,
        kernel: Kernel = "matern_5_2",
        weights: Float[Tensor, " N"] | None = None,
        input_scaling: Sequence[Tensor] | None = None,
        target_scaling: Sequence[Tensor | float] | None = None,
        samples: int = 1,
        members: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__()
        checks.check_not_empty("layers", layers)
        checks.check_shape("rows", rows, ("N", layers[0].input_dim))
        checks.check_not_empty("rows", rows)
        checks.check_same_length(rows=rows, targets=targets)
        checks.check_choice("kernel", kernel, KERNELS)
        checks.check_range("samples", samples, 1)
        checks.check_range("members", members, 1)
        self.inner, self.hidden = nn.ModuleList(layers[:-1]), layers[-1]
        self.likelihood = _checked_likelihood(GaussianNoise() if likelihood is None else likelihood)
        self.kernel, self.samples, self.members, self.seed = kernel, samples, members, seed
        like = self.hidden.inducing_points.detach()
        for name, value in (("rows", rows), ("targets", targets)):
            checks.check_finite(name, value)
            self.register_buffer(name, value.detach().to(like, copy=True))
        self.register_buffer("weights", row_weights(weights, self.rows[:, 0]).detach().clone())
        for name in ("centre", "spread"):
            self.register_buffer(name, like.new_zeros(len(rows), 1))
        self.register_buffer("step", torch.zeros((), dtype=torch.long, device=like.device))
        self.log_amplitude = nn.Parameter(like.new_zeros(()))
        scaling = target_scaling or (like.new_zeros(1), like.new_ones(1))
        self._buffer_scaling(input_scaling, scaling, like)
        self._kept = Kept()

    @classmethod
    def from_data(
        cls,
        x: Float[Tensor, "N D"],
        y: Tensor,
        *,
        hidden_layers: int = 1,
        num_inducing: int | None = None,
        inducing_points: Float[Tensor, "M D"] | None = None,
        likelihood: LikelihoodName | Likelihood = "gaussian",
        kernel: Kernel = "matern_5_2",
        noise: float = 0.05,
        members: int = 32,
        max_rows: int = MOST_ROWS,
        seed: int = 0,
    ) -> ExactThinDeepGP:
        """Start from training data, as the exact process with a lengthscale an input, fitted by L-BFGS.

        Args:
            x: (N, D) inputs, floating, finite, no column constant.
            y: (N,) targets.
            hidden_layers: L, how many deformations there are on top of each other.
            num_inducing: M, of each matrix; by default 25, or N where that is less. K-means centres
                (which needs scikit-learn).
            inducing_points: (M, D) in the units of x, in place of k-means.
            likelihood: ``"gaussian"``, ``"student_t"`` or ``"bernoulli"``, or one of
                :mod:`uncertain.gp.likelihoods` with one latent function.
            kernel: As for the class.
            noise: Where the variance of the noise starts, in units of the target's, for L-BFGS, which also
                starts from a hundredth of it.
            members: As for the class.
            max_rows: More rows are refused: a step takes N^3 operations and several N x N matrices, at
                8 bytes a number, and a prediction S of them.
            seed: Of k-means and of the draws.

        Raises:
            TypeError: For inputs, targets or settings of the wrong kind.
            ValueError: For data that are too few, too many, constant or not finite, shapes that differ,
                or more inducing points than rows.
        """
        checks.check_count("hidden_layers", hidden_layers)
        checks.check_count("members", members)
        rows, input_scaling = standardised_inputs(x)
        if not isinstance(y, Tensor):
            raise TypeError(f"`y` should be a tensor, got {type(y).__name__}: torch.as_tensor(y).")
        checks.check_shape("y", y, (len(x),), hint="one target a row of x")
        checks.check_range("noise", noise, SMALLEST_NOISE, open_low=True)
        check_affordable(len(rows), max_rows, instead="ThinDeepGP")
        if isinstance(likelihood, Likelihood):
            # A copy: its noise is set here and trained, and another model may have been given it too.
            of_y = _checked_likelihood(copy.deepcopy(likelihood))
        else:
            of_y = _checked_likelihood(named(likelihood, y, noise=noise))
        scaling = of_y.scaling(y)
        targets = of_y.target(y, len(rows), *(part.to(rows) for part in scaling))
        points = given_points(inducing_points, input_scaling)
        wanted = num_inducing
        if wanted is None and points is None:
            wanted = min(_POINTS, len(rows))
        count = checked_count(wanted, points, len(rows))
        real = targets[:, 0] if isinstance(of_y, Regression) else None
        plain = stationary_process(rows, real, kernel=kernel, noise=noise)
        points = cluster_centres(rows, count, seed) if points is None else points
        layers = bent_layers(rows, points.to(rows), plain, hidden_layers)
        model = cls(
            layers,
            rows,
            targets,
            likelihood=of_y,
            kernel=kernel,
            input_scaling=input_scaling,
            target_scaling=scaling,
            members=members,
            seed=seed,
        )
        take_scales(model, plain)
        model.condition(x, y)
        return model

    @property
    def layers(self) -> list[ProjectedDeformation]:  # type: ignore[override]  # a narrower list
        """All hidden layers, from the inputs up."""
        return [*self.inner, self.hidden]  # type: ignore[list-item]

    def fitting_plan(self) -> tuple[Phase, ...]:
        """Return how :func:`uncertain.gp.fit` fits it: by Adam on all rows, since its steps are noisy."""
        return (Phase(500),)

    def constructor_arguments(self) -> dict[str, Any]:
        """Return what builds this module again, apart from its state."""
        names = (
            "layers",
            "rows",
            "targets",
            "likelihood",
            "kernel",
            "weights",
            "samples",
            "members",
        )
        scaling = {
            "input_scaling": (self.input_loc, self.input_scale),
            "target_scaling": (self.loc, self.scale),
        }
        return {name: getattr(self, name) for name in (*names, "seed")} | scaling

    def objective(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the negative evidence lower bound a row, in nats and in y's units.

        In training its draws are new every time, and the points where quadratics touch the likelihood
        move along; otherwise its draws are the same for all calls.

        Raises:
            TypeError, ValueError: For inputs or targets that do not fit.
            NotPositiveDefiniteError: Where a matrix can not be factorised.
        """
        x = self._standardised(batch.x)
        y = self.likelihood.target(batch.y, len(x), self.loc, self.scale)
        weight = batch.weight.double() * (batch.total / len(batch.weight))
        nodes = self._drawn() if self.training else self._nodes(2)
        if self.training and self._moving(batch.index):
            centre, spread = self.centre[batch.index], self.spread[batch.index]
            bound, moments = self._bound(x, y, weight, centre, spread, nodes)
            self._move(batch.index, moments)
        else:
            bound, _ = self._bound(x, y, weight, *self._touching(x, y, weight), nodes)
        likelihood = bound - weight.sum() * self.scale.log().sum()
        return (sum(layer.divergence() for layer in self.layers) - likelihood) / batch.total

    @torch.no_grad()
    def condition(
        self, x: Float[Tensor, "N D"], y: Tensor, weight: Float[Tensor, " N"] | None = None
    ) -> None:
        """Predict from these rows from now on, at the present parameters and standardisation.

        Args:
            x: (N, D) inputs.
            y: (N,) targets.
            weight: (N,), ones by default.

        Raises:
            TypeError, ValueError: For inputs or targets that do not fit.
        """
        rows = self._standardised(x)
        checks.check_not_empty("x", rows)
        targets = self.likelihood.target(y, len(x), self.loc, self.scale)
        weights = row_weights(weight, rows[:, 0])
        silent = weights == 0
        checks.check_finite("y", targets[~silent])
        # Rows of weight 0 may hold anything.
        targets = targets.masked_fill(silent.reshape(-1, *[1] * (targets.ndim - 1)), 0)
        self.rows, self.targets, self.weights = rows.clone(), targets.clone(), weights.clone()
        self.centre, self.spread = self._touching(rows, targets, weights)

    def forward(self, x: Float[Tensor, "P D"]) -> MixtureSameFamily:
        """Return the mixture of the likelihood's family over draws of the matrices, the same for every row.

        S members with Gaussian noise; else eight for each draw, f at nodes.

        Raises:
            TypeError, ValueError: For inputs that are not floating, not finite or not (P, D).
        """
        mean, variance = self._functions(x)
        times = 1 if isinstance(self.likelihood, GaussianNoise) else _NODES
        count = mean.shape[1]
        # The nodes of one draw are consecutive in the sequence, and so spread evenly.
        nodes = normal_nodes(count * times, 1, self.seed).to(mean).view(count, times).T.flatten()
        mean, variance = (t.repeat(1, times)[..., None] for t in (mean, variance))
        units = Units(self.loc, self.scale, output_dtype(x))
        return mixture(self.likelihood.predictive(mean, variance, nodes[:, None], units))

    def moments(self, x: Float[Tensor, "P D"]) -> Distribution:
        """Return normals with the prediction's mean and variance: ``GaussianMarginal``.

        Raises:
            TypeError: For classes, or inputs that do not fit.
            ValueError: For inputs that do not fit.
        """
        likelihood = self._regression("moments")
        mean, variance = self._functions(x)
        noise = likelihood.noise_variance(
            mean.mean(1, keepdim=True), variance.mean(1, keepdim=True)
        )
        spread = variance.mean(1) + mean.var(1, unbiased=False)
        loc = self.loc + self.scale * mean.mean(1)
        dtype = output_dtype(x)
        latent, grain = self.scale * spread.sqrt(), self.scale * noise[:, 0].sqrt()
        return GaussianMarginal(loc.to(dtype), latent.to(dtype), grain.to(dtype))

    def noise_variance(self) -> Float[Tensor, " T"]:
        """Return the variance of the noise in units of the target's variance, (1,).

        Raises:
            TypeError: For classes.
        """
        none = self.scale.new_zeros(1)
        return self._regression("noise_variance").noise_variance(none, none)

    def draws(self, count: int, *, seed: int = 0, features: int = 1024) -> Any:
        """Refuse: f has no inducing variables to carry a function by.

        Raises:
            TypeError: Always; :meth:`joint_functions` draws at given rows.
        """
        raise TypeError(
            f"`draws` should be asked of a ThinDeepGP, got {type(self).__name__}: take "
            "`joint_functions(x).sample()` at the rows you want."
        )

    def _completed(self, y: Tensor, centre: Tensor, spread: Tensor) -> tuple[Tensor, ...]:
        """Return constants, targets and precisions (N,) of the quadratics, their squares completed."""
        constant, linear, precision = self.likelihood.quadratic(y, centre, spread)
        target = linear[:, 0] / precision[:, 0]
        return constant + 0.5 * linear[:, 0] * target, target, precision[:, 0]

    def _moving(self, index: Tensor) -> bool:
        """Whether there are touching points that these rows move."""
        fixed = isinstance(self.likelihood, GaussianNoise)
        return not fixed and int(index.max()) < len(self.centre)

    @torch.no_grad()
    def _move(self, index: Tensor, moments: tuple[Tensor, Tensor]) -> None:
        for kept, found in zip((self.centre, self.spread), moments, strict=True):
            kept[index] = kept[index].lerp(found, _DAMPED)

    def _bound(
        self,
        x: Tensor,
        y: Tensor,
        weight: Tensor,
        centre: Tensor,
        spread: Tensor,
        nodes: Sequence[tuple[Tensor, ...]],
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the expected log evidence over draws, and the moments (N, 1) of f at the rows."""
        constant, target, precision = self._completed(y, centre, spread)
        found = [
            log_evidence(
                self._bent(x, node),
                self.log_amplitude.exp(),
                weight * precision,
                target.detach(),
                kernel=self.kernel,
            )
            for node in nodes
        ]
        value = torch.stack([each.value for each in found]).mean()
        mean = torch.stack([each.mean for each in found])
        variance = torch.stack([each.variance for each in found]).mean(0)
        variance = variance + mean.var(0, unbiased=False)
        return (weight * constant).sum() + value, (mean.mean(0)[:, None], variance[:, None])

    @torch.no_grad()
    def _touching(self, x: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return where quadratics touch the likelihood at the mean matrices: moments (N, 1) of f."""
        centre, spread = x.new_zeros(2, len(x), 1)
        if isinstance(self.likelihood, GaussianNoise):
            return centre, spread  # A quadratic itself: wherever.
        nodes = [tuple(layer.mean.new_zeros(layer.mean.shape) for layer in self.layers)]
        for _ in range(_PASSES):
            before = centre
            centre, spread = self._bound(x, y, weight, centre, spread, nodes)[1]
            if (centre - before).norm() <= _CLOSE * centre.norm():
                break
        return centre, spread

    def _bent(self, x: Tensor, nodes: Sequence[Tensor]) -> Float[Tensor, "N Q"]:
        """Return the last h of all rows at one draw of the matrices."""
        at = None
        for layer, node in zip(self.layers, nodes, strict=True):
            at = layer.draw(x, at, node)
        assert at is not None
        return at

    def _drawn(self) -> list[tuple[Tensor, ...]]:
        """Return new draws; their count is a buffer, so that a resumed run goes on as it would have."""
        self.step += 1
        return self._nodes(self.samples, seed=(self.seed * 1_000_003 + int(self.step)) % 2**63)

    def _nodes(self, count: int, *, seed: int | None = None) -> list[tuple[Tensor, ...]]:
        """Return standard normal numbers for every draw and layer, in pairs of opposite sign."""
        generator = torch.Generator().manual_seed(self.seed if seed is None else seed)
        shapes = [layer.mean.shape for layer in self.layers]
        sizes = [shape.numel() for shape in shapes]
        like = self.log_amplitude.detach().cpu()
        flat = antithetic_nodes(1, count, sum(sizes), generator, like)[0]
        parts = [
            part.view(-1, *shape) for part, shape in zip(flat.split(sizes, 1), shapes, strict=True)
        ]
        return list(zip(*parts, strict=True))

    def _functions(self, x: Tensor) -> tuple[Float[Tensor, "P S"], Float[Tensor, "P S"]]:
        """Return the mean and the variance of f at every draw."""
        asked = self._standardised(x)
        draws, amplitude = self._solved(self.members), self.log_amplitude.exp()
        size = max(64, 8 * chunk_numbers(asked) // len(self.rows))
        parts = []
        for part in asked.split(size):
            found = [
                known_rows.moments(
                    each.known, self._covariance(each.h, self._bent(part, each.noise)), amplitude
                )
                for each in draws
            ]
            parts.append([torch.stack(each, 1) for each in zip(*found, strict=True)])
        mean, variance = (torch.cat(each) for each in zip(*parts, strict=True))
        return mean, variance.clamp(min=SMALLEST_VARIANCE)

    def _covariance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return covariances of f between bent rows, of leading axes one by one."""
        return self.log_amplitude.exp() * base_kernel(a, b, self.kernel)

    def _solved(self, count: int) -> list[_Draw]:
        state = [*self.parameters(), *self.buffers()]
        found: list[_Draw] = self._kept(lambda: self._solve(count), state, count)
        return found

    def _solve(self, count: int) -> list[_Draw]:
        _, target, precision = self._completed(self.targets, self.centre, self.spread)
        found = []
        for noise in self._nodes(count):
            h = self._bent(self.rows, noise)
            known = known_rows.solve(self._covariance(h, h), target, self.weights * precision)
            found.append(_Draw(noise, h, known))
        return found

    def _joint_moments(self, x: Tensor, members: int) -> tuple[Tensor, Tensor]:
        """Return means and covariances of f in y's units, in float64."""
        checks.check_range("members", members, 1)
        self._noise()  # Only Gaussian noise leaves f in the target's units.
        checks.check_not_empty("x", x)
        rows = x.shape[-2]
        asked = self._standardised(x.reshape(-1, x.shape[-1]))
        found = []
        for draw in self._solved(members):
            h = self._bent(asked, draw.noise)
            sets = h.unflatten(0, (-1, rows))
            cross, prior = self._covariance(draw.h, h), self._covariance(sets, sets)
            found.append(known_rows.joint(draw.known, cross, prior))
        mean, covariance = (torch.stack(each, 1) for each in zip(*found, strict=True))
        shape = (*x.shape[:-2], members, rows)
        loc = self.loc + self.scale * mean
        return loc.reshape(shape), (self.scale.square() * covariance).reshape(*shape, rows)

    def _through(self, x: Tensor) -> Latent:
        width = inner_width(self.layers)
        nodes = normal_nodes(_READ, width, self.seed)[None] if width else x.new_zeros(1, 1, 0)
        return through(self.layers, x, nodes.to(x))

    def _output(self) -> tuple[Processes, Posteriors]:
        raise TypeError(f"{type(self).__name__} has no inducing variables of f.")

    def _noise(self) -> Tensor:
        if not isinstance(self.likelihood, GaussianNoise):
            raise TypeError(
                "`joint` and `joint_functions` should be asked of a model with Gaussian noise, got "
                f"{type(self.likelihood).__name__}."
            )
        return self.noise_variance()

    def _regression(self, asked: str) -> Regression:
        if not isinstance(self.likelihood, Regression):
            raise TypeError(
                f"`{asked}` should be asked of a model of real targets, got "
                f"{type(self.likelihood).__name__}: `forward` has its class probabilities."
            )
        return self.likelihood


def _checked_likelihood(likelihood: Likelihood) -> Likelihood:
    if not likelihood.closed or likelihood.functions != 1:
        raise ValueError(
            "`likelihood` should have one latent function and be bounded by quadratics (gaussian, "
            f"student_t, bernoulli), got {type(likelihood).__name__}: take ThinDeepGP for it."
        )
    return likelihood
