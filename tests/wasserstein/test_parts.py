"""Input measures, the head and label measures, each on its own."""

import pytest
import torch
from torch import Tensor

from uncertain.data import corrupt
from uncertain.discrepancy import gaussian_wasserstein2_squared
from uncertain.wasserstein import GaussianHead, LabelMeasures, Perturbed, PointCloud
from uncertain.wasserstein.parts import particle_spread


def noise(x: Tensor, generator: torch.Generator) -> Tensor:
    return x + torch.randn(x.shape, generator=generator)


def points(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_views_in_evaluation_belong_to_the_row() -> None:
    x = points(6, 2, 3)
    inputs = Perturbed(noise, particles=5, seed=1).eval()
    whole = inputs(x)
    assert whole.shape == (6, 5, 2, 3)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    assert torch.equal(inputs(x[order]), whole[order])
    assert torch.equal(torch.cat([inputs(row) for row in x.split(1)]), whole)
    assert not torch.equal(Perturbed(noise, particles=5, seed=2).eval()(x), whole)
    assert len({tuple(view.flatten().tolist()) for view in whole.flatten(0, 1)}) == 30
    assert inputs(x[:0]).shape == (0, 5, 2, 3)
    assert torch.equal(Perturbed(noise).eval()(x), x[:, None])


class Salted(torch.nn.Module):
    """A perturbation that has views of seeds too, and counts how often it is asked for them."""

    calls = 0

    def forward(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return noise(x, generator)

    def seeded(self, x: Tensor, seeds: Tensor) -> Tensor:
        self.calls += 1
        return corrupt(x, "impulse", 3, row_ids=seeds)


def test_views_of_seeds_belong_to_the_row_and_take_one_call() -> None:
    x = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    inputs = Perturbed(Salted(), particles=5, seed=1).eval()
    whole = inputs(x)
    assert inputs.perturb.calls == 1
    assert whole.shape == (6, 5, 1, 8, 8)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    assert torch.equal(inputs(x[order]), whole[order])
    assert torch.equal(torch.cat([inputs(row) for row in x.split(1)]), whole)
    assert not torch.equal(Perturbed(Salted(), particles=5, seed=2).eval()(x), whole)
    assert torch.equal(Perturbed(Salted(), particles=2, seed=1).eval()(x), whole[:, :2])
    assert len({tuple(view.flatten().tolist()) for view in whole.flatten(0, 1)}) == 30
    assert inputs(x[:0]).shape == (0, 5, 1, 8, 8)
    inputs.perturb.seeded = lambda x, seeds: x[:1]
    with pytest.raises(ValueError, match=r"`perturb.seeded\(x, seeds\)` should have shape"):
        inputs(x)


def test_training_draws_the_number_of_particles_and_fresh_views() -> None:
    x = points(4, 3)
    inputs = Perturbed(noise, train_particles=(1, 2, 4)).train()
    torch.manual_seed(0)
    seen = [inputs(x) for _ in range(40)]
    assert {views.shape[1] for views in seen} == {1, 2, 4}
    assert len({float(views[0, 0, 0]) for views in seen}) == 40
    torch.manual_seed(0)
    assert torch.equal(inputs(x), seen[0])


def test_a_cloud_is_its_own_measure() -> None:
    cloud = points(2, 12, 3)
    assert torch.equal(PointCloud()(cloud), cloud)
    parts = PointCloud(points=4)(cloud)
    assert parts.shape == (2, 3, 4, 3)
    assert torch.equal(parts[:, 1], cloud[:, 1::3])


@pytest.mark.parametrize("covariance", ["diagonal", "full", "none"])
def test_the_heads_factor_is_one(covariance: str) -> None:
    head = GaussianHead(5, 3, covariance=covariance, seed=0)
    mean, factor = head(10 * points(50, 5))
    assert mean.shape == (50, 3)
    if covariance == "none":
        assert factor.shape == (50, 1)
        assert (factor == 0).all()
        return
    deviations = factor.diagonal(dim1=-2, dim2=-1) if covariance == "full" else factor
    assert (deviations >= 1e-3).all()
    if covariance == "full":
        assert (factor.triu(1) == 0).all()
        assert (factor.tril(-1) != 0).any()
        exact = factor.double()  # rounding of the product must not decide
        eigenvalues = torch.linalg.eigvalsh(exact @ exact.mT)
        assert (eigenvalues > 0).all()


def test_the_seed_decides_the_head_and_touches_nothing() -> None:
    state = torch.get_rng_state()
    one, two, three = (GaussianHead(5, 3, seed=s) for s in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.mean.weight, two.mean.weight)
    assert not torch.equal(one.mean.weight, three.mean.weight)


@pytest.mark.parametrize(("classes", "d"), [(2, 2), (10, 8), (40, 16), (3, 1)])
def test_a_code_book_has_equal_traces_and_distances(classes: int, d: int) -> None:
    if d == 1:
        with pytest.raises(
            ValueError, match=r"`label_dim` should lie in \[2.*differ in shape only"
        ):
            LabelMeasures.code_book(classes, d)
        return
    book = LabelMeasures.code_book(classes, d, seed=0)
    deviations = book.deviations()
    torch.testing.assert_close(deviations.square().sum(1), torch.full((classes,), float(d)))
    zero = torch.zeros(d)
    between = gaussian_wasserstein2_squared(
        zero.expand(classes, 1, d),
        deviations.square()[:, None],
        zero.expand(classes, d),
        deviations.square(),
    )
    between.fill_diagonal_(torch.inf)
    assert between.min() > 0.1
    # A point mass is as far from every one, which is why a head without covariance is refused.
    point = gaussian_wasserstein2_squared(
        torch.ones(1, 1, d), torch.zeros(1, 1, d), zero.expand(classes, d), deviations.square()
    )
    torch.testing.assert_close(point, torch.full((1, classes), 2.0 * d))


def test_learnt_centred_measures_keep_their_traces() -> None:
    book = LabelMeasures.code_book(4, 3, learnable=True)
    book.log_deviations.data.add_(points(4, 3))
    torch.testing.assert_close(book.deviations().square().sum(1), torch.full((4,), 3.0))
    assert [name for name, _ in book.named_parameters()] == ["log_deviations"]
    assert not LabelMeasures.random(4, 3, learnable=False).means.requires_grad
    again = LabelMeasures(**book.constructor_arguments())  # type: ignore[arg-type]
    torch.testing.assert_close(again.deviations(), book.deviations())


def test_the_spread_is_unbiased_at_every_number_of_particles() -> None:
    """The law of total variance: within is E tr S, between is tr Cov m, whatever M."""
    generator = torch.Generator().manual_seed(0)
    deviations = torch.tensor([0.5, 1.5], dtype=torch.float64)
    for particles in (2, 4, 16):
        m = deviations * torch.randn(20_000, particles, 2, generator=generator, dtype=torch.float64)
        within, between = particle_spread(m, torch.full_like(m, 0.3))
        torch.testing.assert_close(within, torch.full_like(within, 0.18))
        error = between.std() / len(between) ** 0.5
        assert abs(between.mean() - 2.5) < 4 * error
    within, between = particle_spread(m[:, :1], torch.eye(2).double().expand(len(m), 1, 2, 2))
    assert between.isnan().all()
    assert (within == 2).all()


@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_told() -> None:
    with pytest.raises(ValueError, match=r"`particles` should lie in \[1.*None leaves"):
        Perturbed(noise, particles=0)
    with pytest.raises(ValueError, match=r"`train_particles` should lie in \[1"):
        Perturbed(noise, train_particles=(1, 0))
    with pytest.raises(ValueError, match="`train_particles` should have at least one"):
        Perturbed(noise, train_particles=())
    with pytest.raises(TypeError, match=r"`perturb` should be a callable .* got str"):
        Perturbed("noise")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`perturb\(x, generator\)` should have shape"):
        Perturbed(lambda x, generator: x[:1], particles=2).eval()(points(3, 2))
    with pytest.raises(ValueError, match=r"`points` should lie in \[1"):
        PointCloud(points=0)
    with pytest.raises(ValueError, match="`x` should have a multiple of 5 points a cloud, got 12"):
        PointCloud(points=5)(points(2, 12, 3))
    with pytest.raises(ValueError, match=r"`x` should have shape \(N, P, D\)"):
        PointCloud()(points(2, 3))
    with pytest.raises(ValueError, match="`covariance` should be one of diagonal, full, none"):
        GaussianHead(3, 2, covariance="diag")  # type: ignore[arg-type]
    for sizes in ((0, 2), (2, 0)):
        with pytest.raises(ValueError, match="should lie in"):
            GaussianHead(*sizes)
        with pytest.raises(ValueError, match="should lie in"):
            LabelMeasures.random(*sizes)
    zero, one = torch.zeros(2, 3), torch.ones(2, 3)
    with pytest.raises(ValueError, match=r"`means` should have shape \(C, D\)"):
        LabelMeasures(zero[0], one[0])
    with pytest.raises(ValueError, match=r"`deviations` should have shape \(2, 3\)"):
        LabelMeasures(zero, one[:1])
    with pytest.raises(ValueError, match=r"`deviations` should lie in \(0"):
        LabelMeasures(zero, zero)
    with pytest.raises(ValueError, match="`means` should be finite"):
        LabelMeasures(zero * torch.nan, one)
    with pytest.raises(ValueError, match="`deviations` should be finite"):
        LabelMeasures(zero, one * torch.nan)
    with pytest.raises(ValueError, match="`means` should be 0 for centred"):
        LabelMeasures(one, one, centered=True)
    with pytest.raises(ValueError, match="two label measures that are the same"):
        LabelMeasures(zero, one)
    with pytest.raises(ValueError, match="`means` should have at least one row"):
        LabelMeasures(zero[:0], one[:0])
    for wrong in (zero.long(), zero.numpy()):
        with pytest.raises(TypeError, match="`means` should be a floating tensor, got"):
            LabelMeasures(wrong, one)
    with pytest.raises(TypeError, match="`deviations` should be a floating tensor, got torch"):
        LabelMeasures(zero, one.long())
    with pytest.raises(TypeError, match=r"`num_classes` should be a whole number, got 2.5"):
        LabelMeasures.random(2.5, 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"`particles` should be a whole number, got 1.5"):
        Perturbed(noise, particles=1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"`train_particles` should be a whole number, got 1.5"):
        Perturbed(noise, train_particles=(1.5,))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"`train_particles` .* sequence .* got 4: \(4,\) is one"):
        Perturbed(noise, train_particles=4)  # type: ignore[arg-type]
    for inputs in (Perturbed(noise), PointCloud()):
        with pytest.raises(
            TypeError, match=r"`x` should be a tensor, got ndarray: torch.as_tensor"
        ):
            inputs(points(2, 12, 3).numpy())
    for size in (1, 4):
        with pytest.raises(ValueError, match="`x` should have points in every cloud"):
            PointCloud(points=size)(points(2, 0, 3))


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_a_view_that_is_not_finite_is_the_perturbations(training: bool) -> None:
    inputs = Perturbed(lambda x, generator: 0 / x, particles=2, train_particles=(2,))
    inputs.train(training)
    x = points(4, 3)
    inputs(x)
    x[2, 1] = 0
    with pytest.raises(ValueError, match=r"`perturb\(x, generator\)` should be finite, .* row 2"):
        inputs(x)
    x[2, 1] = torch.nan  # What the row itself lacks is for the backbone to fill.
    assert inputs(x).isnan().any()
