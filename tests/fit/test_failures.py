"""A number that is not finite stops training: named, and with the last good state put back."""

import functools
import math
import re

import pytest
import torch
from torch import nn
from torch.distributions import Categorical

from tests.fit.models import Classes, classification, line, regression, same_bits, sgd, state_of
from uncertain.fit import (
    Hooks,
    NonFiniteError,
    Validation,
    checkpoints,
    fit,
    load_checkpoint,
    nll,
    term,
)


def states_of(model, into):
    """Record the model's state after every step, with that before the first as number 0."""
    into.append(state_of(model))
    return lambda run: Hooks(step=lambda: into.append(state_of(model)))


class Poison(nn.Module):
    """Multiplies by one, until it is told not to; with statistics that a forward pass moves."""

    def __init__(self, model, at, value=math.nan, where="loss"):
        super().__init__()
        self.model, self.at, self.value, self.where = model, at, value, where
        self.calls = 0

    def factor(self):
        self.calls += 1
        return self.value if self.calls > self.at else 1.0

    def penalty(self, batch):
        factor = self.factor()
        first = next(self.model.parameters()).flatten()[0]
        if self.where == "gradient" and factor != 1:
            return torch.sqrt((first - first.detach()).abs()) * 0  # 0 with a gradient 0/0
        return first * 0 + factor


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [0, 3])
def test_a_loss_names_step_term_and_rows(value, at):
    model, states = Classes(), []
    poison = term("penalty", Poison(model, at, value).penalty)
    batches = []
    keep = lambda run: Hooks(batch=lambda batch: batches.append(batch) or batch)  # noqa: E731
    callbacks = [states_of(model, states), keep]
    with pytest.raises(
        NonFiniteError, match=rf"`penalty` is not finite at step {at + 1} \(nll "
    ) as e:
        fit(
            model,
            classification(),
            objective=nll(model) + poison,
            steps=9,
            batch_size=7,
            callbacks=callbacks,
        )
    error = e.value
    assert (error.step, error.term, error.restored) == (at, "penalty", at)
    assert torch.equal(error.index, batches[-1].index)
    rows = ", ".join(map(str, error.index.tolist()))
    assert f"Rows of the batch: {rows}." in str(error)
    assert len(states) == at + 1
    assert same_bits(state_of(model), states[-1])  # batch statistics too


def test_many_rows_are_counted():
    model = line()
    with pytest.raises(NonFiniteError, match=re.escape(", ... (40 rows).")):
        fit(model, regression(), objective=Poison(model, 0).penalty, steps=1, batch_size=40)


def test_a_gradient_is_named_by_its_parameter():
    model, states = line(), []
    poison = Poison(model, 2, where="gradient")
    with pytest.raises(
        NonFiniteError, match=r"gradient of weight` is not finite at step 3 .and no"
    ):
        fit(
            model,
            regression(),
            objective=nll(model) + poison.penalty,
            steps=9,
            batch_size=7,
            callbacks=[states_of(model, states)],
        )
    assert same_bits(state_of(model), states[-1])


def test_gradients_whose_norm_overflows_are_finite():
    model = line(dtype=torch.float32)
    huge = term("huge", lambda batch: 1e30 * model.weight.sum())
    freeze = functools.partial(torch.optim.SGD, lr=0.0)
    result = fit(
        model,
        regression(dtype=torch.float32),
        objective=huge,
        optimizer=freeze,
        steps=2,
        batch_size=4,
    )
    assert result.steps == 2


def test_a_distribution_that_refuses_its_parameters_is_named():
    class Growing(Classes):
        calls = 0

        def forward(self, x):
            self.calls += self.training
            logits = self.net(x)
            return Categorical(logits=logits * math.nan if self.calls > 3 else logits)

    model, states = Growing(), []
    with pytest.raises(
        NonFiniteError, match="`logits of Categorical` is not finite at step 4"
    ) as e:
        fit(model, classification(), steps=9, batch_size=7, callbacks=[states_of(model, states)])
    assert isinstance(e.value.__cause__, ValueError)
    assert same_bits(state_of(model), states[-1])


