"""What every script in this folder shares: options, one thread, fair timing, honest ratios, JSON.

A script measures in one function and hands it over::

    import harness                                  # before NumPy and torch: it pins the threads
    import numpy as np

    def measure(figures: harness.Figures, *, quick: bool) -> None:
        x = np.random.default_rng(0).random(10_000 if quick else 1_000_000)
        times = harness.interleave({"ours": lambda: np.sort(x), "theirs": lambda: sorted(x)})
        figures.add_times("sort", times, baseline="theirs")

    if __name__ == "__main__":
        harness.main(__doc__, measure)

Rules kept here so that no script can forget them: one thread; the candidates take turns, so a busy
moment falls on all of them; CPU seconds, not wall seconds; a warm-up first; the median of at least
five rounds; and a ratio whose rounds disagree by more than 30 % is not reported.
"""

from __future__ import annotations

import os
import sys

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
if "numpy" in sys.modules and any(os.environ.get(name) != "1" for name in THREAD_VARIABLES[:3]):
    raise ImportError(
        "import `harness` before NumPy and torch: their thread pools are sized when they load."
    )
os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))

import argparse
import contextlib
import ctypes
import gc
import json
import math
import platform
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple, Protocol

MIN_ROUNDS = 5
MAX_SPREAD = 0.30
PACKAGES = ("uncertain-torch", "numpy", "scipy", "torch", "pyarrow", "scikit-learn", "torchmetrics")


class Ratio(NamedTuple):
    """The median over rounds of one candidate's time over another's, and how far rounds disagree.

    ``value`` is nan where ``spread``, (largest - smallest) / median, exceeds ``MAX_SPREAD``.
    """

    value: float
    spread: float


class Measure(Protocol):
    """A script's one function: fills ``figures``; ``quick`` asks for the same code, smaller sizes."""

    def __call__(self, figures: Figures, *, quick: bool) -> None:
        """Time what the script is about and add it to ``figures``."""


