import warnings

import numpy as np
import pytest

from uncertain.evaluation.predictions import Predictions, RepeatedRowsWarning, repeated_rows
from uncertain.families import ArrayDistribution


def classes(n=6, c=3, seed=0):
    p = np.random.default_rng(seed).dirichlet(np.ones(c), size=n)
    return ArrayDistribution("categorical", {"probs": p})


def normals(n=6):
    loc = np.random.default_rng(1).normal(size=n)
    return ArrayDistribution("normal", {"loc": loc, "scale": np.ones(n)})


def test_string_labels_are_looked_up():
    p = Predictions(classes(2), np.array(["b", "a"]), class_names=("a", "b", "c"))
    assert p.target.tolist() == [1, 0]
    assert Predictions(
        classes(1), np.array([b"c"]), class_names=("a", "b", "c")
    ).target.tolist() == [2]


def test_whole_floats_are_labels_and_logits_too():
    assert Predictions(classes(2), np.array([2.0, 0.0])).target.dtype == np.int64


def test_properties():
    p = Predictions(classes(), None, split="ood:a:b")
    assert (p.classes, p.is_classification, p.ood_name, p.shift) == (3, True, "a:b", None)
    q = Predictions(normals(), np.zeros(6), split="shift:blur:3")
    assert (q.classes, q.is_classification, q.ood_name, q.shift) == (0, False, None, ("blur", 3.0))
    b = Predictions(ArrayDistribution("bernoulli", {"probs": np.array([0.2])}), np.array([1]))
    assert b.classes == 2


def test_select_takes_everything_along():
    whole = Predictions(
        classes(), np.array([0, 1, 2, 0, 1, 2]), row_ids=np.arange(10, 16), groups=np.arange(6) // 2,
        weights=np.arange(6), scores={"own": np.arange(6.0)}, class_names=("a", "b", "c"),
    )  # fmt: skip
    for rows in (np.array([4, 1]), [4, 1]):
        part = whole.select(rows)
        assert part.row_ids.tolist() == [14, 11]
        assert part.target.tolist() == [1, 1]
        assert part.weights.tolist() == [4, 1]
        assert part.groups.tolist() == [2, 0]
        assert part.scores["own"].tolist() == [4, 1]
        assert np.array_equal(
            part.distribution.parameters["probs"], whole.distribution.parameters["probs"][[4, 1]]
        )
    assert len(whole.select(np.arange(6) < 2)) == 2
    assert len(whole.select(slice(2, None))) == 4


@pytest.mark.parametrize(
    ("rows", "message"),
    [([0, 0], r"`rows` should name each row once, got 2 rows of which 1 differ"),
     ([], r"`rows` should have at least one row")],
)  # fmt: skip
def test_select_refuses(rows, message):
    with pytest.raises(ValueError, match=message):
        Predictions(classes(), None).select(np.array(rows, dtype=int))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"target": np.zeros(5, int)}, ValueError, r"as many rows as each other, got 6 and 5"),
        ({"target": np.full(6, 3)}, ValueError, r"`target` should be class indices from 0 to 2, got 3"),
        ({"target": np.full(6, -1)}, ValueError, r"class indices from 0 to 2, got -1"),
        ({"target": np.full(6, 0.5)}, TypeError, r"`target` should be whole class indices"),
        ({"target": np.full(6, np.nan)}, ValueError, r"`target` should be finite, got 6 NaN"),
        ({"target": np.array(["x"] * 6)}, ValueError, r"`class_names` should say which class"),
        ({"target": np.array(["x"] * 6), "class_names": ("a", "b", "c")}, ValueError,
         r"`target` should hold class names \(a, b, c\), got 'x' in 6 of 6 rows"),
        ({"class_names": ("a", "b")}, ValueError, r"`class_names` should have 3 names"),
        ({"class_names": ("a", "b", "a")}, ValueError, r"should all differ, got 'a' more than once"),
        ({"row_ids": np.array([0, 1, 2, 3, 4, 4])}, ValueError, r"name each row once, got 4 2 times"),
        ({"row_ids": np.arange(5)}, ValueError, r"`row_ids` should have shape \(6,\), got \(5,\)"),
        ({"row_ids": np.array([0, 1, 2, 3, 4, np.nan])}, ValueError, r"`row_ids` should be finite"),
        ({"groups": np.arange(7)}, ValueError, r"`groups` should have shape \(6,\), got \(7,\)"),
        ({"groups": np.array([0, 1, 2, 3, 4, np.nan])}, ValueError, r"`groups` should be finite"),
        ({"weights": np.zeros(6)}, ValueError, r"`weights` should not all be zero"),
        ({"weights": -np.ones(6)}, ValueError, r"`weights` should lie in \[0, inf\]"),
        ({"weights": np.full(6, np.inf)}, ValueError, r"`weights` should be finite"),
        ({"weights": np.array(["a"] * 6)}, TypeError, r"`weights` should hold numbers"),
        ({"scores": {"own": np.zeros(5)}}, ValueError, r"`scores\['own'\]` should have shape \(6,\)"),
        ({"scores": {"own": np.full(6, np.nan)}}, ValueError, r"`scores\['own'\]` should be finite"),
        ({"scores": {"own": np.array(["a"] * 6)}}, TypeError, r"`scores\['own'\]` should hold numbers"),
        ({"inputs": {0: np.zeros((2, 2))}}, ValueError, r"joined by row id, never by position"),
        ({"split": "ood"}, ValueError, r"`split` should be test, validation, train, ood:NAME"),
        ({"split": "shift:blur:much"}, ValueError, r"`split` should end in a severity"),
        ({"source": ""}, ValueError, r"`source` should name the model"),
    ],
)  # fmt: skip
def test_bad_input(changes, error, message):
    with pytest.raises(error, match=message):
        Predictions(**{"distribution": classes(), "target": None, **changes})


