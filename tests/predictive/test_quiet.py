"""Importing this package, and others through it, changes nothing about the process."""

import subprocess
import sys
import textwrap

import pytest

from uncertain import predictive
from uncertain.predictive import import_quietly

CHANGES = """
    import logging, warnings
    import torch
    from torch.distributions import Distribution
    Distribution.set_default_validate_args({validate})
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    warnings.filterwarnings("error", message="never raised")
    logging.getLogger().setLevel(13)
    logging.getLogger("pyro").setLevel(50)
    def state():
        return (
            Distribution._validate_args, torch.get_default_dtype(), torch.get_num_threads(),
            torch.is_grad_enabled(), list(warnings.filters), logging.getLogger().level,
            logging.getLogger("pyro").level,
            torch.get_rng_state().tolist(),
        )
    before = state()
    from uncertain import predictive
    from uncertain.predictive import import_quietly
    for name in predictive.__all__:
        getattr(predictive, name)
    import_quietly("gpytorch")
    import_quietly("pyro")
    assert state() == before, (state(), before)
"""


@pytest.mark.parametrize("validate", [True, False])
def test_imports_leave_the_process_as_it_was(validate):
    script = textwrap.dedent(CHANGES.format(validate=validate))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_missing_modules_are_named():
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        import_quietly("no_such_module")


def test_the_package_loads_nothing_heavy():
    script = "import sys, uncertain.predictive as p; p.__dir__(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_names():
    assert set(predictive.__all__) <= set(dir(predictive))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        predictive.nothing
