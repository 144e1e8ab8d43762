"""Every error of `uncertain.checks`, on NumPy arrays and torch tensors alike."""

import re
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from uncertain import checks

KINDS = [np.asarray, torch.as_tensor]


@pytest.fixture(params=KINDS, ids=["numpy", "torch"])
def array(request):
    """Build the same values as a NumPy array and as a tensor."""
    return request.param


def says(text: str) -> str:
    return f"^{re.escape(text)}$"


class TestShape:
    def test_names_what_was_expected_and_what_came(self, array):
        with pytest.raises(ValueError, match=says("`w` should have shape (8,), got (5,).")):
            checks.check_shape("w", array([0.0] * 5), (8,))

    def test_free_sizes_are_named(self, array):
        with pytest.raises(ValueError, match=says("`p` should have shape (N, C), got (5,).")):
            checks.check_shape("p", array([0.0] * 5), ("N", "C"))

    def test_the_remedy_is_appended_with_one_full_stop(self, array):
        message = "`w` should have shape (2,), got (1,): one a member."
        for hint in ("one a member", "one a member."):
            with pytest.raises(ValueError, match=says(message)):
                checks.check_shape("w", array([0.0]), (2,), hint=hint)

    @given(shape=hnp.array_shapes(min_dims=0, max_dims=4), free=st.data())
    def test_a_shape_fits_itself_with_any_dimension_left_free(self, shape, free):
        expected = [free.draw(st.sampled_from([size, "N"])) for size in shape]
        checks.check_shape("x", np.zeros(shape), expected)

    @given(shape=hnp.array_shapes(max_dims=3))
    def test_one_size_off_is_refused(self, shape):
        with pytest.raises(ValueError, match="should have shape"):
            checks.check_shape("x", np.zeros(shape), (*shape[:-1], shape[-1] + 1))


class TestFinite:
    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (
                [0.0, np.nan, np.nan],
                "`s` should be finite, got 2 NaN and 0 infinite values of 3, the first at row 1.",
            ),
            (
                [[0.0, 1.0], [np.inf, -np.inf]],
                "`s` should be finite, got 0 NaN and 2 infinite values of 4, the first at index (1, 0).",
            ),
        ],
    )
    def test_counts_and_places(self, array, values, message):
        with pytest.raises(ValueError, match=says(message)):
            checks.check_finite("s", array(values))

    def test_the_remedy_is_appended(self, array):
        with pytest.raises(ValueError, match="row 0: drop these rows"):
            checks.check_finite("s", array([np.nan]), hint="drop these rows")

    def test_infinities_that_cancel_are_seen(self, array):
        with pytest.raises(ValueError, match="2 infinite"):
            checks.check_finite("s", array([np.inf, -np.inf]))

    def test_a_sum_that_overflows_is_not_an_infinity(self, array):
        checks.check_finite("s", array(np.full(2, 3e38, dtype=np.float32)))

    def test_whole_numbers_and_nothing_pass(self, array):
        checks.check_finite("s", array([1, 2]))
        checks.check_finite("s", array([]))

    @given(hnp.arrays(np.float32, hnp.array_shapes(), elements=st.floats(width=32)))
    def test_agrees_with_isfinite(self, values):
        if np.isfinite(values).all():
            checks.check_finite("s", values)
        else:
            with pytest.raises(ValueError, match="`s` should be finite"):
                checks.check_finite("s", values)


class TestRange:
    @pytest.mark.parametrize(
        ("value", "options", "message"),
        [
            (1.5, {}, "`q` should lie in [0, 1], got 1.5."),
            (0.0, {"open_low": True}, "`q` should lie in (0, 1], got 0.0."),
            (1.0, {"open_high": True}, "`q` should lie in [0, 1), got 1.0."),
            (np.nan, {}, "`q` should lie in [0, 1], got nan."),
            (-1.0, {"hint": "a share"}, "`q` should lie in [0, 1], got -1.0: a share."),
        ],
    )
    def test_a_number(self, value, options, message):
        with pytest.raises(ValueError, match=says(message)):
            checks.check_range("q", value, 0, 1, **options)

    def test_an_array_names_the_first_and_counts(self, array):
        message = r"`q` should lie in \[0, 1\], got 2.0 at index 1 \(2 of 3 values\)"
        with pytest.raises(ValueError, match=message):
            checks.check_range("q", array([0.0, 2.0, -1.0]), 0, 1)

    def test_a_matrix_names_both_indices(self, array):
        with pytest.raises(ValueError, match=r"got 2.0 at index \(1, 0\) \(1 of 2 values\)"):
            checks.check_range("q", array([[0.0], [2.0]]), 0, 1)

    def test_one_sided(self, array):
        with pytest.raises(ValueError, match=re.escape("should lie in (0, inf], got -1")):
            checks.check_range("n", array([-1]), 0, open_low=True)

    def test_nothing_passes(self, array):
        checks.check_range("q", array([]), 0, 1)

    @given(st.floats(0, 1))
    def test_what_lies_inside_passes(self, value):
        checks.check_range("q", value, 0, 1)


