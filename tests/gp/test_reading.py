"""Metrics against draws, finite differences and matrices that are known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from uncertain.gp import Deformation, MetricField, ThinDeepGP
from uncertain.gp.reading import metric_field


def model(seed: int = 0, *, bias: bool = False) -> ThinDeepGP:
    g = torch.Generator().manual_seed(seed)
    x = torch.rand(40, 2, generator=g, dtype=torch.float64) * torch.tensor([1.0, 20.0])
    y = (3 * x[:, 0]).sin() + x[:, 1]
    made = ThinDeepGP.from_data(x, y, num_inducing=10, members=8, bias=bias)
    with torch.no_grad():
        for parameter in made.hidden.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=g, dtype=torch.float64)
    return made


def rows() -> Tensor:
    return torch.tensor([[0.2, 3.0], [0.5, 10.0], [0.9, 19.0]]).double()


def linear(matrix: Tensor) -> ThinDeepGP:
    """A model whose W is ``matrix`` everywhere, without doubt."""
    latent, inputs = matrix.shape
    layer = Deformation(torch.zeros(1, inputs), latent_dim=latent, lengthscale=1e8, jitter=0.0)
    with torch.no_grad():
        layer.mean.copy_(matrix[:, None])
        layer.root.fill_(-40.0)
    return ThinDeepGP(layer, torch.zeros(1, latent), rows=1, members=4)


@pytest.mark.parametrize("bias", [False, True])
def test_the_local_metric_is_that_of_finite_differences(bias: bool) -> None:
    made, x, step = model(bias=bias), rows(), 1e-5
    columns = []
    for d in range(2):
        shift = step * torch.eye(2).double()[d]
        columns.append((made.latent(x + shift).mean - made.latent(x - shift).mean) / (2 * step))
    jacobian = torch.stack(columns, 2)
    torch.testing.assert_close(made.local_metric(x), jacobian.mT @ jacobian, rtol=1e-5, atol=1e-8)


def test_the_metric_field_is_the_mean_over_draws_of_w() -> None:
    made, x = model(), rows()
    with torch.no_grad():
        matrix, variance = made.hidden.matrix((x - made.input_loc) / made.input_scale)
    g = torch.Generator().manual_seed(3)
    draws = torch.randn(20_000, *matrix.shape, generator=g, dtype=torch.float64)
    w = (matrix + variance.sqrt()[..., None] * draws) / made.input_scale
    each = w.mT @ w
    error = each.std(0) / len(each) ** 0.5
    field = made.metric_field(x)
    assert ((field.metric - each.mean(0)).abs() < 5 * error).all()
    eigenvalues = torch.linalg.eigvalsh(each).flip(-1)
    expected = eigenvalues.quantile(torch.tensor([0.05, 0.5, 0.95]).double(), dim=0)
    torch.testing.assert_close(field.quantiles, expected.transpose(0, 1), rtol=0.1, atol=1e-4)


def test_directions_and_eigenvalues_make_up_the_metric() -> None:
    field = model().metric_field(rows())
    values, vectors = field.eigenvalues, field.directions
    torch.testing.assert_close((vectors * values[:, None]) @ vectors.mT, field.metric)
    assert (values.diff(dim=1) <= 0).all()
    torch.testing.assert_close(field.lengthscales, values.rsqrt())


def test_a_constant_matrix_is_its_own_metric_both_ways() -> None:
    w = torch.tensor([[2.0, 0.0], [0.0, 0.5]]).double()
    made = linear(w)
    field = made.metric_field(rows())
    torch.testing.assert_close(field.metric, (w.T @ w).expand(3, 2, 2))
    torch.testing.assert_close(made.local_metric(rows()), (w.T @ w).expand(3, 2, 2))
    torch.testing.assert_close(field.lengthscales, torch.tensor([0.5, 2.0]).double().expand(3, 2))
    assert (field.departure < 1e-6).all()


def test_an_input_that_does_not_matter_has_an_infinite_lengthscale() -> None:
    """Fewer latent dimensions than inputs: the metric is singular, and nothing is inverted."""
    field = linear(torch.tensor([[3.0, 0.0]]).double()).metric_field(rows())
    torch.testing.assert_close(field.lengthscales[:, 0], torch.full((3,), 1 / 3).double())
    assert (field.lengthscales[:, 1] == torch.inf).all()
    assert not field.quantiles[:, :, 1].any()


def test_metrics_are_in_units_of_the_inputs() -> None:
    """Inputs in other units bend the same way: lengthscales are in those units, too."""
    g = torch.Generator().manual_seed(0)
    x = torch.rand(30, 2, generator=g, dtype=torch.float64)
    y = (3 * x[:, 0]).sin()
    unit = torch.tensor([100.0, 0.01]).double()
    one = ThinDeepGP.from_data(x, y, num_inducing=8, members=4)
    other = ThinDeepGP.from_data(x * unit, y, num_inducing=8, members=4)
    scale = unit.outer(unit)
    at = x[:4]
    torch.testing.assert_close(other.local_metric(at * unit) * scale, one.local_metric(at))
    torch.testing.assert_close(
        other.metric_field(at * unit).metric * scale, one.metric_field(at).metric
    )
    torch.testing.assert_close(other.relevance(x * unit), one.relevance(x))


def test_relevance_is_the_mean_square_of_a_row_and_nearly_0_once_pruned() -> None:
    w = torch.tensor([[2.0, 0.0], [0.0, 0.5]]).double()
    torch.testing.assert_close(linear(w).relevance(rows()), torch.tensor([4.0, 0.25]).double())
    made = model()
    with torch.no_grad():
        made.hidden.log_variance[1] = -40.0
    found = made.relevance()
    assert found[1] < 1e-9 < found[0]


def test_the_bias_share_is_that_of_variances_over_rows_and_draws() -> None:
    made = model(bias=True)
    x = torch.rand(50, 2, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 20.0])
    inputs = ((x - made.input_loc) / made.input_scale).detach()
    with torch.no_grad():
        matrix, variance = made.hidden.matrix(inputs)
        offset = made.hidden.offset(inputs)
    g = torch.Generator().manual_seed(2)
    draws = torch.randn(4000, *matrix.shape[:2], 3, generator=g, dtype=torch.float64)
    spread = variance.sqrt()
    carried = (offset + spread * draws[..., 2]).var((0, 1)).sum()
    w = matrix + spread[..., None] * draws[..., :2]
    own = torch.einsum("snqd,nd->snq", w, inputs).var((0, 1)).sum()
    share = made.bias_share(x)
    torch.testing.assert_close(share, carried / (carried + own), rtol=0.02, atol=0)
    torch.testing.assert_close(
        made.relevance(x).sum(), w.square().sum((2, 3)).mean() + carried, rtol=0.02, atol=0
    )


def test_a_bias_that_is_constant_carries_nothing() -> None:
    layer = Deformation(torch.zeros(1, 2), latent_dim=1, lengthscale=1e8, jitter=0.0, bias=True)
    with torch.no_grad():
        layer.mean.copy_(torch.tensor([2.0, 0.0, 7.0]))
        layer.root.fill_(-40.0)
    made = ThinDeepGP(layer, torch.zeros(1, 1), rows=1, members=4)
    torch.testing.assert_close(made.latent(rows()).mean, 2 * rows()[:, :1] + 7)
    torch.testing.assert_close(made.relevance(rows()), torch.tensor([4.0]).double())
    assert made.bias_share(rows()) < 1e-12
    assert made.metric_field(rows()).metric.shape == (3, 2, 2)
    assert not model().bias_share()


def test_no_rows_and_inference_mode_are_no_trouble() -> None:
    made = model()
    none = made.metric_field(rows()[:0])
    assert (none.metric.shape, none.quantiles.shape) == ((0, 2, 2), (0, 3, 2))
    assert made.local_metric(rows()[:0]).shape == (0, 2, 2)
    assert made(rows()[:0]).batch_shape == made.moments(rows()[:0]).batch_shape == (0,)
    expected = made.local_metric(rows())
    with torch.inference_mode():
        assert torch.equal(made.local_metric(rows()), expected)
        assert made.metric_field(rows()).departure.isfinite().all()


def test_a_field_of_nothing_is_empty_of_scale() -> None:
    """All of W at zero: no direction has a finite lengthscale, and nothing is NaN."""
    zero = torch.zeros(2, 1, 2).double()
    field = metric_field(
        zero[:, None],
        torch.zeros(2, 1, 1).double(),
        scale=torch.ones(2).double(),
        jacobian=zero,
        levels=(0.5,),
    )
    assert isinstance(field, MetricField)
    assert (field.lengthscales == torch.inf).all()
    assert not field.departure.any()
