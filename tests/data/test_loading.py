import subprocess
import sys

import numpy as np
import pytest
import torch

from uncertain import data
from uncertain.data.loading import fill_missing

SMALL = ("digits", "diabetes", "breast_cancer", "wine", "iris", "mnist5k")
CLASSES = ("digits", "breast_cancer", "wine", "iris", "mnist5k")


def all_rows(whole: data.DataSet) -> np.ndarray:
    parts = (whole.train, whole.validation, whole.test)
    return np.concatenate([part.row_ids for part in parts])


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("seed", [0, 1, 7])
def test_parts_are_disjoint_and_complete(name, seed):
    whole = data.load(name, seed=seed)
    assert np.array_equal(np.sort(all_rows(whole)), np.arange(sum(whole.card.sizes.values())))
    assert whole.card.sizes == {
        "train": len(whole.train),
        "validation": len(whole.validation),
        "test": len(whole.test),
    }
    rows = len(all_rows(whole))
    assert len(whole.test) == pytest.approx(0.2 * rows, abs=1)
    assert len(whole.validation) == pytest.approx(0.1 * rows, abs=1)


@pytest.mark.parametrize("name", SMALL)
def test_a_row_id_means_the_same_row_under_every_seed(name):
    rows = {}
    for seed in (0, 1):
        whole = data.load(name, seed=seed)
        for part in (whole.train, whole.validation, whole.test):
            for k, row in enumerate(part.row_ids.tolist()):
                value = (part.x[k], part.y[k], part.groups[k])
                known = rows.setdefault(row, value)
                assert torch.equal(known[0], value[0])
                assert known[1:] == value[1:]


@pytest.mark.parametrize("name", SMALL)
def test_the_same_seed_gives_the_same_parts_and_another_gives_others(name):
    a, b, c = (data.load(name, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(a.test.row_ids, b.test.row_ids)
    assert torch.equal(a.train.x, b.train.x)
    assert set(a.test.row_ids) != set(c.test.row_ids)
    assert set(a.validation.row_ids) != set(c.validation.row_ids)


@pytest.mark.parametrize("name", CLASSES)
def test_every_part_has_the_classes_in_the_same_shares(name):
    whole = data.load(name)
    labels = torch.cat([whole.train.y, whole.validation.y, whole.test.y])
    counts = torch.bincount(labels).double()
    for part in (whole.train, whole.validation, whole.test):
        expected = counts * len(part) / len(labels)
        got = torch.bincount(part.y, minlength=len(counts))
        assert (got - expected).abs().max() <= 2


def test_every_part_has_the_targets_in_the_same_shares():
    whole = data.load("diabetes")
    targets = torch.cat([whole.train.y, whole.validation.y, whole.test.y])
    edges = torch.quantile(targets, torch.linspace(0, 1, 11))[1:-1]
    counts = torch.bincount(torch.bucketize(whole.test.y, edges, right=True), minlength=10)
    assert (counts - len(whole.test) / 10).abs().max() <= 2


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_copies_of_a_row_stay_together(name, seed):
    whole = data.load(name, seed=seed)
    groups = [set(part.groups) for part in (whole.train, whole.validation, whole.test)]
    assert not groups[0] & groups[1]
    assert not (groups[0] | groups[1]) & groups[2]
    assert set(whole.card.duplicates.values()) == {0}


def test_the_card_counts_different_rows():
    iris = data.load("iris")
    x = torch.cat([iris.train.x, iris.validation.x, iris.test.x])
    assert iris.card.distinct == len(torch.unique(x, dim=0)) == 149
    groups = np.concatenate([iris.train.groups, iris.validation.groups, iris.test.groups])
    assert len(np.unique(groups)) == 149


@pytest.mark.parametrize("name", SMALL)
def test_shapes_and_types(name):
    whole = data.load(name)
    card = whole.card
    assert tuple(whole.test.x.shape[1:]) == card.shape
    assert whole.test.x.dtype == torch.float32
    if card.kind == "classification":
        assert whole.test.y.dtype == torch.int64
        assert set(whole.test.y.tolist()) <= set(range(len(card.classes)))
    else:
        assert whole.test.y.dtype == torch.float32
    if len(card.shape) == 3:
        assert float(whole.train.x.min()) == 0
        assert float(whole.train.x.max()) == 1
    else:
        assert len(card.features) == card.shape[0]
    assert data.load(name, dtype=torch.float64).test.x.dtype == torch.float64


def test_the_cache_can_not_be_written_through():
    first = data.load("wine")
    kept = first.train.x.clone()
    first.train.x.zero_()
    first.train.groups[:] = -1
    again = data.load("wine")
    assert torch.equal(again.train.x, kept)
    assert again.train.groups.min() >= 0


def test_regression_cards_know_their_grid():
    card = data.show("diabetes")
    assert card.target_grid == 1
    assert card.target_range == (25, 346)
    assert data.show("wine").target_grid is None


def test_unknown_names_and_splits():
    with pytest.raises(ValueError, match=r"`name` should be one of .*: did you mean mnist5k"):
        data.load("mnist5")
    with pytest.raises(ValueError, match="wine has none, got 3: pass `seed`"):
        data.load("wine", split=3)


def test_missing_values_take_the_training_median_and_a_flag():
    nan = float("nan")
    x = np.array([[1, nan, nan], [2, 0, 5], [6, nan, nan], [100, 4, 5.0]])
    filled, names, shares = fill_missing(x, ("a", "b", "c"), train=np.array([0, 1, 2]))
    assert names == ("a", "b", "c", "b_missing")
    assert filled.tolist() == [[1, 0, 5, 1], [2, 0, 5, 0], [6, 0, 5, 1], [100, 4, 5, 0]]
    assert shares == {"b": 0.5, "c": 0.5}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import uncertain.data", "torch sklearn matplotlib mlxtend pandas pyarrow scipy"),
        ("from uncertain import data; data.listing()", "torch sklearn matplotlib mlxtend pandas"),
        ("from uncertain import data; data.load, data.glyphs", "sklearn matplotlib mlxtend pandas"),
        ("from uncertain import data; data.load('mnist5k')", "sklearn matplotlib pandas"),
    ],
)
def test_nothing_is_imported_before_it_is_needed(statement, absent):
    code = f"{statement}; import sys; print([m for m in {absent.split()} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
