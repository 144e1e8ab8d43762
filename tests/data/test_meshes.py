import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uncertain.data import meshes
from uncertain.data.meshes import Mesh

SQUARE = np.array([[0.0, 0, 0], [2, 0, 0], [2, 1, 0], [0, 1, 0]])
CUBE = """OFF
# corners, then sides
8 6 12
0 0 0
1 0 0
1 1 0
0 1 0
0 0 1
1 0 1
1 1 1
0 1 1

4 3 2 1 0
4 4 5 6 7 255 0 0
4 0 1 5 4
4 1 2 6 5
4 2 3 7 6
4 3 0 4 7
"""


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_points_are_uniform_on_a_square_of_unequal_triangles():
    # A fan about a corner near an edge: four triangles of quite different areas.
    middle = np.vstack([SQUARE, [0.2, 0.9, 0]])
    mesh = Mesh(middle, np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]]))
    points = meshes.sample_surface(mesh, 40_000, generator=generator())
    counts = np.histogram2d(points[:, 0] / 2, points[:, 1], bins=10, range=[[0, 1], [0, 1]])[0]
    # Chi-squared with 99 degrees of freedom: mean 99, deviation 14.1.
    assert ((counts - 400) ** 2 / 400).sum() < 99 + 5 * 14.1
    assert (points[:, 2] == 0).all()


def test_points_of_a_sphere_have_its_moments():
    trimesh = pytest.importorskip("trimesh.creation")
    ball = trimesh.icosphere(subdivisions=4)
    mesh = Mesh(np.asarray(ball.vertices), np.asarray(ball.faces))
    points = meshes.sample_surface(mesh, 30_000, generator=generator())
    assert np.abs(points.mean(axis=0)).max() < 4 / np.sqrt(3 * 30_000)
    assert np.allclose(points.T @ points / 30_000, np.eye(3) / 3, atol=0.01)


def test_a_seed_draws_the_same_points():
    mesh = Mesh(SQUARE, np.array([[0, 1, 2], [0, 2, 3]]))
    one, same, other = (
        meshes.sample_surface(mesh, 50, generator=generator(seed)) for seed in (0, 0, 1)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_triangles_without_area_get_no_points():
    mesh = Mesh(SQUARE, np.array([[0, 0, 0], [0, 1, 2], [1, 1, 2]]))
    points = meshes.sample_surface(mesh, 500, generator=generator())
    assert (points[:, 1] <= points[:, 0] / 2 + 1e-12).all()


@given(st.integers(1, 30), st.integers(0, 99))
def test_clouds_are_centred_and_sized(rows, seed):
    points = 100 * generator(seed).normal(size=(rows, 3)) + 7
    ball = meshes.in_unit_ball(points)
    assert np.allclose(ball.mean(axis=0), 0, atol=1e-12)
    assert np.linalg.norm(ball, axis=1).max() == pytest.approx(0 if rows == 1 else 1)


def test_a_cube_is_read_with_its_sides_in_triangles(tmp_path):
    path = tmp_path / "cube.off"
    path.write_text(CUBE)
    mesh = meshes.read_off(path)
    assert mesh.vertices.shape == (8, 3)
    assert mesh.faces.shape == (12, 3)
    corners = mesh.vertices[mesh.faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert np.linalg.norm(across, axis=1).sum() / 2 == pytest.approx(6)
    # The divergence theorem: turned outwards, the triangles enclose the cube.
    assert (corners[:, 0] * across).sum() / 6 == pytest.approx(1)


@pytest.mark.parametrize("header", ["OFF8 6 12\n", "OFF 8 6 12\n", "OFF8 6 12  # counts\n"])
def test_counts_may_stand_on_the_headers_line(tmp_path, header):
    (tmp_path / "plain.off").write_text(CUBE)
    (tmp_path / "joined.off").write_text(header + CUBE.split("8 6 12\n")[1])
    plain, joined = (meshes.read_off(tmp_path / f"{n}.off") for n in ("plain", "joined"))
    assert np.array_equal(plain.vertices, joined.vertices)
    assert np.array_equal(plain.faces, joined.faces)


def test_trimesh_reads_the_same(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    (tmp_path / "cube.off").write_text(CUBE)
    theirs = trimesh.load(tmp_path / "cube.off", process=False)
    assert np.array_equal(meshes.read_off(tmp_path / "cube.off").vertices, theirs.vertices)
    assert theirs.area == pytest.approx(6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "should begin with OFF, got ''"),
        ("ply\n8 6 12\n", "should begin with OFF, got 'ply'"),
        ("OFF\n", "should be a whole OFF file"),
        ("OFF\neight 6 12\n", "should be a whole OFF file"),
        (CUBE[:60], "should be a whole OFF file, got one with .* lines where it counts 8"),
        (CUBE.replace("4 3 2 1 0", "4 3 2 1"), "a face of 4 corners that names 3"),
        (CUBE.replace("4 3 2 1 0", "4 3 2 1 8"), r"should lie in \[0, 7\], got 8"),
        (CUBE.replace("4 3 2 1 0", "4 3 2 1 -1"), r"should lie in \[0, 7\], got -1"),
        (CUBE.replace("0 1 1\n", "0 1 nan\n"), "should be finite, got 1 NaN"),
    ],
    ids=["empty", "ply", "no counts", "words", "cut", "short face", "high", "low", "nan"],
)
def test_damaged_files_are_refused(tmp_path, text, message):
    (tmp_path / "bad.off").write_text(text)
    with pytest.raises(ValueError, match=message):
        meshes.read_off(tmp_path / "bad.off")


def test_surfaces_without_area_or_points_are_refused():
    with pytest.raises(ValueError, match="`mesh` should have a triangle with an area, got none"):
        meshes.sample_surface(Mesh(SQUARE, np.zeros((1, 3), int)), 5, generator=generator())
    with pytest.raises(ValueError, match="`mesh` should have a triangle with an area, got none"):
        meshes.sample_surface(Mesh(SQUARE, np.zeros((0, 3), int)), 5, generator=generator())
    with pytest.raises(ValueError, match=r"`points` should lie in \[1, inf\], got 0"):
        meshes.sample_surface(Mesh(SQUARE, np.array([[0, 1, 2]])), 0, generator=generator())
