r"""A Gaussian process whose lengthscales are Gaussian processes themselves.

``N`` rows, ``D`` inputs, ``M`` inducing points, ``S`` draws of the fields.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import MixtureSameFamily

from uncertain import checks
from uncertain.gp.covariances import dense, stationary
from uncertain.gp.inducing import InducingPointGP, Whitened
from uncertain.gp.plans import Phase
from uncertain.gp.scaling import Scaling
from uncertain.gp.sparse import WHOLE, checked_points, starting_points
from uncertain.gp.training_data import checked_rows
from uncertain.predictive import import_quietly, mixture
from uncertain.predictive.nodes import normal_nodes

_POINTS = 50
_MEMBERS = 32
_AT_ONCE = 4096


def gibbs(
    a: Float[Tensor, "M D"],
    b: Float[Tensor, "N D"],
    log_a: Float[Tensor, "*S M D"],
    log_b: Float[Tensor, "*S N D"],
) -> Float[Tensor, "*S M N"]:
    r"""Return the non-stationary squared exponential with a lengthscale for each row and input.

    .. math:: \prod_d \sqrt{\frac{2\, \ell_d(a)\, \ell_d(b)}{\ell_d(a)^2 + \ell_d(b)^2}}
              \exp\Bigl(- \frac{(a_d - b_d)^2}{\ell_d(a)^2 + \ell_d(b)^2}\Bigr)

    Args:
        a: (M, D) rows.
        b: (N, D) rows.
        log_a: (..., M, D), logarithms of the lengthscales at ``a``.
        log_b: (..., N, D), at ``b``.

    References:
        M. N. Gibbs, "Bayesian Gaussian processes for regression and classification", 1997; C. J.
        Paciorek and M. J. Schervish, "Nonstationary covariance functions for Gaussian process
        regression", 2003.

    Example:
        >>> a, b = torch.zeros(1, 1), torch.tensor([[2.0]])
        >>> gibbs(a, b, torch.zeros(1, 1), torch.zeros(1, 1)).log()
        tensor([[-2.]])
    """
    exponent: Tensor | float = 0.0
    for d in range(a.shape[-1]):
        # sqrt(2 l l' / (l^2 + l'^2)) = cosh(log l - log l')^(-1/2), which can't overflow.
        ratio = log_a[..., :, None, d] - log_b[..., None, :, d]
        size = ratio.abs()
        log_cosh = size + torch.log1p((-2 * size).exp()) - math.log(2)
        apart = (a[..., :, None, d] - b[..., None, :, d]).square()
        both = log_a[..., :, None, d] + log_b[..., None, :, d]
        exponent = exponent - 0.5 * log_cosh - 0.5 * apart * (-both - log_cosh).exp()
    value: Tensor = torch.as_tensor(exponent).exp()
    return value


class _Drawn(NamedTuple):
    """Draws of the fields at the inducing points, and what follows from them."""

    field_factor: Tensor
    values: Tensor
    fields: Tensor
    factor: Tensor


class NonstationaryGP(InducingPointGP):
    r"""A deeply non-stationary process: a Gibbs kernel over lengthscale fields with a GP prior.

    Each input has a field :math:`\log \ell_d(x) = c_d + k_d(x, Z) K_d^{-1} u_d`, a process projected
    on its inducing points, with Gaussian posteriors of :math:`u_d`. Given the fields, f is a process
    with the kernel of :func:`gibbs`. The bound's expectation over the fields is taken by draws, new
    ones in every training step and S fixed ones otherwise; f's inducing variables are whitened by
    each draw's kernel. The prediction is the mixture over the S draws of whole fields, the same for
    every row and call.

    The prefactor makes f forget across a change of lengthscale, and the exponent is no distance in
    any space: such a model has lengthscales to read, but no latent space.

    Args:
        inducing_points: (M, D), of standardised inputs, for the fields and for f.
        rows: How many rows there are to train on.
        scaling: Of inputs and target.
        noise: Where the noise variance starts, in units of the target's, above 1e-6.
        rate: Of the natural-gradient steps, in (0, 1].
        jitter: Added to the diagonals of the inducing points' covariances, relative to their scale.
        members: S, the draws of a prediction.
        samples: Those of a training step.
        seed: Of the members.

    Raises:
        ValueError: For wrong shapes or numbers out of range.

    References:
        H. Salimbeni and M. P. Deisenroth, "Deeply non-stationary Gaussian processes", 2017; M.
        Heinonen et al., "Non-stationary Gaussian process regression with Hamiltonian Monte Carlo",
        2016.

    Example:
        >>> x = torch.linspace(0, 1, 50)[:, None]
        >>> model = NonstationaryGP.from_data(x, (6 * x[:, 0]).sin(), num_inducing=10, members=4)
        >>> model(x[:3]).component_distribution.batch_shape, model.lengthscales(x[:3]).shape
        (torch.Size([3, 4]), torch.Size([4, 3, 1]))
    """

    nodes: Tensor

    def __init__(
        self,
        inducing_points: Float[Tensor, "M D"],
        *,
        rows: int,
        scaling: Scaling,
        noise: float = 0.05,
        rate: float = 0.1,
        jitter: float = 1e-6,
        members: int = _MEMBERS,
        samples: int = 2,
        seed: int = 0,
    ) -> None:
        points = checked_points(inducing_points, scaling)
        checks.check_range("members", members, 1)
        checks.check_range("samples", samples, 1)
        count, inputs = points.shape
        super().__init__(count, rows=rows, scaling=scaling, noise=noise, rate=rate, jitter=jitter)
        self.members, self.samples, self.seed = members, samples, seed
        self.chunk = max(16, _AT_ONCE // members)
        self.inducing_points = nn.Parameter(points)
        self.field = stationary(
            "squared_exponential", inputs, lengthscale=math.sqrt(inputs), batch=inputs
        )
        self.field.outputscale = 0.25
        self.log_lengthscale = nn.Parameter(points.new_full((inputs,), 0.5 * math.log(inputs)))
        self.field_mean = nn.Parameter(points.new_zeros(inputs, count))
        # A tenth of the prior's spread: a start near certainty leaves a gradient to the mean.
        spread = (0.1 * points.new_ones(count)).log().diag()
        self.field_root = nn.Parameter(spread.repeat(inputs, 1, 1))
        self.log_amplitude = nn.Parameter(points.new_zeros(()))
        self.constant = import_quietly("gpytorch").means.ConstantMean().double()
        fixed = normal_nodes(members, inputs * count, seed).reshape(members, inputs, count)
        self.register_buffer("nodes", fixed.to(points), persistent=False)

    @classmethod
    def from_data(
        cls,
        x: Float[Tensor, "N D"],
        y: Float[Tensor, " N"],
        *,
        num_inducing: int | None = None,
        inducing_points: Float[Tensor, "M D"] | None = None,
        noise: float = 0.05,
        members: int = _MEMBERS,
        samples: int = 2,
        seed: int = 0,
    ) -> NonstationaryGP:
        """Start from training data, as a stationary process with lengthscales at the root of D.

        Args:
            x: (N, D) inputs, floating, finite, no column constant.
            y: (N,) targets.
            num_inducing: M; by default 50, or N where that is less.
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
        model = cls(
            starting_points(data, num_inducing, inducing_points, seed, most=_POINTS),
            rows=len(x),
            scaling=Scaling.of(data),
            noise=noise,
            members=members,
            samples=samples,
            seed=seed,
        )
        model.condition(x, y)
        return model

    def forward(self, x: Float[Tensor, "N D"]) -> MixtureSameFamily:
        """Return the mixture of ``GaussianMarginal`` over the draws of the fields.

        Raises:
            TypeError, ValueError: For inputs that are not floating, not finite or not (N, D).
        """
        rows = self.scaling.inputs(x)
        firsts = range(0, max(len(rows), 1), self.chunk)
        parts = [self.latent_moments(self.whitened(rows[i : i + self.chunk])) for i in firsts]
        mean, variance = (torch.cat(part, 1).T for part in zip(*parts, strict=True))
        return mixture(self.scaling.marginal(mean, variance, self.noise_variance(), x.dtype))

    @torch.no_grad()
    def lengthscales(self, x: Float[Tensor, "N D"]) -> Float[Tensor, "S N D"]:
        """Return S draws of the lengthscale fields, in the units of x.

        Raises:
            TypeError, ValueError: As for ``forward``.
        """
        drawn = self._drawn(self.nodes)
        fields = self._fields(self.scaling.inputs(x), drawn.field_factor, drawn.values)
        value: Tensor = fields.exp() * self.scaling.input_scale
        return value.to(torch.promote_types(x.dtype, torch.float32))

    def whitened(self, x: Float[Tensor, "N D"]) -> Whitened:
        """Return the kernel at standardised rows for the fixed draws, seen from the inducing points."""
        drawn: _Drawn = self.kept(lambda: self._drawn(self.nodes), self.parameters())
        return self._at(x, drawn)

    def sampled(self, x: Float[Tensor, "N D"]) -> Whitened:
        """Return the same for a few new draws, by torch's global generator."""
        nodes = torch.randn((self.samples, *self.nodes.shape[1:]), dtype=torch.float64)
        return self._at(x, self._drawn(nodes.to(self.nodes)))

    def prior_divergence(self) -> Float[Tensor, ""]:
        """Return the divergence of the fields' posteriors from their priors, in nats."""
        root = self._root()
        logs = self.field_root.double().diagonal(dim1=1, dim2=2).sum()
        squares = root.square().sum() + self.field_mean.square().sum()
        return 0.5 * (squares - self.field_mean.numel()) - logs

    def fitting_plan(self) -> tuple[Phase, ...]:
        """Return how :func:`uncertain.gp.fit` fits it: by Adam, since its steps are noisy."""
        return (Phase(1000, rate=0.02, batch_size=None if self.rows <= WHOLE else 1000),)

    def constructor_arguments(self) -> dict[str, Any]:
        """Return what builds this module again, apart from its state."""
        names = ("inducing_points", "members", "samples", "seed")
        return {name: getattr(self, name) for name in names} | self._common_arguments()

    def _drawn(self, nodes: Float[Tensor, "S D M"]) -> _Drawn:
        """Return some draws of the fields, and the kernel at the inducing points for each."""
        points, amplitude = self.inducing_points, self.log_amplitude.exp()
        factor = self.factor(dense(self.field, points), self.field.outputscale)
        values = self.field_mean + torch.einsum("dmk,sdk->sdm", self._root(), nodes)
        there = self._fields(points, factor, values)
        inner = amplitude * gibbs(points, points, there, there)
        return _Drawn(factor, values, there, self.factor(inner, amplitude.expand(len(nodes))))

    def _at(self, x: Float[Tensor, "N D"], drawn: _Drawn) -> Whitened:
        here = self._fields(x, drawn.field_factor, drawn.values)
        amplitude = self.log_amplitude.exp()
        cross = amplitude * gibbs(self.inducing_points, x, drawn.fields, here)
        response = torch.linalg.solve_triangular(drawn.factor, cross, upper=False)
        prior = amplitude.expand(len(drawn.values), len(x))
        return Whitened(response, prior, self.constant(x))

    def _fields(
        self,
        x: Float[Tensor, "N D"],
        factor: Float[Tensor, "D M M"],
        values: Float[Tensor, "S D M"],
    ) -> Float[Tensor, "S N D"]:
        """Return log lengthscales for each draw of the whitened values."""
        cross = dense(self.field, self.inducing_points, x)
        response = torch.linalg.solve_triangular(factor, cross, upper=False)
        return self.log_lengthscale + torch.einsum("dmn,sdm->snd", response, values)

    def _root(self) -> Float[Tensor, "D M M"]:
        root = self.field_root.double()
        return root.tril(-1) + root.diagonal(dim1=1, dim2=2).exp().diag_embed()
