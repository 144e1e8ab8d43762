"""The thin and deep process with f exact: its bound, its predictions, its readings."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, StudentT

from uncertain import gp, predictive
from uncertain.fit import Batch
from uncertain.gp import ExactThinDeepGP, Phase, ProjectedDeformation
from uncertain.gp.kernels import KERNELS, Kernel, base_kernel
from uncertain.gp.likelihoods import GaussianNoise


def rows(count: int = 25, inputs: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    x = 3 + 2 * torch.randn(count, inputs, generator=g, dtype=torch.float64)
    y = 50 + 9 * x[:, 0].sin() + torch.randn(count, generator=g, dtype=torch.float64)
    return x, y


def whole(x: Tensor, y: Tensor, weight: Tensor | None = None) -> Batch:
    w = torch.ones(len(x)).double() if weight is None else weight
    return Batch(x, y, w * len(w) / w.sum(), torch.arange(len(x)), float(w.sum()))


@torch.no_grad()
def straightened(model: ExactThinDeepGP, spread: float = 0.0) -> ExactThinDeepGP:
    """Return the model with the posterior of every matrix at zero, or some spread around it."""
    for layer in model.layers:
        layer.mean.zero_()
        layer.root.copy_(torch.full_like(layer.root[0, 0], -40.0).diag().expand_as(layer.root))
        if spread:
            layer.root.diagonal(dim1=1, dim2=2).fill_(torch.tensor(spread).log())
    return model


def normal_of(model: ExactThinDeepGP, x: Tensor) -> MultivariateNormal:
    """Return the stationary process' normal over targets, in the units of the user."""
    h = (x - model.input_loc) / model.input_scale * model.hidden.inverse_lengthscale()
    covariance = model.log_amplitude.exp() * base_kernel(h, h, model.kernel)
    covariance = covariance + model.noise_variance() * torch.eye(len(x)).double()
    return MultivariateNormal(model.loc.expand(len(x)), model.scale.square() * covariance)


@pytest.mark.parametrize("kernel", KERNELS)
def test_where_nothing_bends_it_is_the_exact_stationary_process(kernel: Kernel) -> None:
    x, y = rows()
    model = straightened(ExactThinDeepGP.from_data(x, y, kernel=kernel, num_inducing=5)).eval()
    batch = whole(x, y)
    bound = -len(x) * model.objective(batch) + model.hidden.divergence()
    torch.testing.assert_close(bound, normal_of(model, x).log_prob(y))
    asked, _ = rows(6, seed=1)
    both = normal_of(model, torch.cat([asked, x]))
    gain = both.covariance_matrix[:6, 6:] @ torch.linalg.inv(both.covariance_matrix[6:, 6:])
    mean = both.loc[:6] + gain @ (y - both.loc[6:])
    variance = (both.covariance_matrix[:6, :6] - gain @ both.covariance_matrix[6:, :6]).diagonal()
    torch.testing.assert_close(model(asked).mean, mean)
    torch.testing.assert_close(model(asked).variance, variance)


def test_the_start_is_as_good_as_the_exact_process_of_gpytorch() -> None:
    x, y = rows(60)
    model = straightened(ExactThinDeepGP.from_data(x, y)).eval()
    theirs = gp.ExactGP.from_data(x, y)
    gp.fit(theirs, (x, y))
    ours = -normal_of(model, x).log_prob(y) / len(x)
    # Theirs has a constant mean besides.
    assert ours < theirs.objective(whole(x, y)) + 0.05


def test_a_draw_has_the_moments_that_the_layer_says() -> None:
    g = torch.Generator().manual_seed(0)
    layer = ProjectedDeformation(torch.randn(4, 3, generator=g), torch.tensor([1.0, 2.0, 0.5]))
    with torch.no_grad():
        layer.mean.copy_(torch.randn(3, 4, 3, generator=g))
        layer.root.add_(0.3 * torch.randn(3, 4, 4, generator=g).tril())
        x = torch.randn(6, 3, generator=g).double()
        mean, variance = layer(x)
        noise = torch.randn(2000, 3, 4, 3, generator=g).double()
        drawn = torch.stack([layer.draw(x, None, each) for each in noise])
        torch.testing.assert_close(layer.draw(x, None, 0 * noise[0]), mean)
    error = 5 * (variance / len(noise)).sqrt()
    assert bool(((drawn.mean(0) - mean).abs() < error).all())
    torch.testing.assert_close(drawn.var(0), variance, rtol=0.2, atol=1e-6)


