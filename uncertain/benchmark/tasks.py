"""The suites: which data, which out-of-distribution partners, which shifts, how many steps.

A task is a value; its splits are made from its data set and a seed by :func:`load_splits`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from uncertain import data
from uncertain.data import DataSet, Split
from uncertain.data.severities import Corruption

Budget = Literal["desk", "full"]


@dataclass(frozen=True)
class Task:
    """One data set and what is asked of a model on it.

    Attributes:
        name: Unique within a suite; the row ``task`` of the results.
        kind: What is predicted.
        data: Name for :func:`uncertain.data.load`, or a function (importable by its module, as
            workers are spawned) from a seed to a data set.
        network: Which of the small networks the neural models use.
        steps: Optimiser steps of one training, on the ``desk`` budget.
        full_steps: The same on the ``full`` budget.
        batch_size: Rows a step.
        class_split: Which of the five fixed splits into known and held-out classes; ``None`` keeps
            every class.
        ood: Out-of-distribution partners beside the held-out classes.
        shifts: Corruption and its severities.
        split_by_seed: Whether seed s uses the data's standard split s (then rows differ between
            seeds, and only the spread over trainings is reported for the mean).
        checkpoint_seconds: How much of a training a killed run loses at most.
    """

    name: str
    kind: Literal["classification", "regression"]
    data: str | Callable[[int], DataSet]
    network: Literal["convolutional", "resnet", "mlp"]
    steps: int
    full_steps: int
    batch_size: int = 64
    class_split: int | None = None
    ood: tuple[str, ...] = ()
    shifts: tuple[tuple[Corruption, tuple[int, ...]], ...] = ()
    split_by_seed: bool = False
    checkpoint_seconds: float = 20.0

    def steps_of(self, budget: Budget) -> int:
        """Return the optimiser steps of one training."""
        return self.steps if budget == "desk" else self.full_steps


_IMAGE_SHIFTS: tuple[tuple[Corruption, tuple[int, ...]], ...] = (
    ("rotation", (1, 3, 5)),
    ("gaussian_noise", (1, 3, 5)),
    ("blur", (1, 3, 5)),
    ("contrast", (1, 3, 5)),
    ("translation", (1, 3, 5)),
)


def _tabular(name: str, steps: int = 600) -> Task:
    return Task(name, "classification", name, "mlp", steps, 4 * steps)


def _uci(name: str, steps: int) -> Task:
    return Task(
        name,
        "regression",
        f"uci/{name}",
        "mlp",
        steps,
        4 * steps,
        split_by_seed=True,
    )


SUITES: dict[str, tuple[Task, ...]] = {
    "quick": (
        Task(
            "mnist5k",
            "classification",
            "mnist5k",
            "convolutional",
            240,
            1200,
            class_split=0,
            ood=("glyphs",),
            shifts=(("rotation", (1, 3, 5)),),
        ),
        Task("diabetes", "regression", "diabetes", "mlp", 300, 1500),
    ),
    "images": (
        *(
            Task(
                f"mnist5k-classes{split}",
                "classification",
                "mnist5k",
                "convolutional",
                600,
                3000,
                class_split=split,
                ood=("glyphs", "noise"),
                shifts=_IMAGE_SHIFTS,
            )
            for split in range(5)
        ),
        *(
            Task(
                f"cifar10-classes{split}",
                "classification",
                "cifar10",
                "resnet",
                1500,
                20000,
                batch_size=128,
                class_split=split,
                ood=("noise",),
                shifts=_IMAGE_SHIFTS,
            )
            for split in range(5)
        ),
    ),
    "tabular": tuple(_tabular(name) for name in ("digits", "breast_cancer", "wine", "iris")),
    "regression": (
        Task("diabetes", "regression", "diabetes", "mlp", 600, 3000),
        _uci("concrete", 1500),
        _uci("energy", 1500),
        _uci("kin8nm", 2000),
        _uci("power-plant", 2000),
    ),
}


class Splits(Mapping[str, Split]):
    """Splits by name, each made when it is asked for: few jobs need the shifted or strange rows."""

    def __init__(self, makers: Mapping[str, Callable[[], Split]]) -> None:
        self._makers = dict(makers)

    def __getitem__(self, name: str) -> Split:
        return self._makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def load_splits(task: Task, seed: int) -> Splits:
    """Return ``train``, ``validation``, ``test``, ``ood:NAME`` and ``shift:KIND:SEVERITY``.

    Args:
        task: What to load.
        seed: The training's seed; it chooses the rows only where ``task.split_by_seed``.

    Returns:
        Splits by name. Shifted splits keep the test part's row ids, groups and labels.

    Example:
        >>> splits = load_splits(Task("iris", "classification", "iris", "mlp", 10, 20), seed=0)
        >>> list(splits), len(splits["test"])
        (['train', 'validation', 'test'], 30)
    """
    whole = _load(task, seed if task.split_by_seed else 0)
    made = {
        "train": whole.train,
        "validation": whole.validation,
        "test": whole.test,
        **{f"ood:{name}": split for name, split in whole.ood.items()},
    }
    makers: dict[str, Callable[[], Split]] = {
        name: functools.partial(_itself, split) for name, split in made.items()
    }
    for name in task.ood:
        make = data.glyphs if name == "glyphs" else functools.partial(data.noise, whole.test)
        makers[f"ood:{name}"] = make
    for kind, severities in task.shifts:
        for severity in severities:
            shift = functools.partial(_shifted, whole.test, kind, severity)
            makers[f"shift:{kind}:{severity}"] = shift
    return Splits(makers)


# A worker goes from cell to cell of a task or two.
@functools.lru_cache(maxsize=2)
def _load(task: Task, seed: int) -> DataSet:
    whole = data.load(task.data, seed=seed) if isinstance(task.data, str) else task.data(seed)
    if task.class_split is not None:
        whole = data.held_out_classes(whole, split=task.class_split)
    if len(whole.train.x.shape) == 2:
        whole = data.standardise(whole)
    return whole


def _itself(split: Split) -> Split:
    return split


def class_count(task: Task, train: Split) -> int:
    """Return how many classes a task has, 0 for regression."""
    return int(targets(train).max()) + 1 if task.kind == "classification" else 0


def targets(split: Split) -> Tensor:
    """Return a split's targets, which every split but the out-of-distribution ones has."""
    if split.y is None:
        raise ValueError("`split` should have targets to train or to score on, got none.")
    return split.y


def _shifted(split: Split, kind: Corruption, severity: int) -> Split:
    x = data.corrupt(split.x[:], kind, severity, seed=0, row_ids=split.row_ids)
    return Split(x=x, y=split.y, row_ids=split.row_ids, groups=split.groups)
