"""The adapter: from torch distributions and tensors to the arrays that the judge reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from uncertain import predictive
from uncertain.evaluation.predictions import Predictions
from uncertain.predictive.provenance import FittedOn

Column = Tensor | np.ndarray | Sequence[Any]


def from_distribution(
    distribution: Distribution,
    target: Column | None = None,
    *,
    row_ids: Column | None = None,
    groups: Column | None = None,
    weights: Column | None = None,
    scores: Mapping[str, Column] | None = None,
    columns: Mapping[str, Column] | None = None,
    class_names: Sequence[str] | None = None,
    grid: float | None = None,
    ordinal: bool = False,
    inputs: Mapping[Any, Any] | None = None,
    source: str = "model",
    split: str = "test",
    training: str = "",
    task: str = "",
    fitted_on: Sequence[FittedOn] = (),
) -> Predictions:
    """Return predictions for :func:`uncertain.evaluation.evaluate` from a torch distribution.

    Tensors are detached, copied to the host, and widened to float32 where they are half precision.

    Args:
        distribution: N predictions, from :func:`uncertain.predictive.predict` or a model's call.
        target: N true classes or values; ``None`` for out-of-distribution rows.
        row_ids: N unique ids, by which models are paired.
        groups: N resampling units.
        weights: N non-negative weights.
        scores: More uncertainty scores, each (N,), larger is less certain.
        columns: Facts of each row, each (N,), by which figures can be had.
        class_names: One name a class.
        grid: Spacing of the grid that real targets lie on.
        ordinal: Whether the classes' order means something.
        inputs: Row id -> what the model saw, for the report; needs ``row_ids``.
        source: The model's name.
        split: ``test``, ``ood:NAME`` or ``shift:KIND:SEVERITY``.
        training: Which training run of the source.
        task: The data set.
        fitted_on: The ``fitted_on`` of every calibrator that made the distribution.

    Returns:
        The predictions, validated.

    Raises:
        ValueError: Lengths differ, labels are out of range, NaN.
        TypeError: A distribution that no family of the table holds.

    Example:
        >>> p = torch.distributions.Categorical(logits=torch.zeros(3, 2))
        >>> from_distribution(p, torch.tensor([0, 1, 1])).distribution.family
        'categorical'
    """
    return Predictions(
        distribution=predictive.to_arrays(distribution),
        target=_array(target),
        row_ids=_array(row_ids),
        groups=_array(groups),
        weights=_array(weights),
        scores={name: np.asarray(_array(score)) for name, score in (scores or {}).items()},
        columns={name: np.asarray(_array(column)) for name, column in (columns or {}).items()},
        class_names=None if class_names is None else tuple(class_names),
        grid=grid,
        ordinal=ordinal,
        inputs=inputs,
        source=source,
        split=split,
        training=training,
        task=task,
        fitted_on=tuple(fitted_on),
    )


def _array(column: Column | None) -> np.ndarray | None:
    if column is None:
        return None
    if isinstance(column, Tensor):
        column = column.detach()
        if column.dtype in (torch.bfloat16, torch.float16):
            column = column.float()
        return column.cpu().numpy()
    return np.asarray(column)
