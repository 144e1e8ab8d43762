"""What the command line costs: `uncertain evaluate` end to end, and imports.

Wall seconds say what a user waits for and hold on an idle machine only; CPU seconds hold on a busy
one too. Peak memory is that of the whole process.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import harness
import numpy as np

ROUNDS = 5
HEAVY = ("torch", "pandas", "sklearn", "matplotlib", "scipy.stats")


def write_predictions(path: Path, rows: int, classes: int) -> None:
    """Write probabilities of a slightly overconfident model, and labels."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(rows, classes)) * 2
    p = np.exp(logits)
    p /= p.sum(axis=1, keepdims=True)
    labels = (p.cumsum(axis=1) > rng.random((rows, 1))).argmax(axis=1)
    sharper = p**1.2 / (p**1.2).sum(axis=1, keepdims=True)
    np.savez(path, probs=sharper.astype(np.float32), labels=labels)


def command(*arguments: str) -> Callable[[], object]:
    """Return a function that runs a fresh interpreter and waits for it."""

    def run() -> object:
        return subprocess.run(
            [sys.executable, *arguments], check=True, capture_output=True, stdin=subprocess.DEVNULL
        )

    return run


class Run(NamedTuple):
    """What one run of a command cost."""

    cpu: float
    wall: float
    peak_mib: float


def one_run(*arguments: str) -> Run:
    """Run a command and return its CPU and wall seconds and its peak resident memory."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    if status:
        raise RuntimeError(f"the command failed with status {status}: {' '.join(arguments)}")
    return Run(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def heavy_modules(*arguments: str) -> list[str]:
    """Return which heavy modules a run of the command line has imported."""
    code = (
        "import json, sys\n"
        "from uncertain.cli import main\n"
        "try:\n    main()\nexcept SystemExit as error:\n    assert not error.code\n"
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
    )
    found: list[str] = json.loads(result.stdout.splitlines()[-1])
    return found


def measure(figures: harness.Figures, *, quick: bool) -> None:
    """Time the imports, then the command on small and large files."""
    imports = harness.interleave(
        {
            "numpy": command("-c", "import numpy"),
            "uncertain": command("-c", "import uncertain"),
            "evaluation": command("-c", "import uncertain.evaluation"),
            "nothing": command("-c", "pass"),
        },
        rounds=harness.MIN_ROUNDS if quick else 7,
        clock=harness.children_time,
        least_seconds=0,
    )
    figures.add_times("import", imports, baseline="numpy")
    sizes = [10_000] if quick else [10_000, 1_000_000]
    rounds = 1 if quick else ROUNDS
    with tempfile.TemporaryDirectory() as folder:
        for rows in sizes:
            path = Path(folder, f"{rows}.npz")
            write_predictions(path, rows, 10)
            table = ["evaluate", str(path), "--quiet", "--json", str(Path(folder, "table.json"))]
            page = [*table, "--out", str(Path(folder, "report.html"))]
            for name, arguments in {"json": table, "json_and_report": page}.items():
                key = f"evaluate_{rows}_{name}"
                # The first one reads files that the others find in memory.
                runs = [one_run("-m", "uncertain.cli", *arguments) for _ in range(rounds + 1)][1:]
                figures.add_times(key, {"cpu": [run.cpu for run in runs]})
                wall = statistics.median(run.wall for run in runs)
                figures.add(f"{key}_wall_seconds", wall, "s wall")
                figures.add(f"{key}_peak_mib", max(run.peak_mib for run in runs), "MiB")
                figures.add(f"{key}_heavy_imports", len(heavy_modules(*arguments)))


if __name__ == "__main__":
    harness.main(__doc__, measure)
