"""The model: its bound against references, its predictions against draws, its errors in words."""

from __future__ import annotations

import math
import sys
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.gp import references
from uncertain.fit import Batch, Hooks, NonFiniteError, fit
from uncertain.gp import Deformation, ThinDeepGP, bounds
from uncertain.predictive import decompose


def data(count: int = 40, seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(count, 2, generator=g, dtype=torch.float64) * 2 - 1
    y = (4 * x[:, 0].square()).sin() + 0.1 * torch.randn(count, generator=g, dtype=torch.float64)
    return x, 50 + 10 * y


def moved(count: int = 40, **settings: Any) -> ThinDeepGP:
    """A model away from its start, with the posterior that belongs to it."""
    model = ThinDeepGP.from_data(*data(count), **({"num_inducing": 8, "members": 16} | settings))
    g = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=g, dtype=torch.float64)
    model.condition(*data(count))
    return model


def whole(x: Tensor, y: Tensor) -> Batch:
    return Batch(x, y, torch.ones(len(x)).double(), torch.arange(len(x)), float(len(x)))


def adam(rate: float) -> Any:
    return partial(torch.optim.Adam, lr=rate)


def test_a_certain_constant_matrix_is_the_sparse_gaussian_process_with_a_lengthscale_an_input() -> (
    None
):
    x, y = data(25)
    lengths = torch.tensor([0.4, 1.5]).double()
    layer = Deformation(torch.zeros(1, 2), latent_dim=2, lengthscale=1e8, jitter=0.0)
    with torch.no_grad():
        layer.mean.copy_((1 / lengths).diag()[:, None])
        layer.root.fill_(-25.0)
    points = x[:6] / lengths
    target = (float(y.mean()), float(y.std()))
    model = ThinDeepGP(layer, points, rows=25, target_scaling=target, noise=0.1)
    bound = -model.objective(whole(x, y)) * 25 + layer.divergence()
    standardised = (y - target[0]) / target[1]
    expected = references.sparse_regression_bound(
        x / lengths, standardised, points, amplitude=1.0, noise=0.1, jitter=0.0
    )
    torch.testing.assert_close(bound, expected - 25 * math.log(target[1]), rtol=0, atol=1e-8)


@pytest.mark.slow
def test_it_stays_below_the_evidence_of_its_own_prior() -> None:
    """The latent rows are Gaussian processes with covariance <x, x'> k(x, x'): drawn, not bounded."""
    x, y = data(6, seed=4)
    model = ThinDeepGP.from_data(x, y, num_inducing=6, noise=0.2)
    fit(model, (x, y), steps=150, batch_size=6, optimizer=adam(0.03))
    bound = float(-model.objective(whole(x, y)).detach() * 6) + 6 * float(model.scale.log())
    standard = ((x - model.input_loc) / model.input_scale).detach()
    layer, draws = model.hidden, 100_000
    g = torch.Generator().manual_seed(5)
    squares = torch.zeros(draws, 6, 6).double()
    for q in range(2):
        scaled = standard / layer.log_lengthscale[q].detach().exp()
        k = layer.log_variance[q].detach().exp() * references.kernel(scaled, scaled)
        root = torch.linalg.cholesky(k * (standard @ standard.T) + 1e-10 * torch.eye(6))
        h = torch.randn(draws, 6, generator=g, dtype=torch.float64) @ root.T
        squares += (h[:, :, None] - h[:, None]).square()
    amplitude, noise = model.log_amplitude.detach().exp(), model.noise_variance().detach()
    covariance = amplitude * (-0.5 * squares).exp() + noise * torch.eye(6)
    target = (y - model.loc) / model.scale
    normal = torch.distributions.MultivariateNormal(torch.zeros(6).double(), covariance)
    logs = normal.log_prob(target)
    ratios = (logs - logs.max()).exp()
    evidence = float(logs.max() + ratios.mean().log())
    error = float(ratios.std() / ratios.mean()) / math.sqrt(draws)
    assert error < 0.1
    assert bound <= evidence + 3 * error


