"""Fixed standard normal numbers: the same for every row, chunk, call and device."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily

from uncertain.predictive import mixture

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


def gaussian_logits(
    mean: Float[Tensor, "N C"], covariance: Float[Tensor, "N C C"], nodes: Float[Tensor, "S C"]
) -> MixtureSameFamily:
    r"""Return :math:`\frac1S \sum_s \mathrm{softmax}(\mu + L z_s)` with :math:`L L^\top = \Sigma`.

    The members are the same function of every row, so chunks and order change nothing.
    """
    factor = root(covariance)
    draws = mean[:, None] + torch.einsum("sd,ncd->nsc", nodes.to(mean), factor)
    return mixture(Categorical(logits=draws))


def root(covariance: Float[Tensor, "N C C"]) -> Float[Tensor, "N C C"]:
    """Return Cholesky factors of covariances that may be singular up to rounding.

    A row that has none is lifted along its diagonal, by itself: its neighbours stay as they are.
    """
    size = (
        covariance.diagonal(dim1=-2, dim2=-1).amax(-1).clamp(min=torch.finfo(covariance.dtype).tiny)
    )
    eye = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
    lift = 10 * torch.finfo(covariance.dtype).eps
    factor: Tensor
    factor, info = torch.linalg.cholesky_ex(covariance + lift * size[:, None, None] * eye)
    while bool((info > 0).any()) and lift < 1:
        lift *= 30
        bad = info > 0
        again, left = torch.linalg.cholesky_ex(covariance[bad] + lift * size[bad, None, None] * eye)
        factor[bad], info[bad] = again, left
    return factor
