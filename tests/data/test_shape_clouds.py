import numpy as np
import pytest
import torch

from uncertain import data
from uncertain.data.meshes import sample_surface
from uncertain.data.shape_families import FAMILIES

pytest.importorskip("trimesh")


def test_rows_are_clouds_in_the_unit_ball_with_classes_in_turn():
    drawn = data.shapes(3, points=100)
    assert drawn.x.shape == (3 * len(FAMILIES), 100, 3)
    assert drawn.x.dtype == torch.float32
    assert drawn.y.bincount().tolist() == [3] * len(FAMILIES)
    assert torch.allclose(drawn.x.mean(dim=1), torch.zeros(len(drawn), 3), atol=1e-6)
    assert torch.allclose(drawn.x.norm(dim=-1).amax(dim=1), torch.ones(len(drawn)))


def test_more_rows_begin_with_the_same_ones_and_seeds_matter():
    few, many, other = data.shapes(1), data.shapes(2), data.shapes(1, seed=1)
    assert torch.equal(many.x[: len(few)], few.x)
    assert not torch.equal(other.x, few.x)


@pytest.mark.parametrize("name", FAMILIES)
def test_shapes_of_a_family_differ_in_proportion(name):
    first, second = (FAMILIES[name](np.random.default_rng(seed)) for seed in (0, 1))
    sizes = [np.ptp(mesh.vertices, axis=0) for mesh in (first, second)]
    assert not np.allclose(sizes[0] / sizes[0].max(), sizes[1] / sizes[1].max(), rtol=0.01)


@pytest.mark.parametrize(
    ("name", "volume"),
    [
        ("box", lambda size, _: size.prod()),
        ("cone", lambda size, _: size.prod() * np.pi / 12),
        ("cylinder", lambda size, _: size.prod() * np.pi / 4),
        ("ellipsoid", lambda size, _: size.prod() * np.pi / 6),
        ("capsule", lambda size, r: np.pi * r**2 * (size[2] - 2 * r) + 4 / 3 * np.pi * r**3),
    ],
    ids=["box", "cone", "cylinder", "ellipsoid", "capsule"],
)
def test_solids_are_closed_and_have_the_volume_of_their_name(name, volume):
    for seed in range(5):
        mesh = FAMILIES[name](np.random.default_rng(seed))
        corners = mesh.vertices[mesh.faces]
        across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        assert np.allclose(across.sum(axis=0), 0, atol=1e-9)
        size = np.ptp(mesh.vertices, axis=0)
        # Round sides are made of 16 or 24 flat ones.
        expected = volume(size, size[0] / 2)
        assert (corners[:, 0] * across).sum() / 6 == pytest.approx(expected, rel=0.08)


def test_a_mug_has_its_handle_outside():
    mesh = FAMILIES["mug"](np.random.default_rng(0))
    points = sample_surface(mesh, 4000, generator=np.random.default_rng(0))
    wide = -points[:, 0].min()
    handle = points[points[:, 0] > 1.02 * wide]
    assert 0.02 < len(handle) / 4000 < 0.4
    assert np.abs(handle[:, 1]).max() < 0.1


def test_the_packaged_set_keeps_shapes_apart():
    card = data.show("shapes")
    assert card.classes == tuple(FAMILIES)
    assert card.shape == (256, 3)
    assert set(card.duplicates.values()) == {0}


def test_errors_name_what_is_wrong(monkeypatch):
    with pytest.raises(ValueError, match=r"`per_class` should lie in \[1, inf\], got 0"):
        data.shapes(0)
    with pytest.raises(ValueError, match=r"`points` should lie in \[1, inf\], got 0"):
        data.shapes(1, points=0)
