"""Which rows a step sees, and every draw it makes: both follow from the seed and the step alone.

So a resumed run needs no generator state, and a step can be repeated on its own.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

_MASK = (1 << 64) - 1
SHUFFLE, DRAWS, AUGMENT = 1, 2, 3


def key(seed: int, *parts: int) -> int:
    """Return a 63-bit seed that depends on every part (splitmix64, chained).

    >>> key(0, 1, 2) != key(0, 2, 1) != key(1, 1, 2)
    True
    """
    state = seed & _MASK
    for part in (0, *parts):
        state = (state + (part + 1) * 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1


class Sampler:
    """Batches cut from an endless row of epoch permutations, so that all have one size.

    Every row comes once in an epoch; a batch may hold the end of one epoch and the start of the
    next. Rows of weight zero stand for no copies and never come.

    Args:
        length: Rows in the data set.
        batch_size: At least 1; more than ``length`` means all rows, in order, at every step.
        seed: Of the permutations.
        weight: (N,) or ``None``.
    """

    def __init__(self, length: int, batch_size: int, seed: int, weight: Tensor | None) -> None:
        self.active: Tensor | None = None
        if weight is not None and not bool((weight > 0).all()):
            self.active = (weight > 0).nonzero().flatten()
            length = len(self.active)
        self.length = length
        self.batch_size = min(batch_size, length)
        self._seed = seed
        self._epochs: dict[int, Tensor] = {}

    def index(self, step: int) -> Tensor:
        """Return the rows (B,) of step ``step``, counted from 0."""
        if self.batch_size == self.length:
            return self._rows(torch.arange(self.length))
        start = step * self.batch_size
        epoch, offset = divmod(start, self.length)
        index = self._epoch(epoch)[offset : offset + self.batch_size]
        missing = self.batch_size - len(index)
        if missing:
            index = torch.cat([index, self._epoch(epoch + 1)[:missing]])
        return index

    def _epoch(self, epoch: int) -> Tensor:
        if epoch not in self._epochs:
            self._epochs = {k: v for k, v in self._epochs.items() if k == epoch - 1}
            generator = torch.Generator().manual_seed(key(self._seed, SHUFFLE, epoch))
            self._epochs[epoch] = self._rows(torch.randperm(self.length, generator=generator))
        return self._epochs[epoch]

    def _rows(self, places: Tensor) -> Tensor:
        return places if self.active is None else self.active[places]


def seed_draws(seed: int, device: torch.device) -> None:
    """Seed torch's global generators; ``torch.manual_seed`` does the same at 100 times the cost."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


def seed_python(seed: int) -> None:
    """Seed ``random`` and NumPy, which the items of a data set may draw from."""
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)  # noqa: NPY002  items draw from the old global one


@contextlib.contextmanager
def preserved_generators(device: torch.device) -> Iterator[None]:
    """Put every global generator back as it was."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = [device] if device.type not in ("cpu", "meta") else []
    try:
        with torch.random.fork_rng(devices, device_type=device.type if devices else "cuda"):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
