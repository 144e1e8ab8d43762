"""A Gaussian on any features: its mean, and its covariance through a factor."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from uncertain import checks

Covariance = Literal["diagonal", "full", "none"]
FLOOR = 1e-3
"""The least standard deviation of a head."""
_START = 0.5413  # softplus of it is 1.


class HeadOutput(NamedTuple):
    """Gaussians in the label space.

    Attributes:
        mean: (..., D).
        factor: (..., D) standard deviations, or (..., D, D) lower-triangular Cholesky factors.
    """

    mean: Tensor
    factor: Tensor


class GaussianHead(nn.Module):
    r"""From features to a Gaussian :math:`N(m(h), L(h) L(h)^\top)`, linear in the features.

    Standard deviations (the diagonal of L) are a softplus plus 1e-3, so that no distance to a target
    loses its gradient; they start near 1.

    Args:
        num_features: F.
        label_dim: D.
        covariance: ``diagonal``, ``full`` (a Cholesky factor) or ``none``: a point mass.
        seed: Of the initial weights.

    Raises:
        TypeError: For sizes that are not whole numbers.
        ValueError: For sizes below one or an unknown covariance.

    Example:
        >>> mean, factor = GaussianHead(5, 2, covariance="full")(torch.zeros(3, 5))
        >>> mean.shape, factor.shape
        (torch.Size([3, 2]), torch.Size([3, 2, 2]))
    """

    def __init__(
        self,
        num_features: int,
        label_dim: int,
        *,
        covariance: Covariance = "diagonal",
        seed: int = 0,
    ) -> None:
        super().__init__()
        checks.check_count("num_features", num_features)
        checks.check_count("label_dim", label_dim)
        checks.check_choice("covariance", covariance, ("diagonal", "full", "none"))
        self.num_features, self.label_dim = num_features, label_dim
        self.covariance, self.seed = covariance, seed
        entries = {"none": 0, "diagonal": label_dim, "full": label_dim * (label_dim + 1) // 2}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.mean = nn.Linear(num_features, label_dim)
            size = entries[covariance]
            self.scale = nn.Linear(num_features, size) if size else None
        if self.scale is not None:
            nn.init.zeros_(self.scale.bias)

    def forward(self, features: Float[Tensor, "*batch F"]) -> HeadOutput:
        """Return a Gaussian a row, in float32 or wider."""
        mean = _widened(self.mean(features))
        if self.scale is None:
            return HeadOutput(mean, torch.zeros_like(mean[..., :1]))
        raw = _widened(self.scale(features))
        deviations = F.softplus(raw[..., : self.label_dim] + _START) + FLOOR
        if self.covariance == "diagonal":
            return HeadOutput(mean, deviations)
        rows, columns = torch.tril_indices(self.label_dim, self.label_dim, -1, device=raw.device)
        factor = torch.diag_embed(deviations)
        factor[..., rows, columns] = raw[..., self.label_dim :]
        return HeadOutput(mean, factor)


def _widened(value: Tensor) -> Tensor:
    return value.to(torch.promote_types(value.dtype, torch.float32))
