"""The two parts of a prediction's uncertainty, row by row, as plain arrays.

Axis letters: ``N`` rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.distributions import Distribution

from uncertain import predictive

Predictor = Callable[[Any], Distribution]


class Parts(NamedTuple):
    """What a model calls noise, and what it calls ignorance.

    Attributes:
        aleatoric: (N,) nats for classes, squared target units for numbers.
        epistemic: (N,) in the same unit.
    """

    aleatoric: NDArray[np.float64]
    epistemic: NDArray[np.float64]


def parts_of(predictor: Predictor, x: Any, *, batch_size: int = 1024) -> Parts:
    """Return both parts of every row's uncertainty; several outputs of a row are averaged.

    Args:
        predictor: A callable ``x -> Distribution`` whose distribution can be split.
        x: N rows, as for :func:`uncertain.predictive.predict`.
        batch_size: Rows a call.

    Returns:
        The parts.

    Raises:
        TypeError: The distribution does not know its parts.
        ValueError: A part is NaN or infinite.

    Example:
        >>> import torch
        >>> from uncertain.predictive import GaussianMarginal
        >>> parts = parts_of(lambda x: GaussianMarginal(x, x.exp(), torch.ones(len(x))), torch.zeros(2))
        >>> parts.aleatoric, parts.epistemic
        (array([1., 1.]), array([1., 1.]))
    """
    split = predictive.decompose(predictive.predict(predictor, x, batch_size=batch_size))
    arrays = {
        name: part.detach().double().cpu().reshape(len(part), -1).mean(dim=1).numpy()
        for name, part in (("aleatoric", split.aleatoric), ("epistemic", split.epistemic))
    }
    for name, values in arrays.items():
        bad = int(np.count_nonzero(~np.isfinite(values)))
        if bad:
            raise ValueError(
                f"the predictor's {name} part should be finite, got {bad} of {len(values)} rows that "
                "are not: a heavy-tailed family has no variance to split."
            )
    return Parts(**arrays)
