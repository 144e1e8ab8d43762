"""Every script runs, and writes figures that others can read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(path for path in BENCHMARKS.glob("*.py") if path.name != "harness.py")


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_runs_quickly_and_writes_flat_json(script, tmp_path):
    path = tmp_path / "figures.json"
    result = subprocess.run(
        [sys.executable, str(script), "--quick", "--json", str(path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    figures = json.loads(path.read_text())
    assert figures["quick"] is True
    assert not any(isinstance(value, (dict, list)) for value in figures.values())
