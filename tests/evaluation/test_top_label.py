"""Top labels of few and of many classes are those of argmax, ties to the first class."""

import numpy as np
import pytest

from uncertain.evaluation.top_label import chunk_rows, largest, top_label


@pytest.mark.parametrize("classes", [1, 2, 10, 33, 200])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_top_labels_are_those_of_argmax(classes, dtype):
    rng = np.random.default_rng(0)
    p = np.round(rng.dirichlet(np.ones(classes), 400), 1).astype(dtype)  # coarse, so many tie
    for given in (p, np.asfortranarray(p)):
        labels = rng.integers(0, classes, 400)
        confidence, correct = top_label(given, labels)
        np.testing.assert_array_equal(confidence, p.max(axis=1))
        np.testing.assert_array_equal(correct, p.argmax(axis=1) == labels)
        np.testing.assert_array_equal(largest(given), p.max(axis=1))
        assert confidence.dtype == dtype
    assert chunk_rows(classes) >= 300