def test_in_training_the_whole_batch_gives_the_collapsed_bound_and_its_posterior() -> None:
    model, batch = moved(), whole(*data())
    best = model.eval().objective(batch)
    with torch.no_grad():
        model.cross.mul_(0.5)
    worse = model.objective(batch)
    trained = model.train().objective(batch)
    torch.testing.assert_close(trained, best, rtol=1e-10, atol=0)
    assert worse > best
    # It also put the posterior where it belongs.
    torch.testing.assert_close(model.eval().objective(batch), best, rtol=1e-10, atol=0)


def test_a_batch_gives_an_unbiased_bound_and_moves_the_posterior_by_the_rate() -> None:
    model = moved()
    x, y = data()
    before = model.cross.clone()
    index = [torch.arange(start, 40, 4) for start in range(4)]
    parts = [Batch(x[i], y[i], torch.ones(10), i, 40.0) for i in index]
    each = torch.stack([model.eval().objective(part) for part in parts])
    torch.testing.assert_close(each.mean(), model.objective(whole(x, y)), rtol=1e-10, atol=0)
    assert torch.equal(model.cross, before)
    model.train().objective(parts[0])
    moved_by = model.cross - before
    model.condition(x[index[0]], y[index[0]], torch.full((10,), 4.0))
    torch.testing.assert_close(moved_by, model.rate * (model.cross - before))


def test_gradients_are_finite_differences() -> None:
    x, y = data(7)
    model = ThinDeepGP.from_data(x, y, num_inducing=3, members=4).eval()
    names, start = zip(*model.named_parameters(), strict=True)

    def objective(*values: Tensor) -> Tensor:
        return torch.func.functional_call(
            _Objective(model),
            {f"model.{n}": v for n, v in zip(names, values, strict=True)},
            (whole(x, y),),
        )

    assert torch.autograd.gradcheck(objective, tuple(p.detach().requires_grad_() for p in start))


class _Objective(torch.nn.Module):
    def __init__(self, model: ThinDeepGP) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        return self.model.objective(batch)


def test_float32_inputs_give_the_float64_bound() -> None:
    x, y = (t.float() for t in data())
    one = ThinDeepGP.from_data(x, y, num_inducing=10, noise=1e-5)
    other = ThinDeepGP.from_data(x.double(), y.double(), num_inducing=10, noise=1e-5)
    assert float(one.noise_variance().detach()) == pytest.approx(1e-5)
    weight = torch.ones(40)
    single = one.objective(Batch(x, y, weight, torch.arange(40), 40.0))
    torch.testing.assert_close(
        single, other.objective(whole(x.double(), y.double())), rtol=1e-6, atol=0
    )


def test_a_row_twice_is_a_row_of_weight_two() -> None:
    x, y = data(10)
    model = ThinDeepGP.from_data(x, y, num_inducing=5)
    copies = torch.tensor([1, 2, 1, 1, 3, 1, 1, 2, 1, 1])
    kept = [model.cross.clone(), model.second.clone()]
    model.condition(x, y, copies.double())
    weighted = [model.cross.clone(), model.second.clone()]
    model.condition(x.repeat_interleave(copies, 0), y.repeat_interleave(copies))
    torch.testing.assert_close([model.cross, model.second], weighted, rtol=1e-10, atol=1e-10)
    assert not torch.equal(kept[0], weighted[0])


