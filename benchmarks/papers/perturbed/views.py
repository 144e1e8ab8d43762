"""What training sees of a row: one view of three families at severities 1 to 3, or the row itself.

Strengths are drawn evenly up to severity 3, so 1 and 2 are inside. These are draws from a generator,
unlike the corruptions that models are judged on, which belong to a row.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from uncertain.data import POINT_SEVERITIES, SEVERITIES, transforms
from uncertain.fit import Batch
from uncertain.predictive import log_prob

Perturb = Callable[[Tensor, torch.Generator], Tensor]
"""From rows and a generator to one view of each row."""

SEEN_IMAGES = ("rotation", "impulse", "down_scaling")
UNSEEN_IMAGES = ("blur", "contrast", "shear")
SEEN_POINTS = ("rotation", "jitter", "down_sampling")
UNSEEN_POINTS = ("outliers", "dropout", "hole", "scale")
HARDEST = 3
"""The last severity that training covers."""


def image_views(x: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate, salt or shrink each image, or leave it: a quarter of the rows each.

    Args:
        x: (N, channels, H, W) in [0, 1].
        generator: Source of the draws.

    Returns:
        (N, channels, H, W).
    """
    kind = torch.randint(4, (len(x),), generator=generator)
    strength = torch.rand(len(x), generator=generator)
    share = torch.randint(HARDEST, (len(x),), generator=generator)
    seen = x.clone()
    turned, salted = (kind == 1).nonzero()[:, 0], (kind == 2).nonzero()[:, 0]
    small = (kind == 3).nonzero()[:, 0]
    most = SEVERITIES["rotation"][HARDEST - 1]
    seen[turned] = rotated(x[turned], most * (2 * strength[turned] - 1))
    seen[salted] = _salted(x[salted], strength[salted], generator)
    shrink = down_scalings(x.shape[-1]).to(x.dtype)[share[small]][:, None]
    seen[small] = shrink @ x[small] @ shrink.mT
    return seen


def rotated(x: Tensor, degrees: Tensor) -> Tensor:
    """Rotate square images as ``transforms.rotate`` does, in one call; bits may follow the batch."""
    if not len(x):
        return x  # which the sampler below refuses
    angle = torch.deg2rad(degrees)
    sine, cosine, zero = angle.sin(), angle.cos(), torch.zeros_like(angle)
    matrix = torch.stack([cosine, -sine, zero, sine, cosine, zero], dim=1).reshape(-1, 2, 3)
    grid = nn.functional.affine_grid(matrix, list(x.shape), align_corners=False)
    return nn.functional.grid_sample(x, grid, align_corners=False)


@functools.cache
def down_scalings(size: int) -> Tensor:
    """Return the (severity, size, size) matrices of shrinking and enlarging a line of pixels."""
    found = []
    for share in SEVERITIES["down_scaling"][:HARDEST]:
        small = max(1, round(share * size))
        shrink = _dense(transforms.area_taps(size, small), size)
        found.append(_dense(transforms.bilinear_taps(small, size), small) @ shrink)
    return torch.stack(found)


def _dense(taps: tuple[Tensor, Tensor], columns: int) -> Tensor:
    index, weight = taps
    empty = torch.zeros(len(index), columns, dtype=weight.dtype)
    return empty.scatter_add_(1, index, weight)


def point_views(x: Tensor, generator: torch.Generator) -> Tensor:
    """Turn, jitter or thin each cloud, or leave it: a quarter of the rows each.

    A cloud is thinned to its first points, which are spread evenly where the cloud is in the order of
    farthest points; they are repeated so that all rows have as many.

    Args:
        x: (N, points, 3).
        generator: Source of the draws.

    Returns:
        (N, points, 3).
    """
    kind = torch.randint(4, (len(x),), generator=generator)
    strength = torch.rand(len(x), generator=generator)
    share = torch.randint(HARDEST, (len(x),), generator=generator)
    axis = torch.randn((len(x), 3), generator=generator)
    noise = torch.randn(x.shape, generator=generator)
    degrees = POINT_SEVERITIES["rotation"][HARDEST - 1] * strength * (kind == 1)
    seen = torch.einsum("npi,nji->npj", x, turns(axis, degrees))
    deviation = POINT_SEVERITIES["jitter"][HARDEST - 1] * strength * (kind == 2)
    seen = seen + deviation[:, None, None] * noise
    left = torch.tensor(POINT_SEVERITIES["down_sampling"][:HARDEST])[share] * x.shape[1]
    count = torch.where(kind == 3, left.round().clamp(min=1), float(x.shape[1])).long()
    index = torch.arange(x.shape[1]) % count[:, None]
    return seen.gather(1, index[..., None].expand(-1, -1, 3))


