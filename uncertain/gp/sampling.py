r"""Draws from the posterior by the No-U-Turn sampler: slow, and right where the chains have mixed.

It is what a variational fit is judged by. Sampled are the hyper-parameters that have a prior, and the
whitened values of the bent rows h; f is integrated out exactly.

``N`` rows, ``D`` inputs, ``Q`` latent dimensions, ``M`` points that h is pinned down at, ``K`` chains,
``S`` draws of all.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, Normal, constraints

from uncertain import checks
from uncertain.gp import chains as markov
from uncertain.gp import latent_rows
from uncertain.gp.deformation import Deformation
from uncertain.gp.descent import Priors
from uncertain.gp.initialisation import cluster_centres
from uncertain.gp.latent_rows import LATENT, NAMES, Parameters
from uncertain.gp.sampled import SampledThinDeepGP
from uncertain.gp.scaling import Scaling
from uncertain.gp.thin_deep_gp import ThinDeepGP

_OPEN = 0.05
_FOLLOWED = 20
_CURVED, _STEP = 1500, 1e-4
_SPREAD = 0.5
_TARGETS = ("log_noise", "log_amplitude")


class Sampled(NamedTuple):
    """What sampling gave.

    Attributes:
        model: The predictor, a mixture over the draws that were kept for it.
        parameters: All S draws, chain after chain, by the names of the model's parameters; whitened
            bent rows are ``"latent"``. Parameters without a prior are constant.
        r_hat: The worst of each quantity: near 1 where all chains tell the same.
        effective: How many independent draws they are worth, for the worst of each quantity.
        divergences: How many transitions left the sampler's path: a few in a hundred draws are too
            many.
        unexplained: The share of the prior variance of h at the rows that its points leave open.
        seconds: Wall time.
    """

    model: SampledThinDeepGP
    parameters: Mapping[str, Tensor]
    r_hat: Mapping[str, float]
    effective: Mapping[str, float]
    divergences: int
    unexplained: float
    seconds: float

    def __repr__(self) -> str:
        worst = max(self.r_hat, key=lambda name: self.r_hat[name])
        return (
            f"Sampled({len(self.parameters[LATENT])} draws, worst r-hat {self.r_hat[worst]:.3g} of "
            f"{worst}, {self.divergences} divergences, {self.seconds:.3g} s)"
        )


def usual_priors(model: ThinDeepGP) -> dict[str, Distribution]:
    """Return weak priors of the hyper-parameters, all over logarithms and in standardised units.

    The noise variance is .05 times or over e to the 1.5; that of f 1, times or over e; the matrix'
    rows have the variance that gives h that of the inputs, times or over e; and lengthscales the root
    of D, times or over e to the half.

    Args:
        model: For its number of inputs.

    Example:
        >>> x = torch.rand(9, 4, generator=torch.Generator().manual_seed(0))
        >>> model = ThinDeepGP.from_data(x, x[:, 0], num_inducing=5)
        >>> usual_priors(model)["hidden.log_lengthscale"].mean.exp()
        tensor(2.)
    """
    inputs = model.hidden.input_dim
    return {
        "log_noise": Normal(math.log(0.05), 1.5),
        "log_amplitude": Normal(0.0, 1.0),
        "hidden.log_variance": Normal(-math.log(inputs), 1.0),
        "hidden.log_lengthscale": Normal(0.5 * math.log(inputs), 0.5),
    }


def sample_posterior(
    model: ThinDeepGP,
    data: tuple[Float[Tensor, "N D"], Float[Tensor, " N"]],
    *,
    draws: int = 500,
    warmup: int = 500,
    chains: int = 2,
    priors: Priors | None = None,
    members: int = 128,
    max_rows: int = 1000,
    max_points: int = 200,
    max_r_hat: float | None = 1.05,
    progress: bool = False,
    seed: int = 0,
) -> Sampled:
    r"""Sample the posterior of a thin-and-deep process with one hidden layer and Gaussian noise.

    With :math:`h_q = L_q v_q`, :math:`v_q` standard normal and :math:`L_q L_q^\top` the prior covariance
    :math:`\langle x, x' \rangle k_q(x, x')` of a latent row, the target is

    .. math:: p(\theta)\; N(v; 0, I)\; N\bigl(y; 0, \sigma_f^2 K(h(v, \theta)) + \sigma^2 I\bigr).

    Up to ``max_points`` rows this is the model itself: no inducing variables, no factorised posterior.
    Above, h is pinned down at that many k-means centres, and the rest of its prior variance is left
    out (``unexplained``). A gradient takes :math:`N^3 + Q M^3` operations, and a draw up to 255 of them:
    seconds for 50 rows, hours for 1,000.

    The chains start near the model's parameters, so fit it first. It isn't changed.

    Args:
        model: A ``ThinDeepGP`` of one layer, with its standardisation, whose matrix has a prior of
            mean zero.
        data: ``(x, y)``, inputs and targets.
        draws: Kept of each chain, at least 4.
        warmup: Draws before, at least 1.
        chains: K, one after another.
        priors: Of hyper-parameters, by name and as the model keeps them, as for
            :func:`~uncertain.gp.fit`; others are held where the model has them. By default
            :func:`usual_priors`.
        members: How many draws, evenly spaced, the predictor keeps.
        max_rows: More rows are refused.
        max_points: How many points h is pinned down at, at most.
        max_r_hat: Above it, a warning; ``None`` for none.
        progress: Whether to show a bar.
        seed: Of everything that is drawn.

    Returns:
        Predictor, draws and diagnostics. r-hat is of what the data can tell apart: the noise, the
        variance of f, the log density, and f at 20 rows. The sign and order of latent rows are not
        told apart; so with several of these their own parameters say nothing of mixing.

    Raises:
        TypeError: For another model, data that are integers, or counts that are not.
        ValueError: For a model with ``learned_mean=True``, whose mean the target density lacks; data,
            numbers or priors that do not fit; or too many rows.
        NotPositiveDefiniteError: Where a matrix of the draws can not be factorised.

    References:
        M. D. Hoffman and A. Gelman, "The No-U-Turn sampler", 2014.

    Example:
        >>> x = torch.rand(12, 1, generator=torch.Generator().manual_seed(0))
        >>> y = (6 * x[:, 0]).sin()
        >>> model = ThinDeepGP.from_data(x, y, num_inducing=6)
        >>> found = sample_posterior(model, (x, y), draws=5, warmup=5, max_r_hat=None)
        >>> found.parameters["log_noise"].shape
        torch.Size([10])
    """
    started = time.monotonic()
    check_model(model)
    _check_numbers(
        draws=draws,
        warmup=warmup,
        chains=chains,
        members=members,
        max_rows=max_rows,
        max_points=max_points,
    )
    scaling = scaling_of(model)
    x, y = checked_data(data, scaling, max_rows)
    points = x if len(x) <= max_points else cluster_centres(x, max_points, seed)
    target = _Target(model, x, y, points, usual_priors(model) if priors is None else priors)
    middle = target.middle()
    basis = target.basis(middle)
    generator = torch.Generator().manual_seed(seed)
    starts = _SPREAD * torch.randn(chains, len(middle), generator=generator, dtype=torch.float64)
    with torch.enable_grad():
        found = markov.run(
            lambda place: target.potential(middle + basis @ place),
            starts.to(middle),
            draws=draws,
            warmup=warmup,
            seed=seed,
            progress=progress,
        )
    flat = middle + found.draws @ basis.T
    drawn = target.unpacked(flat.flatten(0, 1))
    kept = torch.linspace(0, draws * chains - 1, min(members, draws * chains)).round().long()
    predictor = SampledThinDeepGP(
        x,
        y,
        {name: value[kept] for name, value in drawn.items()},
        points=None if points is x else points,
        scaling=scaling,
        bias=model.hidden.bias,
        seed=seed,
    ).eval()
    told = markov.mixing(_quantities(target, flat, drawn))
    unexplained = float(predictor.unexplained())
    _warn(told, found, unexplained, max_r_hat)
    seconds = time.monotonic() - started
    return Sampled(
        predictor, drawn, told.r_hat, told.effective, found.divergences, unexplained, seconds
    )


class _Target:
    """The log density of a flat vector: scaled hyper-parameters, then whitened bent rows."""

    def __init__(
        self, model: ThinDeepGP, x: Tensor, y: Tensor, points: Tensor, priors: Mapping[str, Any]
    ) -> None:
        own = {name: value.detach() for name, value in model.named_parameters()}
        self.start = {name: own[name] for name in NAMES.values() if name != LATENT}
        self.priors, self.scales = dict(priors), dict[str, float]()
        for name, prior in self.priors.items():
            self.scales[name] = _checked_scale(name, prior, self.start)
        self.x, self.y, self.points, self.bias = x, y, points, model.hidden.bias
        self.width = model.hidden.latent_dim
        with torch.no_grad():
            self.latent = self._whitened(model.hidden)
            self.centre, self.precision, self.others = self._normals()

    def _whitened(self, hidden: Deformation) -> Float[Tensor, "Q M"]:
        """Return the whitened values of the model's mean of h."""
        blank = self.points.new_zeros(self.width, len(self.points))
        given = latent_rows.from_names({**self.start, LATENT: blank})
        root = latent_rows.hidden_root(self.points, given, bias=self.bias)
        mean = hidden(self.points)[0].T[..., None]
        values: Tensor = torch.linalg.solve_triangular(root, mean, upper=False)[..., 0]
        return values

    def middle(self) -> Float[Tensor, " P"]:
        """Return the model's own place.

        Raises:
            ValueError: Where there is no density.
        """
        hyper = sum(self.start[name].numel() for name in self.priors)
        middle = torch.cat([self.latent.new_zeros(hyper), self.latent.flatten()])
        if not bool(self.potential(middle).isfinite()):
            raise ValueError(
                "`model` should have a finite log density to start from: fit it first, with the same "
                "priors."
            )
        return middle

    def basis(self, at: Float[Tensor, " P"]) -> Float[Tensor, "P P"]:
        """Return directions and lengths in which the density near a place is round.

        From the curvature, by differences of gradients. Where it is below that of the prior, or the
        density curves upwards, the length is the prior's.
        """
        eye = torch.eye(len(at)).to(at)
        if len(at) > _CURVED:
            return eye
        columns = [self._slope(at + _STEP * e) - self._slope(at - _STEP * e) for e in eye]
        curvature = torch.stack(columns) / (2 * _STEP)
        values, vectors = torch.linalg.eigh((curvature + curvature.T) / 2)
        if not bool(values.isfinite().all()):
            return eye
        basis: Tensor = vectors / values.clamp(min=1.0).sqrt()
        return basis

    def _slope(self, flat: Tensor) -> Tensor:
        with torch.enable_grad():
            leaf = flat.detach().requires_grad_()
            slope: Tensor = torch.autograd.grad(self.potential(leaf), leaf)[0]
        return slope

    def unpacked(self, flat: Float[Tensor, "*S P"]) -> dict[str, Tensor]:
        """Return parameters by name, in the model's own numbers."""
        values, place, lead = {}, 0, flat.shape[:-1]
        for name, start in self.start.items():
            if name not in self.priors:
                values[name] = start.expand((*lead, *start.shape))
                continue
            part = flat[..., place : place + start.numel()].reshape((*lead, *start.shape))
            values[name] = start + self.scales[name] * part
            place += start.numel()
        values[LATENT] = flat[..., place:].reshape((*lead, *self.latent.shape))
        return values

    def parameters(self, flat: Float[Tensor, "*S P"]) -> Parameters:
        return latent_rows.from_names(self.unpacked(flat))

    def covariance(self, parameters: Parameters) -> Float[Tensor, "*S N N"]:
        """Return the covariance of the targets."""
        rows = None if self.points is self.x else self.x
        h = latent_rows.hidden_rows(self.points, rows, parameters, bias=self.bias)
        return latent_rows.covariance_of_targets(h, parameters)

    def potential(self, flat: Float[Tensor, " P"]) -> Float[Tensor, ""]:
        """Return minus the log density, up to a constant; infinity where it can't be had."""
        values = self.unpacked(flat)
        spread = (flat - self.centre) * self.precision
        prior = 0.5 * (spread @ spread)
        for name in self.others:
            prior = prior - self.priors[name].log_prob(values[name]).sum()
        points = None if self.points is self.x else self.points
        given = latent_rows.from_names(values)
        return prior - latent_rows.log_likelihood(self.x, self.y, points, given, bias=self.bias)

    def _normals(self) -> tuple[Tensor, Tensor, list[str]]:
        """Return centres and one over deviations of normal priors in the sampler's units.

        Where a prior is another one the second is 0, and its name among the third.
        """
        centres, precisions, others = [], [], []
        for name, prior in self.priors.items():
            start = self.start[name]
            if type(prior) is Normal:
                centres.append((prior.loc.to(start) - start) / self.scales[name])
                precisions.append(torch.full_like(start, self.scales[name] / float(prior.scale)))
            else:
                centres.append(torch.zeros_like(start))
                precisions.append(torch.zeros_like(start))
                others.append(name)
        centres.append(torch.zeros_like(self.latent))
        precisions.append(torch.ones_like(self.latent))
        centre, precision = (torch.cat([t.flatten() for t in e]) for e in (centres, precisions))
        return centre, precision, others


