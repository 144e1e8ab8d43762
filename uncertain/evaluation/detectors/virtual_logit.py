"""The part of a feature that training features never have, held against the logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain.evaluation.collected import Collected
from uncertain.evaluation.detectors.arrays import (
    Scores,
    by_block,
    features_array,
    log_sum_exp,
    logits_array,
    row_blocks,
)

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ViM:
    r"""Virtual-logit matching: the residual's length as one more logit.

    .. math:: \alpha \lVert R^\top (h - o) \rVert - \log \sum_c \exp z_c, \qquad o = -W^+ b

    R spans what is left of the features beside the K directions of the bank's largest second moments
    around o, and :math:`\alpha` makes the virtual logit as large as the largest real one, on average
    over the bank. The paper's score, the probability of the virtual class, is the logistic function
    of this one, and ranks alike without ever saturating.

    Attributes:
        origin: (D,), o.
        residual: (D, D - K), R.
        alpha: The scale.

    References:
        H. Wang, Z. Li, L. Feng and W. Zhang, "ViM: out-of-distribution with virtual-logit matching",
        2022, eq. 5 to 7.

    Example:
        >>> h = np.random.default_rng(0).normal(size=(100, 4)) * [3, 2, 1, 0.1] + 5
        >>> bank = Collected(h, h, np.eye(4), np.zeros(4))
        >>> ViM.fit(bank, dimensions=3).residual.shape
        (4, 1)
    """

    origin: Float
    residual: Float
    alpha: float

    @classmethod
    def fit(cls, bank: Collected, *, dimensions: int | None = None) -> ViM:
        """Find the principal space of training rows.

        Args:
            bank: Training rows; no labels are needed.
            dimensions: K, at least 1 and below D. By default the paper's 1000 from 2048 features and
                512 from 768; half of the features of smaller networks, which the paper has none of.

        Raises:
            TypeError: The bank holds log-probabilities.
            ValueError: K is out of range, or the bank has nothing outside its principal space.
        """
        width = bank.features.shape[1]
        if dimensions is None:
            dimensions = default_dimensions(width)
        if not 1 <= dimensions < width:
            raise ValueError(
                f"`dimensions` should be at least 1 and below the {width} features, got {dimensions}."
            )
        logits = logits_array(bank.logits, raw=True)
        origin = -np.linalg.pinv(bank.weight.astype(np.float64)) @ bank.bias.astype(np.float64)
        moments = np.zeros((width, width))
        for part in row_blocks(len(bank), width):
            away = bank.features[part].astype(np.float64) - origin
            moments += away.T @ away
        sizes, directions = np.linalg.eigh(moments)
        residual = np.ascontiguousarray(directions[:, : width - dimensions])
        lengths = by_block(lambda h: _length(h - origin, residual), bank.features)
        spread = max(float(np.finfo(bank.features.dtype).eps), 1e-12) * np.sqrt(sizes[-1])
        if np.sqrt((lengths**2).sum()) <= spread:
            raise ValueError(
                f"`bank` should vary outside of its {dimensions} principal directions, got features "
                "that lie in them: ask for fewer `dimensions`, or collect more rows."
            )
        top = by_block(lambda z: z.max(axis=1), logits)
        return cls(origin, residual, float(top.sum() / lengths.sum()))

    def __call__(self, features: Any, logits: Any) -> Scores:
        """Return the log-odds of the virtual class, (N,).

        Raises:
            TypeError: For a distribution or log-probabilities.
            ValueError: For NaN, or other lengths or width.
        """
        return by_block(
            lambda h, z: self.alpha * _length(h - self.origin, self.residual) - log_sum_exp(z),
            features_array(features, len(self.origin)),
            logits_array(logits, raw=True),
        )


def default_dimensions(width: int) -> int:
    """Return the size of the principal space of features of some width.

    Example:
        >>> default_dimensions(2048), default_dimensions(768), default_dimensions(64)
        (1000, 512, 32)
    """
    if width >= 768:
        return 1000 if width >= 2048 else 512
    return max(1, width // 2)


def _length(away: Float, residual: Float) -> Float:
    length: Float = np.sqrt(((away @ residual) ** 2).sum(axis=1))
    return length
