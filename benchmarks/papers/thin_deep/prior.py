r"""Is what one reads from a fit what is there? Draws from the model's own prior, whose metric is known.

A draw has a coherent matrix of two rows (random Fourier features, :math:`W_{qd} \sim GP` with
lengthscale :math:`\sqrt D` and variance :math:`2 / D`, a quarter of that in the second row), the latent
:math:`h = W(x)\,x` with its Jacobian J by automatic differentiation, an exact draw of f at the rows, and
noise of a twentieth of its deviation. Fits do not know that there are two latent rows.

Scored at the rows: the median angle between the leading directions of the learned and the true
:math:`J^\top J`; the rank correlation of their log-volumes, half the sum of the logarithms of the two
largest eigenvalues; and the share of rows whose true log-volume lies in the central 90 % of that of
posterior draws of W, as functions; and the bound, in nats, or the evidence where f is exact.
``from_truth`` and ``laplace_from_truth`` are no contenders: they start at the W that the draw was made
with, and so say what the optimum there is worth, and whether a fit from the data alone found one as good. The compositional process has no draws of a latent that stay together, so it
has no bands.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr
from torch import Tensor

from uncertain import atomic, gp
from uncertain.gp.initialisation import cluster_centres

FEATURES, ROWS, WIDTH = 1000, 500, 2
_NOISE, _FEW = 0.05, 60
_DRAWS, _FEATURES = 100, 256
_CONVERGED, _STEPS = 20, 40
_BAND = (0.05, 0.95)
MODELS = (
    "thin_deep_gp",
    "from_truth",
    "laplace",
    "laplace_from_truth",
    "compositional",
    "nonstationary",
)


class Draw(NamedTuple):
    """One surface.

    Attributes:
        x: (N, D).
        y: (N,).
        jacobian: (N, 2, D), of h.
        matrix: (N, 2, D), W.
    """

    x: Tensor
    y: Tensor
    jacobian: Tensor
    matrix: Tensor


class Metric(NamedTuple):
    """What a fit says of the metric.

    Attributes:
        local: (N, D, D).
        draws: (S, N) log-volumes, or none.
        bound: What the fit reached, in nats, where it has one to compare: a bound or the evidence.
    """

    local: Tensor
    draws: Tensor | None
    bound: float | None = None


def drawn(inputs: int, rows: int, seed: int) -> Draw:
    """Return a draw from the prior."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    x = normal(rows, inputs)
    frequency = normal(WIDTH, FEATURES, inputs) / inputs**0.5
    phase = 2 * math.pi * torch.rand(WIDTH, FEATURES, generator=g, dtype=torch.float64)
    size = torch.tensor(_sizes(inputs)).double()[:, None, None]
    weight = size * normal(WIDTH, FEATURES, inputs) * (2 / FEATURES) ** 0.5

    def matrix(row: Tensor) -> Tensor:
        waves = (torch.einsum("qfd,d->qf", frequency, row) + phase).cos()
        return torch.einsum("qf,qfd->qd", waves, weight)

    def latent(row: Tensor) -> Tensor:
        return matrix(row) @ row

    h = torch.func.vmap(latent)(x)
    jacobian = torch.func.vmap(torch.func.jacrev(latent))(x)
    kernel = (-0.5 * torch.cdist(h, h).square()).exp() + 1e-8 * torch.eye(rows).double()
    f = torch.linalg.cholesky(kernel) @ normal(rows)
    return Draw(x, f + _NOISE * f.std() * normal(rows), jacobian, torch.func.vmap(matrix)(x))


def _sizes(inputs: int) -> list[float]:
    """Return the standard deviations of the two rows of W."""
    return [(2 / inputs) ** 0.5, 0.5 * (2 / inputs) ** 0.5]


def log_volume(metric: Tensor) -> Tensor:
    """Return half the sum of the logarithms of the two largest eigenvalues."""
    values = torch.linalg.eigvalsh(metric)[..., -WIDTH:]
    value: Tensor = 0.5 * values.clamp(min=1e-12).log().sum(-1)
    return value


