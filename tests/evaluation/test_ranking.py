import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from tests.evaluation import simulate
from uncertain import intervals as iv
from uncertain.evaluation import ranking, ranking_bootstrap
from uncertain.evaluation.ranking import rank_curve, ranking_estimates, ranking_values
from uncertain.evaluation.ranking_state import RankState

FIGURES = (
    "auroc",
    "aupr_positive",
    "aupr_negative",
    "fpr95_positive",
    "fpr95_negative",
    "aurc",
)


def sample(n: int = 500, *, digits: int | None = None, seed: int = 0) -> simulate.Sample:
    found = simulate.ranked(np.random.default_rng(seed), 0.87, n, share=0.3)
    return found if digits is None else found._replace(scores=np.round(found.scores, digits))


rows = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=30)


def split(drawn: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([r[0] for r in drawn], dtype=float), np.array([r[1] for r in drawn])


# Values


@given(rows)
def test_areas_against_scikit_learn(drawn: list[tuple[int, bool]]) -> None:
    scores, positive = split(drawn)
    if positive.all() or not positive.any():
        return
    found = ranking_values(scores, positive)
    assert found["auroc"] == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)
    assert found["aupr_positive"] == pytest.approx(
        average_precision_score(positive, scores), abs=1e-12
    )
    assert found["aupr_negative"] == pytest.approx(
        average_precision_score(~positive, -scores), abs=1e-12
    )


@pytest.mark.parametrize("digits", [None, 1])
def test_curves_against_scikit_learn(digits: int | None) -> None:
    data = sample(digits=digits)
    w = np.random.default_rng(1).random(500)
    for weights in (None, w):
        curve = rank_curve(data.scores, data.positive, weights=weights)
        fpr, tpr, thresholds = ranking.roc_points(curve)
        expected = roc_curve(
            data.positive, data.scores, sample_weight=weights, drop_intermediate=False
        )
        np.testing.assert_allclose(fpr, expected[0], atol=1e-12)
        np.testing.assert_allclose(tpr, expected[1], atol=1e-12)
        np.testing.assert_array_equal(thresholds, expected[2])
        precision, recall, at = ranking.precision_recall_points(curve)
        expected = precision_recall_curve(data.positive, data.scores, sample_weight=weights)
        np.testing.assert_allclose(precision[::-1], expected[0][:-1], atol=1e-12)
        np.testing.assert_allclose(recall[::-1], expected[1][:-1], atol=1e-12)
        np.testing.assert_array_equal(at[::-1], expected[2])
        found = ranking_values(data.scores, data.positive, weights=weights)
        assert found["auroc"] == pytest.approx(
            roc_auc_score(data.positive, data.scores, sample_weight=weights), abs=1e-12
        )
        assert found["aupr_positive"] == pytest.approx(
            average_precision_score(data.positive, data.scores, sample_weight=weights), abs=1e-12
        )


def slow_fpr(scores: np.ndarray, positive: np.ndarray, tpr: float = 0.95) -> float:
    """Lower the threshold over distinct scores until enough positives are caught."""
    for threshold in sorted(set(scores), reverse=True):
        caught = scores >= threshold
        if caught[positive].mean() >= tpr - 1e-12:
            return float(caught[~positive].mean())
    raise AssertionError


def slow_aurc(scores: np.ndarray, wrong: np.ndarray) -> float:
    """Mean over coverages, each the mean over 4,000 random orders of the ties."""
    r = np.random.default_rng(0)
    total = 0.0
    for _ in range(4000):
        order = np.lexsort((r.random(len(scores)), scores))
        total += np.mean(np.cumsum(wrong[order]) / np.arange(1, len(scores) + 1))
    return total / 4000


@given(rows)
def test_fpr_finishes_tie_groups(drawn: list[tuple[int, bool]]) -> None:
    scores, positive = split(drawn)
    if positive.all() or not positive.any():
        return
    found = ranking_values(scores, positive)
    assert found["fpr95_positive"] == pytest.approx(slow_fpr(scores, positive))
    assert found["fpr95_negative"] == pytest.approx(slow_fpr(-scores, ~positive))


def test_the_positive_class_changes_fpr_but_not_auroc() -> None:
    """Pitfall F4: one AUROC, two very different FPR95, so the name says whose it is."""
    r = np.random.default_rng(0)
    scores = np.concatenate([r.normal(0, 1, 10_000), r.normal(3, 2.5, 10_000)])
    positive = np.arange(20_000) >= 10_000
    one, other = ranking_values(scores, positive), ranking_values(-scores, ~positive)
    assert one["auroc"] == pytest.approx(other["auroc"])
    assert abs(one["fpr95_positive"] - one["fpr95_negative"]) > 0.2
    assert one["fpr95_positive"] == pytest.approx(other["fpr95_negative"])


