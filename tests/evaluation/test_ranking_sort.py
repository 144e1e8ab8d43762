import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uncertain.evaluation import ranking_sort
from uncertain.evaluation.ranking_sort import count_rows

AWKWARD = [0.0, -0.0, 1e-45, -1e-45, 1.0, -1.0, np.inf, -np.inf, 3.4e38, -3.4e38]


@pytest.mark.parametrize("width", [32, 64])
def test_counts_at_or_below_each_score(width: int) -> None:
    exact = st.floats(allow_nan=False, width=32 if width == 32 else 64)

    @given(st.lists(st.tuples(st.one_of(st.sampled_from(AWKWARD), exact), st.booleans())))
    def check(rows: list[tuple[float, bool]]) -> None:
        scores = np.array([s for s, _ in rows], dtype=f"f{width // 8}")
        positive = np.array([p for _, p in rows], dtype=bool)
        found = count_rows(scores, positive)
        distinct = sorted({float(s) + 0.0 for s in scores})
        assert found.values.dtype == scores.dtype
        assert found.values.tolist() == distinct
        assert not np.signbit(found.values[found.values == 0]).any()
        assert found.up.tolist() == [int((scores <= t)[positive].sum()) for t in distinct]
        assert found.down.tolist() == [int((scores <= t)[~positive].sum()) for t in distinct]

    check()


@pytest.mark.parametrize("size", [1, 7, 999])
def test_blocks_join(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    scores, positive = np.round(rng.normal(size=1000), 1), rng.random(1000) < 0.3
    whole = count_rows(scores, positive)
    monkeypatch.setattr(ranking_sort, "_BLOCK", size)
    for one, other in zip(whole, count_rows(scores, positive), strict=True):
        np.testing.assert_array_equal(one, other)
