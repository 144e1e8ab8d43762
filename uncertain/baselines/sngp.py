"""A distance-aware network: spectral-normalised body, Gaussian-process last layer.

``N`` rows, ``D`` features, ``M`` random features, ``C`` classes.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Categorical

from uncertain import checks
from uncertain.baselines.batch_ensemble import LAYERS
from uncertain.baselines.features import row_weights
from uncertain.baselines.softmax import cross_entropies
from uncertain.fit import Batch
from uncertain.predictive.classes import categorical

_START_ITERATIONS = 30


class SNGP(nn.Module):
    r"""Random Fourier features of a body of bounded slope, with a Laplace posterior on top.

    .. math:: \phi(h) = \sqrt{2 / M} \cos(\Omega h / \ell + b), \qquad z_c = \beta_c^\top \phi,
              \qquad \Sigma_c^{-1} = \rho I + \sum_n p_{nc} (1 - p_{nc}) \phi_n \phi_n^\top

    :math:`\Omega` is standard normal and fixed, so that :math:`\phi` approximates a Gaussian process
    with an RBF kernel of lengthscale :math:`\ell`. Every weight matrix of the body is divided by its
    spectral norm where that exceeds the bound. Prediction is the mean-field softmax of

    .. math:: z_c / \sqrt{1 + \tfrac{\pi}{8}\, \phi^\top \Sigma_c \phi}

    which falls back to equal probabilities far from the training rows, where the cosines forget. The
    covariance is computed after training, by :meth:`fit_covariance`; until then it is the prior's.

    The mean-field form has no members, so it says nothing of noise and ignorance apart; the mean
    variance of the logits is its :meth:`score`. Convolutions are bounded as matrices of shape
    (out, in x kernel), which is not their norm as maps. Only residual bodies keep distances from
    below: on others the bound works from above alone.

    Args:
        body: From inputs to features (N, D).
        features: D.
        classes: C.
        random_features: M.
        bound: Largest spectral norm of a weight matrix, above 0.
        lengthscale: :math:`\ell`, above 0; by default :math:`\sqrt D`.
        ridge: :math:`\rho`, above 0.
        seed: Of the random features and the first weights.

    Raises:
        ValueError: For numbers out of range.

    References:
        J. Liu et al., "Simple and principled uncertainty estimation with deterministic deep learning
        via distance awareness", 2020, equations 8 to 10 and algorithm 1.

    Example:
        >>> body = nn.Sequential(nn.Linear(2, 16), nn.ReLU())
        >>> model = SNGP(body, features=16, classes=3, random_features=64).eval()
        >>> model.fit_covariance(torch.randn(50, 2, generator=torch.Generator().manual_seed(0)))
        >>> near, far = model.score(torch.tensor([[0.0, 0.0], [300.0, 0.0]]))
        >>> bool(far > near)
        True
    """

    covariance: Tensor
    frequencies: Tensor
    phases: Tensor

    def __init__(
        self,
        body: nn.Module,
        *,
        features: int,
        classes: int,
        random_features: int = 256,
        bound: float = 0.95,
        lengthscale: float | None = None,
        ridge: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, size in (("features", features), ("classes", classes)):
            checks.check_range(name, size, 1)
        checks.check_range("random_features", random_features, 1)
        checks.check_range("bound", bound, 0, open_low=True)
        checks.check_range("ridge", ridge, 0, open_low=True)
        length = math.sqrt(features) if lengthscale is None else lengthscale
        checks.check_range("lengthscale", length, 0, open_low=True)
        self.body = body
        self.features, self.classes, self.random_features = features, classes, random_features
        self.bound, self.lengthscale, self.ridge, self.seed = bound, length, ridge, seed
        generator = torch.Generator().manual_seed(seed)
        self._names = [n for n, m in body.named_modules() if isinstance(m, LAYERS)]
        self._add_directions(generator)
        omega = torch.randn(random_features, features, generator=generator)
        self.register_buffer("frequencies", omega)
        self.register_buffer(
            "phases", 2 * math.pi * torch.rand(random_features, generator=generator)
        )
        start = torch.randn(classes, random_features, generator=generator)
        self.weight = nn.Parameter(0.05 * start)
        self.bias = nn.Parameter(torch.zeros(classes))
        prior = torch.eye(random_features) / ridge
        self.register_buffer("covariance", prior.repeat(classes, 1, 1))

    def forward(self, x: Any) -> Categorical:
        """Return the mean-field distribution of each row."""
        phi = self._random(x)
        mean = self._logits(phi)
        return categorical(mean / (1 + math.pi / 8 * self._variance(phi)).sqrt())

    def objective(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the weighted mean cross-entropy of the mean logits, in nats."""
        logits = self._logits(self._random(batch.x))
        return batch.mean(cross_entropies(logits, batch.y))

    def score(self, x: Any) -> Float[Tensor, " N"]:
        """Return the mean variance of the logits: larger for less certain."""
        return self._variance(self._random(x)).mean(-1)

    @torch.no_grad()
    def fit_covariance(self, x: Any, *, weights: Any = None, batch_size: int = 1024) -> None:
        """Compute the posterior covariance at the trained weights from all training rows.

        Args:
            x: Training inputs: a tensor, or what gives rows by slices.
            weights: (N,), at least 0; a weight of k counts as k copies.
            batch_size: Rows at a time.

        Raises:
            ValueError: Where weights do not fit.
        """
        size = self.random_features
        precision = self.weight.new_zeros((self.classes, size, size), dtype=torch.float64)
        row = row_weights(weights, precision.new_zeros(len(x), 1))
        modes = [(m, m.training) for m in self.modules()]
        self.eval()
        try:
            for first in range(0, len(x), batch_size):
                phi = self._random(x[first : first + batch_size])
                p = self._logits(phi).softmax(-1).double()
                mass = row[first : first + batch_size, None] * p * (1 - p)
                wide = phi.double()
                for c in range(self.classes):
                    precision[c] += (mass[:, c, None] * wide).T @ wide
        finally:
            for module, mode in modes:
                module.training = mode
        precision.diagonal(dim1=1, dim2=2).add_(self.ridge)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(precision))
        self.covariance.copy_(inverse.to(self.covariance))

    def _random(self, x: Any) -> Float[Tensor, "N M"]:
        h = torch.func.functional_call(self.body, self._bounded(), (x,))
        checks.check_shape("body(x)", h, ("N", self.features), hint="`features` of them")
        h = h.to(torch.promote_types(h.dtype, torch.float32))
        angles = h @ self.frequencies.to(h).T / self.lengthscale + self.phases.to(h)
        phi: Tensor = math.sqrt(2 / self.random_features) * angles.cos()
        return phi

    def _logits(self, phi: Tensor) -> Tensor:
        return F.linear(phi, self.weight.to(phi), self.bias.to(phi))

    def _variance(self, phi: Tensor) -> Tensor:
        value = torch.einsum("ni,cij,nj->nc", phi, self.covariance.to(phi), phi)
        return value.clamp(min=0)

    def _bounded(self) -> dict[str, Tensor]:
        """Return the body's weight matrices, divided where their norm exceeds the bound."""
        changed = {}
        for i, name in enumerate(self._names):
            weight: Tensor = self.body.get_submodule(name).weight  # type: ignore[assignment]
            matrix = weight.flatten(1)
            u = self.get_buffer(f"direction{i}")
            if self.training:
                u = _iterate(matrix.detach(), u, 1)
                with torch.no_grad():
                    self.get_buffer(f"direction{i}").copy_(u)
            norm = (matrix.T @ u.to(matrix)).norm()
            key = f"{name}.weight" if name else "weight"
            changed[key] = weight * (self.bound / norm.clamp(min=1e-12)).clamp(max=1)
        return changed

    @torch.no_grad()
    def _add_directions(self, generator: torch.Generator) -> None:
        """Start the power iteration of every layer near its first singular direction."""
        for i, name in enumerate(self._names):
            weight: Tensor = self.body.get_submodule(name).weight  # type: ignore[assignment]
            matrix = weight.detach().flatten(1)
            u = torch.randn(len(matrix), generator=generator).to(matrix)
            self.register_buffer(f"direction{i}", _iterate(matrix, u, _START_ITERATIONS))


@torch.no_grad()
def _iterate(matrix: Tensor, u: Tensor, times: int) -> Tensor:
    """Return u after power iterations towards the first left singular vector."""
    wide = matrix.to(torch.promote_types(matrix.dtype, torch.float32))
    v = u.to(wide)
    for _ in range(times):
        v = F.normalize(wide @ F.normalize(wide.T @ v, dim=0), dim=0)
    return v.to(u)
