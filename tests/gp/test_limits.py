"""Fits that end in time, go on later, and say how."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import AffineTransform, Distribution, Normal, TransformedDistribution

from uncertain import fit as training
from uncertain import gp
from uncertain.gp import fitting, restarts
from uncertain.gp.limits import Limit


def data(count: int = 80, inputs: int = 3) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    x = torch.rand(count, inputs, generator=g, dtype=torch.float64) * 2 - 1
    return x, (3 * x[:, 0] * x[:, 1]).sin() + 0.1 * torch.randn(count, generator=g).double()


def brief(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(restarts, "_HEATS", ((8, 1e-3, 2), (4, 1e-3, 1)))
    patch.setattr(restarts, "_FINAL", 5)
    patch.setattr(restarts, "_POLISHED", 5)


def test_parts_of_a_limit_are_shares_of_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "process_time", lambda: now)
    whole = Limit(8.0)
    now = 104.0
    half = whole.part(0.5)
    now = 105.0
    assert (whole.done, half.done) == (5 / 8, 1 / 2)
    now = 120.0
    assert (whole.done, half.over, whole.part(0.5).over) == (1.0, True, True)
    assert not Limit(None).part(0.1).over


@pytest.mark.parametrize("method", ["adam", "lbfgs"])
def test_a_fit_ends_in_time_at_its_best_parameters_and_goes_on(method: Any, tmp_path: Any) -> None:
    x, y = data(60)
    plan = [gp.Phase(10**6, method=method), gp.Phase(1)]
    found = []
    for _ in range(2):
        model = gp.ThinDeepGP.from_data(x, y, num_inducing=10, members=4)
        started = time.process_time()
        found.append(gp.fit(model, (x, y), plan=plan, cpu_seconds=0.4, folder=tmp_path))
    assert time.process_time() - started < 1.5  # the first pays for what is loaded on the way
    first, second = found
    assert first.stopped == second.stopped == "time"
    assert not first.stopped_early
    assert len(second.objective) > len(first.objective)
    np.testing.assert_array_equal(second.objective[: len(first.objective)], first.objective)
    assert second.objective[-1] < first.objective[0]
    assert all(bool(p.isfinite().all()) for p in second.model.parameters())


def test_a_step_of_lbfgs_that_is_cut_short_is_no_worse_than_its_start() -> None:
    x, y = data(60)
    step = [gp.Phase(1, method="lbfgs")]
    probe = [gp.Phase(1, rate=1e-12)]
    model = gp.ThinDeepGP.from_data(x, y, num_inducing=10, members=4)
    before = gp.fit(model, (x, y), plan=step, cpu_seconds=1e-9).objective[0]
    assert gp.fit(model, (x, y), plan=probe).objective[0] == pytest.approx(before)
    gp.fit(model, (x, y), plan=step, cpu_seconds=0.02)
    assert gp.fit(model, (x, y), plan=probe).objective[0] <= before + 1e-9


def test_a_race_is_shortened_to_fit() -> None:
    x, y = data(150, 6)
    model = gp.ThinDeepGP.from_data(x, y, num_inducing=40, members=4)
    started = time.process_time()
    fitted = gp.fit(model, (x, y), cpu_seconds=1.0)
    assert time.process_time() - started < 3.0  # without a limit above twenty
    assert fitted.stopped == "time"
    assert fitted.race is not None
    assert float((model(x).mean.detach() - y).square().mean()) < float(y.var())


def test_what_came_of_a_race_is_kept(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    brief(monkeypatch)
    x, y = data(40, 2)

    def fitted(starts: int = 2, folder: Any = tmp_path) -> Any:
        model = gp.ThinDeepGP.from_data(x, y, num_inducing=8, members=4)
        return gp.fit(model, (x, y), starts=starts, plan=[gp.Phase(2)], folder=folder)

    alone, first = fitted(folder=None), fitted()
    with pytest.raises(ValueError, match=r"another training.*race\(2\).*race\(3\)"):
        fitted(starts=3)
    monkeypatch.setattr(fitting, "improve_start", lambda *_, **__: pytest.fail("raced again"))
    again = fitted()
    assert alone.race == first.race == again.race
    np.testing.assert_array_equal(first.objective, again.objective)
    np.testing.assert_array_equal(first.objective, alone.objective)


def test_an_interruption_says_what_keeps_a_fit(tmp_path: Any) -> None:
    x, y = data(40, 2)

    def interrupt(run: training.Run) -> training.Hooks:
        def step() -> None:
            raise KeyboardInterrupt

        return training.Hooks(step=step)

    def fitted(**options: Any) -> None:
        model = gp.ThinDeepGP.from_data(x, y, num_inducing=8, members=4)
        gp.fit(model, (x, y), plan=[gp.Phase(2)], callbacks=[interrupt], **options)

    with pytest.raises(training.Interrupted, match="pass `folder=`"):
        fitted()
    with pytest.raises(training.Interrupted, match=f"the same call goes on .*{tmp_path.name}"):
        fitted(folder=tmp_path)


@pytest.mark.parametrize("folder", [True, False])
def test_an_interruption_ends_a_race_at_once(
    folder: bool, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = data(40, 2)
    model = gp.ThinDeepGP.from_data(x, y, num_inducing=8, members=4)
    monkeypatch.setattr(restarts, "plain_process", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    try:
        with pytest.raises(training.Interrupted, match="the fit was interrupted"):
            gp.fit(model, (x, y), folder=tmp_path if folder else None)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_race_cut_short_says_so_then_and_later(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    brief(monkeypatch)
    x, y = data(40, 2)
    model = gp.ThinDeepGP.from_data(x, y, num_inducing=8, members=4)
    first = gp.fit(model, (x, y), cpu_seconds=1e-6, folder=tmp_path)
    second = gp.fit(model, (x, y), cpu_seconds=60, folder=tmp_path)
    for fitted in (first, second):
        assert (fitted.stopped, fitted.race is not None and fitted.race.cut) == ("time", True)
    whole = gp.fit(model, (x, y), starts=2, plan=[gp.Phase(1)])
    assert (whole.stopped, whole.race is not None and whole.race.cut) == ("steps", False)


@pytest.mark.parametrize("method", ["adam", "lbfgs"])
def test_checkpoints_are_tied_to_the_priors(method: Any, tmp_path: Any) -> None:
    x, y = data(40, 2)

    def fitted(prior: Distribution | None) -> None:
        model = gp.ThinDeepGP.from_data(x, y, num_inducing=8, members=4)
        priors = {} if prior is None else {"log_noise": prior}
        gp.fit(model, (x, y), plan=[gp.Phase(1, method=method)], priors=priors, folder=tmp_path)

    shifted = AffineTransform(1.0, 2.0)
    fitted(TransformedDistribution(Normal(0.0, 1.0), [shifted]))
    others = [None, Normal(0.0, 1.0), TransformedDistribution(Normal(0.0, 2.0), [shifted])]
    for prior in [*others, TransformedDistribution(Normal(0.0, 1.0), [AffineTransform(1.0, 3.0)])]:
        with pytest.raises(ValueError, match="another training"):
            fitted(prior)


def test_a_wrong_time_is_named() -> None:
    x, y = data(40, 2)
    model = gp.ThinDeepGP.from_data(x, y, num_inducing=8, members=4)
    with pytest.raises(ValueError, match="`cpu_seconds`"):
        gp.fit(model, (x, y), cpu_seconds=0.0)
