"""Layers, likelihoods and kernels: the paths to one bound agree, and known cases are recovered."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from uncertain.fit import Batch, fit
from uncertain.gp import Deformation, LayeredThinDeepGP, ThinDeepGP, sites
from uncertain.gp.layers import gains, through
from uncertain.gp.likelihoods import Likelihood, LikelihoodName, named
from uncertain.predictive import class_probs, decompose


def data(count: int = 30, seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(count, 2, generator=g, dtype=torch.float64) * 2 - 1
    y = (4 * x[:, 0].square()).sin() + 0.1 * torch.randn(count, generator=g, dtype=torch.float64)
    return x, 50 + 10 * y


def whole(x: Tensor, y: Tensor) -> Batch:
    return Batch(x, y, torch.ones(len(x)).double(), torch.arange(len(x)), float(len(x)))


def of(likelihood: LikelihoodName, y: Tensor) -> Tensor:
    return (y > 52).long() if likelihood in ("bernoulli", "softmax") else y


def layered(likelihood: LikelihoodName = "gaussian", **settings: Any) -> LayeredThinDeepGP:
    """A model away from its start, with the posterior that belongs to it."""
    x, y = data()
    target = of(likelihood, y)
    model = LayeredThinDeepGP.from_data(
        x, target, likelihood=likelihood, num_inducing=8, **({"members": 16} | settings)
    )
    g = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=g, dtype=torch.float64)
    model.condition(x, target)
    return model


def test_one_layer_with_gaussian_noise_is_the_closed_form_model() -> None:
    x, y = data()
    model = layered()
    plain = ThinDeepGP(
        model.hidden,
        model.inducing_points,
        rows=30,
        input_scaling=(model.input_loc, model.input_scale),
        target_scaling=(float(model.loc), float(model.scale)),
        members=16,
    )
    with torch.no_grad():
        plain.log_noise.copy_(model.likelihood.log_noise[0])  # type: ignore[union-attr,index]
        plain.log_amplitude.copy_(model.log_amplitude[0])
    plain.condition(x, y)
    for mode in (True, False):
        ours, expected = (m.train(mode).objective(whole(x, y)) for m in (model, plain))
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=0)
    one, other = model.moments(x), plain.moments(x)
    torch.testing.assert_close(one.mean, other.mean)
    torch.testing.assert_close(one.variance, other.variance)
    torch.testing.assert_close(model.metric_field(x).metric, plain.metric_field(x).metric)
    torch.testing.assert_close(model.relevance(x), plain.relevance(x))
    torch.testing.assert_close(model.gains(), plain.gains())


@pytest.mark.parametrize("likelihood", ["gaussian", "student_t", "bernoulli"])
@pytest.mark.parametrize("layers", [1, 2])
def test_draws_of_the_last_layer_give_the_closed_bound(
    likelihood: LikelihoodName, layers: int
) -> None:
    """Equal for Gaussian noise; the quadratics touch closer, draw by draw, for the others."""
    x, y = data()
    model = layered(likelihood, hidden_layers=layers)
    target, before = model._targets(of(likelihood, y), 30), model._posteriors()
    rows, weight, draws = model._standardised(x), torch.ones(30).double(), 64
    g = torch.Generator().manual_seed(1)
    closed, drawn = [], []
    for _ in range(20):
        nodes = torch.randn(30, draws, 2 * layers, generator=g, dtype=torch.float64)
        with torch.no_grad():
            found = model._closed_sites(rows, target, weight, nodes, before)
            closed.append(sites.bound(found, before))
            drawn.append(model._drawn_sites(rows, target, weight, nodes, before)[1])
    one, other = torch.stack(closed), torch.stack(drawn)
    error = float((other - one).std()) / math.sqrt(20)
    gap = float((other - one).mean())
    if likelihood == "gaussian":
        assert abs(gap) < 4 * error
    else:
        assert -4 * error < gap < 0.1 * abs(float(one.mean()))


@pytest.mark.parametrize("likelihood", ["gaussian", "student_t", "heteroscedastic", "bernoulli"])
def test_quadratics_have_the_derivatives_of_the_expected_likelihood(
    likelihood: LikelihoodName,
) -> None:
    g = torch.Generator().manual_seed(0)
    y = torch.randn(6, generator=g, dtype=torch.float64)
    made: Likelihood = named(likelihood, y, noise=0.3)
    target = (y > 0).long() if likelihood == "bernoulli" else y[:, None]
    mean = torch.randn(6, made.functions, generator=g, dtype=torch.float64).requires_grad_()
    variance = torch.rand(6, made.functions, generator=g, dtype=torch.float64).requires_grad_()
    value = made.expected(target, mean, variance)
    of_mean, of_variance = torch.autograd.grad(value.sum(), (mean, variance))
    constant, linear, precision = made.quadratic(target, mean, variance)
    torch.testing.assert_close(precision, -2 * of_variance)
    torch.testing.assert_close(linear - precision * mean, of_mean)
    if made.closed:
        touching = linear * mean - 0.5 * precision * (mean.square() + variance)
        torch.testing.assert_close(constant + touching.sum(1), value)
        # A bound on the likelihood itself, everywhere.
        f = torch.linspace(-4, 4, 41).double()[:, None, None].expand(41, 6, 1)
        exact = made.expected(
            target.repeat(41, *[1] * (target.ndim - 1)), f.flatten(0, 1), 0 * f.flatten(0, 1)
        )
        quadratic = constant + (linear * f - 0.5 * precision * f.square()).sum(2)
        assert (quadratic.flatten() <= exact + 1e-9).all()


def test_rows_go_through_layers_as_draws_of_whole_matrices_do() -> None:
    """One number a latent dimension says the same as a draw of every entry of W."""
    g = torch.Generator().manual_seed(2)
    layers = [
        Deformation(torch.randn(3, 2, generator=g), latent_dim=2, bias=True),
        Deformation(torch.randn(3, 2, generator=g), latent_dim=1, input_dim=2, bias=True),
    ]
    with torch.no_grad():
        for layer in layers:
            layer.mean.copy_(torch.randn(layer.mean.shape, generator=g))
    x, draws = torch.tensor([[0.7, -1.2]]).double(), 40_000
    wide = torch.tensor([0.7, -1.2, 1.0]).double()
    at = x
    for layer in layers:
        columns, variance = layer.columns(at)
        noise = torch.randn(draws, *columns.shape[1:], generator=g, dtype=torch.float64)
        at = (columns + variance.sqrt()[..., None] * noise) @ wide
    nodes = torch.randn(1, draws, 2, generator=g, dtype=torch.float64)
    found = through(layers, x, nodes)
    top = torch.randn(draws, 1, generator=g, dtype=torch.float64)
    h = (found.mean + found.variance.sqrt() * top).detach()
    at = at.detach()
    spread = float(at.std())
    assert float((h.mean() - at.mean()).abs()) < 5 * spread * math.sqrt(2 / draws)
    assert float(h.std()) == pytest.approx(spread, rel=0.03)


@pytest.mark.parametrize(("inputs", "latent"), [(2, 2), (8, 3)])
def test_every_layer_starts_without_stretching_and_near_the_projection(
    inputs: int, latent: int
) -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(100, inputs, generator=g, dtype=torch.float64)
    model = ThinDeepGP.from_data(x, x[:, 0].sin(), hidden_layers=4, latent_dim=latent)
    assert isinstance(model, LayeredThinDeepGP)
    assert (model.gains() <= 1 + 1e-9).all()
    rows = model._standardised(x)
    first, last = model.layers[0](rows)[0], model._latent_mean(x)
    close = ((first - last).norm(dim=1) / first.norm(dim=1) < 0.25).double().mean()
    assert close >= 0.9


def test_a_gain_is_the_growth_of_the_distance_of_near_points_under_the_prior() -> None:
    g = torch.Generator().manual_seed(1)
    layer = Deformation(torch.zeros(1, 2), latent_dim=3, input_dim=4)
    with torch.no_grad():
        layer.log_lengthscale.copy_(torch.randn(3, 2, generator=g) / 3)
        layer.log_variance.copy_(torch.randn(3, generator=g) / 3)
    x = torch.randn(4, generator=g, dtype=torch.float64)
    x *= 2 / x.norm()  # |x|^2 = D
    step = 1e-3 * torch.nn.functional.normalize(
        torch.randn(2000, 2, generator=g, dtype=torch.float64), dim=1
    )
    # h = W(a) x at a and a + step: Var of the difference is 2 s^2 |x|^2 (1 - k(step)).
    square = (step[:, None] / layer.log_lengthscale.detach().exp()).square().sum(2)
    size = layer.log_variance.detach().exp() * x.square().sum()
    grown = (2 * size * (-torch.expm1(-0.5 * square))).sum(1) / step.square().sum(1)
    torch.testing.assert_close(grown.mean(), gains([layer])[0], rtol=0.05, atol=0)


def test_training_draws_anew_and_a_copy_of_the_state_goes_on_the_same() -> None:
    x, y = data()
    model = layered(hidden_layers=2).train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    first = [float(model.objective(whole(x, y)).detach()) for _ in range(2)]
    assert first[0] != first[1]
    model.load_state_dict(state)
    assert [float(model.objective(whole(x, y)).detach()) for _ in range(2)] == first


def test_several_outputs_share_layers_and_nothing_else() -> None:
    """Two columns have the objective of each alone, less a hidden divergence that is counted once."""
    x, y = data()
    both = torch.stack([y, y.square()], 1)
    pair = LayeredThinDeepGP.from_data(x, both, num_inducing=8).eval()
    each = [LayeredThinDeepGP.from_data(x, column, num_inducing=8).eval() for column in both.T]
    alone = sum(
        model.objective(whole(x, column)) for model, column in zip(each, both.T, strict=True)
    )
    hidden = pair.hidden.divergence() / 30
    torch.testing.assert_close(pair.objective(whole(x, both)), alone - hidden)
    found = pair.moments(x)
    assert (found.batch_shape, found.event_shape) == ((30,), (2,))
    torch.testing.assert_close(found.mean[:, 1], each[1].moments(x).mean)


def test_heavy_tails_let_go_of_outliers() -> None:
    x, clean = data(60, seed=2)
    y = clean.clone()
    y[::10] += 100
    errors = {}
    for likelihood in ("gaussian", "student_t"):
        model = ThinDeepGP.from_data(x, y, likelihood=likelihood, num_inducing=15)  # type: ignore[arg-type]
        fit(model, (x, y), steps=50, batch_size=60, optimizer=partial(torch.optim.Adam, lr=0.05))
        model.eval().condition(x, y)
        error = (model.moments(x).mean - clean).detach()
        errors[likelihood] = float(error.square().mean().sqrt())
    assert errors["student_t"] < 0.5 * errors["gaussian"]


def test_noise_that_varies_is_found() -> None:
    g = torch.Generator().manual_seed(5)
    x = torch.rand(200, 1, generator=g, dtype=torch.float64) * 2 - 1
    sd = torch.where(x[:, 0] > 0, 1.0, 0.1).double()
    y = sd * torch.randn(200, generator=g, dtype=torch.float64)
    model = ThinDeepGP.from_data(x, y, likelihood="heteroscedastic", num_inducing=10)
    fit(model, (x, y), steps=60, batch_size=200, optimizer=partial(torch.optim.Adam, lr=0.05))
    model.eval().condition(x, y)
    at = torch.tensor([[-0.5], [0.5]]).double()
    noise = decompose(model(at)).aleatoric.detach().sqrt()
    assert float(noise[1] / noise[0]) > 4


def test_two_classes_agree_with_a_laplace_approximation() -> None:
    """scikit-learn's classifier at the kernel that was learned here."""
    gaussian_process = pytest.importorskip("sklearn.gaussian_process")
    g = torch.Generator().manual_seed(0)
    x = torch.rand(60, 1, generator=g, dtype=torch.float64) * 2 - 1
    y = (torch.rand(60, generator=g) < torch.sigmoid(6 * (3 * x[:, 0]).sin())).long()
    model = ThinDeepGP.from_data(
        x, y, likelihood="bernoulli", num_inducing=20, latent_dim=1, members=1024
    )
    with torch.no_grad():  # A known, constant matrix: an ordinary process of lengthscale 0.3.
        length = 0.3
        model.hidden.log_lengthscale.fill_(10.0)
        model.hidden.log_variance.fill_(-2 * math.log(length / float(model.input_scale)))
        model.hidden.root.fill_(-25.0)
        one = model.hidden.responses(torch.zeros(1, 1).double())[0, :, 0]
        model.hidden.mean.copy_((one / one.square().sum())[None, :, None])
        centres = torch.linspace(-1, 1, len(model.inducing_points))[:, None].double()
        model.inducing_points.copy_(model._latent_mean(centres))
        model.log_amplitude.fill_(math.log(4.0))
    model.condition(x, y)
    kernels = gaussian_process.kernels
    peer = gaussian_process.GaussianProcessClassifier(
        kernels.ConstantKernel(4.0) * kernels.RBF(length), optimizer=None
    ).fit(x.numpy(), y.numpy())
    at = torch.linspace(-1, 1, 21)[:, None].double()
    ours = class_probs(model(at)).detach()
    theirs = torch.from_numpy(peer.predict_proba(at.numpy()))
    assert float((ours - theirs).abs().max()) < 0.06


