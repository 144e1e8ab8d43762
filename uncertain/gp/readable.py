"""What can be asked of a fitted thin-and-deep process, whatever its depth and likelihood.

``N`` rows, ``D`` inputs, ``Q`` latent dimensions, ``L`` hidden layers, ``T`` outputs, ``S`` nodes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import (
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)

from uncertain import checks
from uncertain.gp import draws, reading
from uncertain.gp.deformation import Deformation, keep_float64
from uncertain.gp.layers import Latent, Layer, gains
from uncertain.gp.sites import Posteriors, Processes
from uncertain.gp.training_data import checked_inputs
from uncertain.predictive import mixture
from uncertain.predictive.nodes import normal_nodes

_SLACK = 1e-8


class ReadableProcess(nn.Module, ABC):
    """Standardisation, readings, and draws of functions; models extend it."""

    input_loc: Tensor
    input_scale: Tensor
    loc: Tensor
    scale: Tensor
    hidden: Deformation
    seed: int

    @property
    def layers(self) -> list[Layer]:
        """All hidden layers, from the inputs up."""
        return [self.hidden]

    @abstractmethod
    def _through(self, x: Float[Tensor, "N D"]) -> Latent:
        """Return the last layer's Gaussian of standardised rows, at fixed nodes of those below."""

    @abstractmethod
    def _output(self) -> tuple[Processes, Posteriors]:
        """Return the latent functions, and the posterior of their inducing variables."""

    @abstractmethod
    def _noise(self) -> Float[Tensor, " T"]:
        """Return the variance of Gaussian noise, in units of the target's.

        Raises:
            TypeError: Where there is no such noise.
        """

    def _given(self, functions: Float[Tensor, "K N F"]) -> Float[Tensor, "K N *T"]:
        """Return latent functions as users know them: in the units of the target."""
        return self.loc + self.scale * functions[..., 0]

    def latent(self, x: Float[Tensor, "N D"]) -> Distribution:
        """Return the posterior of the last h, over Q dimensions in units of f's lengthscale.

        With several layers, a mixture over fixed nodes of the layers below.
        """
        found = self._through(self._standardised(x))
        mean, spread = (
            t.unflatten(0, (len(x), found.nodes)).to(output_dtype(x))
            for t in (found.mean, found.variance.sqrt())
        )
        if len(self.layers) == 1:
            return Independent(Normal(mean[:, 0], spread[:, 0]), 1)
        return mixture(Independent(Normal(mean, spread), 1))

    def local_metric(self, x: Float[Tensor, "N D"]) -> Float[Tensor, "N D D"]:
        r"""Return the pull-back metric :math:`J^\top J`, J the derivative of the mean of the last h.

        In units of f's lengthscale squared a unit of x squared: along a unit vector v the model
        varies on a lengthscale of :math:`(v^\top J^\top J v)^{-1/2}`. Only h is identified by data, so
        this, not W itself, is what to look at first.
        """
        jacobian = reading.jacobian(self._latent_mean, x)
        return (jacobian.mT @ jacobian).to(output_dtype(x))

    def metric_field(
        self, x: Float[Tensor, "N D"], *, levels: Sequence[float] = (0.05, 0.5, 0.95)
    ) -> reading.MetricField:
        r"""Return :math:`\mathrm E\,W^\top W` at every row, with eigenvalues and their quantiles.

        With several layers W is the last one's.

        Args:
            x: (N, D).
            levels: Of the posterior quantiles, each in (0, 1).
        """
        checks.check_range("levels", levels, 0, 1, open_low=True, open_high=True)
        with torch.no_grad():
            through = self._through(self._standardised(x))
            shape = (len(x), through.nodes)
            matrix, variance = (t.unflatten(0, shape) for t in self.hidden.matrix(through.at))
        found = reading.metric_field(
            matrix,
            variance,
            scale=self.input_scale,
            jacobian=reading.jacobian(self._latent_mean, x),
            levels=levels,
        )
        return reading.MetricField(*(t.to(output_dtype(x)) for t in found))

    @torch.no_grad()
    def relevance(self, x: Float[Tensor, "N D"] | None = None) -> Float[Tensor, " Q"]:
        r"""Return how much each latent row is used, :math:`\frac1N \sum_n \mathrm E \lVert W_q(x_n)
        \rVert^2`, in units of the standardised inputs.

        A bias column counts by its variance over rows: a constant shifts h and changes nothing.

        Args:
            x: (N, D) rows to average over; by default the inducing points of the first W.

        Returns:
            (Q,) numbers, near 0 for a row that training has pruned.
        """
        return reading.relevance(self.hidden, self._read_at(x).at)

    @torch.no_grad()
    def bias_share(self, x: Float[Tensor, "N D"] | None = None) -> Float[Tensor, ""]:
        r"""Return the share of the variance of h over rows that the bias column carries.

        :math:`V_b / (V_b + V_x)`, the variances over rows and the posterior, summed over latent
        rows, of the bias column and of :math:`W(x)\,x` without it. Near 1 the model is an ordinary
        deep process: its metric field says nothing, and its local metric does.

        Args:
            x: (N, D) rows to average over; by default the inducing points of the first W.

        Returns:
            A number in [0, 1]; 0 for a model without that column.
        """
        found = self._read_at(x)
        return reading.bias_share(self.hidden, found.rows, found.at)

    def gains(self) -> Float[Tensor, " L"]:
        """Return how much each hidden layer stretches small distances under its prior, (L,).

        See :func:`uncertain.gp.layers.gains`: layers start at 1 at most; far above it, a stack tears
        near inputs apart.
        """
        return gains(self.layers)

    @torch.no_grad()
    def draws(self, count: int, *, seed: int = 0, features: int = 1024) -> draws.FunctionDraws:
        """Return functions drawn from the posterior: every one has the same W and f at all rows.

        Args:
            count: K, how many.
            seed: Of the draws.
            features: How many random features stand for each prior process; its covariance is off
                by about the root of one over that.

        Returns:
            A callable from (N, D) to (K, N), or (K, N, T) for several outputs, without noise, in the
            units of the target; for classes, the latent functions. It does not follow the model
            where that is trained further.
        """
        matrices = self._matrices("draws")
        generator = draws.checked_generator(count, seed, self.loc)
        checks.check_range("features", features, 1)
        layers = [draws.layer_draw(layer, count, features, generator) for layer in matrices]
        output = draws.output_draw(*self._output(), count, features, generator)
        loc, scale, bias = self.input_loc.clone(), self.input_scale.clone(), self.hidden.bias

        def prepare(x: Tensor) -> tuple[Tensor, Tensor]:
            checked_inputs(x, len(loc))
            rows = (x.to(torch.float64) - loc) / scale
            return rows, torch.cat([rows, torch.ones_like(rows[:, :1])], 1) if bias else rows

        def finish(functions: Tensor, x: Tensor) -> Tensor:
            return self._given(functions).to(output_dtype(x))

        return draws.FunctionDraws(layers, output, prepare=prepare, finish=finish)

    def joint(self, x: Float[Tensor, "N D"], *, members: int = 64) -> MixtureSameFamily:
        r"""Return one distribution over the targets of all rows together.

        A mixture over quasi-random joint draws of the hidden layers; given these the rows are
        jointly normal. Time and memory are of order :math:`S N^3` and :math:`S N^2`.

        Args:
            x: (N, D), a few hundred rows at most.
            members: S, how many draws.

        Returns:
            Batch shape (), event shape (N,); (T, N) for several outputs.

        Raises:
            TypeError: For likelihoods other than Gaussian: take ``draws``.
            ValueError: For inputs that do not fit.
        """
        loc, covariance = self._joint_moments(x, members)
        covariance = covariance + self.noise_variances()[:, None, None] * torch.eye(len(x)).to(loc)
        dtype = output_dtype(x)
        found = MultivariateNormal(loc.to(dtype), covariance.to(dtype))
        return mixture(found if loc.ndim == 2 else Independent(found, 1))

    def joint_functions(
        self, x: Float[Tensor, "*b N D"], *, members: int = 64
    ) -> MultivariateNormal:
        """Return f over all rows together, given each joint draw of the hidden layers, in y's units.

        The posterior is the mixture over the draws.

        Args:
            x: (..., N, D), with leading axes for several sets of rows.
            members: S, how many draws; the same for every set.

        Returns:
            Batch shape (..., S), or (..., S, T) for several outputs; event shape (N,). In float64,
            with 1e-8 of the target's variance on the diagonal.

        Raises:
            TypeError: For likelihoods other than Gaussian.
            ValueError: For inputs that do not fit.
        """
        loc, covariance = self._joint_moments(x, members)
        slack = _SLACK * self.scale.reshape(-1).square()[:, None, None]
        return MultivariateNormal(loc, covariance + slack * torch.eye(x.shape[-2]).to(loc))

    def _joint_moments(self, x: Tensor, members: int) -> tuple[Tensor, Tensor]:
        """Return means and covariances of f in y's units, in float64."""
        layers = self._matrices("joint")
        checks.check_range("members", members, 1)
        self._noise()  # Only Gaussian noise leaves f in the target's units.
        flat = x.reshape(-1, x.shape[-1])
        places = self._standardised(flat)
        checks.check_not_empty("x", flat)
        rows = x.shape[-2]
        places, wide = (
            t.reshape(*x.shape[:-2], 1, rows, -1) for t in (places, layers[0].features(places))
        )
        sizes = [layer.latent_dim * rows for layer in layers]
        nodes = normal_nodes(members, sum(sizes), self.seed).to(wide).split(sizes, 1)
        at = places
        for layer, node in zip(layers, nodes, strict=True):
            at = draws.joint_layer(layer, wide, at, node.unflatten(1, (layer.latent_dim, rows)))
        mean, covariance = draws.joint_functions(*self._output(), at)
        scale = self.scale.reshape(-1, 1)
        loc, covariance = self.loc.reshape(-1, 1) + scale * mean, scale[..., None] ** 2 * covariance
        if self._given(mean.flatten(0, -3).mT).ndim == 2:
            return loc[..., 0, :], covariance[..., 0, :, :]
        return loc, covariance

    def noise_variances(self) -> Float[Tensor, " T"]:
        """Return the variance of Gaussian noise, in the square of y's units, for each output.

        Raises:
            TypeError: For other likelihoods.
        """
        return self.scale.reshape(-1).square() * self._noise()

    def _matrices(self, asked: str) -> list[Deformation]:
        found = []
        for layer in self.layers:
            if not isinstance(layer, Deformation):
                raise TypeError(
                    f"`{asked}` should be asked of a model of Deformations, got "
                    f"{type(layer).__name__}."
                )
            found.append(layer)
        return found

    def _read_at(self, x: Tensor | None) -> Latent:
        return self._through(self.layers[0].inducing_points if x is None else self._standardised(x))

    def _latent_mean(self, x: Tensor) -> Tensor:
        found = self._through(self._standardised(x))
        mean: Tensor = found.mean.unflatten(0, (len(x), found.nodes)).mean(1)
        return mean

    def _standardised(self, x: Any) -> Float[Tensor, "N D"]:
        checked_inputs(x, len(self.input_loc))
        rows: Tensor = (x.to(torch.float64) - self.input_loc) / self.input_scale
        return rows

    def _buffer_scaling(
        self, inputs: Sequence[Tensor] | None, target: Sequence[Tensor | float], like: Tensor
    ) -> None:
        width = self.hidden.input_dim
        loc, scale = (like.new_zeros(width), like.new_ones(width)) if inputs is None else inputs
        for name, value in (("input_loc", loc), ("input_scale", scale)):
            checks.check_shape(
                f"input_scaling: {name}", value, (width,), hint="one number an input"
            )
            checks.check_finite(f"input_scaling: {name}", value)
            self.register_buffer(name, value.detach().to(like, copy=True))
        checks.check_range("input_scaling: input_scale", scale, 0, open_low=True)
        checks.check_range("target_scaling: scale", target[1], 0, open_low=True)
        for name, number in zip(("loc", "scale"), target, strict=True):
            self.register_buffer(
                name, torch.as_tensor(number, dtype=like.dtype).detach().to(like, copy=True)
            )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ReadableProcess:
        moved: ReadableProcess = super()._apply(keep_float64(fn), recurse)
        return moved


def output_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype of predictions for such inputs: theirs, but float32 at least."""
    return torch.promote_types(x.dtype, torch.float32)
