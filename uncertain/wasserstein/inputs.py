"""Inputs as measures: a row becomes M particles, each of which goes through the backbone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from uncertain import checks, keyed
from uncertain.wasserstein.arguments import check_tensor
from uncertain.wasserstein.finite import check_views

Perturb = Callable[[Tensor, torch.Generator], Tensor]
"""From rows and a generator to one perturbed view of each row."""


class Perturbed(nn.Module):
    r"""The law of a perturbed row, :math:`\mu_n = \mathrm{Law}(\tau(x_n))`, as M particles.

    In training every step draws M from ``train_particles`` and fresh views. In evaluation a row is
    itself, the one particle that it came as, or ``particles`` views that are a function of the row
    and the seed alone: the same in every call, batch and order. No row's draws may depend on its
    neighbours, so ``perturb`` is called row by row there, unless it has a method ``seeded(x, seeds)``:
    one view of each row of x, drawn from nothing but the row's own seed, a whole number (N,) in int64.
    It is called once for all. ``data.corrupt(x, kind, severity, row_ids=seeds)`` is one.

    To save it with ``predictive.save`` make ``perturb`` an ``nn.Module`` of a module of yours, with
    ``forward(x, generator)``: a file names classes, and no functions but torch's and this library's.

    Args:
        perturb: From rows and a generator to one view of each row, in the rows' shape.
        particles: M in evaluation; ``None`` leaves a row as it is.
        train_particles: Which M a training step may draw.
        seed: Of the views in evaluation.

    Raises:
        TypeError: Where ``perturb`` can not be called, or particles are no whole numbers.
        ValueError: For fewer than one particle.

    Example:
        >>> noise = lambda x, generator: x + torch.randn(x.shape, generator=generator)
        >>> inputs = Perturbed(noise, particles=4).eval()
        >>> x = torch.zeros(3, 5)
        >>> inputs(x).shape, bool((inputs(x)[:2] == inputs(x[:2])).all())
        (torch.Size([3, 4, 5]), True)
    """

    def __init__(
        self,
        perturb: Perturb,
        *,
        particles: int | None = None,
        train_particles: Sequence[int] = (1, 2, 4, 8),
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not callable(perturb):
            raise TypeError(
                "`perturb` should be a callable from rows and a generator to rows, "
                f"got {type(perturb).__name__}."
            )
        if particles is not None:
            checks.check_count("particles", particles, hint="None leaves a row as it is")
        if not isinstance(train_particles, Sequence) or isinstance(train_particles, str):
            raise TypeError(
                "`train_particles` should be a sequence of whole numbers, got "
                f"{train_particles!r}: ({train_particles!r},) is one."
            )
        checks.check_not_empty("train_particles", train_particles)
        for number in train_particles:
            checks.check_count("train_particles", number)
        self.perturb = perturb
        self.particles = particles
        self.train_particles = tuple(train_particles)
        self.seed = seed

    def forward(self, x: Float[Tensor, "N ..."]) -> Float[Tensor, "N M ..."]:
        """Return the particles of each row.

        Raises:
            TypeError: Where x is no tensor.
            ValueError: Where the views do not have the rows' shape, or a finite row's view is not
                finite.
        """
        check_tensor("x", x)
        views = self._drawn(x)
        check_views(x, views)
        return views

    def _drawn(self, x: Tensor) -> Tensor:
        if self.training:
            # One number of the global generator, as dropout takes: a step's seed decides its views.
            generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
            place = int(torch.randint(len(self.train_particles), (), generator=generator))
            return self._views(x, self.train_particles[place], generator)
        if self.particles is None:
            return x.unsqueeze(1)
        seeded = getattr(self.perturb, "seeded", None)
        if seeded is not None:
            return self._seeded(x, self.particles, seeded)
        generator = torch.Generator()
        return torch.cat(
            [
                self._views(row[None], self.particles, generator.manual_seed(self._key(row)))
                for row in x
            ]
            or [x.new_empty((0, self.particles, *x.shape[1:]))]
        )

    def _views(self, x: Tensor, particles: int, generator: torch.Generator) -> Tensor:
        copies = x.repeat_interleave(particles, dim=0)
        return _as_views(
            "perturb(x, generator)", self.perturb(copies, generator), copies, particles
        )

    def _seeded(
        self, x: Tensor, particles: int, seeded: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """Return views of all rows from one call, each from a seed of its row's content and number."""
        rows = np.array([self._key(row) for row in x], dtype=np.int64)
        numbered = np.stack([rows.repeat(particles), np.tile(np.arange(particles), len(x))], axis=1)
        seeds = torch.from_numpy((keyed.hash_keys(numbered) >> np.uint64(1)).astype(np.int64))
        copies = x.repeat_interleave(particles, dim=0)
        seen = seeded(copies, seeds.to(x.device))
        return _as_views("perturb.seeded(x, seeds)", seen, copies, particles)

    def _key(self, row: Tensor) -> int:
        """Return a 63-bit seed from what the row contains."""
        content = row.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
        digest = hashlib.blake2b(content, digest_size=8, key=str(self.seed).encode()).digest()
        return int.from_bytes(digest, "little") >> 1


def particles_of(x: Any, inputs: nn.Module | None) -> Tensor:
    """Return the particles of each row (N, M, ...); without ``inputs`` a row is one.

    Raises:
        TypeError: Where x is no tensor.
        ValueError: Where it has no rows' dimension.
    """
    if inputs is None:
        check_tensor("x", x)
        if not x.ndim:
            raise ValueError("`x` should have shape (N, ...), a row a prediction, got ().")
        return cast(Tensor, x.unsqueeze(1))
    return cast(Tensor, inputs(x))


def _as_views(name: str, seen: Tensor, copies: Tensor, particles: int) -> Tensor:
    checks.check_shape(name, seen, tuple(copies.shape), hint="a view a row")
    return seen.reshape(len(copies) // particles, particles, *copies.shape[1:])


class PointCloud(nn.Module):
    """A cloud of points as its own empirical measure: a particle is a point, or a part of the cloud.

    Args:
        points: Points of a particle. One: the backbone sees single points, (N M, D). More: parts of
            the cloud, (N M, points, D), made of every M-th point in the order given.

    Raises:
        TypeError: Where points are no whole number.
        ValueError: For fewer than one point.

    Example:
        >>> cloud = torch.zeros(2, 12, 3)
        >>> PointCloud()(cloud).shape, PointCloud(points=4)(cloud).shape
        (torch.Size([2, 12, 3]), torch.Size([2, 3, 4, 3]))
    """

    def __init__(self, points: int = 1) -> None:
        super().__init__()
        checks.check_count("points", points)
        self.points = points

    def forward(self, x: Float[Tensor, "N P D"]) -> Float[Tensor, "N M ..."]:
        """Return the particles of each cloud.

        Raises:
            TypeError: Where x is no tensor.
            ValueError: For clouds without points, or points that do not go into particles.
        """
        check_tensor("x", x)
        checks.check_shape("x", x, ("N", "P", "D"), hint="a cloud of points a row")
        if not x.shape[1]:
            raise ValueError(f"`x` should have points in every cloud, got shape {tuple(x.shape)}.")
        if self.points == 1:
            return x
        if x.shape[1] % self.points:
            raise ValueError(
                f"`x` should have a multiple of {self.points} points a cloud, got {x.shape[1]}."
            )
        parts: Tensor = x.unflatten(1, (self.points, -1)).transpose(1, 2)
        return parts
