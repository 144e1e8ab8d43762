"""The models of the comparison: each is a function from training rows to a fitted predictor.

Every one gets the same CPU seconds. What trains by steps stops after the one under way.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from uncertain import baselines, gp
from uncertain import fit as training

MEMBERS = 512
"""Members of every mixture that stands for an integral."""
_EXACT_TRAINED, _EXACT_CONDITIONED = 2000, 10_000
_NETWORKS = 5
_HELD_OUT = 0.1
_NOTHING = -60.0
"""The logarithm of a variance that counts as none."""

Predictor = Callable[[Tensor], Distribution]


class Task(NamedTuple):
    """What a model is given.

    Attributes:
        x: (N, D) training inputs, float64, in their own units.
        y: (N,) training targets.
        seed: Of everything that is drawn.
        seconds: CPU time for the fit.
    """

    x: Tensor
    y: Tensor
    seed: int
    seconds: float


def capped(seconds: float) -> training.Callback:
    """Return a callback that ends a training, or several one after another, by CPU time.

    Args:
        seconds: From now on.
    """
    end = time.process_time() + seconds

    def start(run: training.Run) -> training.Hooks:
        def step() -> None:
            if time.process_time() > end:
                run.stop("out of time")

        return training.Hooks(step=step)

    return start


def _fitted(model: Any, task: Task, **options: Any) -> Predictor:
    gp.fit(model, (task.x, task.y), cpu_seconds=task.seconds, seed=task.seed, **options)
    return predicts(model)


def predicts(model: Any) -> Predictor:
    """Return the model without gradients."""

    def predict(x: Tensor) -> Distribution:
        with torch.no_grad():
            found: Distribution = model(x)
        return found

    return predict


def thin_deep_gp(task: Task, layers: int) -> Predictor:
    """The model of this package by the one call: f exact up to 2,000 rows, through points above.

    Its start, which counts, is the stationary process of the same kind.
    """
    end = time.process_time() + task.seconds
    if len(task.x) <= _EXACT_TRAINED:
        bent = _exact_bent(task, layers)
        return _fitted(bent, task._replace(seconds=max(1.0, end - time.process_time())))
    points = min(100 if layers == 1 else 50, len(task.x))
    model = gp.ThinDeepGP.from_data(
        task.x,
        task.y,
        hidden_layers=layers,
        num_inducing=points,
        learned_mean=True,
        members=MEMBERS,
        seed=task.seed,
    )
    return _fitted(model, task._replace(seconds=max(1.0, end - time.process_time())))


def _exact_bent(task: Task, layers: int) -> gp.ExactThinDeepGP:
    return gp.ExactThinDeepGP.from_data(
        task.x,
        task.y,
        hidden_layers=layers,
        likelihood="student_t",
        members=MEMBERS // 8,  # Each with eight nodes of f.
        seed=task.seed,
    )


def exact_student_t(task: Task) -> Predictor:
    """What bends, held straight: tells what the noise's tails do from what the bending does."""
    end = time.process_time() + task.seconds
    model = _exact_bent(task, layers=1)
    hidden = model.hidden
    still = [hidden.mean, hidden.root, hidden.log_lengthscale, hidden.inducing_points]
    for parameter in (*still, hidden.log_variance):
        parameter.requires_grad_(False)
    hidden.log_variance.fill_(_NOTHING)
    return _fitted(model, task._replace(seconds=max(1.0, end - time.process_time())))


def exact_gp(task: Task) -> Predictor:
    """Trained on at most 2,000 rows, then conditioned on at most 10,000."""
    order = torch.randperm(len(task.x), generator=torch.Generator().manual_seed(task.seed))
    some = order[:_EXACT_TRAINED]
    model = gp.ExactGP.from_data(task.x[some], task.y[some])
    gp.fit(model, (task.x[some], task.y[some]), cpu_seconds=task.seconds)
    if len(task.x) > _EXACT_TRAINED:
        known = order[:_EXACT_CONDITIONED]
        model.condition(task.x[known], task.y[known])
    return predicts(model)


def sparse_gp(task: Task) -> Predictor:
    """Collapsed, or stochastic where rows are many."""
    points = min(256 if len(task.x) > _EXACT_TRAINED else 100, len(task.x))
    model = gp.SparseGP.from_data(task.x, task.y, num_inducing=points, seed=task.seed)
    return _fitted(model, task)


def compositional_deep_gp(task: Task) -> Predictor:
    """One hidden layer, as GPyTorch has it, properly started."""
    model = gp.CompositionalDeepGP.from_data(task.x, task.y, members=MEMBERS, seed=task.seed)
    return _fitted(model, task)


def deep_kernel(task: Task) -> Predictor:
    """A perceptron under a sparse process, stopped by a tenth of the training rows."""
    model = gp.DeepKernelGP.from_data(task.x, task.y, seed=task.seed)
    return _fitted(model, task, held_out=_HELD_OUT)


def nonstationary_gp(task: Task) -> Predictor:
    """A Gibbs kernel over lengthscale fields."""
    model = gp.NonstationaryGP.from_data(task.x, task.y, members=MEMBERS, seed=task.seed)
    return _fitted(model, task)


def deep_ensemble(task: Task) -> Predictor:
    """Five perceptrons with a mean and a variance, stopped by a tenth of the training rows."""
    loc, scale = task.x.mean(0), task.x.std(0)
    x, y = ((task.x - loc) / scale).float(), task.y.float()
    held = torch.zeros(len(x), dtype=torch.bool)
    held[torch.randperm(len(x), generator=torch.Generator().manual_seed(task.seed))[::10]] = True
    members = []
    for number in range(_NETWORKS):
        seed = _NETWORKS * task.seed + number
        network = baselines.mlp(x.shape[1], 2, hidden=(64, 64), dropout=0.05, seed=seed)
        member = baselines.GaussianRegression.from_data(network, y[~held])
        training.fit(
            member,
            (x[~held], y[~held]),
            optimizer=functools.partial(torch.optim.AdamW, lr=3e-3, weight_decay=1e-2),
            steps=6000,
            batch_size=100,
            validation=(x[held], y[held]),
            callbacks=[training.early_stopping(40), capped(task.seconds / _NETWORKS)],
            seed=seed,
        )
        members.append(member)
    ensemble = predicts(baselines.DeepEnsemble(members).eval())
    return lambda asked: ensemble(((asked - loc) / scale).float())


def gradient_boosted_trees(task: Task) -> Predictor:
    """Histogram boosting of the mean and of the variance."""
    return baselines.gradient_boosted_trees(task.x, task.y, seed=task.seed)


COLUMNS: dict[str, Callable[[Task], Predictor]] = {
    "thin_deep_gp_1": functools.partial(thin_deep_gp, layers=1),
    "thin_deep_gp_2": functools.partial(thin_deep_gp, layers=2),
    "thin_deep_gp_3": functools.partial(thin_deep_gp, layers=3),
    "exact_gp": exact_gp,
    "sparse_gp": sparse_gp,
    "compositional_deep_gp": compositional_deep_gp,
    "deep_kernel": deep_kernel,
    "nonstationary_gp": nonstationary_gp,
    "deep_ensemble": deep_ensemble,
    "gradient_boosted_trees": gradient_boosted_trees,
    "exact_student_t": exact_student_t,
}
PROCESSES = tuple(COLUMNS)[:8]
"""The columns that are Gaussian processes: the ranking is among them."""