def turned_images(x: Tensor, generator: torch.Generator) -> Tensor:
    """Leave half of the images as they are and turn the others, as far as training does.

    Args:
        x: (N, channels, H, W).
        generator: Source of the draws.

    Returns:
        (N, channels, H, W).
    """
    chosen = (torch.rand(len(x), generator=generator) < 0.5).nonzero()[:, 0]
    most = SEVERITIES["rotation"][HARDEST - 1]
    degrees = most * (2 * torch.rand(len(chosen), generator=generator) - 1)
    seen = x.clone()
    seen[chosen] = rotated(x[chosen], degrees)
    return seen


def turned_points(x: Tensor, generator: torch.Generator) -> Tensor:
    """Leave half of the clouds (N, points, 3) as they are and turn the others, as far as training does."""
    turned = torch.rand(len(x), generator=generator) < 0.5
    axis = torch.randn((len(x), 3), generator=generator)
    strength = torch.rand(len(x), generator=generator)
    degrees = POINT_SEVERITIES["rotation"][HARDEST - 1] * strength * turned
    return torch.einsum("npi,nji->npj", x, turns(axis, degrees))


def turns(axis: Tensor, degrees: Tensor) -> Tensor:
    """Return the (N, 3, 3) rotation about each axis by each angle, by the formula of Rodrigues."""
    a = nn.functional.normalize(axis, dim=-1)
    zero = torch.zeros_like(a[:, 0])
    cross = torch.stack(
        [zero, -a[:, 2], a[:, 1], a[:, 2], zero, -a[:, 0], -a[:, 1], a[:, 0], zero], dim=-1
    ).reshape(-1, 3, 3)
    angle = torch.deg2rad(degrees)[:, None, None]
    return torch.eye(3) + angle.sin() * cross + (1 - angle.cos()) * cross @ cross


def _salted(x: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    share = SEVERITIES["impulse"][HARDEST - 1] * strength.reshape(-1, 1, 1, 1)
    draws = torch.rand(x.shape, generator=generator)
    x = torch.where(draws < share / 2, torch.zeros_like(x), x)
    return torch.where(draws > 1 - share / 2, torch.ones_like(x), x)


class Augmented(nn.Module):
    """A model that is trained on views of its rows: its objective on M views of each.

    The views are drawn before anything else in a step, from the step's own seed, so models that are
    trained with one seed see the same views of the same rows.

    Args:
        model: What is trained.
        perturb: Makes the views.
        views: Numbers of views to draw M from; one number is drawn a step.
    """

    def __init__(self, model: nn.Module, perturb: Perturb, *, views: Sequence[int] = (1,)) -> None:
        super().__init__()
        self.model, self.perturb, self.views = model, perturb, tuple(views)

    def objective(self, batch: Batch) -> Tensor:
        """Return the model's objective, or its mean negative log-likelihood, on the views."""
        generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        views = self.views[int(torch.randint(len(self.views), (), generator=generator))]
        seen = Batch(
            self.perturb(batch.x.repeat_interleave(views, dim=0), generator),
            batch.y.repeat_interleave(views, dim=0),
            batch.weight.repeat_interleave(views, dim=0),
            batch.index.repeat_interleave(views, dim=0),
            batch.total,
        )
        own = getattr(self.model, "objective", None)
        value: Tensor = own(seen) if own else seen.mean(-log_prob(self.model(seen.x), seen.y))
        return value

    def forward(self, x: Tensor) -> torch.distributions.Distribution:
        """Return the model's distribution of the rows as they are."""
        found: torch.distributions.Distribution = self.model(x)
        return found
