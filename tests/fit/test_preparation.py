"""Bad input is refused before anything is trained, in one sentence that says what to do."""

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Independent, Normal, Poisson

from tests.fit.models import Classes, Line, classification, line, regression, same_bits, state_of
from uncertain.fit import Hooks, fit, mixed_precision, nll, schedule, scheduler

pytestmark = pytest.mark.usefixtures("unchecked")

X, Y = regression(10)


def refused(match, error=ValueError, *, model=None, data=None, **options):
    """Train on something wrong, and check that the model has not moved."""
    model = line() if model is None else model
    before = state_of(model) if isinstance(model, nn.Module) else {}
    with pytest.raises(error, match=match):
        fit(model, (X, Y) if data is None else data, **{"steps": 2, "batch_size": 4} | options)
    if before:
        assert same_bits(before, state_of(model))


def weighted(*values):
    return X, Y, torch.tensor([*values, *[1.0] * (10 - len(values))])


@pytest.mark.parametrize("name", ["steps", "batch_size"])
def test_sizes(name):
    refused(rf"`{name}` should lie in \[1, inf\], got 0", **{name: 0})


def test_lengths():
    refused("`x` and `y` should have as many rows as each other, got 10 and 9", data=(X, Y[:9]))
    refused("`x` and `weight` should .* got 10 and 3", data=(X, Y, torch.ones(3)))


def test_no_rows():
    refused("`data` should have at least one row, got none", data=(X[:0], Y[:0]))
    refused("`data` should hold at least one tensor", data=(None, None))


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (weighted(-1.0), r"`data weight` should lie in \[0, inf\], got -1.0 at index 0"),
        (weighted(1, float("nan")), "`data weight` should be finite, got 1 NaN .* at row 1"),
        (weighted(1, float("inf")), "`data weight` should be finite, got 0 NaN and 1 infinite"),
        ((X, Y, torch.zeros(10)), "`data weight` should have a positive entry, got only zeros"),
        ((X, Y, torch.ones(10, 2)), r"`data weight` should have shape \(10,\), got \(10, 2\)"),
    ],
)
def test_weights(data, match):
    refused(match, data=data)


def test_numbers_that_are_not_finite():
    x, y = X.clone(), Y.clone()
    x[3, 1], y[4] = float("nan"), float("inf")
    refused(
        "`data x` should be finite, got NaN or infinity in 1 of 10 rows, the first at row 3",
        data=(x, Y),
    )
    refused("`data y` should be finite, .* at row 4", data=(X, y))
    refused("`validation x` should be finite", validation=(x, Y))


def test_large_halves_are_finite():
    x = torch.full((10, 2), 60000.0, dtype=torch.float16)  # their sum overflows
    model = line(dtype=torch.float16)
    objective = lambda batch: model.weight.float().sum()  # noqa: E731
    assert fit(model, (x, None), objective=objective, steps=1, batch_size=2).steps == 1


def test_data_of_another_kind():
    refused("`data` should be a tuple .* got list", TypeError, data=[X, Y])
    refused("`data` should be .x, y. or .x, y, weight., got a tuple of 4", data=(X, Y, Y, Y))
    refused("`x` should be a tensor, an array, .* got str", TypeError, data=("x", Y))


def test_models():
    refused("`model` should be a torch.nn.Module, got function", TypeError, model=lambda x: x)
    refused("`model` should have parameters that require a gradient", model=nn.Identity())
    model = line()
    with torch.no_grad():
        model.weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"`model` should have finite parameters, .* in weight"):
        fit(model, (X, Y), steps=1, batch_size=1)


def test_predictions_that_do_not_fit():
    class Raw(nn.Linear):
        pass

    class Column(nn.Linear):
        def forward(self, x):
            return Normal(super().forward(x), 1.0)

    class Outputs(nn.Linear):
        def forward(self, x):
            return Independent(Normal(super().forward(x), 1.0), 1)

    double = {"dtype": torch.float64}
    refused(
        "`model` should return a torch Distribution over y, got Tensor",
        TypeError,
        model=Raw(2, 1, **double),
    )
    refused(r"batch_shape \(2,\) for 2 rows, got \(2, 1\)", model=Column(2, 1, **double))
    refused(r"`y` should have shape \(2, 3\) to match .* got \(2,\)", model=Outputs(2, 3, **double))


