"""What a training is, in words and hashes: a checkpoint goes on only with the same one."""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from uncertain.fit.objective import Objective
from uncertain.fit.sampling import DRAWS, key, seed_draws, seed_python
from uncertain.fit.sources import Source

WHOLE_BYTES = 16 * 2**20
"""A tensor of at most this many bytes is hashed whole, a larger one by evenly spaced rows."""
SAMPLED_ROWS = 4096
SAMPLED_ITEMS = 8


def describe(value: Any) -> str:
    """Return a short text for a function, a partial, an objective or an object.

    >>> describe(functools.partial(torch.optim.SGD, lr=0.1))
    'SGD(lr=0.1)'
    """
    if isinstance(value, functools.partial):
        words = [describe(argument) for argument in value.args]
        words += [f"{name}={describe(word)}" for name, word in value.keywords.items()]
        return f"{describe(value.func)}({', '.join(words)})"
    if isinstance(value, Objective) or value is None or isinstance(value, (int, float, str, bool)):
        return repr(value)
    if isinstance(value, (tuple, list)):
        return "(" + ", ".join(map(describe, value)) + ")"
    return str(getattr(value, "__qualname__", type(value).__qualname__))


def describe_model(model: nn.Module) -> dict[str, str]:
    """Return the model's class and the shape and number type of everything in its state."""
    lines = {"model": type(model).__qualname__}
    for name, value in model.state_dict().items():
        shape = (
            f"{tuple(value.shape)} {value.dtype}" if isinstance(value, Tensor) else describe(value)
        )
        lines[f"model.{name}"] = shape
    return lines


def describe_code() -> dict[str, str]:
    """Return the versions a training's bits depend on."""
    own = sys.modules[__name__.partition(".")[0]]
    return {"uncertain": str(own.__version__), "torch": str(torch.__version__)}


def describe_data(source: Source, seed: int) -> dict[str, str]:
    """Return the number of rows and a hash of every column and of the weights.

    Of a data set of items, ``SAMPLED_ITEMS`` evenly spaced ones are made (with their random draws
    fixed by ``seed``) and hashed.
    """
    found = {"rows": str(len(source))}
    columns = dict(source.columns())
    if not columns:
        columns = dict(_sampled_items(source, seed))
    if source.weight is not None:
        columns["weight"] = source.weight
    for name, column in columns.items():
        found[name] = f"{tuple(column.shape)} {column.dtype} {content_hash(column)}"
    return found


def content_hash(column: Any) -> str:
    """Return 16 hexadecimal digits that depend on the values, shape and type of an array.

    >>> content_hash(torch.zeros(3)) == content_hash(torch.zeros(3)), len(content_hash(np.ones(2)))
    (True, 16)
    """
    tensor = column.detach() if isinstance(column, Tensor) else torch.from_numpy(np.array(column))
    if tensor.numel() * tensor.element_size() > WHOLE_BYTES:
        rows = torch.linspace(0, len(tensor) - 1, SAMPLED_ROWS, dtype=torch.float64).long()
        tensor = tensor[rows.to(tensor.device)]
    digest = hashlib.blake2b(f"{tuple(column.shape)} {tensor.dtype}".encode(), digest_size=8)
    digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    """Yield one phrase for every entry that is not the same on both sides."""
    for name in {**old, **new}:
        before, now = old.get(name, "absent"), new.get(name, "absent")
        if before != now:
            yield f"{name} was {before}, is {now}"


def _sampled_items(source: Source, seed: int) -> Iterator[tuple[str, Tensor]]:
    places = torch.linspace(0, len(source) - 1, min(SAMPLED_ITEMS, len(source))).long()
    draw = key(seed, DRAWS)
    seed_draws(draw, torch.device("cpu"))
    seed_python(draw)
    for name, value in zip("xy", source.rows(places), strict=True):
        for place, leaf in enumerate(_flat(value)):
            yield f"{name}.{place}", leaf


def _flat(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return (
        [leaf for part in value for leaf in _flat(part)] if isinstance(value, (tuple, list)) else []
    )
