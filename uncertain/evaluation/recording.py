"""Record the logits, penultimate features and last linear layer of any torch network.

``N`` rows, ``D`` features, ``C`` classes. Detectors, heads and probes then run on the same numbers
without the network.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from uncertain import checks
from uncertain.atomic import StrPath
from uncertain.evaluation.collected import (
    Collected,
    collected_writer,
    load_collected,
    read_facts,
)
from uncertain.evaluation.fingerprints import RowsHash, network_hash
from uncertain.evaluation.last_layer import LastLayer
from uncertain.evaluation.provenance import versions
from uncertain.predictive.batches import Progress, modules_of, run_batches

_DTYPES = {"float16": torch.float16, "float32": torch.float32}


def collect(
    network: Any,
    data: Any,
    *,
    layer: str | nn.Module | None = None,
    batch_size: int = 1024,
    device: str | torch.device | None = None,
    dtype: Literal["float16", "float32"] = "float32",
    out: StrPath | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
) -> Collected:
    r"""Run a network over data once and keep what detectors need: :math:`h`, :math:`z = W h + b`.

    Features are the input of the last linear layer (or 1x1 convolution; with several positions left,
    their mean), logits its output, caught by forward hooks: nothing in the network changes. It runs
    in evaluation and inference mode, modes and the global random states are as before afterwards,
    and the batch is halved where memory runs out, as in `uncertain.predictive.predict`.

    Args:
        network: A module, or a callable around one. What it returns is only used to check that the
            layer found is the last.
        data: N rows, as for `uncertain.predictive.predict`; an (x, y) pair; or anything with ``x``
            (and ``y``, ``row_ids``) such as `uncertain.data.Split`. Whole (N,) y are kept as labels.
        layer: The last layer, as a module or by its name in ``network.named_modules()``; by default
            the ``nn.Linear`` or 1x1 convolution that is called last.
        batch_size: Rows a call; a ``DataLoader`` brings its own.
        device: Where batches are moved; by default where the network lies.
        dtype: How features and logits are kept. float16 halves the size and keeps three digits.
        out: A Parquet file that receives rows as they come, whole or not there. If it holds the same
            network, layer, dtype, seed and rows already, they are read and the network is not run.
        seed: Which training the network comes from; kept among the facts.
        progress: Called with the rows done and their number (``None`` if unknown).

    Returns:
        Features, logits and layer; labels and row ids where the data have them.

    Raises:
        TypeError: Where the data have no rows, or ``network`` holds no module.
        ValueError: Where no last layer is found, it is called more than once a pass, or the
            network's output is not made of its logits alone; where a feature is NaN or infinite.
        OSError: Where ``out`` cannot be written.

    Example:
        >>> network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> rows = collect(network, torch.zeros(5, 4))
        >>> rows.features.shape, rows.logits.shape, rows.facts["layer"]
        ((5, 8), (5, 3), '2')
        >>> bool(np.allclose(rows.features @ rows.weight.T + rows.bias, rows.logits))
        True
    """
    checks.check_choice("dtype", dtype, _DTYPES)
    rows, modules = _unpacked(data), _checked_modules(network)
    facts = {
        "network": network_hash(modules),
        "layer_given": layer is not None,
        "dtype": dtype,
        "seed": seed,
        "versions": versions(),
    }
    with LastLayer(modules, layer, _DTYPES[dtype]) as last, contextlib.ExitStack() as stack:
        if out is not None:
            stored = _stored(Path(out), facts | last.facts, rows, batch_size)
            if stored is not None:
                return stored
        pieces: list[Collected] = []
        takers: list[Callable[[Collected, Any], None]] = []
        if out is None:
            takers.append(lambda piece, _: pieces.append(piece))
        else:
            write, late = stack.enter_context(collected_writer(out))
            hashed = RowsHash()
            takers += [lambda piece, _: write(piece), lambda _, x: hashed.update(x)]
        _run(network, modules, last, rows, facts, takers, (batch_size, device, progress))
        if out is None:
            return _joined(pieces)
        late["data"] = hashed.hexdigest()
    return load_collected(out)


class _Rows(NamedTuple):
    x: Any
    y: Any
    row_ids: NDArray[Any] | None


def _unpacked(data: Any) -> _Rows:
    if isinstance(data, tuple) and len(data) == 2:
        checks.check_same_length(x=data[0], y=data[1])
        return _Rows(data[0], data[1], None)
    if isinstance(data, TensorDataset) and len(data.tensors) > 1:
        return _Rows(data.tensors[0], data.tensors[1], None)
    if hasattr(data, "x") and hasattr(data.x, "__len__"):
        ids = getattr(data, "row_ids", None)
        return _Rows(data.x, getattr(data, "y", None), None if ids is None else np.asarray(ids))
    return _Rows(data, None, None)


def _checked_modules(network: Any) -> list[nn.Module]:
    modules = modules_of(network)
    if not modules:
        raise TypeError(
            f"`network` should be a module, or a callable around one, got {type(network).__name__} "
            "in which no module is found: its features can't be recorded."
        )
    return modules


def _stored(path: Path, facts: dict[str, Any], rows: _Rows, batch_size: int) -> Collected | None:
    """Return what a file holds, if it is these very rows of this very network.

    Labels and ids are those of the rows given: they may have had none when the file was written.
    """
    if not path.is_file():
        return None
    try:
        stored = read_facts(path)
    except ValueError:  # Damaged, or of another kind: it is written anew.
        return None
    asked = {name: value for name, value in facts.items() if name != "versions"}
    if stored.get("data") is None or any(stored.get(name) != v for name, v in asked.items()):
        return None
    hashed = RowsHash()
    labels: list[Any] = []

    def read(x: Any, home: Any, count: int) -> Any:
        return x

    def take(x: Any, y: Any) -> None:
        hashed.update(x)
        labels.append(_labels(y))

    run_batches(read, rows.x, [take], modules=[], batch_size=batch_size, device=None)
    if hashed.hexdigest() != stored["data"]:
        return None
    found = _labels(rows.y) if rows.y is not None else _concatenated(labels)
    return dataclasses.replace(load_collected(path), labels=found, row_ids=rows.row_ids)


def _run(
    network: Any,
    modules: Sequence[nn.Module],
    last: LastLayer,
    rows: _Rows,
    facts: dict[str, Any],
    takers: Sequence[Callable[[Collected, Any], None]],
    how: tuple[int, str | torch.device | None, Progress | None],
) -> None:
    done = 0

    def call(x: Any, home: Any, count: int) -> tuple[Tensor, Tensor, Any]:
        return (*last.run(network, x, count), x)

    def take(answer: tuple[Tensor, Tensor, Any], y: Any) -> None:
        nonlocal done
        features, logits, x = answer
        here = slice(done, done + len(features))
        done += len(features)
        piece = Collected(
            _host(features),
            _host(logits),
            last.weight,
            last.bias,
            labels=_labels(y if rows.y is None else rows.y[here]),
            row_ids=None if rows.row_ids is None else rows.row_ids[here],
            facts=facts | last.facts,
        )
        for give in takers:
            give(piece, x)

    batch_size, device, progress = how
    run_batches(
        call,
        rows.x,
        [take],
        modules=modules,
        batch_size=batch_size,
        device=device,
        progress=progress,
    )


def _host(values: Tensor) -> NDArray[Any]:
    return values.cpu().numpy()


def _labels(y: Any) -> NDArray[np.int64] | None:
    """Return class indices; what is no whole number a row is another kind of target."""
    if y is None:
        return None
    array = y.detach().cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)
    return array.astype(np.int64) if array.ndim == 1 and array.dtype.kind in "iub" else None


def _joined(pieces: Sequence[Collected]) -> Collected:
    first = pieces[0]
    columns: dict[str, Any] = {}
    for name in ("features", "logits", "labels", "row_ids"):
        columns[name] = _concatenated([getattr(piece, name) for piece in pieces])
    return Collected(weight=first.weight, bias=first.bias, facts=first.facts, **columns)


def _concatenated(values: Sequence[Any]) -> Any:
    return None if values[0] is None else np.concatenate(values)
