"""A Gaussian process on what a network makes of the inputs.

``N`` rows, ``D`` inputs, ``Q`` features, ``M`` inducing points.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from uncertain import checks
from uncertain.gp.covariances import stationary
from uncertain.gp.inducing import InducingPointGP, Whitened
from uncertain.gp.kernels import Kernel
from uncertain.gp.scaling import Scaling
from uncertain.gp.sparse import checked_points, starting_points, stationary_response
from uncertain.gp.training_data import checked_rows
from uncertain.predictive import GaussianMarginal, import_quietly

_POINTS = 100


class DeepKernelGP(InducingPointGP):
    r"""A sparse process with the kernel :math:`k(g(x), g(x'))`, g a perceptron that is trained with it.

    Inducing points are inputs, and go through the network like every row. Without a prior on its
    weights, the marginal likelihood doesn't keep the network from overfitting: rows that the
    features bring together are predicted with more confidence than is theirs.

    Args:
        inducing_points: (M, D), of standardised inputs.
        rows: How many rows there are to train on.
        scaling: Of inputs and target.
        latent_dim: Q.
        hidden: Width of every hidden layer.
        kernel: ``"squared_exponential"``, ``"matern_3_2"`` or ``"matern_5_2"``, on the features, with a lengthscale for each.
        noise: Where the noise variance starts, in units of the target's, above 1e-6.
        rate: Of the natural-gradient steps, in (0, 1].
        jitter: Added to the diagonal of the inducing points' covariance, relative to its variance.
        seed: Of the network's first weights.

    Raises:
        ValueError: For wrong shapes or numbers out of range.

    References:
        A. G. Wilson, Z. Hu, R. Salakhutdinov and E. P. Xing, "Deep kernel learning", 2016; S. W.
        Ober, C. E. Rasmussen and M. van der Wilk, "The promises and pitfalls of deep kernel
        learning", 2021.

    Example:
        >>> x = torch.linspace(0, 1, 50)[:, None]
        >>> model = DeepKernelGP.from_data(x, (6 * x[:, 0]).sin(), num_inducing=10, hidden=(8,))
        >>> model(x[:3]).batch_shape
        torch.Size([3])
    """

    def __init__(
        self,
        inducing_points: Float[Tensor, "M D"],
        *,
        rows: int,
        scaling: Scaling,
        latent_dim: int,
        hidden: Sequence[int] = (64, 32),
        kernel: Kernel = "squared_exponential",
        noise: float = 0.05,
        rate: float = 0.1,
        jitter: float = 1e-6,
        seed: int = 0,
    ) -> None:
        points = checked_points(inducing_points, scaling)
        checks.check_range("latent_dim", latent_dim, 1)
        for place, width in enumerate(hidden):
            checks.check_range(f"hidden[{place}]", width, 1)
        super().__init__(
            len(points), rows=rows, scaling=scaling, noise=noise, rate=rate, jitter=jitter
        )
        self.latent_dim, self.hidden = latent_dim, tuple(hidden)
        self.kernel, self.seed = kernel, seed
        self.inducing_points = nn.Parameter(points)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = _perceptron((points.shape[1], *hidden, latent_dim)).double()
        self.covariance = stationary(kernel, latent_dim, lengthscale=math.sqrt(latent_dim))
        self.constant = import_quietly("gpytorch").means.ConstantMean().double()

    @classmethod
    def from_data(
        cls,
        x: Float[Tensor, "N D"],
        y: Float[Tensor, " N"],
        *,
        latent_dim: int | None = None,
        hidden: Sequence[int] = (64, 32),
        num_inducing: int | None = None,
        inducing_points: Float[Tensor, "M D"] | None = None,
        kernel: Kernel = "squared_exponential",
        noise: float = 0.05,
        seed: int = 0,
    ) -> DeepKernelGP:
        """Start from training data; the last layer is scaled so that features have unit spread.

        Args:
            x: (N, D) inputs, floating, finite, no column constant.
            y: (N,) targets.
            latent_dim: Q; by default D, at most 4.
            hidden: As for the class.
            num_inducing: M; by default 100, or N where that is less.
            inducing_points: (M, D) in the units of x, in place of k-means (which needs scikit-learn).
            kernel: As for the class.
            noise: As for the class.
            seed: Of k-means and of the network's first weights.

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
            latent_dim=min(4, x.shape[1]) if latent_dim is None else latent_dim,
            hidden=hidden,
            kernel=kernel,
            noise=noise,
            seed=seed,
        )
        model._spread(data.x)
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
        """Return the kernel at the features of standardised rows."""
        return stationary_response(self, self.network(x), self.network(self.inducing_points))

    def prior_divergence(self) -> Float[Tensor, ""]:
        """Return 0: the network has no prior."""
        return self.cross.new_zeros(())

    def constructor_arguments(self) -> dict[str, Any]:
        """Return what builds this module again, apart from its state."""
        names = ("inducing_points", "latent_dim", "hidden", "kernel", "seed")
        return {name: getattr(self, name) for name in names} | self._common_arguments()

    @torch.no_grad()
    def _spread(self, x: Float[Tensor, "N D"]) -> None:
        """Scale the last layer so that every feature has mean 0 and spread 1 on these rows."""
        last: Any = self.network[-1]
        features = self.network(x)
        spread = features.std(0, unbiased=False).clamp(min=1e-6)
        last.bias.sub_(features.mean(0)).div_(spread)
        last.weight.div_(spread[:, None])


def _perceptron(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.SiLU()]
    return nn.Sequential(*layers[:-1])
