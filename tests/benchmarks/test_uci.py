"""The comparison on tables: its splits, its scores, what it keeps, and when it ranks."""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch.distributions import Normal

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "papers"))
from thin_deep import columns, ranking, uci  # type: ignore[import-not-found]

from uncertain.predictive import GaussianMarginal, log_prob, mixture


def write(path: Path, *, grades: bool = False) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    y = np.round(x[:, 0]) + 5 if grades else x[:, 0] + 0.1 * rng.normal(size=60)
    if grades:
        x[30:], y[30:] = x[:30], y[:30]
    np.savez(path, X=x, y=y, n_splits=2, test_0=np.arange(50, 60), test_1=np.arange(0, 10))
    return path


def options(path: Path, **more: Any) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    uci.add_arguments(parser)
    made = parser.parse_args([str(path), "--splits", "2", "--seconds", "0.3"])
    vars(made).update({"quick": False, **more})
    return made


def test_what_is_computed_is_kept_and_written_under_the_names_that_others_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "some.npz")
    models = ["exact_gp", "gradient_boosted_trees"]
    brief = tmp_path / "docs" / "some-develop.json"
    first = uci.run(options(path, models=models, brief=brief), tmp_path / "out")
    for name in models:
        for figure in ("rmse", "nll", "crps", "seconds"):
            assert math.isfinite(first[f"{name}_{figure}"])
    with mock.patch.object(uci, "cell", side_effect=AssertionError("computed again")):
        assert uci.run(options(path, models=models), tmp_path / "out") == first
    assert "CPU seconds a fit" in capsys.readouterr().out
    held = json.loads(brief.read_text())
    assert (held["set"], held["half"], held["splits"]) == ("some", "develop", 2)
    assert held["exact_gp_nll"] == pytest.approx(first["exact_gp_nll"], rel=1e-3)


def test_ordinal_targets_lose_repeated_rows_and_are_scored_by_cells(tmp_path: Path) -> None:
    table = uci.read(str(write(tmp_path / "grades.npz", grades=True)))
    assert table.grid == 1.0
    assert len(table.x) == 30
    x, _, asked, target = table.parts(1)
    assert (len(x), len(asked)) == (20, 10)
    sharp = Normal(target + 0.2, torch.full((10,), 1e-4).double())
    found = uci.judge(sharp, target, table)
    assert found["nll"] == pytest.approx(0.0, abs=1e-9)  # no density to gain by spikes
    assert found["crps"] == pytest.approx(0.0, abs=1e-9)
    assert uci.judge(Normal(target + 1, sharp.scale), target, table)["crps"] > 0.8


def test_the_bias_is_what_half_of_the_members_lose(tmp_path: Path) -> None:
    table = uci.read(str(write(tmp_path / "some.npz")))
    g = torch.Generator().manual_seed(0)
    loc = torch.randn(7, columns.MEMBERS, generator=g, dtype=torch.float64)
    dist = mixture(GaussianMarginal(loc, 0.0, 0.1))
    half = mixture(GaussianMarginal(loc[:, ::2], 0.0, 0.1))
    y = torch.zeros(7).double()
    expected = (log_prob(dist, y) - log_prob(half, y)).mean()
    assert uci.judge(dist, y, table)["nll_bias"] == pytest.approx(float(expected))
    assert uci.judge(Normal(y, torch.ones(7).double()), y, table)["nll_bias"] == 0


def test_nothing_is_ranked_where_the_exact_process_is_not_what_it_should_be() -> None:
    def cells(nll: float) -> list[dict[str, float]]:
        return [{"nll": nll + 0.01 * k, "test_share": 0.1} for k in range(4)]

    found = {"exact_gp": cells(3.0), "sparse_gp": cells(3.02)}
    made = ranking.ranked("concrete", found)
    assert made["healthy"] == 1
    assert made["exact_gp_best_or_tied"] == 1
    assert made["sparse_gp_behind_best"] == pytest.approx(0.02)
    ill = ranking.ranked("concrete", found | {"exact_gp": cells(3.2)})
    assert ill["healthy"] == 0
    assert "sparse_gp_behind_best" not in ill
    json.dumps(made)


def test_the_pages_tables_are_the_stored_figures(tmp_path: Path) -> None:
    sys.path.append(str(Path(__file__).parents[2] / "docs"))
    import process_tables  # type: ignore[import-not-found]

    held: dict[str, Any] = {"half": "confirm", "splits": 5, "seconds_a_fit": 20.0}
    held |= {"thin_deep_gp_1_nll": 0.5114, "thin_deep_gp_1_nll_error": 0.02}
    held |= {"sparse_gp_nll": 0.5, "sparse_gp_best_or_tied": 1.0, "sparse_gp_crps": 0.25}
    for end, value in (("", 0.0114), ("_low", -0.01), ("_high", 0.03)):
        held[f"thin_deep_gp_1_behind_best{end}"] = value
    (tmp_path / "energy-confirm.json").write_text(json.dumps(held))
    page = "<!-- uci confirm: nll -->|<!-- uci confirm: crps -->|<!-- uci confirm: goals -->"
    nll, crps, goals = (
        process_tables.fill(mark, tmp_path) for mark in page.replace(">|", ">\n").split("\n")
    )
    assert "| thin and deep, one layer | 0.511 ± 0.020 |\n| sparse | **0.500** |" in nll
    assert "| splits | 5 |\n| CPU seconds a fit, at most | 20 |" in nll
    assert "| sparse | 0.250 |" in crps
    assert "| energy | 0.62 | 0.511 | +0.011 [-0.010, +0.030] | - |" in goals
    none = process_tables.fill("<!-- uci develop: nll -->", tmp_path)
    assert none == "*Nothing has been stored of the splits to develop yet.*"
    (tmp_path / "energy-confirm.json").write_text(json.dumps({**held, "half": "both"}))
    with pytest.raises(ValueError, match=r"energy-confirm\.json should hold splits to confirm"):
        process_tables.fill(page, tmp_path)
