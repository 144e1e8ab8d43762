r"""What happens to the parts when the model is trained anew: on fewer rows, or on noisier labels.

The same seed draws the same rows, so trainings on N and 2N rows share N of them, and the clean and
the noisy training of a seed differ in the noise alone.

Axis letters: ``N`` rows to ask about, ``M`` rows to train on, ``K`` seeds, ``J`` sizes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uncertain import checks
from uncertain.evaluation.disentanglement.parts import Parts, Predictor, parts_of

Train = Callable[[Any, Tensor, int], Predictor]
"""From training rows, their targets and a seed to a predictor."""
Region = Callable[[Any], NDArray[np.bool_]]
"""From rows to whether each lies where noise is injected."""
Progress = Callable[[int, int], None]
SMALLEST_SHARE = 16
"""The default sizes start at a sixteenth of the rows."""


@dataclass(frozen=True, eq=False)
class Retraining:
    """How to train the model anew, and on what.

    Attributes:
        train: From (x, y, seed) to a predictor.
        x: M training rows that integer arrays select from.
        y: (M,) class indices or numbers.
        sizes: Numbers of rows to train on, at least two; by default four from M / 16 to M.
        seeds: Of the trainings, at least two; they also draw the subsets and the noise.
        region: Where noise is injected; by default :func:`leading_third`.
        noise: Share of labels that are drawn anew in the region; for numbers, the standard
            deviation of what is added, in units of the targets' own.

    Raises:
        ValueError: Fewer than two sizes or seeds, a size out of range, lengths that differ.

    Example:
        >>> plan = Retraining(lambda x, y, seed: None, torch.zeros(160, 3), torch.arange(160) % 2)
        >>> plan.sizes, plan.trainings
        ((10, 25, 63, 160), 25)
    """

    train: Train
    x: Any
    y: Tensor
    sizes: Sequence[int] = ()
    seeds: Sequence[int] = (0, 1, 2, 3, 4)
    region: Region | None = None
    noise: float = 0.5

    def __post_init__(self) -> None:
        rows = checks.check_same_length(x=self.x, y=self.y)
        checks.check_range("noise", self.noise, 0, open_low=True)
        if self.is_classification:
            checks.check_range("noise", self.noise, high=1, hint="a share of the labels")
        elif not bool(torch.isfinite(self.y).all()):
            raise ValueError("`y` should be finite, got NaN or infinite targets.")
        sizes = tuple(self.sizes) or default_sizes(rows)
        for name, values in (("sizes", sizes), ("seeds", tuple(self.seeds))):
            if len(set(values)) < max(2, len(values)):
                raise ValueError(f"`{name}` should be at least two, all different, got {values}.")
        for size in sizes:
            checks.check_range("sizes", size, 2, rows)
        object.__setattr__(self, "sizes", tuple(sorted(sizes)))

    @property
    def is_classification(self) -> bool:
        """Whether the targets are class indices."""
        return not self.y.is_floating_point()

    @property
    def trainings(self) -> int:
        """How many trainings the tests take."""
        return len(self.seeds) * (len(self.sizes) + 1)


class Retrained(NamedTuple):
    """The parts, averaged over the rows asked about, of every training.

    Attributes:
        aleatoric: (K, J) by seed and size.
        epistemic: (K, J).
        inside: (K, 2, 2): clean or noisy training, aleatoric or epistemic; rows in the region.
        outside: The same of the other rows.
    """

    aleatoric: NDArray[np.float64]
    epistemic: NDArray[np.float64]
    inside: NDArray[np.float64]
    outside: NDArray[np.float64]


def default_sizes(rows: int) -> tuple[int, ...]:
    """Return four sizes in equal ratios, from a sixteenth of the rows to all.

    Example:
        >>> default_sizes(1600)
        (100, 252, 635, 1600)
    """
    smallest = max(2, rows // SMALLEST_SHARE)
    return tuple(sorted({round(s) for s in np.geomspace(smallest, rows, 4)}))


def leading_third(x: Any) -> Region:
    """Return the region of rows that lie in the top third along the first principal component.

    Args:
        x: M training rows; flattened, standardised column by column.

    Returns:
        A function from rows to booleans.

    Example:
        >>> region = leading_third(torch.arange(9.0)[:, None])
        >>> int(region(torch.arange(9.0)[:, None]).sum())
        3
    """
    rows = _flat(x)
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    scale[scale == 0] = 1.0
    standard = (rows - mean) / scale
    _, vectors = np.linalg.eigh(standard.T @ standard)
    direction = vectors[:, -1]
    direction *= np.sign(direction[np.abs(direction).argmax()])
    edge = np.quantile(standard @ direction, 2 / 3)

    def region(x: Any) -> NDArray[np.bool_]:
        return np.asarray((_flat(x) - mean) / scale @ direction > edge)

    return region


def retrain(plan: Retraining, x: Any, *, batch_size: int, progress: Progress | None) -> Retrained:
    """Train on every size and seed, and once more a seed on noisy labels; ask about the rows x."""
    region = plan.region or leading_third(plan.x)
    there, asked = _mask(region, plan.x, "x of the training"), _mask(region, x, "x")
    k, j = len(plan.seeds), len(plan.sizes)
    found = Retrained(np.empty((k, j)), np.empty((k, j)), np.empty((k, 2, 2)), np.empty((k, 2, 2)))
    done = 0

    def told() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, plan.trainings)

    for row, seed in enumerate(plan.seeds):
        order = np.random.default_rng(seed).permutation(len(plan.y))
        parts = Parts(np.empty(0), np.empty(0))
        for column, size in enumerate(plan.sizes):
            parts = _ask(plan, plan.y, order[:size], seed, x, batch_size)
            found.aleatoric[row, column] = parts.aleatoric.mean()
            found.epistemic[row, column] = parts.epistemic.mean()
            told()
        noisy = _ask(plan, _noisy(plan, there, seed), order[: plan.sizes[-1]], seed, x, batch_size)
        told()
        for side, rows in ((found.inside, asked), (found.outside, ~asked)):
            side[row] = [[part[rows].mean() for part in trained] for trained in (parts, noisy)]
    return found


def slopes(means: NDArray[np.float64], sizes: Sequence[int]) -> NDArray[np.float64]:
    """Return each seed's least-squares slope of log mean part against log size, (K,).

    Example:
        >>> slopes(np.array([[1.0, 0.5, 0.25]]), [10, 20, 40]).round(6)
        array([-1.])
    """
    at = np.log(np.asarray(sizes, np.float64))
    at -= at.mean()
    return np.asarray(np.log(means) @ at / (at @ at), dtype=np.float64)


def _ask(
    plan: Retraining, y: Tensor, rows: NDArray[np.intp], seed: int, x: Any, batch_size: int
) -> Parts:
    index = torch.from_numpy(np.sort(rows))
    predictor = plan.train(plan.x[index], y[index], seed)
    return parts_of(predictor, x, batch_size=batch_size)


def _noisy(plan: Retraining, there: NDArray[np.bool_], seed: int) -> Tensor:
    """Return the targets with noise where it is injected."""
    rng = np.random.default_rng([seed, 1])
    where = torch.from_numpy(there)
    if plan.is_classification:
        classes = int(plan.y.max()) + 1
        drawn = torch.from_numpy(rng.integers(0, classes, len(plan.y))).to(plan.y)
        redrawn = torch.from_numpy(rng.random(len(plan.y)) < plan.noise)
        return torch.where((where & redrawn).to(plan.y.device), drawn, plan.y)
    added = torch.from_numpy(rng.normal(size=tuple(plan.y.shape))).to(plan.y)
    spread = plan.noise * plan.y.std()
    inside = where.to(plan.y.device).reshape(-1, *[1] * (plan.y.ndim - 1))
    return torch.where(inside, plan.y + spread * added, plan.y)


def _mask(region: Region, x: Any, name: str) -> NDArray[np.bool_]:
    mask = np.asarray(region(x))
    checks.check_shape(f"region({name})", mask, (len(x),))
    if mask.dtype != np.bool_ or mask.all() or not mask.any():
        share = f"{np.count_nonzero(mask)} of {len(mask)} rows"
        raise ValueError(
            f"`region` should be true for some rows of {name} and false for others, got {share} of "
            f"dtype {mask.dtype}."
        )
    return mask


def _flat(x: Any) -> NDArray[np.float64]:
    rows = x if isinstance(x, Tensor) else torch.as_tensor(np.asarray(x))
    flat = rows.detach().double().cpu().reshape(len(rows), -1).numpy()
    return flat if math.prod(flat.shape) else flat.reshape(len(flat), 0)
