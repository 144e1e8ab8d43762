"""Held-out classes: the out-of-distribution partner that no border pixel gives away.

Some classes are left out of training; their test rows are the strange inputs. Both sides come from
one source, one pipeline and one camera, so only the content differs.
"""

import dataclasses
import hashlib

import numpy as np
import torch

from uncertain import checks
from uncertain.data.dataset import DataSet, Split

CLASS_SPLITS: dict[tuple[int, int], tuple[tuple[int, ...], ...]] = {
    (10, 7): ((4, 5, 7), (3, 7, 9), (0, 2, 6), (1, 5, 7), (2, 7, 8)),
    (10, 6): ((4, 5, 7, 8), (0, 3, 7, 9), (0, 1, 2, 6), (1, 3, 5, 7), (2, 7, 8, 9)),
}
"""The held-out classes of the five splits, by (classes, kept): MNIST keeps 7, CIFAR-10 keeps 6."""

SPLITS = 5


def held_out_labels(classes: int, kept: int, split: int) -> tuple[int, ...]:
    """Return the classes that one of the five fixed splits holds out.

    Classes are sorted by the SHA-256 of ``"held-out classes 1/<classes>/<split>/<class>"`` and the
    first ``kept`` stay, so the splits are random, fixed for good, and nobody chose them.

    Args:
        classes: How many there are.
        kept: How many stay in distribution.
        split: 0 to 4.

    Returns:
        The held-out class indices, in order.

    Example:
        >>> held_out_labels(10, 7, 0)
        (4, 5, 7)
    """
    checks.check_range("split", split, 0, SPLITS - 1, hint="there are five fixed splits")
    checks.check_range("kept", kept, 1, classes - 1, hint="keep a class and hold one out")

    def key(label: int) -> bytes:
        return hashlib.sha256(f"held-out classes 1/{classes}/{split}/{label}".encode()).digest()

    return tuple(sorted(sorted(range(classes), key=key)[kept:]))


def held_out_classes(
    dataset: DataSet, split: int = 0, *, kept: int | None = None, all_parts: bool = False
) -> DataSet:
    """Leave some classes out of every part, and return their test rows as partner ``held_out``.

    No row of a held-out class is left in training or validation, so nothing can be tuned on them. The
    card's sizes and classes are those of what is left; duplicates are not counted again.

    Args:
        dataset: Classification.
        split: Which of the five fixed random splits, 0 to 4.
        kept: Classes that stay; by default 6 of CIFAR-10's and 7 of 10 elsewhere.
        all_parts: Take the held-out classes' rows of all parts, not only of the test part: no model
            has seen those either, and a small set gets tighter intervals.

    Returns:
        A set whose labels count the kept classes from 0, in their old order. The partner's ``y``
        holds the *old* class indices; row ids and groups are the old ones everywhere.

    Raises:
        ValueError: The set has no classes, or no such split.

    Example:
        >>> from uncertain.data import load
        >>> known = held_out_classes(load("digits"), split=0)
        >>> known.card.classes, sorted(set(known.ood["held_out"].y.tolist()))
        (('0', '1', '2', '3', '6', '8', '9'), [4, 5, 7])
    """
    names = dataset.card.classes
    if dataset.card.kind != "classification":
        raise ValueError(
            f"`dataset` should be a classification set, got {dataset.card.name} "
            f"({dataset.card.kind}): only classes can be held out."
        )
    if kept is None:
        kept = 6 if dataset.card.name == "cifar10" else max(1, round(0.7 * len(names)))
    out = held_out_labels(len(names), kept, split)
    stay = [label for label in range(len(names)) if label not in out]
    new_label = torch.full((len(names),), -1)
    new_label[stay] = torch.arange(kept)
    parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    known = {name: _keep(part, new_label) for name, part in parts.items()}
    source = [*parts.values()] if all_parts else [dataset.test]
    strange = [part[_labels(part, new_label) < 0] for part in source]
    card = dataclasses.replace(
        dataset.card,
        sizes={name: len(part) for name, part in known.items()},
        classes=tuple(names[label] for label in stay),
        duplicates={},
        problems=(*dataset.card.problems, f"Held out: {', '.join(names[c] for c in out)}."),
    )
    return DataSet(**known, card=card, ood={**dataset.ood, "held_out": join(strange)})


def _labels(part: Split, new_label: torch.Tensor) -> torch.Tensor:
    if part.y is None:
        raise ValueError("`dataset` should have labels in every part, got none.")
    return new_label[part.y]


def _keep(part: Split, new_label: torch.Tensor) -> Split:
    labels = _labels(part, new_label)
    return dataclasses.replace(part[labels >= 0], y=labels[labels >= 0])


def join(parts: list[Split]) -> Split:
    """Return the labelled rows of several splits as one."""
    if len(parts) == 1:
        return parts[0]
    labels = [part.y for part in parts if part.y is not None]
    return Split(
        torch.cat([part.x[:] for part in parts]),
        torch.cat(labels),
        np.concatenate([part.row_ids for part in parts]),
        np.concatenate([part.groups for part in parts]),
    )
