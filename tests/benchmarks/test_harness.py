"""The harness keeps its own rules: turns, rounds, refusals, flat JSON, one thread."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # last: a script's name must not hide an installed package

import harness  # noqa: E402  (found through the line above)


class Clock:
    """A clock that only moves when a candidate says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


def test_candidates_take_turns_and_the_order_is_reversed_every_other_round():
    order, clock = [], Clock()

    def candidate(name: str):
        def call() -> None:
            order.append(name)
            clock.spend(1.0)

        return call

    times = harness.interleave({"a": candidate("a"), "b": candidate("b")}, rounds=5, clock=clock)
    assert order[4:] == list("abbaabbaab")  # before it: one warm-up and one count of calls each
    assert times == {"a": [1.0] * 5, "b": [1.0] * 5}


def test_a_short_function_is_repeated_until_the_round_is_long_enough():
    clock, calls = Clock(), []

    def short() -> None:
        calls.append(1)
        clock.spend(0.25)

    times = harness.interleave({"short": short}, rounds=5, clock=clock, least_seconds=1.0)
    assert len(calls) == 2 + 5 * 4
    assert times["short"] == [0.25] * 5


def test_fewer_than_five_rounds_are_refused():
    with pytest.raises(ValueError, match="`rounds` should be at least 5, got 4"):
        harness.interleave({"a": lambda: None}, rounds=4)


def test_ratio_is_the_median_of_the_rounds():
    assert harness.ratio([2.0, 2.2, 2.1, 1.9, 2.0], [1.0] * 5) == pytest.approx((2.0, 0.15))


@pytest.mark.parametrize(
    ("numerator", "denominator"), [([1, 1, 1, 1, 1.31], [1] * 5), ([1] * 5, [1, 1, 0, 1, 1])]
)
def test_ratio_is_refused_where_the_rounds_disagree(numerator, denominator):
    compared = harness.ratio(numerator, denominator)
    assert math.isnan(compared.value)
    assert compared.spread > harness.MAX_SPREAD


def test_a_refusal_is_said_and_written_as_null(capsys):
    figures = harness.Figures()
    figures.add_times("sort", {"us": [1.0] * 5, "them": [1, 2, 3, 4, 5]}, baseline="them")
    assert figures.values["sort_them_over_us"] is None
    assert figures.values["sort_them_over_us_spread"] == pytest.approx(4 / 3)
    assert figures.values["sort_us_seconds"] == 1.0
    assert "refused: the rounds differ by 133%, over 30%" in capsys.readouterr().out


def test_a_figure_is_added_once():
    figures = harness.Figures()
    figures.add("a", 1.0)
    with pytest.raises(ValueError, match="`name` should be new, got 'a' twice"):
        figures.add("a", 2.0)


def test_peak_memory_sees_a_passing_allocation():
    np = pytest.importorskip("numpy")
    mib = harness.peak_extra_memory(lambda: float(np.ones(8 * 2**20).sum()))
    if math.isnan(mib):
        pytest.skip("the kernel does not let this process reset its peak memory")
    assert 60 < mib < 80  # 8 Mi float64 numbers are 64 MiB


def test_json_is_flat_and_carries_versions_cpu_and_threads(tmp_path, capsys):
    def measure(figures: harness.Figures, *, quick: bool) -> None:
        figures.add("size", 3 if quick else 4)
        figures.add("nothing", math.inf)

    path = tmp_path / "figures.json"
    harness.main("Test.", measure, ["--quick", "--json", str(path)])
    figures = json.loads(path.read_text())
    assert figures["size"] == 3
    assert figures["nothing"] is None
    assert figures["threads"] == 1
    assert figures["quick"] is True
    assert {"python", "cpu", "version_numpy", "version_torch"} <= figures.keys()
    assert not any(isinstance(value, (dict, list)) for value in figures.values())
    assert [entry.name for entry in tmp_path.iterdir()] == ["figures.json"]


def test_an_unwritable_target_is_found_out_before_measuring(tmp_path, capsys):
    def measure(figures: harness.Figures, *, quick: bool) -> None:
        raise AssertionError("measured before the target was checked")

    with pytest.raises(SystemExit):
        harness.main("Test.", measure, ["--json", str(tmp_path / "missing" / "figures.json")])
    assert "can not write to" in capsys.readouterr().err


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k not in harness.THREAD_VARIABLES}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**clean, "PYTHONPATH": str(BENCHMARKS), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_import_after_numpy_is_refused():
    result = python("import numpy, harness")
    assert "import `harness` before NumPy and torch" in result.stderr


def test_threads_are_pinned_for_torch_and_arrow():
    code = (
        "import harness, torch, pyarrow\n"
        "torch.set_num_threads(2)\n"
        "harness.main('', lambda figures, quick: "
        "figures.add('seen', torch.get_num_threads() * pyarrow.cpu_count()), [])"
    )
    result = python(code, OMP_NUM_THREADS="2")
    assert result.stdout.split() == ["seen", "1"], result.stderr
