"""What an array distribution refuses, and what it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from uncertain import families
from uncertain.families import ArrayDistribution

ONE = np.ones(3)
TRIL = np.tile(np.eye(2), (3, 1, 1))


def normal() -> ArrayDistribution:
    return ArrayDistribution("normal", {"loc": np.zeros(3), "scale": ONE})


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("norml", {}, "did you mean normal"),
    ("normal", {"loc": ONE}, r"should be \{loc, scale\}, got \{loc\}"),
    ("categorical", {"p": np.ones((3, 2))}, r"\{logits\} or \{probs\}, got \{p\}"),
    ("normal", {"loc": ONE, "scale": np.ones(4)}, r"`scale` should have shape \(3,\), got \(4,\)"),
    ("normal", {"loc": np.ones((3, 2)), "scale": ONE}, r"`loc` should have shape \(N,\)"),
    ("normal", {"loc": ONE * np.nan, "scale": ONE}, "`loc` should be finite, got 3 NaN"),
    ("normal", {"loc": ONE, "scale": ONE * np.inf}, "`scale` should be finite"),
    (
        "normal",
        {"loc": ONE, "scale": 0 * ONE},
        r"`scale` should lie in \(0, inf\), got 0|\(0, inf\]",
    ),
    ("poisson", {"rate": -ONE}, r"`rate` should lie in \[0, inf\]"),
    ("bernoulli", {"probs": 2 * ONE}, r"`probs` should lie in \[0, 1\]"),
    ("bernoulli", {"logits": ONE * np.nan}, r"`logits` should lie in \[-inf, inf\], got nan"),
    ("categorical", {"probs": np.ones((3, 2))}, "off by 1; 3 of 3 rows"),
    ("categorical", {"probs": np.array([[-1.0, 2.0]])}, "pass them as logits"),
    ("categorical", {"logits": np.ones((3, 2))}, "off by 1.69 at row 0: pass raw logits through"),
    ("categorical", {"logits": np.full((3, 2), np.nan)}, "`logits` should be finite, got 6 NaN"),
    ("categorical", {"logits": np.full((3, 2), -np.inf)}, "off by inf"),
    (
        "dirichlet_categorical",
        {"concentration": np.zeros((3, 2))},
        r"`concentration` should lie in \(0",
    ),
    (
        "gaussian_marginal",
        {"loc": ONE, "latent_scale": 0 * ONE, "noise_scale": 0 * ONE},
        r"`latent_scale \+ noise_scale` should lie in \(0",
    ),
    ("quantiles", {"levels": np.array([0.5, 0.2]), "values": np.ones((3, 2))}, "increase strictly"),
    ("quantiles", {"levels": np.array([0.0, 0.2]), "values": np.ones((3, 2))}, r"in \(0, 1\)"),
    (
        "quantiles",
        {"levels": np.array([0.2, 0.5]), "values": np.array([[0.0, 1.0], [1.0, 0.0]])},
        r"crossing quantiles at row 1 \(1 of 2 rows\): sort them yourself",
    ),
    (
        "quantiles",
        {"levels": np.array([0.2]), "values": np.ones((3, 2))},
        r"`values` should have shape \(N, 1\)",
    ),
    ("multivariate_normal", {"loc": np.ones((3, 3)), "scale_tril": TRIL}, r"shape \(3, 3, 3\)"),
    ("multivariate_normal", {"loc": np.ones((3, 2)), "scale_tril": TRIL + 1}, "lower triangular"),
    ("multivariate_normal", {"loc": np.ones((3, 2)), "scale_tril": -TRIL}, "scale_tril diagonal"),
    ("empirical", {"samples": np.ones((3, 0))}, "at least one entry along every axis"),
    ("empirical_sample", {"samples": np.ones((3, 1))}, "at least 2 draws a row for the fair score"),
]


@pytest.mark.parametrize(("family", "parameters", "message"), WRONG)
def test_wrong_parameters_are_refused(
    family: str, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ArrayDistribution(family, parameters)


def test_wrong_weights_and_targets_are_refused() -> None:
    p = {"loc": np.ones((3, 2)), "scale": np.ones((3, 2))}
    with pytest.raises(ValueError, match="`mixture_weights` should have rows that sum to 1"):
        ArrayDistribution("normal", p, np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"`mixture_weights` should have shape \(N, C\)|\(N, S\)"):
        ArrayDistribution("normal", p, np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match=r"`loc` should have shape \(3, 4\)"):
        ArrayDistribution("normal", p, np.full((3, 4), 0.25))
    with pytest.raises(ValueError, match="`event_ndim` should be 0 or 1, got 2"):
        ArrayDistribution("normal", p, None, 2)
    joint = {"loc": np.ones((3, 2)), "scale_tril": TRIL}
    with pytest.raises(ValueError, match="joint over its outputs already"):
        ArrayDistribution("multivariate_normal", joint, None, 1)


def test_parameters_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(TypeError, match="`rate` should hold numbers, got dtype <U1"):
        ArrayDistribution("poisson", {"rate": np.array(["a"])})


def test_zero_probabilities_and_infinite_log_odds_are_fine() -> None:
    ArrayDistribution("categorical", {"logits": np.array([[0.0, -np.inf]])})
    d = ArrayDistribution("bernoulli", {"logits": np.array([np.inf, -np.inf])})
    np.testing.assert_array_equal(families.class_probabilities(d), [[0, 1], [1, 0]])


def test_log_softmax_refuses_what_cannot_be_normalised() -> None:
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="`logits` should be below infinity and not NaN"):
            families.log_softmax(np.array([[bad, 0.0]]))
    np.testing.assert_array_equal(families.log_softmax(np.array([[-np.inf, 2.0]])), [[-np.inf, 0]])


ASK = [families.log_prob, families.crps, families.pit, families.cdf]


@pytest.mark.parametrize("ask", ASK)
def test_targets_of_the_wrong_shape_are_refused(ask: Any) -> None:
    # A column against a row would silently give every row every other row's target.
    with pytest.raises(ValueError, match=r"`y` should have shape \(3,\), got \(3, 1\)"):
        ask(normal(), np.zeros((3, 1)))
    with pytest.raises(ValueError, match=r"`y` should have shape \(3,\), got \(4,\)"):
        ask(normal(), np.zeros(4))


@pytest.mark.parametrize("ask", ASK)
def test_targets_that_are_not_numbers_are_refused(ask: Any) -> None:
    with pytest.raises(ValueError, match="NaN"):
        ask(normal(), np.array([0.0, np.nan, 1.0]))
    with pytest.raises(TypeError, match="`y` should hold numbers"):
        ask(normal(), np.array(["a", "b", "c"]))


def test_infinite_targets_have_a_cdf_only() -> None:
    y = np.array([-np.inf, 0.0, np.inf])
    np.testing.assert_array_equal(families.cdf(normal(), y), [0, 0.5, 1])
    with pytest.raises(ValueError, match="2 infinite"):
        families.crps(normal(), y)


def test_labels_out_of_range_are_refused() -> None:
    d = ArrayDistribution("categorical", {"probs": np.full((2, 2), 0.5)})
    with pytest.raises(ValueError, match="class indices from 0 to 1, got 2 at row 1"):
        families.log_prob(d, [0, 2])
    with pytest.raises(TypeError, match="whole class indices"):
        families.log_prob(d, [0, 0.5])
    b = ArrayDistribution("bernoulli", {"probs": np.full(2, 0.5)})
    with pytest.raises(ValueError, match="from 0 to 1, got -1 at row 0"):
        families.log_prob(b, [-1, 0])


def test_levels_out_of_range_or_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`q` should lie in \[0, 1\], got 1.5"):
        families.quantile(normal(), 1.5)
    with pytest.raises(ValueError, match=r"`q` should have shape \(3,\), got \(2,\)"):
        families.quantile(normal(), [0.1, 0.9])
    assert families.quantile(normal(), [[0.1], [0.9]]).shape == (2, 3)


def test_a_negative_number_of_draws_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`n` should lie in \[0, inf\], got -1"):
        families.sample(normal(), np.random.default_rng(0), -1)
    assert families.sample(normal(), np.random.default_rng(0), 0).shape == (0, 3)


def test_rows_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`rows` should lie in \[-3, 2\], got 3"):
        families.select(normal(), [3])
    with pytest.raises(ValueError, match=r"`rows` should have shape \(3,\), got \(2,\)"):
        families.select(normal(), np.array([True, False]))
    with pytest.raises(TypeError, match="`rows` should be a slice, a mask or a list"):
        families.select(normal(), [0.5])


def test_only_one_kind_is_joined() -> None:
    with pytest.raises(ValueError, match="at least one row, got none"):
        families.concat([])
    with pytest.raises(ValueError, match=r"of one kind, got normal .* poisson .* at position 1"):
        families.concat([normal(), ArrayDistribution("poisson", {"rate": ONE})])
    w = np.ones((3, 1))
    p = {"loc": np.ones((3, 1)), "scale": np.ones((3, 1))}
    with pytest.raises(ValueError, match="a mixture of 1"):
        families.concat([normal(), ArrayDistribution("normal", p, w)])
    q = [
        ArrayDistribution("quantiles", {"levels": np.array([v]), "values": np.ones((1, 1))})
        for v in (0.4, 0.5)
    ]
    with pytest.raises(ValueError, match="`levels` should be the same in all"):
        families.concat(q)
