"""Figures of rows that lie on many ranks: each counts its own, and the states are joined.

Every state counts in whole numbers, adds exactly, or keeps rows that are sorted before anything is
added, so the joined state gives the figures of one process that saw all rows, to the bit, however
the rows were split. What moves is the states: at most 8 MiB of counts for a ranking.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


State = TypeVar("State")


def reduce_states(state: State, group: ProcessGroup | None = None) -> State:
    """Return, on every rank, the state of all ranks' rows.

    Ranks send their states in turn and each is merged as it comes, so that a rank holds two states
    at a time whatever the number of ranks. A rank without rows sends an empty state.

    Args:
        state: This rank's: anything with ``merge``, of the same kind on every rank; it is left as
            it is.
        group: The process group; the default one where ``None``. On NCCL the state travels by the
            current CUDA device.

    Returns:
        A new state, equal on all ranks.

    Raises:
        RuntimeError: There is no process group: figures of one rank's rows would pass for those of
            all.
        TypeError: ``state`` has no ``merge``, or ranks hold states of different kinds.

    Example:
        >>> from uncertain.evaluation.ranking_histogram import RankHistogram
        >>> reduce_states(RankHistogram())
        Traceback (most recent call last):
        RuntimeError: `group` should be a process group, got none: call ...init_process_group` first...
    """
    import torch.distributed as dist

    if not callable(getattr(state, "merge", None)):
        raise TypeError(f"`state` should have a method `merge`, got {type(state).__name__}.")
    if not (dist.is_available() and dist.is_initialized()):
        raise RuntimeError(
            "`group` should be a process group, got none: call `torch.distributed.init_process_group` "
            "first (under torchrun), or use the state as it is where one process sees all rows."
        )
    kinds: list[str | None] = [None] * dist.get_world_size(group)
    dist.all_gather_object(kinds, type(state).__qualname__, group=group)
    if len(set(kinds)) > 1:
        raise TypeError(
            f"`state` should be of one kind on all ranks, got {', '.join(map(str, kinds))}."
        )
    total: Any = None
    for rank in range(len(kinds)):
        sent: list[State] = [state]
        source = rank if group is None else dist.get_global_rank(group, rank)
        dist.broadcast_object_list(sent, src=source, group=group)
        # A rank's own state comes back as itself.
        total = copy.deepcopy(sent[0]) if total is None else total.merge(copy.deepcopy(sent[0]))
    joined: State = total
    return joined
