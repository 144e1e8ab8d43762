"""What is compared: each group of models is trained together and shares what it can.

``softmax`` alone sees its rows as they are. All others see the same views of the same rows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from perturbed.judging import Answer, Model
from perturbed.tasks import Task
from perturbed.thrift import thrifty
from perturbed.views import Augmented, Perturb
from uncertain import baselines, fit
from uncertain.baselines import OnFeatures
from uncertain.predictive import class_log_probs

LABEL_DIM = 8
MEMBERS = 5
TEST_VIEWS = 8
TURNED_VIEWS = 16
"""Views of a row of which half are the row itself and half are turned."""
MIXED_VIEWS = (1, 2, 4, 8)
RATE = 2e-3
BANK = 4000
"""Most features that heads are fitted to."""


class Group(NamedTuple):
    """Models that are trained together: their names, and from a task and seed to them."""

    names: tuple[str, ...]
    train: Callable[[Task, int], dict[str, Model]]


def fitted(task: Task, model: Any, seed: int, *, views: Sequence[int] = MIXED_VIEWS) -> Any:
    """Train a model on views of the rows (none: on the rows themselves), and return it."""
    learner = Augmented(model, task.perturb, views=views) if views else model
    fit.fit(
        learner,
        (task.train.x[:], task.train.y),
        optimizer=functools.partial(torch.optim.Adam, lr=RATE, fused=True),
        steps=task.steps,
        batch_size=task.batch_size,
        seed=seed,
        callbacks=[fit.schedule(fit.cosine(task.steps))],
    )
    return model.eval()


def as_model(trained: Any) -> Model:
    """Return a predictor's log-probabilities, and its score where it has one."""
    predictor = thrifty(trained)

    def ask(x: Tensor) -> Answer:
        own = predictor.score(x) if hasattr(predictor, "score") else None
        return Answer(class_log_probs(predictor(x)), own)

    return ask


def softmax_network(task: Task, seed: int) -> baselines.Softmax:
    """A softmax on the task's backbone, untrained."""
    return baselines.Softmax(
        nn.Sequential(task.body(seed), linear(task.features, task.classes, seed))
    )


def linear(inputs: int, outputs: int, seed: int) -> nn.Linear:
    """A linear layer that the seed initialises."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(inputs, outputs)


def _plain(task: Task, seed: int) -> dict[str, Model]:
    return {"softmax": as_model(fitted(task, softmax_network(task, seed), seed, views=()))}


def _augmented(task: Task, seed: int) -> dict[str, Model]:
    """The softmax with views, what averages it, and heads on its features."""
    model = fitted(task, softmax_network(task, seed), seed)
    return {
        "softmax_augmented": as_model(model),
        "softmax_views": _averaged(model, task.perturb, TEST_VIEWS),
        "softmax_turned": _averaged(model, task.turn, TURNED_VIEWS),
        **_heads(task, model, seed),
    }


def _ensemble(task: Task, seed: int) -> dict[str, Model]:
    """That softmax, trained once more, and four from other seeds."""
    seeds = [seed + 1000 * k for k in range(MEMBERS)]
    members = [fitted(task, softmax_network(task, each), each) for each in seeds]
    return {"deep_ensemble": as_model(baselines.DeepEnsemble(members).eval())}


def _averaged(trained: Any, perturb: Perturb, views: int) -> Model:
    """The mean of a model's probabilities over views of each row."""
    model = thrifty(trained)

    def ask(x: Tensor) -> Answer:
        generator = torch.Generator().manual_seed(0)
        seen = perturb(x.repeat_interleave(views, dim=0), generator)
        log_probs = class_log_probs(model(seen)).unflatten(0, (len(x), views))
        return Answer(log_probs.double().exp().mean(dim=1).log(), None)

    return ask


