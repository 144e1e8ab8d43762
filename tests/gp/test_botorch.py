"""Processes as BoTorch's models: the same posterior, averaged, with gradients that reach the points."""

from __future__ import annotations

import importlib.util
import sys

import pytest
import torch
from gpytorch.settings import max_eager_kernel_size
from linear_operator import settings
from torch import Tensor, nn

from tests.gp.test_sampling import drawn
from uncertain import gp
from uncertain.gp import botorch as module

needs_botorch = pytest.mark.skipif(
    importlib.util.find_spec("botorch") is None, reason="BoTorch is not installed"
)


@pytest.fixture(autouse=True)
def settings_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """BoTorch sets some of GPyTorch's settings where it is imported, for whatever runs after it."""
    for setting in (settings.cholesky_max_tries, settings.max_cholesky_size, max_eager_kernel_size):
        monkeypatch.setattr(setting, "_global_value", setting._global_value)


def data(rows: int = 25, seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(rows, 2, generator=g, dtype=torch.float64)
    noise = 0.01 * torch.randn(rows, generator=g, dtype=torch.float64)
    return x, 5 - 10 * (x - 0.3).square().sum(1) + noise


def build(name: str) -> nn.Module:
    x, y = data()
    if name == "thin_deep":
        return gp.ThinDeepGP.from_data(x, y, num_inducing=10, latent_dim=2)
    if name == "two_layers":
        return gp.ThinDeepGP.from_data(x, y, num_inducing=10, hidden_layers=2)
    return gp.ExactGP.from_data(x, y) if name == "exact" else drawn(x, y)


MODELS = ("thin_deep", "two_layers", "exact", "sampled")


@pytest.mark.parametrize("name", MODELS)
def test_sets_of_rows_are_each_what_they_are_alone(name: str) -> None:
    model = build(name).eval()
    sets = torch.rand(2, 3, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    whole = model.joint_functions(sets)  # type: ignore[operator]
    alone = model.joint_functions(sets[1, 2])  # type: ignore[operator]
    assert whole.batch_shape == (2, 3, *alone.batch_shape)
    torch.testing.assert_close(whole.loc[1, 2], alone.loc, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(
        whole.covariance_matrix[1, 2], alone.covariance_matrix, rtol=1e-7, atol=1e-8
    )


@pytest.mark.parametrize("name", ["exact", "sampled"])
def test_functions_at_one_row_have_the_moments_of_the_prediction(name: str) -> None:
    model = build(name).eval()
    x = data(5, seed=2)[0]
    each = model.joint_functions(x[:, None])  # type: ignore[operator]
    mean, variance = each.mean[..., 0], each.variance[..., 0] + model.noise_variances()  # type: ignore[operator]
    prediction = model(x)
    one = getattr(prediction, "component_distribution", prediction)
    torch.testing.assert_close(mean.squeeze(-1), one.mean, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(variance.squeeze(-1), one.variance, rtol=1e-2, atol=1e-3)


@needs_botorch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODELS)
def test_a_posterior_has_the_shapes_and_moments_that_botorch_expects(name: str) -> None:
    process = build(name)
    model = gp.to_botorch(process)
    x = torch.rand(3, 2, 2, dtype=torch.float64, requires_grad=True)
    posterior = model.posterior(x)
    members = posterior.mean.shape[1]
    assert posterior.mean.shape == posterior.variance.shape == (3, members, 2, 1)
    assert posterior.mixture_mean.shape == (3, 2, 1)
    draws = posterior.rsample(torch.Size([4]))
    assert draws.shape == (4, 3, members, 2, 1)
    assert torch.autograd.grad(draws.sum(), x)[0].abs().min() > 0
    wide = model.posterior(x, observation_noise=True).variance
    added = (wide - posterior.variance)[..., 0]
    noise = process.noise_variances()[..., None].expand_as(added)  # type: ignore[operator]
    torch.testing.assert_close(added, noise, rtol=1e-6, atol=1e-9)


@needs_botorch
@pytest.mark.filterwarnings("ignore")
def test_expected_improvement_finds_the_top_of_a_hill() -> None:
    from botorch.acquisition import qLogExpectedImprovement
    from botorch.optim import optimize_acqf

    x, y = data()
    process = gp.ThinDeepGP.from_data(x, y, num_inducing=15)
    gp.fit(process, (x, y), plan=[gp.Phase(150, rate=0.03)])
    acquisition = qLogExpectedImprovement(gp.to_botorch(process, members=8), best_f=y.max())
    bounds = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    torch.manual_seed(0)
    found, value = optimize_acqf(
        acquisition, bounds, q=2, num_restarts=2, raw_samples=16, options={"maxiter": 15}
    )
    assert found.shape == (2, 2)
    assert value.isfinite()
    assert (found - 0.3).abs().max(1).values.min() < 0.15  # The hill's top is at (.3, .3).


def test_models_without_joint_predictions_are_refused() -> None:
    with pytest.raises(TypeError, match=r"`model` should predict functions jointly .*got Linear"):
        gp.to_botorch(nn.Linear(1, 1))


@needs_botorch
def test_a_model_of_classes_is_refused_by_the_name_of_what_was_asked() -> None:
    x, y = data()
    model = gp.ThinDeepGP.from_data(x, (y > 4).long(), likelihood="bernoulli", num_inducing=5)
    with pytest.raises(TypeError, match=r"`to_botorch` .* Gaussian noise .*LayeredThinDeepGP with"):
        gp.to_botorch(model)


@needs_botorch
def test_a_model_with_its_own_members_keeps_them() -> None:
    with pytest.raises(ValueError, match=r"`members` should be left out for a ExactGP, got 3"):
        gp.to_botorch(build("exact"), members=3)


def test_without_botorch_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    module._model_class.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "botorch"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "botorch", None)
    try:
        with pytest.raises(ModuleNotFoundError, match=r"uncertain-torch\[botorch\]"):
            gp.to_botorch(build("exact"))
    finally:
        module._model_class.cache_clear()