@pytest.mark.parametrize("digits", [0, 1])
def test_aurc_averages_ties(digits: int) -> None:
    data = sample(60, digits=digits)
    found = ranking_values(data.scores, data.positive)["aurc"]
    assert found == pytest.approx(slow_aurc(data.scores, data.positive), abs=2e-3)


def test_aurc_is_the_mean_risk_without_ties() -> None:
    data = sample()
    order = np.argsort(data.scores)
    expected = np.mean(np.cumsum(data.positive[order]) / np.arange(1, 501))
    assert ranking_values(data.scores, data.positive)["aurc"] == pytest.approx(expected, abs=1e-14)
    coverage, risk, at = ranking.risk_coverage_points(rank_curve(data.scores, data.positive))
    np.testing.assert_allclose(risk, np.cumsum(data.positive[order]) / np.arange(1, 501))
    np.testing.assert_allclose(coverage, np.arange(1, 501) / 500)
    np.testing.assert_array_equal(at, data.scores[order])


def test_a_weight_is_a_count() -> None:
    data = sample(80, digits=1)
    w = np.random.default_rng(1).integers(0, 4, 80)
    copies = np.repeat(np.arange(80), w)
    weighted = ranking_values(data.scores, data.positive, weights=w)
    copied = ranking_values(data.scores[copies], data.positive[copies])
    for name in FIGURES:
        assert weighted[name] == pytest.approx(copied[name], abs=1e-12), name


def test_scale_of_fractional_weights_does_not_matter() -> None:
    data = sample(80)
    w = np.random.default_rng(1).random(80)
    one = ranking_values(data.scores, data.positive, weights=w)
    other = ranking_values(data.scores, data.positive, weights=1e-3 * w)
    for name in FIGURES:
        assert one[name] == pytest.approx(other[name], rel=1e-9), name


# Known truths


@pytest.mark.parametrize("scale", [1e-9, 1.0, 25.0, 1e6])
def test_distances_of_any_scale_are_ranked_untouched(scale: float) -> None:
    """F2: a sigmoid of distances around 20 would saturate and cost up to .37 of AUROC."""
    data = sample(4000)
    moved = scale * (data.scores + 22)
    expected = ranking_values(data.scores, data.positive)
    found = ranking_values(moved, data.positive)
    for name in FIGURES:
        assert found[name] == pytest.approx(expected[name], abs=1e-3 if scale < 1e-6 else 1e-12)


@pytest.mark.parametrize("batch", [1, 7, 64, 1000])
def test_any_batch_size_gives_the_same_bits(batch: int) -> None:
    """F3: the leading suite's AUROC moved from .905 to .990 with the batch size."""
    data = sample(1000)
    whole = ranking_estimates(data.scores, data.positive, replicates=50)
    state = RankState()
    for start in range(0, 1000, batch):
        part = slice(start, start + batch)
        assert state.update(data.scores[part], data.positive[part]) is state
    assert state.compute(replicates=50) == whole


@settings(max_examples=25)
@given(st.permutations(range(24)), st.integers(0, 24), st.booleans(), st.booleans())
def test_any_order_and_sharding_gives_the_same_bits(
    order: list[int], cut: int, weighted: bool, grouped: bool
) -> None:
    data = sample(24, digits=0)
    w = np.random.default_rng(2).random(24) if weighted else None
    g = np.array(["x", "y", "z", "u"])[np.arange(24) % 4] if grouped else None

    def take(index: object) -> dict[str, object]:
        return {
            "weights": None if w is None else w[index],
            "groups": None if g is None else g[index],
        }

    whole = RankState().update(data.scores, data.positive, **take(slice(None)))
    parts = [order[:cut], order[cut:]]
    shards = [RankState().update(data.scores[p], data.positive[p], **take(p)) for p in parts if p]
    merged = shards[-1].merge(shards[0]) if len(shards) > 1 else shards[0]
    assert len(merged) == 24
    assert merged.compute(replicates=20) == whole.compute(replicates=20)


def test_state_curve_and_empty_state() -> None:
    data = sample(50)
    state = RankState().update(data.scores, data.positive)
    np.testing.assert_array_equal(
        state.curve().thresholds, rank_curve(data.scores, data.positive).thresholds
    )
    assert RankState().compute()["auroc"].reason == "no rows"
    assert RankState().compute()["aurc"].reason == "no rows"


# Intervals


@pytest.mark.parametrize("n", [400, 20_000, 200_000])
def test_bins_have_delongs_standard_error(n: int) -> None:
    data = sample(n)
    order = np.argsort(data.scores)
    x, up = data.scores[order], data.positive[order]
    bins, _ = ranking_bootstrap.score_bins(x, up)
    count = int(bins[-1]) + 1
    assert count <= 1024
    cells = iv.cell_weights(2 * bins + up, 2 * count, replicates=8_000)
    found = ranking_bootstrap.replicate_figures(
        cells.reshape(8_000, count, 2), tpr=0.95, exact=n <= ranking_bootstrap.BINS
    )["auroc"]
    delong = iv.area_variance(iv.placements(x, up), up).variance ** 0.5
    # The Monte Carlo error of a standard deviation from 8,000 replicates is 0.8 per cent.
    assert found.std() / delong == pytest.approx(1, abs=0.02)


