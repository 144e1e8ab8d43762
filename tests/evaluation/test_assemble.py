"""Predictions from arrays with roles: every family's way in, and every reason to refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from tests.evaluation.cases import probabilities_of
from uncertain import families
from uncertain.evaluation.assemble import build_predictions

P = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
Y = np.array([0, 2])
REAL = np.array([0.25, 1.5])


def build(renormalise=False, **roles):
    return build_predictions(roles, source="net", split="test", renormalise=renormalise)


# Classes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probabilities_are_kept_bit_for_bit(dtype):
    p = P.astype(dtype)
    kept = build(probabilities=p, labels=Y).distribution.parameters["probs"]
    assert kept.dtype == dtype
    np.testing.assert_array_equal(kept, p)


def test_half_precision_is_widened():
    p = np.array([[0.5, 0.25, 0.25]], dtype=np.float16)
    assert build(probabilities=p, labels=Y[:1]).distribution.parameters["probs"].dtype == np.float32


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_one_column_is_the_probability_of_class_one(shape):
    found = build(probabilities=np.array([0.2, 0.9]).reshape(shape), labels=np.array([0, 1]))
    assert found.distribution.family == "bernoulli"
    np.testing.assert_allclose(
        families.class_probabilities(found.distribution), [[0.8, 0.2], [0.1, 0.9]]
    )
    z = build(logits=np.array([-3.0, 40.0]).reshape(shape), labels=np.array([True, False]))
    np.testing.assert_allclose(
        families.class_probabilities(z.distribution)[:, 1], special.expit([-3.0, 40.0])
    )


@given(st.integers(0, 10**6))
def test_logits_are_normalised_in_float64(seed):
    z = np.random.default_rng(seed).normal(0, 50, (3, 4)).astype(np.float32)
    d = build(logits=z, labels=np.zeros(3, int)).distribution
    expected = special.log_softmax(z.astype(np.float64), axis=1)
    np.testing.assert_allclose(
        families.class_log_probabilities(d), expected, rtol=1e-12, atol=1e-12
    )


def test_log_probabilities_may_say_never():
    log_p = np.array([[0.0, -np.inf, -np.inf], np.log(P[1])])
    d = build(log_probabilities=log_p, labels=Y).distribution
    np.testing.assert_allclose(families.class_probabilities(d), [[1, 0, 0], P[1]], atol=1e-15)


def test_members_may_lie_along_either_axis():
    p = probabilities_of(8).reshape(2, 4, 3)
    for members in (p, p.swapaxes(0, 1)):
        d = build(probabilities=members, labels=Y).distribution
        np.testing.assert_allclose(families.class_probabilities(d), p.mean(1))
    z = build(logits=np.log(p), labels=Y).distribution
    np.testing.assert_allclose(families.class_probabilities(z), p.mean(1))


def test_class_names_are_given_or_taken_from_the_columns():
    names = np.array(["cat", "dog", "eel"])
    for roles in ({"class_names": names}, {"probabilities.columns": names}):
        found = build(probabilities=P, labels=np.array(["cat", "eel"]), **roles)
        assert found.class_names == ("cat", "dog", "eel")
        np.testing.assert_array_equal(found.target, [0, 2])
    positions = {"probabilities.columns": np.array(["0", "1", "2"])}
    assert build(probabilities=P, labels=Y, **positions).class_names is None


def test_labels_in_bytes_are_text():
    names = np.array(["cat", "dog", "eel"])
    found = build(probabilities=P, labels=np.array([b"cat", b"eel"]), class_names=names)
    np.testing.assert_array_equal(found.target, [0, 2])


def test_facts_of_rows_may_be_columns():
    facts = {
        "row_ids": np.array([[4], [7]]),
        "groups": np.array([[1], [1]]),
        "weights": np.ones((2, 1)),
    }
    found = build(probabilities=P, labels=Y[:, None], **facts)
    assert found.row_ids.shape == found.groups.shape == found.weights.shape == (2,)


def test_renormalising_mends_rounding_and_nothing_else():
    found = build(renormalise=True, probabilities=P * 3, labels=Y)
    np.testing.assert_allclose(found.distribution.parameters["probs"], P)
    with pytest.raises(ValueError, match="if these are logits, pass --logits"):
        build(renormalise=True, probabilities=P - 0.5, labels=Y)
    with pytest.raises(ValueError, match="sums of probabilities"):
        build(renormalise=True, probabilities=P * 0, labels=Y)


# Numbers


def test_a_scale_or_a_variance_makes_a_normal():
    scale = np.array([2.0, 3.0])
    for roles in ({"scale": scale}, {"variance": scale**2}, {"scale": scale[:, None]}):
        d = build(mean=np.zeros(2), labels=REAL, **roles).distribution
        np.testing.assert_allclose(d.parameters["scale"], scale)


def test_samples_may_lie_along_either_axis():
    samples = np.arange(6.0).reshape(2, 3)
    for array in (samples, samples.T):
        d = build(samples=array, labels=REAL).distribution
        np.testing.assert_array_equal(d.parameters["samples"], samples)


def test_whole_numbers_may_be_samples():
    assert (
        build(samples=np.array([[1, 2, 2], [3, 4, 4]]), labels=REAL).distribution.family
        == "empirical"
    )


@pytest.mark.parametrize(
    ("names", "levels"),
    [
        (["0.9", "0.1", "0.5"], [0.9, 0.1, 0.5]),
        (["90", "10", "50"], [0.9, 0.1, 0.5]),
        (["0_90", "0_10", "0_50"], [0.9, 0.1, 0.5]),
    ],
)
def test_levels_are_read_from_the_names_of_columns(names, levels):
    values = np.array([[3.0, 1.0, 2.0], [9.0, 7.0, 8.0]])
    roles = {"quantiles": values, "labels": REAL, "quantiles.columns": np.array(names)}
    d = build(**roles).distribution
    np.testing.assert_allclose(d.parameters["levels"], sorted(levels))
    np.testing.assert_array_equal(d.parameters["values"], np.sort(values, axis=1))


def test_levels_may_be_repeated_for_every_row():
    levels = np.tile([0.1, 0.9], (2, 1))
    d = build(quantiles=np.array([[0.0, 1.0], [1.0, 2.0]]), levels=levels, labels=REAL).distribution
    np.testing.assert_array_equal(d.parameters["levels"], [0.1, 0.9])


def test_one_scale_is_every_rows():
    for roles in ({"scale": np.array(2)}, {"variance": np.array(4.0)}):
        d = build(mean=np.zeros(2), labels=REAL, **roles).distribution
        np.testing.assert_array_equal(d.parameters["scale"], [2, 2])


def test_rows_known_to_be_first_are_never_turned():
    square = np.arange(4.0).reshape(2, 2)
    found = build_predictions(
        {"samples": square, "labels": REAL}, source="net", split="test", rows_first=True
    )
    np.testing.assert_array_equal(found.distribution.parameters["samples"], square)


def test_logits_may_mask_a_class():
    d = build(logits=np.array([[0.0, -np.inf, 0.0], [1.0, 1.0, 3.0]]), labels=Y).distribution
    np.testing.assert_allclose(families.class_probabilities(d)[0], [0.5, 0, 0.5])


def test_classes_called_by_numbers_are_looked_up():
    columns = {"probabilities.columns": np.array(["1", "2", "5"])}
    for labels in (np.array([5, 1]), np.array([5.0, 1.0]), np.array(["5", "1"])):
        found = build(probabilities=P, labels=labels, **columns)
        np.testing.assert_array_equal(found.target, [2, 0])
        assert found.class_names == ("1", "2", "5")
    words = {"probabilities.columns": np.array(["cat", "dog", "eel"])}
    np.testing.assert_array_equal(build(probabilities=P, labels=Y, **words).target, Y)


# Refused


REFUSED = [
    ({"probabilities": P * 0.9, "labels": Y}, r"sum of 0\.9 at row .*off by 0\.1"),
    ({"probabilities": np.array([0.2, 1.2]), "labels": np.array([0, 1])}, "of class 1"),
    ({"probabilities": P[None, None], "labels": Y}, r"\(N, C\) or \(N, S, C\), got \(1, 1, 2, 3\)"),
    ({"probabilities": np.array([["a"]]), "labels": Y[:1]}, "`probabilities` should be numbers"),
    ({"probabilities": P[:0], "labels": Y[:0]}, "`probabilities`"),
    ({"probabilities": P * np.inf, "labels": Y}, "`probabilities`"),
    ({"logits": np.full((2, 3), -np.inf), "labels": Y}, "`logits`"),
    ({"log_probabilities": np.full((2, 3), -np.inf), "labels": Y}, "finite largest entry.*2 rows"),
    ({"log_probabilities": np.log(P) + np.inf, "labels": Y}, "finite largest entry"),
    ({"log_probabilities": np.log(P) * np.nan, "labels": Y}, "NaN"),
    (
        {"log_probabilities": np.log(P) + 1, "labels": Y},
        "exponentials sum to 1, got one off by 1.7",
    ),
    ({"probabilities": P, "labels": np.eye(3)[Y]}, "one-hot"),
    ({"probabilities": P, "labels": Y + 1}, "class indices from 0 to 2, got 3"),
    ({"probabilities": P, "labels": np.array(["a", "b"])}, "there are no class names"),
    (
        {"probabilities": P, "labels": np.array(["a", "z"]), "class_names": np.array(list("abc"))},
        r"among the class names a, b, c, got 'z' \(1 unknown\)",
    ),
    ({"probabilities": P, "labels": Y, "groups": P}, "`groups`"),
    ({"mean": REAL, "scale": REAL, "labels": np.array(["a", "b"])}, "numbers to regress on"),
    ({"mean": REAL, "scale": REAL, "labels": REAL * np.nan}, "`labels`"),
    ({"mean": REAL, "labels": REAL}, "a mean needs a spread: .*--scale or --variance"),
    (
        {"mean": REAL, "scale": REAL, "variance": REAL, "labels": REAL},
        "both a scale and a variance",
    ),
    ({"mean": REAL, "scale": -REAL, "labels": REAL}, "`scale`"),
    ({"mean": REAL, "variance": REAL * 0, "labels": REAL}, "`variance`"),
    ({"mean": REAL, "scale": np.ones(3), "labels": REAL}, "scale"),
    ({"mean": P, "scale": REAL, "labels": REAL}, "`mean`.*one a row"),
    ({"mean": REAL, "scale": np.array(0.0), "labels": REAL}, "`scale`"),
    ({"probabilities": np.array(0.5), "labels": Y}, "one entry a row, got a single number"),
    ({"samples": P[:, :2], "labels": REAL}, "as many rows as draws.*leave out one of the draws"),
    ({"probabilities": np.stack([P, P]), "labels": Y}, "as many rows as members.*Parquet"),
    ({"logits": P, "labels": Y}, "look like probabilities.*--probabilities NAME"),
    ({"logits": np.array([[0.0, np.inf, 1.0]] * 2), "labels": Y}, "finite largest entry"),
    ({"logits": np.array([[0.0, np.nan, 1.0]] * 2), "labels": Y}, "2 NaN"),
    ({"logits": np.array([0.0, -np.inf]), "labels": np.array([0, 1])}, "1 infinite"),
    ({"probabilities": P, "labels": np.array([0, np.nan])}, "got NaN at row 1 .1 of 2 rows"),
    ({"probabilities": P, "labels": np.array(["cow", "a"])}, r"strings \('cow', "),
    (
        {"probabilities": P, "labels": Y, "probabilities.columns": np.array(["1", "2", "3"])},
        "among the class names 1, 2, 3, got '0'",
    ),
    ({"samples": REAL, "labels": REAL}, r"`samples` should have shape \(N, S\), got \(2,\)"),
    ({"quantiles": REAL, "labels": REAL}, r"`quantiles` should have shape \(N, Q\)"),
    (
        {"quantiles": P, "labels": REAL},
        "levels of `quantiles` are not there: name them with --levels",
    ),
    (
        {"quantiles": P, "levels": np.array([0.1, 0.9]), "labels": REAL},
        "`levels`.*one a column of `quantiles`",
    ),
    (
        {"quantiles": P, "quantiles.columns": np.array(["low", "mid", "top"]), "labels": REAL},
        "`low` is not a quantile's level: call the column q_0.05, or use --levels",
    ),
]


@pytest.mark.parametrize(("roles", "message"), REFUSED, ids=[m[:30] for _, m in REFUSED])
def test_what_the_roles_do_not_allow_is_refused(roles, message):
    with pytest.raises(ValueError, match=message):
        build(**roles)