def test_the_mixture_has_the_exact_moments() -> None:
    model, (x, _) = moved(members=4096), data(5, seed=9)
    mixture, exact = model(x), model.moments(x)
    torch.testing.assert_close(mixture.mean, exact.mean, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(mixture.variance, exact.variance, rtol=2e-2, atol=0)
    total = decompose(mixture)
    torch.testing.assert_close(total.total, mixture.variance)
    torch.testing.assert_close(total.aleatoric, exact.noise_variance)


def test_far_away_it_knows_the_noise_and_nothing_else() -> None:
    """Where the bent rows are far from every inducing point the prior comes back."""
    model = moved()
    exact = model.moments(torch.tensor([[1e4, 1e4]]).double())
    amplitude = model.log_amplitude.detach().exp().sqrt() * model.scale
    torch.testing.assert_close(exact.latent_scale, amplitude[None], rtol=0.02, atol=0)
    torch.testing.assert_close(exact.mean, model.loc[None], rtol=0.02, atol=0)


def test_units_of_inputs_and_target_do_not_matter() -> None:
    x, y = data()
    one = ThinDeepGP.from_data(x, y, num_inducing=8)
    other = ThinDeepGP.from_data(1000 * x + 7, 0.01 * y - 3, num_inducing=8)
    at = x[:5]
    first, second = one.moments(at), other.moments(1000 * at + 7)
    torch.testing.assert_close(0.01 * first.mean - 3, second.mean)
    torch.testing.assert_close(0.01 * first.scale, second.scale)
    shift = one.objective(whole(x, y)) - other.objective(whole(1000 * x + 7, 0.01 * y - 3))
    torch.testing.assert_close(shift.exp(), torch.tensor(100.0).double(), rtol=1e-6, atol=0)


def test_the_latent_is_what_predictions_are_made_from() -> None:
    model, (x, _) = moved(), data(4)
    latent = model.latent(x)
    assert (latent.batch_shape, latent.event_shape) == ((4,), (2,))
    mean, variance = model.hidden((x - model.input_loc) / model.input_scale)
    torch.testing.assert_close(latent.mean, mean)
    torch.testing.assert_close(latent.variance, variance)


def test_it_fits_and_its_bands_hold_the_rows() -> None:
    x, y = data(50)
    model = ThinDeepGP.from_data(x, y, num_inducing=15, members=32)
    before = float(model.moments(x).mean.sub(y).square().mean().detach())
    fit(model, (x, y), steps=60, batch_size=50, optimizer=adam(0.03))
    model.eval().condition(x, y)
    found = model.moments(x)
    assert float(found.mean.sub(y).square().mean().detach()) < 0.7 * before
    inside = ((y - found.mean).abs() < 2 * found.scale).double().mean()
    assert 0.85 < inside <= 1


def test_batches_lead_where_the_whole_does() -> None:
    x, y = data(50)
    model = ThinDeepGP.from_data(x, y, num_inducing=10)
    before = float(model.eval().objective(whole(x, y)).detach())
    fit(model.train(), (x, y), steps=60, batch_size=20, optimizer=adam(0.02))
    model.condition(x, y)
    assert float(model.eval().objective(whole(x, y)).detach()) < before - 0.1


def test_training_that_breaks_stops_and_keeps_the_last_good_state() -> None:
    x, y = data()
    model = ThinDeepGP.from_data(x, y, num_inducing=6)

    def spoil(run: Any) -> Hooks:
        def gradient() -> None:
            if run.step == 2:
                model.inducing_points.grad.fill_(math.inf)  # type: ignore[union-attr]

        return Hooks(gradient=gradient)

    with pytest.raises(NonFiniteError, match=r"`objective` is not finite at step 4 \(`K_ZZ of f`"):
        fit(model, (x, y), steps=9, batch_size=40, callbacks=[spoil], optimizer=adam(0.01))
    assert all(value.isfinite().all() for value in model.state_dict().values())
    assert model(x).mean.isfinite().all()


def test_given_points_need_no_clustering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    x, y = data()
    model = ThinDeepGP.from_data(x, y, inducing_points=x[:9])
    restored = model.hidden.inducing_points * model.input_scale + model.input_loc
    torch.testing.assert_close(restored.detach(), x[:9])
    with pytest.raises(ModuleNotFoundError, match=r"uncertain-torch\[benchmark\]"):
        ThinDeepGP.from_data(x, y, num_inducing=5)


def _changed(**change: Any) -> tuple[Tensor, Tensor]:
    x, y = data(10)
    return change.get("x", lambda t: t)(x), change.get("y", lambda t: t)(y)


def _with(row: int, column: int, value: float) -> Any:
    def change(t: Tensor) -> Tensor:
        t = t.clone()
        t[row if row >= 0 else slice(None), column] = value
        return t

    return change


BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "integer inputs": ({"x": lambda t: t.long()}, TypeError, r"`x` should be a floating .*int64"),
    "integer targets": ({"y": lambda t: t.long()}, TypeError, r"`y` should be a floating .*int64"),
    "no matrix": ({"x": lambda t: t[:, 0]}, ValueError, r"`x` should have shape \(N, D\)"),
    "missing input": (
        {"x": _with(2, 1, math.nan)},
        ValueError,
        r"1 NaN .*\(2, 1\): drop such rows",
    ),
    "infinite input": ({"x": _with(2, 1, math.inf)}, ValueError, r"1 infinite"),
    "missing target": ({"y": lambda t: t * math.nan}, ValueError, r"`y` should be finite"),
    "constant column": ({"x": _with(-1, 1, 3.0)}, ValueError, r"every row of column 1: drop"),
    "constant target": ({"y": lambda t: t * 0}, ValueError, r"`y` should vary"),
    "fewer targets": ({"y": lambda t: t[:9]}, ValueError, r"`y` should have shape \(10,\)"),
    "a cube of targets": (
        {"y": lambda t: t[:, None, None]},
        ValueError,
        r"`y` should have shape \(10,\)",
    ),
    "one row": ({"x": lambda t: t[:1], "y": lambda t: t[:1]}, ValueError, r"at least two rows"),
    "no rows": ({"x": lambda t: t[:0], "y": lambda t: t[:0]}, ValueError, r"at least one row"),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", BAD)
def test_bad_data_are_refused_in_words(name: str) -> None:
    change, error, text = BAD[name]
    with pytest.raises(error, match=text):
        ThinDeepGP.from_data(*_changed(**change))


@pytest.mark.usefixtures("unchecked")
def test_bad_settings_are_refused_in_words() -> None:
    x, y = data(10)
    make = ThinDeepGP.from_data
    with pytest.raises(
        ValueError, match=r"`num_inducing` should lie in \[1, 10\], got 11.*10 rows"
    ):
        make(x, y, num_inducing=11)
    with pytest.raises(ValueError, match=r"left out where `inducing_points` are given"):
        make(x, y, num_inducing=3, inducing_points=x[:3])
    with pytest.raises(ValueError, match=r"`inducing_points` should have shape \(N, 2\)"):
        make(x, y, inducing_points=x[:3, :1])
    with pytest.raises(ValueError, match=r"`latent_dim` should lie in"):
        make(x, y, latent_dim=0)
    for name in ("hidden_layers", "latent_dim", "num_inducing", "members"):
        with pytest.raises(TypeError, match=rf"`{name}` should be a whole number, got 1.5"):
            make(x, y, **{name: 1.5})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`hidden_layers` should lie in \[1, inf\], got 0"):
        make(x, y, hidden_layers=0)
    for name in ("bias", "learned_mean"):
        with pytest.raises(TypeError, match=rf"`{name}` should be True or False, got 'yes'"):
            make(x, y, **{name: "yes"})  # type: ignore[arg-type]
    layer = Deformation(x[:3], latent_dim=2)
    for settings, text in (
        ({"rows": 0}, r"`rows` should lie in"),
        ({"noise": 1e-7}, r"`noise` should lie in"),
        ({"rate": 1.5}, r"`rate` should lie in"),
        ({"members": 0}, r"`members` should lie in"),
        ({"target_scaling": (0.0, 0.0)}, r"`target_scaling: scale` should lie in"),
        ({"input_scaling": (x[0], x[0] * 0)}, r"`input_scaling: input_scale` should lie in"),
        ({"input_scaling": (x[0, :1], x[0])}, r"`input_scaling: input_loc` should have shape"),
    ):
        with pytest.raises(ValueError, match=text):
            ThinDeepGP(layer, x[:3], **({"rows": 10} | settings))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`inducing_points` should have shape \(M, 2\)"):
        ThinDeepGP(layer, x[:3, :1], rows=10)
    model = moved()
    with pytest.raises(ValueError, match=r"`x` should have shape \(N, 2\), got \(3, 1\)"):
        model(torch.zeros(3, 1))
    with pytest.raises(ValueError, match=r"`x` should be finite, got 1 NaN"):
        model(torch.tensor([[0.0, math.nan]]))
    with pytest.raises(ValueError, match=r"`levels` should lie in"):
        model.metric_field(x, levels=(0.5, 1.0))
    with pytest.raises(ValueError, match=r"`weight` should have shape \(10,\)"):
        model.condition(x, y, torch.ones(3))


def test_a_noise_below_its_floor_is_not_reached() -> None:
    model = moved()
    with torch.no_grad():
        model.log_noise.fill_(-1000.0)
    assert float(model.noise_variance().detach()) == pytest.approx(1e-6)
    assert (
        bounds.best_posterior(model.cross, model.second, model.noise_variance())
        .mean.isfinite()
        .all()
    )
