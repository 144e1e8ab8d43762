"""The four tasks: rows, corruptions, held-out classes, and a small backbone each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from perturbed import views
from uncertain import baselines, data, keyed
from uncertain.data import Split, point_transforms
from uncertain.data.held_out import held_out_labels, join

Name = Literal["digits", "mnist", "cifar10", "shapes"]
Half = Literal["develop", "confirm"]
POINTS = 128
SALT = 5
"""Of the hash that cuts digits into parts."""


@dataclass(frozen=True)
class Task:
    """What is learnt, and what it is judged on.

    Attributes:
        name: Of the task.
        classes: C.
        train: Rows to learn from.
        validation: Rows that temperatures are fitted on.
        test: Rows that are judged, corrupted and not.
        strange: Test rows of classes that were held out, if any were.
        seen: Corruptions that training covers, up to severity 3.
        unseen: Corruptions that it does not.
        perturb: The views that training sees.
        turn: Rows turned or left, as what they are taken for where rotations are expected.
        body: From a seed to a network from inputs to features.
        features: How many features there are.
        steps: Of a training.
        batch_size: Rows of a step.
    """

    name: Name
    classes: int
    train: Split
    validation: Split
    test: Split
    strange: Split | None
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    perturb: views.Perturb
    turn: views.Perturb
    body: Callable[[int], nn.Module]
    features: int
    steps: int
    batch_size: int

    @property
    def cases(self) -> list[tuple[str, int]]:
        """Every corruption with its severities, after the rows as they are (``clean``, 0)."""
        kinds = (*self.seen, *self.unseen)
        return [("clean", 0), *((kind, severity) for kind in kinds for severity in range(1, 6))]

    def corrupted(self, kind: Any, severity: int) -> Tensor:
        """Return the test rows under a corruption; images as bytes, as published sets keep them."""
        x, ids = self.test.x[:], self.test.row_ids
        if self.name == "shapes":
            return data.corrupt_points(x, kind, severity, row_ids=ids) if severity else x
        changed = data.corrupt(x, kind, severity, row_ids=ids) if severity else x
        return (255 * changed).round().to(torch.uint8)


@dataclass(frozen=True)
class Size:
    """How much is done: trainings, those with held-out classes, steps, and rows of each part."""

    trainings: int
    held_out: int
    steps: int
    train: int
    test: int


# A model is asked thirty times as many rows as are judged, up to sixteen views of each: two thousand
# of MNIST's ten are the same for all models and trainings, and leave the noise of trainings the larger.
SIZES: Mapping[str, Mapping[Name, Size]] = {
    "desk": {
        "digits": Size(10, 3, 800, 10_000, 10_000),
        "mnist": Size(10, 3, 1500, 10_000, 2000),
        "cifar10": Size(3, 1, 1500, 50_000, 1000),
        "shapes": Size(3, 2, 1000, 10_000, 10_000),
    },
    "quick": {
        "digits": Size(2, 2, 60, 500, 100),
        "mnist": Size(2, 1, 60, 500, 100),
        "cifar10": Size(2, 1, 60, 500, 100),
        "shapes": Size(2, 1, 60, 300, 100),
    },
}


def load(name: Name, *, half: Half, size: Size, held_out: bool) -> Task:
    """Load a task.

    Args:
        name: Which.
        half: Which half of the judged rows; only digits have one to develop on.
        size: How many rows and steps.
        held_out: Leave the held-out classes out of every part, and their test rows beside.

    Raises:
        ValueError: A half that is not there.
    """
    if half == "develop" and name != "digits":
        raise ValueError(f"`half` should be confirm for {name}, got develop: only digits have one.")
    train, validation, test, classes = _PARTS[name](half)
    strange: Split | None = None
    kept = classes
    if held_out:
        out = held_out_labels(classes, 6 if name == "cifar10" else round(0.7 * classes), 0)
        strange = _only(test, out)
        stay = [label for label in range(classes) if label not in out]
        train, validation, test = (_relabelled(p, stay) for p in (train, validation, test))
        kept = len(stay)
    clouds = name == "shapes"
    return Task(
        name,
        kept,
        _first(train, size.train),
        validation,
        _first(test, size.test),
        None if strange is None else _first(strange, size.test),
        views.SEEN_POINTS if clouds else views.SEEN_IMAGES,
        views.UNSEEN_POINTS if clouds else views.UNSEEN_IMAGES,
        views.point_views if clouds else views.image_views,
        views.turned_points if clouds else views.turned_images,
        _BODIES[name],
        64,
        size.steps,
        32,
    )


Parts = tuple[Split, Split, Split, int]


def _digits(half: Half) -> Parts:
    """Half of the digits to learn from, a tenth to validate, 13 % to develop, 27 % to confirm."""
    loaded = data.load("digits")
    whole = join([loaded.train, loaded.validation, loaded.test])
    place = keyed.uniforms(keyed.hash_keys(whole.groups, seed=SALT))
    ends = {
        "train": (0, 0.5),
        "validation": (0.5, 0.6),
        "develop": (0.6, 0.73),
        "confirm": (0.73, 1),
    }
    part = {name: whole[(place >= low) & (place < high)] for name, (low, high) in ends.items()}
    return part["train"], part["validation"], part[half], 10


def _mnist(half: Half) -> Parts:
    packaged, official = data.load("mnist5k"), data.load("mnist_t10k")
    return join([packaged.train, packaged.test]), packaged.validation, official.test, 10


def _cifar10(half: Half) -> Parts:
    loaded = data.load("cifar10")
    return loaded.train, loaded.validation[:2000], loaded.test, 10


def _shapes(half: Half) -> Parts:
    """Sixty shapes of a class to learn from, twelve to validate, forty to be judged."""
    drawn = data.shapes(112, points=POINTS)
    classes = 14
    learnt = dataclasses.replace(drawn, x=_spread(drawn.x[:]))
    test = drawn[np.arange(72 * classes, len(drawn))]
    validation = learnt[np.arange(60 * classes, 72 * classes)]
    return learnt[np.arange(60 * classes)], validation, test, classes


def _spread(x: Tensor) -> Tensor:
    """Put each cloud's points in the order in which the farthest from those before comes next."""
    order = point_transforms.spread_points(x, x.shape[1], torch.zeros(len(x), dtype=torch.int64))
    return x.gather(1, order[..., None].expand(-1, -1, 3))