def test_targets_of_the_wrong_kind():
    x, y = classification()
    refused(
        "`y` should be floating point for a Normal, got torch.int64",
        TypeError,
        model=line(3, torch.float32),
        data=(x, y),
    )
    refused(
        "`y` should be whole class indices for a Categorical",
        TypeError,
        model=Classes(),
        data=(x, y + 0.5),
    )
    high, low = y.clone(), y.clone()
    high[7], low[9] = 4, -1
    refused(
        r"`y` should be class indices from 0 to 3, got 4 at row 7 \(1 of 60\)",
        model=Classes(),
        data=(x, high),
    )
    refused(
        "`y` should be class indices from 0 to 3, got -1 at row 9", model=Classes(), data=(x, low)
    )
    refused("`y` should be a tensor to be scored", TypeError, model=Classes(), data=(x, None))


def test_counts_may_be_of_any_type():
    class Rate(nn.Linear):
        def forward(self, x):
            return Poisson(super().forward(x)[:, 0].exp())

    x, y = classification()
    assert fit(Rate(3, 1), (x, y), steps=1, batch_size=4).steps == 1
    assert fit(Rate(3, 1), (x, y.float()), steps=1, batch_size=4).steps == 1


def test_functions():
    refused("`objective` should be callable, got int", TypeError, objective=3)
    refused(
        r"`callbacks\[1\]` should be callable, got int",
        TypeError,
        callbacks=[lambda run: Hooks(), 3],
    )
    step = lambda model, batch: {}  # noqa: E731
    refused("`step` replaces the gradient step", step=step, optimizer=torch.optim.Adam)
    refused("`step` replaces the gradient step", step=step, objective=nll(line()))


def test_optimizers():
    model = line()
    adam = torch.optim.Adam(model.parameters())
    refused(
        r"`optimizer` should be a function of the parameters, .* functools.partial.torch.optim"
        r".Adam",
        TypeError,
        optimizer=adam,
    )
    refused(
        "`optimizer` should return a torch.optim.Optimizer .* got list", TypeError, optimizer=list
    )


@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        (3.0, TypeError, "should return a scalar tensor, .* got float for `loss`"),
        (torch.zeros(3), ValueError, r"should return scalars, got shape \(3,\) for `loss`"),
        ({}, ValueError, "at least one term, got an empty mapping"),
        (
            {"loss": torch.zeros(()), "kl": torch.zeros(())},
            ValueError,
            "got loss, kl: leave the sum out",
        ),
        (torch.zeros(()), ValueError, "`objective` should depend on the parameters of `model`"),
    ],
)
def test_what_an_objective_returns(value, error, match):
    refused(match, error, objective=lambda batch: value)


def test_an_objective_of_another_model():
    refused("was it built for another model", objective=nll(line(seed=1)))


def test_optimizer_callbacks_need_an_optimizer():
    step = lambda model, batch: {"a": torch.zeros(())}  # noqa: E731
    refused(
        "`schedule` acts on the optimizer, and a custom `step` has its own",
        step=step,
        callbacks=[schedule(lambda step: 1.0)],
    )
    refused(
        "`mixed_precision` should be bfloat16 with a custom `step`",
        step=step,
        callbacks=[mixed_precision(torch.float16)],
    )


def test_schedulers():
    refused(
        "`scheduler` should make a torch LRScheduler, got Adam",
        TypeError,
        callbacks=[scheduler(lambda optimizer: optimizer)],
    )
    refused(
        "`factor` should be finite and at least 0, got -1.0 at step 0",
        callbacks=[schedule(lambda step: -1.0)],
    )


def test_probabilities_of_an_unfit_model_are_not_trained():
    class Members(Line):
        def forward(self, x):
            return Categorical(logits=torch.zeros(5, len(x), 3) + self.weight.sum())

    refused(
        r"batch_shape \(2,\) for 2 rows, got \(5, 2\).*members into a mixture",
        model=Members(2, 1),
        data=(X, Y.long()),
    )
