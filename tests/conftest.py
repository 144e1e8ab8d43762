"""What every test stands on: one thread, checked annotations, fixed examples, loud warnings.

Nothing here changes what the library does: it makes the runs equal and the mistakes visible.
"""

import gc
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

# Before torch and NumPy load their thread pools; inherited by the processes that tests start.
os.environ.update(
    dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
)

import hypothesis
import jaxtyping
import numpy as np
import pytest
import torch

from tests import annotations

# Installed here, before any test module is imported, because the hook only sees modules that load
# after it. Doctests are collected later still, so `--doctest-modules` runs on checked code too.
# The hook's decorator is the one of that name in `jaxtyping`: ours checks shapes by it, and the rest faster.
jaxtyping.jaxtyped = annotations.checked
# The numeric tower: an int is welcome where a float is asked, as everywhere else in Python.
jaxtyping.install_import_hook(
    "uncertain", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
)

torch.set_num_threads(1)

hypothesis.settings.register_profile(
    "fixed", derandomize=True, deadline=None, print_blob=False, max_examples=50
)
hypothesis.settings.load_profile("fixed")

WARNINGS = (
    "error",
    # What other packages deprecate in each other is theirs to mend; what we use is ours.
    "default::DeprecationWarning",
    "default::PendingDeprecationWarning",
    "default::FutureWarning",
    "error::DeprecationWarning:uncertain",
    "error::FutureWarning:uncertain",
    "error::DeprecationWarning:tests",
    "error::FutureWarning:tests",
)


# Until everything is collected all that is made stays, and a pass over it finds nothing.
gc.disable()


def pytest_configure(config: pytest.Config) -> None:
    for line in WARNINGS:
        config.addinivalue_line("filterwarnings", line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that asks for the data folder is a data test, marked or not."""
    for item in items:
        if "data_dir" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.data)


def pytest_collection_finish() -> None:
    """Leave modules and tests out of every later pass of the garbage collector."""
    gc.freeze()
    gc.enable()


def begin_generators_anew() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  (the global generator is what it is about)
    # `torch.manual_seed` would keep a stack trace a call, for the day that CUDA starts.
    torch.default_generator.manual_seed(0)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(0)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Let nothing that a test draws hang on what ran before it in its process."""
    begin_generators_anew()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object]) -> Iterator[object]:
    """Let a shared fixture draw the same whichever test asks for it first, and leave no trace."""
    if fixturedef.scope == "function":
        return (yield)
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    begin_generators_anew()
    try:
        return (yield)
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Count the data tests that skip; with ``UNCERTAIN_REQUIRE_DATA=1`` a skip is a failure."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.get_closest_marker("data"):
        report.user_properties.append(("data_skipped", True))
        if os.environ.get("UNCERTAIN_REQUIRE_DATA") == "1":
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            report.outcome = "failed"
            report.longrepr = f"UNCERTAIN_REQUIRE_DATA=1, but the test was skipped: {reason}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [
        report
        for report in terminalreporter.stats.get("skipped", [])
        if ("data_skipped", True) in report.user_properties
    ]
    if skipped:
        terminalreporter.write_line(
            f"{len(skipped)} tests on local data were skipped: set UNCERTAIN_DATA to its folder."
        )


@pytest.fixture
def data_dir() -> Callable[[str], Path]:
    """``data_dir("mnist_t10k.npz")`` is that file's folder; the test is skipped where it is absent.

    Called without a name it only asks for the folder.
    """

    def find(*names: str) -> Path:
        folder = os.environ.get("UNCERTAIN_DATA")
        if not folder:
            pytest.skip("UNCERTAIN_DATA is not set: this test needs the local data folder")
        for name in names:
            if not (Path(folder) / name).exists():
                pytest.skip(f"UNCERTAIN_DATA has no {name}")
        return Path(folder)

    return find


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Run one test as a user runs the library: without the annotation hook.

    For tests of our own error messages, where a wrong shape or type has to reach `checks`.
    """
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@pytest.fixture(scope="module")
def unchecked_module() -> Iterator[None]:
    """Run a module as a user runs the library, where the annotations would be most of its time."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@pytest.fixture
def float64() -> Iterator[torch.dtype]:
    """Make float64 torch's default for one test, and put the old default back."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield torch.float64
    torch.set_default_dtype(before)
