"""Training reaches what is known in closed form, and obeys the law of weights."""

import functools

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import nn

from tests.fit.models import Classes, classification, line, regression, same_bits, sgd, state_of
from uncertain.fit import Batch, Hooks, fit, nll, term


def least_squares(x, y, weight=None):
    """Solve for the slope and intercept that minimise the weighted squared error."""
    design = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1)
    w = torch.ones(len(x), dtype=x.dtype) if weight is None else weight
    return torch.linalg.solve(design.T @ (w[:, None] * design), design.T @ (w * y))


def solution(model):
    return torch.cat([model.weight[0], model.bias]).detach()


def test_full_batch_reaches_least_squares():
    x, y = regression()
    model = line()
    fit(model, (x, y), optimizer=sgd, steps=600, batch_size=40)
    torch.testing.assert_close(solution(model), least_squares(x, y), atol=1e-9, rtol=0)


def test_weighted_batches_reach_weighted_least_squares():
    x, y = regression()
    weight = torch.linspace(0, 3, 40, dtype=torch.float64)
    model = line()
    fit(model, (x, y, weight), optimizer=sgd, steps=600, batch_size=40)
    torch.testing.assert_close(solution(model), least_squares(x, y, weight), atol=1e-9, rtol=0)


@pytest.mark.usefixtures("unchecked")  # thousands of steps
def test_minibatches_with_a_falling_rate_come_close():
    from uncertain.fit import cosine, schedule

    x, y = regression()
    model = line()
    callbacks = [schedule(cosine(3000))]
    fit(model, (x, y), optimizer=sgd, steps=3000, batch_size=7, callbacks=callbacks)
    torch.testing.assert_close(solution(model), least_squares(x, y), atol=0.01, rtol=0)


def gradients(data, batch_size, steps=1, seed=0, penalty=False):
    """Return the mean gradient over ``steps`` steps of a model that does not move."""
    model = line()
    seen = []

    def watch(run):
        return Hooks(
            gradient=lambda: seen.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
        )

    objective = nll(model)
    if penalty:
        # As an evidence bound is built: the data's total against a prior that is not weighted.
        prior = term("prior", lambda batch: model.weight.square().sum())
        objective = term("fit", lambda batch: batch.sum(-model(batch.x).log_prob(batch.y))) + prior
    fit(
        model,
        data,
        objective=objective,
        optimizer=functools.partial(torch.optim.SGD, lr=0.0),
        steps=steps,
        batch_size=batch_size,
        callbacks=[watch],
        seed=seed,
    )
    return torch.stack(seen).mean(0)


counts = st.lists(st.integers(0, 4), min_size=2, max_size=9).filter(any)


@given(counts, st.booleans())
@settings(max_examples=30)
def test_weight_k_is_k_copies_in_a_full_batch(copies, penalty):
    x, y = regression(len(copies))
    k = torch.tensor(copies)
    weighted = gradients((x, y, k), 100, penalty=penalty)
    copied = gradients((x.repeat_interleave(k, 0), y.repeat_interleave(k)), 100, penalty=penalty)
    torch.testing.assert_close(weighted, copied, rtol=1e-12, atol=1e-12)


@given(counts, st.integers(1, 5), st.booleans())
@settings(max_examples=15)
def test_weight_k_is_k_copies_in_expectation(copies, batch_size, penalty):
    """Over whole epochs every row comes equally often, so the mean gradient is exact."""
    x, y = regression(len(copies))
    k = torch.tensor(copies)
    active = int((k > 0).sum())
    weighted = gradients((x, y, k), batch_size, steps=active, penalty=penalty)
    copied = gradients((x.repeat_interleave(k, 0), y.repeat_interleave(k)), 100, penalty=penalty)
    torch.testing.assert_close(weighted, copied, rtol=1e-10, atol=1e-10)


