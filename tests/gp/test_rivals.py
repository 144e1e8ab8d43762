"""Sparse, deep-kernel, non-stationary and compositional processes: each where it is another one."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.gp.test_exact import rows, whole
from uncertain import gp
from uncertain.gp.nonstationary import gibbs
from uncertain.gp.scaling import Scaling

MODELS = ["ExactGP", "SparseGP", "DeepKernelGP", "NonstationaryGP", "CompositionalDeepGP"]
INDUCING = MODELS[1:]


def naive_gibbs(a: Tensor, b: Tensor, length_a: Tensor, length_b: Tensor) -> Tensor:
    value = torch.empty(len(a), len(b)).double()
    for i in range(len(a)):
        for j in range(len(b)):
            first, second = length_a[i].square().diag(), length_b[j].square().diag()
            middle = (first + second) / 2
            front = (first.det() ** 0.25) * (second.det() ** 0.25) / middle.det().sqrt()
            apart = a[i] - b[j]
            value[i, j] = front * (-0.5 * apart @ middle.inverse() @ apart).exp()
    return value


def test_the_gibbs_kernel_is_its_formula_and_has_a_factor() -> None:
    g = torch.Generator().manual_seed(0)
    a, fields = (torch.randn(8, 3, generator=g).double() for _ in range(2))
    found = gibbs(a, a[:5], fields, fields[:5])
    expected = naive_gibbs(a, a[:5], fields.exp(), fields[:5].exp())
    torch.testing.assert_close(found, expected)
    assert torch.linalg.eigvalsh(gibbs(a, a, fields, fields)).min() > 0
    assert gibbs(a, a, 300 * fields, fields).isfinite().all()


def test_with_every_row_as_inducing_point_the_sparse_process_is_the_exact_one() -> None:
    x, y = rows()
    exact = gp.ExactGP.from_data(x, y, noise=0.3)
    sparse = gp.SparseGP.from_data(x, y, inducing_points=x, noise=0.3)
    sparse.jitter = 1e-10
    torch.testing.assert_close(
        sparse.train().objective(whole(x, y)), exact.objective(whole(x, y)), rtol=1e-7, atol=0
    )
    sparse.condition(x, y)
    asked, _ = rows(6, seed=1)
    torch.testing.assert_close(sparse(asked).mean, exact(asked).mean, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        sparse(asked).latent_scale, exact(asked).latent_scale, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("kind", ["SparseGP", "DeepKernelGP"])
def test_the_uncollapsed_bound_at_the_best_posterior_is_the_collapsed_one(kind: str) -> None:
    x, y = rows(40)
    model = getattr(gp, kind).from_data(x, y, num_inducing=7)
    uncollapsed = model.eval().objective(whole(x, y))
    torch.testing.assert_close(uncollapsed, model.train().objective(whole(x, y)), rtol=1e-9, atol=0)


def test_certain_and_constant_fields_make_it_stationary() -> None:
    x, y = rows()
    made = gp.NonstationaryGP.from_data(x, y, inducing_points=x[:9], members=3)
    with torch.no_grad():
        made.field_root.diagonal(dim1=1, dim2=2).fill_(-40.0)
        made.field_root.tril_(0)
    made.condition(x, y)
    sparse = gp.SparseGP.from_data(x, y, inducing_points=x[:9], kernel="squared_exponential")
    asked, _ = rows(6, seed=1)
    torch.testing.assert_close(made(asked).mean, sparse(asked).mean, rtol=1e-7, atol=1e-7)
    whole_bound = made.objective(whole(x, y)) - made.prior_divergence() / len(x)
    torch.testing.assert_close(whole_bound, sparse.eval().objective(whole(x, y)), rtol=1e-7, atol=0)
    lengthscales = made.lengthscales(asked) / made.scaling.input_scale
    torch.testing.assert_close(lengthscales, torch.full((3, 6, 2), 2**0.5).double())


def test_the_fields_of_a_function_that_changes_pace_follow_it() -> None:
    x = torch.linspace(0, 1, 120).double()[:, None]
    y = torch.where(x > 0.5, (60 * x).sin(), (60 * x).sin() * 0 + x)[:, 0]
    model = gp.NonstationaryGP.from_data(x, y, num_inducing=30, members=8)
    torch.manual_seed(1)  # its draws are of the global generator, and one in sixteen misses
    adam = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(100):
        adam.zero_grad()
        model.train().objective(whole(x, y)).backward()
        adam.step()
    slow, fast = model.lengthscales(torch.tensor([[0.2], [0.8]]).double()).median(0).values
    assert slow > 2 * fast


def test_each_hidden_unit_has_a_mean_of_its_own_and_small_variances_at_the_start() -> None:
    x, y = rows(60, inputs=3)
    model = gp.CompositionalDeepGP.from_data(x, y, hidden_layers=2, num_inducing=9, members=8)
    for layer in model.hidden:
        weights = layer.mean_module.weights[:, :, 0]
        torch.testing.assert_close(weights, torch.eye(3).double())
    sparse = gp.SparseGP.from_data(x, y, num_inducing=9, kernel="squared_exponential")
    spread = model(x).component_distribution.loc.std(1)
    assert (spread < 0.2 * y.std()).all()
    with torch.no_grad():
        for layer in model.hidden:
            layer.covar_module.outputscale = 1e-10
    gap = model(x).mean - sparse(x).mean
    assert gap.abs().max() < 0.02 * y.std()


def test_a_step_later_gpytorch_does_not_answer_with_what_it_kept() -> None:
    x, y = rows(40)
    model = gp.CompositionalDeepGP.from_data(x, y, num_inducing=9, members=4)
    model.train().objective(whole(x, y)).backward()
    with torch.no_grad():
        model.last.covar_module.base_kernel.raw_lengthscale.add_(1.0)
        found = model.eval()(x[:3]).mean
        again = gp.CompositionalDeepGP(**model.constructor_arguments())
        again.load_state_dict(model.state_dict())
        assert torch.equal(again.eval()(x[:3]).mean, found)


def test_features_start_with_unit_spread() -> None:
    x, y = rows(50)
    model = gp.DeepKernelGP.from_data(x, y, num_inducing=9)
    features = model.network(model.scaling.inputs(x))
    torch.testing.assert_close(features.std(0, unbiased=False), torch.ones(2).double())
    torch.testing.assert_close(features.mean(0), torch.zeros(2).double(), rtol=0, atol=1e-12)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("kind", MODELS)
def test_bad_rows_are_refused(kind: str) -> None:
    build: Any = getattr(gp, kind).from_data
    x, y = rows()
    with pytest.raises(TypeError, match=r"`x` should be a floating tensor"):
        build(torch.arange(10).reshape(5, 2), y[:5])
    with pytest.raises(ValueError, match=r"`x` should be finite"):
        build(torch.where(torch.arange(25)[:, None] == 3, torch.nan, x), y)
    with pytest.raises(ValueError, match=r"`y` should have shape"):
        build(x, y[:-1])


@pytest.mark.parametrize("kind", INDUCING)
def test_inducing_points_are_given_once_and_no_more_than_rows(kind: str) -> None:
    build: Any = getattr(gp, kind).from_data
    x, y = rows()
    with pytest.raises(ValueError, match=r"`num_inducing`.*there are 25 rows"):
        build(x, y, num_inducing=26)
    with pytest.raises(ValueError, match=r"left out where `inducing_points` are given"):
        build(x, y, num_inducing=5, inducing_points=x[:5])


@pytest.mark.usefixtures("unchecked")
def test_numbers_out_of_range_are_refused() -> None:
    x, y = rows()
    with pytest.raises(ValueError, match="`noise`"):
        gp.ExactGP.from_data(x, y, noise=0.0)
    with pytest.raises(ValueError, match="`kernel`"):
        gp.ExactGP.from_data(x, y, kernel="linear")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`weight` should"):
        gp.ExactGP.from_data(x, y).condition(x, y, torch.ones(3))
    with pytest.raises(ValueError, match="`input_scale`"):
        Scaling(torch.zeros(2), torch.zeros(2), 0.0, 1.0)
    model = gp.SparseGP.from_data(x, y, inducing_points=x[:1].repeat(5, 1))
    model.jitter = -1.0
    with pytest.raises(gp.NotPositiveDefiniteError, match=r"K_ZZ.*raise `jitter`"):
        model(x)
