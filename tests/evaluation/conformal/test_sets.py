"""Sets of classes: MAPIE's, coverage by simulation against its law, groups and shifts."""

import dataclasses
import math
import warnings

import numpy as np
import pytest
import torch

from tests.evaluation.conformal.cases import classes, numbers
from uncertain import families
from uncertain.evaluation import Predictions
from uncertain.evaluation.conformal import coverage_p_value, fit_aps, fit_raps, fit_thr

FITS = {
    "THR": fit_thr,
    "APS": fit_aps,
    "APS whole": lambda *a, **k: fit_aps(*a, randomised=False, **k),
    "RAPS": lambda *a, **k: fit_raps(*a, free_classes=2, penalty=0.05, **k),
    "RAPS whole": lambda *a, **k: fit_raps(*a, free_classes=2, penalty=0.05, randomised=False, **k),
}


@pytest.fixture(params=FITS)
def fit(request):
    return FITS[request.param]


def covered(fitted, d, y, **facts):
    return fitted(d, **facts)[np.arange(len(y)), y]


class Fixed:
    """A classifier whose probabilities are its inputs, for libraries that ask for an estimator."""

    def __init__(self, c):
        self.classes_ = np.arange(c)
        self.n_features_in_ = c

    def fit(self, x, y):
        return self

    def predict_proba(self, x):
        return np.asarray(x)

    def predict(self, x):
        return np.asarray(x).argmax(axis=1)

    def __sklearn_is_fitted__(self):
        return True


@pytest.mark.slow
def test_sets_of_one_threshold_are_mapie_s():
    from sklearn.base import BaseEstimator, ClassifierMixin

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mapie.classification import SplitConformalClassifier

        estimator = type("Estimator", (ClassifierMixin, Fixed, BaseEstimator), {})(5)
        theirs = SplitConformalClassifier(
            estimator, confidence_level=0.9, conformity_score="lac", prefit=True
        )
        d, y = classes(300)
        new, _ = classes(200, seed=1)
        theirs.conformalize(d.parameters["probs"], y)
        _, sets = theirs.predict_set(new.parameters["probs"])
    ours = fit_thr(d, y, alpha=0.1)(new)
    # Theirs fills empty sets; the rest must agree.
    filled = ours.any(axis=1)
    assert filled.mean() > 0.9
    assert np.array_equal(ours[filled], sets[filled, :, 0])


def slow_aps(p, y, new, alpha):
    """APS without chance, line by line: MAPIE's own draws chance when it calibrates."""
    scores = []
    for row, label in zip(p, y, strict=True):
        total = 0.0
        for c in sorted(range(len(row)), key=lambda c: -row[c]):
            total += row[c]
            if c == label:
                scores.append(total)
    limit = sorted(scores)[math.ceil((len(y) + 1) * (1 - alpha)) - 1]
    sets = np.zeros(new.shape, dtype=bool)
    for i, row in enumerate(new):
        total = 0.0
        for c in sorted(range(len(row)), key=lambda c: -row[c]):
            sets[i, c] = True
            total += row[c]
            if total >= limit:
                break
    return sets


def test_aps_is_the_paper_s():
    d, y = classes(150)
    new = classes(100, seed=1)[0]
    ours = fit_aps(d, y, randomised=False, alpha=0.2)(new)
    assert np.array_equal(ours, slow_aps(d.parameters["probs"], y, new.parameters["probs"], 0.2))


@pytest.mark.parametrize("name", ["APS whole", "RAPS whole"])
def test_without_chance_one_class_enters_beyond_those_within_the_threshold(name):
    fitted = FITS[name](*classes(500), alpha=0.2)
    new, target = classes(2000, seed=1)
    p = families.class_probabilities(new)
    within = fitted.class_scores(p) <= fitted.scores.thresholds(len(p))[:, None]
    ours = fitted(new)
    assert (ours | within == ours).all()
    assert np.array_equal(ours.sum(axis=1), np.minimum(within.sum(axis=1) + 1, p.shape[1]))
    # The documented smaller sets keep the promise too, here within four standard errors.
    share = within[np.arange(2000), target].mean()
    assert abs(share - 0.8) < 4 * np.sqrt(0.16 * (1 / 500 + 1 / 2000))


