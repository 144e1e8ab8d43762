"""Data parallel training: who takes which rows, and sums over ranks. Nothing is initialised here."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


class World(NamedTuple):
    """The place of one process among those that train together.

    Every rank takes its part of each batch. Gradients are averaged over ranks, so the weights of a
    part are scaled by ``size * part / batch``: the expected gradient is that of one process with
    the joint batch, for any number of ranks and unequal parts.
    """

    rank: int = 0
    size: int = 1

    def part(self, index: Tensor) -> Tensor:
        """Return this rank's rows of a batch."""
        return index if self.size == 1 else index.tensor_split(self.size)[self.rank]

    def scale(self, part: int, whole: int) -> float:
        """Return the factor of the weights of a part of ``part`` rows of ``whole``."""
        return self.size * part / whole

    def mean(self, values: Tensor) -> Tensor:
        """Return the average over ranks."""
        return values if self.size == 1 else self.sum(values) / self.size

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over ranks."""
        if self.size > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def share(self, value: Any) -> Any:
        """Return rank 0's ``value`` on every rank."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]


def current_world() -> World:
    """Return the default process group as a ``World``; one process where there is none."""
    if dist.is_available() and dist.is_initialized():
        return World(dist.get_rank(), dist.get_world_size())
    return World()


def is_sharded(model: nn.Module) -> bool:
    """Return whether a module was given to ``fully_shard``, which averages gradients itself."""
    return any("FSDP" in kind.__name__ for kind in type(model).__mro__)


def replicate(forward: nn.Module, world: World, device: torch.device) -> nn.Module:
    """Wrap a module so that its gradients are averaged over ranks."""
    if world.size == 1 or is_sharded(getattr(forward, "model", forward)):
        return forward
    devices = [device] if device.type == "cuda" else None
    return DistributedDataParallel(forward, device_ids=devices)
