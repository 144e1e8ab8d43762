"""A factor, or an error that helps."""

from __future__ import annotations

import pytest
import torch

from uncertain.gp import NotPositiveDefiniteError
from uncertain.gp.factors import cholesky


def test_the_factor_squares_to_the_matrix_and_nothing_is_added() -> None:
    a = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrix = a @ a.mT + torch.eye(4)
    factor = cholesky(matrix, name="A", remedy="")
    torch.testing.assert_close(factor @ factor.mT, matrix)
    assert torch.equal(factor, factor.tril())


def test_a_failure_says_which_matrix_its_size_its_spectrum_and_what_to_try() -> None:
    bad = torch.diag(torch.tensor([4.0, -0.5, 1.0], dtype=torch.float64))
    with pytest.raises(NotPositiveDefiniteError) as caught:
        cholesky(bad, name="K", remedy="raise `jitter` above 1e-6")
    assert str(caught.value) == (
        "`K` should be positive definite, got a 3 x 3 matrix with eigenvalues from -0.5 to 4: "
        "raise `jitter` above 1e-6."
    )
    assert (caught.value.size, caught.value.smallest, caught.value.largest) == (3, -0.5, 4.0)


def test_the_first_bad_one_of_a_batch_is_named() -> None:
    batch = torch.eye(2).repeat(3, 1, 1)
    batch[1] *= -1
    with pytest.raises(NotPositiveDefiniteError, match=r"`K\[1\]` should"):
        cholesky(batch, name="K", remedy="?")


def test_numbers_that_are_not_finite_are_called_that() -> None:
    matrix = torch.eye(2)
    matrix[0, 0] = torch.nan
    with pytest.raises(NotPositiveDefiniteError, match="2 x 2 matrix with 1 entries that are not"):
        cholesky(matrix, name="K", remedy="?")
