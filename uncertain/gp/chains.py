"""Markov chains by Pyro's No-U-Turn sampler over a flat vector, and how well they have mixed.

``K`` chains, ``S`` draws of each, ``P`` numbers of the vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from uncertain.predictive import import_quietly
from uncertain.terminal import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)


class Chains(NamedTuple):
    """Draws, and how their chains went.

    Attributes:
        draws: (K, S, P).
        divergences: How many transitions after the warm-up left the sampler's path.
    """

    draws: Float[Tensor, "K S P"]
    divergences: int


def run(
    potential: Callable[[Tensor], Tensor],
    starts: Float[Tensor, "K P"],
    *,
    draws: int,
    warmup: int,
    seed: int,
    acceptance: float = 0.8,
    depth: int = 8,
    progress: bool = False,
) -> Chains:
    """Draw from the density ``exp(-potential)`` by one chain after another.

    The random state of the process is left as it was.

    Args:
        potential: From (P,) to minus the log density, up to a constant; differentiable.
        starts: Where each chain starts.
        draws: S, kept of each chain.
        warmup: Draws before, during which step size and scales are found.
        seed: Of the chains.
        acceptance: What the step size aims for.
        depth: Most doublings of a path: 2 to that power gradients.
        progress: Whether to show a bar.
    """
    infer = import_quietly("pyro.infer")
    found, diverged = [], 0
    bar = Progress(
        TextColumn("chain {task.fields[chain]}, {task.fields[stage]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        disable=not progress,
    )
    with bar, torch.random.fork_rng(devices=[]):
        for place, start in enumerate(starts):
            torch.manual_seed(seed + 7919 * place)
            task = bar.add_task("", total=warmup + draws, chain=place + 1, stage="warm-up")

            def advance(kernel: Any, state: Any, stage: str, step: int, task: Any = task) -> None:
                bar.update(task, advance=1, stage=stage.lower())

            kernel = infer.NUTS(
                potential_fn=lambda state: potential(state["flat"]),
                target_accept_prob=acceptance,
                max_tree_depth=depth,
            )
            chain = infer.MCMC(
                kernel,
                num_samples=draws,
                warmup_steps=warmup,
                initial_params={"flat": start},
                hook_fn=advance,
                disable_progbar=True,
            )
            chain.run()
            found.append(chain.get_samples()["flat"])
            diverged += sum(len(steps) for steps in chain.diagnostics()["divergences"].values())
    return Chains(torch.stack(found), diverged)


class Mixing(NamedTuple):
    """How well chains have mixed, by quantity.

    Attributes:
        r_hat: The ratio of spreads over all chains and within halves of them; near 1 where all have
            found the same. Of the worst entry of a quantity.
        effective: How many independent draws all chains together are worth, for the worst entry.
    """

    r_hat: dict[str, float]
    effective: dict[str, float]


def mixing(quantities: Mapping[str, Float[Tensor, "K S *any"]]) -> Mixing:
    """Return the diagnostics of each quantity.

    Entries that never move have mixed: an r-hat of 1, and all draws.

    Args:
        quantities: By name, (K, S, ...).

    References:
        A. Gelman et al., "Bayesian data analysis", 2013, section 11.4.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> good = torch.randn(2, 500, generator=g)
        >>> found = mixing({"good": good, "bad": good + torch.tensor([[0.0], [3.0]])})
        >>> found.r_hat["good"] < 1.02, found.r_hat["bad"] > 1.5
        (True, True)
    """
    stats = import_quietly("pyro.ops.stats")
    r_hat, effective = {}, {}
    for name, values in quantities.items():
        flat = values.double().flatten(2) if values.ndim > 2 else values.double()[..., None]
        moving = flat.flatten(0, 1).std(0) > 0
        total = flat.shape[0] * flat.shape[1]
        if not bool(moving.any()) or flat.shape[1] < 4:
            r_hat[name], effective[name] = (1.0 if flat.shape[1] >= 4 else torch.nan), float(total)
            continue
        flat = flat[..., moving]
        r_hat[name] = float(stats.split_gelman_rubin(flat, chain_dim=0, sample_dim=1).max())
        worth = stats.effective_sample_size(flat, chain_dim=0, sample_dim=1).min()
        effective[name] = min(float(worth), float(total))
    return Mixing(r_hat, effective)