@pytest.mark.parametrize("name", ["THR", "APS", "RAPS"])
def test_coverage_follows_its_law(name):
    fit = FITS[name]
    p_values = []
    for seed in range(60):
        fitted = fit(*classes(50, seed=seed), alpha=0.2)
        d, y = classes(100, seed=1000 + seed)
        p_values.append(coverage_p_value(int(covered(fitted, d, y).sum()), 100, n=50, alpha=0.2))
    p = np.asarray(p_values)
    # Under the law few p-values are small, and they are spread out: 3 of 60 lie below 0.05.
    assert np.count_nonzero(p < 0.05) <= 9
    assert np.count_nonzero(p < 0.5) >= 15


@pytest.mark.parametrize("name", ["APS whole", "RAPS whole"])
def test_without_chance_sets_are_never_empty_and_cover_more(name):
    new, target = classes(3000, seed=1, concentration=0.1)
    fitted = FITS[name](*classes(3000, concentration=0.1), alpha=0.2)
    assert fitted(new).any(axis=1).all()
    assert covered(fitted, new, target).mean() > 0.85


def test_no_order_of_the_rows_changes_a_set(fit):
    d, y = classes(200)
    fitted = fit(d, y)
    order = np.random.default_rng(0).permutation(200)
    assert np.array_equal(fitted(families.select(d, order)), fitted(d)[order])
    again = fit(families.select(d, order), y[order])
    assert np.array_equal(again(d), fitted(d))


def test_too_few_rows_give_every_class(fit):
    d, y = classes(20)
    assert fit(d, y, alpha=0.01)(d).all()


def test_sets_are_of_the_most_probable_classes(fit):
    d, y = classes(300)
    found = fit(d, y)(d)
    p = np.where(found, d.parameters["probs"], 1.0).min(axis=1)
    outside = np.where(found, 0.0, d.parameters["probs"]).max(axis=1)
    assert (p >= outside).all()


def test_thr_is_smallest_and_raps_bounds_the_largest():
    d, y = classes(2000, c=20)
    sizes = {name: fit(d, y)(d).sum(axis=1) for name, fit in FITS.items()}
    assert sizes["THR"].mean() < sizes["APS"].mean() < sizes["APS whole"].mean() - 0.3
    assert sizes["RAPS"].max() < sizes["APS"].max()


def test_aps_scores_are_the_paper_s():
    p = np.array([[0.2, 0.5, 0.3]])
    fitted = fit_aps(*classes(50, c=3), randomised=False)
    assert fitted.class_scores(p)[0] == pytest.approx([1.0, 0.5, 0.8])
    raps = fit_raps(*classes(50, c=3), randomised=False, penalty=0.1, free_classes=1)
    assert raps.class_scores(p)[0] == pytest.approx([1.2, 0.5, 0.9])
    drawn = fit_aps(*classes(50, c=3)).class_scores(p)[0]
    u = drawn[1] / 0.5
    assert drawn == pytest.approx([0.8 + 0.2 * u, 0.5 * u, 0.5 + 0.3 * u])


def test_the_chance_belongs_to_the_id():
    d, y = classes(100)
    fitted = fit_aps(d, y, row_ids=np.arange(100))
    case = Predictions(d, y, row_ids=np.arange(100))
    assert np.array_equal(fitted(case), fitted(d, row_ids=np.arange(100)))
    assert not np.array_equal(fitted(case), fitted(d, row_ids=np.arange(100) + 7))
    other = fit_aps(d, y, row_ids=np.arange(100), seed=1)
    assert not np.array_equal(
        fitted.class_scores(d.parameters["probs"]), other.class_scores(d.parameters["probs"])
    )
    named = Predictions(d, y, row_ids=np.arange(100), split="validation")
    assert fit_aps(named).scores.values[""].tolist() == fitted.scores.values[""].tolist()


