"""Checkpoints: whole or not there, tied to one training, and read without running any code."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import secrets
import time
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from uncertain import atomic, checks
from uncertain.fit.description import describe_code, describe_data, differences
from uncertain.fit.parallel import is_sharded
from uncertain.fit.run import Callback, Hooks, Run

FORMAT = 1
LAST, PREVIOUS, BEST = "last.pt", "previous.pt", "best.pt"


class CheckpointError(RuntimeError):
    """A checkpoint can not be read: damaged, of another kind, or from a later version."""


def checkpoints(
    directory: atomic.StrPath, *, every: int | None = None, seconds: float | None = 60.0
) -> Callback:
    """Save the training from time to time, and go on from what was saved.

    ``last.pt`` is the newest state and ``previous.pt`` the one before; ``best.pt`` holds the model
    of the best validation. Each is written under another name and renamed, so that a process that
    is killed leaves whole files. One is also written when training ends or is interrupted.

    Where the directory holds a checkpoint of *the same training*, training goes on from it: make
    the same call again. The same means: the shapes of the model, the names of objective, optimizer
    and callbacks with their settings, steps, batch size, seed and ranks (the task); the versions of
    this library and of torch (the code); and the rows (the data: a hash of every column, over
    evenly spaced rows where a column exceeds 16 MiB). What differs is named, and nothing is done.

    Args:
        directory: Of this training alone; made where it is missing.
        every: Steps between checkpoints, at least 1.
        seconds: Wall time between checkpoints, at least 0; ``None`` for only those by step.

    Returns:
        A callback.

    Raises:
        ValueError: For arguments out of range, and by ``fit`` where the directory holds another
            training.
        NotImplementedError: By ``fit``, for a model that was given to ``fully_shard``.
        CheckpointError: By ``fit``, where no checkpoint there can be read.
        OSError: By ``fit``, where the directory can not be written or the disk is full; the last
            checkpoint is then still there.

    Example:
        >>> import tempfile
        >>> from uncertain.fit import fit, term
        >>> folder, net = tempfile.mkdtemp(), torch.nn.Linear(1, 1)
        >>> def train():
        ...     return fit(
        ...         net, (torch.ones(1, 1), None), steps=20, batch_size=1,
        ...         objective=term("size", lambda batch: net.weight.square().sum()),
        ...         callbacks=[checkpoints(folder, every=10)],
        ...     )
        >>> train().steps, load_checkpoint(Path(folder) / "last.pt")["state"]["step"]
        (20, 20)
        >>> before = net.weight.item()
        >>> train().steps, net.weight.item() == before  # it was done already
        (20, True)
    """
    if every is not None:
        checks.check_range("every", every, 1)
    if seconds is not None:
        checks.check_range("seconds", seconds, 0)
    folder = Path(directory)

    def start(run: Run) -> Hooks:
        if is_sharded(run.model):
            raise NotImplementedError(
                "`checkpoints` can not save a model that is sharded over ranks yet: save it by "
                "torch.distributed.checkpoint in a callback of your own."
            )
        if run.world.rank == 0:
            atomic.check_writable_directory(folder, create=True)
        saved, best, written = (-1, ""), 0, time.monotonic()

        def save() -> None:
            nonlocal saved, best, written
            due = (every is not None and run.step % every == 0) or (
                seconds is not None and time.monotonic() - written >= seconds
            )
            if run.best is not None and run.best.step == run.step != best:
                best = run.step
                _write(folder / BEST, run, {"model": dict(run.model.state_dict())})
            now = run.step, run.outcome
            if (due or run.stopped) and now != saved:
                _write(folder / LAST, run, run.state_dict(), check=saved[0] < 0)
                saved, written = now, time.monotonic()
                run.checkpoint = folder / LAST

        def resume() -> dict[str, Any] | None:
            nonlocal saved
            found = run.world.share(_outcome(folder, run) if run.world.rank == 0 else None)
            if isinstance(found, Exception):
                raise found
            if found is None:
                return None
            saved, run.checkpoint = (found["step"], found["stopped"]), folder / LAST
            return dict(found)

        return Hooks(save=save, resume=resume)

    return start


def load_checkpoint(path: atomic.StrPath) -> dict[str, Any]:
    """Read a checkpoint, after checking that every byte of it is as it was written.

    Args:
        path: ``last.pt``, ``previous.pt`` or ``best.pt``.

    Returns:
        ``format``, ``description`` (what training it belongs to), ``step`` and ``state``; the model's
        parameters are in ``["state"]["model"]``.

    Raises:
        CheckpointError: For a file that is damaged, no checkpoint, or of a later format.
        FileNotFoundError: Where there is none.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "last.pt"
        >>> _ = file.write_bytes(b"half a check")
        >>> load_checkpoint(file)
        Traceback (most recent call last):
        uncertain.fit.checkpoints.CheckpointError: `...last.pt` is damaged (File is not a zip file).
    """
    file = Path(path)
    try:
        with zipfile.ZipFile(file) as archive:
            spoilt = archive.testzip()  # torch.load itself never compares the checksums
        if spoilt is not None:
            raise zipfile.BadZipFile(f"the checksum of {spoilt} differs")
        found = torch.load(file, map_location="cpu", weights_only=True)
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except (zipfile.BadZipFile, RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
        raise CheckpointError(f"`{file}` is damaged ({error}).") from error
    if not isinstance(found, dict) or not {"format", "state", "description"} <= found.keys():
        raise CheckpointError(f"`{file}` is no checkpoint of `fit`.")
    if found["format"] > FORMAT:
        raise CheckpointError(
            f"`{file}` should have format {FORMAT} or older, got {found['format']}: "
            "it was written by a later version of this library."
        )
    return found


def _write(path: Path, run: Run, state: Mapping[str, Any], *, check: bool = False) -> None:
    if run.world.rank:
        return
    buffer = io.BytesIO()
    content = {"format": FORMAT, "step": run.step, "description": _description(run)}
    torch.save({**content, "state": dict(state)}, buffer)
    if check:
        _check_plain(buffer)
    if path.name == LAST:
        _keep_previous(path)
    atomic.write_bytes(path, buffer.getbuffer())


def _check_plain(buffer: io.BytesIO) -> None:
    """Find out at the first checkpoint, not when it is needed, that it can be read."""
    buffer.seek(0)
    try:
        torch.load(buffer, weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).partition("\n")[0]
        raise TypeError(
            "the state of the model, optimizer, step and callbacks should hold tensors and plain "
            f"values only, so that it can be read without running code: {reason}"
        ) from error


def _keep_previous(last: Path) -> None:
    """Give the last checkpoint a second name, so that replacing it keeps it."""
    if not last.exists():
        return
    link = last.with_name(f".previous.{secrets.token_hex(4)}.pt")
    try:
        os.link(last, link)
        link.replace(last.with_name(PREVIOUS))
    except OSError:  # no hard links here: for a moment there is only the previous one
        with contextlib.suppress(OSError):
            last.replace(last.with_name(PREVIOUS))
    finally:
        # A rename onto another name of the same file does nothing at all.
        with contextlib.suppress(OSError):
            link.unlink()


def _description(run: Run) -> dict[str, dict[str, str]]:
    if not run.fingerprint:
        run.fingerprint = {
            "task": run.description,
            "code version": describe_code(),
            "data": describe_data(run.data, run.seed),
        }
    return run.fingerprint


def _outcome(folder: Path, run: Run) -> Mapping[str, Any] | Exception | None:
    """Return the state to go on from, or what is wrong with it, so that every rank learns it."""
    try:
        return _find(folder, run)
    except (CheckpointError, ValueError, OSError) as error:
        return error


def _find(folder: Path, run: Run) -> Mapping[str, Any] | None:
    damaged: list[str] = []
    for name in (LAST, PREVIOUS):
        try:
            found = load_checkpoint(folder / name)
        except FileNotFoundError:
            continue
        except CheckpointError as error:
            damaged.append(str(error))
            continue
        _refuse_another(folder, found["description"], _description(run))
        if damaged:
            warnings.warn(
                f"{damaged[0]} Going on from `{name}`, step {found['step']}.", stacklevel=2
            )
        state: Mapping[str, Any] = found["state"]
        return state
    if damaged:
        raise CheckpointError(
            f"{' '.join(damaged)} Nothing else to go on from: move the directory away to start afresh."
        )
    return None


def _refuse_another(
    folder: Path, old: Mapping[str, Mapping[str, str]], new: Mapping[str, Mapping[str, str]]
) -> None:
    changed = []
    for part in new:
        found = list(differences(old.get(part, {}), new[part]))
        if found:
            changed.append(f"the {part} changed ({'; '.join(found)})")
    if changed:
        raise ValueError(
            f"`{folder}` holds a checkpoint of another training: {', and '.join(changed)}. Make the "
            "same call to go on from it, or choose another directory to start afresh."
        )
