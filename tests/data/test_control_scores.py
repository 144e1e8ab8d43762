import zlib

import numpy as np
import pytest
import torch

from uncertain import data

NAMES = {"mean", "border_mean", "zero_share", "chroma", "total_variation", "compressed_length"}


def auroc(inside: torch.Tensor, outside: torch.Tensor) -> float:
    metrics = pytest.importorskip("sklearn.metrics")
    truth = np.repeat([0, 1], [len(inside), len(outside)])
    return float(metrics.roc_auc_score(truth, torch.cat([inside, outside]).numpy()))


def separations(inside: torch.Tensor, outside: torch.Tensor) -> dict[str, float]:
    a, b = data.controls(inside), data.controls(outside)
    one_way = {name: auroc(a[name], b[name]) for name in a}
    return {name: max(value, 1 - value) for name, value in one_way.items()}


def test_each_control_is_its_definition_written_out():
    x = torch.rand(6, 3, 5, 7).round(decimals=1)
    got = data.controls(x)
    assert set(got) == NAMES
    for n, image in enumerate(x.double().numpy()):
        down, right = np.diff(image, axis=1), np.diff(image, axis=2)
        border = [image[:, i, j] for i in range(5) for j in range(7) if i in (0, 4) or j in (0, 6)]
        pixels = np.round(x[n].numpy() * 255).astype(np.uint8)
        expected = {
            "mean": image.mean(),
            "border_mean": np.mean(border),
            "zero_share": (image == 0).mean(),
            "chroma": (image.max(0) - image.min(0)).mean(),
            "total_variation": (np.abs(down).mean() + np.abs(right).mean()) / 2,
            "compressed_length": len(zlib.compress(pixels.tobytes(), 9)),
        }
        for name, value in expected.items():
            assert got[name][n].item() == pytest.approx(value, abs=1e-12), name


def test_batches_do_not_matter():
    x = torch.rand(5000, 1, 4, 4)
    whole, part = data.controls(x), data.controls(x[4000:])
    for name in NAMES:
        assert torch.allclose(whole[name][4000:], part[name], atol=1e-15)


def test_bytes_and_floats_score_alike():
    raw = torch.randint(0, 256, (9, 3, 8, 8), dtype=torch.uint8)
    a, b = data.controls(data.ByteImages(raw)), data.controls(raw.float() / 255)
    assert all(torch.equal(a[name], b[name]) for name in NAMES)


def test_grey_images_have_no_chroma_and_no_rows_no_scores():
    assert data.controls(torch.rand(3, 1, 4, 4))["chroma"].tolist() == [0, 0, 0]
    assert all(len(v) == 0 for v in data.controls(torch.zeros(0, 1, 4, 4)).values())


@pytest.mark.usefixtures("unchecked")
def test_errors():
    with pytest.raises(
        ValueError, match=r"`x` should have shape \(N, channels, H, W\), got \(3, 4"
    ):
        data.controls(torch.rand(3, 4, 4))
    with pytest.raises(ValueError, match="at least 2 x 2 pixels"):
        data.controls(torch.rand(3, 1, 1, 4))


def test_no_control_separates_glyphs_or_held_out_digits():
    whole, strange = data.load("mnist5k"), data.glyphs().x
    assert max(separations(whole.test.x, strange).values()) < 0.7
    for split in range(5):
        known = data.held_out_classes(whole, split)
        found = separations(known.test.x, known.ood["held_out"].x)
        assert max(found.values()) < data.TRIVIAL_AUROC


@pytest.mark.parametrize("kind", ["uniform", "gaussian", "pixel_shuffled"])
def test_noise_is_trivial_and_the_controls_say_so(kind):
    test = data.load("mnist5k").test
    found = separations(test.x, data.noise(test, kind=kind).x)
    assert found["border_mean"] > 0.99 > data.TRIVIAL_AUROC


@pytest.mark.data
def test_the_border_tells_notmnist_from_mnist(data_dir):
    data_dir("mnist_t10k.npz", "notmnist_t10k.npz")
    found = separations(data.load("mnist_t10k").test.x, data.load("notmnist_t10k").test.x)
    assert found["border_mean"] == pytest.approx(0.99998, abs=5e-6)


@pytest.mark.data
def test_the_same_source_is_not_separated(data_dir):
    data_dir("mnist_t10k.npz")
    found = separations(data.load("mnist5k").test.x, data.load("mnist_t10k").test.x)
    # Standard error of a null AUROC with 1,000 and 10,000 rows: .0096.
    assert max(found.values()) < 0.5 + 4 * 0.0096