def test_the_bound_is_below_the_evidence() -> None:
    x, y = rows(7)
    model = ExactThinDeepGP.from_data(x, y, num_inducing=3).eval()
    with torch.no_grad():
        dict(model.named_parameters())["likelihood.log_noise"].fill_(
            -1.0
        )  # next to none would leave the densities no variance
        model.hidden.log_variance.fill_(-1.0)  # bends enough to tell
        model.hidden.root.diagonal(dim1=1, dim2=2).fill_(-1.0)
        standard = (x - model.input_loc) / model.input_scale
        target = (y - model.loc) / model.scale
        g = torch.Generator().manual_seed(0)
        noise = torch.randn(20_000, *model.hidden.mean.shape, generator=g).double()
        size = (0.5 * model.hidden.log_variance).exp()[:, None, None]
        response = model.hidden.responses(standard)

        def log_densities(values: Tensor) -> Tensor:
            matrix = response.mT @ (size * values)
            h = (matrix * standard).sum(-1).mT + standard * model.hidden.inverse_lengthscale()
            k = model.log_amplitude.exp() * base_kernel(h, h, model.kernel)
            k = k + model.noise_variance() * torch.eye(len(x)).double()
            return MultivariateNormal(torch.zeros(len(x)).double(), k).log_prob(target)

        prior = log_densities(noise)  # v ~ N(0, I): the mean of the densities is the evidence
        evidence = prior.logsumexp(0) - torch.tensor(float(len(noise))).log()
        weights = (prior - prior.max()).exp()
        error = weights.std() / weights.mean() / len(noise) ** 0.5
        posterior = log_densities(model.hidden.mean + model.hidden.covariance_root() @ noise)
        bound = posterior.mean() - model.hidden.divergence()
        slack = 3 * (error + posterior.std() / len(noise) ** 0.5)
    assert bound <= evidence + slack
    # And in training mode its objective is an unbiased estimate of that bound.
    model.train()
    with torch.no_grad():
        found = torch.stack([model.objective(whole(x, y)) for _ in range(500)])
    estimate = -len(x) * found.mean() + len(x) * model.scale.log()
    spread = len(x) * found.std() / len(found) ** 0.5 + posterior.std() / len(noise) ** 0.5
    assert (estimate - bound).abs() < 4 * spread


@pytest.mark.parametrize("likelihood", ["gaussian", "student_t"])
def test_a_row_of_weight_two_is_two_rows_and_of_weight_zero_none(likelihood: Any) -> None:
    x, y = rows(12)
    model = ExactThinDeepGP.from_data(x, y, num_inducing=4, likelihood=likelihood).eval()
    weight = torch.ones(12).double()
    weight[3], weight[7] = 2.0, 0.0
    kept = [0, 1, 2, 3, 3, 4, 5, 6, 8, 9, 10, 11]
    with torch.no_grad():
        weighted = model.objective(whole(x, y, weight))
        repeated = model.objective(whole(x[kept], y[kept]))
        torch.testing.assert_close(weighted, repeated, rtol=1e-6, atol=1e-8)
        model.condition(x, y, weight)
        first = model(x).mean
        model.condition(x[kept], y[kept])
        torch.testing.assert_close(model(x).mean, first, rtol=1e-5, atol=1e-6)


def test_gradients_agree_with_finite_differences() -> None:
    x, y = rows(9)
    model = ExactThinDeepGP.from_data(x, y, num_inducing=3, hidden_layers=2).eval()
    with torch.no_grad():
        for layer in model.layers:
            layer.log_variance.fill_(-2.0)
            layer.mean.add_(0.3)
    batch = whole(x, y)
    model.objective(batch).backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        place = int(parameter.grad.abs().argmax())
        flat = parameter.detach().view(-1)
        with torch.no_grad():
            values = []
            for step in (1e-5, -2e-5):
                flat[place] += step
                values.append(float(model.objective(batch)))
            flat[place] += 1e-5
        slope = (values[0] - values[1]) / 2e-5
        assert slope == pytest.approx(float(parameter.grad.view(-1)[place]), rel=1e-3, abs=1e-7), (
            name
        )


def test_student_t_noise_bounds_the_density_and_touches_it() -> None:
    x, y = rows(3)
    start = ExactThinDeepGP.from_data(x, y, likelihood="student_t", num_inducing=1)
    model = straightened(start).eval()
    with torch.no_grad():
        model.log_amplitude.fill_(-20.0)  # f is 0: the density is that of the noise
        batch = whole(x, y)
        bound = -len(x) * model.objective(batch) + model.hidden.divergence()
        noise: Any = model.likelihood
        sigma = (noise.log_noise.exp() + 1e-6).sqrt()
        t = StudentT(noise.degrees_of_freedom(), 0.0, sigma)
        expected = (t.log_prob((y - model.loc) / model.scale) - model.scale.log()).sum()
    assert bound <= expected + 1e-4 * abs(expected)  # f is e^-20, not 0
    torch.testing.assert_close(bound, expected, rtol=1e-5, atol=1e-5)