@pytest.mark.parametrize("name", ["THR", "APS", "RAPS"])
def test_groups_are_covered_each(name):
    fit = FITS[name]

    def hard(n, seed):
        """Half of the rows have labels that the model knows nothing of."""
        d, y = classes(n, seed)
        group = np.arange(n) % 2
        drawn = np.random.default_rng(seed).integers(0, 5, n)
        return d, np.where(group == 1, drawn, y), group

    d, y, g = hard(4000, 0)
    new, target, new_g = hard(4000, 1)
    marginal = covered(fit(d, y, alpha=0.2), new, target)
    each = covered(fit(d, y, alpha=0.2, groups=g), new, target, groups=new_g)
    for group in (0, 1):
        # Both sides have 2,000 rows: four standard errors are 0.05.
        assert each[new_g == group].mean() == pytest.approx(0.8, abs=0.05)
    assert marginal[new_g == 1].mean() < 0.75


def test_weights_repair_a_known_shift():
    def rows(n, seed, tilt):
        """An input x in [0, 1] of density ~ exp(tilt x); labels are the noisier the larger it is."""
        rng = np.random.default_rng(seed)
        x = np.log1p(rng.random(n) * np.expm1(tilt)) / tilt if tilt else rng.random(n)
        d, y = classes(n, seed)
        y = np.where(rng.random(n) < 0.8 * x, rng.integers(0, 5, n), y)
        return d, y, np.exp(3 * x)  # The density ratio of tilt 3 to tilt 0, but for a constant.

    d, y, ratio = rows(4000, 0, 0.0)
    new, target, new_ratio = rows(4000, 1, 3.0)
    plain = covered(fit_thr(d, y, alpha=0.2), new, target).mean()
    weighted = covered(
        fit_thr(d, y, alpha=0.2, weights=ratio), new, target, weights=new_ratio
    ).mean()
    assert plain < 0.75
    assert weighted == pytest.approx(0.8, abs=0.04)


def test_torch_is_read():
    d, y = classes(100)
    fitted = fit_thr(
        torch.distributions.Categorical(probs=torch.tensor(d.parameters["probs"])), torch.tensor(y)
    )
    assert fitted(torch.distributions.Categorical(probs=torch.full((2, 5), 0.2))).shape == (2, 5)


def test_refusals(fit):
    d, y = classes(60)
    with pytest.raises(TypeError, match="over classes, one a row"):
        fit(*numbers(60))
    with pytest.raises(ValueError, match=r"should have 5 classes, as .* was fitted on, got 3"):
        fit(d, y)(classes(5, c=3)[0])
    with pytest.raises(ValueError, match="`labels` should be class indices from 0 to 4"):
        fit(d, np.full(60, 5))
    with pytest.raises(ValueError, match="`alpha` should lie in"):
        fit(d, y, alpha=1.5)
    with pytest.raises(ValueError, match="at least 10 rows"):
        fit(families.select(d, slice(5)), y[:5])


def test_parameters_are_checked():
    d, y = classes(60)
    with pytest.raises(ValueError, match="`penalty` should lie in"):
        fit_raps(d, y, penalty=-1.0)
    with pytest.raises(ValueError, match="`free_classes` should lie in"):
        fit_raps(d, y, free_classes=-1)
    for each in (fit_aps, fit_raps):
        with pytest.raises(ValueError, match="`seed` should lie in"):
            each(d, y, seed=-1)


def test_a_fit_is_shown_in_a_line():
    d, y = classes(300)
    assert repr(fit_thr(d, y)) == "ConformalSets('THR', Scores(n=300, level=0.9))"
    grouped = fit_thr(d, y, alpha=0.2, groups=np.arange(300) % 2, weights=np.ones(300))
    assert repr(grouped.scores) == "Scores(n=300, level=0.8, groups=2, weighted)"


def test_a_fit_is_a_frozen_value():
    fitted = fit_thr(*classes(60))
    with pytest.raises(dataclasses.FrozenInstanceError):
        fitted.classes = 3
