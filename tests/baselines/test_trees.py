"""Forests and boosting, and the noise they claim."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from torch.distributions import MixtureSameFamily, Normal

from uncertain.baselines import gradient_boosted_trees, random_forest
from uncertain.predictive import cdf, class_probs


def noisy(rows: int, seed: int, noise: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(rows, 3, generator=generator, dtype=torch.float64)
    spread = noise * (0.2 + x[:, 1])
    y = 50 + 10 * x[:, 0] + spread * torch.randn(rows, generator=generator, dtype=torch.float64)
    return x, y


@pytest.mark.parametrize(
    ("build", "estimator"),
    [
        (
            lambda x, y: random_forest(x, y, seed=3, trees=20),
            RandomForestClassifier(20, random_state=3),
        ),
        (
            lambda x, y: gradient_boosted_trees(x, y, seed=3, settings={"max_iter": 10}),
            HistGradientBoostingClassifier(random_state=3, max_iter=10),
        ),
    ],
)
def test_classifiers_are_the_estimators_of_scikit_learn(build, estimator) -> None:
    x, y = noisy(200, 0)
    label = (y > y.median()).long()
    expected = estimator.fit(x.numpy(), label.numpy()).predict_proba(x.numpy())
    np.testing.assert_allclose(class_probs(build(x, label)(x)).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "build",
    [
        lambda x, y: random_forest(x, y, trees=60, settings={"min_samples_leaf": 5}),
        lambda x, y: gradient_boosted_trees(x, y, settings={"max_iter": 60, "max_leaf_nodes": 6}),
    ],
)
def test_intervals_of_regressors_cover_new_rows(build) -> None:
    dist = build(*noisy(800, 0))(noisy(2000, 1)[0])
    level = cdf(dist, noisy(2000, 1)[1])
    inside = ((level > 0.05) & (level < 0.95)).double().mean()
    assert 0.82 < float(inside) < 0.97


def test_boosting_sees_where_the_noise_is_and_the_forest_keeps_its_trees() -> None:
    x, y = noisy(1500, 0, noise=4.0)
    boosted = gradient_boosted_trees(x, y, settings={"max_iter": 60, "max_leaf_nodes": 6})(x)
    assert isinstance(boosted, Normal)
    loud, quiet = boosted.scale[x[:, 1] > 0.8].mean(), boosted.scale[x[:, 1] < 0.2].mean()
    assert float(loud / quiet) > 1.7
    forest = random_forest(x, y, trees=15)(x[:4])
    assert isinstance(forest, MixtureSameFamily)
    assert forest.component_distribution.batch_shape == (4, 15)


def test_weights_count_as_copies_do_for_boosting() -> None:
    x, y = noisy(60, 0)
    label = (y > y.median()).long()
    copies = torch.arange(60) % 3 + 1
    settings = {"max_iter": 5, "early_stopping": False, "min_samples_leaf": 1, "max_leaf_nodes": 4}
    weighted = gradient_boosted_trees(x, label, weights=copies.double(), settings=settings)
    rows = torch.arange(60).repeat_interleave(copies)
    copied = gradient_boosted_trees(x[rows], label[rows], settings=settings)
    torch.testing.assert_close(
        class_probs(weighted(x)), class_probs(copied(x)), rtol=1e-6, atol=1e-8
    )


def test_images_are_flattened_and_absent_classes_have_probability_zero() -> None:
    x = torch.rand(30, 1, 4, 4)
    predictor = random_forest(x, torch.arange(30) % 2, trees=5, classes=4)
    probs = class_probs(predictor(x))
    assert probs.shape == (30, 4)
    assert probs.dtype == torch.float32
    assert (probs[:, 2:] == 0).all()


def test_rows_are_checked() -> None:
    x, y = noisy(20, 0)
    with pytest.raises(ValueError, match="`x` should have at least one row"):
        random_forest(x[:0], y[:0])
    with pytest.raises(ValueError, match=r"`y` should have shape \(20,\), got \(19,\)"):
        random_forest(x, y[:19])
    with pytest.raises(ValueError, match="`y` should be finite, got 1 NaN"):
        gradient_boosted_trees(x, torch.where(torch.arange(20) == 3, torch.nan, y))
    with pytest.raises(ValueError, match="`x` should be finite"):
        gradient_boosted_trees(x * torch.inf, y)
    with pytest.raises(ValueError, match=r"`weights` should lie in \[0, inf\]"):
        random_forest(x, y, weights=-np.ones(20))
    with pytest.raises(ValueError, match=r"`weights` should have shape \(20,\)"):
        random_forest(x, y, weights=np.ones(3))
    with pytest.raises(ValueError, match="class indices from 0 to 1, got 2"):
        random_forest(x, torch.arange(20) % 3, classes=2)
    with pytest.raises(ValueError, match=r"`rows` should lie in \[10, inf\], got 5"):
        gradient_boosted_trees(x[:5], y[:5])
    with pytest.raises(TypeError, match="unexpected keyword argument 'min_sample_leaf'"):
        random_forest(x, y, settings={"min_sample_leaf": 3})


def test_a_constant_target_is_no_accident() -> None:
    x = torch.rand(40, 2)
    for build in (lambda *a: random_forest(*a, trees=5), gradient_boosted_trees):
        dist = build(x, torch.full((40,), 2.0))(x)
        torch.testing.assert_close(dist.mean, torch.full((40,), 2.0), rtol=1e-3, atol=0)
        assert dist.variance.isfinite().all()