def test_an_outlier_moves_student_t_noise_less() -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.linspace(0, 1, 40, dtype=torch.float64)[:, None]
    clean = (6 * x[:, 0]).sin()
    y = clean + 0.05 * torch.randn(40, generator=g, dtype=torch.float64)
    y[20] += 4
    errors = []
    for likelihood in ("student_t", "gaussian"):
        model = ExactThinDeepGP.from_data(x, y, likelihood=likelihood)  # type: ignore[arg-type]
        gp.fit(model, (x, y), plan=[Phase(60, rate=0.03)])
        errors.append((model(x).mean - clean).square().mean().item())
    assert errors[0] < 0.5 * errors[1]


def test_bending_predicts_what_varies_at_two_speeds() -> None:
    g = torch.Generator().manual_seed(0)
    x = 2 * torch.rand(160, 1, generator=g, dtype=torch.float64) - 1
    speeds = torch.where(x[:, 0] > 0, 25 * x[:, 0], 2 * x[:, 0])
    y = speeds.sin() + 0.05 * torch.randn(160, generator=g, dtype=torch.float64)
    train, test = (x[:100], y[:100]), (x[100:], y[100:])
    model = ExactThinDeepGP.from_data(*train)
    straight = -model(test[0]).log_prob(test[1]).mean().item()
    gp.fit(model, train, plan=[Phase(200, rate=0.03)])
    assert -model(test[0]).log_prob(test[1]).mean().item() < straight
    metric = model.local_metric(torch.tensor([[-0.7], [0.7]]).double())[:, 0, 0]
    assert metric[1] > 2 * metric[0]


@pytest.mark.parametrize("layers", [1, 3])
def test_joint_predictions_have_the_margins_of_single_ones(layers: int) -> None:
    x, y = rows()
    model = ExactThinDeepGP.from_data(x, y, hidden_layers=layers, num_inducing=4, members=6).eval()
    with torch.no_grad():
        for layer in model.layers:
            layer.log_variance.fill_(-1.0)
    asked, _ = rows(5, seed=2)
    with torch.no_grad():
        joint, single = model.joint(asked, members=6), model(asked)
        torch.testing.assert_close(joint.mean, single.mean)
        torch.testing.assert_close(joint.variance, single.variance)
        torch.testing.assert_close(model.moments(asked).mean, single.mean)
        torch.testing.assert_close(model.moments(asked).variance, single.variance)
        sets = model.joint_functions(torch.stack([asked[:2], asked[2:4]]), members=6)
        alone = model.joint_functions(asked[2:4], members=6)
        torch.testing.assert_close(sets.covariance_matrix[1], alone.covariance_matrix)


def test_the_inverse_of_the_metric_is_the_lengthscale_where_nothing_bends() -> None:
    x, y = rows(30, 3)
    model = straightened(ExactThinDeepGP.from_data(x, y, num_inducing=4))
    expected = (model.hidden.inverse_lengthscale() / model.input_scale).square().diag()
    torch.testing.assert_close(model.local_metric(x[:2]), expected.expand(2, 3, 3))
    field = model.metric_field(x[:2])
    largest = expected.diagonal().max().expand(2)
    torch.testing.assert_close(field.eigenvalues.amax(-1), largest, rtol=1e-6, atol=1e-9)
    assert int(model.relevance().argmax()) == int(model.hidden.inverse_lengthscale().argmax())


@pytest.mark.parametrize("likelihood", ["gaussian", "student_t", "bernoulli"])
def test_it_comes_back_from_a_file(likelihood: Any, tmp_path: Path) -> None:
    x, y = rows(20)
    target = (y > y.mean()).long() if likelihood == "bernoulli" else y
    model = ExactThinDeepGP.from_data(x, target, likelihood=likelihood, hidden_layers=2, members=4)
    gp.fit(model, (x, target), plan=[Phase(5)])
    predictive.save(model, tmp_path / "model.pt")
    again = predictive.load(tmp_path / "model.pt")
    expected, found = model(x[:4]), again(x[:4])
    for name, tensor in predictive.parts(expected.component_distribution).tensors.items():
        torch.testing.assert_close(
            predictive.parts(found.component_distribution).tensors[name], tensor
        )


