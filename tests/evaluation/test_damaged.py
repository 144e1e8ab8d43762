"""A few hundred damaged files in the suite; ``tests/fuzz_files.py`` reads as many as asked."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.damaged import KINDS, Kind, cases, mutate, same, try_reading


def test_files_are_refused_or_read_right(tmp_path: Path) -> None:
    for kind, path, whole, rng in itertools.islice(cases(7, tmp_path), 200):
        try_reading(kind, path, whole, judge=rng.random() < 0.02)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_any_cut_and_any_flipped_bit(kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / f"file{kind.suffix}"
    kind.write(path)
    content, whole = path.read_bytes(), kind.read(path)

    @settings(max_examples=25)
    @given(st.integers(0, len(content) - 1), st.one_of(st.none(), st.integers(0, 7)))
    def check(place: int, bit: int | None) -> None:
        data = bytearray(content[:place] if bit is None else content)
        if bit is not None:
            data[place] ^= 1 << bit
        path.write_bytes(bytes(data))
        try_reading(kind, path, whole)

    check()


def test_whole_files_are_read_whole(tmp_path: Path) -> None:
    for kind in KINDS:
        path = tmp_path / f"whole{kind.suffix}"
        kind.write(path)
        assert same(kind.read(path), kind.read(path)), kind.name
        judge = kind.name == "predictions of classes"
        assert try_reading(kind, path, kind.read(path), judge=judge) == "read", kind.name


def test_mutations_change_something() -> None:
    content = bytes(range(256)) * 4
    changed = [mutate(content, np.random.default_rng(seed)) != content for seed in range(100)]
    assert sum(changed) > 90