def _heads(task: Task, model: baselines.Softmax, seed: int) -> dict[str, Model]:
    body = baselines.split_network(model).body
    features, y = _bank(task, body, seed)
    heads = {
        "prototype_features": _descended(
            baselines.PrototypeHead.from_data(features, y), features, y, seed
        ),
        "cosine_features": _descended(
            baselines.CosineHead.from_data(features, y), features, y, seed
        ),
        "mahalanobis_features": baselines.MahalanobisHead.from_data(features, y),
        "knn_features": baselines.KNNHead.from_data(features, y),
    }
    return {name: as_model(OnFeatures(body, head).eval()) for name, head in heads.items()}


def _bank(task: Task, body: nn.Module, seed: int) -> tuple[Tensor, Tensor]:
    """Features of views of the training rows, at most ``BANK``, and their labels."""
    x, y = task.train.x, task.train.y
    assert y is not None
    step = max(1, len(y) // BANK)
    views = max(1, min(4, BANK // len(y)))
    generator = torch.Generator().manual_seed(seed)
    seen = task.perturb(x[::step].repeat_interleave(views, dim=0), generator)
    with torch.no_grad():
        features = torch.cat([body(part) for part in seen.split(500)])
    return features, y[::step].repeat_interleave(views, dim=0)


def _descended(head: Any, features: Tensor, y: Tensor, seed: int) -> Any:
    fit.fit(
        head,
        (features, y),
        optimizer=functools.partial(torch.optim.Adam, lr=RATE, fused=True),
        steps=400,
        batch_size=128,
        seed=seed,
        callbacks=[fit.schedule(fit.cosine(400))],
    )
    return head.eval()


def prototype_model(task: Task, seed: int, *, label_dim: int = LABEL_DIM) -> OnFeatures:
    """Learned class means in the label space, through the whole network: distances, no measures.

    It starts as the Wasserstein classifier does: the same linear map, means and temperature.
    """
    body = nn.Sequential(task.body(seed), linear(task.features, label_dim, seed))
    means = torch.randn((task.classes, label_dim), generator=torch.Generator().manual_seed(seed))
    return OnFeatures(body, baselines.PrototypeHead(means, temperature=float(label_dim)))


def _prototype(task: Task, seed: int) -> dict[str, Model]:
    model = fitted(task, prototype_model(task, seed), seed)
    return {
        "prototype": as_model(model),
        "prototype_views": _likelihoods(model, task.perturb, TEST_VIEWS),
        "prototype_turned": _likelihoods(model, task.turn, TURNED_VIEWS),
    }


def _wide_prototype(task: Task, seed: int) -> dict[str, Model]:
    model = prototype_model(task, seed, label_dim=2 * LABEL_DIM)
    return {"prototype_wide": as_model(fitted(task, model, seed))}


def _likelihoods(trained: OnFeatures, perturb: Perturb, views: int) -> Model:
    """Probabilities in proportion to the mean likelihood of a class over views of each row."""
    model = thrifty(trained)

    def ask(x: Tensor) -> Answer:
        generator = torch.Generator().manual_seed(0)
        seen = perturb(x.repeat_interleave(views, dim=0), generator)
        head: Any = model.head
        away = torch.cdist(model.body(seen), head.means).square().unflatten(0, (-1, views))
        logits = (-away / head.log_temperature.exp()).logsumexp(dim=1)
        return Answer(logits.log_softmax(dim=1), away.mean(dim=1).amin(dim=1))

    return ask


HEADS = ("prototype_features", "cosine_features", "mahalanobis_features", "knn_features")

GROUPS: tuple[Group, ...] = (
    Group(("softmax",), _plain),
    Group(
        ("softmax_augmented", "softmax_views", "softmax_turned", *HEADS),
        _augmented,
    ),
    Group(("prototype", "prototype_views", "prototype_turned"), _prototype),
    # Means and deviations are twice the numbers: what they add may be room.
    Group(("prototype_wide",), _wide_prototype),
    Group(("deep_ensemble",), _ensemble),
)
"""Models without measures: what a gain has to be held against."""
