"""Data tests are skipped and counted, or fail where data are required; no draw hangs on another test."""

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]
TESTS = """
import pytest

def test_by_fixture(data_dir):
    data_dir("a.npz")

@pytest.mark.data
def test_by_mark():
    pytest.skip("by itself")

def test_of_something_else():
    pytest.skip("no browser")
"""


def run(folder: Path, **environment: str) -> str:
    (folder / "test_some.py").write_text(TESTS)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("UNCERTAIN_", "PYTEST_"))}
    options = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-o", "markers=data"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", str(folder), str(folder)],
        cwd=ROOT,
        env={**clean, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "with_file", "expected"),
    [
        ({}, False, ["2 tests on local data were skipped", "3 skipped"]),
        ({"UNCERTAIN_DATA": "here"}, True, ["1 tests on local data were", "1 passed, 2 skipped"]),
        ({"UNCERTAIN_REQUIRE_DATA": "1"}, False, ["UNCERTAIN_DATA is not set", "2 failed, 1 skip"]),
        (
            {"UNCERTAIN_REQUIRE_DATA": "1", "UNCERTAIN_DATA": "here"},
            False,
            ["UNCERTAIN_DATA has no a.npz", "2 failed, 1 skipped"],
        ),
    ],
    ids=["without", "with", "required", "required but missing"],
)
def test_data_tests_are_counted_or_fail(tmp_path, environment, with_file, expected):
    if "UNCERTAIN_DATA" in environment:
        environment = {**environment, "UNCERTAIN_DATA": str(tmp_path)}
    if with_file:
        (tmp_path / "a.npz").touch()
    output = run(tmp_path, **environment)
    for text in expected:
        assert text in output


def drawn() -> tuple[float, float, float]:
    return random.random(), np.random.random(), torch.rand(()).item()  # noqa: NPY002


FIRST = (
    random.Random(0).random(),
    np.random.RandomState(0).random_sample(),
    torch.rand((), generator=torch.Generator().manual_seed(0)).item(),
)


@pytest.fixture(scope="module")
def shared() -> tuple[float, float, float]:
    return drawn()


@pytest.mark.parametrize("turn", range(2))
def test_every_test_begins_with_the_same_generators(turn):
    assert drawn() == FIRST


@pytest.mark.parametrize("turn", range(2))
def test_a_shared_fixture_draws_the_same_for_all_and_leaves_no_trace(shared, turn):
    assert shared == FIRST
    assert drawn() == FIRST
