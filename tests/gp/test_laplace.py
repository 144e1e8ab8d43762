"""The most probable matrix: slopes, curvature and metric against what is slow and obvious."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from uncertain import gp
from uncertain.gp import latent_rows
from uncertain.gp.alignment import plain_process
from uncertain.gp.bending import Density, Place, climb
from uncertain.gp.kernels import unit_kernel
from uncertain.gp.limits import Limit

PRIORS = {
    "hidden.log_variance": Normal(-math.log(3), 1.0),
    "log_amplitude": Normal(0.0, 1.0),
    "log_noise": Normal(math.log(0.05), 1.5),
}


def problem(rows: int = 9, width: int = 2, count: int = 4) -> tuple[Density, Place]:
    g = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g, dtype=torch.float64)

    density = Density(normal(width, rows, count), normal(rows), PRIORS)
    place = Place(normal(width, count), normal(width), 0.3 * normal(), -2 + 0.3 * normal())
    return density, place


def covariance(density: Density, place: Place) -> Tensor:
    h = density.latent(place)
    noise = (place.log_noise.exp() + 1e-6) * torch.eye(len(h)).double()
    return place.log_amplitude.exp() * unit_kernel(h, h) + noise


def test_slope_and_curvature_are_those_of_the_density() -> None:
    density, place = problem()
    curved = density.curved(place)
    assert curved is not None
    value, slope, curvature = curved
    flat = place.flat()
    step = 1e-5
    ends = [
        [density.value(place.at(flat + sign * step * each)) for sign in (1, -1)]
        for each in torch.eye(len(flat)).double()
    ]
    found = torch.tensor([(up - down) / (2 * step) for up, down in ends]).double()
    torch.testing.assert_close(slope, found, rtol=1e-5, atol=1e-5)
    assert value == density.value(place)
    # The information of a normal about what its covariance depends on, by its formula.
    changes = torch.func.jacfwd(lambda at: covariance(density, place.at(at)))(flat)
    solved = torch.linalg.solve(covariance(density, place), changes.permute(2, 0, 1))
    information = 0.5 * torch.einsum("aij,bji->ab", solved, solved)
    torch.testing.assert_close(curvature - density.precision.diag(), information)


def test_a_climb_ends_on_a_peak() -> None:
    density, place = problem(rows=30)
    peak, value = climb(density, place, steps=200, limit=Limit(None))
    assert value > density.value(place)
    assert value == density.value(peak)
    curved = density.curved(peak)
    assert curved is not None
    _, slope, curvature = curved
    # What a Newton step would gain.
    assert float(slope @ torch.linalg.solve(curvature, slope)) < 0.5


def test_a_place_without_a_density_is_left_alone() -> None:
    density, place = problem()
    lost = place._replace(log_amplitude=torch.tensor(math.nan).double())
    assert density.curved(lost) is None
    assert climb(density, lost, steps=3, limit=Limit(None))[1] == -math.inf


def surface(rows: int = 60) -> tuple[Tensor, Tensor]:
    x = torch.randn(rows, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return x, (2 * x[:, 0] + x[:, 1]).sin()


@pytest.mark.parametrize("bias", [False, True])
def test_every_draw_has_the_metric_of_its_own_latent(bias: bool) -> None:
    x, y = surface(25)
    model = gp.ThinDeepGP.from_data(x, y, num_inducing=6, bias=bias)
    found = gp.laplace_posterior(model, (x, y), members=3, max_points=12, steps=5).model
    at = x[:4] + 0.1

    def latent(row: Tensor) -> Tensor:
        rows = found.scaling.inputs(row[None])
        return latent_rows.hidden_rows(found.points, rows, found.parameters_drawn, bias=bias)[:, 0]

    slopes = torch.stack([torch.autograd.functional.jacobian(latent, row) for row in at], 1)
    torch.testing.assert_close(found.local_metric(at), slopes.mT @ slopes)


def test_a_plane_wave_is_found_with_its_direction_and_no_noise() -> None:
    x, y = surface()
    model = gp.ThinDeepGP.from_data(x, y, num_inducing=6)
    found = gp.laplace_posterior(model, (x, y), members=8).model
    vectors = torch.linalg.eigh(found.local_metric(x)[0])[1][..., -1]
    along = torch.tensor([2.0, 1.0]).double() / math.sqrt(5)
    assert float((vectors @ along).abs().median()) > math.cos(math.radians(5))
    new = x[:20] * 0.9
    assert float((found(new).mean - (2 * new[:, 0] + new[:, 1]).sin()).abs().max()) < 0.1
    again = gp.laplace_posterior(model, (x, y), members=8).model
    assert torch.equal(found.latent, again.latent)


def test_the_evidence_is_that_of_a_stationary_process_where_nothing_bends() -> None:
    # One row at one input has a density that a quadrature integrates: over h there, and the scales.
    x = torch.tensor([[-1.0], [1.0]]).double()
    y = torch.tensor([-1.0, 1.0]).double()
    model = gp.ThinDeepGP.from_data(x, y, num_inducing=2)
    found = gp.laplace_posterior(model, (x, y), members=1, steps=100)
    g = torch.Generator().manual_seed(0)
    count = 200_000
    priors = gp.usual_priors(model)
    size, amplitude, noise = (
        (priors[name].mean + priors[name].stddev * torch.randn(count, generator=g).double()).exp()
        for name in ("hidden.log_variance", "log_amplitude", "log_noise")
    )
    z = found.model.scaling.inputs(x)
    length = model.hidden.log_lengthscale.detach().exp()
    prior = (z @ z.T) * unit_kernel(z / length, z / length)
    root = torch.linalg.cholesky(prior + 1e-6 * torch.eye(2).double())
    h = size.sqrt()[:, None] * (torch.randn(count, 2, generator=g).double() @ root.T)
    same = amplitude * (-0.5 * (h[:, 0] - h[:, 1]).square()).exp()
    covariance = torch.stack([amplitude + noise, same, same, amplitude + noise], 1).view(-1, 2, 2)
    target = (y - model.loc) / model.scale
    density = MultivariateNormal(torch.zeros(2).double(), covariance).log_prob(target)
    truth = float(density.logsumexp(0)) - math.log(count) - 2 * float(model.scale.log())
    assert found.evidence == pytest.approx(truth, abs=0.5)


def test_it_starts_at_the_plain_process_or_at_the_bent_rows_that_are_given() -> None:
    x, y = surface(40)
    model = gp.ThinDeepGP.from_data(x, y, num_inducing=6)
    own = gp.laplace_posterior(model, (x, y), members=2, steps=3)
    rows = own.model.scaling.inputs(x)
    plain = plain_process(rows, own.model.scaling.target(y, 40))
    given = gp.laplace_posterior(model, (x, y), start=rows / plain.lengthscale, members=2, steps=3)
    torch.testing.assert_close(given.model.latent, own.model.latent)
    assert given.evidence == pytest.approx(own.evidence)
    other = gp.laplace_posterior(model, (x, y), start=rows.square(), members=2, steps=3)
    assert other.evidence != pytest.approx(own.evidence, abs=0.1)


def test_what_does_not_fit_is_refused() -> None:
    x, y = surface(20)
    model = gp.ThinDeepGP.from_data(x, y, num_inducing=6)
    with pytest.raises(ValueError, match="at most 10 rows"):
        gp.laplace_posterior(model, (x, y), max_rows=10)
    with pytest.raises(ValueError, match="`members`"):
        gp.laplace_posterior(model, (x, y), members=0)
    with pytest.raises(ValueError, match="`cpu_seconds`"):
        gp.laplace_posterior(model, (x, y), cpu_seconds=0.0)
    with pytest.raises(ValueError, match="`start`"):
        gp.laplace_posterior(model, (x, y), start=x[:, :1])
    with pytest.raises(ValueError, match="`start` should have a density"):
        gp.laplace_posterior(model, (x, y), start=1e200 * x)
    learned = gp.ThinDeepGP.from_data(x, y, num_inducing=6, learned_mean=True)
    with pytest.raises(ValueError, match="prior mean zero"):
        gp.laplace_posterior(learned, (x, y))
    deep = gp.ThinDeepGP.from_data(x, y, num_inducing=6, hidden_layers=2)
    with pytest.raises(TypeError, match="one hidden layer"):
        gp.laplace_posterior(deep, (x, y))


def test_one_row_of_two_inputs_starts_along_what_the_target_follows() -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(60, 2, generator=g)
    y = (2 * x[:, 0] + x[:, 1]).sin() + 0.1 * torch.randn(60, generator=g)
    model = gp.ThinDeepGP.from_data(x, y, num_inducing=10, latent_dim=1)
    direction = (x - x.mean(0)) @ torch.tensor([[2.0], [1.0]])
    own = gp.laplace_posterior(model, (x, y), members=1)
    told = gp.laplace_posterior(model, (x, y), members=1, start=direction)
    assert own.evidence > told.evidence - 10
