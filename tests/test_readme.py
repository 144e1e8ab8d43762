"""What the README shows works: its block runs offline in seconds, its commands exist."""

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_block_is_short():
    (block,) = BLOCKS
    assert sum(bool(line.strip()) for line in block.splitlines()) <= 16


@pytest.mark.slow
def test_the_block_runs_offline_and_prints_a_table(tmp_path):
    # Any address is unreachable behind this proxy, so a download would fail.
    offline = dict.fromkeys(("http_proxy", "https_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    result = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", BLOCKS[0]],
        cwd=tmp_path,
        env={**os.environ, **offline},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert {"metric", "value"} <= set(lines[0].split())
    assert {"accuracy", "nll", "ece_debiased"} <= {word for line in lines for word in line.split()}
    # Of its own: on a busy machine a clock on the wall would tell of the others.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 30
    assert not list(tmp_path.iterdir())


def test_every_make_target_it_names_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)", README))
    assert {"demo", "test"} <= named <= targets


def test_every_link_into_the_project_leads_somewhere():
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_table_names_modules_that_exist():
    named = set(re.findall(r"^\| `uncertain\.(\w+)`", README, re.MULTILINE))
    assert {"evaluation", "predictive", "fit", "baselines", "data", "benchmark"} <= named
    for name in named:
        assert (ROOT / "uncertain" / name).is_dir() or (ROOT / "uncertain" / f"{name}.py").is_file()
