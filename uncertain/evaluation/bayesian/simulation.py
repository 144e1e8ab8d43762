r"""Simulation-based calibration: whether a sampler draws from the posterior it says.

Draw parameters from the prior and data from the parameters; then the parameters are one more draw
from the posterior of these data. So the rank of each among L posterior draws is uniform on
0, ..., L, whatever the model, if and only if the draws are right in that respect. A rank histogram
like a U is a posterior too narrow, a hump too wide, a slope one that is shifted.

Autocorrelated chains have ranks too far out: L draws, evenly spaced, are kept of each chain, and
simulations whose chain has fewer effective draws than half of these are counted and told.

References:
    Talts, Betancourt, Simpson, Vehtari and Gelman, Validating Bayesian inference algorithms with
    simulation-based calibration (2018).
    Modrák, Moon, Kim, Bürkner, Huurre, Faltejsková, Gelman and Vehtari, Simulation-based calibration
    checking for Bayesian computation: the choice of test quantities shapes sensitivity, Bayesian
    Analysis (2023).
    Geyer, Practical Markov chain Monte Carlo, Statistical Science (1992).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uncertain.checks import check_finite, check_range
from uncertain.evaluation.bayesian.ranks import RankTest, uniform_rank_test
from uncertain.intervals import check_level, holm

Rng = np.random.Generator
Draws = ArrayLike | Mapping[str, ArrayLike]


@dataclass(frozen=True, eq=False)
class SimulationCalibration:
    """What simulation-based calibration found.

    Attributes:
        ranks: Rank of the true value among the kept draws, (R,), by parameter.
        draws: L, the kept draws of each posterior.
        tests: The test of each parameter's ranks, with its bands.
        p_values: Their p-values, Holm's over the parameters.
        level: Of the bands and of :attr:`passes`.
        short: Simulations whose chains had fewer effective draws than half of those kept: ranks may
            be too far out there.
    """

    ranks: Mapping[str, NDArray[np.int64]]
    draws: int
    tests: Mapping[str, RankTest]
    p_values: Mapping[str, float]
    level: float
    short: int

    @property
    def passes(self) -> bool:
        """Whether no parameter's ranks leave uniformity, at ``level`` for all together."""
        return all(p > 1 - self.level for p in self.p_values.values())

    def __str__(self) -> str:
        count = len(next(iter(self.ranks.values())))
        lines = [f"{count} simulations, ranks among {self.draws} draws"]
        lines += [f"{name}: p = {p:.3g} (Holm)" for name, p in self.p_values.items()]
        if self.short:
            lines.append(
                f"{self.short} simulations have fewer effective draws than half of those kept: run "
                "longer chains, or keep fewer"
            )
        return "\n".join(lines)


