"""Rows of any kind, handed to a network in batches without leaving a trace.

What `predict` and the recording of features share: batches are cut here, moved, halved where memory
runs out; modes and random states are restored.
"""

import contextlib
import functools
import random
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from torch.utils.data.sampler import RandomSampler

from uncertain.predictive.arrays import Device

Progress = Callable[[int, int | None], None]
Call = Callable[[Any, torch.device | None, int], Any]
"""From x, already moved, where the answer goes (``None``: stay) and the number of rows."""
Take = Callable[[Any, Any], None]
"""What is done with the answer for consecutive rows, and with their y (``None`` without)."""


def run_batches(
    call: Call,
    data: Any,
    takers: Sequence[Take],
    *,
    modules: Sequence[nn.Module],
    batch_size: int,
    device: Device | None,
    progress: Progress | None = None,
) -> int:
    """Hand the answers for consecutive rows to the takers; return how many rows there were.

    Not a generator: one that is abandoned half-way would leave inference mode switched on.

    Args:
        call: Answers for one batch.
        data: As for `uncertain.predictive.predict`.
        takers: Each is given every answer.
        modules: Put into evaluation mode meanwhile.
        batch_size: Rows a call; a ``DataLoader`` brings its own.
        device: Where batches are moved; by default where the first module lies.
        progress: Called with the rows done and their number (``None`` if unknown).

    Raises:
        TypeError: Where ``data`` has no rows.
        ValueError: Where the data are empty or shuffled, or the modules lie on another device.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` should be at least 1, got {batch_size}.")
    target = _target_device(modules, device)
    total = _total(data)
    done, limit = 0, sys.maxsize
    with _untouched(modules, target):
        for x, y in iterate_batches(data, batch_size):
            start, count = 0, row_count(x)
            while start < count:
                stop = min(start + limit, count)
                whole = stop - start == count
                part = x if whole else _rows(x, start, stop)
                answer = _attempt(call, part, target, stop - start)
                if answer is None:  # Out of memory.
                    limit = (stop - start + 1) // 2
                    continue
                beside = y if whole or y is None else _rows(y, start, stop)
                start, done = stop, done + (stop - start)
                for take in takers:
                    take(answer, beside)
                if progress is not None:
                    progress(done, total)
    if done == 0:
        raise ValueError("`data` should have at least one row, got none.")
    return done


def _attempt(call: Call, x: Any, device: torch.device | None, count: int) -> Any:
    """One call, or None where it ran out of memory and fewer rows might not."""
    try:
        home = x.device if isinstance(x, Tensor) else torch.device("cpu")
        return call(_moved(x, device), None if device in (None, home) else home, count)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if count == 1 or not _is_out_of_memory(error):
            raise
    # Outside the handler: the failed call's tensors are only freed with its traceback.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text


# --- state that must not change ---------------------------------------------------------------


@contextlib.contextmanager
def _untouched(modules: Sequence[nn.Module], device: torch.device | None) -> Iterator[None]:
    """Evaluation and inference mode inside; every mode and random state as before outside."""
    training = {m: m.training for root in modules for m in root.modules()}
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=_accelerators(modules, device)):
        try:
            for root in modules:
                root.eval()
            with torch.inference_mode():
                yield
        finally:
            for module, mode in training.items():
                module.training = mode
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002


def _accelerators(modules: Sequence[nn.Module], device: torch.device | None) -> list[int]:
    used = {p.device for root in modules for p in (*root.parameters(), *root.buffers())} | {device}
    return sorted({d.index or 0 for d in used if d is not None and d.type == "cuda"})


def modules_of(predictor: Any) -> list[nn.Module]:
    """The modules that can be seen from a callable: itself, or what it is bound to or closes over."""
    if isinstance(predictor, nn.Module):
        return [predictor]
    if isinstance(predictor, functools.partial):
        return _among([predictor.func, *predictor.args, *predictor.keywords.values()], deeper=True)
    if hasattr(predictor, "__self__"):  # A method: of a module, or of an object that holds some.
        return modules_of(predictor.__self__)
    if isinstance(predictor, types.FunctionType):
        held = [cell.cell_contents for cell in predictor.__closure__ or () if _is_set(cell)]
        known = predictor.__globals__  # A lambda at module level reaches its network as a global.
        held += [known[name] for name in predictor.__code__.co_names if name in known]
        return _among(held)
    return _among(list(getattr(predictor, "__dict__", {}).values()))


def _among(values: Sequence[Any], *, deeper: bool = False) -> list[nn.Module]:
    found: list[nn.Module] = []
    for value in values:
        if isinstance(value, nn.Module):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += [item for item in value if isinstance(item, nn.Module)]
        elif deeper and callable(value):
            found += modules_of(value)
    return found


def _is_set(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _target_device(modules: Sequence[nn.Module], device: Device | None) -> torch.device | None:
    own = next((p.device for m in modules for p in (*m.parameters(), *m.buffers())), None)
    if device is None:
        return own
    wanted = _present(device)
    if own is not None and own != wanted:
        raise ValueError(
            f"`device` should be the predictor's, {own}, got {wanted}: move it first, "
            f"`predictor.to({str(wanted)!r})`."
        )
    return wanted


# --- rows of anything -------------------------------------------------------------------------


def row_count(x: Any) -> int:
    """Number of rows of a batch of any supported kind."""
    if isinstance(x, Mapping):
        counts = {row_count(value) for value in x.values()}
        if len(counts) != 1:
            raise ValueError(f"`data` should have columns of one length, got {sorted(counts)}.")
        return counts.pop()
    if hasattr(x, "num_rows") and not callable(x.num_rows):
        return int(x.num_rows)
    return len(x)


def _rows(x: Any, start: int, stop: int) -> Any:
    if isinstance(x, Mapping):
        return {name: _rows(value, start, stop) for name, value in x.items()}
    if isinstance(x, np.ndarray):
        return (
            torch.from_numpy(np.array(x[start:stop])) if x.dtype.kind in "fiub" else x[start:stop]
        )
    if hasattr(x, "slice") and hasattr(x, "num_rows"):
        return x.slice(start, stop - start)
    return x.iloc[start:stop] if hasattr(x, "iloc") else x[start:stop]


def _sized(data: Any) -> bool:
    """Whether rows are cut here, rather than arriving in batches of the data's own."""
    if isinstance(data, (DataLoader, IterableDataset)):
        return False
    return isinstance(data, Mapping) or (hasattr(data, "__len__") and hasattr(data, "__getitem__"))


