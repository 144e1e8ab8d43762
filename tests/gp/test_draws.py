"""Functions drawn from a model, and its joint prediction, say the same as its marginals do."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import MixtureSameFamily

from uncertain.gp import ThinDeepGP


def data(count: int = 30) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    x = torch.rand(count, 2, generator=g, dtype=torch.float64) * 2 - 1
    y = (4 * x[:, 0].square()).sin() + 0.1 * torch.randn(count, generator=g, dtype=torch.float64)
    return x, 50 + 10 * y


def moved(**settings: Any) -> ThinDeepGP:
    x, y = data()
    y = settings.pop("of", lambda t: t)(y)
    model = ThinDeepGP.from_data(x, y, num_inducing=8, members=256, **settings)
    g = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=g, dtype=torch.float64)
    model.condition(x, y)
    return model


def moments_of(dist: MixtureSameFamily) -> tuple[Tensor, Tensor]:
    members = dist.component_distribution
    means: Tensor = members.mean
    covariance: Tensor = members.covariance_matrix.mean(0)  # type: ignore[attr-defined]
    return means.mean(0), covariance + means.T.cov(correction=0)


@pytest.mark.parametrize(
    ("layers", "bias", "learned"), [(1, True, False), (2, False, True), (2, True, False)]
)
def test_joint_and_drawn_functions_agree_with_each_other_and_with_the_marginals(
    layers: int, bias: bool, learned: bool
) -> None:
    model = moved(hidden_layers=layers, bias=bias, learned_mean=learned)
    x = data()[0][:4] + 0.3
    with torch.no_grad():
        mean, covariance = moments_of(model.joint(x, members=512))
        marginal = model.moments(x)
        spread = marginal.stddev
        noise = float(model.noise_variance()) * float(model.scale) ** 2
    assert float(((mean - marginal.mean) / spread).abs().max()) < 0.06
    torch.testing.assert_close(covariance.diagonal(), spread.square(), rtol=0.1, atol=0)
    count = 2000
    drawn = model.draws(count, features=64, seed=1)
    values = drawn(x)
    error = 5 * spread / count**0.5
    assert ((values.mean(0) - mean).abs() < error + 0.06 * spread).all()
    scale = (covariance.diagonal() - noise).sqrt()
    correlations = (values.T.cov() - covariance + noise * torch.eye(4)) / scale.outer(scale)
    assert float(correlations.abs().max()) < 0.15


@pytest.mark.parametrize("kernel", ["squared_exponential", "matern_3_2"])
def test_a_drawn_function_is_one_function(kernel: str) -> None:
    model = moved(hidden_layers=2, kernel=kernel)
    x = data()[0][:6]
    drawn, again, other = (model.draws(3, features=64, seed=s) for s in (1, 1, 2))
    torch.testing.assert_close(drawn(x[:2]), drawn(x)[:, :2])
    assert torch.equal(drawn(x), again(x))
    assert not torch.allclose(drawn(x), other(x))
    # Smooth: what a marginal draw at each row by itself is not.
    near = drawn(x + 1e-6) - drawn(x)
    assert float(near.abs().max()) < 1e-2
    assert drawn(x.float()).dtype == torch.float32


def test_draws_and_joint_have_the_shape_of_the_target() -> None:
    x = data()[0][:5]
    pair = moved(of=lambda y: torch.stack([y, -y], 1))
    assert pair.draws(3, features=16)(x).shape == (3, 5, 2)
    joint = pair.joint(x, members=4)
    assert (joint.batch_shape, joint.event_shape) == ((), (2, 5))
    assert joint.log_prob(pair.moments(x).mean.T).isfinite()
    classes = moved(of=lambda y: (y > 50).long() + (y > 54).long(), likelihood="softmax")
    assert classes.draws(3, features=16)(x).shape == (3, 5, 3)
    noisy = moved(likelihood="heteroscedastic")
    assert noisy.draws(3, features=16)(x).shape == (3, 5)
    with pytest.raises(TypeError, match=r"`joint` should be asked of a model with Gaussian noise"):
        classes.joint(x)
    with pytest.raises(ValueError, match=r"`count` should lie in"):
        pair.draws(0)
    with pytest.raises(ValueError, match=r"`members` should lie in"):
        pair.joint(x, members=0)
    with pytest.raises(ValueError, match=r"`x` should have at least one row"):
        pair.joint(x[:0])


@pytest.mark.parametrize(
    ("layers", "bias", "kernel"), [(1, True, "squared_exponential"), (2, False, "matern_5_2")]
)
def test_every_draw_has_its_own_metric(layers: int, bias: bool, kernel: str) -> None:
    model = moved(hidden_layers=layers, bias=bias, kernel=kernel)
    x = data()[0][:5]
    drawn = model.draws(3, features=32, seed=1)
    step = 1e-5
    moves = [step * direction for direction in torch.eye(2, dtype=torch.float64)]
    slopes = [(drawn.latent(x + move) - drawn.latent(x - move)) / (2 * step) for move in moves]
    jacobian = torch.stack(slopes, -1)
    torch.testing.assert_close(drawn.local_metric(x), jacobian.mT @ jacobian, rtol=1e-5, atol=1e-6)
    assert drawn.local_metric(x).shape == (3, 5, 2, 2)


@pytest.mark.slow
def test_a_metric_sets_off_no_warnings_of_torch() -> None:
    # In a process of its own: torch warns once, where it loads what forward mode needs.
    script = """
import torch, warnings
from uncertain.gp import ThinDeepGP
x = torch.rand(9, 1).double()
drawn = ThinDeepGP.from_data(x, x[:, 0].sin(), inducing_points=x[:3]).draws(2, features=4)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    drawn.local_metric(x)
print([str(each.message) for each in told])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_the_metrics_of_draws_spread_as_the_posterior_of_the_matrix_does_between_inducing_points() -> (
    None
):
    model = moved()
    far = torch.full((1, 2), 30.0, dtype=torch.float64)  # where nothing is known of W
    found = model.draws(2000, features=64, seed=1).local_metric(far)[:, 0]
    layer = model.hidden
    with torch.no_grad():
        row = (far - model.input_loc) / model.input_scale
        # J_e = W_e + sum_d x_d dW_d / dx_e, whose parts are independent in the prior.
        slope = (row.square().sum() / layer.log_lengthscale.exp().square() + 1).sum(1)
        expected = (layer.log_variance.exp() * slope).sum()
    scaled = found * model.input_scale[:, None] * model.input_scale
    trace = scaled.diagonal(dim1=1, dim2=2).sum(1)
    assert float(trace.mean()) == pytest.approx(float(expected), rel=0.1)
