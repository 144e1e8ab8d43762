"""Dependence-break rows: every marginal is exact, only the joint distribution is wrong.

Axis letters: N rows, D columns, K blocks of columns. Rows are put into small sets and exchange whole
blocks of columns within their set. No column holds a value that it did not hold before, and none more
often; within a block all dependence is kept. A detector that looks at columns one by one, or at
distances along one of them, finds nothing.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uncertain import checks
from uncertain.data.dataset import ByteImages, Split
from uncertain.data.draws import hashed

Blocks = int | Sequence[Sequence[int]]
_GROUPS, _ROWS, _COLUMNS = 21, 22, 23


def dependence_break(
    split: Split, seed: int = 0, *, blocks: Blocks = 2, within_class: bool = False
) -> Split:
    """Return as many rows as ``split`` has, made of its own values, with blocks of columns exchanged.

    Sets of K groups of rows are drawn. In a set of m rows the k-th block of row j comes from row
    ``j + k * (m // K)`` of the same set, counted round: no two blocks of a new row come from one row.
    So every column, and every block of columns jointly, is a permutation of what it was, exactly.

    A new row can still look like an old one: where two rows share the block that they exchange (few
    distinct values, near copies), or where blocks do not depend on each other. That makes the task
    harder, and no figure on it can be 1 then.

    Args:
        split: Rows to exchange between; inputs of any shape, whose values count as columns.
        seed: Draws the sets, and the blocks where their number is given.
        blocks: How many blocks of columns, drawn by the seed and of equal size to within one column;
            or the blocks themselves, lists of columns that hold each column once.
        within_class: Exchange only between rows of one class. Then the distribution of every block
            given the class is exact too, and only the dependence *within* classes is broken.

    Returns:
        Unlabelled rows. A row's id is that of the row which gave the first block, its group the
        smallest group of its set, as all rows of a set depend on each other.

    Raises:
        ValueError: Blocks that are no partition, fewer rows (of a class) than blocks, or labels that
            are no classes.

    Example:
        >>> from uncertain.data import load
        >>> wine = load("wine").test
        >>> broken = dependence_break(wine)
        >>> bool((broken.x.sort(dim=0).values == wine.x.sort(dim=0).values).all())
        True
        >>> bool((broken.x == wine.x).all(dim=1).any())
        False
    """
    x = split.x.data if isinstance(split.x, ByteImages) else split.x
    columns = int(np.prod(x.shape[1:]))
    parts = _blocks(blocks, columns, seed)
    sets, names = _sets(split, len(parts), seed, within_class=within_class)
    flat = x.reshape(len(x), columns)
    made = flat.clone()
    for k, part in enumerate(parts):
        giver = np.arange(len(x))
        for rows in sets:
            giver[rows] = np.roll(rows, -k * (len(rows) // len(parts)))
        made[:, part] = flat[torch.from_numpy(giver)][:, part]
    inputs: Tensor | ByteImages = made.reshape(x.shape)
    if isinstance(split.x, ByteImages):
        inputs = ByteImages(made.reshape(x.shape))
    return Split(inputs, None, split.row_ids, names)


def _blocks(blocks: Blocks, columns: int, seed: int) -> list[list[int]]:
    if isinstance(blocks, int):
        checks.check_range("blocks", blocks, 2, columns, hint=f"there are {columns} columns")
        order = _order(np.arange(columns), seed, _COLUMNS)
        return [sorted(part.tolist()) for part in np.array_split(order, blocks)]
    parts = [[int(column) for column in part] for part in blocks]
    once = sorted(column for part in parts for column in part) == list(range(columns))
    if len(parts) < 2 or not once or not all(parts):
        raise ValueError(
            f"`blocks` should hold each of the {columns} columns once, in two or more lists, "
            f"got {len(parts)} lists of {sum(map(len, parts))} columns."
        )
    return parts


def _sets(
    split: Split, size: int, seed: int, *, within_class: bool
) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
    """Return sets of at least ``size`` rows, and each row's group: the smallest it depends on."""
    found: list[NDArray[np.int64]] = []
    for rows in _strata(split, within_class=within_class):
        if len(rows) < size:
            raise ValueError(
                f"`split` should have at least {size} rows{' of each class' * within_class} to "
                f"exchange {size} blocks, got {len(rows)}."
            )
        groups = split.groups[rows]
        units = np.unique(groups)
        units = units[_order(units, seed, _GROUPS)]
        rank = {int(unit): k for k, unit in enumerate(units)}
        # Whole groups, `size` a set; those left over join the last set.
        ranks = np.array([rank[int(group)] for group in groups])
        member = np.minimum(ranks // size, max(len(units) // size, 1) - 1)
        inner = np.argsort(_order(split.row_ids[rows], seed, _ROWS))
        order = np.lexsort((inner, ranks))
        cuts = np.flatnonzero(np.diff(member[order])) + 1
        found += [np.asarray(part) for part in np.split(rows[order], cuts)]
    return found, _joined(found, split.groups)


def _strata(split: Split, *, within_class: bool) -> list[NDArray[np.int64]]:
    if not within_class:
        return [np.arange(len(split))]
    if split.y is None or split.y.is_floating_point():
        raise ValueError("`split` should have class labels to exchange within classes, got none.")
    labels = split.y.numpy()
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]


def _joined(sets: list[NDArray[np.int64]], groups: NDArray[Any]) -> NDArray[np.int64]:
    """Return for each row the smallest group among those that sets, directly or not, tie it to."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names, place = np.unique(groups, return_inverse=True)
    member = np.empty(len(groups), np.int64)
    for number, rows in enumerate(sets):
        member[rows] = number
    size = len(names) + len(sets)
    edges = (np.ones(len(groups)), (place, member + len(names)))
    _, component = connected_components(coo_array(edges, shape=(size, size)), directed=False)
    _, first, inverse = np.unique(component[: len(names)], return_index=True, return_inverse=True)
    return names[first][inverse][place].astype(np.int64)


def _order(keys: NDArray[Any], seed: int, stream: int) -> NDArray[np.int64]:
    """Return the places of the keys in an order that the seed shuffles."""
    draws = hashed(torch.from_numpy(keys.astype(np.int64)), 1, seed=seed, stream=stream)[:, 0]
    return np.argsort(draws.numpy(), kind="stable")
