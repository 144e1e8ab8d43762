"""Spawned workers: what runs when, and what happens when one of them, or their parent, ends."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from uncertain.benchmark.pool import clock, execute
from uncertain.benchmark.schedule import Job
from uncertain.terminal import Console

QUIET = Console(quiet=True)


def test_a_circle_of_jobs_is_refused() -> None:
    circle = [Job("a", print, (), after=("b",)), Job("b", print, (), after=("a",))]
    with pytest.raises(ValueError, match="in a circle"):
        execute(circle, title="t", workers=1, console=QUIET)


def test_durations_are_said_as_a_reader_says_them() -> None:
    assert [clock(s) for s in (3, 89, 120, 7200)] == ["3 s", "89 s", "2 min", "2.0 h"]


# Real workers


def note(path: Path, text: str, report: object) -> None:
    import torch

    with path.open("a") as file:
        threads = (torch.get_num_threads(), os.environ["OMP_NUM_THREADS"])
        file.write(f"{text} {os.getpid()} {threads}\n")


def killed(report: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def without_space(report: object) -> None:
    raise OSError(errno.ENOSPC, "no space")


@pytest.mark.slow
def test_jobs_run_in_other_processes_of_one_thread_and_are_told(tmp_path: Path) -> None:
    jobs = [
        Job("first", note, (tmp_path / "log", "first")),
        Job("second", note, (tmp_path / "log", "second"), after=("first",)),
    ]
    stream = io.StringIO()
    before = dict(os.environ)
    execute(jobs, title="t", workers=2, console=Console(file=stream))
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["first", "second"]
    assert all(line.endswith("(1, '1')") for line in lines)
    assert str(os.getpid()) not in {line.split()[1] for line in lines}
    said = stream.getvalue().splitlines()
    assert said[0].startswith("[1/2] first ")
    assert said[1].startswith("[2/2] second ")
    assert dict(os.environ) == before


def test_nothing_to_do_starts_nothing() -> None:
    execute([], title="t", workers=2, console=QUIET)


@pytest.mark.slow
def test_workers_that_die_or_fail_say_which_job_it_was() -> None:
    with pytest.raises(ChildProcessError, match=r"killed near the job .*again to resume"):
        execute([Job("the job", killed, ())], title="t", workers=1, console=QUIET)
    with pytest.raises(OSError, match="no space") as error:
        execute([Job("the job", without_space, ())], title="t", workers=1, console=QUIET)
    assert error.value.errno == errno.ENOSPC
    (said,) = error.value.__notes__
    assert said.startswith("That was in the job.")
    assert said.endswith("run the same command again to resume.")


def sleep(path: Path, report: object) -> None:
    path.write_text(str(os.getpid()))
    time.sleep(300)


def gone(process: int) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        state = Path(f"/proc/{process}/stat")
        if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_orphans_end_with_their_parent(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from uncertain.benchmark import pool\n"
        "from uncertain.benchmark.pool import Job, execute\n"
        "from uncertain.terminal import Console\n"
        "from tests.benchmark.test_pool import sleep\n"
        "if __name__ == '__main__':\n"
        "    pool._PRELOADED = ['torch']  # a worker that sleeps needs no more\n"
        "    folder = pathlib.Path(sys.argv[1])\n"
        "    jobs = [Job(n, sleep, (folder / n,)) for n in ('a', 'b')]\n"
        "    execute(jobs, title='t', workers=2, console=Console(quiet=True))\n"
    )
    path = tmp_path / "parent.py"
    path.write_text(script)
    root = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, str(path), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(root)},
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and not all(
            (tmp_path / n).exists() and (tmp_path / n).read_text() for n in "ab"
        ):
            time.sleep(0.1)
        workers = [int((tmp_path / n).read_text()) for n in "ab"]
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait(timeout=20)
        assert all(gone(worker) for worker in workers)
    finally:
        if parent.poll() is None:
            os.killpg(parent.pid, signal.SIGKILL)
            parent.wait(timeout=20)
