"""The one way a predictor is run over data: in batches, without leaving a trace.

Whatever the batch size, the answers are those of one call (up to the rounding of differently shaped
matrix products); modes, random states and the device's memory are handled here and nowhere else.
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
from torch.distributions import Distribution
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from torch.utils.data.sampler import RandomSampler

from uncertain.atomic import StrPath, atomic_path
from uncertain.predictive.arrays import Device, to_arrays
from uncertain.predictive.composition import rebuild
from uncertain.predictive.rows import concat
from uncertain.predictive.tables import PredictionRows, to_rows_table

Predictor = Callable[[Any], Distribution]
Progress = Callable[[int, int | None], None]
Take = Callable[[Distribution], None]


def predict(
    predictor: Predictor,
    data: Any,
    *,
    batch_size: int = 1024,
    device: Device | None = None,
    progress: Progress | None = None,
    out: StrPath | None = None,
) -> Distribution:
    """Run a predictor over data and return one distribution for all rows.

    Modules are put into evaluation mode and everything runs in inference mode; every module's mode
    and the global random states (Python, NumPy, torch) are as before afterwards, errors included.
    Where memory runs out, the batch is halved and tried again.

    Args:
        predictor: A callable ``x -> Distribution`` with batch shape (len(x),).
        data: N rows: a tensor or NumPy array; a mapping of such with one length; a ``Dataset``
            whose items are x or (x, ...); a ``DataLoader`` (not shuffled) or another iterable of
            batches; an Arrow table; or anything with a length and row slices. Only x is used.
        batch_size: Rows a call; a ``DataLoader`` brings its own.
        device: Where batches are moved; by default to the predictor's first parameter, if it is a
            module with any.
        progress: Called with the rows done and their number (``None`` if unknown) after each batch.
        out: A Parquet file that receives the rows as they are computed, whole or not at all; see
            `predict_to_file` for results larger than memory.

    Returns:
        A distribution of batch shape (N,), on the device of the rows given (the host unless they
        are tensors elsewhere). Its tensors are ordinary ones: gradients may flow from them.

    Raises:
        TypeError: Where the predictor does not return a distribution, or ``data`` has no rows.
        ValueError: Where the batch shape is not (len(x),), the data are empty or shuffled, or the
            predictor lies on another device.

    Example:
        >>> from torch.distributions import Poisson
        >>> x = torch.arange(5.0)
        >>> predict(lambda x: Poisson(x + 1), x, batch_size=2).rate
        tensor([1., 2., 3., 4., 5.])
    """
    pieces: list[Distribution] = []
    with contextlib.ExitStack() as stack:
        takers: list[Take] = [pieces.append]
        if out is not None:
            takers.append(stack.enter_context(_writer(out)))
        _run(predictor, data, batch_size, device, progress, takers)
    # Outside inference mode: a copy turns inference tensors into ordinary ones.
    return concat(pieces) if len(pieces) > 1 else rebuild(pieces[0], torch.clone)


def predict_to_file(
    predictor: Predictor,
    data: Any,
    path: StrPath,
    *,
    batch_size: int = 1024,
    device: Device | None = None,
    progress: Progress | None = None,
) -> int:
    """Run a predictor over data straight into a Parquet file, one batch in memory at a time.

    Args:
        predictor: As for `predict`.
        data: As for `predict`.
        path: The predictions file, for `load_predictions`; whole or not there.
        batch_size: As for `predict`.
        device: As for `predict`.
        progress: As for `predict`.

    Returns:
        The number of rows written.

    Raises:
        TypeError: As `predict`, and for a distribution that no family describes.
        ValueError: As `predict`.
        OSError: Where ``path`` cannot be written.

    Example:
        >>> import pathlib, tempfile
        >>> from torch.distributions import Poisson
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "predictions.parquet"
        >>> predict_to_file(Poisson, torch.ones(5), path, batch_size=2)
        5
    """
    with _writer(path) as write:
        return _run(predictor, data, batch_size, device, progress, [write])


@contextlib.contextmanager
def _writer(path: StrPath) -> Iterator[Take]:
    import pyarrow.parquet as parquet

    with atomic_path(path) as temporary, contextlib.ExitStack() as stack:
        opened: list[Any] = []

        def write(piece: Distribution) -> None:
            table = to_rows_table(PredictionRows(to_arrays(piece)))
            if not opened:
                opened.append(stack.enter_context(parquet.ParquetWriter(temporary, table.schema)))
            opened[0].write_table(table)

        yield write


def _run(
    predictor: Predictor,
    data: Any,
    batch_size: int,
    device: Device | None,
    progress: Progress | None,
    takers: Sequence[Take],
) -> int:
    """Hand the distributions of consecutive rows to the takers; return how many rows there were.

    Not a generator: one that is abandoned half-way would leave inference mode switched on.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` should be at least 1, got {batch_size}.")
    modules = _modules(predictor)
    target = _target_device(modules, device)
    total = _total(data)
    done, limit = 0, sys.maxsize
    with _untouched(modules, target):
        for x in _batches(data, batch_size):
            start, count = 0, row_count(x)
            while start < count:
                stop = min(start + limit, count)
                part = x if stop - start == count else _rows(x, start, stop)
                piece = _attempt(predictor, part, target, stop - start)
                if piece is None:  # Out of memory.
                    limit = (stop - start + 1) // 2
                    continue
                start, done = stop, done + (stop - start)
                for take in takers:
                    take(piece)
                if progress is not None:
                    progress(done, total)
    if done == 0:
        raise ValueError("`data` should have at least one row, got none.")
    return done


def _attempt(
    predictor: Predictor, x: Any, device: torch.device | None, count: int
) -> Distribution | None:
    """One call, or None where it ran out of memory and fewer rows might not."""
    try:
        home = x.device if isinstance(x, Tensor) else torch.device("cpu")
        dist = predictor(_moved(x, device))
        _check_answer(dist, count)
        return rebuild(dist, lambda tensor: tensor.to(home)) if device not in (None, home) else dist
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


def _check_answer(dist: Any, count: int) -> None:
    if not isinstance(dist, Distribution):
        raise TypeError(
            f"`predictor` should return a torch Distribution over y, got {type(dist).__name__}: "
            "wrap its output, for example `lambda x: Categorical(logits=network(x))`."
        )
    if tuple(dist.batch_shape) == (count,):
        return
    shape = tuple(dist.batch_shape)
    hint = f"its batch shape should be ({count},), one prediction a row"
    if len(shape) == 2 and shape[0] == count:
        hint = (
            "squeeze the last axis of its parameters"
            if shape[1] == 1
            else "wrap several outputs in `Independent(dist, 1)`, members in `mixture(dist)`"
        )
    raise ValueError(
        f"`predictor` should return batch shape ({count},) for {count} rows, got {shape} with event "
        f"shape {tuple(dist.event_shape)}: {hint}."
    )


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


def _modules(predictor: Any) -> list[nn.Module]:
    """The modules that can be seen from a callable: itself, or what it is bound to or closes over."""
    if isinstance(predictor, nn.Module):
        return [predictor]
    if isinstance(predictor, functools.partial):
        return _among([predictor.func, *predictor.args, *predictor.keywords.values()], deeper=True)
    if hasattr(predictor, "__self__"):  # A method: of a module, or of an object that holds some.
        return _modules(predictor.__self__)
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
            found += _modules(value)
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
    wanted = torch.empty(0, device=device).device
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


def _batches(data: Any, batch_size: int) -> Iterator[Any]:
    if isinstance(data, TensorDataset):
        data = data.tensors[0]
    if isinstance(data, IterableDataset) or (
        isinstance(data, Dataset) and not isinstance(data, Tensor)
    ):
        data = DataLoader(data, batch_size=batch_size)
    if isinstance(data, DataLoader):
        _check_in_order(data)
    elif _sized(data):
        for start in range(0, row_count(data), batch_size):
            yield _rows(data, start, min(start + batch_size, row_count(data)))
        return
    elif not hasattr(data, "__iter__"):
        raise TypeError(
            f"`data` should have rows (a tensor, Dataset, DataLoader, Arrow table or a sequence), "
            f"got {type(data).__name__}."
        )
    for batch in data:
        yield batch[0] if isinstance(batch, (tuple, list)) else batch


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