@given(st.floats(1e-3, 1e3))
@settings(max_examples=10)
def test_only_ratios_of_weights_matter_to_a_mean(scale):
    x, y = regression(10)
    weight = torch.arange(10.0, dtype=torch.float64)
    one, other = gradients((x, y, weight), 10), gradients((x, y, scale * weight), 10)
    torch.testing.assert_close(one, other)


def test_the_batch_is_what_it_says():
    x, y = regression(10)
    weight = torch.arange(10.0, dtype=torch.float64)
    model, seen = line(), []

    def objective(batch):
        seen.append(batch)
        return batch.mean(-model(batch.x).log_prob(batch.y))

    fit(model, (x, y, weight), objective=objective, steps=9, batch_size=4)
    index = torch.cat([batch.index for batch in seen])
    # Row 0 has weight 0 and never comes; the other nine come four times each in 36 places.
    assert index.bincount(minlength=10).tolist() == [0] + 9 * [4]
    for batch in seen:
        assert torch.equal(batch.x, x[batch.index])
        assert torch.equal(batch.y, y[batch.index])
        assert batch.total == 45
        assert batch.weight.dtype == torch.float64
        torch.testing.assert_close(batch.weight, weight[batch.index] * 9 / 45)


def test_result_tells_what_happened():
    model = line()
    result = fit(model, regression(), steps=5, batch_size=8, validation=regression(seed=1))
    assert result.model is model
    assert result.steps == 5
    assert result.stopped == "steps"
    assert set(result.history) == {"nll", "loss", "gradient_norm"}
    assert all(values.shape == (5,) for values in result.history.values())
    np.testing.assert_array_equal(result.history["nll"], result.history["loss"])
    assert [score.step for score in result.scores] == [5]
    assert result.best == result.scores[0]
    assert result.seconds > 0
    assert "history" not in repr(result)


def test_terms_are_recorded_by_name():
    model = line()
    size = term("size", lambda batch: model.weight.square().sum())
    result = fit(model, regression(), objective=nll(model) + 0.5 * size, steps=3, batch_size=8)
    terms = result.history
    np.testing.assert_allclose(terms["nll"] + terms["size"], terms["loss"])


def test_the_model_can_bring_its_objective():
    class Own(nn.Linear):
        def objective(self, batch):
            return {"distance": (self.weight - 3).square().sum()}

    model = Own(1, 1)
    fit(model, (torch.ones(1, 1), None), optimizer=sgd, steps=200, batch_size=1)
    torch.testing.assert_close(model.weight.detach(), torch.full((1, 1), 3.0))


