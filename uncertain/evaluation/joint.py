r"""Predictions of several rows together: the joint log score on blocks, and the energy score.

Marginal scores can't tell a model that is unsure *which* function is right from one that takes every
row for noise: both say one half. Jointly they differ. Members s (an ensemble, posterior draws) that
each predict all rows give the joint distribution of a block of rows :math:`b`, and its log score is

.. math:: -\log \hat P(y_b) = -\log \sum_s w_s \prod_{i \in b} p_s(y_i \mid x_i),

in nats a block: proper for the joint distribution of the block's targets. Which blocks are scored
decides what is seen:

- **disjoint**: :math:`\tau` different rows at random. In many dimensions such rows have little to do
  with each other, and the score says little more than its marginals.
- **dyadic** (Osband et al. 2022): two rows, the anchors, at random; the block's :math:`\tau` rows are
  drawn from the two with replacement, so that a few rows come often and their dependence shows. A
  repeated row needs a *target of its own* for each time (several raters, a simulator). Where a row has
  one target, a repetition repeats it, and a model that takes real noise for ignorance scores better
  for it: then draw from the anchors' neighbours instead (``neighbours``).

The anchors are a random pairing of the rows, each used once, so that blocks are independent where no
neighbours are shared.

References:
    Osband, Wen, Asghari, Dwaracherla, Lu and Van Roy, Evaluating high-order predictive distributions
    in deep learning, UAI (2022), section 5.
    Wen, Osband, Qin, Lu, Ibrahimi, Dwaracherla, Asghari and Van Roy, From predictions to decisions:
    the importance of joint predictive distributions (2021).
    Gneiting and Raftery, Strictly proper scoring rules, prediction, and estimation, JASA (2007),
    section 4.3 (the energy score).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain import families
from uncertain.checks import check_finite, check_not_empty, check_range, check_shape
from uncertain.evaluation.pit import as_arrays
from uncertain.families import ArrayDistribution
from uncertain.intervals import Estimate, check_level, mean

if TYPE_CHECKING:
    from torch.distributions import Distribution

Scores = NDArray[np.float64]
Blocks = NDArray[np.intp]

SIZE = 10
"""Rows of a block, as in the paper's benchmark."""
DRAWS = 200
_ELEMENTS = 1 << 22


