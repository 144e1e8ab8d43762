"""Scores of ranks and grids: the definitions, other libraries, and what spikes can't gain."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from uncertain import families
from uncertain.evaluation import Predictions, evaluate
from uncertain.evaluation.ordinal import (
    check_grid,
    grid_ranked_probability_scores,
    grid_spacing,
    log_cell_probabilities,
    ranked_probability_scores,
)
from uncertain.evaluation.row_scores import row_scores
from uncertain.families import ArrayDistribution


def test_rps_against_scoringrules():
    scoringrules = pytest.importorskip("scoringrules")
    rng = np.random.default_rng(0)
    p, y = rng.dirichlet(np.ones(5), 40), rng.integers(0, 5, 40)
    expected = scoringrules.rps_score(y + 1, p)
    np.testing.assert_allclose(ranked_probability_scores(p, y), expected, atol=1e-12)


def test_rps_is_the_crps_of_whole_numbers_and_half_the_brier_score_of_two_classes():
    rng = np.random.default_rng(0)
    p, y = rng.dirichlet(np.ones(4), 30), rng.integers(0, 4, 30)
    k = np.arange(4)
    first = (p * np.abs(k - y[:, None])).sum(axis=1)
    spread = np.einsum("ni,nj,ij->n", p, p, np.abs(k[:, None] - k))
    np.testing.assert_allclose(ranked_probability_scores(p, y), first - spread / 2, atol=1e-12)
    two = rng.dirichlet(np.ones(2), 30)
    brier = ((two - np.eye(2)[y % 2]) ** 2).sum(axis=1)
    np.testing.assert_allclose(ranked_probability_scores(two, y % 2), brier / 2, atol=1e-12)


def test_rps_is_proper():
    truth = np.array([0.1, 0.2, 0.3, 0.4])
    others = np.random.default_rng(0).dirichlet(np.ones(4), 50)

    def expected(q):
        return sum(truth[k] * ranked_probability_scores(q[None], [k])[0] for k in range(4))

    assert all(expected(q) > expected(truth) for q in others)


@pytest.mark.parametrize("family", ["normal", "student_t", "log_normal", "gaussian_marginal"])
@pytest.mark.parametrize("members", [None, 2])
def test_log_p_of_the_cell_is_the_log_of_the_mass(family, members):
    rng = np.random.default_rng(0)
    shape = (60,) if members is None else (60, members)
    parameters = {"loc": rng.normal(size=shape), "scale": 0.5 + rng.random(shape)}
    if family == "student_t":
        parameters["df"] = np.full(shape, 3.0)
    if family == "gaussian_marginal":
        scale = parameters.pop("scale")
        parameters |= {"latent_scale": scale, "noise_scale": scale}
    weights = None if members is None else rng.dirichlet(np.ones(members), 60)
    d = ArrayDistribution(family, parameters, weights)
    y = rng.integers(1, 4, 60).astype(float)
    mass = families.cdf(d, y + 0.5) - families.cdf(d, y - 0.5)
    exact = mass > 1e-9  # Below, a difference of two numbers near 1 has no digits to compare with.
    found = log_cell_probabilities(d, y, 1.0)
    np.testing.assert_allclose(found[exact], np.log(mass[exact]), rtol=1e-7)
    assert exact.sum() > 40


@pytest.mark.parametrize("far", [6.0, 9.0, 20.0, 200.0])
@pytest.mark.parametrize("scale", [0.01, 0.3, 1.0, 10.0])
def test_tails_keep_their_digits(far, scale):
    y = np.ceil(far * scale)
    d = ArrayDistribution("normal", {"loc": np.zeros(2), "scale": np.full(2, scale)})
    upper = stats.norm.logsf((y - 0.5) / scale)
    lower = stats.norm.logsf((y + 0.5) / scale)
    expected = upper + np.log1p(-np.exp(lower - upper))
    found = log_cell_probabilities(d, np.array([y, -y]), 1.0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_counts_are_their_mass_and_points_are_counted():
    d = ArrayDistribution("poisson", {"rate": np.array([2.0, 30.0])})
    y = np.array([3.0, 0.0])
    np.testing.assert_array_equal(log_cell_probabilities(d, y, 1.0), families.log_prob(d, y))
    three = log_cell_probabilities(d, np.array([3.0, 3.0]), 3.0)
    mass = stats.poisson.pmf([2, 3, 4], [[2.0], [30.0]]).sum(axis=1)
    np.testing.assert_allclose(three, np.log(mass), rtol=1e-7)
    points = ArrayDistribution("empirical", {"samples": np.array([[1.0, 1.2, 3.0, 9.0]])})
    assert log_cell_probabilities(points, np.array([1.0]), 1.0)[0] == pytest.approx(np.log(0.5))
    assert log_cell_probabilities(points, np.array([5.0]), 1.0)[0] == -np.inf


def test_several_targets_a_row():
    loc = np.array([[0.0, 1.0], [2.0, 30.0]])
    d = ArrayDistribution("normal", {"loc": loc, "scale": np.ones((2, 2))}, None, 1)
    y = np.array([[0.0, 1.0], [3.0, 2.0]])
    flat = ArrayDistribution("normal", {"loc": loc.ravel(), "scale": np.ones(4)})
    expected = log_cell_probabilities(flat, y.ravel(), 1.0).reshape(2, 2)
    np.testing.assert_allclose(log_cell_probabilities(d, y, 1.0), expected, rtol=1e-12)
    ranks = grid_ranked_probability_scores(flat, y.ravel(), 1.0).reshape(2, 2)
    np.testing.assert_allclose(grid_ranked_probability_scores(d, y, 1.0), ranks, rtol=1e-12)


def test_the_grids_rps_is_that_of_its_cells_as_classes():
    rng = np.random.default_rng(0)
    y = rng.integers(3, 9, 40).astype(float)
    d = ArrayDistribution("normal", {"loc": rng.normal(6, 1, 40), "scale": np.ones(40)})
    borders = np.arange(3, 8) + 0.5
    below = np.stack([families.cdf(d, np.full(40, b)) for b in borders], axis=1)
    p = np.diff(np.concatenate([np.zeros((40, 1)), below, np.ones((40, 1))], axis=1), axis=1)
    lowest = y.min()
    expected = ranked_probability_scores(p, (y - lowest).astype(int))
    np.testing.assert_allclose(grid_ranked_probability_scores(d, y, 1.0), expected, atol=1e-12)


def test_spikes_gain_in_density_and_not_in_cells():
    rng = np.random.default_rng(0)
    y = np.clip(np.round(rng.normal(6, 0.8, 300)), 3, 8)
    honest = ArrayDistribution("normal", {"loc": np.full(300, 6.0), "scale": np.full(300, 0.85)})
    grades, counts = np.unique(y, return_counts=True)
    tile = (300, len(grades))
    spikes = ArrayDistribution(
        "normal",
        {"loc": np.broadcast_to(grades, tile), "scale": np.full(tile, 1e-4)},
        np.broadcast_to((counts + 1) / (counts + 1).sum(), tile),
    )
    density = {name: -families.log_prob(d, y).mean() for name, d in [("h", honest), ("s", spikes)]}
    cells = {
        name: -log_cell_probabilities(d, y, 1.0).mean()
        for name, d in [("h", honest), ("s", spikes)]
    }
    assert density["s"] < density["h"] - 5
    assert abs(cells["s"] - cells["h"]) < 0.1
    assert min(cells.values()) > 0


@pytest.mark.parametrize(
    ("target", "spacing"),
    [
        (np.repeat([3, 5, 6, 8], 10), 1.0),
        (np.repeat([0.1, 0.2, 0.3, 0.7], 10), 0.1),
        (np.repeat([-4.0, 0.0, 12.0], 10), 4.0),
        (np.repeat([1.0, 2.5, 3.7], 10), None),  # 1.2 apart, and not a multiple of it
        (np.random.default_rng(0).normal(size=50), None),
        (np.repeat([1.0, 2.0], 5), None),  # too few rows to say
        (np.ones(50), None),
        (np.repeat([0.0, 1.0, 5000.0], 10), None),  # too many cells
    ],
)
def test_grids_are_found(target, spacing):
    assert grid_spacing(target) == (None if spacing is None else pytest.approx(spacing))


def test_wine_grades_are_a_grid(data_dir):
    data_dir("uci")
    from uncertain import data

    wine = data.load("uci/wine-quality-red")
    assert grid_spacing(np.asarray(wine.train.y, dtype=np.float64)) == 1.0


def test_evaluate_scores_a_grid_and_says_where_one_was_found():
    rng = np.random.default_rng(0)
    y = rng.integers(3, 9, 80).astype(float)
    d = ArrayDistribution("normal", {"loc": y + rng.normal(size=80), "scale": np.ones(80)})
    case = Predictions(d, y)
    found = evaluate(case)
    (nll,) = found.select(metric="nll")
    assert "targets lie on a grid of 1, where a density may spike: give grid=1" in nll.reason
    assert not len(found.select(metric=["grid_nll", "rps"]))
    given = evaluate(dataclasses.replace(case, grid=1))
    (cell,) = given.select(metric="grid_nll")
    assert cell.variant == "1"
    assert cell.value == pytest.approx(-log_cell_probabilities(d, y, 1.0).mean())
    assert cell.low < cell.value < cell.high
    assert "grid_nll is the score" in given.select(metric="nll").rows[0].reason
    assert {"grid_nll|1", "rps|1"} <= row_scores(dataclasses.replace(case, grid=1)).keys()


def test_evaluate_scores_ordinal_classes():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), 60)
    y = (p.cumsum(axis=1) > rng.random((60, 1))).argmax(axis=1)
    case = Predictions(ArrayDistribution("categorical", {"probs": p}), y, ordinal=True)
    (row,) = evaluate(case, replicates=100).select(metric="rps")
    assert row.value == pytest.approx(ranked_probability_scores(p, y).mean())
    assert "rps" in row_scores(case)


def test_what_a_family_cannot_answer_is_undefined():
    y = np.repeat([1.0, 2.0], 20)
    levels = np.array([0.1, 0.9])
    d = ArrayDistribution("quantiles", {"levels": levels, "values": np.tile([0.0, 3.0], (40, 1))})
    (row,) = evaluate(Predictions(d, y, groups=np.arange(40) // 2, grid=1)).select(
        metric="grid_nll"
    )
    assert row.kind == "undefined"
    assert "nothing about their tails" in row.reason


def test_orders_and_grids_are_checked():
    d = ArrayDistribution("normal", {"loc": np.zeros(3), "scale": np.ones(3)})
    c = ArrayDistribution("categorical", {"probs": np.full((3, 2), 0.5)})
    with pytest.raises(ValueError, match=r"got 1 beside targets 0 and 0\.5"):
        Predictions(d, np.array([0.0, 0.5, 1.0]), grid=1)
    with pytest.raises(ValueError, match=r"`grid` should lie in \(0, inf\), got 0"):
        check_grid([1.0], 0)
    with pytest.raises(ValueError, match="`ordinal` should be False for predictions of numbers"):
        Predictions(d, np.zeros(3), ordinal=True)
    with pytest.raises(ValueError, match="`grid` should be None for classes, got 1"):
        Predictions(c, np.zeros(3, dtype=int), grid=1)
    with pytest.raises(ValueError, match="at most 1000 cells, got 5000"):
        grid_ranked_probability_scores(d, np.array([0.0, 1.0, 5000.0]), 1.0)
    with pytest.raises(TypeError, match="nothing about their tails"):
        log_cell_probabilities(
            ArrayDistribution("quantiles", {"levels": np.array([0.5]), "values": np.zeros((1, 1))}),
            np.zeros(1),
            1.0,
        )
