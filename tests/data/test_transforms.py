import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional

from uncertain.data import transforms


def images(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("turns", [-3, -1, 0, 1, 2])
@pytest.mark.parametrize("side", [7, 8])
def test_quarter_turns_are_rot90(turns, side):
    x = images(3, 2, side, side)
    got = transforms.rotate(x, torch.full((3,), 90.0 * turns))
    assert torch.allclose(got, torch.rot90(x, turns, dims=(-2, -1)), atol=1e-12)


def test_any_angle_is_scipys_bilinear_rotation():
    x = images(4, 1, 11, 14)
    for angle in (-75.0, -15.0, 33.0, 60.0):
        got = transforms.rotate(x, torch.full((4,), angle))
        expected = ndimage.rotate(
            x.numpy(), angle, axes=(3, 2), reshape=False, order=1, mode="grid-constant"
        )
        assert np.allclose(got.numpy(), expected, atol=1e-12)


def test_each_row_has_its_own_angle():
    x = images(3, 1, 8, 8)
    got = transforms.rotate(x, torch.tensor([0.0, 90.0, 180.0]))
    expected = [torch.rot90(x[k], k, dims=(-2, -1)) for k in range(3)]
    assert torch.allclose(got, torch.stack(expected), atol=1e-12)


@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, 0), (-3, 1), (0, -9), (1, 2)])
def test_translation_is_a_roll_with_zeros(down, right):
    x = images(2, 3, 6, 9)
    expected = torch.roll(x, (down, right), dims=(-2, -1))
    if down:
        expected[..., slice(0, down) if down > 0 else slice(down, None), :] = 0
    if right:
        expected[..., slice(0, right) if right > 0 else slice(right, None)] = 0
    got = transforms.translate(x, torch.tensor([down] * 2), torch.tensor([right] * 2))
    assert torch.equal(got, expected)


@pytest.mark.parametrize("slope", [-1.0, -0.3, 0.0, 0.6, 1.0])
def test_shear_is_scipys_affine_map(slope):
    x = images(3, 2, 9, 12)
    matrix = np.array([[1.0, 0.0], [-slope, 1.0]])
    middle = (np.array([9, 12]) - 1) / 2
    expected = [
        [
            ndimage.affine_transform(
                channel, matrix, middle - matrix @ middle, order=1, mode="grid-constant"
            )
            for channel in row
        ]
        for row in x.numpy()
    ]
    got = transforms.shear(x, torch.full((3,), slope))
    assert np.allclose(got.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("share", [1.0, 0.7, 0.5])
def test_shrinking_is_scipys_affine_map(share):
    x = images(2, 1, 9, 12)
    middle = (np.array([9, 12]) - 1) / 2
    expected = [
        ndimage.affine_transform(
            row[0], np.full(2, 1 / share), middle - middle / share, order=1, mode="grid-constant"
        )
        for row in x.numpy()
    ]
    assert np.allclose(transforms.shrink(x, share)[:, 0].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.15, 0.5, 1.0])
def test_contrast_in_closed_form(share):
    x = images(5, 3, 7, 9)
    mean = x.mean(dim=(2, 3), keepdim=True)
    assert torch.allclose(transforms.scale_contrast(x, share), mean + share * (x - mean))


@pytest.mark.parametrize("sigma", [0.6, 1.0, 2.8])
def test_blur_is_scipys(sigma):
    x = images(2, 3, 15, 12)
    expected = ndimage.gaussian_filter(x.numpy(), (0, 0, sigma, sigma), mode="nearest", truncate=4)
    assert np.allclose(transforms.gaussian_blur(x, sigma).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(("size", "small"), [(28, 14), (32, 8), (28, 28)])
def test_whole_shares_are_pooling_and_interpolation(size, small):
    x = images(2, 3, size, size)
    pooled = functional.avg_pool2d(x, size // small)
    expected = functional.interpolate(pooled, size=size, mode="bilinear", align_corners=False)
    assert torch.allclose(transforms.down_scale(x, small / size), expected)


@pytest.mark.parametrize(("size", "small"), [(28, 17), (32, 13), (5, 1), (9, 8)])
def test_areas_are_what_a_fine_grid_gives(size, small):
    index, weight = transforms.area_taps(size, small)
    dense = torch.zeros(small, size, dtype=torch.float64).scatter_add_(1, index, weight)
    # Cut every cell into `small` pieces: each of the new cells then has exactly `size` pieces.
    pieces = np.repeat(np.arange(size), small).reshape(small, size)
    expected = np.stack([np.bincount(row, minlength=size) for row in pieces]) / size
    assert np.allclose(dense.numpy(), expected)


def test_one_pixel_is_left_at_least():
    x = images(1, 1, 8, 8)
    assert torch.allclose(transforms.down_scale(x, 0.01), x.mean() * torch.ones_like(x))