def test_bad_input_of_a_regression():
    for target, error, message in (
        (np.full(6, np.inf), ValueError, r"`target` should be finite"),
        (np.zeros((6, 2)), ValueError, r"`target` should have shape \(N,\), got \(6, 2\)"),
        (np.array(["a"] * 6), TypeError, r"`target` should hold numbers"),
    ):
        with pytest.raises(error, match=message):
            Predictions(normals(), target)
    with pytest.raises(ValueError, match=r"`class_names` should be None for normal predictions"):
        Predictions(normals(), np.zeros(6), class_names=("a",))


def test_names_are_strings(unchecked):
    with pytest.raises(TypeError, match=r"`training` should be a string, got 0"):
        Predictions(classes(), None, training=0)


def test_empty_predictions():
    empty = ArrayDistribution("normal", {"loc": np.zeros(0), "scale": np.ones(0)})
    with pytest.raises(ValueError, match=r"`predictions` should have at least one row"):
        Predictions(empty, np.zeros(0))


def test_infinite_scores_have_a_rank():
    scores = {"distance": np.array([0.0, np.inf, -np.inf, 1, 2, 3])}
    assert np.isinf(Predictions(classes(), None, scores=scores).scores["distance"]).sum() == 2


def doubled(p):
    return ArrayDistribution("categorical", {"probs": np.concatenate([p, p])})


def test_copies_are_warned_about_unless_grouped():
    p = np.random.default_rng(0).dirichlet(np.ones(4), size=50)
    labels = np.tile(np.arange(50) % 4, 2)
    with pytest.warns(RepeatedRowsWarning, match=r"50 of 100 rows of 'model' on 'test' repeat"):
        Predictions(doubled(p), labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Predictions(doubled(p), labels, groups=np.tile(np.arange(50), 2))


def test_copies_are_mentioned_once():
    p = np.random.default_rng(0).dirichlet(np.ones(4), size=50)
    with pytest.warns(RepeatedRowsWarning):
        whole = Predictions(doubled(p), np.tile(np.arange(50) % 4, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(whole.select(slice(0, 60))) == 60


@pytest.mark.parametrize("trees", [1, 10, 100])
def test_trees_and_saturated_networks_are_no_copies(trees):
    rng = np.random.default_rng(trees)
    votes = rng.multinomial(trees, rng.dirichlet(np.full(3, 0.3)), size=400) / trees
    assert repeated_rows(Predictions(ArrayDistribution("categorical", {"probs": votes}), None)) == 0
    p = rng.dirichlet(np.ones(3), size=400)
    p[:300] = [1, 0, 0]
    assert repeated_rows(Predictions(ArrayDistribution("categorical", {"probs": p}), None)) == 0


def test_equal_means_with_other_targets_are_no_copies():
    d = ArrayDistribution("normal", {"loc": np.repeat(np.arange(50.0), 2), "scale": np.ones(100)})
    y = np.random.default_rng(0).normal(size=100)
    assert repeated_rows(Predictions(d, y)) == 0