def simulation_based_calibration(
    prior_draw: Callable[[Rng], Draws],
    simulate: Callable[[Any, Rng], Any],
    posterior_draws: Callable[[Any, Rng], Draws],
    *,
    simulations: int = 100,
    draws: int = 99,
    quantities: Callable[[Any, Any], Mapping[str, float]] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> SimulationCalibration:
    """Run simulation-based calibration.

    Each simulation has a generator of its own, from ``seed`` and its number: more simulations leave
    the first ones as they are. Samplers of torch are seeded by ``int(rng.integers(2**63))``.

    Args:
        prior_draw: rng -> one draw of the parameters: an array, or arrays by name.
        simulate: (parameters, rng) -> data, of any kind.
        posterior_draws: (data, rng) -> draws like the parameters with an axis S in front, of one
            chain in its order, warm-up left out.
        simulations: R, at least 10.
        draws: L, how many of the S draws are kept, evenly spaced; L + 1 = 100 makes round bins.
        quantities: (parameters, data) -> more quantities by name, ranked as the parameters are: the
            log-likelihood sees mistakes that no parameter alone shows (Modrák et al. 2023).
        level: Of the simultaneous bands.
        seed: Of everything.

    Returns:
        Ranks, tests and bands of every scalar parameter (``theta[0]``, ...) and quantity.

    Raises:
        ValueError: Fewer draws than are kept, names or shapes of draws that differ from the
            parameters', NaN.

    Example:
        >>> def posterior(y, rng):
        ...     return rng.normal(y.sum() / 6, 1 / np.sqrt(6), 99)     # of a mean, prior N(0, 1)
        >>> found = simulation_based_calibration(
        ...     lambda rng: rng.normal(), lambda mean, rng: rng.normal(mean, 1, 5), posterior
        ... )
        >>> found.passes
        True
    """
    check_level(level)
    check_range("simulations", simulations, 10)
    check_range("draws", draws, 1)
    found: dict[str, list[int]] = {}
    short = 0
    for r in range(simulations):
        rng = np.random.default_rng([seed, r])
        parameters = prior_draw(rng)
        data = simulate(parameters, rng)
        posterior = posterior_draws(data, rng)
        true, chain = _aligned(_named(parameters), _named(posterior), draws)
        # Half, because the estimate itself is noisy where a chain is hardly longer than that.
        short += _effective_draws(chain) < draws / 2
        kept = _kept(len(next(iter(chain.values()))), draws)
        chain = {name: values[kept] for name, values in chain.items()}
        if quantities is not None:
            more = _quantities(quantities, data, parameters, posterior, kept)
            true |= {name: values[:1] for name, values in more.items()}
            chain |= {name: values[1:, None] for name, values in more.items()}
        for name, rank in _ranks(true, chain, rng).items():
            found.setdefault(name, []).append(rank)
    ranks = {name: np.asarray(values, dtype=np.int64) for name, values in found.items()}
    tests = {n: uniform_rank_test(v, draws, level=level, seed=seed) for n, v in ranks.items()}
    adjusted = holm([test.p_value for test in tests.values()])
    p_values = dict(zip(tests, map(float, adjusted), strict=True))
    return SimulationCalibration(ranks, draws, tests, p_values, level, int(short))


def _named(values: Draws) -> dict[str, NDArray[Any]]:
    if isinstance(values, Mapping):
        return {str(name): np.asarray(value) for name, value in values.items()}
    return {"theta": np.asarray(values)}


def _aligned(
    true: dict[str, NDArray[Any]], posterior: dict[str, NDArray[Any]], draws: int
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Return parameters (K,) and draws (S, K) by name, checked against each other."""
    if true.keys() != posterior.keys():
        raise ValueError(
            f"`posterior_draws` should give the parameters {', '.join(true)}, got "
            f"{', '.join(posterior)}."
        )
    for name, value in true.items():
        check_finite(f"prior_draw {name}", value)
        check_finite(f"posterior_draws {name}", posterior[name])
        if posterior[name].shape[1:] != value.shape:
            raise ValueError(
                f"`posterior_draws` should give {name} with shape (S, {str(value.shape)[1:]}, got "
                f"{posterior[name].shape}."
            )
        if len(posterior[name]) < draws:
            raise ValueError(
                f"`posterior_draws` should give at least the {draws} draws that are kept, got "
                f"{len(posterior[name])} of {name}: draw more, or lower `draws`."
            )
    flat = {name: value.reshape(-1) for name, value in true.items()}
    return flat, {name: v.reshape(len(v), -1) for name, v in posterior.items()}


def _kept(count: int, draws: int) -> NDArray[np.intp]:
    """Return the places of evenly spaced draws."""
    return np.asarray(((np.arange(draws) + 0.5) * count / draws).astype(np.intp))


def _ranks(
    true: Mapping[str, NDArray[Any]], chain: Mapping[str, NDArray[Any]], rng: Rng
) -> dict[str, int]:
    """Return each scalar's rank, ties (discrete parameters) broken at random."""
    found: dict[str, int] = {}
    for name, value in true.items():
        for k, single in enumerate(value):
            below = int((chain[name][:, k] < single).sum())
            ties = int((chain[name][:, k] == single).sum())
            full = name if len(value) == 1 else f"{name}[{k}]"
            found[full] = below + (int(rng.integers(0, ties + 1)) if ties else 0)
    return found


def _quantities(
    quantities: Callable[[Any, Any], Mapping[str, float]],
    data: Any,
    parameters: Draws,
    posterior: Draws,
    kept: NDArray[np.intp],
) -> dict[str, NDArray[np.float64]]:
    """Return each quantity of the true parameters, then of the kept draws, (1 + L,)."""

    def at(place: int) -> Any:
        if isinstance(posterior, Mapping):
            return {name: np.asarray(value)[place] for name, value in posterior.items()}
        return np.asarray(posterior)[place]

    rows = [quantities(parameters, data), *(quantities(at(int(s)), data) for s in kept)]
    found = {name: np.asarray([row[name] for row in rows], dtype=np.float64) for name in rows[0]}
    for name, values in found.items():
        check_finite(f"quantities {name}", values)
    return found


def _effective_draws(chain: Mapping[str, NDArray[Any]]) -> float:
    """Return the fewest effective draws of a chain's parameters (Geyer's initial positive sums).

    Chains that are constant say nothing of their autocorrelation and count in full.
    """
    return min(
        effective_draws(column)
        for values in chain.values()
        for column in np.asarray(values, dtype=np.float64).T
    )


def effective_draws(chain: ArrayLike) -> float:
    """Return how many independent draws a chain's mean is worth, at most its length.

    Example:
        >>> x = np.random.default_rng(0).normal(size=1000)
        >>> effective_draws(np.repeat(x, 4)) < 1300 < 3500 < effective_draws(
        ...     np.random.default_rng(1).normal(size=4000))
        True
    """
    x = np.asarray(chain, dtype=np.float64)
    n = len(x)
    x = x - x.mean()
    power = np.fft.rfft(x, 2 * n)
    covariance = np.fft.irfft(power * power.conj())[:n] / n
    if n < 4 or covariance[0] <= 0:
        return float(n)
    rho = covariance / covariance[0]
    pairs = rho[0 : n // 2 * 2 : 2] + rho[1 : n // 2 * 2 : 2]
    end = int(np.argmax(pairs < 0)) if (pairs < 0).any() else len(pairs)
    return n / max(1.0, 2 * float(np.minimum.accumulate(pairs[:end]).sum()) - 1)
