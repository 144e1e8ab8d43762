"""A sparse variational Gaussian process on features.

``N`` rows, ``D`` features, ``M`` inducing points, ``C`` classes or one target, ``S`` nodes.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from uncertain import checks
from uncertain.baselines.features import checked_features, squared_distances, widened
from uncertain.fit import Batch
from uncertain.predictive import GaussianMarginal, mixture
from uncertain.predictive.classes import categorical
from uncertain.predictive.nodes import normal_nodes
from uncertain.predictive.standardisation import checked_standardisation, standardisation

JITTER = 1e-4
"""Added to the diagonal of the inducing points' covariance, relative to its scale."""


class GaussianProcessHead(nn.Module):
    r"""One latent Gaussian process a class (or one for a real target), by whitened inducing points.

    .. math:: f_c \sim \mathcal{GP}(0, k_c), \quad k_c(h, h') = a_c^2 \exp\bigl(-\tfrac12
              \lVert h - h' \rVert^2 / \ell_c^2\bigr), \quad f_c(Z) = L_c v_c, \quad
              q(v_c) = N(m_c, R_c R_c^\top)

    trained by the evidence lower bound, :math:`\mathrm E_q \log p(y \mid f) - \mathrm{KL} / N` a row.
    For classes the latent functions go through a softmax, averaged over S fixed nodes (in the
    objective, too), which are the members of the prediction; for a real target the prediction is a
    :class:`~uncertain.predictive.GaussianMarginal` with one learned noise for all rows.

    The kernel sees features, not inputs: what the body has collapsed is near for it, too.

    Args:
        inducing_points: (M, D), where they start: a subset of training features.
        classes: C; 0 for a real target.
        lengthscale: Where it starts, above 0; by default the median distance of the points.
        loc: The target's centre, for a real target.
        scale: Its spread, above 0.
        members: S, how many nodes.
        seed: Of the nodes.

    Raises:
        ValueError: For wrong shapes or numbers out of range.

    References:
        J. Hensman, A. Matthews and Z. Ghahramani, "Scalable variational Gaussian process
        classification", 2015, equations 10 and 17; A. G. Wilson et al., "Deep kernel learning", 2016.

    Example:
        >>> z = torch.linspace(-1, 1, 5)[:, None]
        >>> head = GaussianProcessHead(z, classes=3)
        >>> head(torch.zeros(2, 1)).component_distribution.batch_shape
        torch.Size([2, 32])
        >>> far = GaussianProcessHead(z)(torch.tensor([[99.0]]))
        >>> bool(far.latent_scale.isclose(torch.ones(1)))
        True
    """

    loc: Tensor
    spread: Tensor

    def __init__(
        self,
        inducing_points: Float[Tensor, "M D"],
        *,
        classes: int = 0,
        lengthscale: float | None = None,
        loc: Tensor | float = 0.0,
        scale: Tensor | float = 1.0,
        members: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__()
        checks.check_shape("inducing_points", inducing_points, ("M", "D"), hint="one a line")
        checks.check_not_empty("inducing_points", inducing_points)
        checks.check_finite("inducing_points", inducing_points)
        checks.check_range("classes", classes, 0)
        checks.check_range("members", members, 1)
        points = inducing_points.detach().clone()
        length = _median_distance(points) if lengthscale is None else lengthscale
        checks.check_range("lengthscale", length, 0, open_low=True)
        centre, spread = checked_standardisation(loc, scale)
        checks.check_shape("loc", centre, (), hint="one target")
        self.classes, self.members, self.seed = classes, members, seed
        self.lengthscale, self.scale = length, float(spread)
        count, size = max(classes, 1), len(points)
        self.inducing_points = nn.Parameter(points)
        self.log_lengthscale = nn.Parameter(points.new_full((count,), math.log(length)))
        self.log_amplitude = nn.Parameter(points.new_zeros(count))
        self.mean = nn.Parameter(points.new_zeros(count, size))
        # A little below the prior: at the prior itself no gradient reaches the kernel.
        self.root = nn.Parameter(0.9 * torch.eye(size).to(points).repeat(count, 1, 1))
        self.register_buffer("loc", centre.to(points))
        self.register_buffer("spread", spread.to(points))
        self._nodes = normal_nodes(members, count, seed)
        if not classes:
            self.log_noise = nn.Parameter(points.new_tensor(math.log(0.3)))

    @classmethod
    def from_data(
        cls,
        features: Float[Tensor, "N D"],
        y: Any,
        *,
        classes: int | None = None,
        inducing: int = 64,
        members: int = 32,
        seed: int = 0,
    ) -> GaussianProcessHead:
        """Start from training rows drawn without replacement.

        Args:
            features: (N, D) training features.
            y: (N,) class indices, or floating targets.
            classes: C; by default the largest label plus one. Not for floating targets.
            inducing: M; at most N are taken.
            members: S, how many nodes.
            seed: Of the choice and of the nodes.

        Raises:
            ValueError: Where shapes differ or a number is not finite.
        """
        checks.check_range("inducing", inducing, 1)
        rows = checked_features(features)
        target = torch.as_tensor(y)
        checks.check_shape("y", target, (len(rows),), hint="one target a row")
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
        points = features.detach()[order[:inducing].to(features.device)]
        if target.is_floating_point():
            loc, scale = standardisation(target)
            return cls(points, loc=loc, scale=scale, members=members, seed=seed)
        count = int(target.max()) + 1 if classes is None else classes
        checks.check_labels("y", target, count)
        return cls(points, classes=count, members=members, seed=seed)

    def forward(self, features: Float[Tensor, "N D"]) -> Distribution:
        """Return the prediction of each row.

        Raises:
            TypeError: Where features are not floating.
        """
        mean, variance = self._latent(features)
        if self.classes:
            return mixture(categorical(self._draws(mean, variance)))
        spread = self.spread.to(mean)
        noise = (spread * self.log_noise.to(mean).exp()).expand(len(mean))
        loc = self.loc.to(mean) + spread * mean[:, 0]
        return GaussianMarginal(loc, spread * variance[:, 0].sqrt(), noise)

    def objective(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the negative evidence lower bound a row, in nats and in y's units."""
        mean, variance = self._latent(batch.x)
        if self.classes:
            logs = self._draws(mean, variance).log_softmax(-1)
            index = batch.y.long()[:, None, None].expand(-1, self.members, 1)
            expected = logs.gather(-1, index)[..., 0].mean(1)
        else:
            noise = self.log_noise.to(mean)
            y = ((batch.y - self.loc) / self.spread).to(mean)
            square = (y - mean[:, 0]).square() + variance[:, 0]
            constant = 0.5 * math.log(2 * math.pi) + noise + self.spread.to(mean).log()
            expected = -0.5 * square * (-2 * noise).exp() - constant
        return batch.mean(-expected) + self._divergence(mean.dtype) / batch.total

    def _draws(self, mean: Tensor, variance: Tensor) -> Float[Tensor, "N S C"]:
        return mean[:, None] + variance.sqrt()[:, None] * self._nodes.to(mean)

    def _latent(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance (N, C) of the latent functions."""
        dtype = widened(self, features)
        checks.check_shape("features", features, ("N", self.inducing_points.shape[1]))
        h, z = features.to(dtype), self.inducing_points.to(dtype)
        amplitude = (2 * self.log_amplitude.to(dtype)).exp()[:, None, None]
        length = (-2 * self.log_lengthscale.to(dtype)).exp()[:, None, None]
        inner = amplitude * (-0.5 * length * squared_distances(z, z)).exp()
        eye = torch.eye(len(z), dtype=dtype, device=z.device)
        factor = torch.linalg.cholesky(inner + JITTER * amplitude * eye)
        cross = amplitude * (-0.5 * length * squared_distances(z, h)).exp()
        whitened = torch.linalg.solve_triangular(factor, cross, upper=False)  # (C, M, N)
        mean = torch.einsum("cmn,cm->nc", whitened, self.mean.to(dtype))
        spread = torch.einsum("cmk,cmn->ckn", self.root.to(dtype).tril(), whitened)
        known = whitened.square().sum(1) - spread.square().sum(1)
        variance = amplitude[:, :, 0] - known
        return mean, variance.T.clamp(min=1e-8)

    def _divergence(self, dtype: torch.dtype) -> Tensor:
        """Return KL(q(v), N(0, I)) over all latent functions, in nats."""
        root = self.root.to(dtype).tril()
        logs = root.diagonal(dim1=1, dim2=2).square().clamp(min=1e-12).log()
        squares = root.square().sum() + self.mean.to(dtype).square().sum()
        return 0.5 * (squares - self.mean.numel() - logs.sum())


def _median_distance(points: Tensor) -> float:
    """Return the median distance between points; 1 where there is none above 0."""
    distances = torch.pdist(points.to(torch.float64)) if len(points) > 1 else points.new_zeros(0)
    positive = distances[distances > 0]
    return float(positive.median()) if len(positive) else 1.0
