"""Distances to the nearest training rows, and the energy guided by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain import checks
from uncertain.evaluation.collected import Collected
from uncertain.evaluation.detectors.arrays import (
    Scores,
    features_array,
    log_sum_exp,
    logits_array,
    row_blocks,
)
from uncertain.evaluation.detectors.nearest import QUERIES, candidates, unit_rows

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class KNN:
    r"""The distance to the k-th nearest training row, both scaled to length 1.

    .. math:: r_k = \lVert h / \lVert h \rVert - h_{(k)} / \lVert h_{(k)} \rVert \rVert_2

    Neighbours are found in float32, block by block, and the distances of the nearest computed in
    float64. A row of zeros has no direction and stays where it is, at distance 1 from all others.

    Attributes:
        bank: (M, D) float32, rows of length 1.
        k: Which neighbour.

    References:
        Y. Sun, Y. Ming, X. Zhu and Y. Li, "Out-of-distribution detection with deep nearest
        neighbors", 2022, algorithm 1; k = 50 is theirs for CIFAR-10.

    Example:
        >>> h = np.random.default_rng(0).normal(size=(100, 4))
        >>> bank = Collected(h, h, np.eye(4), np.zeros(4))
        >>> bool((KNN.fit(bank, k=1)(h) < 1e-6).all())
        True
    """

    bank: NDArray[np.float32]
    k: int

    @classmethod
    def fit(cls, bank: Collected, *, k: int = 50) -> KNN:
        """Keep the training rows, scaled.

        Args:
            bank: Training rows; no labels are needed.
            k: At least 1 and at most the bank's rows.

        Raises:
            ValueError: k is out of range.
        """
        _check_k(k, len(bank))
        return cls(_unit(bank.features), k)

    def __call__(self, features: Any, logits: Any = None) -> Scores:
        """Return the distance to the k-th nearest training row, (N,), in [0, 2].

        Raises:
            TypeError: For a distribution.
            ValueError: For NaN or another width than the bank's.
        """
        array = features_array(features, self.bank.shape[1])
        scores = np.empty(len(array))
        for start in range(0, len(array), QUERIES):
            part = slice(start, start + QUERIES)
            scores[part] = self._distances(unit_rows(array[part]))
        return scores

    def _distances(self, rows: Float) -> Float:
        # Nearest first needs lengths only where rows of zeros have another than 1.
        found = candidates(rows.astype(np.float32), self.bank, _half_squares(self.bank), self.k)
        squared: Float = np.empty(found.shape)
        for i, places in enumerate(found):
            squared[i] = ((self.bank[places] - rows[i]) ** 2).sum(axis=1)
        kth: Float = np.sqrt(np.partition(squared, self.k - 1, axis=1)[:, self.k - 1])
        return kth


@dataclass(frozen=True, eq=False)
class NNGuide:
    r"""The energy times its mean over the nearest training rows, weighted by cosine similarity.

    .. math:: -S(h) \; \frac{1}{k} \sum_{i \le k} S(h_i) \cos(h, h_i), \qquad
              S = \log \sum_c \exp z_c

    The k training rows are those of the largest :math:`S(h_i) \cos(h, h_i)`. All of the bank is
    used; the paper draws 1 % of ImageNet's.

    Attributes:
        bank: (M, D) float32: rows of length 1, times their energy score.
        k: How many neighbours.

    References:
        J. Park, Y. G. Jung and A. B. J. Teoh, "Nearest neighbor guidance for out-of-distribution
        detection", 2023, eq. 6 to 8; k = 10 is the authors' default.

    Example:
        >>> h = np.random.default_rng(0).normal(size=(100, 4)) + 3
        >>> bank = Collected(h, h, np.eye(4), np.zeros(4))
        >>> NNGuide.fit(bank)(h, h).shape
        (100,)
    """

    bank: NDArray[np.float32]
    k: int

    @classmethod
    def fit(cls, bank: Collected, *, k: int = 10) -> NNGuide:
        """Keep the training rows, scaled by their energy.

        Args:
            bank: Training rows; no labels are needed.
            k: At least 1 and at most the bank's rows.

        Raises:
            TypeError: The bank holds log-probabilities.
            ValueError: k is out of range.
        """
        _check_k(k, len(bank))
        logits = logits_array(bank.logits, raw=True)
        scaled = np.empty(bank.features.shape, dtype=np.float32)
        for part in row_blocks(len(bank), bank.features.shape[1]):
            confidence = log_sum_exp(logits[part].astype(np.float64))
            scaled[part] = unit_rows(bank.features[part]) * confidence[:, None]
        return cls(scaled, k)

    def __call__(self, features: Any, logits: Any) -> Scores:
        """Return minus the guided energy, (N,).

        Raises:
            TypeError: For a distribution or log-probabilities.
            ValueError: For NaN, or other lengths or width.
        """
        array, z = features_array(features, self.bank.shape[1]), logits_array(logits, raw=True)
        checks.check_same_length(features=array, logits=z)
        scores = np.empty(len(array))
        for start in range(0, len(array), QUERIES):
            part = slice(start, start + QUERIES)
            guidance = self._guidance(unit_rows(array[part]))
            scores[part] = -log_sum_exp(z[part].astype(np.float64)) * guidance
        return scores

    def _guidance(self, rows: Float) -> Float:
        found = candidates(rows.astype(np.float32), self.bank, None, self.k)
        products: Float = np.empty(found.shape)
        for i, places in enumerate(found):
            products[i] = self.bank[places] @ rows[i]
        order = products.shape[1] - self.k
        guidance: Float = np.partition(products, order, axis=1)[:, order:].mean(axis=1)
        return guidance


def _unit(features: NDArray[Any]) -> NDArray[np.float32]:
    scaled = np.empty(features.shape, dtype=np.float32)
    for part in row_blocks(len(features), features.shape[1]):
        scaled[part] = unit_rows(features[part])
    return scaled


def _half_squares(bank: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return half the squared lengths where they differ: |q - b|^2 = |q|^2 - 2 (q b - |b|^2 / 2)."""
    squares = np.einsum("ij,ij->i", bank, bank)
    return None if squares.min() > 0.5 else squares / 2


def _check_k(k: int, rows: int) -> None:
    if not 1 <= k <= rows:
        raise ValueError(
            f"`k` should be at least 1 and at most the {rows} rows of the bank, got {k}: collect more "
            "training rows or ask for a nearer neighbour."
        )
