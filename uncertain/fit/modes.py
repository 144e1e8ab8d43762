"""Training and evaluation mode, put back module by module: what its owner froze stays frozen."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn


@contextlib.contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode and back, module by module: what was frozen stays frozen."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextlib.contextmanager
def training_mode(model: nn.Module) -> Iterator[None]:
    """Switch a model that is in evaluation mode to training, and put every module back afterwards.

    A model that is in training mode stays as it is, with what its owner froze in evaluation mode.
    """
    modes = {module: module.training for module in model.modules()}
    if not model.training:
        model.train()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
