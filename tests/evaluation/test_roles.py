"""Roles of arrays: usual names, options that decide, and errors that name the option."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uncertain.evaluation.roles import OPTIONS, UNDECIDED_NAMES, USUAL_NAMES, assign_roles

P = np.array([[0.7, 0.3], [0.4, 0.6]])
Y = np.array([0, 1])
REAL = np.array([0.25, 1.5])


def held(arrays, columns=None, **facts):
    """Return role to array *name*."""
    roles = assign_roles(arrays, columns or {}, **facts)
    return {role: next(n for n, a in arrays.items() if a is array) for role, array in roles.items()}


@pytest.mark.parametrize(
    ("role", "name"),
    [
        (role, name)
        for role, names in USUAL_NAMES.items()
        for name in names
        if role not in ("labels", "scale", "variance", "levels", "row_ids", "class_names", "mean")
    ],
)
def test_usual_names_of_predictions(role, name):
    array = P.copy()
    assert held({name.upper(): array, "labels": Y}) == {role: name.upper(), "labels": "labels"}


@pytest.mark.parametrize("role", ["labels", "row_ids", "class_names"])
def test_usual_names_of_what_stands_beside(role):
    for name in USUAL_NAMES[role]:
        arrays = {"probs": P, name: Y.copy()} | ({} if role == "labels" else {"labels": Y})
        assert held(arrays)[role] == name


def test_moments_and_levels_have_usual_names():
    for mean in USUAL_NAMES["mean"]:
        for spread in ("scale", "variance"):
            for name in USUAL_NAMES[spread]:
                found = held({mean: REAL.copy(), name: REAL + 1, "y": REAL})
                assert (found["mean"], found[spread]) == (mean, name)
    assert held({"quantiles": P, "quantile_levels": Y, "y": REAL})["levels"] == "quantile_levels"


def test_no_usual_name_has_two_roles():
    names = [name for names in USUAL_NAMES.values() for name in names] + list(UNDECIDED_NAMES)
    assert len(names) == len(set(names))


@given(st.sampled_from(sorted(OPTIONS)))
def test_an_option_goes_before_a_usual_name(role):
    arrays = {"probs": P, "labels": Y, "mine": P.copy()}
    assert held(arrays, {role: "mine"})[role] == "mine"


def test_an_option_decides_between_predictions_of_several_kinds():
    arrays = {"probs": P, "logits": np.log(P), "labels": Y}
    assert held(arrays, {"logits": "logits"}) == {"logits": "logits", "labels": "labels"}
    assert "logits" not in held(arrays, {"probabilities": "probs"})
    with pytest.raises(ValueError, match=r"several kinds.*`probs`.*--probabilities or --logits"):
        assign_roles(arrays, {})


def test_columns_of_a_family_stay_with_their_array():
    arrays = {"probs": P, "probs.columns": np.array(["cat", "dog"]), "labels": Y}
    np.testing.assert_array_equal(assign_roles(arrays, {})["probabilities.columns"], ["cat", "dog"])


# Names that say nothing


@pytest.mark.parametrize("name", UNDECIDED_NAMES)
def test_values_decide_what_predictions_are(name):
    assert held({name: P, "labels": Y})["probabilities"] == name
    assert held({name: REAL * 9, "std": REAL, "y": REAL.copy()})["mean"] == name


def test_an_undecided_name_beside_a_known_one_is_left_alone():
    assert held({"pred": Y.copy(), "probs": P, "labels": Y}).keys() == {"probabilities", "labels"}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pred": P, "outputs": P.copy()}, "`pred` and `outputs` could each be the predictions"),
        ({"pred": np.array(["a", "b"])}, "`pred` should be numbers, got dtype <U1"),
        ({"pred": Y.copy()}, r"`pred` holds whole numbers \(hard decisions\?\)"),
        ({"pred": P * 9}, "values outside .*--logits pred, --samples pred or --mean pred"),
        ({"pred": P * np.nan}, "`pred` should be finite|`pred`.*NaN"),
        ({"pred": P[:0]}, "`pred`"),
    ],
)
def test_what_values_cannot_decide_is_asked(arrays, message):
    with pytest.raises(ValueError, match=message):
        assign_roles(arrays | {"labels": Y}, {})


def test_shares_beside_real_labels_are_asked():
    with pytest.raises(
        ValueError, match="beside real-valued labels: say what it is with --samples"
    ):
        assign_roles({"pred": P, "y": REAL}, {})


def test_without_labels_shares_are_probabilities():
    assert held({"pred": P}, labelled=False) == {"probabilities": "pred"}


# What is missing


@pytest.mark.parametrize(
    ("arrays", "columns", "message"),
    [
        ({"probs": P}, {}, "no labels found: the file has `probs`. Name them with --labels"),
        ({"labels": Y}, {}, "no predictions found: the file has `labels`.*--quantiles"),
        ({}, {}, "no predictions found: the file has no arrays"),
        (
            {"probs": P, "labels": Y},
            {"groups": "site"},
            "--groups names `site`, which is not there",
        ),
        (
            {"probs": P, "labels": Y, "gt": Y.copy()},
            {},
            "`labels` and `gt` could each be the labels",
        ),
        ({"probs": P, "labels": Y}, {"weight": "w"}, "role"),
    ],
)
def test_what_is_missing_or_twice_is_named(arrays, columns, message):
    with pytest.raises(ValueError, match=message):
        assign_roles(arrays, columns)
