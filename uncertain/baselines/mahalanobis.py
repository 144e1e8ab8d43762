"""Classes as Gaussians of one covariance in feature space.

``N`` rows, ``D`` features, ``C`` classes.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Categorical

from uncertain import checks
from uncertain.baselines.features import (
    class_means,
    feature_rows,
    squared_distances,
    widened,
)
from uncertain.predictive.classes import categorical


class MahalanobisHead(nn.Module):
    r"""The posterior of Gaussian classes that share a covariance: linear discriminant analysis.

    .. math:: p(y = c \mid h) \propto \pi_c \exp\bigl(-\tfrac{1}{2\tau}
              (h - \mu_c)^\top \Sigma^{-1} (h - \mu_c)\bigr), \qquad
              \Sigma = (1 - \lambda) S + \lambda \frac{\mathrm{tr} S}{D} I

    with S the pooled covariance within classes. It is fitted in closed form, by
    :meth:`from_data`; nothing is trained. With many features its Gaussians are far too sure of
    themselves: :math:`\tau > 1` is the usual remedy, chosen on validation rows. As with every
    discriminant the odds of two classes grow linearly with distance; :meth:`score`, the distance to
    the nearest mean, is what tells strange rows.

    Args:
        means: (C, D).
        whitening: (D, D), with ``h @ whitening`` of unit covariance within classes.
        log_prior: (C,) logarithms of class shares.
        temperature: :math:`\tau`, above 0.

    Raises:
        ValueError: For wrong shapes, numbers that are not finite, or a temperature not above 0.

    References:
        K. Lee et al., "A simple unified framework for detecting out-of-distribution samples and
        adversarial attacks", 2018, equations 1 and 2.

    Example:
        >>> h = torch.tensor([[0.0, 0.0], [2.0, 0.0], [10.0, 1.0], [12.0, 1.0]])
        >>> head = MahalanobisHead.from_data(h, torch.tensor([0, 0, 1, 1]), shrinkage=0.5)
        >>> head.score(torch.tensor([[1.0, 0.0]]))
        tensor([0.])
    """

    means: Tensor
    whitening: Tensor
    log_prior: Tensor

    def __init__(
        self,
        means: Float[Tensor, "C D"],
        whitening: Float[Tensor, "D D"],
        log_prior: Float[Tensor, " C"],
        *,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        checks.check_shape("means", means, ("C", "D"), hint="a mean a class")
        classes, width = means.shape
        checks.check_shape("whitening", whitening, (width, width))
        checks.check_shape("log_prior", log_prior, (classes,), hint="one a class")
        for name, value in (("means", means), ("whitening", whitening), ("log_prior", log_prior)):
            checks.check_finite(name, value)
            self.register_buffer(name, value.detach().clone())
        checks.check_range("temperature", temperature, 0, open_low=True)
        self.temperature = temperature

    @classmethod
    def from_data(
        cls,
        features: Float[Tensor, "N D"],
        y: Any,
        *,
        shrinkage: float = 0.1,
        temperature: float = 1.0,
        classes: int | None = None,
        weights: Any = None,
    ) -> MahalanobisHead:
        r"""Fit means, covariance and class shares, in float64.

        Args:
            features: (N, D) training features.
            y: (N,) class indices.
            shrinkage: :math:`\lambda`, in [0, 1]: how far the covariance is drawn to a multiple of
                the identity; needed where there are fewer rows than features.
            temperature: Above 0.
            classes: C; by default the largest label plus one.
            weights: (N,), at least 0; a weight of k counts as k copies.

        Raises:
            ValueError: Where shapes differ, a number is not finite, a class has no row, or the
                covariance is singular.
        """
        checks.check_range("shrinkage", shrinkage, 0, 1)
        rows = feature_rows(features, y, classes=classes, weights=weights)
        means = class_means(rows)
        off = rows.features - means[rows.y]
        covariance = (rows.weight[:, None] * off).T @ off / rows.weight.sum()
        identity = torch.eye(len(covariance), dtype=torch.float64, device=off.device)
        even = covariance.diagonal().mean()
        whitening = _whitening((1 - shrinkage) * covariance + shrinkage * even * identity)
        mass = off.new_zeros(rows.classes).index_add_(0, rows.y, rows.weight)
        dtype = features.dtype
        return cls(
            means.to(dtype),
            whitening.to(dtype),
            (mass / mass.sum()).log().to(dtype),
            temperature=temperature,
        )

    def forward(self, features: Float[Tensor, "N D"]) -> Categorical:
        """Return the classes' distribution of each row.

        Raises:
            TypeError: Where features are not floating.
        """
        distances = self._distances(features)
        logits = self.log_prior.to(distances) - distances / (2 * self.temperature)
        return categorical(logits)

    def score(self, features: Float[Tensor, "N D"]) -> Float[Tensor, " N"]:
        """Return the squared Mahalanobis distance to the nearest class: larger for less certain."""
        return self._distances(features).amin(-1)

    def _distances(self, features: Tensor) -> Tensor:
        dtype = widened(self, features)
        checks.check_shape("features", features, ("N", self.means.shape[1]))
        whitening = self.whitening.to(dtype)
        # Centred before it is whitened: a large common offset would cost digits in the product.
        centre = self.means.to(dtype).mean(0)
        h, means = features.to(dtype) - centre, self.means.to(dtype) - centre
        return squared_distances(h @ whitening, means @ whitening)


def _whitening(covariance: Float[Tensor, "D D"]) -> Float[Tensor, "D D"]:
    """Return W with W W' the inverse of the covariance."""
    factor, info = torch.linalg.cholesky_ex(covariance)
    # A pivot of rounding size is a feature that the others determine.
    thin = factor.diagonal() <= 1e-7 * covariance.diagonal().sqrt()
    if int(info) > 0 or bool(thin.any()):
        raise ValueError(
            "`features` should have a covariance of full rank within classes, got features that "
            "others determine (or never vary): give `shrinkage` above 0."
        )
    identity = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    inverse: Tensor = torch.linalg.solve_triangular(factor, identity, upper=False)
    return inverse.T
