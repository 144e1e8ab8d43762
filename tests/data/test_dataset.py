import dataclasses

import numpy as np
import pytest
import torch

from uncertain import data
from uncertain.data import ByteImages, Split


def part(rows: int) -> Split:
    return Split(
        torch.arange(3.0 * rows).reshape(rows, 3),
        torch.arange(rows),
        np.arange(rows) * 10,
        np.arange(rows) // 2,
    )


@pytest.mark.parametrize(
    "rows",
    [
        slice(1, 4),
        [1, 2, 3],
        np.array([1, 2, 3]),
        np.array([False, True, True, True, False]),
        torch.tensor([1, 2, 3]),
        torch.tensor([False, True, True, True, False]),
    ],
)
def test_every_way_to_select_rows_gives_the_same(rows):
    chosen = part(5)[rows]
    assert chosen.x[:, 0].tolist() == [3, 6, 9]
    assert chosen.y.tolist() == [1, 2, 3]
    assert chosen.row_ids.tolist() == [10, 20, 30]
    assert chosen.groups.tolist() == [0, 1, 1]


def test_no_rows_one_row_and_repeated_rows():
    assert len(part(5)[[]]) == 0
    assert len(part(5)[2]) == 1
    assert part(5)[[1, 1]].row_ids.tolist() == [10, 10]


def test_unlabelled_rows_stay_unlabelled():
    assert dataclasses.replace(part(4), y=None)[:2].y is None


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="`x` and `row_ids` should have as many rows"):
        Split(torch.zeros(3, 1), None, np.arange(2), np.arange(3))


def test_byte_images_are_the_float_images():
    raw = torch.randint(0, 256, (6, 3, 4, 4), dtype=torch.uint8)
    images = ByteImages(raw)
    whole = raw.float() / 255
    assert torch.equal(images[:], whole)
    assert torch.equal(images[[4, 1]], whole[[4, 1]])
    assert torch.equal(images[torch.tensor([True] * 2 + [False] * 4)], whole[:2])
    assert images.shape == whole.shape
    assert images.dtype == whole.dtype
    assert images.device == whole.device
    split = Split(images, None, np.arange(6), np.arange(6))[1:3]
    assert isinstance(split.x, ByteImages)
    assert torch.equal(split.x[:], whole[1:3])


def test_partners_join_and_names_stay_unique():
    wine = data.load("wine")
    joined = wine.with_ood({"copy": wine.test})
    assert joined.ood["copy"] is wine.test
    assert wine.ood == {}
    with pytest.raises(ValueError, match="new names, got 'copy' again"):
        joined.with_ood({"copy": wine.test})


def test_standardising_learns_from_the_training_part_only():
    wine = data.load("wine").with_ood({"test": data.load("wine").test})
    scaled = data.standardise(wine)
    mean, deviation = wine.train.x.double().mean(0), wine.train.x.double().std(0, correction=0)
    for name in ("train", "validation", "test"):
        expected = (getattr(wine, name).x.double() - mean) / deviation
        got = getattr(scaled, name)
        assert torch.allclose(got.x.double(), expected, atol=1e-5)
        assert got.x.dtype == torch.float32
        assert np.array_equal(got.row_ids, getattr(wine, name).row_ids)
    assert torch.equal(scaled.ood["test"].x, scaled.test.x)


def test_a_constant_column_is_centred():
    wine = data.load("wine")
    x = wine.train.x.clone()
    x[:, 0] = 7
    scaled = data.standardise(dataclasses.replace(wine, train=dataclasses.replace(wine.train, x=x)))
    assert torch.equal(scaled.train.x[:, 0], torch.zeros(len(x)))


def test_only_tables_are_standardised():
    with pytest.raises(
        ValueError, match=r"`dataset` should be tabular, got inputs of shape \(1258"
    ):
        data.standardise(data.load("digits"))
    wine = data.load("wine")
    with pytest.raises(ValueError, match=r"`dataset.train` should have at least one row"):
        data.standardise(dataclasses.replace(wine, train=wine.train[:0]))
