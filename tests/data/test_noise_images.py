import numpy as np
import pytest
import torch

from uncertain import data

KINDS = ("uniform", "gaussian", "pixel_shuffled")


@pytest.mark.parametrize("kind", KINDS)
def test_shape_type_range_and_rows_are_the_originals(kind):
    digits = data.load("digits", dtype=torch.float64).test
    made = data.noise(digits, kind=kind)
    assert made.x.shape == digits.x.shape
    assert made.x.dtype == torch.float64
    assert ((made.x >= 0) & (made.x <= 1)).all()
    assert made.y is None
    assert np.array_equal(made.row_ids, digits.row_ids)
    assert np.array_equal(made.groups, digits.groups)


@pytest.mark.parametrize("kind", KINDS)
def test_a_rows_noise_is_its_own(kind):
    digits = data.load("digits").test
    whole = data.noise(digits, kind=kind, seed=2).x
    assert torch.allclose(data.noise(digits[40:90], kind=kind, seed=2).x, whole[40:90], atol=1e-6)
    assert not torch.equal(data.noise(digits, kind=kind, seed=3).x, whole)


def test_shuffling_moves_whole_pixels():
    x = torch.rand(5, 3, 4, 6)
    part = data.Split(x, None, np.arange(5), np.arange(5))
    made = data.noise(part, kind="pixel_shuffled").x
    before = {tuple(p.tolist()) for p in x[2].flatten(1).T}
    assert {tuple(p.tolist()) for p in made[2].flatten(1).T} == before
    assert not torch.equal(made, x)


def test_the_moments_are_as_promised():
    x = torch.full((40, 1, 30, 30), 0.5) + 0.05 * torch.randn(40, 1, 30, 30)
    part = data.Split(x.clamp(0, 1), None, np.arange(40), np.arange(40))
    gaussian = data.noise(part, kind="gaussian").x
    assert torch.allclose(gaussian.mean(), part.x.mean(), atol=0.002)
    assert torch.allclose(gaussian.std(), part.x.std(), rtol=0.02)
    uniform = data.noise(part).x
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.01)
    assert uniform.var().item() == pytest.approx(1 / 12, rel=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows_are_no_error(kind):
    assert len(data.noise(data.load("digits").test[:0], kind=kind)) == 0


@pytest.mark.usefixtures("unchecked")
def test_errors():
    with pytest.raises(ValueError, match="`kind` should be one of gaussian, pixel_shuffled"):
        data.noise(data.load("digits").test, kind="white")
    with pytest.raises(ValueError, match=r"`like.x` should have shape \(N, channels, H, W\)"):
        data.noise(data.load("wine").test)
