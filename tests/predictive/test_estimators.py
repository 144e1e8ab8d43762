"""scikit-learn's estimators as predictors, against their own predictions."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import (
    BayesianRidge,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch.distributions import Independent, Normal, Poisson

from uncertain.predictive import (
    Empirical,
    GaussianMarginal,
    Quantiles,
    class_log_probs,
    class_probs,
    decompose,
    from_sklearn,
    predict,
)

rng = np.random.default_rng(0)
X = rng.normal(size=(80, 3))
Y = X @ [1.0, -1.0, 0.5] + 0.1 * rng.normal(size=80)
LABELS = np.array(["ant", "bee", "cow"])[np.digitize(Y, [-0.5, 0.5])]
TEST = torch.from_numpy(rng.normal(size=(9, 3)))


@pytest.mark.parametrize(
    "estimator",
    [
        RandomForestClassifier(20, random_state=0),
        LogisticRegression(),
        GaussianNB(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        HistGradientBoostingClassifier(max_iter=5),
        CalibratedClassifierCV(LinearSVC(), cv=2),
    ],
    ids=lambda e: type(e).__name__,
)
def test_classifiers(estimator):
    predictor = from_sklearn(estimator.fit(X, LABELS))
    assert predictor.class_names == ("ant", "bee", "cow")
    dist = predict(predictor, TEST, batch_size=4)
    # Products of other shapes may round in another order.
    np.testing.assert_allclose(class_probs(dist), estimator.predict_proba(TEST.numpy()), rtol=1e-12)
    assert predictor(TEST.float()).probs.dtype == torch.float32
    assert predictor(TEST.half()).probs.dtype == torch.float32
    best = np.array(predictor.classes)[dist.probs.argmax(-1)]
    assert np.array_equal(best, estimator.predict(TEST.numpy()))


def test_exact_zeros_score_minus_infinity():
    forest = RandomForestClassifier(5, random_state=0).fit(X, LABELS)
    predictor = from_sklearn(forest)
    dist = predictor(torch.from_numpy(X))
    zeros = forest.predict_proba(X) == 0
    assert zeros.any()
    logs = class_log_probs(dist).numpy()
    assert (logs[zeros] == -np.inf).all()
    assert not np.isnan(logs).any()
    assert np.array_equal(dist.log_prob(torch.zeros(80)), logs[:, 0])
    assert not torch.isnan(dist.entropy()).any()


def test_classes_in_another_order_and_unseen_ones():
    forest = RandomForestClassifier(5, random_state=0).fit(X, LABELS)
    predictor = from_sklearn(forest, classes=["cow", "dog", "bee", "ant"])
    probs = class_probs(predictor(TEST)).numpy()
    assert np.array_equal(probs[:, [3, 2, 0]], forest.predict_proba(TEST.numpy()))
    assert (probs[:, 1] == 0).all()
    assert predictor.encode(["dog", "ant"]).tolist() == [1, 3]
    with pytest.raises(ValueError, match=r"among the classes .* got 'eel' \(1 of 2 rows\)"):
        predictor.encode(["eel", "ant"])
    with pytest.raises(ValueError, match="should name every class of the estimator once"):
        from_sklearn(forest, classes=["ant", "bee"])
    with pytest.raises(ValueError, match="asked of a classifier, got a regressor"):
        from_sklearn(PoissonRegressor()).encode([1])


@pytest.mark.parametrize(
    "forest",
    [
        RandomForestRegressor(7, random_state=0),
        ExtraTreesRegressor(7, random_state=0),
        BaggingRegressor(n_estimators=7, max_features=0.7, random_state=0),
    ],
    ids=lambda e: type(e).__name__,
)
def test_forests_keep_their_trees(forest):
    forest.fit(X, Y)
    mean = torch.from_numpy(forest.predict(TEST.numpy()))
    bare = from_sklearn(forest)(TEST)
    assert isinstance(bare, Empirical)
    torch.testing.assert_close(bare.mean, mean)
    noisy = from_sklearn(forest, scale=0.3)(TEST)
    torch.testing.assert_close(noisy.mean, mean)
    parts = decompose(noisy)
    torch.testing.assert_close(parts.aleatoric, torch.full_like(mean, 0.09))
    torch.testing.assert_close(parts.epistemic, bare.variance)


def test_several_outputs():
    both = np.stack([Y, 2 * Y], axis=1)
    forest = RandomForestRegressor(4, random_state=0).fit(X, both)
    bare = predict(from_sklearn(forest), TEST, batch_size=4)
    assert bare.event_shape == (2,)
    torch.testing.assert_close(bare.mean, torch.from_numpy(forest.predict(TEST.numpy())))
    noisy = predict(from_sklearn(forest, scale=1.0), TEST)
    torch.testing.assert_close(noisy.mean, bare.mean)
    linear = from_sklearn(LinearRegression().fit(X, both), scale=0.1)(TEST)
    assert isinstance(linear, Independent)


def test_regressors_with_a_spread_of_their_own():
    ridge = BayesianRidge().fit(X, Y)
    dist = from_sklearn(ridge)(TEST)
    mean, std = ridge.predict(TEST.numpy(), return_std=True)
    assert isinstance(dist, GaussianMarginal)
    np.testing.assert_allclose(dist.scale, std)
    np.testing.assert_allclose(dist.noise_variance, 1 / ridge.alpha_)
    process = GaussianProcessRegressor(alpha=0.01).fit(X, Y)
    dist = from_sklearn(process)(TEST)
    mean, std = process.predict(TEST.numpy(), return_std=True)
    np.testing.assert_allclose(dist.loc, mean)
    np.testing.assert_allclose(dist.scale, std)


def test_counts_residuals_and_quantiles():
    counts = rng.poisson(np.exp(X[:, 0]))
    poisson = PoissonRegressor().fit(X, counts)
    dist = from_sklearn(poisson)(TEST)
    assert isinstance(dist, Poisson)
    np.testing.assert_allclose(dist.rate, poisson.predict(TEST.numpy()))
    linear = LinearRegression().fit(X, Y)
    dist = from_sklearn(linear, scale=0.25)(TEST)
    assert isinstance(dist, Normal)
    np.testing.assert_allclose(dist.loc, linear.predict(TEST.numpy()))
    levels = {
        q: GradientBoostingRegressor(loss="quantile", alpha=q, n_estimators=5).fit(X, Y)
        for q in (0.9, 0.1, 0.5)
    }
    dist = predict(from_sklearn(levels), TEST, batch_size=4)
    assert isinstance(dist, Quantiles)
    assert dist.levels.tolist() == [0.1, 0.5, 0.9]
    raw = np.stack([levels[q].predict(TEST.numpy()) for q in (0.1, 0.5, 0.9)], axis=1)
    np.testing.assert_allclose(dist.values, np.sort(raw, axis=1))


def test_named_columns_and_images():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    forest = RandomForestClassifier(5, random_state=0).fit(frame, LABELS)
    predictor = from_sklearn(forest)
    expected = forest.predict_proba(pandas.DataFrame(TEST.numpy(), columns=["a", "b", "c"]))
    table = pa.table({"c": TEST[:, 2].numpy(), "b": TEST[:, 1].numpy(), "a": TEST[:, 0].numpy()})
    for rows in (TEST, table, table.to_pandas()[["a", "b", "c"]]):
        assert np.array_equal(class_probs(predict(predictor, rows)), expected)
    plain = from_sklearn(RandomForestClassifier(5, random_state=0).fit(X, LABELS))
    plain_table = pa.table(
        {"a": TEST[:, 0].numpy(), "b": TEST[:, 1].numpy(), "c": TEST[:, 2].numpy()}
    )
    for rows in (plain_table, plain_table.to_pandas(), TEST.reshape(9, 1, 3)):
        assert np.array_equal(class_probs(predict(plain, rows)), expected)


def test_refusals():
    with pytest.raises(ValueError, match="`scale` should be given for LinearRegression, which"):
        from_sklearn(LinearRegression())
    with pytest.raises(ValueError, match=r"`scale` should lie in \(0, inf\]"):
        from_sklearn(LinearRegression(), scale=0.0)
    with pytest.raises(TypeError, match="got LinearSVC, which only decides: wrap it in"):
        from_sklearn(LinearSVC().fit(X, LABELS))
    with pytest.raises(TypeError, match=r"should predict one target, got .* for 2"):
        from_sklearn(RandomForestClassifier(2).fit(X, np.stack([LABELS, LABELS], axis=1)))
    with pytest.raises(TypeError, match="should have `predict` or `predict_proba`, got Standard"):
        from_sklearn(StandardScaler())
    with pytest.raises(ValueError, match=r"`estimator levels` should lie in \(0, 1\)"):
        from_sklearn({1.5: LinearRegression()})
