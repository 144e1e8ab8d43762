import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from uncertain import data
from uncertain.data import point_transforms
from uncertain.data.point_severities import POINT_SEVERITIES, POINT_VERSION

KINDS = sorted(POINT_SEVERITIES)
LOSING = {"dropout": "lost", "hole": "lost", "down_sampling": "left"}


def clouds(rows: int = 40, points: int = 64) -> torch.Tensor:
    x = torch.randn((rows, points, 3), generator=torch.Generator().manual_seed(rows))
    return x / x.norm(dim=-1).amax(dim=1)[:, None, None]


@pytest.mark.parametrize("kind", KINDS)
def test_severity_nought_is_the_identity(kind):
    x = clouds()
    assert torch.equal(data.corrupt_points(x, kind, 0, row_ids=np.arange(40)), x)


@given(
    kind=st.sampled_from(KINDS),
    severity=st.integers(1, 5),
    seed=st.integers(0, 2**50),
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    points=st.integers(1, 40),
)
@settings(max_examples=60)
def test_any_batching_and_order_gives_the_same_bits(kind, severity, seed, sizes, points):
    rows = sum(sizes)
    generator = torch.Generator().manual_seed(rows)
    x = torch.randn((rows, points, 3), generator=generator)
    ids = np.arange(rows) * 7 + 3
    whole = data.corrupt_points(x, kind, severity, seed=seed, row_ids=ids)
    assert torch.isfinite(whole).all()
    ends = list(itertools.accumulate(sizes))
    for start, end in zip([0, *ends], ends, strict=False):
        part = data.corrupt_points(x[start:end], kind, severity, seed=seed, row_ids=ids[start:end])
        if start < end:
            assert torch.equal(part, whole[start:end])
    order = torch.randperm(rows, generator=generator)
    shuffled = data.corrupt_points(x[order], kind, severity, seed=seed, row_ids=ids[order.numpy()])
    assert torch.equal(shuffled, whole[order])


@pytest.mark.parametrize("kind", KINDS)
def test_more_rows_than_a_block_give_the_same_bits(kind):
    x = clouds(1).expand(520, -1, -1)
    whole = data.corrupt_points(x, kind, 2, row_ids=np.arange(520))
    assert torch.equal(
        data.corrupt_points(x[500:], kind, 2, row_ids=np.arange(500, 520)), whole[500:]
    )


@pytest.mark.parametrize("severity", range(1, 6))
def test_rotation_keeps_distances_orientation_and_the_angle(severity):
    x = clouds().double()
    turned = data.corrupt_points(x, "rotation", severity, row_ids=np.arange(40))
    assert torch.allclose(torch.cdist(turned, turned), torch.cdist(x, x), atol=1e-7)
    # The least-squares map from the cloud to its image is the rotation itself.
    matrix = torch.linalg.lstsq(x, turned).solution
    assert torch.allclose(torch.linalg.det(matrix), torch.ones(40, dtype=torch.float64))
    traces = matrix.diagonal(dim1=1, dim2=2).sum(dim=1)
    degrees = torch.rad2deg(torch.acos((traces - 1) / 2))
    assert torch.allclose(
        degrees, torch.full_like(degrees, POINT_SEVERITIES["rotation"][severity - 1])
    )


def test_rotation_axes_point_everywhere():
    x = torch.eye(3, dtype=torch.float64).expand(4000, 3, 3)
    turned = data.corrupt_points(x, "rotation", 5, row_ids=np.arange(4000))
    # A quarter turn about a: R - R' = 2 [a]; a uniform direction has mean 0 and covariance I / 3.
    skew = (turned - turned.mT) / 2
    axis = torch.stack([skew[:, 1, 2], skew[:, 2, 0], skew[:, 0, 1]], dim=1)
    assert axis.mean(dim=0).abs().max() < 4 / np.sqrt(3 * 4000)
    assert torch.allclose(axis.T @ axis / 4000, torch.eye(3, dtype=torch.float64) / 3, atol=0.03)


def test_jitter_has_the_strength_in_the_table():
    x = clouds(200)
    for severity, deviation in enumerate(POINT_SEVERITIES["jitter"], start=1):
        noise = data.corrupt_points(x, "jitter", severity, row_ids=np.arange(200)) - x
        assert noise.std().item() == pytest.approx(deviation, rel=0.02)
        assert noise.mean().item() == pytest.approx(0, abs=4 * deviation / np.sqrt(noise.numel()))


def test_outliers_are_as_many_as_the_table_says_and_fill_the_ball():
    x = clouds(400, 100) * 0.5
    for severity, share in enumerate(POINT_SEVERITIES["outliers"], start=1):
        got = data.corrupt_points(x, "outliers", severity, row_ids=np.arange(400))
        moved = (got != x).any(dim=-1)
        assert (moved.sum(dim=1) == round(100 * share)).all()
    distance = got[moved].norm(dim=-1)
    assert distance.max() <= 0.5 + 1e-6
    # In a ball, half of the volume lies beyond 2^(-1/3) of the radius.
    beyond = (distance > 0.5 * 2 ** (-1 / 3)).double().mean().item()
    assert beyond == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("kind", sorted(LOSING))
def test_points_are_lost_as_the_table_says_and_none_comes_back(kind):
    x = clouds(20, 64)
    before = {tuple(point) for point in x[3].tolist()}
    for severity, share in enumerate(POINT_SEVERITIES[kind], start=1):
        got = data.corrupt_points(x, kind, severity, row_ids=np.arange(20))
        left = 64 * share if LOSING[kind] == "left" else 64 * (1 - share)
        assert got.shape == (20, pytest.approx(left, abs=0.5), 3)
        after = {tuple(point) for point in got[3].tolist()}
        assert after < before
        assert len(after) == got.shape[1]
        before = after


