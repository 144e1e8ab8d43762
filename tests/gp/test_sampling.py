"""Markov chains: the density they walk on, what they predict, and when they warn."""

from __future__ import annotations

import math
import re
import warnings

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Gamma, MultivariateNormal, Normal

from uncertain import gp, predictive
from uncertain.gp import chains, latent_rows, sampling
from uncertain.gp.latent_rows import Parameters
from uncertain.gp.scaling import Scaling


def data(rows: int = 12, inputs: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(rows, inputs, generator=g, dtype=torch.float64)
    return x, (6 * x[:, 0]).sin() + 0.1 * torch.randn(rows, generator=g, dtype=torch.float64)


def parameters(
    members: int, points: int, *, inputs: int = 2, width: int = 2, seed: int = 0
) -> Parameters:
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(members, *shape, generator=g, dtype=torch.float64)

    return Parameters(
        -3 + 0.3 * normal(),
        0.3 * normal(),
        0.3 * normal(width),
        0.3 * normal(width, inputs),
        normal(width, points),
    )


def drawn(x: Tensor, y: Tensor, members: int = 4, seed: int = 0) -> gp.SampledThinDeepGP:
    """A predictor of draws from the prior: the laws of a predictor ask no more."""
    plain = gp.ThinDeepGP.from_data(x, y, num_inducing=min(6, len(x)))
    scaling = sampling.scaling_of(plain)
    some = parameters(members, len(x), inputs=x.shape[1], seed=seed)
    named = {latent_rows.NAMES[field]: value for field, value in some._asdict().items()}
    rows, target = scaling.inputs(x), scaling.target(y, len(y))
    return gp.SampledThinDeepGP(rows, target, named, scaling=scaling, seed=seed).eval()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("at_rows", [False, True])
def test_the_density_is_a_normal_of_the_bent_rows_and_so_is_its_gradient(
    bias: bool, at_rows: bool
) -> None:
    x, y = data(7)
    points = None if at_rows else data(4, seed=3)[0]
    given = [t[0].requires_grad_() for t in parameters(1, 7 if at_rows else 4)]
    some = Parameters(*given)
    value = latent_rows.log_likelihood(x, y, points, some, bias=bias)
    # Slowly: every covariance by its formula.
    h = []
    for q in range(2):
        scale = (-2 * some.log_lengthscale[q]).exp()

        def k(a: Tensor, b: Tensor, scale: Tensor = scale, q: int = q) -> Tensor:
            far = ((a[:, None] - b[None]).square() * scale).sum(-1)
            return some.log_variance[q].exp() * (-far / 2).exp() * (a @ b.T + bias)

        places = x if points is None else points
        prior = k(places, places)
        slack = latent_rows.JITTER * prior.diagonal().mean() * torch.eye(len(places)).double()
        root = torch.linalg.cholesky(prior + slack)
        if points is None:
            h.append(root @ some.latent[q])
        else:
            h.append(k(x, places) @ torch.linalg.solve(root.T, some.latent[q]))
    bent = torch.stack(h, 1)
    far = (bent[:, None] - bent[None]).square().sum(-1)
    covariance = some.log_amplitude.exp() * (-far / 2).exp() + some.noise * torch.eye(7).double()
    reference = MultivariateNormal(torch.zeros(7).double(), covariance).log_prob(y)
    torch.testing.assert_close(value, reference, rtol=1e-6, atol=1e-6)
    for one, other in zip(
        torch.autograd.grad(value, given), torch.autograd.grad(reference, given), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_where_rounding_leaves_no_density_the_chain_turns_back() -> None:
    x, y = data(7)
    given = [t[0].requires_grad_() for t in parameters(1, 7)]
    given[1] = torch.tensor(60.0).double().requires_grad_()  # An amplitude of e^60,
    given[4] = torch.zeros_like(given[4]).requires_grad_()  # and all rows in one place.
    value = latent_rows.log_likelihood(x, y, None, Parameters(*given), bias=False)
    assert value == -torch.inf
    assert all((g == 0).all() for g in torch.autograd.grad(value, given))


def test_chains_draw_from_a_normal_and_leave_the_random_state() -> None:
    before = torch.random.get_rng_state()
    scale = torch.tensor([0.5, 1.0, 2.0]).double()
    found = chains.run(
        lambda z: 0.5 * (z / scale).square().sum(),
        scale * torch.ones(2, 3).double(),
        draws=150,
        warmup=60,
        seed=0,
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    told = chains.mixing({"z": found.draws})
    assert told.r_hat["z"] < 1.1
    flat = (found.draws / scale).flatten(0, 1)
    for column in flat.T:
        thinned = column[:: math.ceil(300 / min(told.effective["z"], 150))]
        assert stats.kstest(thinned.numpy(), "norm").pvalue > 1e-3


def test_joint_predictions_at_the_training_rows_have_the_moments_of_the_marginals() -> None:
    x, y = data(15)
    model = drawn(x, y, members=3)
    joint, marginal = model.joint(x[:4]), model(x[:4])
    assert joint.event_shape == (4,)
    mean = joint.component_distribution.loc.T
    torch.testing.assert_close(mean, marginal.component_distribution.mean, rtol=0, atol=0.02)


def test_prediction_given_a_draw_is_gaussian_process_regression_on_the_bent_rows() -> None:
    x, y = data(9)
    scaling = Scaling(torch.zeros(2), torch.ones(2), 0.0, 1.0)
    some = parameters(3, 9)
    named = {latent_rows.NAMES[field]: value for field, value in some._asdict().items()}
    model = gp.SampledThinDeepGP(x, y, named, scaling=scaling).eval()
    h = latent_rows.hidden_rows(x, None, some, bias=False)
    for s in range(3):
        far = (h[s][:, None] - h[s][None]).square().sum(-1)
        kernel = some.log_amplitude[s].exp() * (-far / 2).exp()
        covariance = kernel + some.noise[s] * torch.eye(9).double()
        mean = kernel @ torch.linalg.solve(covariance, y)
        variance = (kernel - kernel @ torch.linalg.solve(covariance, kernel)).diagonal()
        found = model(x).component_distribution
        # At its own rows h is known but for the slack on its covariance.
        torch.testing.assert_close(found.loc[:, s], mean, rtol=0, atol=0.02)
        torch.testing.assert_close(found.latent_scale[:, s] ** 2, variance, rtol=0, atol=0.02)
        noise = some.noise[s].sqrt().expand(9)
        torch.testing.assert_close(found.noise_scale[:, s], noise, rtol=1e-12, atol=0)


@pytest.fixture(scope="module")
def sampled() -> gp.Sampled:
    x, y = data(10, 1)
    model = gp.ThinDeepGP.from_data(x, y, num_inducing=6)
    return gp.sample_posterior(model, (x, y), draws=12, warmup=15, max_r_hat=None, members=20)


def test_it_gives_draws_a_predictor_and_diagnostics(sampled: gp.Sampled) -> None:
    assert {name: value.shape[0] for name, value in sampled.parameters.items()} == dict.fromkeys(
        latent_rows.NAMES.values(), 24
    )
    x, _ = data(3, 1, seed=1)
    prediction = sampled.model(x)
    assert prediction.component_distribution.batch_shape == (3, 20)
    assert (predictive.decompose(prediction).epistemic > 0).all()
    assert sampled.r_hat.keys() == sampled.effective.keys() >= {"log_noise", "log_density", "f"}
    assert sampled.unexplained == 0
    assert re.fullmatch(
        r"Sampled\(24 draws, worst r-hat \S+ of \S+, \d+ divergences, .* s\)", f"{sampled}"
    )
    # What the predictor holds are draws, from first to last.
    ends = sampled.parameters["log_noise"][[0, -1]]
    assert torch.equal(sampled.model.parameters_drawn.log_noise[[0, -1]], ends)


def test_the_seed_decides_the_chain() -> None:
    x, y = data(8, 1)
    model = gp.ThinDeepGP.from_data(x, y, num_inducing=4)

    def noise(seed: int) -> Tensor:
        made = gp.sample_posterior(
            model, (x, y), draws=4, warmup=3, chains=1, seed=seed, max_r_hat=None
        )
        return made.parameters["log_noise"]

    assert torch.equal(noise(1), noise(1))
    assert not torch.equal(noise(1), noise(2))


def test_what_has_no_prior_is_held_and_few_points_are_told() -> None:
    x, y = data(12)
    model = gp.ThinDeepGP.from_data(x, y, num_inducing=6)
    with pytest.warns(UserWarning, match=r"prior variance of h is left open"):
        found = gp.sample_posterior(
            model,
            (x, y),
            draws=8,
            warmup=8,
            chains=1,
            priors={"log_noise": Normal(-2.0, 0.5)},
            max_points=2,
            max_r_hat=None,
        )
    assert found.unexplained > 0.05
    assert found.parameters["log_noise"].unique().numel() > 1
    held = found.parameters["hidden.log_lengthscale"]
    assert torch.equal(held, model.hidden.log_lengthscale.detach().expand_as(held))


def test_chains_that_differ_are_told() -> None:
    told = chains.Mixing({"f": 1.01, "log_noise": 1.4}, {"f": 90.0, "log_noise": 3.0})
    went = chains.Chains(torch.zeros(2, 10, 1), 5)
    with (
        pytest.warns(UserWarning, match=r"r-hat of log_noise should be at most 1.05, got 1.4"),
        pytest.warns(UserWarning, match=r"5 of 20 transitions left"),
    ):
        sampling._warn(told, went, 0.0, 1.05)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sampling._warn(told, went, 0.0, None)


def test_what_does_not_fit_is_refused_in_words(unchecked: None) -> None:
    x, y = data(10)
    model = gp.ThinDeepGP.from_data(x, y, num_inducing=5)
    deep = gp.ThinDeepGP.from_data(x, y, num_inducing=5, hidden_layers=2)
    ask = gp.sample_posterior
    with pytest.raises(TypeError, match=r"one hidden layer.*got LayeredThinDeepGP"):
        ask(deep, (x, y))
    with pytest.raises(ValueError, match=r"at most 9 rows where f is exact, got 10.*variational"):
        ask(model, (x, y), max_rows=9)
    with pytest.raises(TypeError, match=r"`data` should be \(x, y\), got 3"):
        ask(model, (x, y, y))  # type: ignore[arg-type]
    gap = y.clone()
    gap[3] = torch.nan
    with pytest.raises(ValueError, match=r"`y` should be finite"):
        ask(model, (x, gap))
    learned = gp.ThinDeepGP.from_data(x, y, num_inducing=5, learned_mean=True)
    with pytest.raises(ValueError, match=r"prior mean zero, got one with a learned.*_mean=False`"):
        ask(learned, (x, y))
    with pytest.raises(ValueError, match=r"`draws` should"):
        ask(model, (x, y), draws=3)
    for name in ("draws", "warmup", "chains", "members", "max_rows", "max_points"):
        with pytest.raises(TypeError, match=rf"`{name}` should be a whole number, got 4.5"):
            ask(model, (x, y), **{name: 4.5})  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=rf"`{name}` should lie in .*, got 0"):
            ask(model, (x, y), **{name: 0})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`priors\['log_noise'\]` .* shape \(\), got \(2,\)"):
        ask(model, (x, y), priors={"log_noise": Normal(torch.zeros(2), torch.ones(2))})
    with pytest.raises(ValueError, match=r"hyper-parameters .*got `inducing_points`"):
        ask(model, (x, y), priors={"inducing_points": Normal(0.0, 1.0)})
    with pytest.raises(TypeError, match=r"should be a Distribution, got float"):
        ask(model, (x, y), priors={"log_noise": 1.0})
    with pytest.raises(ValueError, match=r"over all real numbers, got Gamma"):
        ask(model, (x, y), priors={"log_noise": Gamma(1.0, 1.0)})
    with pytest.raises(ValueError, match=r"`parameters` should be log_noise, .*got latent"):
        gp.SampledThinDeepGP(x, y, {"latent": x}, scaling=sampling.scaling_of(model))
