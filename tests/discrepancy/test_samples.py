"""Distances of samples and histograms beside POT, scipy and their definitions."""

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from uncertain.discrepancy import (
    UnconvergedWarning,
    entropic_wasserstein2_squared,
    median_distance,
    mmd_squared,
    sample_wasserstein2_squared,
    sliced_wasserstein2_squared,
    total_variation,
)

ot = pytest.importorskip("ot")


def points(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@given(n=st.integers(1, 12), m=st.integers(1, 12), seed=st.integers(0, 1000))
def test_samples_of_numbers_agree_with_the_transport_problem(n: int, m: int, seed: int) -> None:
    x, y = points(n, seed=seed), points(m, seed=seed + 1) + 1
    cost = (x[:, None] - y).square().numpy()
    theirs = ot.emd2(np.full(n, 1 / n), np.full(m, 1 / m), cost)
    assert float(sample_wasserstein2_squared(x, y)) == pytest.approx(theirs, rel=1e-9, abs=1e-12)


def test_samples_of_numbers_broadcast_and_have_gradients() -> None:
    x, y = points(4, 1, 5), points(3, 7, seed=1)
    both = sample_wasserstein2_squared(x, y)
    assert both.shape == (4, 3)
    torch.testing.assert_close(both[2, 1], sample_wasserstein2_squared(x[2, 0], y[1]))
    inputs = [x.clone().requires_grad_(), y.clone().requires_grad_()]
    assert torch.autograd.gradcheck(sample_wasserstein2_squared, inputs)
    same = points(6).requires_grad_()
    (gradient,) = torch.autograd.grad(sample_wasserstein2_squared(same, same.detach()), same)
    assert (gradient == 0).all()


@pytest.mark.parametrize("m", [20, 31])
def test_sliced_agrees_with_pot_on_the_same_directions(m: int) -> None:
    x, y, directions = points(20, 3), points(m, 3, seed=1) + 0.5, points(40, 3, seed=2)
    unit = directions / directions.norm(dim=1, keepdim=True)
    theirs = ot.sliced_wasserstein_distance(x, y, projections=unit.T) ** 2
    ours = sliced_wasserstein2_squared(x, y, projections=directions)
    torch.testing.assert_close(ours, theirs)


def test_sliced_asks_the_same_question_every_time() -> None:
    x, y = points(2, 1, 9, 3), points(4, 9, 3, seed=1)
    state = torch.get_rng_state()
    first = sliced_wasserstein2_squared(x, y)
    assert torch.equal(first, sliced_wasserstein2_squared(x, y))
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(first, sliced_wasserstein2_squared(x, y, seed=1))
    assert first.shape == (2, 4)
    torch.testing.assert_close(first[1, 2], sliced_wasserstein2_squared(x[1, 0], y[2]))


def test_sliced_of_a_shift_and_its_gradient_at_equality() -> None:
    x, shift = points(30, 4), torch.tensor([1.0, -2.0, 0.5, 0.0], dtype=torch.float64)
    value = sliced_wasserstein2_squared(x, x + shift, projections=20_000)
    torch.testing.assert_close(value, shift.square().sum() / 4, rtol=0.05, atol=0)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(sliced_wasserstein2_squared(x, x.detach()), x)
    assert (gradient == 0).all()


def slow_mmd(x: Tensor, y: Tensor, widths: list[float], unbiased: bool) -> float:
    def kernel(a: Tensor, b: Tensor) -> float:
        return float(np.mean([np.exp(-float((a - b).square().sum()) / (2 * w**2)) for w in widths]))

    def within(z: Tensor) -> float:
        pairs = [(i, j) for i in range(len(z)) for j in range(len(z)) if i != j or not unbiased]
        return float(np.mean([kernel(z[i], z[j]) for i, j in pairs]))

    return within(x) + within(y) - 2 * float(np.mean([kernel(a, b) for a in x for b in y]))


@pytest.mark.parametrize("statistic", ["u", "v"])
def test_mmd_is_its_definition(statistic: str) -> None:
    x, y, widths = points(5, 2), points(7, 2, seed=1) + 0.3, [0.5, 2.0]
    ours = mmd_squared(x, y, bandwidths=widths, statistic=statistic)
    assert float(ours) == pytest.approx(slow_mmd(x, y, widths, statistic == "u"), rel=1e-10)
    both = torch.cat([x, y])
    median = float(np.median(torch.pdist(both)))
    assert float(median_distance(x, y)) == pytest.approx(median, rel=0.05)
    by_median = slow_mmd(
        x, y, [float(median_distance(x, y)) * f for f in (0.25, 0.5, 1, 2, 4)], statistic == "u"
    )
    assert float(mmd_squared(x, y, statistic=statistic)) == pytest.approx(by_median, rel=1e-10)


def test_mmd_is_unbiased_without_the_diagonal_and_never_negative_with_it() -> None:
    x, y = points(3000, 6, 2), points(3000, 9, 2, seed=1)
    values = mmd_squared(x, y, bandwidths=[1.0])
    assert abs(values.mean()) < 4 * values.std() / len(values) ** 0.5
    assert (mmd_squared(x, y, bandwidths=[1.0], statistic="v") >= 0).all()
    shifted = mmd_squared(x, y + 1, bandwidths=[1.0])
    assert shifted.mean() > 20 * shifted.std() / len(values) ** 0.5


def test_a_weight_is_so_many_copies() -> None:
    x, y = points(4, 2), points(3, 2, seed=1) + 0.3
    counts = torch.tensor([1, 3, 0, 2]), torch.tensor([2, 1, 4])
    copies = x.repeat_interleave(counts[0], dim=0), y.repeat_interleave(counts[1], dim=0)
    weights = {"weights_x": 0.7 * counts[0], "weights_y": counts[1].float()}
    ours = mmd_squared(x, y, bandwidths=[0.5, 2.0], statistic="v", **weights)
    torch.testing.assert_close(
        ours, mmd_squared(*copies, bandwidths=[0.5, 2.0], statistic="v"), rtol=1e-6, atol=0
    )
    alike = mmd_squared(
        x, y, weights_x=torch.full((4,), 3.0)
    )  # Equal weights: those of no weights.
    torch.testing.assert_close(alike, mmd_squared(x, y))
    batch = mmd_squared(x, y, weights_y=torch.stack([counts[1], counts[1].flip(0)])).tolist()
    each = [mmd_squared(x, y, weights_y=w).item() for w in (counts[1], counts[1].flip(0))]
    assert batch == pytest.approx(each)


def test_a_weighted_u_statistic_is_unbiased() -> None:
    x, y = points(3000, 6, 2), points(3000, 9, 2, seed=1)
    weights = torch.tensor([5.0, 1, 1, 1, 0, 2])
    values = mmd_squared(x, y, bandwidths=[1.0], weights_x=weights)
    assert abs(values.mean()) < 4 * values.std() / len(values) ** 0.5
    biased = mmd_squared(x, y, bandwidths=[1.0], weights_x=weights, statistic="v")
    assert biased.mean() > 20 * biased.std() / len(values) ** 0.5


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            torch.ones(3),
            r"`weights_x` should have shape \(\.\.\., 4\), a weight a point, got \(3,\)",
        ),
        (torch.tensor([1.0, -1, 1, 1]), "`weights_x` should lie"),
        (torch.tensor([1.0, 0, 0, 0]), "above 0 for at least 2 points of every sample"),
    ],
    ids=["shape", "negative", "one point"],
)
def test_bad_weights_are_told(weights: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mmd_squared(points(4, 2), points(4, 2), weights_x=weights)


def test_the_bandwidth_takes_no_gradient() -> None:
    x, y = points(6, 2).requires_grad_(), points(6, 2, seed=1)
    assert not median_distance(x, y).requires_grad
    width = [float(median_distance(x, y)) * f for f in (0.25, 0.5, 1, 2, 4)]
    one = torch.autograd.grad(mmd_squared(x, y), x)
    two = torch.autograd.grad(mmd_squared(x, y, bandwidths=width), x)
    torch.testing.assert_close(one, two)
    assert torch.autograd.gradcheck(lambda x: mmd_squared(x, y, bandwidths=[1.0]), [x])
    (at_equality,) = torch.autograd.grad(mmd_squared(x, x.detach(), statistic="v"), x)
    torch.testing.assert_close(at_equality, torch.zeros_like(x), rtol=0, atol=1e-12)


def test_a_median_of_repeated_points_is_above_zero() -> None:
    same = torch.zeros(5, 1)
    assert median_distance(same, same) == 1
    assert median_distance(same, torch.ones(1, 1)) == pytest.approx(5 / 15)


def test_entropic_agrees_with_pot_on_one_pair_and_goes_to_the_exact_cost() -> None:
    x, y = points(12, 2), points(15, 2, seed=1) + 1

    def cost(a: Tensor, b: Tensor) -> float:
        return float(ot.solve_sample(a, b, reg=0.3, max_iter=5000, tol=1e-10).value)

    ours = float(entropic_wasserstein2_squared(x, y, regularisation=0.3, tolerance=1e-10))
    assert ours == pytest.approx(cost(x, y) - cost(x, x) / 2 - cost(y, y) / 2, rel=1e-5)
    exact = float(ot.solve_sample(x, y).value)
    sharp = entropic_wasserstein2_squared(x, y, regularisation=0.01, tolerance=1e-4)
    assert float(sharp) == pytest.approx(exact, rel=0.02)


def test_entropic_broadcasts_vanishes_at_equality_and_has_gradients() -> None:
    x, y = points(2, 1, 6, 2), points(3, 6, 2, seed=1)
    both = entropic_wasserstein2_squared(x, y, regularisation=0.5)
    assert both.shape == (2, 3)
    one = entropic_wasserstein2_squared(x[1, 0], y[2], regularisation=0.5)
    torch.testing.assert_close(both[1, 2], one, rtol=1e-3, atol=1e-4)
    assert entropic_wasserstein2_squared(y, y, regularisation=0.5).abs().max() < 1e-8
    a = y[0, :3].clone().requires_grad_()
    settings = {"regularisation": 2.0, "tolerance": 1e-10}
    assert torch.autograd.gradcheck(
        lambda a: entropic_wasserstein2_squared(a, y[1], **settings), [a], atol=1e-4
    )


@given(seed=st.integers(0, 1000), bins=st.integers(1, 8))
def test_total_variation_is_half_the_distance_and_bounded(seed: int, bins: int) -> None:
    p, q = points(2, bins, seed=seed).softmax(-1)
    ours = float(total_variation(p, q))
    grid = np.arange(bins)
    events = [sum(float((p - q)[k]) for k in grid if mask >> k & 1) for mask in range(2**bins)]
    assert ours == pytest.approx(max(events), abs=1e-12)
    # Pinsker: 2 TV^2 <= KL.
    assert 2 * ours**2 <= scipy.stats.entropy(p.numpy(), q.numpy()) + 1e-12


@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_told() -> None:
    x, bad = torch.zeros(4, 2), torch.full((4, 2), torch.nan)
    for function in (mmd_squared, sliced_wasserstein2_squared):
        with pytest.raises(ValueError, match="as many dimensions as each other, got 2 and 3"):
            function(x, torch.zeros(4, 3))
        with pytest.raises(ValueError, match="`y` should be finite, got 8 NaN"):
            function(x, bad)
        with pytest.raises(ValueError, match=r"`x` should have shape \(N, D\)"):
            function(x[0], x)
        with pytest.raises(
            TypeError, match=r"`x` should be a floating tensor, got torch.int64: .*`x.float"
        ):
            function(x.long(), x)
    with pytest.raises(ValueError, match="`y` should have at least 2 points, got 1: a U-statistic"):
        mmd_squared(x, x[:1])
    with pytest.raises(ValueError, match="`bandwidths` should lie in"):
        mmd_squared(x, x, bandwidths=[0.0])
    with pytest.raises(ValueError, match="`bandwidths` should have at least one row"):
        mmd_squared(x, x, bandwidths=[])
    with pytest.raises(ValueError, match="`statistic` should be one of"):
        mmd_squared(x, x, statistic="t")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`projections` should lie in"):
        sliced_wasserstein2_squared(x, x, projections=0)
    with pytest.raises(ValueError, match=r"`projections` should have shape \(L, 2\)"):
        sliced_wasserstein2_squared(x, x, projections=torch.ones(3, 3))
    with pytest.raises(ValueError, match="`projections` should be finite"):
        sliced_wasserstein2_squared(x, x, projections=torch.full((3, 2), torch.nan))
    with pytest.raises(ValueError, match="`projections` should be directions, got 3 of 3 that are"):
        sliced_wasserstein2_squared(x, x, projections=torch.zeros(3, 2))
    for wrong in (2.5, np.ones((3, 2)), "all", True):
        with pytest.raises(
            TypeError, match=r"`projections` should be a whole number, got .*\(L, D"
        ):
            sliced_wasserstein2_squared(x, x, projections=wrong)  # type: ignore[arg-type]
    with pytest.raises(
        TypeError, match=r"`bandwidths` should be numbers .* got 'median': leave it"
    ):
        mmd_squared(x, x, bandwidths="median")  # type: ignore[arg-type]
    for width in (torch.inf, torch.nan):
        with pytest.raises(ValueError, match=r"`bandwidths` should lie in \(0, inf\)"):
            mmd_squared(x, x, bandwidths=[width])
    with pytest.raises(TypeError, match=r"`iterations` should be a whole number, got 2\.5"):
        entropic_wasserstein2_squared(x, x, regularisation=1.0, iterations=2.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="`y` should be a floating tensor, got list"):
        median_distance(x, [0.0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`x` should have at least 1 points, got 0"):
        sample_wasserstein2_squared(torch.zeros(0), torch.zeros(2))
    with pytest.raises(ValueError, match=r"`x` should have shape \(N,\)"):
        sample_wasserstein2_squared(torch.tensor(0.0), torch.zeros(2))
    for name, value in {"regularisation": 0.0, "iterations": 0, "tolerance": 0.0}.items():
        with pytest.raises(ValueError, match=f"`{name}` should lie in"):
            entropic_wasserstein2_squared(x, x, **({"regularisation": 1.0} | {name: value}))


@pytest.mark.usefixtures("unchecked")
def test_samples_whose_batches_do_not_fit_are_told() -> None:
    x, y = points(2, 4, 3), points(5, 4, 3)
    message = (
        r"`x` and `y` should have leading dimensions that broadcast, got \(2,\) and \(5,\): `x\["
    )
    for function in (mmd_squared, sliced_wasserstein2_squared, median_distance):
        with pytest.raises(ValueError, match=message):
            function(x, y)
    with pytest.raises(ValueError, match=message):
        entropic_wasserstein2_squared(x, y, regularisation=1.0)
    with pytest.raises(ValueError, match=message):
        sample_wasserstein2_squared(x[..., 0], y[..., 0])
    with pytest.raises(ValueError, match=r"`p` and `q` should have leading .* \(2,\) and \(5,\)"):
        total_variation(x[:, 0].softmax(-1), y[:, 0].softmax(-1))


def test_an_overflow_is_told() -> None:
    x, y = points(6, 2).float(), points(6, 2, seed=1).float()
    message = r"should be finite, got an overflow of torch.float32 in 1 of 1 values: rescale"
    with pytest.raises(ValueError, match=message):
        mmd_squared(1e20 * x, 1e20 * y)
    with pytest.raises(ValueError, match=message):
        mmd_squared(1e20 * x, 1e20 * y, bandwidths=[1.0])
    with pytest.raises(ValueError, match=message):
        mmd_squared(x, y, bandwidths=[1e-20])
    with pytest.raises(ValueError, match=message):
        median_distance(1e20 * x, 1e20 * y)
    with pytest.raises(ValueError, match=message):
        sliced_wasserstein2_squared(1e25 * x, 1e25 * y)
    with pytest.raises(ValueError, match=message):
        sample_wasserstein2_squared(1e20 * x[:, 0], 1e20 * y[:, 0])
    with pytest.raises(ValueError, match=message):
        entropic_wasserstein2_squared(1e20 * x, 1e20 * y, regularisation=1.0)


def test_directions_of_any_length_are_directions() -> None:
    x, y, directions = (
        points(9, 3).float(),
        points(9, 3, seed=1).float(),
        points(5, 3, seed=2).float(),
    )
    plain = sliced_wasserstein2_squared(x, y, projections=directions)
    for factor in (1e-30, 1e30):
        scaled = sliced_wasserstein2_squared(x, y, projections=factor * directions)
        torch.testing.assert_close(scaled, plain)


def test_iterations_that_do_not_suffice_are_told() -> None:
    x, y = points(20, 2), points(20, 2, seed=1)
    message = "After {} iterations 1 of 1 plans .* is off by up to .* tolerance of 1e-05: .*raise"
    with pytest.warns(UnconvergedWarning, match=message.format(100)):
        entropic_wasserstein2_squared(x, y, regularisation=1e-5, iterations=100)
    with pytest.warns(UnconvergedWarning, match=message.format(1)):
        entropic_wasserstein2_squared(x, y, regularisation=0.1, iterations=1)


@pytest.mark.usefixtures("unchecked")
def test_histograms_that_are_none_are_told() -> None:
    half = torch.tensor([0.5, 0.5])
    with pytest.raises(ValueError, match="`q` should have rows that sum to 1"):
        total_variation(half, torch.tensor([0.5, 0.6]))
    with pytest.raises(ValueError, match=r"`p` should be probabilities in \[0, 1\]"):
        total_variation(torch.tensor([1.5, -0.5]), half)
    with pytest.raises(ValueError, match="as many bins as each other, got 2 and 3"):
        total_variation(half, torch.tensor([0.5, 0.5, 0.0]))
    with pytest.raises(ValueError, match="`p` should be finite"):
        total_variation(half * torch.nan, half)
    with pytest.raises(ValueError, match=r"`p` should have shape \(K,\)"):
        total_variation(torch.tensor(1.0), half)


def test_a_missing_pot_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ot", None)
    monkeypatch.setitem(sys.modules, "ot.batch", None)
    x = torch.zeros(4, 2)
    with pytest.raises(ModuleNotFoundError, match=r"uncertain-torch\[transport\]"):
        entropic_wasserstein2_squared(x, x, regularisation=1.0)
