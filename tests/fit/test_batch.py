"""A batch's means estimate those of the data set."""

import pytest
import torch

from uncertain.fit import Batch


def batch(weight, total):
    return Batch(None, None, torch.tensor(weight), torch.arange(len(weight)), total)


def test_sum_is_total_means():
    rows = batch([0.5, 1.5, 1.0], 30.0)
    values = torch.tensor([2.0, 4.0, 3.0])
    assert rows.mean(values).item() == pytest.approx((1 + 6 + 3) / 3)
    assert rows.sum(values).item() == pytest.approx(100.0)


def test_a_column_of_values_is_refused():
    """A (B, 1) tensor times (B,) weights would silently become (B, B)."""
    with pytest.raises(ValueError, match=r"`values` should have shape \(2,\), got \(2, 1\)"):
        _unchecked_mean(batch([1.0, 1.0], 2.0), torch.zeros(2, 1))


def _unchecked_mean(rows, values):
    import jaxtyping

    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        return rows.mean(values)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
