"""Surfaces of triangles: read from OFF files, and points drawn from them."""

import itertools
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from uncertain import checks


class Mesh(NamedTuple):
    """Triangles that share corners.

    Attributes:
        vertices: (V, 3) places of the corners.
        faces: (F, 3) which three corners each triangle has.
    """

    vertices: NDArray[Any]
    faces: NDArray[Any]


def sample_surface(
    mesh: Mesh, points: int, *, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Draw points uniformly from a surface: triangles by their area, then a point in each.

    Args:
        mesh: Its triangles; those inside it or lying on each other count too.
        points: How many.
        generator: Source of the draws.

    Returns:
        (points, 3).

    Raises:
        ValueError: A corner that does not exist or is not finite, or no area at all.

    References:
        Turk (1990), Generating random points in triangles, Graphics Gems.

    Example:
        >>> square = Mesh(np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]]),
        ...               np.array([[0, 1, 2], [0, 2, 3]]))
        >>> points = sample_surface(square, 10_000, generator=np.random.default_rng(0))
        >>> points.mean(axis=0).round(1).tolist()
        [0.5, 0.5, 0.0]
    """
    checks.check_range("points", points, 1)
    corners = _corners(mesh)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = np.linalg.norm(np.cross(first, second), axis=1) / 2
    total = np.cumsum(area)
    if not len(total) or total[-1] <= 0:
        raise ValueError("`mesh` should have a triangle with an area, got none.")
    face = np.searchsorted(total, generator.random(points) * total[-1], side="right")
    along, across = generator.random((2, points, 1))
    # The far half of the parallelogram is folded back onto the triangle.
    outside = along + across > 1
    along, across = np.where(outside, 1 - along, along), np.where(outside, 1 - across, across)
    return np.asarray(corners[face, 0] + along * first[face] + across * second[face])


def in_unit_ball(points: NDArray[Any]) -> NDArray[Any]:
    """Move a cloud's mean to the origin and size it so that its farthest point is at distance 1.

    Args:
        points: (points, 3).

    Returns:
        (points, 3).

    Example:
        >>> in_unit_ball(np.array([[0.0, 0, 0], [4.0, 0, 0]])).tolist()
        [[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    """
    centred = points - points.mean(axis=0)
    largest = np.linalg.norm(centred, axis=1).max()
    return np.asarray(centred / max(largest, np.finfo(np.float64).tiny))


def read_off(path: str | os.PathLike[str]) -> Mesh:
    r"""Read an OFF file; faces of more than three corners are cut into triangles from their first.

    In many files of ModelNet the counts stand on the line of the header (``OFF490 518 0``); those are
    read too, as are comments and colours.

    Args:
        path: The file.

    Returns:
        Its surface.

    Raises:
        ValueError: The file is no OFF file, is cut short, or names corners that it does not have.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "a.off").write_text(
        ...         "OFF3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
        ...     read_off(Path(folder) / "a.off").faces.tolist()
        [[0, 1, 2]]
    """
    lines = _lines(Path(path))
    try:
        vertices, polygons = _blocks(lines)
        mesh = Mesh(
            np.array([line[:3] for line in vertices], np.float64).reshape(-1, 3),
            np.array(_triangles(polygons), np.int64).reshape(-1, 3),
        )
        _corners(mesh)
    except (ValueError, IndexError) as error:
        raise ValueError(f"{path} should be a whole OFF file, got one with {error}") from error
    return mesh


def _lines(path: Path) -> list[list[str]]:
    """Return the words of each line after the header, which may carry the counts."""
    text = path.read_text(encoding="ascii", errors="replace")
    bare = [line.partition("#")[0].strip() for line in text.splitlines()]
    lines = [line for line in bare if line]
    if not lines or not lines[0].startswith("OFF"):
        raise ValueError(f"{path} should begin with OFF, got {lines[0][:20] if lines else ''!r}.")
    counts = lines[0].removeprefix("OFF").strip()
    return [line.split() for line in ([counts] if counts else []) + lines[1:]]


def _blocks(lines: list[list[str]]) -> tuple[list[list[str]], list[list[str]]]:
    vertices, faces = int(lines[0][0]), int(lines[0][1])
    if len(lines) < 1 + vertices + faces:
        raise ValueError(f"{len(lines) - 1} lines where it counts {vertices} + {faces}.")
    return lines[1 : 1 + vertices], lines[1 + vertices : 1 + vertices + faces]


def _triangles(polygons: list[list[str]]) -> list[tuple[int, int, int]]:
    found = []
    for words in polygons:
        corners = [int(word) for word in words[1 : 1 + int(words[0])]]
        if len(corners) < int(words[0]):
            raise ValueError(f"a face of {words[0]} corners that names {len(corners)}.")
        found += [(corners[0], a, b) for a, b in itertools.pairwise(corners[1:])]
    return found


def _corners(mesh: Mesh) -> NDArray[np.float64]:
    """Return the (F, 3, 3) corners of the triangles."""
    vertices = np.asarray(mesh.vertices, np.float64)
    checks.check_shape("mesh.vertices", vertices, ("V", 3))
    checks.check_shape("mesh.faces", mesh.faces, ("F", 3))
    checks.check_finite("mesh.vertices", vertices)
    checks.check_range("mesh.faces", mesh.faces, 0, len(vertices) - 1, hint="rows of the vertices")
    return np.asarray(vertices[mesh.faces])
