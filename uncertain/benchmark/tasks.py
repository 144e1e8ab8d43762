"""The suites: which data, which out-of-distribution partners, which shifts, how many steps.

A task is a value; its splits are made from its data set and a seed by :func:`load_splits`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from uncertain import checks, data
from uncertain.data import DataSet, Split
from uncertain.data.held_out import SPLITS
from uncertain.data.matching import CIFAR10_JPEG_QUALITY
from uncertain.data.severities import Corruption

Budget = Literal["desk", "full"]
HeldOut = Literal["classes", "cluster", "extrapolation"]

SANITY = frozenset({"glyphs", "noise", "notmnist"})
"""Partners that show only whether something is broken: no claim stands on them."""

DISTANCES = 3
"""Extrapolated rows are also judged on their targets, in thirds by their distance."""


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
        held_out: What is left out of training and is the first out-of-distribution partner: some
            ``classes``, a ``cluster`` of the inputs, or the rows of an ``extrapolation``.
        class_split: Which of the five fixed splits into known and held-out classes, or which cluster;
            ``None`` means that the seed decides where ``split_by_seed``, else the first. Given alone
            it means classes.
        ood: Out-of-distribution partners beside what is held out: names of :data:`PARTNERS`.
        blocks: The blocks of columns that a dependence break exchanges; ``None`` means two random
            halves, drawn once for the task.
        shifts: Corruption and its severities.
        split_by_seed: Whether seed s uses the data's split s (then rows differ between seeds, and
            only the spread over trainings is reported for the mean); tuning is done per split then.
        checkpoint_seconds: How much of a training a killed run loses at most.
    """

    name: str
    kind: Literal["classification", "regression"]
    data: str | Callable[[int], DataSet]
    network: Literal["convolutional", "resnet", "mlp"]
    steps: int
    full_steps: int
    batch_size: int = 64
    held_out: HeldOut | None = None
    class_split: int | None = None
    ood: tuple[str, ...] = ()
    blocks: tuple[tuple[int, ...], ...] | None = None
    shifts: tuple[tuple[Corruption, tuple[int, ...]], ...] = ()
    split_by_seed: bool = False
    checkpoint_seconds: float = 20.0

    def __post_init__(self) -> None:
        for name in self.ood:
            checks.check_choice("ood", name, PARTNERS)

    def split_of(self, seed: int) -> int:
        """Return which split of the rows a training seed uses: its own, or always the first."""
        return seed if self.split_by_seed else 0

    def steps_of(self, budget: Budget) -> int:
        """Return the optimiser steps of one training."""
        return self.steps if budget == "desk" else self.full_steps


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
        Splits by name. Shifted splits keep the test part's row ids, groups and labels; those named
        ``shift:extrapolation`` are the thirds of the rows beyond, nearest first.

    Example:
        >>> splits = load_splits(Task("iris", "classification", "iris", "mlp", 10, 20), seed=0)
        >>> list(splits), len(splits["test"])
        (['train', 'validation', 'test'], 30)
    """
    whole = _load(task, task.split_of(seed))
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
        makers[f"ood:{name}"] = functools.partial(PARTNERS[name], task, whole)
    for kind, severities in task.shifts:
        for severity in severities:
            shift = functools.partial(_shifted, whole.test, kind, severity)
            makers[f"shift:{kind}:{severity}"] = shift
    if task.held_out == "extrapolation":
        for third in range(1, DISTANCES + 1):
            beyond = functools.partial(_third, whole.ood["extrapolation"], third)
            makers[f"shift:extrapolation:{third}"] = beyond
    return Splits(makers)


# A worker goes from cell to cell of a task or two.
@functools.lru_cache(maxsize=2)
def _load(task: Task, seed: int) -> DataSet:
    whole = data.load(task.data, seed=seed) if isinstance(task.data, str) else task.data(seed)
    whole = _held_out(task, whole, seed)
    if len(whole.train.x.shape) == 2:
        whole = data.standardise(whole)
    return whole


def _held_out(task: Task, whole: DataSet, seed: int) -> DataSet:
    by_seed = seed if task.split_by_seed else 0
    split = by_seed % SPLITS if task.class_split is None else task.class_split
    if task.held_out == "extrapolation":
        return data.extrapolation(whole, all_parts=True)
    if task.held_out == "cluster":
        return data.held_out_cluster(whole, split, all_parts=True)
    if task.held_out == "classes" or task.class_split is not None:
        # Where the seed draws the rows the set is small: every row that nobody trained on serves.
        return data.held_out_classes(whole, split, all_parts=task.split_by_seed)
    return whole


def _itself(split: Split) -> Split:
    return split


def _glyphs(task: Task, whole: DataSet) -> Split:
    return data.glyphs()


def _noise(task: Task, whole: DataSet) -> Split:
    return _alike(data.noise(whole.test), whole)


def _letters(task: Task, whole: DataSet) -> Split:
    return _alike(data.load("notmnist_t10k").test, whole)


def _alike(strange: Split, whole: DataSet) -> Split:
    """Return strange images in the known set's size, statistics and codec, unlabelled."""
    quality = CIFAR10_JPEG_QUALITY if whole.card.name == "cifar10" else None
    made = data.matched(strange, whole.train, jpeg_quality=quality)
    return dataclasses.replace(made, y=None)


def _broken(task: Task, whole: DataSet, *, within_class: bool = False) -> Split:
    blocks = 2 if task.blocks is None else task.blocks
    return data.dependence_break(whole.test, blocks=blocks, within_class=within_class)


PARTNERS: dict[str, Callable[[Task, DataSet], Split]] = {
    "glyphs": _glyphs,
    "noise": _noise,
    "notmnist": _letters,
    "dependence_break": _broken,
    "dependence_break_within_class": functools.partial(_broken, within_class=True),
}
"""Out-of-distribution partners by name, each made from a task and its loaded set."""


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


def _third(split: Split, third: int) -> Split:
    """Return one of the thirds of rows that are in the order of their distance."""
    edges = [round(len(split) * k / DISTANCES) for k in (third - 1, third)]
    return split[edges[0] : edges[1]]
