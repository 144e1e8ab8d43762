"""A training under way, and the hooks by which callbacks take part in it.

A callback is any callable ``run -> Hooks``: it is called once when training starts, may look at and
set up the ``Run``, and returns the functions to be called later. Its state lives in those functions,
so one callback can serve many trainings::

    def print_loss(run: Run) -> Hooks:
        return Hooks(step=lambda: print(run.step, run.terms["loss"]))

    fit(model, data, steps=100, batch_size=32, callbacks=[print_loss])
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from uncertain.fit.batch import Batch
from uncertain.fit.objective import Forward
from uncertain.fit.parallel import World
from uncertain.fit.sources import Source

INTERRUPTED = "interrupted"
"""The reason of a training that was stopped from outside, and can go on."""


ALL_STEPS = "steps"
"""The reason of a training that did what was asked."""


class Score(NamedTuple):
    """A validation: the number of steps done, and what it gave (lower is better)."""

    step: int
    value: float


@dataclass(frozen=True)
class Hooks:
    """What a callback does, and when; everything is optional.

    Attributes:
        begin: Once, before the first step; ``run.step`` is above 0 where a checkpoint was resumed.
        batch: Gets every batch before the objective does, and returns the one to use.
        gradient: After the backward pass, before the optimizer's step (not with a custom step).
        step: After every step; ``run.step`` counts it, ``run.terms`` holds its terms.
        validation: After every validation; ``run.scores[-1]`` is the new one.
        end: Once, however training ends; ``run.stopped`` says how.
        state: What has to be in a checkpoint for the callback to go on: tensors and plain values.
        load: Gets ``state`` back, before ``begin``.
        save: After all ``step`` hooks, and once more before the ``end`` hooks unless there was an
            error: the run is in a state to be saved.
        resume: Gives the state of a whole run to go on from, or ``None``; see ``checkpoints``.
        task: What the callback changes about the training, as text. It is part of what a checkpoint
            is tied to; leave it empty for what only watches.
    """

    begin: Callable[[], None] | None = None
    batch: Callable[[Batch], Batch] | None = None
    gradient: Callable[[], None] | None = None
    step: Callable[[], None] | None = None
    validation: Callable[[], None] | None = None
    end: Callable[[], None] | None = None
    state: Callable[[], dict[str, Any]] | None = None
    load: Callable[[dict[str, Any]], None] | None = None
    resume: Callable[[], dict[str, Any] | None] | None = None
    save: Callable[[], None] | None = None
    task: str = ""


@dataclass(eq=False)
class Run:
    """What callbacks see of a training, and may change.

    Attributes:
        model: The model, as it was passed.
        forward: Calls the objective; callbacks may wrap it (``compiled`` does).
        wrapped: The objective with the model, unwrapped.
        optimizer: ``None`` where a custom step does the updates.
        data: The training rows.
        steps: How many steps are asked for.
        batch_size: Rows a step over all ranks.
        seed: Every draw follows from it and the step.
        device: Where the model's parameters are.
        world: This process's rank and the number of ranks.
        description: What the training is, by name; see ``checkpoints``.
        parameters: What is trained, by name.
        custom: The custom step, if any.
        step: Steps done.
        terms: The last step's terms, with ``loss`` and, with an optimizer, ``gradient_norm``.
        history: Every step's terms.
        scores: Every validation.
        best: The lowest score so far.
        index: (B,) the rows of the last batch.
        gradient_norm: Of the step under way, before clipping.
        autocast: The number type of mixed precision, if any.
        scaler: Scales float16 losses, if any.
        checkpoint: The last checkpoint written or read.
        fingerprint: What a checkpoint is tied to: task, code version and data.
        stopped: Why training ended; empty while it goes on.
        failed: Whether an error ended it.
        validates: Whether there is a validation.
        started: When it was, as ``time.monotonic`` says; earlier for a resumed run.
    """

    model: nn.Module
    forward: Callable[[Batch], Mapping[str, Tensor]]
    wrapped: Forward
    optimizer: Optimizer | None
    data: Source
    steps: int
    batch_size: int
    seed: int
    device: torch.device
    world: World
    description: dict[str, str]
    parameters: dict[str, nn.Parameter]
    custom: Any = None
    step: int = 0
    terms: dict[str, float] = field(default_factory=dict)
    history: dict[str, array[float]] = field(default_factory=dict)
    scores: list[Score] = field(default_factory=list)
    best: Score | None = None
    index: Tensor = field(default_factory=lambda: torch.arange(0))
    gradient_norm: Tensor | None = None
    autocast: torch.dtype | None = None
    scaler: GradScaler | None = None
    checkpoint: Path | None = None
    fingerprint: dict[str, dict[str, str]] = field(default_factory=dict)
    stopped: str = ""
    failed: bool = False
    validates: bool = False
    hooks: Sequence[Hooks] = ()
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Wall time spent so far, in the earlier parts of a resumed run too."""
        return time.monotonic() - self.started

    def stop(self, reason: str) -> None:
        """End training after the step under way; the first reason given is kept."""
        self.stopped = self.stopped or reason

    @property
    def outcome(self) -> str:
        """Why training ended, where a resumed one should not go on: a callback's reason."""
        return "" if self.stopped in (INTERRUPTED, ALL_STEPS) else self.stopped

    def record(self, terms: dict[str, float]) -> None:
        """Add one step's terms to the history."""
        self.terms = terms
        for name in terms:
            if name not in self.history:
                self.history[name] = array("d", [float("nan")] * self.step)
        for name, values in self.history.items():
            values.append(terms.get(name, float("nan")))
        self.step += 1

    def add_score(self, value: float) -> None:
        """Add a validation."""
        score = Score(self.step, value)
        self.scores.append(score)
        if self.best is None or value < self.best.value:
            self.best = score

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the rest of the training depends on: tensors and plain values."""
        custom: dict[str, Any] = getattr(self.custom, "state_dict", dict)()
        return {
            "step": self.step,
            "model": dict(self.model.state_dict()),
            "objective": self.wrapped.extra_state(),
            "optimizer": self.optimizer.state_dict() if self.optimizer else {},
            "scaler": self.scaler.state_dict() if self.scaler else {},
            "custom": custom,
            "callbacks": [hooks.state() for hooks in self.hooks if hooks.state],
            "history": {
                name: torch.tensor(list(values), dtype=torch.float64)
                for name, values in self.history.items()
            },
            "scores": [list(score) for score in self.scores],
            "stopped": self.outcome,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to where ``state`` was taken."""
        self.step, self.stopped = state["step"], state["stopped"]
        self.started = time.monotonic() - state["seconds"]
        self.model.load_state_dict(state["model"])
        with torch.no_grad():
            for name, tensor in self.wrapped.extra_state().items():
                tensor.copy_(state["objective"][name])
        if self.optimizer:
            self.optimizer.load_state_dict(state["optimizer"])
        if self.scaler:
            self.scaler.load_state_dict(state["scaler"])
        if hasattr(self.custom, "load_state_dict"):
            self.custom.load_state_dict(state["custom"])
        self.history = {k: array("d", values.tolist()) for k, values in state["history"].items()}
        self.terms = {name: values[-1] for name, values in self.history.items() if len(values)}
        self.scores = [Score(*score) for score in state["scores"]]
        self.best = min(self.scores, key=lambda score: score.value, default=None)
        states, owners = state["callbacks"], [hooks for hooks in self.hooks if hooks.state]
        if len(states) != len(owners):
            raise ValueError(
                f"`callbacks` should have as many with a state as at the checkpoint, {len(states)}, "
                f"got {len(owners)}: pass the same ones."
            )
        for hooks, part in zip(owners, states, strict=True):
            if hooks.load:
                hooks.load(part)


Callback = Callable[[Run], Hooks]
