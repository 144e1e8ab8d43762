"""Run a small real benchmark for each line that is read; die by SIGKILL at a named point of it.

A script for the tests of this folder: a line of JSON in, the exit status of its run out. The first run
is in this process and loads all that a run needs; each other one is a fork in a session of its own, and
its workers are forks of that, so that what is patched is patched in them too.

    out, workers  as of a benchmark
    death         "training:N" (the N-th optimiser step of a process), "STEM.write:N" (the N-th file
                  of that stem is half written), "STEM.rename:N" (whole, but not yet in place); or ""
    mark          a file that is written just before, so that the test knows the point was reached
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from uncertain import atomic
from uncertain.benchmark import Task, pool, run
from uncertain.terminal import Console

TASKS = (
    Task("iris", "classification", "iris", "mlp", 30, 60, batch_size=16, checkpoint_seconds=0.0),
    Task(
        "diabetes", "regression", "diabetes", "mlp", 30, 60, batch_size=32, checkpoint_seconds=0.0
    ),
)
MODELS = ("softmax", "deep_ensemble", "gaussian")
QUIET = Console(quiet=True)


def die(point: str, mark: str) -> None:
    try:
        written = os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        time.sleep(60)  # The other worker came here first, and ends both.
    os.write(written, point.encode())
    os.fsync(written)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def arm(point: str, mark: str) -> None:
    where, _, number = point.partition(":")
    stem, _, moment = where.partition(".")

    def counted(
        function: Callable[..., Any], stem: str = "", before: Callable[[Any], None] = lambda _: None
    ) -> Callable[..., Any]:
        """Return the function; its call of that number (on a file of that stem) ends everything."""
        counts: Counter[int] = Counter()

        def wrapped(first: Any, *rest: Any, **options: Any) -> Any:
            if not stem or str(getattr(first, "name", "")).startswith(f".{stem}."):
                counts[os.getpid()] += 1
                if counts[os.getpid()] == int(number):
                    before(first)
                    die(point, mark)
            return function(first, *rest, **options)

        return wrapped

    if where == "training":
        torch.optim.AdamW.step = counted(torch.optim.AdamW.step)  # type: ignore[method-assign]
    elif moment == "write":
        atomic._sync = counted(atomic._sync, stem, before=halve)
    else:
        Path.replace = counted(Path.replace, stem)  # type: ignore[method-assign]


def halve(path: Path) -> None:
    """Leave half of the file, as when the process dies inside a write."""
    os.truncate(path, path.stat().st_size // 2)


def attempt(out: str, workers: int, death: str = "", mark: str = "") -> int:
    """Return the exit status of a run, once all of its processes are gone."""
    alive, kept = os.pipe()
    child = os.fork()
    if not child:
        os.setsid()
        try:
            if death:
                arm(death, mark)
            run(TASKS, models=MODELS, seeds=2, out=out, workers=workers, console=QUIET)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(kept)
    _, status = os.waitpid(child, 0)
    os.read(alive, 1)  # Its end comes when the last process that holds the other one has gone.
    os.close(alive)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    pool._context = lambda: multiprocessing.get_context("fork")
    run(TASKS, models=MODELS, seeds=2, out=sys.argv[1], workers=1, console=QUIET)
    sys.stdout.write("0\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(f"{attempt(**json.loads(line))}\n")
        sys.stdout.flush()
