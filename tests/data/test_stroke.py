import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from uncertain import data
from uncertain.data import stroke


def mnist() -> np.ndarray:
    whole = data.load("mnist5k")
    return torch.cat([whole.train.x, whole.validation.x, whole.test.x])[:, 0].double().numpy()


def test_the_quantiles_are_mnists():
    measured = np.quantile(stroke.stroke_width(mnist()), np.linspace(0, 1, 21))
    assert np.allclose(measured, stroke.MNIST_STROKE_WIDTHS, atol=0.0051)


def test_what_the_docstring_says_of_mnist_is_so():
    digits = mnist()
    sides = [max(np.ptp(axis) + 1 for axis in np.nonzero(image)) for image in (digits > 0)]
    assert np.bincount(sides)[stroke.BOX] == 4999
    offset = np.abs(stroke.centre_of_mass(digits) - stroke.CENTRE)
    assert offset.max() <= 0.5
    assert digits.max(axis=(1, 2)).min() >= 254 / 255
    grey = ((digits > 0) & (digits <= 0.98)).sum() / (digits > 0).sum()
    assert grey == pytest.approx(0.62, abs=0.005)


@pytest.mark.parametrize("width", [2, 3, 4])
@pytest.mark.parametrize("degrees", [0, 20, 45])
def test_a_bars_width_is_found(width, degrees):
    # A bar 60 wide strokes long, drawn with soft edges: the ends cost 2 w / (2 L + 2 w).
    down, right = np.mgrid[:200, :200] - 99.5
    angle = np.deg2rad(degrees)
    across = np.abs(right * np.cos(angle) + down * np.sin(angle))
    along = np.abs(down * np.cos(angle) - right * np.sin(angle))
    bar = np.clip(width / 2 + 0.5 - across, 0, 1) * np.clip(60.5 - along, 0, 1)
    measured = stroke.stroke_width(bar[None])[0]
    assert measured == pytest.approx(width * 120 / (120 + width), rel=0.1)


def test_an_empty_image_has_no_stroke():
    assert stroke.stroke_width(np.zeros((2, 5, 5))).tolist() == [0, 0]


def test_moving_the_outline_is_dilation_and_erosion():
    drawing = np.zeros((9, 9), bool)
    drawing[3:6, 3:6] = True
    distance = stroke.signed_distance(drawing, margin=2)
    assert (distance > 0).sum() == 9
    assert (distance > 1).sum() == 1
    grown = distance > -0.8
    expected = np.zeros((13, 13), bool)
    expected[4:9, 5:8] = expected[5:8, 4:9] = True
    assert np.array_equal(grown, expected)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**31))
def test_the_longer_side_is_twenty(height, width, seed):
    ink = np.random.default_rng(seed).uniform(0.6, 1, (height, width))
    small = stroke.fit_to_box(np.pad(ink, 5))
    assert max(small.shape) == stroke.BOX
    assert small.max() == 1
    assert small.min() >= 0
    ratio = min(height, width) / max(height, width)
    assert abs(min(small.shape) - stroke.BOX * ratio) <= max(0.5, 1 - stroke.BOX * ratio) + 1e-9


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**31))
def test_the_centre_of_mass_is_within_half_a_pixel_or_the_ink_at_the_border(height, width, seed):
    small = np.random.default_rng(seed).uniform(0, 1, (height, width)) ** 4 + 1e-3
    image = stroke.centre_by_mass(small)
    assert image.sum() == pytest.approx(small.sum())
    for axis, centre in enumerate(stroke.centre_of_mass(image[None])[0]):
        ink = np.flatnonzero(image.any(axis=1 - axis))
        assert abs(centre - stroke.CENTRE) <= 0.5 + 1e-9 or ink[0] == 0 or ink[-1] == 27
