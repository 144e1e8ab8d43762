"""The one way a predictor is run over data: in batches, without leaving a trace.

Whatever the batch size, the answers are those of one call (up to the rounding of differently shaped
matrix products); modes, random states and the device's memory are handled here and nowhere else.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.distributions import Distribution

from uncertain.atomic import StrPath, atomic_path
from uncertain.predictive.arrays import Device, to_arrays
from uncertain.predictive.batches import Progress, Take, modules_of, run_batches
from uncertain.predictive.composition import rebuild
from uncertain.predictive.rows import concat
from uncertain.predictive.sealed import sealed
from uncertain.predictive.tables import PredictionRows, to_rows_table

Predictor = Callable[[Any], Distribution]


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
        takers: list[Take] = [lambda piece, _: pieces.append(piece)]
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

        def write(piece: Distribution, _: Any) -> None:
            table = to_rows_table(PredictionRows(to_arrays(piece)))
            if not opened:
                writer = parquet.ParquetWriter(
                    temporary, sealed(table.schema), write_page_checksum=True
                )
                opened.append(stack.enter_context(writer))
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
    def call(x: Any, home: torch.device | None, count: int) -> Distribution:
        dist = predictor(x)
        _check_answer(dist, count)
        return dist if home is None else rebuild(dist, lambda tensor: tensor.to(home))

    return run_batches(
        call,
        data,
        takers,
        modules=modules_of(predictor),
        batch_size=batch_size,
        device=device,
        progress=progress,
    )


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