def test_intervals_hold_the_value_and_the_truth() -> None:
    truth = simulate.true_figures(0.87, 0.3)
    data = sample(5000)
    for name, found in ranking_estimates(data.scores, data.positive).items():
        assert found.low < found.value < found.high
        assert found.n == 5000
        if name in truth:
            assert found.low - found.margin < truth[name] < found.high + found.margin, name


def test_groups_widen_and_copies_bring_nothing() -> None:
    data = sample(600)
    twice = np.tile(np.arange(600), 2)
    once = ranking_estimates(data.scores, data.positive, replicates=2000)
    copied = ranking_estimates(
        data.scores[twice], data.positive[twice], groups=twice, replicates=2000
    )
    for name in FIGURES:
        assert copied[name].value == pytest.approx(once[name].value, abs=2e-3)
        assert copied[name].margin == pytest.approx(once[name].margin, rel=0.12), name
        assert copied[name].n_groups == 600


def test_intervals_over_few_groups_say_so_and_stay_what_they_are() -> None:
    data = sample(60)
    for groups, said in ((3, "3 groups: the interval is too short to be trusted"), (10, "")):
        ids = np.arange(60) % groups
        found = ranking_estimates(data.scores, data.positive, groups=ids, replicates=20)
        for name in ("augrc", "aurc", "aupr_positive"):
            assert math.isfinite(found[name].low)
            assert found[name].n_groups == groups
            assert found[name].reason == said
        assert found["auroc"].reason == ""


def test_perfect_scores_have_room_below() -> None:
    found = ranking_estimates(np.arange(100.0), np.arange(100) >= 50)
    assert found["auroc"].value == found["aupr_positive"].value == 1
    assert found["fpr95_positive"].value == 0
    assert 0.8 < found["aupr_positive"].low < 0.95
    assert 0.8 < found["aupr_negative"].low < 0.95
    assert 0 < found["fpr95_positive"].high < 0.1


def test_one_class() -> None:
    for label, risk, reason in ((False, 0.0, "no positive rows"), (True, 1.0, "no negative rows")):
        found = ranking_estimates(np.arange(9.0), np.full(9, label))
        for name in FIGURES[:-1]:
            assert math.isnan(found[name].value)
            assert reason in found[name].reason
        assert found["aurc"].value == risk
        assert "that of the error rate" in found["aurc"].reason
        assert found["aurc"].high - found["aurc"].low > 0.1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ranking_estimates([math.nan, 1.0], [True, False]), "a NaN has no rank"),
        (lambda: ranking_estimates([1.0, 2.0], [True]), "as many rows"),
        (lambda: ranking_estimates([1.0, 2.0], [True, False], groups=[1]), "as many rows"),
        (lambda: ranking_estimates([1.0, 2.0], [True, False], weights=[1, -1]), "`weights`"),
        (lambda: ranking_estimates([1.0, 2.0], [True, False], tpr=0.0), "`tpr` should lie in"),
        (lambda: ranking_estimates([1.0, 2.0], [True, False], replicates=5), "`replicates`"),
        (lambda: ranking_estimates([1.0, 2.0], [True, False], level=0), "`level`"),
        (
            lambda: RankState().update([1.0], [True]).update([1.0], [True], weights=[1]),
            "every piece",
        ),
    ],
)
def test_bad_input(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match=message):
        call()


def test_infinite_scores_are_in_order() -> None:
    found = ranking_values([-math.inf, 0.0, math.inf], [False, False, True])
    assert found["auroc"] == 1


def test_float32_scores_stay_and_agree() -> None:
    data = sample(2000, digits=1)
    narrow = ranking_values(data.scores.astype(np.float32), data.positive)
    assert narrow == ranking_values(data.scores, data.positive)


@pytest.mark.slow
@pytest.mark.parametrize("area", simulate.AREAS)
def test_bootstrap_intervals_cover(area: float) -> None:
    """Rows are drawn per class, so AURC (which also varies with the error rate) covers more."""
    r = np.random.default_rng(0)
    truth = simulate.true_figures(area, 0.5)
    hits = dict.fromkeys(truth, 0)
    repetitions = 120
    for repetition in range(repetitions):
        data = simulate.ranked(r, area, 300)
        found = ranking_estimates(data.scores, data.positive, replicates=200, seed=repetition)
        for name, value in truth.items():
            hits[name] += found[name].low <= value <= found[name].high
    for name, count in hits.items():
        # 120 repetitions of 94 % lie above 88 % with 99 % chance.
        assert count / repetitions >= 0.88, name
