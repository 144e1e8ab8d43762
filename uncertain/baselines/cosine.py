"""Classes as directions in feature space: a feature's length does not count.

``N`` rows, ``D`` features, ``C`` classes.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Categorical

from uncertain import checks
from uncertain.baselines.features import class_means, feature_rows, widened
from uncertain.baselines.softmax import cross_entropies
from uncertain.fit import Batch
from uncertain.predictive.classes import categorical


class CosineHead(nn.Module):
    r"""Logits that are scaled cosines between the features and a learned direction a class.

    .. math:: z_c = s\, \frac{h^\top w_c}{\lVert h \rVert \, \lVert w_c \rVert}

    The scale s is learnt as its logarithm. Logits are bounded by s, so no input, however strange, is
    given more confidence than the training data could earn; and what a feature's length says of
    strangeness is thrown away.

    Args:
        directions: (C, D), where the directions start; their lengths do not matter.
        scale: Where the scale starts, above 0.

    Raises:
        ValueError: For a wrong shape, numbers that are not finite, or a scale not above 0.

    References:
        S. Gidaris and N. Komodakis, "Dynamic few-shot visual learning without forgetting", 2018,
        equation 4.

    Example:
        >>> import torch
        >>> head = CosineHead(torch.eye(2), scale=4.0)
        >>> near, far = head(torch.tensor([[1.0, 0.0], [100.0, 0.0]])).probs
        >>> bool((near == far).all())
        True
    """

    def __init__(self, directions: Float[Tensor, "C D"], *, scale: float = 10.0) -> None:
        super().__init__()
        checks.check_shape("directions", directions, ("C", "D"), hint="a direction a class")
        checks.check_finite("directions", directions)
        checks.check_range("scale", scale, 0, open_low=True)
        self.scale = scale
        self.directions = nn.Parameter(directions.detach().clone())
        self.log_scale = nn.Parameter(directions.new_tensor(scale).log())

    @classmethod
    def from_data(
        cls,
        features: Float[Tensor, "N D"],
        y: Any,
        *,
        scale: float = 10.0,
        classes: int | None = None,
        weights: Any = None,
    ) -> CosineHead:
        """Start at the directions of the class means.

        Args:
            features: (N, D) training features.
            y: (N,) class indices.
            scale: Where the scale starts, above 0.
            classes: C; by default the largest label plus one.
            weights: (N,), at least 0; a weight of k counts as k copies.

        Raises:
            ValueError: Where shapes differ, a number is not finite, or a class has no row.
        """
        rows = feature_rows(features, y, classes=classes, weights=weights)
        return cls(class_means(rows).to(features.dtype), scale=scale)

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
        """Return one minus the largest cosine, in [0, 2]: larger for less certain."""
        return 1 - self._cosines(features).amax(-1)

    def _logits(self, features: Tensor) -> Tensor:
        cosines = self._cosines(features)
        return cosines * self.log_scale.to(cosines).exp()

    def _cosines(self, features: Tensor) -> Tensor:
        dtype = widened(self, features)
        checks.check_shape("features", features, ("N", self.directions.shape[1]))
        return F.normalize(features.to(dtype)) @ F.normalize(self.directions.to(dtype)).T
