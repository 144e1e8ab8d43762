"""Distances to class means in the metric of the classes' common covariance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain import checks
from uncertain.evaluation.collected import Collected
from uncertain.evaluation.detectors.arrays import Scores, by_block, features_array, row_blocks

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Mahalanobis:
    r"""The distance to the nearest class mean, :math:`\min_c (h - \mu_c)^\top \Sigma^+ (h - \mu_c)`.

    :math:`\Sigma` is the covariance within classes, of maximum likelihood. Directions in which the
    bank does not vary (dead units, fewer rows than features) have no precision and are left out, as
    a pseudo-inverse does; ``rank`` says how many are left. A variance counts as none where the
    rounding of the stored features explains it. With ``shrinkage`` s,
    :math:`(1 - s) \Sigma + s \operatorname{tr}(\Sigma)/D \; I` stands for :math:`\Sigma`, and every
    direction counts.

    This is the paper's score of the penultimate layer, without its input perturbation and its
    combination of layers, both of which are tuned on strange rows there.

    Attributes:
        means: (K, D), one a class that the bank has.
        whitening: (D, rank): :math:`\Sigma^+` is this times its transpose.

    References:
        K. Lee, K. Lee, H. Lee and J. Shin, "A simple unified framework for detecting
        out-of-distribution samples and adversarial attacks", 2018, eq. 1 and 2.

    Example:
        >>> h = np.random.default_rng(0).normal(size=(100, 4))
        >>> bank = Collected(h, h, np.eye(4), np.zeros(4), labels=np.arange(100) % 4)
        >>> near, far = Mahalanobis.fit(bank)(np.stack([h[0], h[0] + 9]))
        >>> bool(near < far)
        True
    """

    means: Float
    whitening: Float

    @classmethod
    def fit(cls, bank: Collected, *, shrinkage: float = 0.0) -> Mahalanobis:
        """Estimate means and covariance from training rows.

        Args:
            bank: Training rows with labels.
            shrinkage: In [0, 1].

        Raises:
            ValueError: The bank has no labels, does not vary, or the shrinkage is out of range.
        """
        checks.check_range("shrinkage", shrinkage, 0, 1)
        means, place = class_means(bank)
        covariance = _covariance(bank.features, means, place)
        return cls(means, whitening_of(covariance, bank.features.dtype, shrinkage))

    @property
    def rank(self) -> int:
        """Directions in which the bank varies."""
        return int(self.whitening.shape[1])

    def __call__(self, features: Any, logits: Any = None) -> Scores:
        """Return the squared distance to the nearest class mean, (N,); logits are not needed.

        Raises:
            TypeError: For a distribution.
            ValueError: For NaN or another width than the bank's.
        """
        return by_block(self._score, features_array(features, len(self.whitening)))

    def _score(self, h: Float) -> Float:
        return _nearest(h, self.means, self.whitening)


@dataclass(frozen=True, eq=False)
class RelativeMahalanobis:
    r"""The distance to the nearest class less that to all classes together.

    .. math:: \min_c (h - \mu_c)^\top \Sigma^+ (h - \mu_c) - (h - \mu)^\top \Sigma_0^+ (h - \mu)

    with the mean and covariance of all training rows, whatever their class, in the second term. What
    varies without telling classes apart is thereby left out. Covariances are inverted as in
    :class:`Mahalanobis`.

    Attributes:
        within: The distance to the classes.
        overall: That to all rows as one class.

    References:
        J. Ren et al., "A simple fix to Mahalanobis distance for improving near-OOD detection",
        2021, eq. 3.

    Example:
        >>> h = np.random.default_rng(0).normal(size=(100, 4)) + 5 * np.eye(4)[np.arange(100) % 4]
        >>> bank = Collected(h, h, np.eye(4), np.zeros(4), labels=np.arange(100) % 4)
        >>> RelativeMahalanobis.fit(bank)(h).shape
        (100,)
    """

    within: Mahalanobis
    overall: Mahalanobis

    @classmethod
    def fit(cls, bank: Collected, *, shrinkage: float = 0.0) -> RelativeMahalanobis:
        """Estimate both distances from training rows.

        Args:
            bank: Training rows with labels, of at least two classes.
            shrinkage: In [0, 1].

        Raises:
            ValueError: The bank has no labels, one class only, or does not vary.
        """
        within = Mahalanobis.fit(bank, shrinkage=shrinkage)
        if len(within.means) < 2:
            raise ValueError(
                "`bank` should have labels of at least 2 classes, got 1: both distances are then the "
                "same, and their difference is 0 in every row."
            )
        one = np.zeros(len(bank), dtype=np.intp)
        mean = _sums(bank.features, one, 1) / len(bank)
        covariance = _covariance(bank.features, mean, one)
        overall = Mahalanobis(mean, whitening_of(covariance, bank.features.dtype, shrinkage))
        return cls(within, overall)

    def __call__(self, features: Any, logits: Any = None) -> Scores:
        """Return the difference of the squared distances, (N,); logits are not needed.

        Raises:
            TypeError: For a distribution.
            ValueError: For NaN or another width than the bank's.
        """
        array = features_array(features, len(self.within.whitening))
        return by_block(lambda h: self.within._score(h) - self.overall._score(h), array)


def class_means(bank: Collected) -> tuple[Float, NDArray[np.intp]]:
    """Return the mean features of every class that the bank has, and each row's place among them.

    Raises:
        ValueError: The bank has no labels.
    """
    _, place, counts = np.unique(bank.class_labels, return_inverse=True, return_counts=True)
    return _sums(bank.features, place, len(counts)) / counts[:, None], place


def whitening_of(covariance: Float, dtype: np.dtype[Any], shrinkage: float = 0.0) -> Float:
    """Return (D, rank): this times its transpose is the covariance's pseudo-inverse.

    Raises:
        ValueError: Nothing varies.
    """
    width = len(covariance)
    if shrinkage:
        level = np.trace(covariance) / width
        covariance = (1 - shrinkage) * covariance + shrinkage * level * np.eye(width)
    variances, directions = np.linalg.eigh(covariance)
    # What the rounding of features explains is no variation: their spacing, squared.
    least = max(width * np.finfo(np.float64).eps, float(np.finfo(dtype).eps) ** 2)
    kept = variances > least * variances[-1]
    if variances[-1] <= 0 or not kept.any():
        raise ValueError("`bank` should have features that vary within classes, got constant ones.")
    whitening: Float = directions[:, kept] / np.sqrt(variances[kept])
    return whitening


def _sums(features: NDArray[Any], place: NDArray[np.intp], classes: int) -> Float:
    """Return the sum of the rows of each class, (K, D), in float64."""
    sums = np.zeros((classes, features.shape[1]))
    for part in row_blocks(len(features), features.shape[1] + classes):
        member = (place[part] == np.arange(classes)[:, None]).astype(np.float64)
        sums += member @ features[part].astype(np.float64)
    return sums


def _covariance(features: NDArray[Any], means: Float, place: NDArray[np.intp]) -> Float:
    width = features.shape[1]
    scatter = np.zeros((width, width))
    for part in row_blocks(len(features), width):
        away = features[part].astype(np.float64) - means[place[part]]
        scatter += away.T @ away
    return scatter / len(features)


def _nearest(h: Float, means: Float, whitening: Float) -> Float:
    centre = means.mean(axis=0)
    rows, centres = (h - centre) @ whitening, (means - centre) @ whitening
    # |a - b|^2 without (N, K, D) of memory; both are near the centre, so little cancels.
    cross = rows @ centres.T
    squared = (rows**2).sum(axis=1)[:, None] - 2 * cross + (centres**2).sum(axis=1)
    least: Float = squared.min(axis=1)
    return np.maximum(least, 0.0)
