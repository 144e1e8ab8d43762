"""Coverage: at least 93 % in every cell of what the library promises."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.evaluation import simulate
from uncertain import intervals as iv

# Annotations are checked in other tests: here they would be most of the time.
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("unchecked")]


FEW, MANY = 500, 2000


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def check_coverage(estimate: Callable[[int], iv.Estimate], truth: float, *, side: bool) -> None:
    """Repeat 500 times, and go on to 2,000 where that does not show it by a deviation.

    The full table has 2,000 repetitions in every cell (benchmarks/interval_coverage.py). A cell at the
    side is held to what 500 can show, whatever they give.
    """
    required = simulate.REQUIRED
    clear = (required * (1 - required) / FEW) ** 0.5
    covered = simulate.coverage(estimate, truth, FEW)
    if side:
        assert covered >= required - 0.015
    elif covered < required + clear:
        share = FEW / MANY
        rest = simulate.coverage(estimate, truth, MANY - FEW)
        assert share * covered + (1 - share) * rest >= required


@pytest.mark.parametrize("n", simulate.SIZES)
@pytest.mark.parametrize("p", simulate.ACCURACIES)
@pytest.mark.parametrize(("cluster", "correlation"), [(5, 0.3), (10, 0.5), (5, 1.0)])
def test_clustered_accuracy_covers(p: float, n: int, cluster: int, correlation: float) -> None:
    r = rng()

    def estimate(_: int) -> iv.Estimate:
        hits, groups = simulate.outcomes(r, p, n, cluster=cluster, correlation=correlation)
        return iv.proportion(hits, groups=groups)

    check_coverage(estimate, p, side=cluster > 5)


@pytest.mark.parametrize("n", simulate.SIZES)
@pytest.mark.parametrize("area", simulate.AREAS)
@pytest.mark.parametrize(
    "kind", [{}, {"kind": "exponential", "share": 0.2}, {"cluster": 5, "correlation": 0.3}]
)
def test_area_covers(area: float, n: int, kind: dict[str, object]) -> None:
    r = rng()

    def estimate(_: int) -> iv.Estimate:
        sample = simulate.ranked(r, area, n, **kind)  # type: ignore[arg-type]
        groups = sample.groups if "cluster" in kind else None
        return iv.delong(sample.scores, sample.positive, groups=groups)

    check_coverage(estimate, area, side=bool(kind))
