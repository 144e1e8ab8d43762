"""Classes averaged over fixed normal nodes, and roots of their covariances."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import MixtureSameFamily

from uncertain.predictive import mixture
from uncertain.predictive.classes import categorical


def gaussian_logits(
    mean: Float[Tensor, "N C"], covariance: Float[Tensor, "N C C"], nodes: Float[Tensor, "S C"]
) -> MixtureSameFamily:
    r"""Return :math:`\frac1S \sum_s \mathrm{softmax}(\mu + L z_s)` with :math:`L L^\top = \Sigma`.

    The members are the same function of every row, so chunks and order change nothing.
    """
    factor = root(covariance)
    draws = mean[:, None] + torch.einsum("sd,ncd->nsc", nodes.to(mean), factor)
    return mixture(categorical(draws))


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
