"""Ctrl-C and SIGTERM finish the step, save, and say how to go on."""

import os
import re
import signal
import subprocess
import sys
import threading

import pytest

from tests.fit.models import Classes, classification, line, regression, same_bits, state_of
from uncertain.fit import Hooks, Interrupted, checkpoints, fit


def signalled(number, step):
    return lambda run: Hooks(
        gradient=lambda: os.kill(os.getpid(), number) if run.step + 1 == step else None
    )


def train(model, *callbacks):
    return fit(model, classification(), steps=10, batch_size=7, callbacks=callbacks)


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path):
    model, whole = Classes(), Classes()
    save = checkpoints(tmp_path, seconds=None)
    expected = train(whole)
    message = (
        rf"interrupted after step 4 of 10; it is saved as {re.escape(str(tmp_path))}/last.pt: make"
    )
    with pytest.raises(Interrupted, match=message):
        train(model, save, signalled(signal.SIGINT, 4))
    resumed = Classes()
    result = train(resumed, save)
    assert (result.steps, result.stopped) == (10, expected.stopped)
    assert same_bits(state_of(whole), state_of(resumed))


def test_ctrl_c_is_a_keyboard_interrupt_and_leaves_a_whole_step():
    model, part = Classes(), Classes()
    with pytest.raises(KeyboardInterrupt, match="nothing was saved: pass `checkpoints"):
        train(model, signalled(signal.SIGINT, 4))
    # As many whole steps as were asked for: the signal came in the middle of the fourth.
    states = []
    train(part, lambda run: Hooks(step=lambda: states.append(state_of(part))))
    assert same_bits(state_of(model), states[3])


def test_ctrl_c_in_the_last_step_is_not_lost():
    with pytest.raises(
        Interrupted, match=r"after step 10 of 10; it was complete|nothing was saved"
    ):
        train(Classes(), signalled(signal.SIGINT, 10))


def test_a_second_ctrl_c_acts_at_once():
    def twice(run):
        def gradient():
            if run.step == 3:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)

        return Hooks(gradient=gradient)

    steps = []
    with pytest.raises(KeyboardInterrupt) as error:
        train(Classes(), twice, lambda run: Hooks(step=lambda: steps.append(run.step)))
    assert not isinstance(error.value, Interrupted)
    assert steps == [1, 2, 3]


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    train(Classes())
    with pytest.raises(Interrupted):
        train(Classes(), signalled(signal.SIGINT, 4))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_handler_of_the_caller_gets_its_sigterm(tmp_path, caplog):
    got = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: got.append(number))
    try:
        result = train(Classes(), checkpoints(tmp_path, seconds=None), signalled(signal.SIGTERM, 4))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert got == [signal.SIGTERM]
    assert (result.steps, result.stopped) == (4, "interrupted")
    assert "make the same call again to go on" in caplog.text


def test_other_threads_train_without_signals():
    results = []
    thread = threading.Thread(
        target=lambda: results.append(fit(line(), regression(), steps=3, batch_size=7))
    )
    thread.start()
    thread.join()
    assert results[0].steps == 3


SCRIPT = """
import sys
sys.path.insert(0, {root!r})
from tests.fit.models import *
from uncertain.fit import *
ready = lambda run: Hooks(step=lambda: print(run.step, flush=True))
fit(Classes(), classification(), steps=10**7, batch_size=7,
    callbacks=[checkpoints(sys.argv[1], seconds=None), ready])
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_from_outside(tmp_path, number):
    command = [sys.executable, "-c", SCRIPT.format(root=os.getcwd()), str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert f"it is saved as {tmp_path}/last.pt: make the same call again to go on" in errors
    if number == signal.SIGTERM:
        assert process.returncode == -signal.SIGTERM
    else:
        assert "Interrupted" in errors
    assert (tmp_path / "last.pt").exists()