def disjoint_blocks(rows: int, *, size: int = SIZE, seed: int = 0) -> Blocks:
    """Return a random partition of the rows into blocks, (rows // size, size); a rest is left out.

    Raises:
        ValueError: For fewer rows than a block has.

    Example:
        >>> disjoint_blocks(25, size=10).shape
        (2, 10)
    """
    check_range("size", size, 1)
    check_range("rows", rows, size, hint=f"a block has {size} rows")
    order = np.random.default_rng(seed).permutation(rows)
    return np.asarray(order[: rows // size * size].reshape(-1, size))


def dyadic_blocks(
    rows: int, *, size: int = SIZE, seed: int = 0, neighbours: ArrayLike | None = None
) -> Blocks:
    """Return blocks that are drawn around pairs of anchors, (rows // 2, size).

    Args:
        rows: N.
        size: Rows of a block, 2 or more.
        seed: Of the pairing and the draws.
        neighbours: (N, K) rows that are near each row, itself among them: drawn from instead of
            copies of the anchor. A block then holds different rows while K lasts.

    Raises:
        ValueError: Fewer than two rows, or neighbours that are no rows.

    Example:
        >>> block = dyadic_blocks(6, size=8)[0]
        >>> len(block), len(np.unique(block))
        (8, 2)
    """
    check_range("rows", rows, 2, hint="a block has two anchors")
    check_range("size", size, 2)
    rng = np.random.default_rng(seed)
    pairs = rng.permutation(rows)[: rows // 2 * 2].reshape(-1, 2)
    side = rng.integers(0, 2, (len(pairs), size))
    anchors = np.take_along_axis(pairs, side, axis=1)
    if neighbours is None:
        return np.asarray(anchors)
    near = np.asarray(neighbours)
    check_shape("neighbours", near, (rows, "K"), hint="row indices, K a row")
    check_range("neighbours", near, 0, rows - 1)
    # One order of the neighbours a block and side; the k-th draw of a side takes its k-th.
    order = np.argsort(rng.random((len(pairs), 2, near.shape[1])), axis=2)
    count = np.where(side == 1, np.cumsum(side, axis=1), np.cumsum(1 - side, axis=1)) - 1
    place = order[np.arange(len(pairs))[:, None], side, count % near.shape[1]]
    return np.asarray(near[anchors, place], dtype=np.intp)


def joint_log_likelihoods(
    log_likelihoods: ArrayLike, *, log_weights: ArrayLike | None = None
) -> Scores:
    r"""Return :math:`\log \sum_s w_s \prod_t p_s(y_t)` of each block, (B,).

    Args:
        log_likelihoods: (B, size, S): log p_s(y) of each row of each block under each member.
        log_weights: (S,) normalised; equal by default.

    Example:
        >>> coin = np.log([[[0.9, 0.1], [0.9, 0.1]]])          # two tosses, two members
        >>> round(float(np.exp(joint_log_likelihoods(coin)[0])), 3)       # not 0.25
        0.41
    """
    values = np.asarray(log_likelihoods, dtype=np.float64)
    check_shape("log_likelihoods", values, ("B", "size", "S"))
    if np.isnan(values).any():
        check_finite("log_likelihoods", np.where(np.isinf(values), 0, values))
    members = values.shape[2]
    weights = np.full(members, -np.log(members)) if log_weights is None else np.asarray(log_weights)
    check_shape("log_weights", weights, (members,), hint="one a member")
    return log_sum_exp(values.sum(axis=1) + weights)


def log_sum_exp(values: Scores) -> Scores:
    """Return log-sum-exp over the last axis; minus infinity where all are."""
    top = values.max(axis=-1, keepdims=True)
    safe = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.exp(values - safe).sum(axis=-1)) + safe[..., 0])


def block_scores(distribution: ArrayDistribution, target: ArrayLike, blocks: ArrayLike) -> Scores:
    """Return minus the joint log-likelihood of each block, (B,): nats, never clamped.

    Args:
        distribution: N predictions of S members that are the same functions for every row (classes
            or numbers); one without members takes its rows for independent.
        target: (N,) or (N, T), one target a row; or (B, size), one a row of each block.
        blocks: (B, size) row indices.

    Raises:
        TypeError: Member weights differ between rows, as a gate's do, so that members are no joint
            functions; or a family has no density.
        ValueError: Shapes differ, or a block holds what is no row.

    Example:
        >>> p = np.array([[[0.9, 0.1], [0.1, 0.9]]])
        >>> d = ArrayDistribution("categorical", {"probs": p}, np.array([[0.5, 0.5]]))
        >>> block_scores(d, np.array([0]), [[0, 0]]).round(3)       # 0.41, where twice one half is 0.25
        array([0.892])
    """
    rows = np.asarray(blocks)
    check_shape("blocks", rows, ("B", "size"))
    check_not_empty("blocks", rows)
    check_range("blocks", rows, 0, len(distribution) - 1)
    weights = _member_weights(distribution)
    y = np.asarray(target)
    own = y.shape == rows.shape and distribution.event_shape == ()
    if not own:
        expected: list[int | str] = [len(distribution), *distribution.event_shape]
        check_shape("target", y, expected, hint="one a row, or one a row of each block")
    width = rows.shape[1] * len(weights)
    block = max(1, _ELEMENTS // max(1, width))
    found = []
    for start in range(0, len(rows), block):
        chosen = rows[start : start + block]
        labels = y[start : start + block].ravel() if own else y[chosen.ravel()]
        part = families.select(distribution, chosen.ravel())
        each = np.stack([families.log_prob(member, labels) for member in _members(part)], axis=-1)
        found.append(joint_log_likelihoods(each.reshape(*chosen.shape, -1), log_weights=weights))
    return -np.concatenate(found)


def _member_weights(distribution: ArrayDistribution) -> Scores:
    if distribution.mixture_weights is None:
        return np.zeros(1)
    weights = np.asarray(distribution.mixture_weights, dtype=np.float64)
    if not np.allclose(weights, weights[0], atol=1e-6):
        raise TypeError(
            "Member weights differ between rows, so members are no joint functions of them: the "
            "joint distribution is not known."
        )
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(weights[0] / weights[0].sum()))


def _members(distribution: ArrayDistribution) -> list[ArrayDistribution]:
    if distribution.mixture_weights is None:
        return [distribution]
    shared = {p.name for p in distribution.form if p.shared}
    return [
        ArrayDistribution(
            distribution.family,
            {n: v if n in shared else v[:, s] for n, v in distribution.parameters.items()},
            None,
            distribution.event_ndim,
        )
        for s in range(distribution.mixture_weights.shape[1])
    ]


def gaussian_block_scores(
    loc: ArrayLike, covariance: ArrayLike, target: ArrayLike, blocks: ArrayLike
) -> Scores:
    """Return minus the joint log density of each block under one normal over all rows, (B,).

    For a Gaussian process: ``covariance`` is of y, noise included. A row may come once a block.

    Args:
        loc: (N,).
        covariance: (N, N), positive definite.
        target: (N,).
        blocks: (B, size), different rows in each.

    Raises:
        ValueError: Shapes differ, a block repeats a row, or a covariance is not positive definite.

    Example:
        >>> gaussian_block_scores([0.0, 0.0], np.eye(2), [0.0, 0.0], [[0, 1]]).round(4)
        array([1.8379])
    """
    mu, y = np.asarray(loc, dtype=np.float64), np.asarray(target, dtype=np.float64)
    cov, rows = np.asarray(covariance, dtype=np.float64), np.asarray(blocks)
    check_shape("loc", mu, ("N",))
    check_shape("covariance", cov, (len(mu), len(mu)))
    check_shape("target", y, (len(mu),))
    check_shape("blocks", rows, ("B", "size"))
    check_range("blocks", rows, 0, len(mu) - 1)
    if np.any(np.diff(np.sort(rows, axis=1), axis=1) == 0):
        raise ValueError(
            "`blocks` should hold a row once each, got repeated ones: one y has one value, whose "
            "density together with itself is infinite."
        )
    try:
        tril = np.linalg.cholesky(cov[rows[:, :, None], rows[:, None, :]])
    except np.linalg.LinAlgError as error:
        raise ValueError(
            "`covariance` should be positive definite, got one that is not."
        ) from error
    d = ArrayDistribution("multivariate_normal", {"loc": mu[rows], "scale_tril": np.tril(tril)})
    return -families.log_prob(d, y[rows])


def joint_nll(
    distribution: ArrayDistribution | Distribution,
    target: ArrayLike,
    blocks: ArrayLike | None = None,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Return the mean joint negative log-likelihood of a block, in nats, with Student's t interval.

    Args:
        distribution: See :func:`block_scores`; as arrays or of torch.
        target: (N,), (N, T), or (B, size).
        blocks: (B, size), from :func:`dyadic_blocks` or :func:`disjoint_blocks`; the latter by
            default, of ten rows.
        level: Nominal coverage.
        seed: Of the default blocks.

    Example:
        >>> p = np.full((40, 2, 2), 0.5)
        >>> d = ArrayDistribution("categorical", {"probs": p}, np.full((40, 2), 0.5))
        >>> round(joint_nll(d, np.arange(40) % 2).value, 3)                    # 10 log 2
        6.931
    """
    check_level(level)
    d = as_arrays(distribution)
    rows = disjoint_blocks(len(d), seed=seed) if blocks is None else blocks
    return mean(block_scores(d, target, rows), level=level)


def energy_scores(samples: ArrayLike, target: ArrayLike, *, fair: bool = True) -> Scores:
    r"""Return the energy score of each row, (N,): y's units, lower is better.

    .. math:: \frac1S \sum_s \|x_s - y\| - \frac{1}{2 D} \sum_{s, s'} \|x_s - x_{s'}\|

    with :math:`D = S (S - 1)` in the fair form, unbiased for the distribution that the samples come
    from, and :math:`S^2` where the samples *are* the prediction. For one target it is the CRPS.

    Args:
        samples: (N, S, T).
        target: (N, T).
        fair: Which form.

    Raises:
        ValueError: Shapes differ, NaN, or one sample for the fair form.

    Example:
        >>> energy_scores([[[0.0, 0.0], [0.0, 2.0]]], [[0.0, 1.0]], fair=False)
        array([0.5])
    """
    x, y = np.asarray(samples, dtype=np.float64), np.asarray(target, dtype=np.float64)
    check_shape("samples", x, ("N", "S", "T"))
    check_shape("target", y, (len(x), x.shape[2]), hint="T targets a row")
    check_finite("samples", x)
    check_finite("target", y)
    count = x.shape[1]
    check_range("the number of samples", count, 2 if fair else 1)
    near = np.linalg.norm(x - y[:, None], axis=-1).mean(axis=1)
    pairs = np.zeros(len(x))
    for s in range(count - 1):
        pairs += np.linalg.norm(x[:, s + 1 :] - x[:, s : s + 1], axis=-1).sum(axis=1)
    return np.asarray(near - pairs / (count * (count - 1) if fair else count**2))


def sampled_energy_scores(
    distribution: ArrayDistribution, target: ArrayLike, *, draws: int = DRAWS, seed: int = 0
) -> Scores:
    """Return fair energy scores of predictions of T targets, from draws of them, (N,).

    Unbiased whatever the number of draws; their noise is independent between rows, so that the
    interval of a mean over rows holds it.

    Raises:
        TypeError: For predictions of one target, or of a family that can't be sampled.

    Example:
        >>> tril = np.broadcast_to(np.eye(2), (5, 2, 2))
        >>> d = ArrayDistribution(
        ...     "multivariate_normal", {"loc": np.zeros((5, 2)), "scale_tril": tril})
        >>> sampled_energy_scores(d, np.zeros((5, 2))).shape
        (5,)
    """
    if len(distribution.event_shape) != 1:
        raise TypeError("The energy score is of several targets a row: of one it is the CRPS.")
    check_range("draws", draws, 2)
    y = np.asarray(target, dtype=np.float64)
    rng = np.random.default_rng([seed, 0x9E3779B9])
    block = max(1, _ELEMENTS // (draws * distribution.event_shape[0]))
    found = []
    for start in range(0, len(distribution), block):
        part = families.select(distribution, slice(start, start + block))
        x = np.swapaxes(families.sample(part, rng, draws), 0, 1)
        found.append(energy_scores(x, y[start : start + block]))
    return np.concatenate(found)
