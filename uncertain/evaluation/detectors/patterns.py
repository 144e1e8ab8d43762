"""Features held against stored patterns of the predicted class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain.evaluation.collected import Collected
from uncertain.evaluation.detectors.arrays import Scores, by_block, features_array, logits_array

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SHE:
    r"""Minus the inner product with the predicted class's mean feature, :math:`-h^\top S_{\hat c}`.

    Attributes:
        patterns: (C, D): :math:`S_c` is the mean feature of the bank's rows of class c that are
            classified correctly.

    References:
        J. Zhang et al., "Out-of-distribution detection based on in-distribution data patterns
        memorization with modern Hopfield energy", 2023, eq. 9 and 10.

    Example:
        >>> h = np.eye(3)
        >>> bank = Collected(h, h, np.eye(3), np.zeros(3), labels=np.arange(3))
        >>> SHE.fit(bank)(2 * h, h)
        array([-2., -2., -2.])
    """

    patterns: Float

    @classmethod
    def fit(cls, bank: Collected) -> SHE:
        """Average the training rows that are classified correctly.

        Args:
            bank: Training rows with labels.

        Raises:
            ValueError: The bank has no labels, or no correct row of a class.
        """
        labels = bank.class_labels
        correct = logits_array(bank.logits).argmax(axis=1) == labels
        classes = bank.logits.shape[1]
        counts = np.bincount(labels[correct], minlength=classes)
        if not counts.all():
            missing = np.flatnonzero(counts == 0)
            raise ValueError(
                "`bank` should have a correctly classified row of every class, got none of class "
                f"{missing[0]} ({len(missing)} of {classes} classes): a pattern is their mean."
            )
        patterns = [
            bank.features[correct & (labels == c)].astype(np.float64).mean(axis=0)
            for c in range(classes)
        ]
        return cls(np.stack(patterns))

    def __call__(self, features: Any, logits: Any) -> Scores:
        """Return minus the inner product with the predicted class's pattern, (N,).

        Raises:
            TypeError: For a distribution.
            ValueError: For NaN, or other lengths or widths.
        """
        return by_block(
            lambda h, z: -(h * self.patterns[z.argmax(axis=1)]).sum(axis=1),
            features_array(features, self.patterns.shape[1]),
            logits_array(logits, classes=len(self.patterns)),
        )
