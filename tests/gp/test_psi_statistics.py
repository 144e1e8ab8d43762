"""The statistics against transcriptions, Monte Carlo, finite differences and their own laws."""

from __future__ import annotations

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from tests.gp import references
from uncertain.gp import exponentials
from uncertain.gp.psi_statistics import psi1, psi2, psi2_forms


def inputs(rows: int = 7, latent: int = 2, points: int = 4, seed: int = 0) -> list[Tensor]:
    g = torch.Generator().manual_seed(seed)
    mean = torch.randn(rows, latent, generator=g, dtype=torch.float64)
    variance = torch.rand(rows, latent, generator=g, dtype=torch.float64)
    z = torch.randn(points, latent, generator=g, dtype=torch.float64)
    return [mean, variance, z]


def weights(rows: int = 7) -> Tensor:
    return torch.rand(rows, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


@pytest.fixture(params=[1, 3, 1000], ids=["a_row_a_chunk", "some_chunks", "one_chunk"])
def chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make chunks of so many rows."""

    def parts(rows: Tensor, columns: Tensor) -> list[slice]:
        return [slice(i, i + request.param) for i in range(0, len(rows), request.param)]

    monkeypatch.setattr(exponentials, "_chunks", parts)


def test_psi1_is_its_transcription() -> None:
    torch.testing.assert_close(psi1(*inputs()), references.psi1(*inputs()), rtol=1e-12, atol=0)


@pytest.mark.usefixtures("chunks")
def test_psi2_is_its_transcription() -> None:
    each, w = references.psi2_rows(*inputs()), weights()
    torch.testing.assert_close(psi2(*inputs()), each.sum(0), rtol=1e-12, atol=0)
    weighted = torch.einsum("n,nij->ij", w, each)
    torch.testing.assert_close(psi2(*inputs(), w), weighted, rtol=1e-12, atol=0)


@pytest.mark.usefixtures("chunks")
def test_forms_are_products_with_each_rows_own_psi2() -> None:
    a = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = torch.einsum("kij,nij->nk", a, references.psi2_rows(*inputs()))
    torch.testing.assert_close(psi2_forms(*inputs(), a), expected, rtol=1e-11, atol=1e-13)
    empty = [t[:0] for t in inputs()[:2]]
    assert psi2_forms(*empty, inputs()[2], a).shape == (0, 3)


@hypothesis.given(
    rows=st.integers(0, 5),
    latent=st.integers(1, 3),
    points=st.integers(1, 4),
    scale=st.sampled_from([1e-3, 1.0, 30.0]),
    seed=st.integers(0, 99),
)
@hypothesis.settings(max_examples=30)
def test_laws_hold_for_any_shape_and_scale(
    rows: int, latent: int, points: int, scale: float, seed: int
) -> None:
    mean, variance, z = inputs(rows, latent, points, seed)
    mean, variance, z = scale * mean, scale * variance, scale * z
    found = psi2(mean, variance, z)
    torch.testing.assert_close(
        found, references.psi2_rows(mean, variance, z).sum(0), rtol=1e-9, atol=1e-300
    )
    assert torch.equal(found, found.T)
    assert torch.linalg.eigvalsh(found).min() >= -1e-12 * max(rows, 1)
    single = psi1(mean, variance, z)
    assert ((single >= 0) & (single <= 1)).all()
    # E k k >= (E k)^2, and no row is more than one row.
    assert (found.diagonal() >= single.square().sum(0) - 1e-12).all()
    assert (found.diagonal() <= rows + 1e-12).all()
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(
        psi2(mean[order], variance[order], z), found, rtol=1e-11, atol=1e-300
    )


def test_they_are_means_over_draws() -> None:
    mean, variance, z = inputs(rows=3)
    g = torch.Generator().manual_seed(2)
    draws = 200_000
    noise = torch.randn(draws, 3, 2, generator=g, dtype=torch.float64)
    h = mean + variance.sqrt() * noise
    k = references.kernel(h.reshape(-1, 2), z).reshape(draws, 3, 4)
    for found, terms in (
        (psi1(mean, variance, z), k),
        (psi2(mean, variance, z), torch.einsum("sni,snj->sij", k, k)),
    ):
        error = terms.std(0) / draws**0.5
        assert ((found - terms.mean(0)).abs() < 4 * error).all()


def test_without_variance_they_are_the_kernel() -> None:
    mean, variance, z = inputs()
    k = references.kernel(mean, z)
    none = torch.zeros_like(variance)
    torch.testing.assert_close(psi1(mean, none, z), k, rtol=1e-12, atol=0)
    torch.testing.assert_close(psi2(mean, none, z), k.T @ k, rtol=1e-12, atol=0)


def test_a_row_twice_is_a_row_of_weight_two() -> None:
    mean, variance, z = inputs()
    w = torch.tensor([1, 2, 1, 3, 0, 1, 1])
    copies = psi2(mean.repeat_interleave(w, 0), variance.repeat_interleave(w, 0), z)
    torch.testing.assert_close(psi2(mean, variance, z, w.double()), copies, rtol=1e-10, atol=0)


def test_moving_everything_moves_nothing() -> None:
    """A common offset of inputs and points costs no digits, though exponents are products."""
    mean, variance, z = inputs()
    far = psi2(mean + 2.0**20, variance, z + 2.0**20)
    torch.testing.assert_close(far, psi2(mean, variance, z), rtol=1e-7, atol=0)


@pytest.mark.usefixtures("chunks")
def test_gradients_are_finite_differences() -> None:
    mean, variance, z = (t.requires_grad_() for t in inputs(rows=4, points=3))
    w = weights(4).requires_grad_()
    assert torch.autograd.gradcheck(psi2, (mean, variance, z, w))
    assert torch.autograd.gradcheck(psi1, (mean, variance, z))
    a = torch.randn(2, 3, 3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(psi2_forms, (mean, variance, z, a))


def test_float32_inputs_give_the_float64_answer() -> None:
    single = [t.float() for t in inputs()]
    double = [t.double() for t in single]
    for statistic in (psi1, psi2):
        assert statistic(*single).dtype == torch.float64
        assert torch.equal(statistic(*single), statistic(*double))


@pytest.mark.usefixtures("unchecked")
def test_shapes_that_differ_are_refused() -> None:
    mean, variance, z = inputs()
    with pytest.raises(ValueError, match=r"`variance` should have shape \(7, 2\), got \(6, 2\)"):
        psi1(mean, variance[:6], z)
    with pytest.raises(ValueError, match=r"`points` should have shape \(M, 2\)"):
        psi2(mean, variance, z[:, :1])
    with pytest.raises(ValueError, match=r"`weight` should have shape \(7,\).*one weight a row"):
        psi2(mean, variance, z, torch.ones(6))
    with pytest.raises(ValueError, match=r"`matrices` should have shape \(K, 4, 4\)"):
        psi2_forms(mean, variance, z, torch.ones(1, 3, 3))


def test_memory_is_a_chunk_and_not_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tensor that is made, forwards or backwards, grows with rows times pairs."""
    monkeypatch.setitem(exponentials.CHUNK, "cpu", 2**11)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):  # type: ignore[misc]
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            for value in out if isinstance(out, (tuple, list)) else [out]:
                if isinstance(value, Tensor):
                    largest = max(largest, value.numel())
            return out

    mean, variance, z = (t.requires_grad_() for t in inputs(rows=2000, points=10))
    with Watch():
        psi2(mean, variance, z).sum().backward()
    assert mean.grad is not None
    assert largest <= 2000 * 5 < 2000 * 55  # the row features; pairs times rows would be more
