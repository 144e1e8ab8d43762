"""A training that was stopped anywhere goes on to the same bits, or says by name why it can not."""

import contextlib
import errno
import functools
import os
import pickle
import re
import signal
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from tests.fit.models import Classes, classification, line, regression, same_bits, state_of
from uncertain import atomic
from uncertain.benchmark import pool
from uncertain.fit import (
    CheckpointError,
    Hooks,
    Validation,
    augment,
    checkpoints,
    clip_gradients,
    early_stopping,
    fit,
    from_dataset,
    load_checkpoint,
    mixed_precision,
    nll,
    scheduler,
)

STEPS = 10
momentum = functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9)
decay = functools.partial(torch.optim.lr_scheduler.StepLR, step_size=3)


class StopError(Exception):
    """What interrupts a training in these tests."""


def stop_after(step):
    """Raise after a step, before it can be saved: the last checkpoint is all there is."""

    def start(run):
        def check():
            if run.step == step:
                raise StopError

        return Hooks(step=check)

    return start


def jitter(batch, generator):
    return batch._replace(x=batch.x + 0.1 * torch.randn(batch.x.shape, generator=generator))


def train(folder=None, *extra, model=None, every=1, optimizer=None, data=None, **options):
    model = Classes() if model is None else model
    callbacks = [
        clip_gradients(0.5),
        augment(jitter),
        scheduler(decay),
        early_stopping(patience=5),
        *([] if folder is None else [checkpoints(folder, every=every, seconds=None)]),
        *extra,
    ]
    x, y = classification()
    result = fit(
        model,
        (x, y, torch.arange(1, 61)) if data is None else data,
        optimizer=optimizer,
        validation=Validation(classification(seed=1), every=2),
        callbacks=callbacks,
        **{"steps": STEPS, "batch_size": 7} | options,
    )
    return model, result


def same_result(a, b):
    assert (a.steps, a.stopped, a.scores, a.best) == (b.steps, b.stopped, b.scores, b.best)
    assert a.history.keys() == b.history.keys()
    for name in a.history:
        np.testing.assert_array_equal(a.history[name], b.history[name])


@pytest.mark.parametrize("optimizer", [None, momentum, torch.optim.AdamW], ids=str)
@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_resuming_after_any_step_gives_the_same_bits(tmp_path, step, optimizer):
    whole, expected = train(optimizer=optimizer)
    with pytest.raises(StopError):
        train(tmp_path, stop_after(step), every=1 + step % 3, optimizer=optimizer)
    model, result = train(tmp_path, every=1 + step % 3, optimizer=optimizer)
    assert same_bits(state_of(whole), state_of(model))
    same_result(expected, result)


def test_a_finished_training_is_not_repeated(tmp_path):
    first, expected = train(tmp_path)
    seen = []
    second, result = train(tmp_path, lambda run: Hooks(step=lambda: seen.append(run.step)))
    assert not seen
    assert same_bits(state_of(first), state_of(second))
    same_result(expected, result)


@pytest.mark.parametrize("precise", [torch.bfloat16, torch.float16])
def test_mixed_precision_resumes_to_the_same_bits_too(tmp_path, precise):
    whole, _ = train(None, mixed_precision(precise))
    with pytest.raises(StopError):
        train(tmp_path, mixed_precision(precise), stop_after(5))
    model, _ = train(tmp_path, mixed_precision(precise))
    assert same_bits(state_of(whole), state_of(model))


def test_items_that_draw_at_random_resume_to_the_same_bits(tmp_path):
    import random

    class Noisy(torch.utils.data.Dataset):
        def __len__(self):
            return 20

        def __getitem__(self, i):
            noise = torch.rand(3) + random.random() + np.random.rand()  # noqa: NPY002
            return noise + i, i % 4

    whole, expected = train(data=Noisy())
    with pytest.raises(StopError):
        train(tmp_path, stop_after(5), data=Noisy())
    model, result = train(tmp_path, data=Noisy())
    assert same_bits(state_of(whole), state_of(model))
    same_result(expected, result)


def test_a_custom_step_with_a_state(tmp_path):
    class Momentum:
        def __init__(self, model):
            self.optimizer = momentum(model.parameters())

        def __call__(self, model, batch):
            self.optimizer.zero_grad()
            loss = nll(model)(batch)["nll"]
            loss.backward()
            self.optimizer.step()
            return {"nll": loss}

        def state_dict(self):
            return self.optimizer.state_dict()

        def load_state_dict(self, state):
            self.optimizer.load_state_dict(state)

    def run(folder, *extra):
        model = line()
        callbacks = [checkpoints(folder, every=1), *extra]
        fit(model, regression(), step=Momentum(model), steps=8, batch_size=5, callbacks=callbacks)
        return state_of(model)

    with pytest.raises(StopError):
        run(tmp_path / "a", stop_after(4))
    assert same_bits(run(tmp_path / "a"), run(tmp_path / "b"))


