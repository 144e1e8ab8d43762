"""The paper script's heights: folds that are what they are called, and figures with a meaning."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch.distributions import Normal

from uncertain.predictive import mixture

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "papers"))

from thin_deep import bathymetry


def test_every_row_is_held_out_once_and_blocks_as_a_whole() -> None:
    data = bathymetry.surface(2000)
    assert abs(float(data.x.diff(dim=0).abs().max())) < 400  # kilometres
    for kind in bathymetry.KINDS:
        folds = bathymetry.folds_of(data.x, kind)
        shares = np.bincount(folds, minlength=5) / 2000
        assert (np.abs(shares - 0.2) < 0.05).all()
    apart = torch.cdist(data.x, data.x)
    apart.fill_diagonal_(math.inf)
    same = folds[apart.argmin(1).numpy()] == folds
    assert same.mean() > 0.9  # the nearest row is nearly always held out, too


def test_scores_are_those_of_the_normal_and_half_a_mixture_of_equals_loses_nothing() -> None:
    y = torch.tensor([0.0, 1.0]).double()
    one = Normal(torch.zeros(2).double(), torch.ones(2).double())
    found = bathymetry.judge(one, y)
    assert math.isclose(found["nll"], 0.5 * math.log(2 * math.pi) + 0.25)
    assert math.isclose(found["rmse"], 0.5**0.5)
    assert found["nll_bias"] == 0
    many = mixture(Normal(torch.zeros(2, 4).double(), torch.ones(2, 4).double()))
    again = bathymetry.judge(many, y)
    for name, value in found.items():
        assert math.isclose(again[name], value, abs_tol=1e-9)