def children_time() -> float:
    """CPU seconds of all finished child processes: a clock for whole commands."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def interleave(
    candidates: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 7,
    clock: Callable[[], float] = time.process_time,
    least_seconds: float = 0.02,
) -> dict[str, list[float]]:
    """Time the candidates in turn, round after round, and return seconds a call for each round.

    Args:
        candidates: Name to function. Each is called once before the clock starts.
        rounds: At least five.
        clock: CPU time of this process; ``children_time`` for commands, ``time.perf_counter`` for
            wall time.
        least_seconds: A short function is called so often in a round that the round lasts about
            this long, so that the clock's grain does not show.

    Returns:
        For each name, ``rounds`` times. The order of the candidates is reversed every other round.

    Raises:
        ValueError: For fewer than five rounds.
    """
    if rounds < MIN_ROUNDS:
        raise ValueError(f"`rounds` should be at least {MIN_ROUNDS}, got {rounds}.")
    calls = {name: _calls(function, clock, least_seconds) for name, function in candidates.items()}
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(rounds):
        names = list(candidates)[:: 1 if turn % 2 == 0 else -1]
        for name in names:
            times[name].append(_time(candidates[name], clock, calls[name]))
    return times


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> Ratio:
    """Compare two interleaved series round by round; nan where the rounds disagree too much."""
    rounds = [a / b if b > 0 else math.nan for a, b in zip(numerator, denominator, strict=True)]
    if any(math.isnan(value) for value in rounds):
        return Ratio(math.nan, math.inf)
    middle = statistics.median(rounds)
    spread = (max(rounds) - min(rounds)) / middle if middle > 0 else math.inf
    return Ratio(middle if spread <= MAX_SPREAD else math.nan, spread)


def peak_extra_memory(function: Callable[[], object]) -> float:
    """Return the MiB by which one call raises this process's peak resident memory.

    The allocator first gives back what it holds, else a call could live on memory freed before it.
    Linux only: nan where ``/proc/self/clear_refs`` can not be written.
    """
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):  # not glibc: then a lower bound
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    except OSError:
        return math.nan
    before = _status("VmRSS")
    result = function()
    peak = _status("VmHWM")
    del result
    return max(0.0, (peak - before) / 1024)


class Figures:
    """The figures of one script, printed as they come and written as one flat JSON object."""

    def __init__(self) -> None:
        self.values: dict[str, float | int | str | bool | None] = {}

    def add(self, name: str, value: float | str, unit: str = "") -> None:
        """Record one figure; nan is written as null.

        Raises:
            ValueError: For a name that is taken: two figures under one name hide each other.
        """
        if name in self.values:
            raise ValueError(f"`name` should be new, got {name!r} twice.")
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        self.values[name] = None if number and not math.isfinite(float(value)) else value
        shown = f"{value:.4g}" if number else str(value)
        print(f"{name:<48} {shown:>12} {unit}".rstrip(), flush=True)

    def add_times(
        self, name: str, times: Mapping[str, Sequence[float]], *, baseline: str | None = None
    ) -> None:
        """Record each candidate's median seconds, and its speed against ``baseline`` as a ratio.

        ``<name>_<candidate>_seconds`` and ``<name>_<baseline>_over_<candidate>``: above one, the
        candidate is faster. A ratio with too wide a spread is null and said to be refused.
        """
        for candidate, series in times.items():
            self.add(f"{name}_{candidate}_seconds", statistics.median(series), "s CPU")
        if baseline is None:
            return
        for candidate, series in times.items():
            if candidate == baseline:
                continue
            compared = ratio(times[baseline], series)
            label = f"{name}_{baseline}_over_{candidate}"
            note = f"x (spread {compared.spread:.0%})"
            if math.isnan(compared.value):
                note = f"refused: the rounds differ by {compared.spread:.0%}, over {MAX_SPREAD:.0%}"
            self.add(label, compared.value, note)
            self.values[f"{label}_spread"] = (
                compared.spread if math.isfinite(compared.spread) else None
            )

    def write(self, path: Path) -> None:
        """Write the figures to a temporary name beside ``path`` and rename it."""
        part = path.with_name(path.name + ".part")
        part.write_text(json.dumps(self.values, indent=2, allow_nan=False) + "\n")
        part.replace(path)


def surroundings() -> dict[str, str | int]:
    """Versions, CPU and threads: what a figure depends on beside the code."""
    found: dict[str, str | int] = {"python": platform.python_version(), "cpu": cpu_model()}
    found |= {"cpu_count": os.cpu_count() or 0, "threads": 1, "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[f"version_{package}"] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def cpu_model() -> str:
    """Return the CPU's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main(
    description: str | None,
    measure: Measure,
    argv: Sequence[str] | None = None,
) -> None:
    """Parse ``--quick`` and ``--json``, run ``measure`` on one thread, print and write the figures.

    Raises:
        SystemExit: For options that can not be met, before anything is measured.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="smaller sizes, under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args(argv)
    if options.json is not None and not os.access(options.json.resolve().parent, os.W_OK):
        parser.error(f"--json: can not write to {options.json.resolve().parent}")
    _one_thread()
    figures = Figures()
    figures.values |= {**surroundings(), "quick": options.quick}
    measure(figures, quick=options.quick)
    if options.json is not None:
        figures.write(options.json)


def _calls(function: Callable[[], object], clock: Callable[[], float], least: float) -> int:
    """Warm up, then count the calls that fill ``least`` seconds."""
    function()
    once = _time(function, clock, 1)
    return 1 if once >= least else min(10_000, math.ceil(least / max(once, 1e-7)))


def _time(function: Callable[[], object], clock: Callable[[], float], calls: int) -> float:
    collecting = gc.isenabled()
    gc.disable()  # a collection belongs to no candidate
    try:
        start = clock()
        for _ in range(calls):
            function()
        return (clock() - start) / calls
    finally:
        if collecting:
            gc.enable()


def _status(field: str) -> int:
    """Return one line of ``/proc/self/status`` in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise KeyError(field)


def _one_thread() -> None:
    """Pin the pools that the environment does not reach; import nothing that is not there yet."""
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)
    if "pyarrow" in sys.modules:
        import pyarrow as pa

        pa.set_cpu_count(1)
        pa.set_io_thread_count(1)
