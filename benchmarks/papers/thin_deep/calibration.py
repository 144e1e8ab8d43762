r"""Is the posterior what the model says it is? Simulation-based calibration of chain and variational fit.

A replication draws hyper-parameters, bent rows, f and y from the model's own prior at fixed inputs (one
latent row). If draws come from the posterior, the rank of the true noise, and of the true f at two rows
to predict, among them is uniform. The No-U-Turn sampler's ranks are tested at 5 %. The variational fit
starts at the same prior and finds hyper-parameters of highest density; its f has ranks too, and its
noise none, since it is a point: that is the first way in which it is too narrow. The others are numbers:
the ratio of its deviation of f to the chain's, and how much more often than a tenth of the time the
truth lies in the outer tenth of its draws.

Where the chain has not mixed (r-hat above 1.1), the replication is counted, and kept.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor
from torch.distributions import Normal

from uncertain import atomic, gp
from uncertain.evaluation.bayesian import uniform_rank_test
from uncertain.gp import latent_rows
from uncertain.gp.latent_rows import LATENT
from uncertain.intervals import holm

ROWS, INPUTS, RANKED = 12, 1, 19
_ASKED, _JITTER, _MIXED = 2, 1e-8, 1.1
_OUTER = 0.1
QUANTITIES = ("noise", *(f"f[{place}]" for place in range(_ASKED)))
PRIORS = {
    "log_noise": Normal(math.log(0.05), 0.7),
    "log_amplitude": Normal(0.0, 0.5),
    "hidden.log_variance": Normal(0.0, 0.5),
    "hidden.log_lengthscale": Normal(0.0, 0.3),
}


class Truth(NamedTuple):
    """A draw of everything.

    Attributes:
        x: (N, D), the rows to learn from.
        asked: (2, D), the rows to predict.
        y: (N,).
        f: (2,), at the rows to predict.
        log_noise: The logarithm of the noise variance.
    """

    x: Tensor
    asked: Tensor
    y: Tensor
    f: Tensor
    log_noise: float


def drawn(rows: int, seed: int) -> Truth:
    """Return a draw from the prior; the inputs are the same for every seed."""
    fixed = torch.Generator().manual_seed(1)
    places = torch.randn(rows + _ASKED, INPUTS, generator=fixed, dtype=torch.float64)
    g = torch.Generator().manual_seed(1000 + seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g, dtype=torch.float64)

    shapes: Mapping[str, tuple[int, ...]] = {
        "log_noise": (),
        "log_amplitude": (),
        "hidden.log_variance": (1,),
        "hidden.log_lengthscale": (1, INPUTS),
    }
    made = {name: PRIORS[name].loc + PRIORS[name].scale * normal(*s) for name, s in shapes.items()}
    made[LATENT] = normal(1, len(places))
    given = latent_rows.from_names(made)
    h = latent_rows.hidden_rows(places, None, given, bias=False)
    eye = torch.eye(len(places)).double()
    clean = latent_rows.covariance_of_targets(h, given) - given.noise * eye
    f = torch.linalg.cholesky(clean + _JITTER * eye) @ normal(len(places))
    y = f[:rows] + given.noise.sqrt() * normal(rows)
    return Truth(places[:rows], places[rows:], y, f[rows:], float(given.noise.log()))


def model_of(truth: Truth, seed: int) -> gp.ThinDeepGP:
    """Return the model with an inducing point of W, and one of f, at every row, and no scaling.

    Standardising by the data would make the prior depend on them.
    """
    hidden = gp.Deformation(truth.x, latent_dim=1, lengthscale=1.0)
    with torch.no_grad():
        hidden.mean.copy_(hidden.responses(truth.x)[0].sum(1)[None, :, None] / len(truth.x))
    points = hidden(truth.x)[0].detach()
    return gp.ThinDeepGP(hidden, points, rows=len(truth.x), noise=0.05, members=128, seed=seed)


def functions(model: Any, x: Tensor, seed: int, count: int) -> Tensor:
    """Return joint draws of f, one a member: (S, P)."""
    with torch.no_grad():
        settings = {"members": count} if isinstance(model, gp.ThinDeepGP) else {}
        each = model.joint_functions(x, **settings)
    g = torch.Generator().manual_seed(seed)
    noise = torch.randn(each.loc.shape, generator=g, dtype=torch.float64)
    value: Tensor = each.loc + (each.scale_tril @ noise[..., None])[..., 0]
    return value


def ranks(true: Tensor, draws: Tensor) -> list[int]:
    """Return the rank of each number among evenly spaced draws (S, P)."""
    kept = draws[torch.linspace(0, len(draws) - 1, RANKED).round().long()]
    return [int(value) for value in (kept < true).sum(0)]


def replication(rows: int, seed: int, *, draws: int, warmup: int, steps: int) -> dict[str, Any]:
    """Draw, fit both ways, and return ranks, deviations and diagnostics."""
    truth = drawn(rows, seed)
    data, started = (truth.x, truth.y), time.process_time()
    variational = model_of(truth, seed)
    gp.fit(variational, data, plan=[gp.Phase(steps, rate=0.03)], priors=PRIORS, seed=seed)
    fitted = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chain = gp.sample_posterior(
            variational,
            data,
            draws=draws,
            warmup=warmup,
            chains=1,
            members=draws,
            priors=PRIORS,
            max_r_hat=None,
            seed=seed,
        )
    ended = time.process_time()
    sampled = functions(chain.model, truth.asked, seed, 0)
    noise = chain.model.parameters_drawn.noise.log()
    narrow = functions(variational, truth.asked, seed, 8 * RANKED)
    return {
        "chain": [
            *ranks(torch.tensor([truth.log_noise]), noise[:, None]),
            *ranks(truth.f, sampled),
        ],
        "variational": ranks(truth.f, narrow),
        "deviations": [float(noise.std()), *sampled.std(0).tolist()],
        "variational_deviations": narrow.std(0).tolist(),
        "r_hat": max(chain.r_hat.values()),
        "effective": min(chain.effective[name] for name in ("log_noise", "f")),
        "divergences": chain.divergences,
        "seconds_fit": fitted - started,
        "seconds_chain": ended - fitted,
    }


def dispersion(found: np.ndarray[Any, Any]) -> float:
    """Return the variance of ranks over that of uniform ones: above 1 the posterior is too narrow."""
    uniform = ((RANKED + 1) ** 2 - 1) / 12
    return float(np.mean((found - RANKED / 2) ** 2) / uniform)


def summary(replications: list[dict[str, Any]]) -> dict[str, float]:
    """Return tests, dispersions and ratios over all replications."""
    chain = np.array([each["chain"] for each in replications])
    narrow = np.array([each["variational"] for each in replications])
    tests = [uniform_rank_test(column, RANKED).p_value for column in chain.T]
    flat = dict(zip([f"p_{name}" for name in QUANTITIES], map(float, holm(tests)), strict=True))
    flat["passes"] = float(min(flat.values()) > 0.05)
    flat["p_variational_f"] = min(
        1.0, _ASKED * min(uniform_rank_test(column, RANKED).p_value for column in narrow.T)
    )
    for name, found in (
        ("chain_noise", chain[:, :1]),
        ("chain_f", chain[:, 1:]),
        ("variational_f", narrow),
    ):
        flat[f"dispersion_{name}"] = dispersion(found)
    ends = (narrow < _OUTER / 2 * (RANKED + 1)) | (narrow >= (1 - _OUTER / 2) * (RANKED + 1))
    flat["outer_tenth_variational_f"] = float(ends.mean())
    deviations = np.array([each["deviations"] for each in replications])
    own = np.array([each["variational_deviations"] for each in replications])
    flat["deviation_ratio_f"] = float(np.exp(np.log(own / deviations[:, 1:]).mean()))
    flat["deviation_ratio_log_noise"] = 0.0
    flat["deviation_chain_log_noise"] = float(np.median(deviations[:, 0]))
    flat["replications"] = len(replications)
    flat["not_mixed"] = sum(each["r_hat"] > _MIXED for each in replications)
    flat["divergences"] = sum(each["divergences"] for each in replications)
    for name in ("effective", "seconds_fit", "seconds_chain"):
        flat[f"median_{name}"] = float(np.median([each[name] for each in replications]))
    return flat


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this question."""
    parser.add_argument("--replications", type=int, default=100)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--draws", type=int, default=150, help="after the warm-up")
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--steps", type=int, default=200, help="of Adam, for the variational fit")


def run(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Make the replications that are not in the folder yet, show all, and return the figures."""
    count, settings = (
        options.replications,
        (options.rows, options.draws, options.warmup, options.steps),
    )
    if options.quick:
        count, settings = 2, (6, 20, 20, 20)
    rows, draws, warmup, steps = settings
    place = folder / "-".join(map(str, settings))
    place.mkdir(parents=True, exist_ok=True)
    found = []
    for seed in track(range(count), description="replications", console=Console(stderr=True)):
        file = place / f"{seed}.json"
        if not file.is_file():
            made = replication(rows, seed, draws=draws, warmup=warmup, steps=steps)
            atomic.write_text(file, json.dumps(made))
        found.append(json.loads(file.read_text()))
    flat = summary(found)
    table = Table("figure", "value", title=f"{count} replications of {rows} rows")
    for name, value in flat.items():
        table.add_row(name, f"{value:.3g}")
    Console(width=100).print(table)
    return flat
