"""The diffusion beside a simulation of its equation, and the laws that its theory promises."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.discrepancy.test_gaussians import gaussians
from uncertain.discrepancy import gaussian_wasserstein2_squared
from uncertain.wasserstein import diffuse_gaussian, diffuse_sample, distance_bound, generator

times = st.floats(1e-3, 5.0)


def distance(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> float:
    return math.sqrt(float(gaussian_wasserstein2_squared(a[0], a[1], b[0], b[1])))


def pair(seed: int, d: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    mean, cov = gaussians(2, d, seed)
    return (mean[0], cov[0]), (mean[1], cov[1])


def test_the_flow_of_gaussians_is_that_of_the_simulated_equation() -> None:
    (m, s), (target, sigma) = pair(0, 2)
    draws = torch.Generator().manual_seed(0)
    rows, steps, time = 40_000, 150, 0.6
    root = torch.linalg.cholesky(sigma)

    def normal() -> Tensor:
        return torch.randn(rows, 2, generator=draws, dtype=torch.float64)

    x = m + normal() @ torch.linalg.cholesky(s).T
    for _ in range(steps):
        x = x - (x - target) * time / steps + math.sqrt(2 * time / steps) * normal() @ root.T
    after = diffuse_gaussian(m, s, target, sigma, time=time)
    # Euler's step is off by about time / steps.
    torch.testing.assert_close(x.mean(0), after.mean, rtol=0.02, atol=0.03)
    torch.testing.assert_close(torch.cov(x.T), after.cov, rtol=0.03, atol=0.03)


@pytest.mark.parametrize("form", ["deviations", "factor"])
def test_samples_flow_as_gaussians_do(form: str) -> None:
    (m, s), (target, sigma) = pair(1, 2)
    if form == "deviations":
        sigma = torch.diag(sigma.diagonal())
    draws = torch.Generator().manual_seed(0)
    z, noise = torch.randn(2, 200_000, 2, generator=draws, dtype=torch.float64)
    factor = torch.linalg.cholesky(sigma)
    given_factor = factor.diagonal() if form == "deviations" else factor
    x = diffuse_sample(m + z @ torch.linalg.cholesky(s).T, noise, target, given_factor, time=0.4)
    after = diffuse_gaussian(m, s, target, sigma, time=0.4)
    torch.testing.assert_close(x.mean(0), after.mean, rtol=0, atol=0.02)
    torch.testing.assert_close(torch.cov(x.T), after.cov, rtol=0.02, atol=0.02)


@given(seed=st.integers(0, 1000), d=st.integers(1, 5), first=times, second=times)
def test_two_times_add_up_and_the_target_stays(
    seed: int, d: int, first: float, second: float
) -> None:
    a, b = pair(seed, d)
    once = diffuse_gaussian(*a, *b, time=first + second)
    twice = diffuse_gaussian(*diffuse_gaussian(*a, *b, time=first), *b, time=second)
    torch.testing.assert_close(twice.mean, once.mean)
    torch.testing.assert_close(twice.cov, once.cov)
    still = diffuse_gaussian(*b, *b, time=first)
    torch.testing.assert_close(still.cov, b[1])
    at_zero = diffuse_gaussian(*a, *b, time=0.0)
    torch.testing.assert_close(at_zero.cov, a[1])


@given(seed=st.integers(0, 1000), d=st.integers(1, 5), time=times)
def test_the_flow_contracts_and_the_bound_is_never_violated(seed: int, d: int, time: float) -> None:
    a, b = pair(seed, d)
    other, _ = pair(seed + 1001, d)
    moved = diffuse_gaussian(*a, *b, time=time)
    moved_other = diffuse_gaussian(*other, *b, time=time)
    kept = math.exp(-time)
    assert distance(moved, moved_other) <= kept * distance(a, other) + 1e-9
    change, whole = distance(a, moved), distance(a, b)
    bound = float(distance_bound(torch.tensor(change, dtype=torch.float64), time=time))
    assert whole <= bound + 1e-7
    # On Gaussians the change says no more than the distance: it is at most so many times larger.
    assert bound <= whole * math.sqrt((1 + kept) / (1 - kept)) + 1e-7


def test_the_bound_holds_for_measures_that_are_no_gaussians() -> None:
    """On the line, by quantiles: two far points, one of them heavy."""
    from uncertain.discrepancy import sample_wasserstein2_squared

    draws = torch.Generator().manual_seed(0)
    x = torch.where(torch.rand(4000, generator=draws) < 0.2, 5.0, -1.0).double()
    z, fresh = torch.randn(2, 4000, generator=draws, dtype=torch.float64)
    zero, one = torch.zeros(1).double(), torch.ones(1).double()
    for time in (0.1, 0.5, 2.0):
        moved = diffuse_sample(x[:, None], fresh[:, None], zero, one, time=time)[:, 0]
        change = sample_wasserstein2_squared(x, moved).sqrt()
        whole = sample_wasserstein2_squared(x, z).sqrt()
        assert whole <= distance_bound(change, time=time) * 1.02


def test_the_generators_mean_is_zero_at_the_target_only() -> None:
    _, (target, sigma) = pair(3, 2)
    draws = torch.Generator().manual_seed(0)
    noise = torch.randn(60_000, 2, generator=draws, dtype=torch.float64)
    x = target + noise @ torch.linalg.cholesky(sigma).T

    def smooth(point: Tensor) -> Tensor:
        return torch.sin(point[0]) + 0.3 * point[0] * point[1] + torch.cos(point).prod()

    still = generator(smooth, x, target, sigma)
    assert abs(still.mean()) < 4 * still.std() / math.sqrt(len(x))
    shifted = generator(smooth, x + 0.7, target, sigma)
    assert abs(shifted.mean()) > 10 * shifted.std() / math.sqrt(len(x))


def test_the_generator_is_the_rate_of_change_along_the_diffusion() -> None:
    _, (target, sigma) = pair(4, 2)
    x = torch.tensor([[0.3, -1.2]], dtype=torch.float64)

    def quadratic(point: Tensor) -> Tensor:
        return point.square().sum() + point[0] * point[1]

    time = 1e-5
    after = diffuse_gaussian(x[0], torch.zeros(2, 2).double(), target, sigma, time=time)
    moment = after.cov + torch.outer(after.mean, after.mean)
    later = moment.trace() + moment[0, 1]
    rate = (later - quadratic(x[0])) / time
    torch.testing.assert_close(generator(quadratic, x, target, sigma)[0], rate, rtol=1e-3, atol=0)
    diagonal = generator(quadratic, x, target, sigma.diagonal())
    full = generator(quadratic, x, target, torch.diag(sigma.diagonal()))
    torch.testing.assert_close(diagonal, full)


@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_told() -> None:
    zero, one = torch.zeros(2), torch.ones(2)
    with pytest.raises(ValueError, match=r"`time` should lie in \[0, inf\], got -1.*backwards"):
        diffuse_gaussian(zero, one, zero, one, time=-1.0)
    with pytest.raises(ValueError, match=r"`time` should lie in .* backwards"):
        diffuse_sample(zero, zero, zero, one, time=-0.1)
    with pytest.raises(ValueError, match="should be of one form"):
        diffuse_gaussian(zero, one, zero, torch.eye(2), time=1.0)
    with pytest.raises(ValueError, match=r"`time` should lie in \(0"):
        distance_bound(one, time=0.0)
    with pytest.raises(ValueError, match=r"`change` should lie in .*not its square"):
        distance_bound(-one, time=1.0)
    with pytest.raises(ValueError, match=r"`target_cov` should have shape .* \(2, 2\) for mat"):
        generator(torch.sum, torch.zeros(4, 2), zero, torch.eye(3))


def flow(*, time: Any = 0.1, **changed: Any) -> Any:
    """Diffuse one Gaussian, of which some arguments were spoilt."""
    given: dict[str, Any] = {
        "mean": torch.zeros(2),
        "cov": torch.eye(2),
        "target_mean": torch.zeros(2),
        "target_cov": torch.eye(2),
    } | changed
    return diffuse_gaussian(*given.values(), time=time)


def flow_points(**changed: Any) -> Any:
    given: dict[str, Any] = {
        "x": torch.zeros(3, 2),
        "noise": torch.ones(3, 2),
        "target_mean": torch.zeros(2),
        "target_factor": torch.ones(2),
    } | changed
    return diffuse_sample(*given.values(), time=0.1)


def generate(**changed: Any) -> Any:
    given: dict[str, Any] = {
        "x": torch.zeros(4, 2),
        "target_mean": torch.zeros(2),
        "target_cov": torch.eye(2),
    } | changed
    return generator(lambda point: point.square().sum(), *given.values())


BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "negative matrix": (flow, {"cov": -torch.eye(2)}, "`cov` should be positive semi-definite"),
    "negative variances": (
        flow,
        {"cov": -torch.ones(2), "target_cov": torch.ones(2)},
        "`cov` should lie in .* variances are not negative",
    ),
    "negative target": (flow, {"target_cov": -torch.eye(2)}, "`target_cov` should be positive"),
    "asymmetric": (
        flow,
        {"cov": torch.tensor([[1.0, 0.5], [0.0, 1.0]])},
        "`cov` should be symmetric, got entries that differ .* by 0.5",
    ),
    "no number in the mean": (
        flow,
        {"mean": torch.tensor([0.0, math.nan])},
        "`mean` should be finite",
    ),
    "infinite covariance": (flow, {"cov": torch.eye(2) / 0}, "`cov` should be finite"),
    "another size": (
        flow,
        {"cov": torch.eye(3)},
        r"`cov` should have shape \(2,\) for variances or \(2, 2\) .* got \(3, 3\)",
    ),
    "one dimension beside two": (
        flow,
        {"mean": torch.zeros(1), "cov": torch.eye(1)},
        "`mean` and `target_mean` should have as many dimensions as each other, got 1 and 2",
    ),
    "rows that do not fit": (
        flow,
        {"mean": torch.zeros(3, 2), "target_mean": torch.zeros(4, 2)},
        r"leading dimensions that broadcast, got \(3,\) and \(4,\)",
    ),
    "no dimension": (flow, {"mean": torch.tensor(0.0)}, r"`mean` should have shape \(..., D\)"),
    "many times": (flow, {"time": torch.ones(2)}, r"`time` should have shape \(\)"),
    "no time": (flow, {"time": math.nan}, "`time` should lie in"),
    "no number in points": (flow_points, {"x": torch.full((3, 2), math.nan)}, "`x` should be fin"),
    "negative deviations": (
        flow_points,
        {"target_factor": -torch.ones(2)},
        "`target_factor` should lie in .* standard deviations are not negative",
    ),
    "noise of another size": (
        flow_points,
        {"noise": torch.ones(3, 1)},
        "`x` and `noise` should have as many dimensions as each other, got 2 and 1",
    ),
    "generator: negative": (generate, {"target_cov": -torch.eye(2)}, "positive semi-definite"),
    "generator: no number": (
        generate,
        {"x": torch.full((4, 2), math.nan)},
        "`x` should be finite",
    ),
    "generator: mean": (
        generate,
        {"target_mean": torch.zeros(1)},
        r"`target_mean` should have shape \(2,\), got \(1,\)",
    ),
    "generator: one point": (generate, {"x": torch.zeros(2)}, r"`x` should have shape \(N, D\)"),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("call", "changed", "message"), BAD.values(), ids=BAD.keys())
def test_what_is_no_gaussian_is_told(call: Any, changed: dict[str, Any], message: str) -> None:
    call()  # As it stands, it is fine.
    with pytest.raises(ValueError, match=message):
        call(**changed)


@pytest.mark.usefixtures("unchecked")
def test_what_is_no_floating_tensor_is_told() -> None:
    with pytest.raises(TypeError, match="`time` should be a number, got '1'"):
        flow(time="1")
    with pytest.raises(TypeError, match=r"`mean` should be a floating tensor, got torch.int64"):
        flow(mean=torch.zeros(2, dtype=torch.int64))
    with pytest.raises(TypeError, match="`target_factor` should be a floating tensor, got list"):
        flow_points(target_factor=[1.0, 1.0])
    with pytest.raises(TypeError, match="`change` should be a floating tensor, got float"):
        distance_bound(1.0, time=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"`change` should be a floating tensor, got torch.int64"):
        distance_bound(torch.tensor(1), time=1)


def test_the_widest_dtype_is_kept() -> None:
    z, factor = torch.ones(3, 2), torch.eye(2, dtype=torch.float64)
    assert diffuse_sample(z, z, z[0], factor, time=0.1).dtype == torch.float64
    assert generate(target_cov=torch.eye(2, dtype=torch.float64)).dtype == torch.float64
