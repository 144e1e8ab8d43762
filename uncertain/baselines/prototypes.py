"""Classes as points in feature space: the nearer, the likelier.

``N`` rows, ``D`` features, ``C`` classes.
"""

from __future__ import annotations

import math
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Categorical

from uncertain import checks
from uncertain.baselines.features import class_means, feature_rows, squared_distances, widened
from uncertain.baselines.softmax import cross_entropies
from uncertain.fit import Batch
from uncertain.predictive.classes import categorical


class PrototypeHead(nn.Module):
    r"""A learned mean a class; the logit is the negative squared distance to it.

    .. math:: p(y = c \mid h) = \frac{\exp(-\lVert h - m_c \rVert^2 / \tau)}
                                     {\sum_j \exp(-\lVert h - m_j \rVert^2 / \tau)}

    The temperature :math:`\tau` (features' unit squared) is learnt as its logarithm. Far from every
    mean the probabilities still go to 0 and 1: a softmax of distances is confident there, and it is
    :meth:`score`, the distance itself, that knows. Trained through a body, the means can be scaled
    with the features for free; the temperature then only sets the pace.

    Args:
        means: (C, D), where the prototypes start.
        temperature: Where it starts, above 0.

    Raises:
        ValueError: For a wrong shape, numbers that are not finite, or a temperature not above 0.

    References:
        J. Snell, K. Swersky and R. Zemel, "Prototypical networks for few-shot learning", 2017,
        equation 2; H.-M. Yang et al., "Robust classification with convolutional prototype learning",
        2018, for prototypes that are learnt.

    Example:
        >>> import torch
        >>> head = PrototypeHead(torch.tensor([[0.0], [2.0]]), temperature=1.0)
        >>> head(torch.tensor([[1.0], [0.0]])).probs[:, 0].detach().round(decimals=4)
        tensor([0.5000, 0.9820])
    """

    def __init__(self, means: Float[Tensor, "C D"], *, temperature: float = 1.0) -> None:
        super().__init__()
        checks.check_shape("means", means, ("C", "D"), hint="a mean a class")
        checks.check_finite("means", means)
        checks.check_range("temperature", temperature, 0, open_low=True)
        self.temperature = temperature
        self.means = nn.Parameter(means.detach().clone())
        self.log_temperature = nn.Parameter(means.new_tensor(temperature).log())

    @classmethod
    def from_data(
        cls,
        features: Float[Tensor, "N D"],
        y: Any,
        *,
        classes: int | None = None,
        weights: Any = None,
    ) -> PrototypeHead:
        r"""Start at the class means, with the temperature of the highest likelihood on these rows.

        It is at least :math:`2 \sigma^2`, with :math:`\sigma^2` the mean squared deviation of a feature
        from its class's mean: the posterior of Gaussians of one common variance and equal class
        shares. Correlated features make that too sharp, since each counts as news; and where the
        classes are separable the likelihood alone would go on to 0.

        Args:
            features: (N, D) training features.
            y: (N,) class indices.
            classes: C; by default the largest label plus one.
            weights: (N,), at least 0; a weight of k counts as k copies.

        Raises:
            ValueError: Where shapes differ, a number is not finite, or a class has no row.
        """
        rows = feature_rows(features, y, classes=classes, weights=weights)
        means = class_means(rows)
        off = (rows.features - means[rows.y]).square().mean(1)
        variance = float((rows.weight * off).sum() / rows.weight.sum())
        least = 2 * variance if variance > 0 else 1.0
        distances = squared_distances(rows.features, means)
        warmest = _temperature(distances, rows.y, rows.weight, least=least)
        return cls(means.to(features.dtype), temperature=warmest)

    def forward(self, features: Float[Tensor, "N D"]) -> Categorical:
        """Return the classes' distribution of each row.

        Raises:
            TypeError: Where features are not floating.
        """
        return categorical(self._logits(features))

    def objective(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the weighted mean cross-entropy of a batch, in nats."""
        return batch.mean(cross_entropies(self._logits(batch.x), batch.y))

    def score(self, features: Float[Tensor, "N D"]) -> Float[Tensor, " N"]:
        """Return the squared distance to the nearest prototype: larger for less certain."""
        return self._distances(features).amin(-1)

    def _logits(self, features: Tensor) -> Tensor:
        distances = self._distances(features)
        return -distances / self.log_temperature.to(distances).exp()

    def _distances(self, features: Tensor) -> Tensor:
        dtype = widened(self, features)
        checks.check_shape("features", features, ("N", self.means.shape[1]))
        return squared_distances(features.to(dtype), self.means.to(dtype))


def _temperature(distances: Tensor, y: Tensor, weight: Tensor, *, least: float) -> float:
    """Return the temperature of the highest likelihood, at least ``least``.

    The loss is convex in 1 / temperature; its derivative, the mean of the true class's distance less
    the expected one, is bisected on a logarithmic scale.
    """

    def slope(temperature: float) -> float:
        expected = ((-distances / temperature).softmax(1) * distances).sum(1)
        true = distances.gather(1, y[:, None]).squeeze(1)
        return float((weight * (true - expected)).sum())

    low, high = least, least
    while slope(high) > 0 and high < 1e9 * least:
        low, high = high, 4 * high
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return high