def thin_deep(data: Draw, seed: int) -> Metric:
    """Fit the thin-and-deep process, and draw its metric."""
    model = gp.ThinDeepGP.from_data(data.x, data.y, seed=seed)
    return _read(model, gp.fit(model, (data.x, data.y), plan=_brief(data), seed=seed), data)


def laplace(data: Draw, seed: int) -> Metric:
    """Bend the exact process to the most probable matrix, and draw the metric around it."""
    return _peak(data, seed, None)


def laplace_from_truth(data: Draw, seed: int) -> Metric:
    """Look for the most probable matrix from where that of the draw has the rows."""
    return _peak(data, seed, torch.einsum("nqd,nd->nq", data.matrix, data.x))


def _peak(data: Draw, seed: int, h: Tensor | None) -> Metric:
    model = gp.ThinDeepGP.from_data(data.x, data.y, seed=seed)
    if h is not None:
        unused = model.hidden.latent_dim - h.shape[1]
        h = torch.cat([h, h.new_zeros(len(h), unused)], 1)
    steps = 5 if len(data.x) <= _FEW else _STEPS
    found = gp.laplace_posterior(model, (data.x, data.y), start=h, steps=steps, seed=seed)
    drawn = found.model.local_metric(data.x)
    return Metric(drawn[0], log_volume(drawn), found.evidence)


def from_truth(data: Draw, seed: int) -> Metric:
    """Fit the thin-and-deep process from the matrix that the draw was made with."""
    model = gp.ThinDeepGP.from_data(data.x, data.y, seed=seed)
    _start_at_truth(model, data, seed)
    plan = _brief(data) or [gp.Phase(_CONVERGED, method="lbfgs")]
    return _read(model, gp.fit(model, (data.x, data.y), plan=plan, starts=0, seed=seed), data)


@torch.no_grad()
def _start_at_truth(model: gp.ThinDeepGP, data: Draw, seed: int) -> None:
    layer, inputs = model.hidden, data.x.shape[1]
    rows = (data.x - model.input_loc) / model.input_scale
    layer.log_lengthscale.copy_(
        (inputs**0.5 / model.input_scale).log().expand_as(layer.log_lengthscale)
    )
    layer.log_variance.fill_(2 * math.log(1e-3))  # rows beyond the two: nearly off, at the prior
    layer.root[WIDTH:].zero_()
    layer.mean.zero_()
    response = layer.responses(rows)[0]
    gram = response @ response.T + 1e-4 * torch.eye(len(response)).to(response)
    for row, size in enumerate(_sizes(inputs)):
        layer.log_variance[row] = 2 * math.log(size)
        wanted = response @ (data.matrix[:, row] * model.input_scale / size)
        layer.mean[row] = torch.linalg.solve(gram, wanted)
    points = cluster_centres(layer(rows)[0], len(model.inducing_points), seed)
    model.inducing_points.copy_(points)
    model.log_amplitude.fill_(-2 * math.log(float(model.scale)))
    model.log_noise.fill_(2 * math.log(_NOISE))


def _read(model: gp.ThinDeepGP, fitted: gp.Fitted, data: Draw) -> Metric:
    drawn = model.draws(_DRAWS, features=_FEATURES).local_metric(data.x)
    bound = -float(fitted.objective[-1]) * len(data.x)
    return Metric(model.local_metric(data.x).detach(), log_volume(drawn), bound)