def test_two_classes_are_told_apart() -> None:
    x, _ = rows(60)
    y = (x[:, 0] > x[:, 1]).long()
    model = ExactThinDeepGP.from_data(x, y, likelihood="bernoulli")
    gp.fit(model, (x, y), plan=[Phase(40, rate=0.03)])
    assert float((predictive.class_probs(model(x)).argmax(1) == y).double().mean()) > 0.9
    with pytest.raises(TypeError, match="class probabilities"):
        model.moments(x)


def test_a_run_goes_on_as_it_would_have(tmp_path: Path) -> None:
    x, y = rows(15)
    models = [ExactThinDeepGP.from_data(x, y, likelihood="student_t", num_inducing=3) for _ in "ab"]
    gp.fit(models[0], (x, y), plan=[Phase(8)])
    gp.fit(models[1], (x, y), plan=[Phase(8)], folder=tmp_path)
    again = ExactThinDeepGP.from_data(x, y, likelihood="student_t", num_inducing=3)
    gp.fit(again, (x, y), plan=[Phase(8)], folder=tmp_path)
    for model in (models[1], again):
        torch.testing.assert_close(model(x).mean, models[0](x).mean)


@pytest.mark.parametrize("kind", ["ExactThinDeepGP", "ExactGP"])
def test_rows_held_out_are_news_to_what_is_scored_by_them(kind: str) -> None:
    x, y = rows(30)
    heard = []
    for shift in (0.0, 1000.0):
        model = getattr(gp, kind).from_data(x, y)
        held = torch.randperm(30, generator=torch.Generator().manual_seed(0))[:9]
        moved = y.index_add(0, held, torch.full((9,), shift).double())
        answers: list[Tensor] = []
        model.register_forward_hook(lambda m, a, p: answers.append(p.mean.detach()))  # noqa: B023
        gp.fit(model, (x, moved), plan=[Phase(1)], held_out=0.3, seed=0)
        heard.append(answers[0])
    torch.testing.assert_close(heard[0], heard[1])


@pytest.mark.parametrize("likelihood", ["gaussian", "student_t"])
def test_it_may_be_fitted_to_other_rows_than_it_knows(likelihood: Any) -> None:
    x, y = rows(30)
    model = ExactThinDeepGP.from_data(x[:20], y[:20], likelihood=likelihood, num_inducing=4)
    gp.fit(model, (x, y), plan=[Phase(3)])
    assert len(model.rows) == 30
    model.condition(x[:5], y[:5])
    gp.fit(model, (x[:12], y[:12]), plan=[Phase(3)])
    assert bool(model(x).mean.isfinite().all())


def test_a_likelihood_that_is_given_is_not_touched() -> None:
    x, y = rows(20)
    given = GaussianNoise(noise=0.3)
    model = ExactThinDeepGP.from_data(x, y, likelihood=given, num_inducing=4)
    assert model.likelihood is not given
    assert given.log_noise.exp().item() == pytest.approx(0.3, rel=1e-4)


def test_a_copy_leaves_what_was_kept_behind_and_answers_alike() -> None:
    x, y = rows(20)
    model = ExactThinDeepGP.from_data(x, y, num_inducing=4)
    with torch.no_grad():
        expected = model(x[:3]).mean
        again = copy.deepcopy(model)
        assert again._kept._found is None
        torch.testing.assert_close(again(x[:3]).mean, expected)


def test_what_it_can_not_do_is_refused_in_words() -> None:
    x, y = rows(30)
    with pytest.raises(ValueError, match="at most 20 rows for the exact process, got 30"):
        ExactThinDeepGP.from_data(x, y, max_rows=20)
    with pytest.raises(ValueError, match=r"one latent function.*HeteroscedasticNoise"):
        ExactThinDeepGP.from_data(x, y, likelihood="heteroscedastic")
    with pytest.raises(ValueError, match=r"`num_inducing`.*30 rows"):
        ExactThinDeepGP.from_data(x, y, num_inducing=31)
    with pytest.raises(ValueError, match="`y` should have shape"):
        ExactThinDeepGP.from_data(x, torch.stack([y, y], 1))
    with pytest.raises(ValueError, match="finite"):
        ExactThinDeepGP.from_data(x, y.index_fill(0, torch.tensor([3]), torch.nan))
    model = ExactThinDeepGP.from_data(x, y, likelihood="student_t", num_inducing=3)
    with pytest.raises(ValueError, match=r"`y`.*finite"):
        model.condition(x, y.index_fill(0, torch.tensor([3]), torch.nan))
    with pytest.raises(ValueError, match="`x`"):
        model.condition(x[:0], y[:0])
    with pytest.raises(TypeError, match="joint_functions"):
        model.draws(2)
    with pytest.raises(TypeError, match="Gaussian noise"):
        model.joint(x[:2])