def test_deep_metrics_are_means_over_the_layers_below() -> None:
    x, _ = data(4)
    model = layered(hidden_layers=2, members=64)
    found = model._through(model._standardised(x))
    matrix, variance = (t.unflatten(0, (4, 64)) for t in model.hidden.matrix(found.at))
    w = matrix / model.input_scale
    expected = (w.mT @ w).mean(1) + (
        variance.sum(2).mean(1)[:, None] / model.input_scale**2
    ).diag_embed()
    torch.testing.assert_close(model.metric_field(x).metric, expected.detach())
    step = 1e-5 * torch.eye(2).double()
    columns = [(model.latent(x + s).mean - model.latent(x - s).mean) / 2e-5 for s in step]
    jacobian = torch.stack(columns, 2)
    torch.testing.assert_close(model.local_metric(x), jacobian.mT @ jacobian, rtol=1e-4, atol=1e-8)
    assert model.relevance(x).shape == (2,)
    none = x[:0]
    assert model(none).batch_shape == model.moments(none).batch_shape == (0,)
    assert model.metric_field(none).metric.shape == (0, 2, 2)
    assert model.bias_share(x) == 0


@pytest.mark.usefixtures("unchecked")
def test_bad_targets_and_settings_are_refused_in_words() -> None:
    x, y = data(10)
    make = ThinDeepGP.from_data
    with pytest.raises(ValueError, match=r"`hidden_layers` should lie in"):
        make(x, y, hidden_layers=0)
    with pytest.raises(ValueError, match=r"`likelihood` should be one of"):
        make(x, y, likelihood="poisson")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`kernel` should be one of"):
        make(x, y, kernel="linear")  # type: ignore[arg-type]
    for name in ("bernoulli", "softmax"):
        with pytest.raises(
            TypeError, match=r"`y` should be a tensor of class indices 0, 1.*y\.long\(\)"
        ):
            make(x, y, likelihood=name)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"`y` should be a floating tensor, got torch.int64"):
        make(x, y.long(), hidden_layers=2)
    with pytest.raises(ValueError, match=r"`y` should have shape \(10,\), got \(9,\)"):
        make(x, y[:9], hidden_layers=2)
    with pytest.raises(ValueError, match=r"label|class"):
        make(x, torch.full((10,), 2), likelihood="bernoulli")
    model = make(x, (y > 50).long(), likelihood="bernoulli", num_inducing=5)
    with pytest.raises(TypeError, match=r"`moments` should be asked of a model of real targets"):
        model.moments(x)
    for settings, text in (
        ({"samples": 0}, r"`samples` should lie in"),
        ({"rate": 0.0}, r"`rate` should lie in"),
    ):
        with pytest.raises(ValueError, match=text):
            LayeredThinDeepGP(model.hidden, x[:3], rows=10, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("likelihood", ["bernoulli", "softmax"])
def test_one_class_alone_is_refused(likelihood):
    x = torch.rand(20, 2, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=r"at least two classes, got only \[0\]"):
        ThinDeepGP.from_data(x, torch.zeros(20).long(), likelihood=likelihood, num_inducing=5)
