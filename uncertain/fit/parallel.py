"""Data parallel training: who takes which rows, and sums over ranks. Nothing is initialised here."""

from __future__ import annotations

import sys
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
    """Return whether any part of a model was given to ``fully_shard``."""
    return any(_is_a(module, "torch.distributed.fsdp", "FSDPModule") for module in model.modules())


def is_dtensor(tensor: Tensor) -> bool:
    """Return whether a tensor is spread over ranks."""
    return _is_a(tensor, "torch.distributed.tensor", "DTensor")


def _is_a(value: object, module: str, name: str) -> bool:
    # What nobody has imported, nothing can be; importing these adds filters for warnings.
    return module in sys.modules and isinstance(value, getattr(sys.modules[module], name))


def reshard(model: nn.Module) -> None:
    """Free what a forward pass without a backward one leaves gathered.

    Until then ``parameters()`` gives the gathered ones, which an optimizer must not be built on.
    """
    for module in model.modules():
        if _is_a(module, "torch.distributed.fsdp", "FSDPModule"):
            module.reshard()  # type: ignore[operator]


def check_sharding(model: nn.Module) -> None:
    """Raise ``ValueError`` where gradients of a sharded model would not be averaged over ranks.

    ``fully_shard`` starts its backward pass by hooks on the tensors that a forward pass returns. A
    distribution hides them, and the gradients would silently stay those of each rank.
    """
    if _is_a(model, "torch.distributed.fsdp", "FSDPModule"):
        raise ValueError(
            "`model` should not be given to `fully_shard` itself, which does not find the tensors in"
            " a distribution: shard the network inside it."
        )
    left = [name for name, p in model.named_parameters() if not is_dtensor(p)]
    if left:
        raise ValueError(
            f"`model` should have all of its parameters sharded or none, got {left[0]} outside of "
            "the modules given to `fully_shard`."
        )


def replicate(forward: nn.Module, world: World, device: torch.device) -> nn.Module:
    """Wrap a module so that its gradients are averaged over ranks.

    Raises:
        ValueError: For a model that is sharded in a way that would not do it.
    """
    if is_sharded(forward):
        check_sharding(getattr(forward, "model", forward))
        return forward
    if world.size == 1:
        return forward
    devices = [device] if device.type == "cuda" else None
    return DistributedDataParallel(forward, device_ids=devices)
