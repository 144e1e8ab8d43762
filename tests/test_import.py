"""What an import costs and what it leaves alone, each seen from a fresh interpreter."""

import json
import math
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HEAVY = {"torch", "gpytorch", "pyro", "pandas", "sklearn", "matplotlib", "scipy.stats"}


def python(code: str, *arguments: str) -> Any:
    """Run ``code`` in a fresh interpreter and return the JSON of the last line it prints."""
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_import_uncertain_loads_nothing_but_the_standard_library():
    code = (
        "import json, sys; before = set(sys.modules)\n"
        "import uncertain\n"
        "print(json.dumps(sorted({m.partition('.')[0] for m in set(sys.modules) - before})))"
    )
    assert set(python(code)) - sys.stdlib_module_names == {"uncertain"}


def test_import_uncertain_costs_no_more_than_import_numpy():
    code = (
        "import json, time; start = time.process_time()\n"
        "import {}\n"
        "print(json.dumps(time.process_time() - start))"
    )
    times: dict[str, list[float]] = {"numpy": [], "uncertain": []}
    for _ in range(5):  # in turns, so that a busy moment falls on both
        for name, series in times.items():
            series.append(python(code.format(name)))
    assert statistics.median(times["uncertain"]) <= statistics.median(times["numpy"])


def test_importing_evaluation_costs_numpy_only():
    code = (
        "import json, sys; import uncertain.evaluation\n"
        "print(json.dumps([m for m in sys.modules if m.partition('.')[0] in sys.argv[1:]]))"
    )
    assert python(code, *sorted(HEAVY - {"scipy.stats"}), "scipy") == []


STATE = """
import decimal, importlib, json, locale, logging, os, pkgutil, random, signal, sys, warnings
import numpy as np, torch

def state():
    return {
        "random": hash(random.getstate()),
        "numpy random": hash(np.random.get_state()[1].tobytes()) + np.random.get_state()[2],
        "torch random": hash(torch.get_rng_state().numpy().tobytes()),
        "default dtype": str(torch.get_default_dtype()),
        "default device": str(torch.get_default_device()),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "grad": torch.is_grad_enabled(),
        "validation": torch.distributions.Distribution._Distribution__validate_args
        if hasattr(torch.distributions.Distribution, "_Distribution__validate_args")
        else torch.distributions.Distribution._validate_args,
        "matmul": torch.get_float32_matmul_precision(),
        "torch printing": repr(torch._tensor_str.PRINT_OPTS),
        "numpy errors": np.geterr(),
        "numpy printing": {k: str(v) for k, v in np.get_printoptions().items()},
        "root level": logging.root.level,
        "root handlers": len(logging.root.handlers),
        "log levels": {n: logging.getLogger(n).level for n in ("torch", "matplotlib", "pyro")},
        "warning filters": [str(f) for f in warnings.filters],
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "path": list(sys.path),
        "hooks": [str(sys.excepthook), str(sys.displayhook), str(warnings.showwarning)],
        "interrupt": str(signal.getsignal(signal.SIGINT)),
        "locale": locale.setlocale(locale.LC_ALL),
        "decimal": str(decimal.getcontext()),
        "recursion": sys.getrecursionlimit(),
    }

random.seed(1); np.random.seed(2); torch.manual_seed(3)
torch.set_default_dtype(torch.float64)
torch.set_num_threads(3)
torch.distributions.Distribution.set_default_validate_args(False)
torch.set_printoptions(precision=7)
np.seterr(all="raise")
logging.root.setLevel(logging.ERROR); logging.getLogger("pyro").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", message="a filter of the user's own")
before = state()
import uncertain
for module in pkgutil.walk_packages(uncertain.__path__, "uncertain."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
after = state()
print(json.dumps({k: [str(before[k]), str(after[k])] for k in before if before[k] != after[k]}))
"""


def test_importing_everything_changes_no_global_state():
    assert python(STATE) == {}


EVALUATE = """
import json, sys
sys.argv = ["uncertain", "evaluate", *sys.argv[1:]]
from uncertain.cli import main
try:
    main()
except SystemExit as error:
    assert not error.code, error.code
print(json.dumps(sorted(sys.modules)))
"""


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    return save(tmp_path / "predictions.npz", 300, 4)


def save(path: Path, rows: int, classes: int) -> Path:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(rows, classes)) * 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (probabilities.cumsum(axis=1) > rng.random((rows, 1))).argmax(axis=1)
    np.savez(path, probs=probabilities, labels=labels)
    return path


@pytest.mark.parametrize("out", [False, True], ids=["json", "json and report"])
def test_evaluate_imports_nothing_heavy(predictions, tmp_path, out):
    options = ["--json", str(tmp_path / "table.json")]
    options += ["--out", str(tmp_path / "report.html")] if out else []
    modules = python(EVALUATE, str(predictions), *options)
    assert HEAVY & set(modules) == set()
    assert json.loads((tmp_path / "table.json").read_text())


@pytest.mark.parametrize(("out", "seconds"), [(False, 2.5), (True, 4.0)], ids=["json", "report"])
def test_evaluate_is_done_within_its_time(tmp_path, out, seconds):
    """A guard against heavy imports: about 1 s and 1.5 s alone, and a busy machine has room."""
    command = [sys.executable, "-m", "uncertain.cli", "evaluate"]
    command += [str(save(tmp_path / "p.npz", 10_000, 10)), "-q", "--json", str(tmp_path / "t.json")]
    command += ["--out", str(tmp_path / "r.html")] if out else []
    spent = [math.inf]
    while min(spent) >= seconds and len(spent) <= 3:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < seconds
