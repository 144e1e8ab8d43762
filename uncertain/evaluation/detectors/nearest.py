"""The k largest inner products of queries with a bank: what nearest neighbours come down to.

``N`` queries, ``M`` rows of the bank, ``D`` features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

QUERIES = 256
"""Queries of a block."""
BANK_ROWS = 8192
"""Rows of the bank a product: with 256 queries, 8 MiB of products in float32."""
MARGIN = 8
"""More candidates than asked for: products in float32 may confuse neighbours that almost tie."""


def candidates(
    queries: NDArray[np.float32],
    bank: NDArray[np.float32],
    offsets: NDArray[np.float32] | None,
    k: int,
) -> NDArray[np.intp]:
    """Return for each query the bank rows of the largest ``q @ b - offset``, more than k if there are.

    Products are computed in float32, block by block; only what beats a query's k-th best so far is
    kept and sorted. The caller computes what it wants of the candidates in float64.

    Args:
        queries: (N, D).
        bank: (M, D).
        offsets: (M,), ``None`` for none.
        k: At least 1 and at most M.

    Returns:
        (N, min(k + MARGIN, M)) bank rows, in no order.

    Example:
        >>> bank = np.eye(3, dtype=np.float32)
        >>> candidates(bank[:1], bank, None, 1).shape
        (1, 3)
    """
    wanted = min(k + MARGIN, len(bank))
    found = np.empty((len(queries), wanted), dtype=np.intp)
    for start in range(0, len(queries), QUERIES):
        part = slice(start, start + QUERIES)
        found[part] = _of_block(queries[part], bank, offsets, wanted)
    return found


def _of_block(
    queries: NDArray[np.float32],
    bank: NDArray[np.float32],
    offsets: NDArray[np.float32] | None,
    wanted: int,
) -> NDArray[np.intp]:
    best: NDArray[np.float32] | None = None
    rows: NDArray[np.intp] = np.empty((len(queries), 0), dtype=np.intp)
    for start in range(0, len(bank), BANK_ROWS):
        part = slice(start, start + BANK_ROWS)
        products = queries @ bank[part].T
        if offsets is not None:
            products -= offsets[part]
        if best is None or best.shape[1] < wanted:
            kept = np.broadcast_to(np.arange(products.shape[1]) + start, products.shape)
            values, places = products, kept
        else:
            values, places = _above(products, best.min(axis=1), start)
        best = values if best is None else np.concatenate([best, values], axis=1)
        rows = np.concatenate([rows, places], axis=1)
        if best.shape[1] > wanted:
            order = np.argpartition(best, best.shape[1] - wanted, axis=1)[:, -wanted:]
            best = np.take_along_axis(best, order, axis=1)
            rows = np.take_along_axis(rows, order, axis=1)
    return rows


def _above(
    products: NDArray[np.float32], least: NDArray[np.float32], start: int
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Return what exceeds each query's threshold, side by side; -inf fills the shorter rows."""
    query, place = np.nonzero(products > least[:, None])
    counts = np.bincount(query, minlength=len(products))
    # `nonzero` goes row by row: each hit's place within its row is its rank less the rows before.
    column = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
    width = int(counts.max(initial=0))
    values = np.full((len(products), width), -np.inf, dtype=np.float32)
    places = np.zeros((len(products), width), dtype=np.intp)
    values[query, column] = products[query, place]
    places[query, column] = place + start
    return values, places


def unit_rows(features: NDArray[Any]) -> NDArray[Any]:
    """Return rows of length 1, in float64; a row of zeros stays one.

    Example:
        >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]]))
        array([[0.6, 0.8],
               [0. , 0. ]])
    """
    wide = features.astype(np.float64)
    lengths = np.sqrt((wide**2).sum(axis=1, keepdims=True))
    unit: NDArray[np.float64] = wide / np.where(lengths > 0, lengths, 1.0)
    return unit
