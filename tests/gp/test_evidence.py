"""f integrated out: beside the multivariate normal, and beside differentiation of its factor."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import MultivariateNormal

from uncertain.gp import NotPositiveDefiniteError
from uncertain.gp.evidence import kernel_and_slope, log_evidence
from uncertain.gp.kernels import KERNELS, Kernel, base_kernel


def numbers(count: int, seed: int, width: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    h = torch.randn(count, width, generator=g, dtype=torch.float64)
    target = torch.randn(count, generator=g, dtype=torch.float64)
    precision = 0.2 + 5 * torch.rand(count, generator=g, dtype=torch.float64)
    return h, target, precision


def normal(h: Tensor, amplitude: Tensor, precision: Tensor, kernel: Kernel) -> MultivariateNormal:
    covariance = amplitude * base_kernel(h, h, kernel) + (1 / precision).diag()
    return MultivariateNormal(torch.zeros(len(h)).double(), covariance)


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=15, deadline=None)
@given(count=st.integers(1, 12), seed=st.integers(0, 999), amplitude=st.floats(0.01, 50))
def test_it_is_the_density_of_the_normal(
    kernel: Kernel, count: int, seed: int, amplitude: float
) -> None:
    h, target, precision = numbers(count, seed)
    size = torch.tensor(amplitude).double()
    found = log_evidence(h, size, precision, target, kernel=kernel)
    constant = 0.5 * (precision / (2 * torch.pi)).log().sum()
    expected = normal(h, size, precision, kernel).log_prob(target)
    torch.testing.assert_close(found.value + constant, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kernel", KERNELS)
def test_its_gradient_is_that_of_the_normal(kernel: Kernel) -> None:
    h, target, precision = numbers(9, 0)
    leaves = [h, torch.tensor(1.7).double(), precision]
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    log_evidence(leaves[0], leaves[1], leaves[2], target, kernel=kernel).value.backward()
    ours = [leaf.grad for leaf in leaves]
    again = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    constant = 0.5 * (again[2] / (2 * torch.pi)).log().sum()
    (normal(again[0], again[1], again[2], kernel).log_prob(target) - constant).backward()
    for mine, leaf in zip(ours, again, strict=True):
        torch.testing.assert_close(mine, leaf.grad, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kernel", KERNELS)
def test_moments_of_f_are_those_of_the_conditional_normal(kernel: Kernel) -> None:
    h, target, precision = numbers(8, 3)
    found = log_evidence(h, torch.tensor(2.0).double(), precision, target, kernel=kernel)
    prior = 2.0 * base_kernel(h, h, kernel)
    gain = prior @ torch.linalg.inv(prior + (1 / precision).diag())
    torch.testing.assert_close(found.mean, gain @ target)
    torch.testing.assert_close(found.variance, (prior - gain @ prior).diagonal())


def test_a_row_of_precision_zero_is_as_if_it_were_not_there_and_is_predicted() -> None:
    h, target, precision = numbers(7, 5)
    precision[[2, 6]] = 0.0
    one = torch.ones(()).double()
    said = precision > 0
    whole = log_evidence(h, one, precision, target, kernel="matern_5_2")
    part = log_evidence(h[said], one, precision[said], target[said], kernel="matern_5_2")
    torch.testing.assert_close(whole.value, part.value)
    torch.testing.assert_close(whole.variance[said], part.variance)
    cross = base_kernel(h[~said], h[said], "matern_5_2")
    inner = base_kernel(h[said], h[said], "matern_5_2") + (1 / precision[said]).diag()
    torch.testing.assert_close(whole.mean[~said], cross @ torch.linalg.solve(inner, target[said]))
    left = 1 - (cross * torch.linalg.solve(inner, cross.T).T).sum(1)
    torch.testing.assert_close(whole.variance[~said], left)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_slope_is_the_derivative_in_the_squared_distance(kernel: Kernel) -> None:
    square = torch.linspace(0.01, 9, 50).double().requires_grad_()
    apart = torch.stack([torch.zeros_like(square), square.sqrt()])[..., None]  # (2, 50, 1)
    value = base_kernel(apart[0][:, None], apart[1][:, None], kernel)[:, 0, 0]
    (expected,) = torch.autograd.grad(value.sum(), square)
    for place in range(0, 50, 7):
        unit, slope = kernel_and_slope(apart[:, place].detach(), kernel)
        torch.testing.assert_close(unit[0, 1], value[place].detach())
        torch.testing.assert_close(slope[0, 1], expected[place])
        assert unit[0, 0] == 1


def test_a_matrix_without_a_factor_is_named() -> None:
    h, target, precision = numbers(4, 0)
    with pytest.raises(NotPositiveDefiniteError, match="I \\+ K / noise"):
        log_evidence(h, torch.tensor(-9.0).double(), precision, target, kernel="matern_3_2")
