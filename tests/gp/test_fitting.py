"""The one call to fit: what it reaches, that it repeats, and what it refuses."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from uncertain import fit as training
from uncertain import gp
from uncertain.gp import Phase, ThinDeepGP, fit
from uncertain.gp.descent import objective_of
from uncertain.gp.plans import checked_plan


def data(count: int = 60, noise: float = 0.1) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    x = torch.rand(count, 2, generator=g, dtype=torch.float64) * 2 - 1
    return x, 5 + 3 * (3 * x[:, 0]).sin() + noise * torch.randn(count, generator=g).double()


def started() -> ThinDeepGP:
    return ThinDeepGP.from_data(*data(), num_inducing=10, members=16)


BRIEF = [Phase(8, rate=0.05, noise=(0.1, 0.01)), Phase(12, rate=0.02)]


def test_it_learns_the_function_and_leaves_the_best_posterior() -> None:
    model = started()
    fitted = fit(model, data(), plan=[Phase(30, rate=0.05, noise=(0.1, 0.01)), Phase(100, 0.05)])
    assert fitted.model is model
    assert not model.training
    assert fitted.objective.shape == (130,)
    x, y = data(200)
    assert float((model(x).mean.detach() - y).square().mean().sqrt()) < 0.3
    before = model.second.clone()
    model.condition(*data())
    torch.testing.assert_close(model.second, before)


def test_the_same_seed_gives_the_same_bits_and_a_second_call_goes_on(tmp_path: Any) -> None:
    once, twice = started(), started()
    first = fit(once, data(), plan=BRIEF, folder=tmp_path)
    second = fit(twice, data(), plan=BRIEF)
    np.testing.assert_array_equal(first.objective, second.objective)
    resumed = started()
    third = fit(resumed, data(), plan=BRIEF, folder=tmp_path)
    np.testing.assert_array_equal(first.objective, third.objective)
    for a, b in zip(once.state_dict().values(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_the_noise_is_held_on_its_way_down_and_trained_again_afterwards() -> None:
    seen: list[float] = []
    model = started()

    def watch(run: training.Run) -> training.Hooks:
        return training.Hooks(step=lambda: seen.append(float(model.noise_variance().detach())))

    fit(model, data(), plan=[Phase(3, noise=(0.04, 0.01))], callbacks=[watch])
    np.testing.assert_allclose(seen, [0.04, 0.02, 0.01], rtol=1e-5)
    assert model.log_noise.requires_grad


def test_held_out_rows_train_nothing_until_the_end() -> None:
    x, y = data()
    model = started()
    order = torch.randperm(60, generator=torch.Generator().manual_seed(4))
    wild = y.clone()
    wild[order[:12]] += 100.0
    plan = [Phase(20, rate=0.02)]
    usual = fit(started(), (x, y), plan=plan, held_out=0.2, patience=20, seed=4)
    other = fit(model, (x, wild), plan=plan, held_out=0.2, patience=20, seed=4)
    # The same standardisation, so that only training could tell them apart.
    np.testing.assert_allclose(usual.objective, other.objective, rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        (gp.ThinDeepGP, "lbfgs"),
        (gp.SparseGP, "lbfgs"),
        (gp.DeepKernelGP, "adam"),
        (gp.NonstationaryGP, "adam"),
    ],
)
def test_rows_of_weight_zero_are_as_if_they_were_not_there(kind: Any, method: Any) -> None:
    """In the closed form for all rows too: held-out rows have weight 0."""
    x, y = data()
    kept = torch.arange(60) < 45
    whole = kind.from_data(x, y, num_inducing=8)
    fewer = copy.deepcopy(whole)
    fewer.rows = 45
    plan = [Phase(4, rate=0.02, method=method)]
    usual = fit(whole, (x, y, kept.double()), plan=plan, starts=0)
    other = fit(fewer, (x[kept], y[kept]), plan=plan, starts=0)
    np.testing.assert_allclose(usual.objective, other.objective, rtol=1e-9)
    assert whole.rows == 60


def test_it_stops_early_where_held_out_rows_get_worse() -> None:
    x, y = data(40, noise=6.0)
    model = ThinDeepGP.from_data(x, y, num_inducing=30, members=16)
    plan = [Phase(400, rate=0.1, falling=False)]
    fitted = fit(model, (x, y), plan=plan, held_out=0.5, patience=3)
    assert fitted.stopped_early
    assert len(fitted.objective) < 400


def test_lbfgs_reaches_what_adam_is_far_from() -> None:
    adam = fit(started(), data(), plan=[Phase(40, rate=0.01)])
    lbfgs = fit(started(), data(), plan=[Phase(5, method="lbfgs")])
    assert lbfgs.objective[-1] < adam.objective[-1]


def test_priors_pull_parameters_and_say_so_where_they_are_wrong() -> None:
    model = started()
    tight = torch.distributions.Normal(torch.tensor(-1.0).double(), 1e-3)
    plan = [Phase(40, rate=0.05), Phase(1, method="lbfgs")]
    fit(model, data(), plan=plan, priors={"log_noise": tight})
    assert float(model.log_noise.detach()) == pytest.approx(-1, abs=0.02)
    with pytest.raises(ValueError, match="`priors` should be of the model's parameters"):
        fit(model, data(), priors={"noise": tight})
    with pytest.raises(ValueError, match=r"`priors\['log_noise'\]` should have one entry.*\(2,\)"):
        fit(model, data(), priors={"log_noise": torch.distributions.Normal(torch.zeros(2), 1.0)})
    with pytest.raises(TypeError, match="should be a Distribution"):
        objective_of(model, {"log_noise": 1.0})


def test_minibatches_and_weights_are_taken() -> None:
    x, y = data()
    model = started()
    fit(model, (x, y, torch.ones(60)), plan=[Phase(60, rate=0.02, batch_size=20)])
    assert float((model(x).mean.detach() - y).abs().mean()) < 1.0


def test_a_wrong_argument_is_named() -> None:
    model, (x, y) = started(), data()
    with pytest.raises(TypeError, match="`data` should be"):
        fit(model, x)
    with pytest.raises(TypeError, match="`y` should be a tensor"):
        fit(model, (x, [1.0]))
    with pytest.raises(ValueError, match="y"):
        fit(model, (x, y[:3]))
    with pytest.raises(ValueError, match="`held_out`"):
        fit(model, (x, y), held_out=1.0)
    with pytest.raises(TypeError, match=r"`plan\[0\]` should be a Phase"):
        checked_plan([3])
    with pytest.raises(TypeError, match=r"`plan` should be a sequence of phases.*`\[phase\]`"):
        checked_plan(Phase(3))
    with pytest.raises(ValueError, match=r"`plan\[0\].rate`"):
        checked_plan([Phase(1, rate=0.0)])
    with pytest.raises(ValueError, match=r"`plan\[0\].noise`"):
        checked_plan([Phase(1, noise=(0.1, 0.0))])
    with pytest.raises(ValueError, match="L-BFGS"):
        checked_plan([Phase(1, method="lbfgs", batch_size=3)])
    with pytest.raises(ValueError, match="plan"):
        checked_plan([])
    with pytest.raises(ValueError, match="`variance`"):
        model.hold_noise(0.0)


def test_rows_with_gaps_and_names_are_fitted_through_their_columns():
    x = torch.rand(40, 2, generator=torch.Generator().manual_seed(0)).double()
    y = (6 * x[:, 0]).sin()
    gaps = x.clone()
    gaps[3, 1] = torch.nan
    filled = gp.EncodedInputs.from_data(
        gp.ExactGP.from_data, gaps, y, impute=gp.Fill.from_data(gaps.numpy())
    )
    plan = [gp.Phase(2, method="lbfgs")]
    found = gp.fit(filled, (gaps, y), plan=plan)
    assert found.model is filled
    alone = gp.EncodedInputs.from_data(
        gp.ExactGP.from_data, gaps, y, impute=gp.Fill.from_data(gaps.numpy())
    )
    gp.fit(alone.model, (alone.columns(gaps), y), plan=plan)
    assert torch.equal(filled(gaps).mean, alone(gaps).mean)
    named = np.array([["r" if a < 0.5 else "b", float(b)] for a, b in x], object)
    model = gp.EncodedInputs.from_data(gp.ExactGP.from_data, named, y, categorical=[0])
    assert gp.fit(model, (named, y), plan=plan).model(named).mean.isfinite().all()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x, y: (x.where(x != x[3, 1], torch.nan), y), "`x` should be finite"),
        (lambda x, y: (x, y.where(y != y[3], torch.inf)), "`y` should be finite"),
        (lambda x, y: (x[:, :1], y), r"`x` should have shape \(N, 2\)"),
    ],
    ids=["gap", "infinite target", "other columns"],
)
@pytest.mark.usefixtures("unchecked")
def test_rows_are_checked_before_starts_race(spoil, message):
    x = torch.rand(40, 2, generator=torch.Generator().manual_seed(0)).double()
    y = (6 * x[:, 0]).sin()
    model = gp.ThinDeepGP.from_data(x, y, num_inducing=10)
    with pytest.raises(ValueError, match=message):
        gp.fit(model, spoil(x, y))
