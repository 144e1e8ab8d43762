"""Class predictions after their scoring: numbers a row, and no probabilities any more.

Axis letters: ``N`` rows, ``C`` classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain.evaluation.calibration_bins import BinTable
from uncertain.evaluation.classification import RowScores


@dataclass(frozen=True, eq=False)
class ScoredRows:
    """Class predictions of which only numbers a row are left.

    Attributes:
        source: The model's name.
        split: ``test`` or ``ood:NAME``.
        classes: C.
        uncertainty: Name to scores, (N,) each.
        scored: Scores against the labels; ``None`` without labels.
        wrong: Whether the predicted class is not the label, (N,); ``None`` without labels.
        positive: Probability of class 1 of two, and whether it is the label; ``None`` else.
        classwise: A table a class; ``None`` without labels.
        weights: (N,) or ``None``.
        groups: (N,) or ``None``.
        task: The data set.
        training: Which training of the source.
    """

    source: str
    split: str
    classes: int
    uncertainty: Mapping[str, NDArray[np.float64]]
    scored: RowScores | None = None
    wrong: NDArray[np.bool_] | None = None
    positive: tuple[NDArray[Any], NDArray[np.bool_]] | None = None
    classwise: list[BinTable] | None = None
    weights: NDArray[np.float64] | None = None
    groups: NDArray[Any] | None = None
    task: str = ""
    training: str = ""

    def __len__(self) -> int:
        return len(next(iter(self.uncertainty.values())))

    @property
    def is_judged(self) -> bool:
        """Whether there are labels to find mistakes by."""
        return self.wrong is not None

    @property
    def ood_name(self) -> str | None:
        """``NAME`` of a split ``ood:NAME``, else ``None``."""
        head, _, name = self.split.partition(":")
        return name if head == "ood" else None
