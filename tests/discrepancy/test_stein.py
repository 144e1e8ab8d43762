"""Kernel Stein discrepancies beside quadrature of their definition by automatic differentiation."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from tests.discrepancy.test_gaussians import gaussians
from uncertain.discrepancy import gaussian_stein_squared, stein_squared


def definition(
    kernel: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor, sx: Tensor, sy: Tensor
) -> Tensor:
    """u(x, y) for one pair, every derivative by automatic differentiation."""
    by_x = torch.func.grad(kernel, 0)(x, y)
    by_y = torch.func.grad(kernel, 1)(x, y)
    mixed = torch.func.jacfwd(torch.func.grad(kernel, 0), 1)(x, y)
    return kernel(x, y) * (sx @ sy) + sx @ by_y + sy @ by_x + mixed.trace()


@pytest.mark.parametrize("exponent", [-0.5, -0.3])
def test_the_particles_form_is_the_definition(exponent: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    scores = torch.randn(5, 3, generator=generator, dtype=torch.float64)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (0.7**2 + (a - b).square().sum()).pow(exponent)

    values = torch.stack(
        [
            torch.stack([definition(kernel, x[i], x[j], scores[i], scores[j]) for j in range(5)])
            for i in range(5)
        ]
    )
    settings = {"scale": 0.7, "exponent": exponent}
    torch.testing.assert_close(stein_squared(x, scores, statistic="v", **settings), values.mean())
    off = (values.sum() - values.trace()) / 20
    torch.testing.assert_close(stein_squared(x, scores, **settings), off)


@pytest.mark.parametrize("form", ["diagonal", "matrix"])
def test_the_closed_form_is_the_mean_of_the_definition(form: str) -> None:
    (ma, sa), (mb, sb) = gaussians(1, 2, 0), gaussians(1, 2, 1)
    if form == "diagonal":
        sa, sb = (torch.diag_embed(s.diagonal(dim1=-2, dim2=-1)) for s in (sa, sb))
    given = [s.diagonal(dim1=-2, dim2=-1) if form == "diagonal" else s for s in (sa, sb)]
    ours = gaussian_stein_squared(ma, given[0], mb, given[1], bandwidth=0.9)[0]
    torch.manual_seed(0)
    x, y = MultivariateNormal(ma[0], sa[0]).sample((2, 40_000))
    precision = torch.linalg.inv(sb[0])
    sx, sy = -(x - mb[0]) @ precision, -(y - mb[0]) @ precision

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (-(a - b).square().sum() / (2 * 0.9**2)).exp()

    values = torch.func.vmap(lambda *pair: definition(kernel, *pair))(x, y, sx, sy)
    error = values.std() / len(values) ** 0.5
    assert abs(values.mean() - ours) < 4 * error
    assert error < 0.1 * ours


@pytest.mark.parametrize("d", [1, 2, 5])
def test_forms_agree_and_equality_is_zero(d: int) -> None:
    (ma, sa), (mb, sb) = gaussians(4, d, 2), gaussians(3, d, 3)
    diagonal_a, diagonal_b = (s.diagonal(dim1=-2, dim2=-1) for s in (sa, sb))
    full_a, full_b = torch.diag_embed(diagonal_a), torch.diag_embed(diagonal_b)
    quick = gaussian_stein_squared(ma[:, None], diagonal_a[:, None], mb, diagonal_b)
    for a, b in ((full_a, full_b), (full_a, diagonal_b), (diagonal_a, full_b)):
        torch.testing.assert_close(gaussian_stein_squared(ma[:, None], a[:, None], mb, b), quick)
    assert (gaussian_stein_squared(ma, sa, ma, sa).abs() < 1e-10).all()
    assert (gaussian_stein_squared(ma, diagonal_a, ma, diagonal_a).abs() < 1e-10).all()


@pytest.mark.parametrize("bandwidth", [0.3, 1.0, 5.0])
def test_a_shift_in_mean_or_covariance_is_seen(bandwidth: float) -> None:
    mean, cov = gaussians(1, 3, 4)
    settings = {"bandwidth": bandwidth}
    assert gaussian_stein_squared(mean + 0.1, cov, mean, cov, **settings) > 1e-6
    assert gaussian_stein_squared(mean, 1.1 * cov, mean, cov, **settings) > 1e-6
    assert gaussian_stein_squared(mean, cov / 1.1, mean, cov, **settings) > 1e-6


def test_the_sample_form_is_unbiased_and_has_a_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4000, 8, 2, generator=generator, dtype=torch.float64)
    values = stein_squared(x, -x)
    assert abs(values.mean()) < 4 * values.std() / len(values) ** 0.5
    shifted = stein_squared(x + 0.5, -(x + 0.5))
    assert shifted.mean() > 10 * shifted.std() / len(values) ** 0.5
    some = x[:2].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: stein_squared(x, -x), [some])
    assert torch.autograd.gradcheck(
        lambda m, s: gaussian_stein_squared(m, s @ s.mT + torch.eye(3).double(), 0 * m, 1 + 0 * m),
        [x.double().requires_grad_() for x in gaussians(2, 3, 5)],
    )


@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_told() -> None:
    x, zero, one = torch.zeros(4, 2), torch.zeros(2), torch.ones(2)
    with pytest.raises(ValueError, match=r"`scores` should have shape \(4, 2\)"):
        stein_squared(x, x[:3])
    with pytest.raises(ValueError, match=r"`x` should have shape \(M, D\)"):
        stein_squared(zero, zero)
    with pytest.raises(ValueError, match="`x` should have at least 2 points, got 1"):
        stein_squared(x[:1], x[:1])
    with pytest.raises(ValueError, match="`scale` should lie in"):
        stein_squared(x, x, scale=0.0)
    with pytest.raises(ValueError, match="`exponent` should lie in"):
        stein_squared(x, x, exponent=-1.0)
    with pytest.raises(ValueError, match="`statistic` should be one of u, v"):
        stein_squared(x, x, statistic="w")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`x` should be finite"):
        stein_squared(x * torch.nan, x)
    with pytest.raises(ValueError, match="`bandwidth` should lie in"):
        gaussian_stein_squared(zero, one, zero, one, bandwidth=0.0)
    with pytest.raises(ValueError, match="as many dimensions as each other"):
        gaussian_stein_squared(zero, one, torch.zeros(3), torch.ones(3))
    with pytest.raises(ValueError, match=r"`cov_b` should lie in \(0.*density"):
        gaussian_stein_squared(zero, one, zero, 0 * one)
    with pytest.raises(ValueError, match=r"`cov_b` should be positive definite.*density"):
        gaussian_stein_squared(zero, one, zero, torch.zeros(2, 2))
    with pytest.raises(ValueError, match="`mean_a` should be finite"):
        gaussian_stein_squared(zero * torch.nan, one, zero, one)
    eye, indefinite = torch.eye(2), torch.diag(torch.tensor([1.0, -0.5]))
    for bad in (-0.1 * eye, -10 * eye, indefinite, torch.stack([eye, -eye])):
        mean = torch.zeros(bad.shape[:-1])
        for target in (torch.ones_like(mean), eye.expand_as(bad)):
            with pytest.raises(ValueError, match="`cov_a` should be positive semi-definite, got"):
                gaussian_stein_squared(mean, bad, mean, target)
    with pytest.raises(ValueError, match=r"`cov_a` should lie in \[0, inf\], got -1"):
        gaussian_stein_squared(zero, -one, zero, one)
    with pytest.raises(ValueError, match=r"`cov_b` should lie in \(0.*density"):
        gaussian_stein_squared(zero, eye, zero, -one)
    with pytest.raises(ValueError, match=r"`bandwidth` should lie in \(0, inf\)"):
        gaussian_stein_squared(zero, one, zero, one, bandwidth=torch.inf)
    with pytest.raises(
        ValueError, match=r"`bandwidth` should have shape \(\), got \(2,\): one for"
    ):
        gaussian_stein_squared(zero, one, zero, one, bandwidth=one)
    rays = 10 * torch.randn(20, 3, 1, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=r"`bandwidth` should be wide enough .* of 20 matrices"):
        gaussian_stein_squared(
            torch.zeros(20, 3), rays @ rays.mT, torch.zeros(3), torch.ones(3), bandwidth=1e-6
        )
    with pytest.raises(TypeError, match=r"`scores` should be a floating tensor, got torch\.int64"):
        stein_squared(x, x.long())


def test_a_singular_covariance_is_the_limit_of_regular_ones() -> None:
    zero, eye = torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
    thin = torch.ones(2, 2, dtype=torch.float64)
    ours = gaussian_stein_squared(zero, thin, zero, eye)
    torch.testing.assert_close(ours, gaussian_stein_squared(zero, thin + 1e-10 * eye, zero, eye))


@pytest.mark.parametrize("form", ["diagonal", "matrix"])
def test_the_bandwidth_has_a_gradient(form: str) -> None:
    (ma, sa), (mb, sb) = gaussians(3, 2, 0), gaussians(3, 2, 1)
    if form == "diagonal":
        sa, sb = (s.diagonal(dim1=-2, dim2=-1) for s in (sa, sb))
    width = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    ours = gaussian_stein_squared(ma, sa, mb, sb, bandwidth=width)
    torch.testing.assert_close(ours, gaussian_stein_squared(ma, sa, mb, sb, bandwidth=0.7))
    assert torch.autograd.gradcheck(
        lambda width: gaussian_stein_squared(ma, sa, mb, sb, bandwidth=width), [width]
    )


def test_an_overflow_is_told() -> None:
    x, mean, one, eye = torch.randn(5, 2), torch.zeros(2), torch.ones(2), torch.eye(2)
    message = "should be finite, got an overflow of torch.float32 in .*: rescale"
    for statistic in ("u", "v"):
        with pytest.raises(ValueError, match=message):
            stein_squared(1e20 * x, -1e20 * x, statistic=statistic)
    for cov in (one, eye):
        with pytest.raises(ValueError, match=message):
            gaussian_stein_squared(mean + 1e20, cov, mean, cov)
        with pytest.raises(ValueError, match=message):
            gaussian_stein_squared(mean, cov, mean, cov, bandwidth=1e25)
        with pytest.raises(ValueError, match=message):
            gaussian_stein_squared(mean, 3e38 * cov, mean, cov)
