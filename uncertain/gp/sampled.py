r"""The predictor that a Markov chain gives: one thin-and-deep process a draw, mixed.

``N`` training rows, ``P`` rows to predict, ``D`` inputs, ``Q`` latent dimensions, ``M`` points that h is
pinned down at, ``S`` draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import MixtureSameFamily, MultivariateNormal

from uncertain import checks
from uncertain.gp import latent_rows
from uncertain.gp.factors import cholesky
from uncertain.gp.kernels import unit_kernel
from uncertain.gp.latent_rows import NAMES, Parameters
from uncertain.gp.readable import output_dtype
from uncertain.gp.scaling import ScaledModel, Scaling
from uncertain.predictive import mixture
from uncertain.predictive.nodes import normal_nodes

_NUMBERS = 2**24


class _Solved(NamedTuple):
    """What a prediction needs of the training rows, for some draws.

    Attributes:
        parameters: Of these draws.
        root: (S, Q, M, M), of the covariance of h at its points.
        h: (S, N, Q), at the training rows.
        factor: (S, N, N), of the covariance of y.
        weights: (S, N), what that covariance solves y to.
    """

    parameters: Parameters
    root: Tensor
    h: Tensor
    factor: Tensor
    weights: Tensor


class SampledThinDeepGP(ScaledModel):
    """Draws of a thin-and-deep process' parameters and bent rows, and what they say together.

    Given a draw, f is an exact Gaussian process on the bent rows, and h at a new row is Gaussian. Each
    draw is a member: h at its own node, the same for every row, and f integrated out. Made by
    :func:`~uncertain.gp.sample_posterior` and :func:`~uncertain.gp.laplace_posterior`.

    The factors of the training rows, S N^2 numbers, are kept from one prediction to the next where
    gradients aren't wanted.

    Args:
        rows: (N, D), standardised training inputs.
        targets: (N,), standardised.
        parameters: Draws along a first axis S, by the names of :class:`~uncertain.gp.ThinDeepGP`'s
            parameters, and ``"latent"`` (S, Q, M).
        points: (M, D), standardised, where h is pinned down; by default the training rows.
        scaling: Of inputs and target.
        bias: Whether the matrix has a column for an input that is 1 everywhere.
        seed: Of the nodes.

    Raises:
        ValueError: For wrong shapes or names.

    Example:
        >>> from uncertain.gp import ThinDeepGP, sample_posterior
        >>> x = torch.rand(12, 1, generator=torch.Generator().manual_seed(0))
        >>> y = (6 * x[:, 0]).sin()
        >>> model = ThinDeepGP.from_data(x, y, num_inducing=6)
        >>> found = sample_posterior(model, (x, y), draws=4, warmup=4, chains=1, max_r_hat=None)
        >>> found.model(x[:3]).component_distribution.batch_shape
        torch.Size([3, 4])
    """

    rows: Tensor
    targets: Tensor
    points: Tensor
    latent: Tensor

    def __init__(
        self,
        rows: Float[Tensor, "N D"],
        targets: Float[Tensor, " N"],
        parameters: Mapping[str, Tensor],
        *,
        points: Float[Tensor, "M D"] | None = None,
        scaling: Scaling,
        bias: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(scaling)
        checks.check_shape("rows", rows, ("N", len(scaling.input_loc)))
        checks.check_not_empty("rows", rows)
        checks.check_shape("targets", targets, (len(rows),), hint="one target a row")
        self.at_rows, self.bias, self.seed = points is None, bias, seed
        given = {"rows": rows, "targets": targets, "points": rows if points is None else points}
        for name, value in given.items():
            checks.check_finite(name, value)
            self.register_buffer(name, value.detach().to(torch.float64, copy=True))
        for field, value in zip(Parameters._fields, _checked(parameters, self.points), strict=True):
            self.register_buffer(field, value.detach().to(torch.float64, copy=True))
        members, width = self.latent.shape[:2]
        self._nodes = normal_nodes(members, width, seed)

    @property
    def parameters_drawn(self) -> Parameters:
        """All draws, along a first axis."""
        return Parameters(*(getattr(self, field) for field in Parameters._fields))

    def forward(self, x: Float[Tensor, "P D"]) -> MixtureSameFamily:
        """Return the mixture of ``GaussianMarginal`` over the draws.

        Raises:
            TypeError, ValueError: For inputs that are not floating, not finite or not (P, D).
        """
        asked = self.scaling.inputs(x)
        means, variances = [], []
        for solved, nodes in zip(self._training_rows(), self._node_parts(), strict=True):
            mean, spread = self._hidden(solved, asked)
            h = mean + spread.sqrt() * nodes[:, None]
            cross = self._output_kernel(solved, solved.h, h)
            half = torch.linalg.solve_triangular(solved.factor, cross, upper=False)
            means.append((solved.weights[:, None] @ cross)[:, 0])
            amplitude = solved.parameters.log_amplitude.exp()[:, None]
            variances.append(amplitude - half.square().sum(1))
        loc, latent = torch.cat(means).T, torch.cat(variances).T
        noise = self.parameters_drawn.noise
        return mixture(self.scaling.marginal(loc, latent, noise, x.dtype))

    def joint_functions(self, x: Float[Tensor, "*b P D"]) -> MultivariateNormal:
        """Return f over all rows together, given each draw and a joint draw of h, in y's units.

        Args:
            x: (..., P, D), with leading axes for several sets of rows.

        Returns:
            Batch shape (..., S), event shape (P,); the posterior is their mixture. In float64, with
            1e-8 of the variance of f on the diagonal.

        Raises:
            TypeError, ValueError: For inputs that do not fit.
        """
        sets = x.reshape(-1, *x.shape[-2:])
        asked = self.scaling.inputs(sets.flatten(0, 1)).reshape(sets.shape)
        (members, width), rows = self.latent.shape[:2], x.shape[-2]
        nodes = normal_nodes(members, width * rows, self.seed).to(asked)
        found = []
        for each in asked:
            parts = zip(self._training_rows(), nodes.split(self._size()), strict=True)
            found.append([self._functions(solved, each, node) for solved, node in parts])
        mean = torch.stack([torch.cat([part[0] for part in parts]) for parts in found])
        covariance = torch.stack([torch.cat([part[1] for part in parts]) for parts in found])
        shape, scale = (*x.shape[:-2], members), self.scaling.scale
        return MultivariateNormal(
            (self.scaling.loc + scale * mean).reshape(*shape, rows),
            (scale.square() * covariance).reshape(*shape, rows, rows),
        )

    def local_metric(self, x: Float[Tensor, "P D"]) -> Float[Tensor, "S P D D"]:
        r"""Return the pull-back metric :math:`J^\top J` of every draw, J the derivative of its h.

        The latent rows of one draw need not be those of another, but their metrics tell the same. In
        the units of :meth:`ThinDeepGP.local_metric <uncertain.gp.readable.ReadableProcess.local_metric>`.

        Raises:
            TypeError, ValueError: For inputs that do not fit.
        """
        asked, found = self.scaling.inputs(x), []
        for solved in self._training_rows():
            slopes = latent_rows.hidden_slopes(
                self.points, asked, solved.parameters, solved.root, bias=self.bias
            )
            found.append(slopes / self.scaling.input_scale)
        jacobian = torch.cat(found).transpose(1, 2)
        return (jacobian.mT @ jacobian).to(output_dtype(x))

    def noise_variances(self) -> Float[Tensor, " S"]:
        """Return the variance of the noise of each draw, in the square of y's units."""
        return self.scaling.scale.square() * self.parameters_drawn.noise

    def joint(self, x: Float[Tensor, "P D"]) -> MixtureSameFamily:
        """Return one distribution over the targets of all rows together: a mixture over the draws.

        Args:
            x: (P, D), a few hundred rows at most.

        Returns:
            Batch shape (), event shape (P,).

        Raises:
            TypeError, ValueError: For inputs that do not fit.
        """
        functions = self.joint_functions(x)
        eye, dtype = torch.eye(len(x)).to(functions.loc), output_dtype(x)
        covariance = functions.covariance_matrix + self.noise_variances()[:, None, None] * eye
        return mixture(MultivariateNormal(functions.loc.to(dtype), covariance.to(dtype)))

    def unexplained(self) -> Float[Tensor, ""]:
        """Return the share of the prior variance of h at the rows that its points leave open.

        That much is left out; it is zero where the points are the rows.
        """
        if self.at_rows:
            return self.targets.new_zeros(())
        shares = []
        for solved in self._training_rows():
            prior = self._prior_variance(solved.parameters, self.rows)
            shares.append((self._hidden(solved, self.rows)[1] / prior).mean((1, 2)))
        return torch.cat(shares).mean()

    def constructor_arguments(self) -> dict[str, Any]:
        """Return what builds this module again, apart from its state."""
        names = ("rows", "targets", "scaling", "bias", "seed")
        points = None if self.at_rows else self.points
        drawn = {NAMES[field]: getattr(self, field) for field in Parameters._fields}
        return {name: getattr(self, name) for name in names} | {
            "points": points,
            "parameters": drawn,
        }

    def _size(self) -> int:
        """Draws that are solved together."""
        numbers: int = len(self.rows) ** 2 + self.latent.shape[1] * len(self.points) ** 2
        return max(1, _NUMBERS // numbers)

    def _node_parts(self) -> tuple[Tensor, ...]:
        parts: tuple[Tensor, ...] = self._nodes.to(self.targets).split(self._size())
        return parts

    def _training_rows(self) -> list[_Solved]:
        found: list[_Solved] = self.kept(self._solve, self.buffers())
        return found

    def _solve(self) -> list[_Solved]:
        rows = None if self.at_rows else self.rows
        parts = zip(*(t.split(self._size()) for t in self.parameters_drawn), strict=True)
        found = []
        for each in parts:
            some = Parameters(*each)
            root = latent_rows.hidden_root(self.points, some, bias=self.bias)
            h = latent_rows.hidden_rows(self.points, rows, some, bias=self.bias)
            factor = cholesky(
                latent_rows.covariance_of_targets(h, some),
                name="K + noise",
                remedy="raise the noise: give `log_noise` a prior of higher mean",
            )
            targets = self.targets.expand(len(h), -1)[..., None]
            weights = torch.cholesky_solve(targets, factor)[..., 0]
            found.append(_Solved(some, root, h, factor, weights))
        return found

    def _prior_variance(self, parameters: Parameters, x: Tensor) -> Float[Tensor, "S P Q"]:
        size = x.square().sum(1) + self.bias
        return (parameters.log_variance.exp()[..., None] * size).mT

    def _response(self, solved: _Solved, x: Tensor) -> Float[Tensor, "S Q M P"]:
        cross = latent_rows.hidden_covariance(self.points, x, solved.parameters, bias=self.bias)
        response: Tensor = torch.linalg.solve_triangular(solved.root, cross, upper=False)
        return response

    def _hidden(self, solved: _Solved, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the variance (S, P, Q) of h at new rows."""
        response = self._response(solved, x)
        mean = (response.mT @ solved.parameters.latent[..., None])[..., 0].mT
        known = response.square().sum(2).mT
        return mean, (self._prior_variance(solved.parameters, x) - known).clamp(min=1e-12)

    def _functions(self, solved: _Solved, x: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean (S, P) and covariance (S, P, P) of standardised f at a joint draw of h."""
        response, drawn = self._response(solved, x), solved.parameters
        prior = latent_rows.hidden_covariance(x, x, drawn, bias=self.bias)
        root = _root(prior - response.mT @ response, prior)
        mean = (response.mT @ drawn.latent[..., None])[..., 0]
        noise = nodes.unflatten(1, (drawn.latent.shape[1], len(x)))
        h = (mean + (root @ noise[..., None])[..., 0]).mT
        cross = self._output_kernel(solved, solved.h, h)
        half = torch.linalg.solve_triangular(solved.factor, cross, upper=False)
        before = self._output_kernel(solved, h, h)
        covariance = before - half.mT @ half
        size = before.diagonal(dim1=1, dim2=2).mean(-1)[:, None, None]
        covariance = (covariance + covariance.mT) / 2 + 1e-8 * size * torch.eye(len(x)).to(x)
        return (solved.weights[:, None] @ cross)[:, 0], covariance

    def _output_kernel(self, solved: _Solved, a: Tensor, b: Tensor) -> Tensor:
        return solved.parameters.log_amplitude.exp()[:, None, None] * unit_kernel(a, b)


def _root(covariance: Tensor, prior: Tensor) -> Tensor:
    """A factor of what is left of a prior covariance, which rounding may have made singular."""
    size = prior.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None].clamp(min=1e-6)
    eye = torch.eye(covariance.shape[-1]).to(covariance)
    jittered = (covariance + covariance.mT) / 2 + 2 * latent_rows.JITTER * size * eye
    return cholesky(jittered, name="covariance of h", remedy="ask for fewer rows at a time")


def _checked(parameters: Mapping[str, Tensor], points: Tensor) -> Parameters:
    """Return draws after checking their names and shapes against each other."""
    if set(parameters) != set(NAMES.values()):
        raise ValueError(
            f"`parameters` should be {', '.join(NAMES.values())}, got {', '.join(parameters)}."
        )
    drawn = latent_rows.from_names(parameters)
    count, inputs = points.shape
    checks.check_shape("latent", drawn.latent, ("S", "Q", count))
    checks.check_not_empty("latent", drawn.latent)
    members, width = drawn.latent.shape[:2]
    checks.check_shape("log_noise", drawn.log_noise, (members,))
    checks.check_shape("log_amplitude", drawn.log_amplitude, (members,))
    checks.check_shape("hidden.log_variance", drawn.log_variance, (members, width))
    checks.check_shape("hidden.log_lengthscale", drawn.log_lengthscale, (members, width, inputs))
    return drawn
