"""Callbacks do what torch's own loop would, and nothing else."""

import functools
import math

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, OneCycleLR, StepLR

from tests.fit.models import Classes, classification, line, regression, same_bits, sgd, state_of
from uncertain.fit import (
    Batch,
    Hooks,
    Validation,
    augment,
    clip_gradients,
    compiled,
    cosine,
    early_stopping,
    fit,
    mixed_precision,
    nll,
    schedule,
    scheduler,
)

momentum = functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9)


def rates(make, callback, steps=9):
    """Return the learning rate that every step was taken with."""
    seen = []

    def watch(run):
        def gradient():
            seen.append([group["lr"] for group in run.optimizer.param_groups])

        return Hooks(gradient=gradient)

    fit(
        line(), regression(), optimizer=make, steps=steps, batch_size=7, callbacks=[callback, watch]
    )
    return seen


def torch_rates(make, scheduler, steps=9):
    optimizer = make(list(line().parameters()))
    made, seen = scheduler(optimizer), []
    for _ in range(steps):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        made.step()
    return seen


@pytest.mark.parametrize(
    "make",
    [
        functools.partial(StepLR, step_size=3),
        functools.partial(CosineAnnealingLR, T_max=9),
        functools.partial(OneCycleLR, max_lr=1.0, total_steps=12),
    ],
    ids=["step", "cosine", "one-cycle"],
)
def test_a_scheduler_gives_torchs_rates(make):
    assert rates(momentum, scheduler(make)) == torch_rates(momentum, make)


def test_a_schedule_gives_torchs_rates():
    factor = lambda step: 1 / (1 + step)  # noqa: E731
    expected = torch_rates(sgd, functools.partial(LambdaLR, lr_lambda=factor))
    assert rates(sgd, schedule(factor)) == expected


def test_cosine_is_torchs():
    expected = torch_rates(sgd, functools.partial(CosineAnnealingLR, T_max=9, eta_min=0.02))
    ours = rates(sgd, schedule(cosine(9, floor=0.2)))
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(expected))


def test_cosine_warms_up_and_stays_at_the_floor():
    factor = cosine(13, warmup=3, floor=0.1)
    assert [factor(step) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert factor(8) == pytest.approx(0.55)
    assert factor(13) == factor(100) == pytest.approx(0.1)


def test_a_schedule_keeps_the_groups_apart():
    def make(parameters):
        groups = [{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.5}]
        return torch.optim.SGD(groups, lr=0.1)

    halves = rates(make, schedule(lambda step: 0.5**step), steps=2)
    assert halves == [[0.1, 0.5], [0.05, 0.25]]


def test_a_schedule_sets_rates_that_are_tensors():
    make = functools.partial(
        torch.optim.Adam, lr=torch.tensor(0.1), capturable=False, foreach=False
    )
    seen = rates(make, schedule(lambda step: 0.5), steps=1)
    assert float(seen[0][0]) == pytest.approx(0.05)


@pytest.mark.parametrize("norm", [0.1, 1.0, 1e6])
def test_clipping_is_torchs(norm):
    x, y = regression()
    ours, theirs = line(), line()
    fit(ours, (x, y), optimizer=momentum, steps=5, batch_size=40, callbacks=[clip_gradients(norm)])
    optimizer = momentum(theirs.parameters())
    for _ in range(5):
        optimizer.zero_grad()
        (-theirs(x).log_prob(y)).mean().backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), norm)
        optimizer.step()
    torch.testing.assert_close(state_of(ours), state_of(theirs), rtol=1e-12, atol=1e-14)


def test_the_norm_before_clipping_is_recorded():
    clipped = fit(line(), regression(), steps=1, batch_size=40, callbacks=[clip_gradients(1e-3)])
    plain = fit(line(), regression(), steps=1, batch_size=40)
    assert clipped.history["gradient_norm"] == plain.history["gradient_norm"]


def stopping(values, **options):
    """Train with validations that give ``values``; return the result and every step's state."""
    model, states, scores = line(), {}, iter(values)
    keep = lambda run: Hooks(step=lambda: states.update({run.step: state_of(model)}))  # noqa: E731
    validation = Validation(lambda model: next(scores), every=2)
    result = fit(
        model,
        regression(),
        steps=2 * len(values),
        batch_size=7,
        validation=validation,
        callbacks=[early_stopping(**options), keep],
    )
    return model, result, states


@pytest.mark.parametrize(
    ("values", "options", "best", "stops"),
    [
        ([3, 2, 4, 5, 1, 0], {"patience": 2}, 4, 8),
        ([3, 2, 4, 1, 5, 6], {"patience": 2}, 8, 12),
        ([3, 2.5, 2, 1.9, 1.8, 0], {"patience": 2, "min_delta": 0.7}, 6, 10),
        ([3, 3, 3, 3], {"patience": 3}, 2, 8),
        ([math.inf, math.inf, 1, 2], {"patience": 3}, 6, None),
        ([4, 3, 2, 1], {"patience": 1}, 8, None),
        ([1, 2, 3], {"patience": 9}, 2, None),
    ],
)
def test_early_stopping(values, options, best, stops):
    model, result, states = stopping([float(value) for value in values], **options)
    assert result.stopped == ("early stopping" if stops else "steps")
    assert result.steps == (stops or 2 * len(values))
    assert same_bits(state_of(model), states[best])