@pytest.mark.usefixtures("unchecked")  # thousands of steps
def test_an_objective_with_parameters_is_trained_too():
    class Scale(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model, self.log_scale = model, nn.Parameter(torch.zeros((), dtype=torch.float64))

        def forward(self, batch):
            scale = self.log_scale.exp()
            normal = torch.distributions.Normal(self.model(batch.x).mean, scale)
            return batch.mean(-normal.log_prob(batch.y))

    x, y = regression()
    model = line()
    objective = Scale(model)
    slow = functools.partial(torch.optim.SGD, lr=0.03)
    fit(model, (x, y), objective=objective, optimizer=slow, steps=2000, batch_size=40)
    residual = y - model(x).mean.detach()
    torch.testing.assert_close(objective.log_scale.exp().detach(), residual.std(correction=0))


def test_same_seed_same_bits_and_another_seed_others():
    def trained(seed):
        model = Classes()
        fit(model, classification(), steps=12, batch_size=7, seed=seed)
        return state_of(model)

    assert same_bits(trained(3), trained(3))
    assert not same_bits(trained(3), trained(4))


def test_global_generators_are_put_back():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(Classes(), classification(), steps=3, batch_size=7)
    assert torch.equal(torch.rand(3), expected)


def test_the_global_generator_does_not_matter():
    def trained(start):
        torch.manual_seed(start)
        model = Classes()
        fit(model, classification(), steps=5, batch_size=7)
        return state_of(model)

    assert same_bits(trained(1), trained(2))


def test_validation_leaves_no_trace():
    plain, validated = Classes(), Classes()
    fit(plain, classification(), steps=9, batch_size=7)
    from uncertain.fit import Validation

    every = Validation(classification(seed=1), every=1)
    fit(validated, classification(), steps=9, batch_size=7, validation=every)
    assert same_bits(state_of(plain), state_of(validated))


@pytest.mark.parametrize("training", [True, False])
def test_modes_are_put_back(training):
    model = Classes()
    model.train(training)
    model.net[1].eval()  # frozen statistics
    before = model.net[1].running_mean.clone()
    fit(model, classification(), steps=3, batch_size=7)
    assert model.training is training
    assert not model.net[1].training
    assert torch.equal(model.net[1].running_mean, before) is training


def test_a_batch_larger_than_the_data_is_all_of_it():
    x, y = regression(10)
    one, other = line(), line()
    fit(one, (x, y), steps=4, batch_size=10)
    fit(other, (x, y), steps=4, batch_size=10_000)
    assert same_bits(state_of(one), state_of(other))


def test_it_equals_the_loop_written_by_hand():
    x, y = regression()
    ours, theirs = line(), line()
    fit(ours, (x, y), steps=20, batch_size=40)
    adam = torch.optim.Adam(theirs.parameters())
    for _ in range(20):
        adam.zero_grad()
        (-theirs(x).log_prob(y)).mean().backward()
        adam.step()
    torch.testing.assert_close(state_of(ours), state_of(theirs), rtol=1e-12, atol=1e-14)


def lbfgs_step(model):
    optimizer = torch.optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe")

    def step(model, batch):
        def closure():
            optimizer.zero_grad()
            loss = nll(model)(batch)["nll"]
            loss.backward()
            return loss

        return {"nll": optimizer.step(closure).detach()}

    return step


def test_a_step_can_be_lbfgs():
    x, y = regression()
    model = line()
    result = fit(model, (x, y), step=lbfgs_step(model), steps=20, batch_size=40)
    torch.testing.assert_close(solution(model), least_squares(x, y), atol=1e-5, rtol=0)
    assert set(result.history) == {"nll"}


def test_a_step_can_be_newtons():
    """A natural gradient step of rate 1 on a Gaussian likelihood is exact."""
    x, y = regression()
    model = line()

    def step(model, batch):
        design = torch.cat([batch.x, torch.ones(len(batch.x), 1, dtype=x.dtype)], 1)
        fisher = design.T @ design
        with torch.no_grad():
            change = torch.linalg.solve(fisher, design.T @ (batch.y - model(batch.x).mean))
            model.weight += change[:-1]
            model.bias += change[-1]
        return {"change": change.norm()}

    fit(model, (x, y), step=step, steps=1, batch_size=40)
    torch.testing.assert_close(solution(model), least_squares(x, y), atol=1e-12, rtol=0)


def test_a_sum_of_member_losses_trains_each_as_alone():
    x, y = regression()
    alone = [line(seed=seed) for seed in range(2)]
    for model in alone:
        fit(model, (x, y), optimizer=sgd, steps=10, batch_size=40)

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.members = nn.ModuleList(line(seed=seed) for seed in range(2))

        def objective(self, batch: Batch):
            return sum(nll(member) for member in self.members)(batch)

    both = Both()
    result = fit(both, (x, y), optimizer=sgd, steps=10, batch_size=40)
    assert set(result.history) == {"nll", "nll 2", "loss", "gradient_norm"}
    for model, member in zip(alone, both.members, strict=True):
        torch.testing.assert_close(state_of(model), state_of(member))


def test_lazy_parameters_get_their_shape():
    class Lazy(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.LazyLinear(4)

        def forward(self, x):
            return torch.distributions.Categorical(logits=self.net(x))

    model = Lazy()
    fit(model, classification(), steps=2, batch_size=7)
    assert model.net.weight.shape == (4, 3)
