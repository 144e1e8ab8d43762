"""The questions about thin-and-deep processes: their data and their scores, on what is known."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "papers"))

from thin_deep import calibration, prior, sinc


def test_the_surface_is_standardised_on_its_training_part_and_split_by_seed() -> None:
    data = sinc.surface(3)
    assert data.x.shape == data.test_x.shape == (175, 2)
    assert float(data.y.mean()) == pytest.approx(0, abs=1e-12)
    assert float(data.y.std(unbiased=False)) == pytest.approx(1)
    both = torch.cat([data.x, data.test_x]).unique(dim=0)
    assert len(both) == 350
    assert not torch.equal(sinc.surface(4).x, data.x)
    noisy = sinc.surface(3, noise=0.2).y - data.y
    assert float(noisy.std()) == pytest.approx(0.2, rel=0.2)


def test_a_seed_is_solved_only_where_all_three_figures_are() -> None:
    good = {"rmse": 0.003, "nlpd": -3.5, "relevance_ratio": 9e-4}
    assert sinc.is_solved(good)
    for name, bad in {"rmse": 0.0031, "nlpd": -3.4, "relevance_ratio": 1e-3}.items():
        assert not sinc.is_solved(good | {name: bad})


def test_a_draw_has_the_prior_variance_and_one_latent_that_y_follows() -> None:
    draws = [prior.drawn(2, 40, seed) for seed in range(30)]
    # h has variance |x|^2 s_q^2 and so J has at least s_q^2 an entry, on average.
    entries = torch.stack([draw.jacobian.square().mean((0, 2)) for draw in draws]).mean(0)
    assert entries[0] > entries[1] > 0
    again = prior.drawn(2, 40, 5)
    np.testing.assert_array_equal(again.y, draws[5].y)


def test_the_true_metric_scores_best_and_an_unrelated_one_does_not() -> None:
    data = prior.drawn(3, 80, 0)
    truth = data.jacobian.mT @ data.jacobian
    volume = prior.log_volume(truth)
    best = prior.score(prior.Metric(4 * truth, torch.stack([volume - 1, volume + 1])), data)
    assert best["angle"] == pytest.approx(0, abs=1e-4)
    assert best["rank_correlation"] == pytest.approx(1)
    assert best["covered"] == 1
    other = prior.drawn(3, 80, 1).jacobian
    worse = prior.score(prior.Metric(other.mT @ other, None), data)
    assert worse["angle"] > 20
    assert "covered" not in worse


def _replications(width: float, *, count: int = 150) -> list[dict[str, object]]:
    """Replications of a normal mean, whose posterior is known: the fit's is ``width`` as wide."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(count):
        true = torch.from_numpy(rng.normal(size=3))
        seen = true + torch.from_numpy(rng.normal(size=3))
        noise = torch.from_numpy(rng.normal(size=(2, 190, 3))) * 0.5**0.5
        exact, narrow = seen / 2 + noise[0], seen / 2 + width * noise[1]
        made.append(
            {
                "chain": calibration.ranks(true, exact),
                "variational": calibration.ranks(true[1:], narrow[:, 1:]),
                "deviations": exact.std(0).tolist(),
                "variational_deviations": narrow[:, 1:].std(0).tolist(),
                **dict.fromkeys(("r_hat", "effective", "seconds_fit", "seconds_chain"), 1.0),
                "divergences": 0,
            }
        )
    return made


def test_exact_posteriors_are_calibrated_and_narrow_ones_are_told_by_how_much() -> None:
    right, narrow = (calibration.summary(_replications(width)) for width in (1.0, 0.5))
    assert right["passes"] == narrow["passes"] == 1
    assert right["p_variational_f"] > 0.05 > narrow["p_variational_f"]
    assert right["dispersion_variational_f"] == pytest.approx(1, abs=0.2)
    assert narrow["dispersion_variational_f"] > 1.4
    assert right["outer_tenth_variational_f"] == pytest.approx(0.1, abs=0.06)
    assert narrow["outer_tenth_variational_f"] > 0.3
    assert narrow["deviation_ratio_f"] == pytest.approx(0.5, rel=0.1)


def test_the_inputs_of_all_replications_are_the_same_and_nothing_else_is() -> None:
    one, other = calibration.drawn(6, 0), calibration.drawn(6, 1)
    assert torch.equal(one.x, other.x)
    assert not torch.equal(one.y, other.y)
    model = calibration.model_of(one, 0)
    # Nothing is standardised by the data, and W starts as a scaled identity at every row.
    assert (model.loc, model.scale) == (0, 1)
    assert torch.equal(model.input_loc, torch.zeros(1).double())