def test_one_callback_serves_many_trainings():
    callback = early_stopping(patience=1)
    for _ in range(2):
        scores = iter([2.0, 1.0, 3.0])
        validation = Validation(lambda model, scores=scores: next(scores), every=1)
        result = fit(
            line(), regression(), steps=9, batch_size=7, validation=validation, callbacks=[callback]
        )
        assert result.steps == 3


def test_early_stopping_needs_scores():
    with pytest.raises(ValueError, match="`early_stopping` needs scores, got no `validation`"):
        fit(line(), regression(), steps=1, batch_size=7, callbacks=[early_stopping(patience=1)])


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: early_stopping(0), "`patience` should lie in"),
        (lambda: early_stopping(1, min_delta=-1.0), "`min_delta` should lie in"),
        (lambda: clip_gradients(0.0), r"`norm` should lie in \(0, inf\), got 0.0"),
        (lambda: clip_gradients(math.nan), "`norm` should lie in"),
        (lambda: cosine(3, warmup=3), "`steps` should lie in .* above `warmup`"),
        (lambda: cosine(3, warmup=-1), "`warmup` should lie in"),
        (lambda: cosine(3, floor=2.0), "`floor` should lie in"),
        (lambda: mixed_precision(torch.float32), "`dtype` should be torch.bfloat16 or"),
    ],
)
def test_arguments(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_augmentation_changes_batches_only():
    x, y = regression()
    before, seen = x.clone(), []

    def shift(batch, generator):
        noise = torch.rand(len(batch.x), generator=generator, dtype=x.dtype)
        seen.append(noise)
        return batch._replace(x=batch.x + noise[:, None])

    result = fit(
        line(), (x, y), steps=4, batch_size=7, validation=(x, y), callbacks=[augment(shift)]
    )
    assert torch.equal(x, before)
    assert len(seen) == 4
    assert not torch.equal(seen[0], seen[1])
    again = fit(line(), (x, y), steps=4, batch_size=7, callbacks=[augment(shift)])
    assert torch.equal(seen[0], seen[4])
    assert (result.history["loss"] == again.history["loss"]).all()


def test_augmentations_follow_each_other():
    double = augment(lambda batch, generator: batch._replace(x=2 * batch.x))
    add = augment(lambda batch, generator: batch._replace(x=batch.x + 1))
    seen = []
    fit(
        line(),
        (torch.ones(1, 2, dtype=torch.float64), torch.ones(1, dtype=torch.float64)),
        steps=1,
        batch_size=1,
        callbacks=[double, add, lambda run: Hooks(batch=lambda b: seen.append(b.x) or b)],
    )
    assert seen[0].tolist() == [[3.0, 3.0]]


@pytest.mark.usefixtures("unchecked")
def test_augmentations_return_batches():
    with pytest.raises(TypeError, match="`augment` should return a Batch, got Tensor"):
        fit(
            line(),
            regression(),
            steps=1,
            batch_size=1,
            callbacks=[augment(lambda batch, generator: batch.x)],
        )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision_stays_close(dtype):
    plain, mixed, types = Classes(dropout=0.0), Classes(dropout=0.0), set()
    mixed.net[0].register_forward_hook(lambda module, args, out: types.add(out.dtype))
    one = fit(plain, classification(), optimizer=sgd, steps=20, batch_size=60)
    two = fit(
        mixed,
        classification(),
        optimizer=sgd,
        steps=20,
        batch_size=60,
        callbacks=[mixed_precision(dtype)],
    )
    assert dtype in types
    assert all(p.dtype == torch.float32 for p in mixed.parameters())
    assert two.history["loss"][-1] == pytest.approx(one.history["loss"][-1], rel=0.02)


def test_float16_skips_steps_whose_scaled_gradient_overflows():
    """A scale of 65536 is too much for this loss; the scaler finds one that fits."""
    model = line(dtype=torch.float32)
    steep = lambda batch: (1000 * model(batch.x).mean.half()).float().mean()  # noqa: E731
    result = fit(
        model,
        regression(dtype=torch.float32),
        objective=steep,
        optimizer=sgd,
        steps=12,
        batch_size=4,
        callbacks=[mixed_precision(torch.float16), clip_gradients(1.0)],
    )
    norms = result.history["gradient_norm"]
    assert not math.isfinite(norms[0])
    assert math.isfinite(norms[-1])


@pytest.mark.usefixtures("unchecked")  # the checks can not be traced
def test_compiled_objectives_agree():
    torch.compiler.reset()
    plain, fast = Classes(), Classes()
    fit(plain, classification(), steps=6, batch_size=7)
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    fit(fast, classification(), steps=6, batch_size=7, callbacks=[compiled(backend=backend)])
    assert graphs
    torch.testing.assert_close(state_of(plain), state_of(fast), rtol=1e-4, atol=1e-5)
    assert torch.distributions.Distribution._validate_args  # the compiler switches it off


def test_a_custom_step_under_bfloat16():
    model, types = Classes(), set()
    model.net[0].register_forward_hook(lambda module, args, out: types.add(out.dtype))

    def step(model, batch: Batch):
        return nll(model)(batch)

    fit(
        model,
        classification(),
        step=step,
        steps=1,
        batch_size=7,
        callbacks=[mixed_precision(torch.bfloat16)],
    )
    assert types == {torch.bfloat16}