_PARTS: Mapping[Name, Callable[[Half], Parts]] = {
    "digits": _digits,
    "mnist": _mnist,
    "cifar10": _cifar10,
    "shapes": _shapes,
}

_BODIES: Mapping[Name, Callable[[int], nn.Module]] = {
    "digits": lambda seed: _body(baselines.mlp(64, 1, hidden=(128, 64), seed=seed)),
    "mnist": lambda seed: _body(baselines.convolutional((1, 28, 28), 1, width=8, seed=seed)),
    "cifar10": lambda seed: _body(baselines.convolutional((3, 32, 32), 1, width=16, seed=seed)),
    "shapes": lambda seed: _body(baselines.pointnet(1, seed=seed)),
}


def _body(network: nn.Module) -> nn.Module:
    return baselines.split_network(network).body


def _only(part: Split, labels: tuple[int, ...]) -> Split:
    return part[np.flatnonzero(np.isin(_labels(part), labels))]


def _relabelled(part: Split, stay: list[int]) -> Split:
    kept = _only(part, tuple(stay))
    return dataclasses.replace(kept, y=torch.from_numpy(np.searchsorted(stay, _labels(kept))))


def _first(part: Split, rows: int) -> Split:
    """Return the rows with the smallest hashes: as good as drawn, and always the same."""
    if len(part) <= rows:
        return part
    return part[np.sort(keyed.hash_keys(part.row_ids).argsort(kind="stable")[:rows])]


def _labels(part: Split) -> NDArray[Any]:
    assert part.y is not None
    return part.y.numpy()