class TestLength:
    def test_names_the_two_that_differ(self, array):
        message = "`labels` and `probs` should have as many rows as each other, got 3 and 2."
        with pytest.raises(ValueError, match=says(message)):
            checks.check_same_length(labels=array([0] * 3), weights=None, probs=array([0] * 2))

    def test_returns_the_length(self, array):
        assert checks.check_same_length(a=array([0, 1]), b=None, c=["x", "y"]) == 2
        assert checks.check_same_length(a=None) == 0

    def test_empty(self, array):
        with pytest.raises(ValueError, match=says("`x` should have at least one row, got none.")):
            checks.check_not_empty("x", array([]))
        with pytest.raises(ValueError, match="got none: the file has a header only"):
            checks.check_not_empty("x", array([]), hint="the file has a header only")
        checks.check_not_empty("x", array([0]))


class TestLabels:
    def test_out_of_range(self, array):
        message = "`y` should be class indices from 0 to 2, got 3 at row 1 (2 of 3 rows)."
        with pytest.raises(ValueError, match=says(message)):
            checks.check_labels("y", array([0, 3, -1]), 3)

    def test_fractions(self, array):
        with pytest.raises(TypeError, match="`y` should be whole class indices, got dtype float"):
            checks.check_labels("y", array([0.5]), 3)

    def test_strings(self):
        with pytest.raises(TypeError, match="pass class names beside string labels, or encode"):
            checks.check_labels("y", np.array(["cat"]), 3)

    def test_a_matrix(self, array):
        with pytest.raises(ValueError, match=re.escape("`y` should have shape (N,), got (1, 1)")):
            checks.check_labels("y", array([[0]]), 3)

    @pytest.mark.parametrize("nan", [np.nan, np.inf])
    def test_missing_labels(self, array, nan):
        with pytest.raises((TypeError, ValueError), match="`y` should be"):
            checks.check_labels("y", array([0.0, nan]), 3)

    @given(st.lists(st.integers(0, 4), min_size=1), st.sampled_from([np.int8, np.float32]))
    def test_whole_numbers_in_range_pass_in_any_type(self, labels, dtype):
        checks.check_labels("y", np.array(labels, dtype), 5)


class TestProbabilities:
    def test_logits_are_called_logits(self, array):
        message = (
            "`p` should be probabilities in [0, 1], got values from -1 to 3: "
            "if these are logits, pass them as logits."
        )
        with pytest.raises(ValueError, match=says(message)):
            checks.check_probabilities("p", array([[-1.0, 3.0]]))

    def test_says_by_how_much_a_sum_is_off(self, array):
        message = (
            "`p` should have rows that sum to 1 within 1e-05, got a sum of 1.1 at row 1 (off by 0.1; "
            "1 of 2 rows): renormalise them yourself, or ask for it."
        )
        with pytest.raises(ValueError, match=says(message)):
            checks.check_probabilities(
                "p", array(np.array([[0.5, 0.5], [0.5, 0.6]], dtype=np.float64))
            )

    def test_nan(self, array):
        with pytest.raises(ValueError, match="`p` should be finite, got 1 NaN"):
            checks.check_probabilities("p", array([[np.nan, 1.0]]))

    def test_a_vector(self, array):
        with pytest.raises(ValueError, match=re.escape("`p` should have shape (N, C), got (2,)")):
            checks.check_probabilities("p", array([0.5, 0.5]))

    def test_no_rows_pass(self):
        checks.check_probabilities("p", np.zeros((0, 3)))

    def test_the_tolerance_is_the_callers(self, array):
        rows = array([[0.5, 0.499]])
        checks.check_probabilities("p", rows, tolerance=1e-2)
        with pytest.raises(ValueError, match=r"within 0\.0001"):
            checks.check_probabilities("p", rows, tolerance=1e-4)

    @given(
        hnp.arrays(
            np.float32,
            st.tuples(st.integers(1, 5), st.integers(1, 50)),
            elements=st.floats(-30, 30, width=32),
        )
    )
    def test_a_float32_softmax_passes(self, logits):
        exp = np.exp(logits - logits.max(axis=1, keepdims=True))
        checks.check_probabilities("p", exp / exp.sum(axis=1, keepdims=True))


