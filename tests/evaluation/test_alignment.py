"""The same rows, in one order: by id, or by equal labels, never by hope."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluation.cases import classifier, regressor
from uncertain.evaluation.alignment import canonical_order, in_one_order, same_rows

IDS = np.array([5, 3, 9, 1, 7, 0])


def test_ids_decide_which_rows_are_the_same():
    a = classifier(6, row_ids=IDS)
    assert same_rows([a, a.select([3, 1, 2, 0, 5, 4])])
    assert not same_rows([a, a.select([0, 1])])
    assert not same_rows([a, dataclasses.replace(a, row_ids=IDS + 1)])


def test_labels_decide_where_an_id_is_missing():
    a = classifier(6)
    other = dataclasses.replace(a, target=1 - np.minimum(a.target, 1))
    assert same_rows([a, dataclasses.replace(a, row_ids=IDS)])
    assert not same_rows([a, other])


@given(st.permutations(range(6)))
def test_rows_end_in_the_order_of_their_ids(order):
    a = classifier(6, row_ids=IDS, source="a")
    b = classifier(6, row_ids=IDS, source="b", noise=1.0).select(list(order))
    one, two = in_one_order([a, b])
    np.testing.assert_array_equal(one.row_ids, np.sort(IDS))
    np.testing.assert_array_equal(two.row_ids, np.sort(IDS))
    np.testing.assert_array_equal(one.target, two.target)


def test_rows_without_labels_are_paired_by_id():
    a = classifier(6, labelled=False, split="ood:x", row_ids=IDS)
    one, two = in_one_order([a, a.select([5, 4, 3, 2, 1, 0])])
    p = [case.distribution.parameters["probs"] for case in (one, two)]
    np.testing.assert_array_equal(*p)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": np.array([0, 0, 0, 0, 0, 0])}, "'a' and 'b' can't be compared: .*same target"),
        ({"row_ids": IDS + 1}, "can't be compared: .*of which .* are shared"),
        ({"row_ids": None, "target": np.zeros(6, int)}, "can't be compared: .*give row ids"),
        ({"weights": np.ones(6)}, "`weights` should be given for both, got them for 'b'"),
        ({"groups": np.arange(6)}, "`groups` should be given for both, got them for 'b'"),
    ],
)
def test_what_contradicts_is_refused(change, message):
    a = classifier(6, row_ids=IDS, source="a")
    with pytest.raises(ValueError, match=message):
        in_one_order([a, dataclasses.replace(a, source="b", **change)])


@pytest.mark.parametrize("name", ["weights", "groups"])
def test_facts_of_a_row_are_the_same_for_all(name):
    a = classifier(6, row_ids=IDS, source="a", **{name: np.array([1, 1, 2, 2, 3, 3])})
    b = dataclasses.replace(a, source="b", training="2", **{name: np.array([1, 1, 1, 2, 3, 3])})
    with pytest.raises(ValueError, match=rf"'b' \(training 2\) .*`{name}` should be the same"):
        in_one_order([a, b])


@given(st.permutations(range(8)))
def test_the_order_of_addition_is_that_of_the_rows(order):
    rng = np.random.default_rng(0)
    columns = [rng.integers(0, 3, 8) / 7, rng.random(8)]
    case = regressor(8, weights=np.arange(8) % 3 + 1.0, groups=np.arange(8) // 2)
    shuffled = case.select(list(order))
    plain = canonical_order(columns, like=case)
    moved = [column[list(order)] for column in columns]
    again = canonical_order(moved, like=shuffled)
    for column, other in zip(columns, moved, strict=True):
        np.testing.assert_array_equal(column[plain], other[again])
    np.testing.assert_array_equal(case.weights[plain], shuffled.weights[again])


def test_rows_with_ids_are_in_order_already():
    case = classifier(6, row_ids=IDS)
    assert canonical_order([np.arange(6.0)], like=case) == slice(None)
