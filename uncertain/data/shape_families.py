"""Families of shapes whose proportions vary: what a row of the set ``shapes`` is drawn from.

The solids are trimesh's; furniture and vessels are put together from them. The vertical axis is the
third. Ranges overlap on purpose: a low, wide cylinder is nearly a disc and a tall box nearly a shelf.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uncertain import checks
from uncertain.data.meshes import Mesh, in_unit_ball, sample_surface
from uncertain.data.sources import Source

PER_CLASS, POINTS = 120, 256
"""Rows of a class and points of a row in ``load("shapes")``."""

_SECTIONS = 24

Numbers = Sequence[float] | NDArray[Any]
"""Three of them: a place or a size."""

Family = Callable[[np.random.Generator], Mesh]
"""Draws one shape."""


def _box(draw: np.random.Generator) -> Mesh:
    return _cuboid(draw.uniform(0.4, 1.6, 3))


def _cylinder(draw: np.random.Generator) -> Mesh:
    return _rod(draw.uniform(0.3, 0.8), draw.uniform(0.5, 2.4))


def _cone(draw: np.random.Generator) -> Mesh:
    return _turned([(0, 0), (draw.uniform(0.3, 0.9), 0), (0, draw.uniform(0.6, 2.4))])


def _capsule(draw: np.random.Generator) -> Mesh:
    radius = draw.uniform(0.25, 0.7)
    return _plain(_solids().capsule(height=draw.uniform(0.2, 1.8), radius=radius, count=(16, 16)))


def _ellipsoid(draw: np.random.Generator) -> Mesh:
    ball = _unit_ball()
    return Mesh(ball.vertices * draw.uniform(0.4, 1.4, 3), ball.faces)


def _torus(draw: np.random.Generator) -> Mesh:
    ring = _ring(1.0, draw.uniform(0.15, 0.45))
    return Mesh(ring.vertices * [1, 1, draw.uniform(0.6, 1.8)], ring.faces)


def _tube(draw: np.random.Generator) -> Mesh:
    outer, height = draw.uniform(0.4, 0.9), draw.uniform(0.4, 2.2)
    inner = outer * draw.uniform(0.5, 0.85)
    return _turned([(inner, 0), (outer, 0), (outer, height), (inner, height), (inner, 0)])


def _table(draw: np.random.Generator) -> Mesh:
    size = np.array([draw.uniform(0.8, 1.8), draw.uniform(0.6, 1.2), draw.uniform(0.03, 0.1)])
    height = draw.uniform(0.4, 1.0)
    return _joined(
        _cuboid(size, (0, 0, height + size[2] / 2)),
        *_legs(size, height, draw.uniform(0.04, 0.12)),
    )


def _chair(draw: np.random.Generator) -> Mesh:
    size = np.array([draw.uniform(0.4, 0.6), draw.uniform(0.4, 0.6), draw.uniform(0.03, 0.1)])
    height, thick = draw.uniform(0.3, 0.55), draw.uniform(0.03, 0.08)
    back = draw.uniform(0.25, 0.7)
    return _joined(
        _cuboid(size, (0, 0, height + size[2] / 2)),
        _cuboid((size[0], thick, back), (0, (size[1] - thick) / 2, height + size[2] + back / 2)),
        *_legs(size, height, draw.uniform(0.03, 0.08)),
    )


def _stool(draw: np.random.Generator) -> Mesh:
    radius, height = draw.uniform(0.2, 0.4), draw.uniform(0.3, 0.9)
    legs = int(draw.integers(3, 5))
    turn = 2 * np.pi * (np.arange(legs) / legs + draw.random())
    places = 0.8 * radius * np.column_stack([np.cos(turn), np.sin(turn), 0 * turn])
    thick = draw.uniform(0.02, 0.05)
    return _joined(
        _rod(radius, draw.uniform(0.04, 0.12), (0, 0, height)),
        *(_rod(thick, height, place) for place in places),
    )


def _shelf(draw: np.random.Generator) -> Mesh:
    wide, deep, high = draw.uniform(0.5, 1.2), draw.uniform(0.2, 0.5), draw.uniform(0.8, 1.8)
    thick, boards = draw.uniform(0.02, 0.06), int(draw.integers(2, 6))
    sides = [_cuboid((thick, deep, high), (s * wide / 2, 0, high / 2)) for s in (-1, 1)]
    levels = np.linspace(thick / 2, high - thick / 2, boards + 1)
    return _joined(*sides, *(_cuboid((wide, deep, thick), (0, 0, z)) for z in levels))


def _lamp(draw: np.random.Generator) -> Mesh:
    height, foot, wide = draw.uniform(0.7, 1.6), draw.uniform(0.15, 0.35), draw.uniform(0.2, 0.5)
    shade = draw.uniform(0.2, 0.5)
    narrow = wide * draw.uniform(0.3, 0.9)
    return _joined(
        _rod(foot, draw.uniform(0.02, 0.08)),
        _rod(draw.uniform(0.015, 0.04), height),
        _turned([(wide, height - 0.6 * shade), (narrow, height + 0.4 * shade)]),
    )


def _bottle(draw: np.random.Generator) -> Mesh:
    wide, body, neck = draw.uniform(0.25, 0.5), draw.uniform(0.5, 1.3), draw.uniform(0.2, 0.6)
    narrow, shoulder = wide * draw.uniform(0.2, 0.5), draw.uniform(0.1, 0.4)
    top = body + shoulder
    return _turned(
        [(0, 0), (wide, 0), (wide, body), (narrow, top), (narrow, top + neck), (0, top + neck)]
    )


def _mug(draw: np.random.Generator) -> Mesh:
    wide, height, wall = draw.uniform(0.3, 0.5), draw.uniform(0.5, 1.1), draw.uniform(0.02, 0.06)
    inner = wide * draw.uniform(0.8, 1.1) - wall
    cup = _turned(
        [(0, 0), (wide, 0), (inner + wall, height), (inner, height), (wide - wall, wall), (0, wall)]
    )
    ring = _ring(height * draw.uniform(0.25, 0.4), draw.uniform(0.03, 0.07))
    place = ring.vertices[:, [0, 2, 1]] + [wide, 0, height / 2]
    # Of the handle's ring, only what is outside.
    outside = place[ring.faces][..., 0].min(axis=1) > wide - wall
    return _joined(cup, Mesh(place, ring.faces[outside]))


FAMILIES: Mapping[str, Family] = {
    "box": _box,
    "cylinder": _cylinder,
    "cone": _cone,
    "capsule": _capsule,
    "ellipsoid": _ellipsoid,
    "torus": _torus,
    "tube": _tube,
    "table": _table,
    "chair": _chair,
    "stool": _stool,
    "shelf": _shelf,
    "lamp": _lamp,
    "bottle": _bottle,
    "mug": _mug,
}
"""Classes of the set ``shapes``, in the order of their labels."""


def read_shapes(folder: Path) -> Source:
    """Draw the set that ``load("shapes")`` splits."""
    y = np.tile(np.arange(len(FAMILIES)), PER_CLASS)
    return Source(draw_clouds(PER_CLASS, POINTS, seed=0), y, classes=tuple(FAMILIES))


def draw_clouds(per_class: int, points: int, *, seed: int) -> NDArray[np.float64]:
    """Return (rows, points, 3) clouds, families in turn; each row from a generator of its own.

    Args:
        per_class: Rows of each family.
        points: Points of a row.
        seed: Another seed gives other shapes.

    Returns:
        (per_class * families, points, 3), in the unit ball.

    Example:
        >>> draw_clouds(1, 8, seed=0).shape
        (14, 8, 3)
    """
    families = list(FAMILIES.values())
    clouds = np.empty((per_class * len(families), points, 3))
    for row in range(len(clouds)):
        draw = np.random.default_rng([seed, row])
        surface = families[row % len(families)](draw)
        clouds[row] = in_unit_ball(sample_surface(surface, points, generator=draw))
    return clouds


def _solids() -> Any:
    return checks.require("trimesh.creation", "points")


def _plain(mesh: Any) -> Mesh:
    return Mesh(np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64))


@functools.cache
def _unit_box() -> Mesh:
    return _plain(_solids().box(extents=(1, 1, 1)))


@functools.cache
def _unit_ball() -> Mesh:
    return _plain(_solids().icosphere(subdivisions=2))


def _cuboid(size: Numbers, at: Numbers = (0, 0, 0)) -> Mesh:
    """A box about its centre."""
    solid = _unit_box()
    return Mesh(solid.vertices * np.asarray(size) + np.asarray(at), solid.faces)


def _rod(radius: float, height: float, at: Numbers = (0, 0, 0)) -> Mesh:
    """A cylinder that stands on its place."""
    solid = _turned([(0, 0), (radius, 0), (radius, height), (0, height)])
    return Mesh(solid.vertices + np.asarray(at), solid.faces)


def _ring(radius: float, thick: float) -> Mesh:
    return _plain(_solids().torus(radius, thick, major_sections=32, minor_sections=12))


def _turned(profile: Sequence[tuple[float, float]]) -> Mesh:
    """Turn an outline of (distance, height) about the vertical axis."""
    return _plain(_solids().revolve(np.array(profile, np.float64), sections=_SECTIONS))


def _legs(top: NDArray[Any], height: float, thick: float) -> list[Mesh]:
    """Four legs under the corners of a top."""
    places = [
        (x * (top[0] - thick) / 2, y * (top[1] - thick) / 2, height / 2)
        for x in (-1, 1)
        for y in (-1, 1)
    ]
    return [_cuboid((thick, thick, height), place) for place in places]


def _joined(*parts: Mesh) -> Mesh:
    starts = np.cumsum([0, *(len(part.vertices) for part in parts[:-1])])
    return Mesh(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=True)]),
    )
