"""Scores of rows that are not trained on."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Categorical

from tests.fit.models import Classes, classification, line, regression
from uncertain.fit import Hooks, Validation, fit, from_dataset
from uncertain.fit.modes import evaluation_mode


def scores(validation, model=None, steps=10, data=None):
    model = line() if model is None else model
    data = regression() if data is None else data
    return fit(model, data, steps=steps, batch_size=8, validation=validation).scores


@pytest.mark.parametrize(
    ("every", "expected"), [(None, [5, 10]), (1, list(range(1, 11))), (4, [4, 8, 10]), (99, [10])]
)
def test_when(every, expected):
    assert [s.step for s in scores(Validation(regression(seed=1), every=every))] == expected


@pytest.mark.parametrize("batch_size", [None, 1, 7, 1000])
def test_the_score_is_the_mean_nll(batch_size):
    x, y = regression(30, seed=1)
    model = line()
    value = scores(Validation((x, y), batch_size=batch_size), model)[-1].value
    assert value == pytest.approx(-model(x).log_prob(y).mean().item(), rel=1e-12)


def test_weights_count():
    x, y = regression(30, seed=1)
    weight = torch.arange(30) % 4
    copied = x.repeat_interleave(weight, 0), y.repeat_interleave(weight)
    one, other = scores((x, y, weight)), scores(copied)
    assert [s.value for s in one] == pytest.approx([s.value for s in other], rel=1e-12)


def test_a_row_of_weight_zero_may_be_impossible():
    class Sure(nn.Linear):
        def forward(self, x):
            return Categorical(logits=torch.tensor([0.0, -math.inf]) + 0 * super().forward(x))

    data = torch.ones(2, 1), torch.tensor([0, 1])
    both = scores((*data, torch.tensor([1.0, 1.0])), Sure(1, 1), data=(data[0][:1], data[1][:1]))
    one = scores((*data, torch.tensor([1.0, 0.0])), Sure(1, 1), data=(data[0][:1], data[1][:1]))
    assert both[-1].value == math.inf
    assert one[-1].value == 0


def test_evaluation_mode_and_back():
    model, modes = Classes(), []
    model.net[1].eval()
    model.register_forward_hook(lambda *_: modes.append((model.training, torch.is_grad_enabled())))
    fit(model, classification(), steps=2, batch_size=30, validation=classification(seed=1))
    assert modes[-1] == (False, False)
    assert (True, True) in modes
    assert model.training
    assert not model.net[1].training


def test_modes_are_put_back_after_an_error():
    model = Classes()
    with pytest.raises(RuntimeError, match="stop"), evaluation_mode(model):
        raise RuntimeError("stop")
    assert all(module.training for module in model.modules())


def test_a_function_is_a_validation():
    model = line()
    given = []
    found = scores(lambda model: given.append(model) or torch.tensor(2.0), model)
    assert found == ((5, 2.0), (10, 2.0))
    assert all(one is model for one in given)


def test_data_sets_are_data():
    x, y = regression(30, seed=1)
    data = torch.utils.data.TensorDataset(x, y)
    assert scores(data) == scores((x, y)) == scores(from_dataset(data))


def test_validation_hooks_see_the_score():
    seen = []
    watch = lambda run: Hooks(validation=lambda: seen.append(run.scores[-1]))  # noqa: E731
    result = fit(
        line(),
        regression(),
        steps=10,
        batch_size=8,
        validation=regression(seed=1),
        callbacks=[watch],
    )
    assert tuple(seen) == result.scores


def test_the_best_is_the_first_of_the_lowest():
    values = iter([3.0, 1.0, 2.0, 1.0])
    validation = Validation(lambda model: next(values), every=1)
    assert fit(line(), regression(), steps=4, batch_size=8, validation=validation).best == (2, 1.0)


@pytest.mark.parametrize("name", ["every", "batch_size"])
def test_arguments(name):
    with pytest.raises(ValueError, match=f"`{name}` should lie in"):
        Validation(regression(), **{name: 0})
