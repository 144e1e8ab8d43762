"""Features of three well-known classes, for the tests of heads."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

D, C = 4, 3


def clusters(rows: int = 40, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features (N, D) in float64 around a centre a class, and the classes in turn."""
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % C
    centres = 3 * np.random.default_rng(99).normal(size=(C, D))
    mix = np.random.default_rng(98).normal(size=(D, D))
    return torch.from_numpy(centres[y] + rng.normal(size=(rows, D)) @ mix), torch.from_numpy(y)
