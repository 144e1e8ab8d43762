"""Categories and gaps: what the model sees, what it says of columns as given, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.impute import SimpleImputer
from torch import Tensor, nn
from torch.distributions import Distribution, Normal

from uncertain import gp
from uncertain.fit import Batch
from uncertain.gp import Columns, EncodedInputs, Fill, ThinDeepGP
from uncertain.gp.encoded import grouped_relevance
from uncertain.predictive import load, save


def table() -> Tensor:
    """Two numbers about a category with codes 3, 5 and 8."""
    g = torch.Generator().manual_seed(0)
    codes = torch.tensor([3.0, 5.0, 8.0])[torch.randint(0, 3, (40,), generator=g)]
    return torch.stack([torch.rand(40, generator=g), codes, torch.rand(40, generator=g)], 1)


def encoded(x: Any = None, **settings: Any) -> EncodedInputs:
    rows = table() if x is None else x

    def make(inner: Tensor, y: Tensor) -> nn.Module:
        return ThinDeepGP.from_data(inner, y, inducing_points=inner[:10], members=8)

    target = torch.sin(6 * table()[:, 0]) + table()[:, 1]
    return EncodedInputs.from_data(make, rows, target, **{"categorical": [1]} | settings)


def test_a_category_becomes_one_column_a_level_and_numbers_stay() -> None:
    x = table()
    columns = Columns.from_data(x, categorical=[1])
    found = columns(x)
    hot = torch.nn.functional.one_hot(torch.tensor([0, 0, 0, 0, 0, 1, 0, 0, 2])[x[:, 1].long()], 3)
    torch.testing.assert_close(found, torch.cat([x[:, :1], hot.float(), x[:, 2:]], 1))
    assert columns.groups() == [[0], [1, 2, 3], [4]]
    assert columns(x.double()).dtype == torch.float64
    x.requires_grad_()
    columns(x).sum().backward()
    assert x.grad is not None
    assert x.grad.sum(0).tolist() == [40.0, 0.0, 40.0]


def test_names_are_as_good_as_codes() -> None:
    x = table()
    names = np.array(["ash", "beech", "oak"])[np.searchsorted([3, 5, 8], x[:, 1].numpy())]
    mixed = np.empty((40, 3), object)
    mixed[:, 0], mixed[:, 1], mixed[:, 2] = x[:, 0].tolist(), names, x[:, 2].tolist()
    columns = Columns.from_data(mixed, categorical=[1])
    expected = Columns.from_data(x, categorical=[1])(x)
    torch.testing.assert_close(columns(mixed), expected.double())
    with pytest.raises(ValueError, match=r"column 1, got 'elm' at row 0: training has ash, beech"):
        columns(np.array([[0.0, "elm", 0.0]], object))


def test_gaps_are_filled_as_in_training_and_told_apart() -> None:
    x = table()
    x[::4, 0] = math.nan
    numbers = x[:, [0, 2]].double().numpy()
    imputer = SimpleImputer(strategy="median").fit(numbers)
    columns = Columns.from_data(x, categorical=[1], impute=imputer.transform, indicate=True)
    found = columns(x)
    median = x[:, 0].nanmedian()
    filled = np.nanmedian(x[:, 0].numpy())
    assert abs(float(median) - filled) < 0.1
    torch.testing.assert_close(found[:, 0], x[:, 0].nan_to_num(float(filled)))
    assert torch.equal(found[:, 5], x[:, 0].isnan().float())
    assert columns.groups() == [[0, 5], [1, 2, 3], [4]]
    own = Columns.from_data(x, categorical=[1], impute=Fill.from_data(numbers), indicate=True)
    torch.testing.assert_close(own(x), found)
    # What had no gaps in training may have some now: it is filled, and no column is added.
    later = x[:2].clone()
    later[0, 2] = math.nan
    assert columns(later).shape == (2, 6)
    assert columns(later).isfinite().all()


def test_a_missing_category_is_a_level_where_training_has_one() -> None:
    x = table()
    x[0, 1] = math.nan
    columns = Columns.from_data(x, categorical=[1])
    assert columns.levels == [[3.0, 5.0, 8.0, "missing"]]
    assert columns(x)[0, 1:5].tolist() == [0, 0, 0, 1]
    with pytest.raises(ValueError, match="got 'missing' at row 0"):
        Columns.from_data(table(), categorical=[1])(x)


def test_the_wrapped_model_is_the_model_of_encoded_rows() -> None:
    model, x = encoded(), table()
    inner, rows, y = model.model, model.columns(x), x.sum(1)
    batch = Batch(x, y, torch.ones(40), torch.arange(40), 40.0)
    assert torch.equal(model.eval()(x[:5]).mean, inner(rows[:5]).mean)
    expected = inner.objective(batch._replace(x=rows))  # type: ignore[operator]
    assert torch.equal(model.objective(batch), expected)
    assert torch.equal(model.latent(x).mean, inner.latent(rows).mean)  # type: ignore[operator]
    assert torch.equal(model.relevance(x), inner.relevance(rows))  # type: ignore[operator]
    before = model(x[:5]).mean.clone()
    model.condition(x, y)
    assert not torch.equal(model(x[:5]).mean, before)


def test_it_is_saved_with_its_levels_and_its_filling(tmp_path: Any) -> None:
    x = table()
    x[::4, 0] = math.nan
    model = encoded(x, impute=Fill.from_data(x[:, [0, 2]]), indicate=True)
    save(model, tmp_path / "model.pt")
    again = load(tmp_path / "model.pt")
    assert torch.equal(again(x[:6]).mean, model.eval()(x[:6]).mean)


def test_the_relevance_of_a_column_is_half_the_mean_square_of_what_it_moves() -> None:
    g = torch.Generator().manual_seed(2)
    root, rows = torch.randn(2, 4, generator=g).double(), torch.randn(30, 4, generator=g).double()
    groups = [[0, 3], [1], [2]]
    found = grouped_relevance((root.T @ root).expand(30, 4, 4), rows, groups)
    for value, group in zip(found, groups, strict=True):
        apart = (rows[:, None, group] - rows[None, :, group]) @ root[:, group].T
        torch.testing.assert_close(value, apart.square().sum(2).mean() / 2)
    model, x = encoded(), table()
    assert model.input_relevance(x).shape == (3,)
    assert (model.input_relevance(x) > 0).all()


def test_it_is_fitted_in_one_call_as_its_model_would_be() -> None:
    model, x = encoded(), table()
    y = torch.sin(6 * x[:, 0]) + x[:, 1]
    assert getattr(model, "hold_noise", None) is not None
    assert not hasattr(EncodedInputs(Plain(), model.columns), "hold_noise")
    batch = Batch(x, y, torch.ones(40), torch.arange(40), 40.0)
    before = model.eval().objective(batch)
    gp.fit(model, (x, y), plan=[gp.Phase(30, rate=0.05)])
    assert model.objective(batch) < before


class Plain(nn.Module):
    def forward(self, x: Tensor) -> Distribution:
        return Normal(x.sum(1), 1.0)


def test_a_model_without_a_posterior_to_set_is_left_alone() -> None:
    x = table()
    model = EncodedInputs(Plain(), Columns.from_data(x, categorical=[1]))
    model.condition(x, x[:, 0])
    torch.testing.assert_close(model(x).mean, x[:, 0] + 1 + x[:, 2])


@pytest.mark.usefixtures("unchecked")
def test_what_can_not_be_encoded_is_refused_in_words() -> None:
    x = table()
    gap = x.clone()
    gap[2, 0] = math.nan
    named = np.array([["a", 1.0], ["b", 2.0]], object)
    make = Columns.from_data
    for call, error, text in (
        (lambda: make(gap, categorical=[1]), ValueError, r"got 1 in column 0: drop .* `impute`"),
        (lambda: make(x, categorical=[3]), ValueError, r"`categorical` should lie in \[0, 2\]"),
        (lambda: make(x[:1], categorical=[1]), ValueError, r"two levels in column 1, got 8.0"),
        (lambda: make(named)(named), TypeError, r"numbers in column 0, got could not convert"),
        (lambda: make([[1.0]]), TypeError, r"a tensor or an array \(N, D\), got list"),
        (lambda: make(x)(x[:, :2]), ValueError, r"`x` should have shape \(N, 3\)"),
        (lambda: make(x, impute=lambda t: t[:, :1])(x), ValueError, r"`impute\(x\)` should have"),
        (lambda: make(x, impute=lambda t: t)(gap), ValueError, r"`x` should be finite, got 1 NaN"),
        (lambda: Columns(2, categorical=[0]), ValueError, r"`categorical` and `levels`"),
        (lambda: Fill(torch.tensor([math.nan])), ValueError, r"`values` should be finite"),
        (lambda: Fill.from_data(x[:, :1] * math.nan), ValueError, r"got none in column 0"),
        (lambda: encoded(gap, impute=None), ValueError, r"pass `impute`"),
    ):
        with pytest.raises(error, match=text):
            call()
    unfilled = make(x, categorical=[1])
    with pytest.raises(ValueError, match="finite"):
        EncodedInputs(encoded().model, unfilled)(gap)


def test_what_only_the_model_within_answers_says_how_to_ask():
    with pytest.raises(AttributeError, match=r"ask `model.model.local_metric` with rows as"):
        encoded().local_metric(torch.zeros(1, 2))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        encoded().nothing