class TestChoice:
    def test_offers_the_nearest(self):
        message = (
            "`model` should be one of mc_dropout, softmax, got 'sofmax': did you mean softmax?"
        )
        with pytest.raises(ValueError, match=says(message)):
            checks.check_choice("model", "sofmax", ["softmax", "mc_dropout"])

    def test_offers_nothing_where_nothing_is_near(self):
        with pytest.raises(ValueError, match=says("`m` should be one of a, b, got 'zebra'.")):
            checks.check_choice("m", "zebra", {"b", "a"})

    def test_an_empty_list_is_never_read_out(self):
        message = "`m` should be one of those there are, got 'a': there are none."
        with pytest.raises(ValueError, match=says(message)):
            checks.check_choice("m", "a", [])
        with pytest.raises(ValueError, match=says("`m` should be one of '', b, got 'zebra'.")):
            checks.check_choice("m", "zebra", ["", "b"])

    def test_passes(self):
        checks.check_choice("m", "a", iter(["a", "b"]))


class TestRequire:
    def test_names_the_extra(self):
        message = (
            "`no_such_module` is not installed: it comes with `pip install 'uncertain-torch[x]'`"
        )
        with pytest.raises(ModuleNotFoundError, match=re.escape(message)) as caught:
            checks.require("no_such_module.inner", "x")
        assert caught.value.name == "no_such_module"

    def test_a_fault_inside_the_dependency_is_not_hidden(self, tmp_path, monkeypatch):
        (tmp_path / "broken_dependency.py").write_text("import something_it_forgot_to_declare")
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(ModuleNotFoundError, match="something_it_forgot_to_declare") as caught:
            checks.require("broken_dependency", "x")
        assert "comes with" not in str(caught.value)

    def test_returns_the_module(self):
        assert checks.require("json.decoder", "x") is sys.modules["json.decoder"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_tensor_that_is_trained_is_checked_in_its_own_precision(dtype):
    values = torch.tensor([[0.25, 0.75], [0.5, 0.5]], dtype=dtype, requires_grad=True)
    checks.check_finite("p", values)
    checks.check_range("p", values, 0, 1)
    checks.check_probabilities("p", values)
    with pytest.raises(ValueError, match="got 4 NaN"):
        checks.check_finite("p", values * torch.nan)


def test_checks_never_imports_torch():
    assert "torch" not in vars(checks)


@pytest.mark.parametrize(
    "value", [2.0, "2", None, np.ones(2)], ids=["float", "text", "none", "two"]
)
def test_what_is_no_whole_number_is_no_count(value):
    with pytest.raises(TypeError, match=r"`classes` should be a whole number, got .*: as many"):
        checks.check_count("classes", value, hint="as many")


def test_a_count_is_any_integer_of_at_least_the_least():
    for value in (2, np.int64(2), np.array(2)):
        checks.check_count("classes", value, 2)
    with pytest.raises(ValueError, match=r"`classes` should lie in \[2, inf\], got 1"):
        checks.check_count("classes", np.int64(1), 2)


@pytest.mark.parametrize("value", ["1", None], ids=["text", "none"])
def test_what_is_no_number_lies_in_no_range(value):
    with pytest.raises(TypeError, match=rf"`level` should be a number, got {value!r}: say"):
        checks.check_range("level", value, 0, hint="say one")


def test_a_switch_is_true_or_false():
    for value in (True, np.False_):
        checks.check_switch("bias", value)
    for value in ("yes", 1, None):
        with pytest.raises(TypeError, match=rf"`bias` should be True or False, got {value!r}: say"):
            checks.check_switch("bias", value, hint="say")
