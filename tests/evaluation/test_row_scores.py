"""Row scores: their means are the table's figures, for every family that can answer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.evaluation.cases import classifier, regressor
from uncertain import families
from uncertain.evaluation.judge import judge_one
from uncertain.evaluation.predictions import Predictions
from uncertain.evaluation.row_scores import HIGHER_IS_BETTER, row_scores
from uncertain.families import ArrayDistribution


@pytest.mark.parametrize("case", [classifier(300, noise=0.5), regressor(300)], ids=["c", "r"])
def test_means_of_row_scores_are_the_figures_of_the_table(case):
    figures = {row.metric: row.value for row in judge_one(case, replicates=100)}
    for metric, scores in row_scores(case).items():
        assert scores.shape == (300,)
        assert scores.mean() == pytest.approx(figures[metric], rel=1e-14)


def test_class_scores_are_their_definitions():
    case = classifier(50, noise=1.0)
    p, y = case.distribution.parameters["probs"], case.target
    found = row_scores(case)
    np.testing.assert_array_equal(found["accuracy"], p.argmax(1) == y)
    np.testing.assert_allclose(found["nll"], -np.log(p[np.arange(50), y]), rtol=1e-14)
    one_hot = np.eye(3)[y]
    np.testing.assert_allclose(found["brier"], ((p - one_hot) ** 2).sum(1), rtol=1e-14)
    assert set(found) & HIGHER_IS_BETTER == {"accuracy"}


def test_a_brier_score_near_zero_keeps_its_digits():
    # |p|^2 - 2p + 1 would cancel to nothing here.
    p = np.array([[1 - 1e-9, 1e-9]])
    case = Predictions(ArrayDistribution("categorical", {"probs": p}), np.array([0]))
    assert row_scores(case)["brier"][0] == pytest.approx(2e-18, rel=1e-6)


def test_regression_scores_are_their_definitions():
    case = regressor(40)
    loc, scale = (case.distribution.parameters[name] for name in ("loc", "scale"))
    found = row_scores(case)
    np.testing.assert_allclose(found["mae"], np.abs(loc - case.target), rtol=1e-12)
    np.testing.assert_allclose(
        found["nll"], -stats.norm.logpdf(case.target, loc, scale), rtol=1e-12
    )
    np.testing.assert_array_equal(found["crps"], families.crps(case.distribution, case.target))


def test_targets_are_averaged_except_in_the_joint_likelihood():
    rng = np.random.default_rng(0)
    loc, scale, y = rng.normal(size=(5, 2)), rng.random((5, 2)) + 0.5, rng.normal(size=(5, 2))
    both = row_scores(
        Predictions(ArrayDistribution("normal", {"loc": loc, "scale": scale}, event_ndim=1), y)
    )
    each = [
        row_scores(
            Predictions(
                ArrayDistribution("normal", {"loc": loc[:, t], "scale": scale[:, t]}), y[:, t]
            )
        )
        for t in (0, 1)
    ]
    for metric, combine in (("crps", 0.5), ("mae", 0.5), ("nll", 1.0)):
        expected = combine * (each[0][metric] + each[1][metric])
        np.testing.assert_allclose(both[metric], expected, rtol=1e-12)


SHORT = {"levels": np.array([0.6, 0.9]), "values": np.array([[0.0, 1.0], [1.0, 2.0]])}


@pytest.mark.parametrize(
    ("distribution", "target", "metrics"),
    [
        (ArrayDistribution("empirical", {"samples": np.eye(2)}), np.zeros(2), {"crps|ecdf", "mae"}),
        (ArrayDistribution("quantiles", SHORT), np.zeros(2), {"crps|pinball,2"}),
        (
            ArrayDistribution(
                "multivariate_normal",
                {"loc": np.zeros((2, 2)), "scale_tril": np.tile(np.eye(2), (2, 1, 1))},
            ),
            np.zeros((2, 2)),
            {"nll"},
        ),
    ],
    ids=["samples", "quantiles without a median", "joint normal"],
)
def test_a_family_gives_the_scores_it_can_answer(distribution, target, metrics):
    assert set(row_scores(Predictions(distribution, target))) == metrics


def test_rows_without_labels_are_refused():
    with pytest.raises(ValueError, match="`case` should have labels to be scored, got none"):
        row_scores(classifier(5, labelled=False, split="ood:x"))
