"""Gaussian distances beside POT, scipy's matrix root and the axioms of a metric."""

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from uncertain.discrepancy import (
    FixedGaussians,
    gaussian_wasserstein2_parts,
    gaussian_wasserstein2_squared,
)

ot_gaussian = pytest.importorskip("ot.gaussian")
SIZES = [1, 2, 3, 8, 16]


def gaussians(
    n: int, d: int, seed: int, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(n, d, generator=generator, dtype=torch.float64)
    root = torch.randn(n, d, d, generator=generator, dtype=torch.float64)
    cov = root @ root.mT / d + 0.1 * torch.eye(d, dtype=torch.float64)
    return mean.to(dtype), cov.to(dtype)


def reference(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> float:
    """One pair, by scipy's square root of a matrix that need not be symmetric."""
    root = scipy.linalg.sqrtm(cov_a.double().numpy() @ cov_b.double().numpy())
    location = (mean_a - mean_b).double().square().sum()
    return float(location + cov_a.double().trace() + cov_b.double().trace()) - 2 * float(
        np.trace(root).real
    )


@pytest.mark.parametrize("d", SIZES)
@pytest.mark.parametrize(
    ("dtype", "rtol", "atol"), [(torch.float64, 1e-10, 1e-10), (torch.float32, 1e-4, 2e-4)]
)
def test_matrices_agree_with_pot_and_scipy(
    d: int, dtype: torch.dtype, rtol: float, atol: float
) -> None:
    (ma, sa), (mb, sb) = gaussians(6, d, 0, dtype), gaussians(4, d, 1, dtype)
    ours = gaussian_wasserstein2_squared(ma[:, None], sa[:, None], mb, sb)
    assert ours.dtype == dtype
    assert ours.shape == (6, 4)
    theirs = ot_gaussian.bures_wasserstein_distance(
        ma.double(), mb.double(), sa.double(), sb.double()
    ).square()
    torch.testing.assert_close(ours.double(), theirs, rtol=rtol, atol=atol)
    slow = [[reference(ma[i], sa[i], mb[j], sb[j]) for j in range(4)] for i in range(6)]
    torch.testing.assert_close(
        ours.double(), torch.tensor(slow, dtype=torch.float64), rtol=rtol, atol=atol
    )


@pytest.mark.parametrize("d", SIZES)
def test_every_form_is_the_matrix_it_stands_for(d: int) -> None:
    (ma, sa), (mb, sb) = gaussians(5, d, 2), gaussians(3, d, 3)
    forms_a = {"matrix": sa, "diagonal": sa.diagonal(dim1=-2, dim2=-1), "one": sa[:, 0, :1]}
    forms_b = {"matrix": sb, "diagonal": sb.diagonal(dim1=-2, dim2=-1), "one": sb[:, 0, :1]}
    for a in forms_a.values():
        for b in forms_b.values():
            full = gaussian_wasserstein2_squared(ma[:, None], _full(a, d)[:, None], mb, _full(b, d))
            ours = gaussian_wasserstein2_squared(ma[:, None], a[:, None], mb, b)
            torch.testing.assert_close(ours, full, rtol=1e-10, atol=1e-12)
            rooted = gaussian_wasserstein2_squared(
                ma[:, None], _root(a)[:, None], mb, _root(b), cholesky=True
            )
            torch.testing.assert_close(rooted, full, rtol=1e-10, atol=1e-12)
            fixed = FixedGaussians.from_covariances(mb, b)
            torch.testing.assert_close(fixed.wasserstein2_squared(ma, a), full)
            torch.testing.assert_close(
                fixed.wasserstein2_squared(ma, _root(a), cholesky=True), full
            )


def _full(cov: Tensor, d: int) -> Tensor:
    return cov if cov.ndim == 3 else torch.diag_embed(cov.expand(-1, d))


def _root(cov: Tensor) -> Tensor:
    return torch.linalg.cholesky(cov) if cov.ndim == 3 else cov.sqrt()


@given(seed=st.integers(0, 10_000), d=st.integers(1, 6))
def test_it_is_a_metric(seed: int, d: int) -> None:
    mean, cov = gaussians(3, d, seed)
    squared = gaussian_wasserstein2_squared(mean[:, None], cov[:, None], mean, cov)
    distance = squared.sqrt()
    assert (squared >= 0).all()
    torch.testing.assert_close(squared, squared.T, rtol=1e-9, atol=1e-12)
    assert (distance.diagonal() < 1e-6).all()
    assert distance[0, 2] <= distance[0, 1] + distance[1, 2] + 1e-9


@given(seed=st.integers(0, 10_000), d=st.integers(2, 5))
def test_rotations_and_shifts_change_nothing_and_scales_scale(seed: int, d: int) -> None:
    mean, cov = gaussians(2, d, seed)
    turn, _ = torch.linalg.qr(gaussians(1, d, seed + 1)[1][0])
    moved = mean @ turn.T + 3
    turned = turn @ cov @ turn.T
    turned = (turned + turned.mT) / 2
    before = gaussian_wasserstein2_squared(mean[0], cov[0], mean[1], cov[1])
    after = gaussian_wasserstein2_squared(moved[0], turned[0], moved[1], turned[1])
    torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-10)
    scaled = gaussian_wasserstein2_squared(2 * mean[0], 4 * cov[0], 2 * mean[1], 4 * cov[1])
    torch.testing.assert_close(scaled, 4 * before, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("d", [1, 2, 4])
@pytest.mark.parametrize("cholesky", [False, True])
def test_gradients_are_those_of_finite_differences(d: int, cholesky: bool) -> None:
    (ma, sa), (mb, sb) = gaussians(2, d, 4), gaussians(3, d, 5)

    def of_matrices(ma: Tensor, sa: Tensor, mb: Tensor, sb: Tensor) -> Tensor:
        if cholesky:
            sa, sb = sa.tril(), sb.tril()
        else:
            sa, sb = (sa + sa.mT) / 2, (sb + sb.mT) / 2
        return gaussian_wasserstein2_squared(ma[:, None], sa[:, None], mb, sb, cholesky=cholesky)

    inputs = [x.clone().requires_grad_() for x in (ma, sa, mb, sb)]
    assert torch.autograd.gradcheck(of_matrices, inputs)

    def of_diagonals(ma: Tensor, sa: Tensor, sb: Tensor) -> Tensor:
        return gaussian_wasserstein2_squared(ma[:, None], sa[:, None], mb, sb, cholesky=cholesky)

    diagonals = [sa.diagonal(dim1=-2, dim2=-1), sb.diagonal(dim1=-2, dim2=-1)]
    inputs = [x.clone().requires_grad_() for x in (ma, *diagonals)]
    assert torch.autograd.gradcheck(of_diagonals, inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cholesky", [False, True])
@pytest.mark.parametrize("form", ["one", "diagonal", "matrix"])
def test_gradients_at_equality_vanish(dtype: torch.dtype, cholesky: bool, form: str) -> None:
    d = 4
    cov = {
        "one": torch.ones(3, 1),
        "diagonal": torch.ones(3, d),
        "matrix": torch.eye(d).repeat(3, 1, 1),
    }
    mean = torch.randn(3, d, generator=torch.Generator().manual_seed(0)).to(dtype)
    inputs = [x.to(dtype).clone().requires_grad_() for x in (mean, cov[form], mean, cov[form])]
    value = gaussian_wasserstein2_squared(*inputs, cholesky=cholesky)
    value.sum().backward()
    for each in inputs:
        assert each.grad is not None
        torch.testing.assert_close(
            each.grad, torch.zeros_like(each), rtol=0, atol=1e3 * torch.finfo(dtype).eps
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cholesky", [False, True])
@pytest.mark.parametrize("smallest", [1e-4, 1e-8, 1e-12, 0.0])
@pytest.mark.parametrize("d", [2, 3])
def test_gradients_near_singular_are_finite(
    dtype: torch.dtype, cholesky: bool, smallest: float, d: int
) -> None:
    turn, _ = torch.linalg.qr(gaussians(1, d, 6)[1][0])
    variances = torch.tensor([1.0, 1e-2, smallest], dtype=torch.float64)[
        [0, 2] if d == 2 else [0, 1, 2]
    ]
    cov = (turn * variances) @ turn.T
    zero = torch.zeros(d, d, dtype=torch.float64)
    thin = torch.stack([(cov + cov.T) / 2, zero]).to(dtype)
    if cholesky:
        lower = torch.linalg.qr((turn * variances.sqrt()).T)[1].T
        thin = torch.stack([lower, zero]).to(dtype)
    mean = torch.zeros(2, d, dtype=dtype)
    a, b = thin.clone().requires_grad_(), thin.clone().requires_grad_()
    squared = gaussian_wasserstein2_squared(mean[:, None], a[:, None], mean, b, cholesky=cholesky)
    squared.sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    assert a.grad.isfinite().all()
    assert b.grad.isfinite().all()
    trace = float((thin @ thin.mT if cholesky else thin)[0].trace())
    wanted = torch.tensor([[0.0, trace], [trace, 0.0]], dtype=dtype)
    slack = 20 * torch.finfo(dtype).eps ** 0.5
    torch.testing.assert_close(squared.detach(), wanted, rtol=0, atol=slack)
    if cholesky:  # tr S - 2 |L_a' L_b|_* has a gradient of at most 2 |L_a| + 2 |L_b|.
        assert a.grad.norm(dim=(-2, -1)).max() < 10


def test_rows_by_classes_have_the_gradients_of_pairs_at_a_variance_of_zero_too() -> None:
    generator = torch.Generator().manual_seed(0)
    for least in (0.1, 0.0):
        mean, other = torch.randn(5, 3, generator=generator), torch.randn(4, 3, generator=generator)
        var, var_b = mean.square() + 0.1, other.square() + 0.1
        var[2, 1] = var_b[0, 0] = least
        given = [value.double().requires_grad_() for value in (mean, var, other, var_b)]
        ma, sa, mb, sb = given
        every = gaussian_wasserstein2_squared(ma[:, None], sa[:, None], mb, sb)
        pairs = gaussian_wasserstein2_squared(
            *(t.repeat_interleave(4, 0) for t in (ma, sa)), *(t.repeat(5, 1) for t in (mb, sb))
        )
        torch.testing.assert_close(every.flatten(), pairs)
        weight = torch.rand(20, generator=generator).double()
        found = torch.autograd.grad((every.flatten() * weight).sum(), given)
        torch.testing.assert_close(found, torch.autograd.grad((pairs * weight).sum(), given))
        assert all(bool(each.isfinite().all()) for each in found)


def test_a_gradient_through_variances_of_zero_is_finite() -> None:
    a = torch.tensor([0.0, 1.0], requires_grad=True)
    b = torch.tensor([1.0, 0.0], requires_grad=True)
    zero = torch.zeros(2)
    value = gaussian_wasserstein2_squared(zero, a, zero, b)
    value.backward()
    torch.testing.assert_close(value.detach(), torch.tensor(2.0))
    assert a.grad is not None
    assert a.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("d", [2, 3])
def test_a_gradient_at_a_covariance_of_zero_is_no_larger_than_is_said(
    dtype: torch.dtype, d: int
) -> None:
    cov, zero = torch.zeros(d, d, dtype=dtype, requires_grad=True), torch.zeros(d, dtype=dtype)
    for other in (
        torch.eye(d, dtype=dtype),
        torch.ones(d, dtype=dtype),
        torch.ones(1, dtype=dtype),
    ):
        for scale in (1.0, 1e6):
            value = gaussian_wasserstein2_squared(zero, cov, zero, scale * other)
            torch.testing.assert_close(value.detach(), torch.tensor(scale * d, dtype=dtype))
            (gradient,) = torch.autograd.grad(value, cov)
            assert gradient.abs().max() <= 3 * scale / torch.finfo(dtype).tiny ** 0.5


def test_the_parts_add_up() -> None:
    (ma, sa), (mb, sb) = gaussians(4, 3, 7), gaussians(4, 3, 8)
    parts = gaussian_wasserstein2_parts(ma, sa, mb, sb)
    torch.testing.assert_close(parts.location, (ma - mb).square().sum(-1))
    torch.testing.assert_close(parts.total(), gaussian_wasserstein2_squared(ma, sa, mb, sb))
    torch.testing.assert_close(
        parts.shape,
        gaussian_wasserstein2_squared(torch.zeros_like(ma), sa, torch.zeros_like(mb), sb),
    )


@pytest.mark.parametrize("d", [1, 3])
def test_second_derivatives_are_those_of_finite_differences(d: int) -> None:
    (ma, sa), (mb, sb) = gaussians(2, d, 4), gaussians(3, d, 5)
    va, vb = (s.diagonal(dim1=-2, dim2=-1).clone() for s in (sa, sb))

    def crossed(ma: Tensor, va: Tensor, mb: Tensor, vb: Tensor) -> Tensor:
        return gaussian_wasserstein2_squared(ma[:, None], va[:, None], mb, vb)

    def rounded(ma: Tensor, sa: Tensor) -> Tensor:
        sa = (sa + sa.mT) / 2
        return gaussian_wasserstein2_squared(ma[:, None], sa[:, None], mb, vb[:, :1])

    inputs = [x.clone().requires_grad_() for x in (ma, va, mb, vb)]
    assert torch.autograd.gradgradcheck(crossed, inputs)
    assert torch.autograd.gradgradcheck(
        rounded, [x.clone().requires_grad_() for x in (ma, sa)], atol=1e-4
    )


def test_in_the_plane_a_round_target_takes_no_decomposition() -> None:
    (ma, sa), (mb, sb) = gaussians(5, 2, 9), gaussians(3, 2, 10)
    round_ = sb[:, 0, :1]

    def rounded(mean: Tensor, cov: Tensor) -> Tensor:
        cov = (cov + cov.mT) / 2
        return gaussian_wasserstein2_squared(mean[:, None], cov[:, None], mb, round_)

    whole = gaussian_wasserstein2_squared(
        ma[:, None], sa[:, None], mb, round_[..., None] * torch.eye(2).to(sa)
    )
    torch.testing.assert_close(rounded(ma, sa), whole)
    inputs = [x.clone().requires_grad_() for x in (ma, sa)]
    assert torch.autograd.gradcheck(rounded, inputs)
    assert torch.autograd.gradgradcheck(rounded, inputs, atol=1e-4)
    # Where both are the same the distance is 0, and so is its slope.
    cov = (4 * torch.eye(2)).to(sa).requires_grad_()
    value = gaussian_wasserstein2_squared(mb[0], cov, mb[0], 4 * torch.ones(1).to(sa))
    (slope,) = torch.autograd.grad(value, cov)
    assert value.item() == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(slope, torch.zeros_like(slope))


@pytest.mark.parametrize("d", [3, 300])
def test_few_and_many_diagonal_pairs_agree_with_their_gradients(d: int) -> None:
    """Few are kept as differences, many go through a matrix product."""
    (ma, sa), (mb, sb) = gaussians(25, d, 1), gaussians(20, d, 2)
    va, vb = (s.diagonal(dim1=-2, dim2=-1).clone() for s in (sa, sb))
    va[0, 0] = 0
    given = [x.clone().requires_grad_() for x in (ma, va, mb, vb)]
    crossed = gaussian_wasserstein2_squared(given[0][:, None], given[1][:, None], *given[2:])
    weight = torch.arange(500.0).to(ma).reshape(25, 20)
    ours = torch.autograd.grad((weight * crossed).sum(), given)
    pairs = [x[:, None].expand(25, 20, d) for x in given[:2]] + [
        x.expand(25, 20, d) for x in given[2:]
    ]
    plain = gaussian_wasserstein2_squared(*pairs)
    torch.testing.assert_close(crossed, plain)
    theirs = torch.autograd.grad((weight * plain).sum(), given)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_leading_dimensions_broadcast_in_every_way() -> None:
    (ma, sa), (mb, sb) = gaussians(6, 3, 9), gaussians(4, 3, 10)
    va, vb = sa.diagonal(dim1=-2, dim2=-1), sb.diagonal(dim1=-2, dim2=-1)
    whole = gaussian_wasserstein2_squared(ma[:, None], va[:, None], mb[None], vb[None])
    ways = [
        gaussian_wasserstein2_squared(ma[:, None], va[:, None], mb, vb),
        gaussian_wasserstein2_squared(ma.view(2, 3, 1, 3), va.view(2, 3, 1, 3), mb, vb).reshape(
            6, 4
        ),
        gaussian_wasserstein2_squared(mb, vb, ma[:, None], va[:, None]),
        torch.stack(
            [gaussian_wasserstein2_squared(ma, va, m, v) for m, v in zip(mb, vb, strict=True)], 1
        ),
    ]
    for way in ways:
        torch.testing.assert_close(way, whole)
    shared = gaussian_wasserstein2_squared(ma[:, None], va[:1, None], mb, vb[:1])
    torch.testing.assert_close(
        shared,
        gaussian_wasserstein2_squared(
            ma[:, None], va[:1, None].expand(6, 1, 3), mb, vb[:1].expand(4, 3)
        ),
    )


@pytest.mark.parametrize("smallest", [1e-3, 1e-6, 0.0])
def test_the_plane_agrees_with_singular_values(smallest: float) -> None:
    """tr S_a + tr S_b - 2 |L_a' L_b|_*, near singular too, where both sides are given as factors."""
    (ma, sa), (mb, sb) = gaussians(5, 2, 11), gaussians(3, 2, 12)
    la, lb = torch.linalg.cholesky(sa), torch.linalg.cholesky(sb)
    la[:, 1, 1] = smallest
    a, b = la.clone().requires_grad_(), lb.clone().requires_grad_()
    ours = gaussian_wasserstein2_squared(ma[:, None], a[:, None], mb, b, cholesky=True)
    nuclear = torch.linalg.svdvals(a[:, None].mT @ b).sum(-1)
    squares = [x.square().sum((-2, -1)) for x in (a, b)]
    wanted = (ma[:, None] - mb).square().sum(-1) + squares[0][:, None] + squares[1] - 2 * nuclear
    torch.testing.assert_close(ours, wanted)
    if smallest:
        theirs = torch.autograd.grad(wanted.sum(), (a, b), retain_graph=True)
        found = torch.autograd.grad(ours.sum(), (a, b))
        for one, other in zip(found, theirs, strict=True):
            torch.testing.assert_close(one.tril(), other.tril(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("dtype", "smallest"), [(torch.float32, 1e-5), (torch.float64, 1e-9)])
@pytest.mark.parametrize("d", [2, 3])
def test_one_pair_of_near_singular_factors_is_what_it_is_in_a_batch(
    dtype: torch.dtype, smallest: float, d: int
) -> None:
    thin = torch.diag(torch.tensor([1.0] * (d - 1) + [smallest], dtype=dtype))
    zero, one = torch.zeros(d, dtype=dtype), torch.ones(d, dtype=dtype)
    for other in (thin, torch.diag(one), one, one[:1]):
        wide = torch.diag(other.expand(d)) if other.ndim == 1 else other
        # Both are diagonal, so that the distance is between deviations.
        wanted = (thin.diagonal() - wide.diagonal()).square().sum()
        for sides in ((thin, other), (other, thin)):
            a, b = (side.clone().requires_grad_() for side in sides)
            value = gaussian_wasserstein2_squared(zero, a, zero, b, cholesky=True)
            slack = 10 * torch.finfo(dtype).eps
            torch.testing.assert_close(value.detach(), wanted, rtol=0, atol=slack)
            parts = gaussian_wasserstein2_parts(zero, a, zero, b, cholesky=True)
            torch.testing.assert_close(parts.shape, value)
            batched = gaussian_wasserstein2_squared(
                zero[None], a[None], zero[None], b[None], cholesky=True
            )
            torch.testing.assert_close(batched[0], value)
            assert all(g.isfinite().all() for g in torch.autograd.grad(value, (a, b)))


def indefinite_pairs() -> dict[str, tuple[Tensor, Tensor]]:
    eye, one = torch.eye(2), torch.ones(2, 2)
    return {
        "negative": (-eye, eye),
        "negative twice": (-eye, -eye),
        "negative and unequal": (torch.diag(torch.tensor([-1.0, -2.0])), eye),
        "beside singular": (-eye, one),
        "beside variances": (-eye, torch.ones(2)),
        "beside one": (-eye, torch.ones(1)),
        "beside zero": (torch.diag(torch.tensor([1.0, 1.0, -0.5])), torch.zeros(3)),
        "beside zero matrices": (torch.diag(torch.tensor([1.0, 1.0, -0.5])), torch.zeros(3, 3)),
        "hidden": (torch.diag(torch.tensor([1.0, -0.5, 1.0])), torch.tensor([1.0, 0.0, 1.0])),
    }


@pytest.mark.parametrize("case", list(indefinite_pairs()))
@pytest.mark.parametrize("batched", [False, True])
def test_matrices_with_negative_eigenvalues_are_told(case: str, batched: bool) -> None:
    cov, other = indefinite_pairs()[case]
    zero = torch.zeros(len(cov))
    if batched:  # One good matrix beside the bad one.
        cov, other = torch.stack([torch.eye(len(cov)), cov]), torch.stack([other, other])
        zero = torch.stack([zero, zero])
    message = r"`cov(_[ab])?` should be positive semi-definite, got an eigenvalue of -"
    for a, b in ((cov, other), (other, cov)):
        with pytest.raises(ValueError, match=message):
            gaussian_wasserstein2_squared(zero, a, zero, b)
        with pytest.raises(ValueError, match=message):
            gaussian_wasserstein2_parts(zero, a, zero, b)
    if batched:
        with pytest.raises(ValueError, match=message):
            FixedGaussians.from_covariances(zero, cov)
        if case != "negative twice":
            with pytest.raises(ValueError, match=message):
                FixedGaussians.from_covariances(zero, other).wasserstein2_squared(zero, cov)


@pytest.mark.usefixtures("unchecked")
def test_numbers_that_are_not_finite_are_told_in_the_plane() -> None:
    zero, eye = torch.zeros(2), torch.eye(2)
    for bad in (torch.nan, torch.inf):
        with pytest.raises(ValueError, match="`cov_a` should be finite"):
            gaussian_wasserstein2_squared(zero, torch.full((2, 2), bad), zero, eye)
        with pytest.raises(ValueError, match="`cov_b` should be finite"):
            gaussian_wasserstein2_squared(zero, eye, zero, torch.full((2, 2), bad))


def test_half_precision_is_widened() -> None:
    mean, cov = torch.zeros(3, dtype=torch.bfloat16), torch.ones(3, dtype=torch.bfloat16)
    assert gaussian_wasserstein2_squared(mean, cov, mean, 4 * cov).dtype == torch.float32


ZERO, ONE, EYE = torch.zeros(2, 3), torch.ones(2, 3), torch.eye(3).repeat(2, 1, 1)
SKEW = EYE + torch.tensor([[0, 0.5, 0], [0, 0, 0], [0, 0, 0]])
INDEFINITE = EYE * torch.tensor([1.0, -1.0, 1.0])
NAN = ONE.clone().fill_(torch.nan)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((ZERO, SKEW, ZERO, EYE), r"`cov_a` should be symmetric, got .* by 0.5 .*`cholesky=True`"),
        ((ZERO, EYE, ZERO, SKEW), "`cov_b` should be symmetric"),
        ((ZERO, INDEFINITE, ZERO, EYE), r"`cov_a` should be positive semi-definite, got .* -1 \(2"),
        ((ZERO, EYE, ZERO, INDEFINITE), "`cov_b` should be positive semi-definite"),
        ((ZERO, INDEFINITE, ZERO, INDEFINITE), "should be positive semi-definite"),
        ((ZERO, ONE, ZERO, INDEFINITE), "`cov_b` should be positive semi-definite"),
        ((ZERO, ONE[:, :1], ZERO, INDEFINITE), "`cov_b` should be positive semi-definite"),
        ((ZERO, -ONE, ZERO, ONE), r"`cov_a` should lie in \[0, inf\], got -1"),
        ((ZERO, EYE, ZERO[:, :2], EYE[:, :2, :2]), "as many dimensions as each other, got 3 and 2"),
        ((ZERO, EYE[0], ZERO, EYE), "`cov_a` should have .* leading dimensions of 1 are broadcast"),
        ((ZERO, ONE[:, :2], ZERO, ONE), r"`cov_a` should have shape \(2, 3\) for variances"),
        ((torch.tensor(0.0), torch.tensor(1.0), ZERO, ONE), "`cov_a` should have shape"),
        ((ZERO, ONE, ONE[:1].repeat(4, 1), ONE[:1]), r"dimensions that broadcast, got \(2,\) and \(4,\)"),
        ((NAN, ONE, ZERO, ONE), "`mean_a` should be finite, got 6 NaN"),
        ((ZERO, NAN, ZERO, ONE), "`cov_a` should be finite"),
        ((ZERO, EYE * torch.nan, ZERO, EYE), "`cov_a` should be finite"),
        ((ZERO, EYE, ZERO, EYE * torch.nan), "`cov_b` should be finite"),
        ((ZERO, EYE, NAN, ONE), "`mean_b` should be finite"),
        ((ZERO + 1e30, ONE, ZERO, ONE), "got an overflow: rescale"),
    ],
    ids=[
        "skew a", "skew b", "indefinite a", "indefinite b", "both indefinite", "indefinite beside variances", "indefinite beside one", "negative variance",
        "dimensions", "lead", "wrong variances", "scalars", "pairs", "nan mean", "nan variance", "nan matrix",
        "nan matrix b", "nan mean b", "overflow",
    ],
)  # fmt: skip
def test_bad_input_is_told(arguments: tuple[Tensor, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gaussian_wasserstein2_squared(*arguments)


@pytest.mark.usefixtures("unchecked")
def test_other_bad_input_is_told() -> None:
    full = torch.ones(2, 3, 3)
    with pytest.raises(
        ValueError, match=r"`cov_a` should be lower triangular where `cholesky=True`"
    ):
        gaussian_wasserstein2_squared(ZERO, full, ZERO, EYE, cholesky=True)
    with pytest.raises(ValueError, match=r"`cov_b` should lie in \[0, inf\].*deviations"):
        gaussian_wasserstein2_squared(ZERO, ONE, ZERO, -ONE, cholesky=True)
    with pytest.raises(ValueError, match="`cov_a` should be finite"):
        gaussian_wasserstein2_squared(ZERO, EYE * torch.nan, ZERO, EYE, cholesky=True)
    with pytest.raises(
        TypeError, match=r"`mean_a` should be a floating tensor, got torch.int64: .*`mean_a.float"
    ):
        gaussian_wasserstein2_squared(ZERO.long(), ONE, ZERO, ONE)
    with pytest.raises(
        TypeError, match=r"`mean_a` should be a floating tensor, got list: `torch.as_tensor`"
    ):
        gaussian_wasserstein2_squared([0.0], ONE, ZERO, ONE)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`mean` should have shape \(C, D\)"):
        FixedGaussians.from_covariances(ZERO[0], ONE[0])
    with pytest.raises(ValueError, match="positive semi-definite"):
        FixedGaussians.from_covariances(ZERO, INDEFINITE)


@pytest.mark.usefixtures("unchecked")
def test_targets_that_stay_tell_of_arguments_by_the_names_they_have() -> None:
    with pytest.raises(ValueError, match=r"`cov` should have shape .* to match `mean` of"):
        FixedGaussians.from_covariances(ZERO, ONE[:, :2])
    with pytest.raises(ValueError, match=r"`cov` should be positive semi-definite"):
        FixedGaussians.from_covariances(ZERO, INDEFINITE)
    with pytest.raises(ValueError, match=r"`cov` should lie in \[0, inf\], got -1"):
        FixedGaussians.from_covariances(ZERO, -ONE)
    with pytest.raises(ValueError, match="`cov` should be symmetric"):
        FixedGaussians.from_covariances(ZERO, SKEW)
    with pytest.raises(TypeError, match="`mean` should be a floating tensor, got list"):
        FixedGaussians.from_covariances([0.0], ONE)  # type: ignore[arg-type]
    for targets in (EYE, ONE, ONE[:, :1]):
        fixed = FixedGaussians.from_covariances(ZERO, targets)
        with pytest.raises(ValueError, match=r"`mean` should have shape \(2, 3\).*as the targets"):
            fixed.wasserstein2_squared(ZERO[:, :2], ONE[:, :2])
        with pytest.raises(ValueError, match=r"`cov` should have shape .* to match `mean` of"):
            fixed.wasserstein2_squared(ZERO[0, 0], ONE[0, 0])
        with pytest.raises(ValueError, match="`mean` should be finite"):
            fixed.wasserstein2_squared(NAN, ONE)
        with pytest.raises(ValueError, match="`cov` should be finite"):
            fixed.wasserstein2_squared(ZERO, EYE * torch.nan)
        with pytest.raises(ValueError, match=r"`cov` should lie in \[0, inf\], got -1"):
            fixed.wasserstein2_squared(ZERO, -ONE)
        with pytest.raises(ValueError, match="`cov` should be positive semi-definite"):
            fixed.wasserstein2_squared(ZERO, INDEFINITE)
        with pytest.raises(ValueError, match="`cov` should be lower triangular"):
            fixed.wasserstein2_squared(ZERO, SKEW, cholesky=True)
        with pytest.raises(ValueError, match="got an overflow"):
            fixed.wasserstein2_squared(ZERO + 1e30, ONE)
