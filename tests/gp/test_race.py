"""Many starts at once: their bounds, the aligned start's law, and which start wins."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from uncertain.fit import Batch
from uncertain.gp import Deformation, LayeredThinDeepGP, Phase, ThinDeepGP, fit, race, restarts
from uncertain.gp.alignment import aligned, best_lengthscale, design, plain_process


def bent(count: int = 60) -> tuple[Tensor, Tensor, Tensor]:
    """A surface of one latent row, away from the origin where every row of W x vanishes."""
    g = torch.Generator().manual_seed(0)
    x = torch.rand(count, 2, generator=g, dtype=torch.float64) * 2 - 1
    h = x[:, 0] + x[:, 1] * (1.5 * x[:, 0]).cos()
    return x, (2 * h).sin(), h


def models(bias: bool) -> list[ThinDeepGP]:
    x, y, _ = bent()
    made = []
    for seed in range(2):
        model = ThinDeepGP.from_data(x, y, num_inducing=8, members=4, bias=bias)
        g = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                noise = 0.1 * torch.randn(parameter.shape, generator=g, dtype=torch.float64)
                parameter.add_(noise)
        made.append(model)
    return made


@pytest.mark.parametrize("bias", [False, True])
def test_stacked_bounds_and_gradients_are_those_of_each_model(bias: bool) -> None:
    x, y, _ = bent()
    weight = 0.5 + torch.rand(60, generator=torch.Generator().manual_seed(1)).double()
    weight = weight / weight.mean()
    pair = models(bias)
    stacked = {
        name: torch.stack([dict(m.named_parameters())[name].detach() for m in pair])
        for name, _ in pair[0].named_parameters()
    }
    leaves = {name: t.requires_grad_() for name, t in stacked.items()}
    first = pair[0]
    standard = (x - first.input_loc) / first.input_scale
    features = torch.cat([standard, torch.ones(60, 1)], 1) if bias else standard
    rows = race.Rows(standard, features, (y - first.loc) / first.scale, weight)
    found = race.bounds(leaves, rows, jitter=first.hidden.jitter)
    found.total.sum().backward()
    for place, model in enumerate(pair):
        loss = model.objective(Batch(x, y, weight, torch.arange(60), 60.0))
        loss.backward()
        expected = -60 * loss.detach() + 60 * model.scale.log()
        torch.testing.assert_close(found.total[place].detach(), expected, rtol=1e-10, atol=1e-8)
        for name, parameter in model.named_parameters():
            gradient = leaves[name].grad
            assert gradient is not None
            assert parameter.grad is not None
            torch.testing.assert_close(gradient[place], -60 * parameter.grad, rtol=1e-6, atol=1e-6)


def test_a_start_without_a_factor_loses_and_leaves_the_others_alone() -> None:
    x, y, _ = bent()
    pair = models(bias=False)
    stacked = {
        name: torch.stack([dict(m.named_parameters())[name].detach() for m in pair])
        for name, _ in pair[0].named_parameters()
    }
    alone = {name: t[:1].clone() for name, t in stacked.items()}
    stacked["log_amplitude"][1] = math.nan
    rows = race.Rows(x, x, y, torch.ones(60).double())
    options: dict[str, Any] = {
        "jitter": 1e-6,
        "steps": [0.1, 0.1, None, None],
        "rate": 0.05,
        "falling": True,
    }
    both = race.descend(stacked, rows, race.Adam(stacked), **options)
    one = race.descend(alone, rows, race.Adam(alone), **options)
    torch.testing.assert_close(both[0], one[0])
    assert both[1] == -math.inf
    torch.testing.assert_close(stacked["hidden.mean"][0], alone["hidden.mean"][0])


def test_the_gradient_of_the_plain_process_is_that_of_the_surface() -> None:
    x, y, _ = bent(150)
    leaf = x.clone().requires_grad_()
    h = leaf[:, 0] + leaf[:, 1] * (1.5 * leaf[:, 0]).cos()
    (expected,) = torch.autograd.grad((2 * h).sin().sum(), leaf)
    found = plain_process(x, y).gradient
    assert float((found - expected).norm() / expected.norm()) < 0.05


@pytest.mark.parametrize("bias", [False, True])
def test_a_design_is_linear_in_the_whitened_values_and_knows_its_slopes(bias: bool) -> None:
    g = torch.Generator().manual_seed(2)
    x, points = bent(7)[0], torch.randn(5, 2, generator=g, dtype=torch.float64)
    layer = Deformation(points, latent_dim=1, lengthscale=1.3, bias=bias)
    values = torch.randn(layer.mean.shape, generator=g, dtype=torch.float64)
    with torch.no_grad():
        layer.mean.copy_(values)
    leaf = x.clone().requires_grad_()
    expected = layer(leaf)[0][:, 0]
    (slope,) = torch.autograd.grad(expected.sum(), leaf)
    length = torch.full((2,), 1.3).double()
    found = design(x, points, length, jitter=layer.jitter, bias=bias)
    torch.testing.assert_close(found.values @ values.flatten(), expected.detach())
    torch.testing.assert_close(found.slopes @ values.flatten(), slope)


def test_the_aligned_row_is_the_one_behind_the_surface() -> None:
    x, _, h = bent(150)
    leaf = x.clone().requires_grad_()
    surface = (2 * (leaf[:, 0] + leaf[:, 1] * (1.5 * leaf[:, 0]).cos())).sin()
    (gradient,) = torch.autograd.grad(surface.sum(), leaf)
    points = x[:20]
    length = best_lengthscale(x, points, gradient, penalty=1e-4, jitter=1e-6, bias=False)
    assert length[1] > length[0]  # W varies with the first input alone
    made = design(x, points, length, jitter=1e-6, bias=False)
    _, values = aligned(made, gradient, 1e-4)
    both = torch.stack([made.values @ values, h])
    assert float(torch.corrcoef(both)[0, 1].abs()) > 0.99


def test_the_race_improves_the_bound_and_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restarts, "_HEATS", ((20, 1e-3, 1), (10, 1e-3, 1)))
    monkeypatch.setattr(restarts, "_FINAL", 30)
    monkeypatch.setattr(restarts, "_POLISHED", 5)
    x, y, _ = bent()
    weight = torch.ones(60).double()
    results = []
    for _ in range(2):
        model = ThinDeepGP.from_data(x, y, num_inducing=10, members=4)
        started = fit(copy.deepcopy(model), (x, y), starts=0, plan=[Phase(1, rate=1e-9)])
        before = -started.objective[0] * 60 + 60 * float(model.scale.log())
        results.append(restarts.improve_start(model, x, y, weight, starts=2, seed=0))
    assert results[0] == results[1]
    assert results[0].rows == 60
    assert max(results[0].bounds) == results[0].bounds[0] > before
    fitted = fit(model, (x, y), starts=0, plan=[Phase(1, rate=1e-9)])
    bound = -fitted.objective[0] * 60 + 60 * float(model.scale.log())
    assert bound == pytest.approx(results[0].bounds[0], abs=10.0)


def test_a_wrong_number_of_starts_is_named() -> None:
    x, y, _ = bent()
    model = ThinDeepGP.from_data(x, y, num_inducing=5)
    with pytest.raises(ValueError, match="`starts`"):
        fit(model, (x, y), starts=-1)
    layered = ThinDeepGP.from_data(x, y, num_inducing=5, hidden_layers=2)
    assert isinstance(layered, LayeredThinDeepGP)
    with pytest.raises(ValueError, match="`starts` should be 0 for a LayeredThinDeepGP"):
        fit(layered, (x, y), starts=2)
