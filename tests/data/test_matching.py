import io

import numpy as np
import pytest
import torch
from PIL import Image

from uncertain import data
from uncertain.data import ByteImages, Split
from uncertain.data.matching import CIFAR10_JPEG_QUALITY, matched


def images(n: int, channels: int, size: int, *, low: float = 0.2, high: float = 0.8) -> Split:
    generator = torch.Generator().manual_seed(n + channels + size)
    x = low + (high - low) * torch.rand(n, channels, size, size, generator=generator)
    smooth = torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    return Split(smooth, None, np.arange(n), np.arange(n))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 16, 21])
@pytest.mark.parametrize("quality", [None, 75])
def test_size_channels_and_statistics_agree(channels, size, quality):
    strange, like = images(40, 1, size, low=0.0, high=0.4), images(50, channels, 16)
    made = matched(strange, like, jpeg_quality=quality)
    assert made.x.shape == (40, *like.x.shape[1:])
    for statistic in (torch.mean, torch.std):
        ours, theirs = (statistic(s.x, dim=(0, 2, 3)) for s in (made, like))
        torch.testing.assert_close(ours, theirs, atol=0.01, rtol=0)
    assert torch.equal((made.x * 255).round() / 255, made.x)


def test_colours_become_grey_by_luma():
    colour = images(9, 3, 8)
    made = matched(colour, images(9, 1, 8))
    luma = (colour.x * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)
    assert np.corrcoef(made.x.flatten(), luma.flatten())[0, 1] > 0.999


def test_the_codec_is_pillow_s_at_the_quality():
    like = images(20, 3, 16)
    plain, stored = matched(like, like), matched(like, like, jpeg_quality=40)
    for row in range(3):
        pixels = (plain.x[row] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=40)
        expected = np.asarray(Image.open(file)).transpose(2, 0, 1)
        assert np.array_equal((stored.x[row] * 255).round().numpy(), expected)


def test_an_image_of_the_set_itself_hardly_changes():
    like = images(30, 3, 16)
    assert (matched(like, like).x - like.x).abs().max() <= 0.5 / 255 + 1e-6


def test_the_local_cifar10_has_the_quality_that_is_said(data_dir):
    from pyarrow import parquet

    first = parquet.ParquetFile(data_dir("cifar10_test.parquet") / "cifar10_test.parquet")
    jpeg = next(first.iter_batches(1, columns=["jpeg"]))["jpeg"][0].as_py()
    ours = io.BytesIO()
    Image.new("RGB", (32, 32)).save(ours, "JPEG", quality=CIFAR10_JPEG_QUALITY)
    assert Image.open(io.BytesIO(jpeg)).quantization == Image.open(ours).quantization


def test_the_mean_agrees_where_the_deviation_can_not():
    letters = images(40, 1, 8)
    heavy = Split((letters.x > 0.4).float(), None, letters.row_ids, letters.groups)
    like = images(40, 1, 8, low=0.0, high=0.3)
    thin = Split((like.x > 0.2).float(), None, like.row_ids, like.groups)
    made = matched(heavy, thin)
    assert abs(made.x.mean() - thin.x.mean()) < 0.003
    assert made.x.std() < thin.x.std()


def test_labels_ids_and_bytes():
    digits = data.load("digits").test
    lazy = Split(ByteImages((digits.x * 255).to(torch.uint8)), None, digits.row_ids, digits.groups)
    made = matched(digits, lazy)
    assert torch.equal(made.y, digits.y)
    assert np.array_equal(made.row_ids, digits.row_ids)
    blank = Split(torch.zeros(4, 1, 8, 8), None, np.arange(4), np.arange(4))
    assert matched(blank, digits).x.unique().numel() == 1


def test_errors():
    one = images(3, 1, 8)
    with pytest.raises(ValueError, match=r"`images.x` should have shape \(N, channels, H, W\)"):
        matched(data.load("wine").test, one)
    with pytest.raises(ValueError, match=r"`like\.x` should have at least one row"):
        matched(one, one[:0])
    with pytest.raises(ValueError, match=r"`jpeg_quality` should lie in \[1, 95\], got 100"):
        matched(one, one, jpeg_quality=100)
    with pytest.raises(ValueError, match="should have 1 or 3 channels, or 4 as `like` has, got 3"):
        matched(images(3, 3, 8), images(3, 4, 8))
