import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from uncertain import data
from uncertain.data import ByteImages
from uncertain.data.severities import SEVERITIES, VERSION

KINDS = sorted(SEVERITIES)
RANDOM = ("gaussian_noise", "impulse", "rotation", "translation", "shot_noise", "shear")


def digits(rows: int = 64) -> torch.Tensor:
    return data.load("digits").test.x[:rows]


@pytest.mark.parametrize("kind", KINDS)
def test_severity_nought_is_the_identity(kind):
    x = digits()
    assert torch.equal(data.corrupt(x, kind, 0, row_ids=np.arange(64)), x)


@given(
    kind=st.sampled_from(KINDS),
    severity=st.integers(1, 5),
    seed=st.integers(0, 2**50),
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    channels=st.sampled_from([1, 3]),
)
@settings(max_examples=60)
def test_any_batching_and_order_gives_the_same_bits(kind, severity, seed, sizes, channels):
    rows = sum(sizes)
    generator = torch.Generator().manual_seed(rows)
    x = torch.rand((rows, channels, 9, 11), generator=generator)
    ids = np.arange(rows) * 7 + 3
    whole = data.corrupt(x, kind, severity, seed=seed, row_ids=ids)
    assert whole.shape == x.shape
    assert ((whole >= 0) & (whole <= 1)).all()
    ends = list(itertools.accumulate(sizes))
    for start, end in zip([0, *ends], ends, strict=False):
        part = data.corrupt(x[start:end], kind, severity, seed=seed, row_ids=ids[start:end])
        assert torch.equal(part, whole[start:end])
    order = torch.randperm(rows, generator=generator)
    shuffled = data.corrupt(x[order], kind, severity, seed=seed, row_ids=ids[order.numpy()])
    assert torch.equal(shuffled, whole[order])


@pytest.mark.parametrize("kind", KINDS)
def test_more_rows_than_a_block_give_the_same_bits(kind):
    x = digits(1).expand(1030, -1, -1, -1)
    whole = data.corrupt(x, kind, 2, row_ids=np.arange(1030))
    assert torch.equal(data.corrupt(x[1020:], kind, 2, row_ids=np.arange(1020, 1030)), whole[1020:])


@pytest.mark.parametrize("kind", KINDS)
def test_damage_grows_with_severity(kind):
    x = data.load("digits").test.x
    x = torch.nn.functional.interpolate(x, size=28, mode="bilinear")
    damage = [
        (data.corrupt(x, kind, s, row_ids=np.arange(len(x))) - x).abs().mean() for s in range(6)
    ]
    assert damage[0] == 0
    assert all(low < high for low, high in itertools.pairwise(damage))


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_matter_where_something_is_drawn(kind):
    x, ids = digits(), np.arange(64)
    a, b = (data.corrupt(x, kind, 3, seed=seed, row_ids=ids) for seed in (0, 1))
    assert torch.equal(a, b) == (kind not in RANDOM)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_the_type_is_kept_and_the_images_are_the_same(kind, dtype):
    x, ids = digits(), torch.arange(64)
    got = data.corrupt(x.to(dtype), kind, 2, row_ids=ids)
    assert got.dtype == dtype
    tolerance = 1e-6 if dtype == torch.float64 else 0.02
    assert torch.allclose(got.float(), data.corrupt(x, kind, 2, row_ids=ids), atol=tolerance)


def test_noise_has_the_strength_in_the_table():
    x, ids = torch.full((50, 1, 40, 40), 0.5), np.arange(50)
    for severity, (deviation, share) in enumerate(
        zip(SEVERITIES["gaussian_noise"][:2], SEVERITIES["impulse"][:2], strict=True), start=1
    ):
        noisy = data.corrupt(x, "gaussian_noise", severity, row_ids=ids) - x
        assert noisy.std().item() == pytest.approx(deviation, rel=0.02)
        salted = data.corrupt(x, "impulse", severity, row_ids=ids)
        assert (salted == 0).double().mean().item() == pytest.approx(share / 2, rel=0.1)
        assert (salted == 1).double().mean().item() == pytest.approx(share / 2, rel=0.1)


def test_shot_noise_counts_light():
    x, ids = torch.full((50, 1, 40, 40), 0.3), np.arange(50)
    for severity, white in enumerate(SEVERITIES["shot_noise"][:2], start=1):
        counts = data.corrupt(x, "shot_noise", severity, row_ids=ids) * white
        assert torch.allclose(counts, counts.round(), atol=1e-4)
        assert counts.mean().item() == pytest.approx(0.3 * white, rel=0.02)
        assert counts.var().item() == pytest.approx(0.3 * white, rel=0.05)
    dark = data.corrupt(torch.zeros(50, 1, 4, 4), "shot_noise", 5, row_ids=ids)
    assert (dark == 0).all()


def test_a_row_is_hit_at_the_same_places_at_every_severity():
    x = torch.full((4, 1, 20, 20), 0.5)
    hit = [data.corrupt(x, "impulse", s, row_ids=np.arange(4)) != 0.5 for s in (1, 2, 5)]
    assert (hit[0] <= hit[1]).all()
    assert (hit[1] <= hit[2]).all()


def test_bytes_and_floats_are_corrupted_alike():
    raw = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    ids = np.arange(5)
    got = data.corrupt(ByteImages(raw), "blur", 1, row_ids=ids)
    assert torch.equal(got, data.corrupt(raw.float() / 255, "blur", 1, row_ids=ids))


def test_no_rows_are_no_error():
    assert data.corrupt(torch.zeros(0, 1, 8, 8), "blur", 1, row_ids=np.arange(0)).shape[0] == 0


def test_severities_are_five_and_versioned():
    assert VERSION == 1
    assert all(len(table) == 5 for table in SEVERITIES.values())
    for kind, table in SEVERITIES.items():
        falling = kind in ("contrast", "down_scaling", "shot_noise", "scale")
        assert list(table) == sorted(table, reverse=falling)


@pytest.mark.usefixtures("unchecked")
def test_errors_name_what_is_wrong():
    x, ids = torch.rand(3, 1, 8, 8), np.arange(3)
    with pytest.raises(ValueError, match=r"`kind` should be one of .* did you mean rotation"):
        data.corrupt(x, "rotate", 1, row_ids=ids)
    for severity in (6, -1, 2.5):
        with pytest.raises(ValueError, match="`severity` should be a whole number from 0 to 5"):
            data.corrupt(x, "blur", severity, row_ids=ids)
    with pytest.raises(ValueError, match=r"`x` should lie in \[0, 1\], got 255.0"):
        data.corrupt(x * 0 + 255, "blur", 1, row_ids=ids)
    with pytest.raises(ValueError, match=r"`x` should lie in \[0, 1\], got nan"):
        data.corrupt(x.index_fill(0, torch.tensor(1), float("nan")), "blur", 1, row_ids=ids)
    with pytest.raises(TypeError, match="divide bytes by 255"):
        data.corrupt((x * 255).byte(), "blur", 1, row_ids=ids)
    with pytest.raises(ValueError, match=r"`x` should have shape \(N, channels, H, W\)"):
        data.corrupt(x[0], "blur", 1, row_ids=ids)
    with pytest.raises(ValueError, match=r"`row_ids` should have shape \(3,\), got \(2,\)"):
        data.corrupt(x, "blur", 1, row_ids=ids[:2])
