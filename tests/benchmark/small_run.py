"""Run a small real benchmark; die by SIGKILL at a named point where the environment says so.

A script for the tests of this folder. Spawned workers import the main module again, so what is
patched here is patched in them too.

    DIE_AT   "training:N" (the N-th optimiser step of a process), "STEM.write:N" (the N-th file of
             that stem is half written), "STEM.rename:N" (whole, but not yet in place); or nothing
    DIED     a file that is written just before, so that the test knows the point was reached
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from uncertain import atomic
from uncertain.benchmark import Task, run

TASKS = (
    Task("iris", "classification", "iris", "mlp", 30, 60, batch_size=16, checkpoint_seconds=0.0),
    Task(
        "diabetes", "regression", "diabetes", "mlp", 30, 60, batch_size=32, checkpoint_seconds=0.0
    ),
)
MODELS = ("softmax", "deep_ensemble", "gaussian")


def die() -> None:
    try:
        mark = os.open(os.environ["DIED"], os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        time.sleep(60)  # The other worker came here first, and ends both.
    os.write(mark, os.environ["DIE_AT"].encode())
    os.fsync(mark)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def arm(point: str) -> None:
    where, _, number = point.partition(":")
    stem, _, moment = where.partition(".")
    at = int(number)
    if where == "training":
        torch.optim.AdamW.step = counted(torch.optim.AdamW.step, at)  # type: ignore[method-assign]
    elif moment == "write":
        atomic._sync = counted(atomic._sync, at, stem, before=halve)
    else:
        Path.replace = counted(Path.replace, at, stem)  # type: ignore[method-assign]


def counted(
    function: Callable[..., Any],
    at: int,
    stem: str = "",
    before: Callable[[Any], None] = lambda _: None,
) -> Callable[..., Any]:
    """Return the function; its call of that number (on a file of that stem) ends everything."""
    count = itertools.count(1)

    def wrapped(first: Any, *rest: Any, **options: Any) -> Any:
        meant = not stem or str(getattr(first, "name", "")).startswith(f".{stem}.")
        if meant and next(count) == at:
            before(first)
            die()
        return function(first, *rest, **options)

    return wrapped


def halve(path: Path) -> None:
    """Leave half of the file, as when the process dies inside a write."""
    os.truncate(path, path.stat().st_size // 2)


if os.environ.get("DIE_AT"):
    arm(os.environ["DIE_AT"])

if __name__ == "__main__":
    run(TASKS, models=MODELS, seeds=2, out=Path(sys.argv[1]), workers=int(sys.argv[2]))
