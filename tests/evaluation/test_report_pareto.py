"""The front is what nobody dominates; labels cover neither dots nor each other."""

from __future__ import annotations

import itertools
import re

import hypothesis.strategies as st
import pytest
from hypothesis import given

from uncertain.evaluation import Results, Row
from uncertain.evaluation.report.material import Material
from uncertain.evaluation.report.pareto import _Box, cost_figure, pareto_front, place_labels

numbers = st.floats(0.1, 10)


def points(pairs: list[tuple[float, float]]) -> list[tuple[str, Row, Row]]:
    return [
        (
            f"model{i}",
            Row("train_seconds", price, source=f"model{i}"),
            Row("nll", quality, low=quality - 0.1, high=quality + 0.1, source=f"model{i}"),
        )
        for i, (price, quality) in enumerate(pairs)
    ]


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=12), st.booleans())
def test_the_front_is_the_set_of_the_undominated(
    pairs: list[tuple[float, float]], up: bool
) -> None:
    found = [(p.value, q.value) for _, p, q in pareto_front(points(pairs), higher_is_better=up)]
    sign = -1 if up else 1
    better = {
        (c, q)
        for c, q in pairs
        if not any((d <= c and sign * r <= sign * q) and (d, r) != (c, q) for d, r in pairs)
    }
    assert set(found) == better
    assert found == sorted(found)


def test_labels_cover_nothing_where_there_is_room() -> None:
    places = [(100.0 + 9 * i, 150.0 + 4 * (i % 3)) for i in range(12)]
    frame = _Box(0, 0, 720, 400)
    boxes = place_labels(places, [70.0] * 12, frame)
    for one, other in itertools.combinations(boxes, 2):
        assert one.overlap(other) == 0
    for box, (x, y) in itertools.product(boxes, places):
        assert box.overlap(_Box(x - 4, y - 4, x + 4, y + 4)) == 0
    assert all(b.left >= 0 and b.right <= 720 and b.top >= 0 and b.bottom <= 400 for b in boxes)


def test_a_label_without_room_is_placed_all_the_same() -> None:
    (box,) = place_labels([(5.0, 5.0)], [100.0], _Box(0, 0, 10, 10))
    assert box.right - box.left == 100


@pytest.fixture
def drawing() -> str:
    drawn = points([(1, 3.0), (2, 2.0), (4, 2.5), (8, 1.0), (3, 90.0)])
    rows = [row for _, price, quality in drawn for row in (price, quality)]
    return cost_figure(Material(Results(rows), []), "train_seconds", "nll", drawn)


def test_every_model_has_a_dot_and_a_label_and_the_front_is_drawn(drawing: str) -> None:
    for i in range(5):
        assert f'data-source="model{i}"' in drawing
        assert f'data-label="model{i}"' in drawing
    (front,) = re.findall(r'<polyline[^>]*class="front"[^>]*>', drawing)
    assert 'data-y="3.0 3.0 2.0 2.0 1.0 1.0"' in front
    assert "Pareto front: model0, model1, model3" in drawing
    assert len(re.findall(r'class="label s\d best"', drawing)) == 3


def test_what_is_far_worse_stands_at_the_edge_with_its_value(drawing: str) -> None:
    assert re.search(r"model4 \(90[^)]*\)", drawing)
    assert 'data-y="90.0"' in drawing