def _quantities(target: _Target, flat: Tensor, drawn: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what chains are compared by, (K, S, ...)."""
    shape = flat.shape[:2]
    names = [*_TARGETS] if target.width > 1 else [*target.start]
    found = {name: drawn[name].unflatten(0, shape) for name in names if name in target.priors}
    followed = torch.linspace(0, len(target.x) - 1, min(_FOLLOWED, len(target.x))).round().long()
    densities, functions = [], []
    with torch.no_grad():
        for each in flat.flatten(0, 1):
            densities.append(-target.potential(each))
            parameters = target.parameters(each)
            covariance = target.covariance(parameters)
            weights = torch.linalg.solve(covariance, target.y)
            functions.append(target.y[followed] - parameters.noise * weights[followed])
    found["log_density"] = torch.stack(densities).unflatten(0, shape)
    found["f"] = torch.stack(functions).unflatten(0, shape)
    return found


def _warn(
    told: markov.Mixing, found: markov.Chains, unexplained: float, max_r_hat: float | None
) -> None:
    """Warn of chains that have not mixed, and of points that are too few."""
    if unexplained > _OPEN:
        warnings.warn(
            f"{unexplained:.0%} of the prior variance of h is left open by its points, and left out: "
            "raise `max_points`.",
            stacklevel=3,
        )
    if max_r_hat is None:
        return
    worst = max(told.r_hat, key=lambda name: told.r_hat[name])
    if not told.r_hat[worst] <= max_r_hat:
        warnings.warn(
            f"r-hat of {worst} should be at most {max_r_hat:g}, got {told.r_hat[worst]:.3g}: the chains "
            "have not mixed, so don't judge by them; raise `warmup` and `draws`, or fit the model first.",
            stacklevel=3,
        )
    count = found.draws.shape[:2].numel()
    if found.divergences > 0.05 * count:
        warnings.warn(
            f"{found.divergences} of {count} transitions left the sampler's path: narrow the priors.",
            stacklevel=3,
        )


def check_model(model: Any) -> None:
    """Check that the exact density of a model can be had.

    Raises:
        TypeError: For another process than one bent layer with Gaussian noise.
        ValueError: For a learned mean.
    """
    if type(model) is not ThinDeepGP or type(model.hidden) is not Deformation:
        raise TypeError(
            "`model` should be a ThinDeepGP with one hidden layer, Gaussian noise and "
            f"squared-exponential kernels, got {_kind(model)}."
        )
    if model.hidden.kernel != "squared_exponential":
        raise TypeError(
            f"`model` should have squared-exponential kernels, got {model.hidden.kernel}."
        )
    if model.hidden.prior_mean is not None:
        raise ValueError(
            "`model` should have a matrix of prior mean zero, got one with a learned mean: the density "
            "here is without it, and would answer for another model; build it with "
            "`learned_mean=False`."
        )


def _kind(model: Any) -> str:
    inner = getattr(model, "hidden", None)
    own = type(model).__name__
    return f"{own} of {type(inner).__name__}" if isinstance(inner, nn.Module) else own


def _check_numbers(**numbers: int) -> None:
    for name, value in numbers.items():
        checks.check_count(name, value, 4 if name == "draws" else 1)


def scaling_of(model: ThinDeepGP) -> Scaling:
    """Return a model's standardisation."""
    return Scaling(model.input_loc, model.input_scale, model.loc, model.scale)


def checked_data(data: Any, scaling: Scaling, max_rows: int) -> tuple[Tensor, Tensor]:
    """Return standardised inputs and targets."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        what = len(data) if isinstance(data, tuple | list) else type(data).__name__
        raise TypeError(f"`data` should be (x, y), got {what}.")
    x, y = scaling.inputs(data[0]), scaling.target(data[1], len(data[0]))
    checks.check_not_empty("x", x)
    checks.check_finite("y", y)
    if len(x) > max_rows:
        raise ValueError(
            f"`x` should have at most {max_rows} rows where f is exact, got {len(x)}: a gradient "
            "takes N^3 operations, and many are needed; judge by a part of the rows, take the "
            "variational fit alone, or raise `max_rows`."
        )
    return x.detach(), y.detach()


def _checked_scale(name: str, prior: Any, start: Mapping[str, Tensor]) -> float:
    """Return by how much a parameter moves for one of the sampler's units: half its prior's spread."""
    if name not in start:
        raise ValueError(
            f"`priors` should be of hyper-parameters ({', '.join(start)}), got `{name}`: inducing "
            "points are not sampled, and the matrix has its own prior."
        )
    if not isinstance(prior, Distribution):
        raise TypeError(f"`priors[{name!r}]` should be a Distribution, got {type(prior).__name__}.")
    if prior.support is not constraints.real:
        raise ValueError(
            f"`priors[{name!r}]` should be over all real numbers, got {type(prior).__name__}: the "
            "parameter is a logarithm."
        )
    if prior.batch_shape.numel() != 1:
        raise ValueError(
            f"`priors[{name!r}]` should have batch shape (), got {tuple(prior.batch_shape)}: it is the "
            "prior of one number, and every entry of the parameter has the same."
        )
    spread = float(prior.stddev)
    return 0.5 * spread if math.isfinite(spread) else 1.0
