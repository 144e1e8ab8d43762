"""Distances of features to the decision boundaries of the last layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain.evaluation.collected import Collected
from uncertain.evaluation.detectors.arrays import Scores, by_block, features_array, logits_array

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FDBD:
    r"""Minus the mean distance to the other classes' boundaries, by the distance to the training mean.

    .. math:: -\frac{1}{C - 1} \sum_{c \ne \hat c} \frac{|z_{\hat c} - z_c|}
              {\lVert w_{\hat c} - w_c \rVert \; \lVert h - \mu \rVert}

    Classes of the same weight have no boundary and are left out of the mean.

    Attributes:
        mean: (D,), the mean training feature.
        inverse: (C, C), one over the distances of the classes' weights; 0 where they are equal.
        boundaries: (C,), how many boundaries each class has.

    References:
        L. Liu and Y. Qin, "Fast decision boundary based out-of-distribution detector", 2024, eq. 5
        and 8.

    Example:
        >>> h = np.array([[2.0, 0.0], [0.0, 1.0]])
        >>> bank = Collected(h, h, np.eye(2), np.zeros(2))
        >>> FDBD.fit(bank)(h, h).round(4)
        array([-1.2649, -0.6325])
    """

    mean: Float
    inverse: Float
    boundaries: NDArray[np.int64]

    @classmethod
    def fit(cls, bank: Collected) -> FDBD:
        """Average the training rows and measure the last layer.

        Args:
            bank: Training rows; no labels are needed.

        Raises:
            ValueError: Two classes, at least, should differ in their weight.
        """
        weight = bank.weight.astype(np.float64)
        distances = np.stack([np.sqrt(((weight - w) ** 2).sum(axis=1)) for w in weight])
        differs = distances > 0
        boundaries = differs.sum(axis=1)
        if not boundaries.all():
            raise ValueError(
                "`bank` should have a last layer of at least two classes of different weights, got "
                f"{len(weight)} classes without a boundary between them."
            )
        inverse = np.where(differs, 1 / np.where(differs, distances, 1.0), 0.0)
        return cls(bank.features.mean(axis=0, dtype=np.float64), inverse, boundaries)

    def __call__(self, features: Any, logits: Any) -> Scores:
        """Return minus the mean relative distance to the boundaries, (N,), at most 0.

        Raises:
            TypeError: For a distribution.
            ValueError: For NaN, or other lengths or widths.
        """
        return by_block(
            self._score,
            features_array(features, len(self.mean)),
            logits_array(logits, classes=len(self.inverse)),
        )

    def _score(self, h: Float, z: Float) -> Float:
        predicted = z.argmax(axis=1)
        gaps = z.max(axis=1)[:, None] - z
        distance = (gaps * self.inverse[predicted]).sum(axis=1) / self.boundaries[predicted]
        away = np.sqrt(((h - self.mean) ** 2).sum(axis=1))
        # At the training mean itself, the distance is infinitely large beside it.
        score: Float = -distance / np.maximum(away, np.finfo(np.float64).tiny)
        return np.maximum(score, -np.finfo(np.float64).max)
