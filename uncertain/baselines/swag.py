"""A Gaussian over weights, read off the path of stochastic gradient descent.

``P`` parameters, ``K`` deviations, ``S`` members.
"""

from __future__ import annotations

import copy
import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import MixtureSameFamily

from uncertain import checks
from uncertain.fit import Callback, Hooks, Run, fit
from uncertain.predictive import mixture


class SWAG(nn.Module):
    r"""The mixture of one predictor under S fixed draws of its weights.

    .. math:: \theta_s = \bar\theta + \tfrac{1}{\sqrt 2} \Sigma^{1/2} z_s
              + \tfrac{1}{\sqrt{2 (K - 1)}} D^\top z'_s

    with :math:`\bar\theta` and the diagonal :math:`\Sigma` the mean and variance of the iterates
    that :meth:`collect` saw, and D the last K deviations from their running mean. The spread is that
    of the path at its learning rate: a rate too small gives an ensemble of one, one too large leaves
    the basin; it is chosen on validation rows. Layers with running statistics (batch normalisation)
    are refused: their statistics are not those of the drawn weights.

    Made by :func:`swag`, which trains on and collects.

    Args:
        predictor: The predictor; its own weights are where collecting goes on from.
        rank: K, how many deviations are kept, at least 2.
        members: S.
        seed: Of the draws.

    Raises:
        ValueError: For a rank or number of members out of range.
        TypeError: For a predictor with batch normalisation.

    References:
        W. Maddox et al., "A simple baseline for Bayesian uncertainty in deep learning", 2019,
        algorithm 1 and equation 1.

    Example:
        >>> from uncertain.baselines import Softmax
        >>> model = SWAG(Softmax(nn.Linear(3, 2)), rank=2, members=4)
        >>> for _ in range(3):
        ...     model.collect()
        >>> model(torch.zeros(5, 3)).component_distribution.batch_shape
        torch.Size([5, 4])
    """

    mean: Tensor
    squares: Tensor
    deviations: Tensor
    collected: Tensor

    def __init__(
        self, predictor: nn.Module, *, rank: int = 20, members: int = 20, seed: int = 0
    ) -> None:
        super().__init__()
        checks.check_range("rank", rank, 2)
        checks.check_range("members", members, 1)
        if any(isinstance(m, nn.modules.batchnorm._NormBase) for m in predictor.modules()):
            raise TypeError(
                "`predictor` should have no batch normalisation, got some: its running statistics "
                "would not be those of the drawn weights."
            )
        self.predictor = predictor
        self.rank, self.members, self.seed = rank, members, seed
        flat = self._flat()
        self.register_buffer("mean", torch.zeros_like(flat))
        self.register_buffer("squares", torch.zeros_like(flat))
        self.register_buffer("deviations", flat.new_zeros(rank, len(flat)))
        self.register_buffer("collected", torch.tensor(0))

    @torch.no_grad()
    def collect(self) -> None:
        """Take the predictor's present weights into the mean, the variance and the deviations."""
        flat = self._flat()
        before = flat - self.mean
        self.mean += before / (self.collected + 1)
        self.squares += before * (flat - self.mean)
        self.deviations[int(self.collected) % self.rank] = flat - self.mean
        self.collected += 1

    def forward(self, x: Any) -> MixtureSameFamily:
        """Return the mixture of all draws for each row.

        Raises:
            RuntimeError: Where fewer than two iterates were collected.
        """
        if int(self.collected) < 2:
            raise RuntimeError(
                f"SWAG has collected {int(self.collected)} iterates: call `collect` at least twice."
            )
        outputs = [
            torch.func.functional_call(self.predictor, self._named(self.draw(member)), (x,))
            for member in range(self.members)
        ]
        return mixture(outputs)

    def draw(self, member: int) -> Tensor:
        """Return the weights (P,) of one member; the same for every call and device.

        Args:
            member: From 0 to S - 1.
        """
        kept = min(int(self.collected), self.rank)
        generator = torch.Generator().manual_seed(self.seed * self.members + member)
        noise = torch.randn(len(self.mean) + kept, generator=generator, dtype=torch.float64)
        noise = noise.to(self.mean)
        variance = (self.squares / self.collected).clamp(min=0)
        diagonal = variance.sqrt() * noise[: len(self.mean)]
        low_rank: Tensor = noise[len(self.mean) :] @ self.deviations[:kept]
        spread: Tensor = diagonal / 2**0.5 + low_rank / (2 * (kept - 1)) ** 0.5
        return self.mean + spread

    def _flat(self) -> Tensor:
        return torch.cat([p.detach().reshape(-1) for p in self.predictor.parameters()])

    def _named(self, flat: Tensor) -> dict[str, Tensor]:
        names, shapes = zip(
            *((n, p.shape) for n, p in self.predictor.named_parameters()), strict=True
        )
        parts = flat.split([shape.numel() for shape in shapes])
        return {n: v.view(s) for n, v, s in zip(names, parts, shapes, strict=True)}


def swag(
    predictor: nn.Module,
    data: Any,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    iterates: int = 20,
    members: int = 20,
    seed: int = 0,
    callbacks: tuple[Callback, ...] = (),
) -> SWAG:
    """Train a copy of a trained predictor on by SGD at a constant rate, and collect its iterates.

    Args:
        predictor: A trained predictor with an ``objective``, or whose likelihood is the objective;
            it is left as it is.
        data: ``(x, y)`` or ``(x, y, weight)``, as for :func:`uncertain.fit.fit`.
        steps: Of SGD, at least ``iterates``.
        batch_size: Rows a step.
        learning_rate: Constant, above 0; momentum is 0.9.
        iterates: How many are collected, evenly over the steps, at least 2; as many deviations are
            kept.
        members: S, how many draws predict.
        seed: Of the batches and of the draws.
        callbacks: More callbacks of the training.

    Returns:
        The predictor.

    Raises:
        ValueError: For numbers out of range.

    Example:
        >>> from uncertain.baselines import Softmax
        >>> x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
        >>> y = (x[:, 0] > 0).long()
        >>> start = Softmax(nn.Linear(2, 2))
        >>> model = swag(start, (x, y), steps=40, batch_size=8, learning_rate=0.1, iterates=5)
        >>> int(model.collected)
        5
    """
    checks.check_range("iterates", iterates, 2)
    checks.check_range("steps", steps, iterates, hint="one iterate a step at most")
    checks.check_range("learning_rate", learning_rate, 0, open_low=True)
    model = SWAG(copy.deepcopy(predictor), rank=iterates, members=members, seed=seed)

    def collecting(run: Run) -> Hooks:
        def after() -> None:
            # Iterate k is taken after step ceil(k steps / iterates).
            if run.step * iterates // steps > (run.step - 1) * iterates // steps:
                model.collect()

        return Hooks(step=after)

    fit(
        model.predictor,
        data,
        optimizer=functools.partial(torch.optim.SGD, lr=learning_rate, momentum=0.9),
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        callbacks=(*callbacks, collecting),
    )
    return model