def compositional(data: Draw, seed: int) -> Metric:
    """Fit the compositional process, and return the metric of its first layer's mean."""
    model = gp.CompositionalDeepGP.from_data(data.x, data.y, num_inducing=50, seed=seed)
    gp.fit(model, (data.x, data.y), plan=_brief(data), seed=seed)
    leaf = data.x.clone().requires_grad_()
    hidden = model.hidden[0].moments(model.scaling.inputs(leaf))[0]  # type: ignore[operator]
    kernel = model.last.covar_module
    h = hidden / getattr(kernel, "base_kernel", kernel).lengthscale.detach().reshape(1, -1)
    rows = [
        torch.autograd.grad(h[:, q].sum(), leaf, retain_graph=True)[0] for q in range(h.shape[1])
    ]
    jacobian = torch.stack(rows, 1)
    return Metric(jacobian.mT @ jacobian, None)


def nonstationary(data: Draw, seed: int) -> Metric:
    """Fit the process with lengthscale fields, and return their metric."""
    model = gp.NonstationaryGP.from_data(data.x, data.y, num_inducing=50, seed=seed)
    gp.fit(model, (data.x, data.y), plan=_brief(data), seed=seed)
    inverse = model.lengthscales(data.x).double().square().reciprocal()
    return Metric(inverse.mean(0).diag_embed(), log_volume(inverse.diag_embed()))


FITS = {
    "thin_deep_gp": thin_deep,
    "from_truth": from_truth,
    "laplace": laplace,
    "laplace_from_truth": laplace_from_truth,
    "compositional": compositional,
    "nonstationary": nonstationary,
}


def _brief(data: Draw) -> list[gp.Phase] | None:
    """Return a plan that only shows that it runs, for few rows."""
    return [gp.Phase(5)] if len(data.x) <= _FEW else None


def score(found: Metric, data: Draw) -> dict[str, float]:
    """Compare a learned metric with the true one."""
    truth = data.jacobian.mT @ data.jacobian
    leading = [torch.linalg.eigh(metric)[1][..., -1] for metric in (truth, found.local.double())]
    cosine = (leading[0] * leading[1]).sum(-1).abs().clamp(max=1)
    volume = log_volume(truth)
    made = {
        "angle": float(cosine.acos().rad2deg().median()),
        "rank_correlation": float(spearmanr(volume, log_volume(found.local.double()))[0]),
    }
    if found.draws is not None:
        low, high = found.draws.quantile(torch.tensor(_BAND).to(found.draws), dim=0)
        made["covered"] = float(((volume >= low) & (volume <= high)).double().mean())
    if found.bound is not None:
        made["bound"] = found.bound
    return made


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this question."""
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(20)))
    parser.add_argument("--inputs", type=int, nargs="+", default=[2, 5])
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)


def run(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Fit what is not in the folder yet, show all, and return the medians."""
    seeds, widths, rows = options.seeds, options.inputs, options.rows
    if options.quick:
        seeds, widths, rows = seeds[:1], widths[:1], _FEW
    found: dict[str, dict[str, list[float]]] = {}
    for inputs in widths:
        for seed in seeds:
            data = drawn(inputs, rows, seed)
            for name in options.models:
                file = folder / f"{rows}-{inputs}" / f"{name}-{seed}.json"
                if not file.is_file():
                    started = time.process_time()
                    made = score(FITS[name](data, seed), data)
                    made["seconds"] = time.process_time() - started
                    file.parent.mkdir(parents=True, exist_ok=True)
                    atomic.write_text(file, json.dumps(made))
                each = found.setdefault(f"{name}_{inputs}", {})
                for key, value in json.loads(file.read_text()).items():
                    each.setdefault(key, []).append(value)
    table = Table("process, inputs", "draws", *_KEYS, title="medians over draws from the prior")
    flat: dict[str, float] = {}
    for name, each in found.items():
        medians = {key: statistics.median(values) for key, values in each.items()}
        cells = [f"{medians[key]:.3g}" if key in medians else "-" for key in _KEYS]
        table.add_row(name, str(len(each["angle"])), *cells)
        flat |= {f"{name}_{key}": value for key, value in medians.items()}
        flat[f"{name}_draws"] = len(each["angle"])
    Console(width=120).print(table)
    return flat


_KEYS = ("angle", "rank_correlation", "covered", "bound", "seconds")
