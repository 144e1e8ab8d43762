"""Everything that is checked before the first step: bad input is refused before work is done."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from uncertain import checks
from uncertain.fit.failures import not_finite
from uncertain.fit.modes import evaluation_mode
from uncertain.fit.objective import check_labels_fit, check_prediction
from uncertain.fit.parallel import reshard
from uncertain.fit.sources import Source, as_source, to_device


def check_model(model: Any) -> torch.device:
    """Return the device of a model that can be trained.

    Raises:
        TypeError: For what is no module.
        ValueError: Without trainable parameters, or with parameters that are not finite.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"`model` should be a torch.nn.Module, got {type(model).__name__}.")
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError(
            "`model` should have parameters that require a gradient, got none: there is nothing "
            "to train."
        )
    if not any(nn.parameter.is_lazy(p) for p in model.parameters()):
        check_parameters(model)
    return parameters[0].device


def check_parameters(model: nn.Module) -> None:
    """Raise ``ValueError`` where a parameter or buffer is not finite before training."""
    bad = not_finite(dict(model.named_parameters()))
    if bad:
        raise ValueError(f"`model` should have finite parameters, got NaN or infinity in {bad[0]}.")


def checked_source(name: str, data: Any) -> Source:
    """Return data as a source whose rows and weights can be trained on.

    Raises:
        TypeError, ValueError: For data without rows, that is not finite, or with bad weights.
    """
    source = as_source(data, name)
    check_weight(f"{name} weight", source)
    check_finite_columns(name, source)
    return source


def check_weight(name: str, source: Source) -> None:
    """Raise ``ValueError`` unless the weights are one finite number a row, none negative, not all 0."""
    weight = source.weight
    if weight is None:
        return
    checks.check_shape(name, weight, (len(source),), hint="one weight a row")
    values = weight.detach().cpu().numpy()
    checks.check_finite(name, values)
    checks.check_range(name, values, 0)
    if not values.any():
        raise ValueError(f"`{name}` should have a positive entry, got only zeros.")


def check_finite_columns(name: str, source: Source) -> None:
    """Raise ``ValueError`` where a tensor of the data holds NaN or infinity."""
    for column, values in source.columns():
        label = f"{name} {column}"
        if not isinstance(values, Tensor):
            checks.check_finite(label, values)
        elif values.is_floating_point() and not _all_finite(values):
            bad = (~torch.isfinite(values)).nonzero()[0].tolist()
            rows = (~torch.isfinite(values)).flatten(1).any(1) if values.ndim > 1 else None
            count = int((~torch.isfinite(values)).sum() if rows is None else rows.sum())
            raise ValueError(
                f"`{label}` should be finite, got NaN or infinity in {count} of {len(values)} rows, "
                f"the first at row {bad[0]}: fill or drop them, or give them weight 0 and any number."
            )


def check_predictor(model: nn.Module, source: Source, device: torch.device) -> None:
    """Let the model predict two rows, and raise unless that fits the targets of all rows.

    In evaluation mode and without gradients, so that nothing in the model changes; uninitialised
    parameters get their shapes here.
    """
    index = torch.arange(min(2, len(source)))
    x, y = to_device(tuple(source.rows(index)), device)
    with evaluation_mode(model), torch.no_grad():
        dist = model(x)
    reshard(model)
    check_prediction(dist, y)
    targets = dict(source.columns()).get("y")
    if targets is not None:
        whole = targets if isinstance(targets, Tensor) else torch.from_numpy(np.array(targets))
        check_labels_fit(dist, whole)


def _all_finite(values: Tensor) -> bool:
    # A finite sum of half precision numbers can overflow, so only a bad sum is looked into.
    return bool(torch.isfinite(values.sum())) or bool(torch.isfinite(values).all())
