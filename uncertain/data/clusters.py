"""Held-out clusters: what held-out classes are to a set of many classes, for a set of two.

Both classes stay; a region of the inputs is left out of training, and its rows are the strange ones.
"""

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray

from uncertain import checks
from uncertain.data.dataset import DataSet, Split, standardise
from uncertain.data.held_out import join

CLUSTERS = 5


def held_out_cluster(
    dataset: DataSet, split: int = 0, *, clusters: int = CLUSTERS, all_parts: bool = False
) -> DataSet:
    """Leave one k-means cluster out of every part, and return its rows as partner ``held_out``.

    k-means (Lloyd, 10 starts of its own fixed seed) is fitted to the training inputs, each column
    scaled to mean 0 and deviation 1; labels play no part. Clusters are numbered by their training
    rows, the largest first, and each is held out by the split of its number.

    Args:
        dataset: Tabular.
        split: Which cluster, 0 to ``clusters - 1``.
        clusters: How many there are.
        all_parts: Take the cluster's rows of all parts, not only of the test part: no model has seen
            those either, and a small set gets tighter intervals.

    Returns:
        A set without the cluster's rows, whose card counts the rest. The partner keeps its targets;
        row ids and groups are the old ones everywhere.

    Raises:
        ValueError: The inputs are not tables, no such cluster, or a class would be left without
            training rows.
        ModuleNotFoundError: scikit-learn is not installed.

    Example:
        >>> from uncertain.data import load
        >>> known = held_out_cluster(load("breast_cancer"), split=1)
        >>> len(known.train) < len(load("breast_cancer").train), len(known.ood["held_out"]) > 0
        (True, True)
    """
    checks.check_range("clusters", clusters, 2)
    checks.check_range("split", split, 0, clusters - 1, hint=f"there are {clusters} clusters")
    parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    members = _members(dataset, clusters)
    known = {name: part[torch.from_numpy(members[name] != split)] for name, part in parts.items()}
    _check_classes(dataset, known["train"], split)
    taken = list(parts) if all_parts else ["test"]
    strange = [parts[name][torch.from_numpy(members[name] == split)] for name in taken]
    share = float(np.mean(members["train"] == split))
    card = dataclasses.replace(
        dataset.card,
        sizes={name: len(part) for name, part in known.items()},
        duplicates={},
        problems=(
            *dataset.card.problems,
            f"Held out: cluster {split + 1} of {clusters}, {share:.0%} of the training rows.",
        ),
    )
    return DataSet(**known, card=card, ood={**dataset.ood, "held_out": join(strange)})


def _members(dataset: DataSet, clusters: int) -> dict[str, NDArray[np.int64]]:
    """Return the cluster of each row of each part, the largest in training first."""
    cluster = checks.require("sklearn.cluster", "benchmark")
    scaled = standardise(dataset)
    tables = {
        name: np.asarray(getattr(scaled, name).x.numpy(), np.float64)
        for name in ("train", "validation", "test")
    }
    found = cluster.KMeans(clusters, n_init=10, random_state=0).fit(tables["train"])
    order = np.argsort(-np.bincount(found.labels_, minlength=clusters), kind="stable")
    rank = np.argsort(order)
    return {
        name: rank[found.predict(table)] if len(table) else np.zeros(0, np.int64)
        for name, table in tables.items()
    }


def _check_classes(dataset: DataSet, train: Split, split: int) -> None:
    if dataset.card.kind != "classification":
        return
    if train.y is None:
        raise ValueError("`dataset` should have targets in its training part, got none.")
    left = set(train.y.tolist())
    gone = [name for label, name in enumerate(dataset.card.classes) if label not in left]
    if gone:
        raise ValueError(
            f"`split` should leave training rows of every class of {dataset.card.name}, got {split}, "
            f"which holds all of {', '.join(gone)}: hold out another cluster, or the class."
        )