def test_a_hole_is_a_ball():
    x = clouds(20, 64)
    got = data.corrupt_points(x, "hole", 3, row_ids=np.arange(20))
    for cloud, left in zip(x, got, strict=True):
        lost = cloud[~(cloud[:, None] == left).all(dim=-1).any(dim=1)]
        # Around some lost point, all lost ones are nearer than all that are left.
        inside, outside = torch.cdist(lost, lost).amax(dim=1), torch.cdist(lost, left).amin(dim=1)
        assert (inside <= outside).any()


def test_down_sampling_is_spread_more_evenly_than_dropout():
    x, ids = clouds(50, 256), np.arange(50)

    def gap(left: torch.Tensor) -> float:
        return torch.cdist(x, left).amin(dim=2).amax(dim=1).mean().item()

    assert gap(data.corrupt_points(x, "down_sampling", 2, row_ids=ids)) < 0.7 * gap(
        data.corrupt_points(x, "dropout", 5, row_ids=ids)
    )


def test_scale_stretches_axes_within_the_table_and_keeps_the_size():
    x = clouds()
    for severity, most in enumerate(POINT_SEVERITIES["scale"], start=1):
        got = data.corrupt_points(x, "scale", severity, row_ids=np.arange(40))
        factor = got / x
        assert torch.allclose(factor, factor[:, :1].expand_as(factor), rtol=1e-4)
        assert (factor[:, 0].amax(dim=1) / factor[:, 0].amin(dim=1) <= most**2 + 1e-4).all()
        assert torch.allclose(got.norm(dim=-1).amax(dim=1), x.norm(dim=-1).amax(dim=1))


def chamfer(a: torch.Tensor, b: torch.Tensor) -> float:
    distance = torch.cdist(a.double(), b.double())
    return (distance.amin(dim=2).mean() + distance.amin(dim=1).mean()).item()


@pytest.mark.parametrize("kind", KINDS)
def test_damage_grows_with_severity(kind):
    x = clouds(100, 128)
    damage = [chamfer(data.corrupt_points(x, kind, s, row_ids=np.arange(100)), x) for s in range(6)]
    assert damage[0] == pytest.approx(0, abs=1e-6)
    assert all(low < high for low, high in itertools.pairwise(damage))


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_gives_other_clouds(kind):
    x = clouds()
    a, b = (data.corrupt_points(x, kind, 3, seed=seed, row_ids=np.arange(40)) for seed in (0, 1))
    assert not torch.equal(a, b)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_the_type_is_kept_and_the_clouds_are_the_same(kind, dtype):
    # Coordinates that every type holds exactly, so that the same points are the nearest.
    x = (clouds() * 16).round() / 16 + torch.arange(64)[:, None] / 1024 / 64
    x = x.to(torch.bfloat16).float()
    got = data.corrupt_points(x.to(dtype), kind, 2, row_ids=torch.arange(40))
    assert got.dtype == dtype
    tolerance = 1e-6 if dtype == torch.float64 else 0.02
    assert torch.allclose(
        got.float(), data.corrupt_points(x, kind, 2, row_ids=torch.arange(40)), atol=tolerance
    )


def test_farthest_points_are_those_of_a_plain_loop():
    x = clouds(5, 30).double()
    got = point_transforms.spread_points(x, 10, torch.arange(5))
    for row in range(5):
        picked = [row]
        while len(picked) < 10:
            distances = [min(float((p - x[row, j]).norm()) for j in picked) for p in x[row]]
            picked.append(int(np.argmax(distances)))
        assert got[row].tolist() == picked


def test_severities_are_five_and_versioned():
    assert POINT_VERSION == 1
    for kind, table in POINT_SEVERITIES.items():
        assert len(table) == 5
        assert list(table) == sorted(table, reverse=kind == "down_sampling")


def test_no_rows_are_no_error_and_one_point_is_left():
    assert len(data.corrupt_points(torch.zeros(0, 8, 3), "hole", 1, row_ids=np.arange(0))) == 0
    for kind in LOSING:
        one = data.corrupt_points(torch.ones(2, 1, 3), kind, 5, row_ids=np.arange(2))
        assert torch.equal(one, torch.ones(2, 1, 3))
    origin = torch.zeros(2, 4, 3)
    assert torch.equal(data.corrupt_points(origin, "scale", 5, row_ids=np.arange(2)), origin)


@pytest.mark.usefixtures("unchecked")
def test_errors_name_what_is_wrong():
    x, ids = clouds(3), np.arange(3)
    with pytest.raises(ValueError, match=r"`kind` should be one of .* did you mean jitter"):
        data.corrupt_points(x, "jiter", 1, row_ids=ids)
    for severity in (6, -1, 2.5):
        with pytest.raises(ValueError, match="`severity` should be a whole number from 0 to 5"):
            data.corrupt_points(x, "hole", severity, row_ids=ids)
    with pytest.raises(ValueError, match="`x` should be finite, got 192 NaN"):
        data.corrupt_points(x.index_fill(0, torch.tensor(1), float("nan")), "hole", 1, row_ids=ids)
    with pytest.raises(TypeError, match="`x` should be floating coordinates, got dtype"):
        data.corrupt_points(x.long(), "hole", 1, row_ids=ids)
    with pytest.raises(ValueError, match=r"`x` should have shape \(N, points, 3\)"):
        data.corrupt_points(x[..., :2], "hole", 1, row_ids=ids)
    with pytest.raises(ValueError, match="`x` should have at least one point a cloud, got none"):
        data.corrupt_points(x[:, :0], "hole", 1, row_ids=ids)
    with pytest.raises(ValueError, match=r"`row_ids` should have shape \(3,\), got \(2,\)"):
        data.corrupt_points(x, "hole", 1, row_ids=ids[:2])
