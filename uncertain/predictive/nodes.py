"""Fixed standard normal numbers: the same for every row, chunk, call and device."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

_SOBOL = 21201
"""Most dimensions of torch's Sobol sequence."""


def normal_nodes(members: int, width: int, seed: int) -> Float[Tensor, "S D"]:
    """Return S quasi-random standard normal points of D dimensions, in float64.

    A scrambled Sobol sequence; independent draws where there are more dimensions than it has.
    """
    if width > _SOBOL:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(members, width, generator=generator, dtype=torch.float64)
    engine = torch.quasirandom.SobolEngine(width, scramble=True, seed=seed)
    uniform = engine.draw(members, dtype=torch.float64)
    tiny = 0.25 / members  # A scrambled point may fall on 0, whose normal quantile is infinite.
    points: Tensor = torch.special.ndtri(uniform.clamp(tiny, 1 - tiny))
    return points
