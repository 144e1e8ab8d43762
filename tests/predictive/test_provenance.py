"""Rows that something was fitted on are known again, whatever order and file they come in."""

import numpy as np
import pytest

from uncertain.predictive import FittedOn, fitted_on
from uncertain.predictive.provenance import SAMPLE


def test_rows_are_known_by_id_whatever_their_order_and_width():
    used = fitted_on(
        "temperature", split="validation", row_ids=np.arange(50), target=np.arange(50) % 7
    )
    ids = np.array([60, 3, 49, 12], dtype=np.int16)
    assert used.shared_rows(ids, ids % 7) == 3
    assert used.shared_rows(ids.astype(float), ids % 7) == 0
    shuffled = np.random.default_rng(0).permutation(50)
    same = fitted_on("temperature", split="validation", row_ids=shuffled, target=shuffled % 7)
    assert same == used


def test_targets_are_compared_by_value():
    used = fitted_on("scale", split="validation", row_ids=["a", "b"], target=[1, 2])
    assert used.shared_rows(["b"], np.array([2.0])) == 1
    assert (
        fitted_on("scale", split="v", row_ids=[1], target=[[0.5, -0.0]]).shared_rows(
            [1], [[0.5, 0.0]]
        )
        == 1
    )


def test_ids_that_start_anew_in_each_file_are_other_rows():
    rng = np.random.default_rng(0)
    used = fitted_on(
        "temperature", split="validation", row_ids=np.arange(500), target=rng.integers(0, 10, 500)
    )
    assert used.shared_rows(np.arange(500), rng.integers(0, 10, 500)) == 0
    assert used.shared_rows(np.arange(500)) == 500


def test_of_many_rows_a_sample_is_remembered():
    ids = np.arange(5 * SAMPLE)
    used = fitted_on("temperature", split="validation", row_ids=ids, target=ids % 3)
    assert used.rows == 5 * SAMPLE
    assert used.shared_rows(ids, ids % 3) == SAMPLE
    half = used.shared_rows(ids[::2], ids[::2] % 3)
    # A hash samples rows like chance does: within five standard errors of the half.
    assert abs(half - SAMPLE / 2) < 5 * np.sqrt(SAMPLE) / 2


def test_without_ids_nothing_is_known():
    used = fitted_on("temperature", split="validation", target=[0, 1, 1])
    assert (used.rows, used.digest) == (3, "")
    assert used.shared_rows([0, 1, 2], [0, 1, 1]) == 0
    assert fitted_on("temperature", split="v", row_ids=[1], target=[0]).shared_rows(None) == 0


def test_without_ids_the_targets_in_their_order_are_known():
    labels = np.arange(10) % 3
    used = fitted_on("temperature", split="validation", target=labels)
    assert used.same_targets(None, labels.astype(float))
    assert used.same_targets(np.arange(10), labels)
    assert not used.same_targets(None, labels[::-1])
    assert not used.same_targets(None, None)
    with_ids = fitted_on("temperature", split="validation", row_ids=np.arange(10), target=labels)
    assert with_ids.same_targets(None, labels)
    assert not with_ids.same_targets(np.arange(10) + 50, labels)


def test_few_or_equal_targets_are_no_evidence():
    for labels in (np.arange(9) % 3, np.zeros(50), np.zeros(0)):
        assert not fitted_on("scale", split="v", target=labels).same_targets(None, labels)


def test_a_record_comes_back():
    used = fitted_on("isotonic", split="validation", row_ids=["x", "y"], target=[0.25, 1.5])
    assert FittedOn.from_record(used.to_record()) == used
    unnamed = fitted_on("isotonic", split="validation", target=np.arange(20) / 7)
    back = FittedOn.from_record(unnamed.to_record())
    assert back.same_targets(None, np.arange(20) / 7)
    older = {k: v for k, v in unnamed.to_record().items() if k != "targets"}
    assert FittedOn.from_record(older) == unnamed
    with pytest.raises(ValueError, match="`fitted_on` should hold method, split, rows"):
        FittedOn.from_record({"method": "isotonic"})


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="`row_ids` and `target` should have as many rows"):
        fitted_on("temperature", split="validation", row_ids=[1, 2], target=[0])