def _total(data: Any) -> int | None:
    if isinstance(data, DataLoader):
        data = data.dataset
    return row_count(data) if _sized(data) else None


def iterate_batches(data: Any, batch_size: int) -> Iterator[tuple[Any, Any]]:
    """Yield consecutive rows in order as (x, y); y is ``None`` where the data hold none."""
    if isinstance(data, TensorDataset):
        x, y = data.tensors[0], data.tensors[1] if len(data.tensors) > 1 else None
        for start in range(0, len(x), batch_size):
            yield (
                x[start : start + batch_size],
                None if y is None else y[start : start + batch_size],
            )
        return
    if isinstance(data, IterableDataset) or (
        isinstance(data, Dataset) and not isinstance(data, Tensor)
    ):
        data = DataLoader(data, batch_size=batch_size)
    if isinstance(data, DataLoader):
        _check_in_order(data)
    elif _sized(data):
        for start in range(0, row_count(data), batch_size):
            yield _rows(data, start, min(start + batch_size, row_count(data))), None
        return
    elif not hasattr(data, "__iter__"):
        raise TypeError(
            f"`data` should have rows (a tensor, Dataset, DataLoader, Arrow table or a sequence), "
            f"got {type(data).__name__}."
        )
    for batch in data:
        yield (*batch, None)[:2] if isinstance(batch, (tuple, list)) else (batch, None)


def _check_in_order(loader: DataLoader[Any]) -> None:
    sampler = getattr(loader.batch_sampler, "sampler", loader.sampler)
    if isinstance(sampler, RandomSampler):
        raise ValueError(
            "`data` should keep the order of its rows, got a DataLoader that shuffles: build it "
            "with `shuffle=False`, or pass its dataset."
        )
    if loader.drop_last and loader.batch_size and len(loader.dataset) % loader.batch_size:  # type: ignore[arg-type]
        raise ValueError(
            "`data` should keep all of its rows, got a DataLoader that drops the last batch: build "
            "it with `drop_last=False`, or pass its dataset."
        )


def _present(device: Device) -> torch.device:
    try:
        return torch.empty(0, device=device).device
    # torch says that it was built without CUDA by an assertion.
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise ValueError(
            f"`device` should be one that this machine has, got {device!r}: torch says "
            f'"{first[:120]}".'
        ) from error


def _moved(x: Any, device: torch.device | None) -> Any:
    if device is None:
        return x
    if isinstance(x, Tensor):
        return x.to(device)
    if isinstance(x, Mapping):
        return {name: _moved(value, device) for name, value in x.items()}
    if isinstance(x, (list, tuple)) and all(isinstance(value, Tensor) for value in x):
        return type(x)(value.to(device) for value in x)
    return x