def test_arithmetic_that_fails_is_a_failure_of_the_step():
    """What raises ArithmeticError (a matrix without a factor) would have been a number that is not one."""
    model, states = Classes(), []

    def objective(batch):
        if len(states) > 3:
            raise FloatingPointError("`K` has no factor.")
        return nll(model)(batch)

    with pytest.raises(
        NonFiniteError, match=r"`objective` .* step 4 \(`K` has no factor\.\)"
    ) as caught:
        fit(
            model,
            classification(),
            objective=objective,
            steps=9,
            batch_size=8,
            callbacks=[states_of(model, states)],
        )
    assert isinstance(caught.value.__cause__, FloatingPointError)
    assert (caught.value.step, caught.value.restored) == (3, 3)
    assert same_bits(state_of(model), states[3])


def test_a_finite_mistake_of_the_model_stays_its_own():
    class Negative(nn.Linear):
        def forward(self, x):
            return torch.distributions.Normal(super().forward(x)[:, 0], -1.0)

    with pytest.raises(ValueError, match="Expected parameter scale"):
        fit(Negative(2, 1, dtype=torch.float64), regression(), steps=1, batch_size=4)


def test_an_update_that_overflows_is_taken_back_to_a_kept_state():
    model = line()
    start = state_of(model)

    def explode(run):
        def gradient():
            if run.step == 5:
                run.optimizer.param_groups[0]["lr"] = math.inf

        return Hooks(gradient=gradient)

    with pytest.raises(NonFiniteError, match="The model holds the state after step 0") as e:
        fit(model, regression(), optimizer=sgd, steps=9, batch_size=7, callbacks=[explode])
    assert e.value.step == 6
    assert same_bits(state_of(model), start)


def test_a_custom_step_is_taken_back():
    model, states = line(), []

    def step(model, batch):
        with torch.no_grad():
            model.weight += 1
            if len(states) == 3:
                model.weight[0, 1] = math.nan
        return {"loss": torch.zeros(())}

    with pytest.raises(NonFiniteError, match=r"`parameter weight` is not finite at step 3 .loss 0"):
        fit(
            model,
            regression(),
            step=step,
            steps=9,
            batch_size=7,
            callbacks=[states_of(model, states)],
        )
    assert same_bits(state_of(model), states[-1])


def test_a_validation_that_is_nan():
    model = line()
    nan = Validation(lambda model: math.nan, every=2)
    with pytest.raises(NonFiniteError, match="`validation` is not finite at step 2"):
        fit(model, regression(), steps=9, batch_size=7, validation=nan)


def test_a_validation_that_is_infinite_is_a_score():
    """A probability of zero is a possible prediction, only a bad one."""
    scores = iter([math.inf, 1.0])
    validation = Validation(lambda model: next(scores), every=1)
    result = fit(line(), regression(), steps=2, batch_size=7, validation=validation)
    assert result.best == (2, 1.0)


def test_the_last_checkpoint_is_kept_and_named(tmp_path):
    model = line()
    callbacks = [checkpoints(tmp_path, every=2)]
    poison = term("penalty", Poison(model, 5).penalty)
    with pytest.raises(NonFiniteError, match=re.escape(f"The last checkpoint is {tmp_path}")) as e:
        fit(
            model,
            regression(),
            objective=nll(model) + poison,
            steps=9,
            batch_size=7,
            callbacks=callbacks,
        )
    assert e.value.restored == 5
    assert load_checkpoint(e.value.checkpoint)["step"] == 4


def test_rows_that_came_in_bad_are_said_to_be():
    class Items(torch.utils.data.Dataset):
        def __len__(self):
            return 6

        def __getitem__(self, i):
            return torch.full((2,), math.nan if i == 4 else 1.0), torch.tensor(1.0)

    model = line(dtype=torch.float32)
    # The check before training looks at two rows only; the loss meets the bad one.
    with pytest.raises(NonFiniteError, match="the batch itself holds values that are not finite"):
        fit(model, Items(), steps=9, batch_size=2)
