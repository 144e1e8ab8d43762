"""The linear core against scikit-learn, a penalty that shrinks, and classes that are separable."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tests.evaluation.calibrators.cases import categorical, logits_of
from uncertain import families
from uncertain.evaluation.calibrators import fit_dirichlet, fit_matrix, fit_temperature, fit_vector
from uncertain.evaluation.calibrators.linear import _Objective, choose
from uncertain.families import ArrayDistribution

Z, Y = logits_of(1500, classes=4)


def test_without_a_penalty_it_is_multinomial_logistic_regression():
    ours = fit_matrix(Z, Y, regularisation=0.0)
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=2000).fit(Z, Y)
    new = logits_of(200, classes=4, seed=5)[0]
    found = families.class_probabilities(ours(new))
    assert np.allclose(found, theirs.predict_proba(new), atol=2e-5)


@pytest.mark.parametrize("diagonal", [True, False])
def test_the_gradient_is_the_slope(diagonal):
    share = np.random.default_rng(0).random(len(Y))
    objective = _Objective(Z, Y, share / share.sum(), diagonal, 0.3, 0.2)
    x = np.random.default_rng(1).normal(size=(4 if diagonal else 16) + 4)
    _, slope = objective(x)
    for i in range(len(x)):
        step = 1e-6 * np.eye(len(x))[i]
        assert slope[i] == pytest.approx(
            (objective(x + step)[0] - objective(x - step)[0]) / 2e-6, abs=1e-7
        )


def test_the_penalty_leaves_the_diagonal_alone():
    free = fit_matrix(2 * Z, Y, regularisation=0.0)
    stiff = fit_matrix(2 * Z, Y, regularisation=1e6)
    off = ~np.eye(4, dtype=bool)
    assert np.abs(stiff.weight[off]).max() < 1e-4 < np.abs(free.weight[off]).max()
    # What is left is vector scaling without a shift: here nearly a temperature of two.
    assert np.diag(stiff.weight) == pytest.approx(np.full(4, 0.5), abs=0.06)


def test_a_vector_finds_the_factors_and_shifts():
    factors, shifts = np.array([0.5, 1.0, 2.0, 1.0]), np.array([1.0, 0.0, 0.0, -1.0])
    z, y = logits_of(20_000, classes=4)
    found = fit_vector((z - shifts) / factors, y)
    assert found.weight == pytest.approx(factors, rel=0.1)
    assert found.intercept - found.intercept.mean() == pytest.approx(shifts, abs=0.15)


def test_several_penalties_are_tried_on_folds():
    z, y = logits_of(150, classes=4)
    chosen = fit_matrix(2 * z, y, regularisation=[1e-4, 1e4])
    assert chosen.regularisation == 1e4
    assert fit_matrix(2 * z, y, regularisation=[0.5]).regularisation == 0.5
    order = np.random.default_rng(0).permutation(150)
    weights = np.ones(150)
    tried = [1e-3, 1e-1, 10.0]
    facts = {"method": "matrix", "regularisation": tried, "row_ids": None}
    assert choose(z, y, weights, **facts) == choose(z[order], y[order], weights, **facts)


def test_penalties_are_checked():
    with pytest.raises(ValueError, match="`regularisation` should lie in"):
        fit_matrix(Z, Y, regularisation=-1.0)
    with pytest.raises(ValueError, match="`regularisation` should have at least one"):
        fit_dirichlet(categorical(Z), Y, regularisation=[])


def test_separable_classes_have_no_best_matrix():
    z = np.random.default_rng(0).normal(size=(60, 3))
    for fit in (fit_vector, fit_matrix):
        with pytest.raises(ValueError, match=r"should not be separable by .* scaling"):
            fit(z, z.argmax(axis=1))


def test_a_distribution_has_lost_the_raw_logits():
    for fit in (fit_vector, fit_matrix):
        with pytest.raises(
            TypeError, match=r"raw logits for .* got ArrayDistribution: a distribution"
        ):
            fit(categorical(Z), Y)
        with pytest.raises(TypeError, match="raw logits"):
            fit(Z, Y)(categorical(Z))
        with pytest.raises(ValueError, match="`logits` should be finite"):
            fit(np.where(Z > 3, np.inf, Z), Y)
        with pytest.raises(ValueError, match=r"`logits` should have shape \(N, C\)"):
            fit(Z[:, 0], Y)


def test_a_shift_of_every_logit_changes_vector_scaling_but_no_temperature():
    shift = np.linspace(-3, 3, len(Z))[:, None]
    assert fit_temperature(Z + shift, Y).temperatures == pytest.approx(
        fit_temperature(Z, Y).temperatures
    )
    weights = [fit_vector(z / [0.5, 1, 2, 1], Y).weight for z in (Z, Z + shift)]
    assert not np.allclose(*weights, atol=0.01)


def test_dirichlet_holds_temperature():
    z, y = logits_of(20_000)
    found = fit_dirichlet(categorical(2 * z), y, regularisation=1e4)
    assert np.allclose(found.weight, np.eye(3) / 2, atol=0.05)


def test_dirichlet_counts_a_probability_of_zero_as_the_floor():
    p = np.array([[1.0, 0.0], [0.6, 0.4], [0.3, 0.7], [0.0, 1.0]] * 10)
    y = np.array([0, 0, 1, 1] * 9 + [1, 1, 0, 0])
    fitted = fit_dirichlet(ArrayDistribution("categorical", {"probs": p}), y, floor=1e-6)
    found = families.class_probabilities(fitted(ArrayDistribution("categorical", {"probs": p})))
    assert ((found > 0) & (found < 1)).all()
    with pytest.raises(ValueError, match="`floor` should lie in"):
        fit_dirichlet(categorical(Z), Y, floor=0.0)


def test_tensors_of_logits_come_back_as_torch():
    import torch

    fitted = fit_vector(Z, Y)
    found = fitted(torch.tensor(Z[:5], dtype=torch.float32))
    assert isinstance(found, torch.distributions.Categorical)
    assert found.logits.dtype == torch.float32
    assert np.allclose(found.probs.numpy(), families.class_probabilities(fitted(Z[:5])), atol=1e-6)
