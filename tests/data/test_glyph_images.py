import numpy as np
import pytest
import torch

from uncertain import data
from uncertain.data import glyph_images, stroke


@pytest.fixture(scope="module")
def drawn() -> data.Split:
    return data.glyphs()


def pixels(split: data.Split) -> np.ndarray:
    return split.x[:, 0].double().numpy()


def test_there_are_many_of_many_kinds(drawn):
    assert len(drawn) > 1200
    counts = np.bincount(drawn.groups)
    assert len(counts) == len(glyph_images.GLYPHS) > 90
    assert counts.min() >= 4


def test_no_character_is_a_digit_or_repeated():
    characters = glyph_images.GLYPHS
    assert len(set(characters)) == len(characters)
    assert not any(c.isdigit() for c in characters)
    assert not set("BDGIJOQSZbgiloqsz?&$|{}") & set(characters)


def test_they_fit_the_box_and_are_centred(drawn):
    images = pixels(drawn)
    for image in images:
        rows, columns = np.nonzero(image)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 <= stroke.BOX
    # Rounding to 255 steps moves a centre by a hundredth at most.
    assert np.abs(stroke.centre_of_mass(images) - stroke.CENTRE).max() <= 0.51
    assert (images.max(axis=(1, 2)) == 1).all()
    assert np.array_equal(np.round(images * 255), np.float32(images * 255).round())


def test_strokes_and_edges_are_as_mnists(drawn):
    images = pixels(drawn)
    levels = np.linspace(0.05, 0.9, 18)
    wanted = np.interp(levels, np.linspace(0, 1, 21), stroke.MNIST_STROKE_WIDTHS)
    assert np.abs(np.quantile(stroke.stroke_width(images), levels) - wanted).max() < 0.12
    grey = ((images > 0) & (images <= 0.98)).sum() / (images > 0).sum()
    assert grey == pytest.approx(0.62, abs=0.02)


def test_a_row_id_is_a_font_and_a_character(drawn):
    assert len(np.unique(drawn.row_ids)) == len(drawn)
    assert np.array_equal(drawn.row_ids % len(glyph_images.GLYPHS), drawn.groups)
    assert drawn.row_ids.max() < len(glyph_images.FONTS) * len(glyph_images.GLYPHS)


def test_no_two_are_equal_and_drawing_again_gives_the_same(drawn):
    assert len(torch.unique(drawn.x.flatten(1), dim=0)) == len(drawn)
    again = data.glyphs()
    assert torch.equal(again.x, drawn.x)
    again.x.zero_()
    again.groups[:] = 0
    assert torch.equal(data.glyphs().x, drawn.x)
    assert data.glyphs().groups.max() > 0


@pytest.mark.slow
def test_another_drawing_gives_the_same_bits(drawn):
    images, groups, row_ids = glyph_images._drawn.__wrapped__()
    assert np.array_equal(images, np.round(pixels(drawn) * 255))
    assert np.array_equal(groups, drawn.groups)
    assert np.array_equal(row_ids, drawn.row_ids)


def test_strokes_are_neither_lost_nor_joined():
    comb = np.zeros((100, 100), bool)
    comb[:, :40] = comb[:, 50:54] = comb[40:60] = True
    distance = stroke.signed_distance(comb, margin=14)
    assert glyph_images._keeps_shape(distance, 0.5)
    # Three pixels off both sides: the thin tooth is gone. Six more: the gap is closed.
    assert not glyph_images._keeps_shape(distance, -3)
    assert not glyph_images._keeps_shape(distance, 6)
