"""The tests themselves, gathered into one table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain import checks, intervals
from uncertain.evaluation.disentanglement import verdicts
from uncertain.evaluation.disentanglement.parts import Parts, Predictor, parts_of
from uncertain.evaluation.disentanglement.ratings import rating_entropy
from uncertain.evaluation.disentanglement.retraining import (
    Progress,
    Retrained,
    Retraining,
    retrain,
    slopes,
)
from uncertain.evaluation.results import Results, Row
from uncertain.intervals import Estimate, check_level, undefined


class _Tested(NamedTuple):
    metric: str
    variant: str
    estimate: Estimate
    verdict: str


def disentangle(
    predictor: Predictor,
    x: Any,
    *,
    retraining: Retraining | None = None,
    ratings: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    source: str = "model",
    task: str = "",
    level: float = 0.95,
    batch_size: int = 1024,
    progress: Progress | None = None,
) -> Results:
    r"""Test whether a model's aleatoric and epistemic parts are what they are called.

    - *Correlation.* Spearman's rank correlation of the two parts over the rows. Near 1, both rank
      rows alike and the split carries one number, not two.
    - *More rows* (``retraining``). The slope of log mean part against log N: ignorance falls (by
      about -1 for a variance, under a regular model), noise stays.
    - *Injected noise* (``retraining``). Labels are made noisy in a region; with :math:`\Delta` the
      change inside it from the clean to the noisy training of the same seed, the aleatoric part
      rises there, :math:`\Delta_e / (\Delta_a + \Delta_e)` is what is taken for ignorance, and the
      aleatoric change outside over the one inside is what spills over.
    - *Ratings*. Noise follows the entropy of several people's answers, and follows it better than
      ignorance does.

    Args:
        predictor: The model; its distribution must know its parts.
        x: N rows to ask it about.
        retraining: How to train it anew; without it two tests are left out.
        ratings: (N, C) how many people gave each answer for each row.
        groups: (N,) resampling unit of each row.
        source: The model's name in the table.
        task: The data set.
        level: Nominal coverage of the intervals: over rows for correlations, over trainings for the
            rest.
        batch_size: Rows a call.
        progress: Called with trainings done and their number.

    Returns:
        One row a figure; a failed test's ``reason`` starts with ``red:``.

    Raises:
        TypeError: The distribution does not know its parts.
        ValueError: Lengths differ, or as :class:`Retraining` and :func:`rating_entropy`.

    References:
        Mucsányi, Kirchhof, Oh, Benchmarking uncertainty disentanglement: specialized uncertainties
        for specialized tasks, NeurIPS (2024).
        de Jong, Sburlea, Valdenegro-Toro, How disentangled are your classification uncertainties?,
        arXiv 2408.12175 (2024).

    Example:
        Ignorance that is a fixed share of noise is no ignorance:

        >>> import torch
        >>> from uncertain.predictive import GaussianMarginal
        >>> table = disentangle(lambda x: GaussianMarginal(x, 0.1 * x.exp(), x.exp()),
        ...                     torch.linspace(0, 1, 50))
        >>> table.rows[0].value, table.rows[0].reason[:4]
        (1.0, 'red:')
    """
    check_level(level)
    checks.check_not_empty("x", x)
    checks.check_same_length(x=x, ratings=ratings, groups=groups)
    entropy = None if ratings is None else rating_entropy(ratings)
    parts = parts_of(predictor, x, batch_size=batch_size)
    found = [*_of_correlation(parts, groups, level)]
    if entropy is not None:
        found += _of_ratings(parts, entropy, groups, level)
    if retraining is not None:
        trained = retrain(retraining, x, batch_size=batch_size, progress=progress)
        found += _of_sizes(trained, retraining, level)
        found += _of_noise(trained, level)
    rows = [
        Row.from_estimate(
            test.metric,
            test.estimate._replace(
                p_value=None, reason="; ".join(filter(None, (test.verdict, test.estimate.reason)))
            ),
            source=source,
            variant=test.variant,
            task=task,
        )
        for test in found
    ]
    return Results.create(rows)


def _of_correlation(parts: Parts, groups: ArrayLike | None, level: float) -> Iterator[_Tested]:
    estimate = intervals.rank_correlation(
        parts.aleatoric, parts.epistemic, groups=groups, level=level
    )
    yield _Tested("parts_correlation", "spearman", estimate, verdicts.correlation(estimate))


def _of_ratings(
    parts: Parts, entropy: NDArray[np.float64], groups: ArrayLike | None, level: float
) -> Iterator[_Tested]:
    noise = intervals.rank_correlation(parts.aleatoric, entropy, groups=groups, level=level)
    ignorance = intervals.rank_correlation(parts.epistemic, entropy, groups=groups, level=level)
    gain = intervals.rank_correlation_difference(
        parts.aleatoric, parts.epistemic, entropy, groups=groups, level=level
    )
    yield _Tested("rating_correlation", "aleatoric", noise, verdicts.ratings(noise))
    yield _Tested("rating_correlation", "epistemic", ignorance, "")
    yield _Tested("rating_correlation_gain", "spearman", gain, verdicts.ratings_gain(gain))


def _of_sizes(trained: Retrained, plan: Retraining, level: float) -> Iterator[_Tested]:
    variant = f"N={plan.sizes[0]}..{plan.sizes[-1]}"
    epistemic = _slope(trained.epistemic, plan, level)
    aleatoric = _slope(trained.aleatoric, plan, level)
    yield _Tested("epistemic_slope", variant, epistemic, verdicts.epistemic_slope(epistemic))
    verdict = verdicts.aleatoric_slope(aleatoric, epistemic)
    yield _Tested("aleatoric_slope", variant, aleatoric, verdict)


def _slope(means: NDArray[np.float64], plan: Retraining, level: float) -> Estimate:
    if not (means > 0).all():
        return undefined("a mean part is 0", n=len(means), level=level, over="trainings")
    return _over_seeds(slopes(means, plan.sizes), level)


def _of_noise(trained: Retrained, level: float) -> Iterator[_Tested]:
    inside = trained.inside[:, 1] - trained.inside[:, 0]
    outside = trained.outside[:, 1] - trained.outside[:, 0]
    rise = _over_seeds(inside[:, 0], level)
    yield _Tested("noise_aleatoric_rise", "inside", rise, verdicts.noise_noticed(rise))
    share = _over_seeds_ratio(inside[:, 1], inside.sum(axis=1), level)
    verdict = verdicts.share(share, "is taken for ignorance")
    yield _Tested("noise_epistemic_share", "inside", share, verdict)
    spill = _over_seeds_ratio(outside[:, 0], inside[:, 0], level)
    verdict = verdicts.share(spill, "turns up where none was injected")
    yield _Tested("noise_spill", "outside", spill, verdict)


def _over_seeds(values: NDArray[np.float64], level: float) -> Estimate:
    return intervals.mean(values, level=level)._replace(over="trainings")


def _over_seeds_ratio(
    part: NDArray[np.float64], whole: NDArray[np.float64], level: float
) -> Estimate:
    """Return the mean of each seed's ratio; undefined where the noise went unnoticed."""
    if not (whole > 0).all():
        reason = f"the injected noise raised nothing in {int((whole <= 0).sum())} trainings"
        return undefined(reason, n=len(part), level=level, over="trainings")
    return _over_seeds(part / whole, level)