def test_an_objective_with_parameters_is_saved(tmp_path):
    class Scale(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model, self.factor = model, nn.Parameter(torch.ones(()))

        def forward(self, batch):
            return (self.factor * nll(self.model)(batch)["nll"]).square()

    def run(folder, *extra):
        model = line()
        objective = Scale(model)
        fit(
            model,
            regression(),
            objective=objective,
            steps=8,
            batch_size=5,
            callbacks=[checkpoints(folder, every=1), *extra],
        )
        return {"factor": objective.factor.detach(), **state_of(model)}

    with pytest.raises(StopError):
        run(tmp_path / "a", stop_after(4))
    assert same_bits(run(tmp_path / "a"), run(tmp_path / "b"))


def test_files(tmp_path):
    model, result = train(tmp_path / "new" / "folder", every=2)
    files = {file.name: load_checkpoint(file) for file in (tmp_path / "new" / "folder").iterdir()}
    assert files.keys() == {"last.pt", "previous.pt", "best.pt"}
    assert files["last.pt"]["step"] == result.steps
    assert files["previous.pt"]["step"] < result.steps
    best = files["best.pt"]
    assert best["step"] == result.best.step
    assert same_bits(best["state"]["model"], state_of(model))  # early_stopping gave it back


def test_checkpoints_by_time(tmp_path):
    fit(line(), regression(), steps=3, batch_size=5, callbacks=[checkpoints(tmp_path, seconds=0.0)])
    assert load_checkpoint(tmp_path / "previous.pt")["step"] == 2
    other = tmp_path / "other"
    fit(line(), regression(), steps=3, batch_size=5, callbacks=[checkpoints(other)])
    assert load_checkpoint(other / "last.pt")["step"] == 3
    assert not (other / "previous.pt").exists()


def refused(folder, match, **options):
    with pytest.raises(ValueError, match=match) as error:
        train(folder, **options)
    return str(error.value)


def test_another_task_is_refused_by_name(tmp_path):
    train(tmp_path)
    text = refused(tmp_path, r"the task changed \(batch_size was 7, is 8\)\. Make", batch_size=8)
    assert str(tmp_path) in text
    assert "the data changed" not in text
    refused(tmp_path, r"steps was 10, is 11", steps=11)
    refused(tmp_path, r"seed was 0, is 1", seed=1)
    refused(tmp_path, r"optimizer was Adam, is SGD\(lr=0.1, momentum=0.9\)", optimizer=momentum)
    refused(
        tmp_path,
        r"model.net.4.weight was \(4, 8\) torch.float32, is \(5, 8\) torch.float32",
        model=Classes(classes=5),
    )

    def other(batch):
        return {}

    refused(tmp_path, r"objective was nll, is .*other", objective=other)
    with pytest.raises(ValueError, match=r"callbacks was .*, is .*; clip_gradients\(1\)\)"):
        train(tmp_path, clip_gradients(1.0))


def test_other_data_is_refused_by_name(tmp_path):
    x, y = classification()
    train(tmp_path, data=(x, y))
    x = x.clone()
    x[30, 1] += 1
    text = refused(
        tmp_path, r"the data changed \(x was \(60, 3\) torch.float32 \w{16}, is", data=(x, y)
    )
    assert "the task changed" not in text
    refused(tmp_path, r"rows was 60, is 59; x was .*; y was", data=(x[:59], y[:59]))
    x, y = classification()
    refused(tmp_path, r"weight was absent, is", data=(x, y, torch.ones(60)))


def test_another_version_is_refused_by_name(tmp_path, monkeypatch):
    train(tmp_path)
    monkeypatch.setattr(torch, "__version__", "99.0")
    refused(tmp_path, r"the code version changed \(torch was .*, is 99.0\)")


def test_the_same_rows_in_another_container_are_the_same(tmp_path):
    x, y = classification()
    train(tmp_path, data=(x, y))
    train(tmp_path, data=from_dataset(TensorDataset(x, y)))
    train(tmp_path, data=(x.numpy(), y.numpy()))


def test_callbacks_that_only_watch_may_come_and_go(tmp_path):
    with pytest.raises(StopError):
        train(tmp_path, stop_after(4))
    model, _ = train(tmp_path, lambda run: Hooks())
    assert same_bits(state_of(model), state_of(train()[0]))


def test_callbacks_with_a_state_may_not(tmp_path):
    train(tmp_path)
    with pytest.raises(ValueError, match="as many with a state as at the checkpoint, 2, got 3"):
        train(tmp_path, lambda run: Hooks(state=dict))


def damage(file, how):
    content = bytearray(file.read_bytes())
    if how == "truncated":
        content = content[: len(content) // 2]
    elif how == "empty":
        content = bytearray()
    else:
        content[len(content) // 2] ^= 255
    file.write_bytes(content)


@pytest.mark.parametrize("how", ["truncated", "empty", "flipped"])
def test_a_damaged_checkpoint_falls_back_to_the_previous_one(tmp_path, how):
    with pytest.raises(StopError):
        train(tmp_path, stop_after(6), every=2)
    damage(tmp_path / "last.pt", how)
    with pytest.warns(
        UserWarning, match=r"last.pt` is damaged .*Going on from `previous.pt`, step 2"
    ):
        model, _ = train(tmp_path, every=2)
    assert same_bits(state_of(model), state_of(train()[0]))


@pytest.mark.parametrize("how", ["truncated", "empty", "flipped"])
def test_two_damaged_checkpoints_are_an_error(tmp_path, how):
    with pytest.raises(StopError):
        train(tmp_path, stop_after(6), every=2)
    damage(tmp_path / "last.pt", how)
    damage(tmp_path / "previous.pt", how)
    with pytest.raises(CheckpointError, match=r"last.pt.* is damaged .*previous.pt.*Nothing else"):
        train(tmp_path, every=2)


def test_a_later_format(tmp_path):
    train(tmp_path)
    (tmp_path / "previous.pt").unlink()
    content = load_checkpoint(tmp_path / "last.pt")
    torch.save(content | {"format": 2}, tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match="should have format 1 or older, got 2"):
        train(tmp_path)
    torch.save({"weights": torch.ones(1)}, tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match="is no checkpoint of `fit`"):
        load_checkpoint(tmp_path / "last.pt")


def test_no_code_runs_when_a_checkpoint_is_read(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "hacked"),))

    torch.save({"format": 1, "description": {}, "state": Evil()}, tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(tmp_path / "last.pt")
    assert not (tmp_path / "hacked").exists()


def test_a_state_that_could_not_be_read_is_refused_when_written(tmp_path):
    class Odd(Classes):
        def get_extra_state(self):
            return re.compile("a")

        def set_extra_state(self, state):
            pass

    with pytest.raises(TypeError, match="should hold tensors and plain values only"):
        train(tmp_path, model=Odd())
    assert not (tmp_path / "last.pt").exists()


@pytest.mark.parametrize(("name", "value"), [("every", 0), ("seconds", -1.0)])
def test_arguments(tmp_path, name, value):
    with pytest.raises(ValueError, match=f"`{name}` should lie in"):
        checkpoints(tmp_path, **{name: value})


def test_a_directory_that_can_not_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    model = Classes()
    before = state_of(model)
    with pytest.raises(OSError, match="not a directory"):
        train(tmp_path / "file", model=model)
    assert same_bits(before, state_of(model))  # found out before training


def train_and_die(folder, where, count, mark):
    """Train in this process, and kill it at the ``count``-th step, write or rename."""
    torch.set_num_threads(1)

    def die():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)

    def kill_in(name, before):
        function, calls = getattr(atomic, name), 0

        def killing(*arguments):
            nonlocal calls
            calls += 1
            if calls == count and before:
                half = os.path.getsize(arguments[0]) // 2
                os.truncate(arguments[0], half)  # as if the process had got this far
                die()
            result = function(*arguments)
            if calls == count:
                die()
            return result

        setattr(atomic, name, killing)

    def killer(run):
        if where == "write":
            kill_in("_sync", True)
        elif where == "renamed":
            kill_in("_sync_directory", False)
        return Hooks(step=lambda: die() if where == "step" and run.step == count else None)

    train(folder, killer)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "count"),
    [("step", 1), ("step", 6), ("write", 1), ("write", 4), ("write", 7), ("renamed", 3)],
)
def test_kill_minus_nine(tmp_path, where, count):
    # From the process that a benchmark's workers come from: it has imported torch, once for all.
    arguments = (tmp_path / "run", where, count, tmp_path / "died")
    process = pool._context().Process(target=train_and_die, args=arguments)
    process.start()
    process.join(timeout=300)
    assert process.exitcode == -signal.SIGKILL
    assert (tmp_path / "died").exists()
    for file in (tmp_path / "run").glob("[!.]*.pt"):
        load_checkpoint(file)  # every file that has its name is whole
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model, _ = train(tmp_path / "run")
    assert same_bits(state_of(model), state_of(train()[0]))
    # What the killed process left unfinished has been swept up.
    assert {file.name for file in (tmp_path / "run").iterdir()} == {
        "last.pt",
        "previous.pt",
        "best.pt",
    }


@pytest.fixture
def fill_disk(monkeypatch):
    """Return a function after whose call files are written to the device that is always full."""
    whole = atomic.atomic_path

    @contextlib.contextmanager
    def on_full_disk(path):
        with whole(path) as temporary:
            temporary.unlink()
            temporary.symlink_to("/dev/full")  # the error comes from the system itself
            yield temporary

    return lambda full: monkeypatch.setattr(atomic, "atomic_path", on_full_disk if full else whole)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, fill_disk):
    def fill(run):
        return Hooks(step=lambda: fill_disk(True) if run.step == 5 else None)

    with pytest.raises(OSError, match=r"last.pt` could not be written: the disk is full") as error:
        train(tmp_path, fill)
    assert error.value.errno == errno.ENOSPC
    assert load_checkpoint(tmp_path / "last.pt")["step"] == 4
    assert not list(tmp_path.glob(".*"))
    fill_disk(False)
    model, _ = train(tmp_path)
    assert same_bits(state_of(model), state_of(train()[0]))


def test_reading_something_else(tmp_path):
    (tmp_path / "pickle").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(CheckpointError, match=r"is damaged .*zip"):
        load_checkpoint(tmp_path / "pickle")
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "nothing")
