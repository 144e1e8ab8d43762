"""Jobs run by other processes of one torch thread each, with a live table of what they do.

Workers end with their parent, even when it is killed; a killed worker is reported as such, and the
finished jobs stay finished.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import connection
from typing import Any

from uncertain.benchmark.schedule import Job, Queue, expected_seconds
from uncertain.terminal import Console, Group, Live, ProgressBar, Table, Text

Report = Callable[[int, int], None]
"""Called in a worker with the steps done and the steps in all."""


@dataclass
class _Progress:
    total: int
    expected: float
    workers: int
    finished: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    running: dict[str, tuple[float, int, int]] = field(default_factory=dict)


_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# All that a job imports sooner or later: an optimiser imports the first of the others.
_PRELOADED = [f"{__package__}.cells", "torch._dynamo", "sklearn.utils"]
_reports: Any = None

GRACE_SECONDS = 30.0
"""How long a worker may take to save what it does when all are stopped."""


def execute(jobs: Sequence[Job], *, title: str, workers: int, console: Console) -> None:
    """Run every job; the first failure stops the rest.

    Args:
        jobs: What to run, started in this order.
        title: Stands above the live table.
        workers: Processes; at most one a job.
        console: Where progress is shown: a live table on a terminal, else a line a job.

    Raises:
        ChildProcessError: A worker was killed (by the system, where memory ran out).
        Exception: Whatever a job raised, with the job's name as a note.
    """
    if not jobs:
        return
    context = _context()
    reports = context.Queue()
    workers = min(workers, len(jobs))
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start, initargs=(reports, dict(os.environ))
    )
    progress = _Progress(len(jobs), expected_seconds(jobs, workers), workers)
    try:
        with _one_thread():
            _run(pool, Queue(jobs), reports, title, progress, console)
    except BaseException:
        _stop(pool)
        raise
    pool.shutdown()


def _context() -> Any:
    """Return how workers start: on Linux by a process that has imported torch, once for them all."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def _run(
    pool: ProcessPoolExecutor,
    jobs: Queue,
    reports: Any,
    title: str,
    progress: _Progress,
    console: Console,
) -> None:
    futures: dict[Future[float], Job] = {}
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while len(progress.finished) < progress.total:
            while len(futures) < progress.workers and (job := jobs.take()) is not None:
                futures[pool.submit(_call, job)] = job
            if not futures:
                raise ValueError("`jobs` should not wait for one another in a circle.")
            done, _ = wait(futures, timeout=0.25, return_when=FIRST_COMPLETED)
            _drain(reports, progress)
            for future in done:
                job = futures.pop(future)
                _finish(future, job, progress, console)
                jobs.finish(job)
            live.update(_table(title, progress))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Let every library of a worker start with one thread, whatever it counts by."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _finish(future: Future[float], job: Job, progress: _Progress, console: Console) -> None:
    try:
        seconds = future.result()
    except BrokenProcessPool as error:
        raise ChildProcessError(
            f"a worker process was killed near {job.name} (out of memory?): run the same command "
            "again to resume, with fewer --workers if memory is short."
        ) from error
    except Exception as error:
        error.add_note(
            f"That was in {job.name}. What is done is kept: run the same command again to resume."
        )
        raise
    progress.running.pop(job.name, None)
    progress.finished[job.name] = job.seconds
    if not console.is_terminal:
        console.print(
            f"[{len(progress.finished)}/{progress.total}] {job.name} {seconds:.1f} s",
            markup=False,
            highlight=False,
        )


def _stop(pool: ProcessPoolExecutor) -> None:
    """End the workers: a training under way saves itself first, what hangs is killed."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    try:
        for process in processes:
            process.join(timeout=max(0.0, deadline - time.monotonic()))
    finally:  # A second Ctrl-C does not wait.
        for process in processes:
            if process.is_alive():
                process.kill()


def _start(reports: Any, environment: dict[str, str]) -> None:
    """Prepare a worker: one thread, the caller's environment, and an end when the parent's comes."""
    global _reports
    _reports = reports
    # The process that workers come from has the environment of the first run.
    os.environ.clear()
    os.environ.update(environment | dict.fromkeys(_THREADS, "1"))
    # Ctrl-C reaches the whole group; the parent ends the workers, once, so that a training can save
    # itself. It says how to resume, too.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("uncertain.fit").setLevel(logging.ERROR)
    import torch

    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: Any) -> None:
    connection.wait([sentinel])
    # The parent is gone, killed perhaps: an orphan must not write beside a resumed run.
    os._exit(1)


def _call(job: Job) -> float:
    started = time.monotonic()
    last = 0.0

    def report(step: int, steps: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > 0.2 or step in (0, steps):
            last = now
            _reports.put((job.name, step, steps))

    report(0, 0)
    job.function(*job.arguments, report)
    return time.monotonic() - started


def _drain(reports: Any, progress: _Progress) -> None:
    while True:
        try:
            name, step, steps = reports.get_nowait()
        except queue.Empty:
            return
        if name in progress.finished:
            continue
        started, _, _ = progress.running.get(name, (time.monotonic(), 0, 0))
        progress.running[name] = (started, step, steps)


def _table(title: str, progress: _Progress) -> Group:
    elapsed = time.monotonic() - progress.started
    finished = len(progress.finished)
    line = f"{title}: {finished} of {progress.total} done, {clock(elapsed)} elapsed"
    done = sum(progress.finished.values())
    if done:
        # In expected seconds, as jobs differ much.
        left = max(progress.expected - done / progress.workers, 0.0)
        pace = elapsed / max(progress.expected - left, 1e-9)
        line += f", about {clock(pace * left)} left"
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for name, (started, step, steps) in progress.running.items():
        table.add_row(
            Text(name),
            ProgressBar(total=max(steps, 1), completed=step, width=24),
            f"{step}/{steps}" if steps else "loading",
            clock(time.monotonic() - started),
        )
    return Group(Text(line), table)


def clock(seconds: float) -> str:
    """Return a duration as a reader says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
