"""A start that is already a model: near the principal directions at nearly every row."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from uncertain.gp import Deformation
from uncertain.gp.initialisation import cluster_centres, projection, start, start_at


def standard(count: int, inputs: int, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(count, inputs, generator=g, dtype=torch.float64)
    return (x - x.mean(0)) / x.std(0, unbiased=False)


@pytest.mark.parametrize(("inputs", "latent"), [(1, 1), (2, 2), (8, 8), (8, 2), (20, 3), (2, 3)])
@pytest.mark.filterwarnings("ignore:`latent_dim`")
def test_the_matrix_is_within_5_percent_of_its_target_at_95_percent_of_rows(
    inputs: int, latent: int
) -> None:
    x = standard(200, inputs)
    layer, points = start(x, latent, count=20, given=None, seed=0)
    target = projection(x, latent)
    matrix, variance = layer.matrix(x)
    off = (matrix - target).flatten(1).norm(dim=1) / target.norm()
    assert (off <= 0.05).double().mean() >= 0.95
    assert points.shape == (20, latent)
    # Small hidden variances, and near inputs that don't run apart.
    size = (matrix - matrix.mean(0)).square().mean() + layer.log_variance.exp().mean()
    assert variance.mean() < size
    length = layer.log_lengthscale.exp().square()
    gain = layer.log_variance.exp()[:, None] * x.square().sum(1).mean() / length
    assert gain.mean(1).sum() <= 1 + 1e-9


def test_the_projection_is_the_identity_or_the_leading_directions() -> None:
    x = standard(300, 3)
    same = projection(x, 3)
    torch.testing.assert_close(same, torch.eye(3).double() / 3**0.5)
    mixed = x @ torch.tensor([[1.0, 1, 0], [-1, 1, 0], [0, 0, 0.1]]).double()
    first = projection(mixed, 2)
    _, _, directions = torch.linalg.svd(mixed - mixed.mean(0), full_matrices=False)
    span = directions[:2].T @ directions[:2]
    unit = first / first.norm(dim=1, keepdim=True)
    torch.testing.assert_close(unit.T @ unit, span, rtol=0, atol=1e-6)
    torch.testing.assert_close(
        (mixed @ first.T).var(0, unbiased=False).sum(), torch.ones(()).double()
    )


def test_lengthscales_widen_where_the_points_are_too_few() -> None:
    x = standard(200, 8)
    layer = Deformation(x[:1], latent_dim=8, lengthscale=0.1)
    start_at(layer, x, projection(x, 8))
    assert (layer.log_lengthscale > torch.tensor(0.1).log()).all()
    off = (layer.matrix(x)[0] - projection(x, 8)).flatten(1).norm(dim=1)
    assert (off <= 0.05).double().mean() >= 0.95


def test_centres_are_in_the_middle_of_clusters_and_few_rows_are_themselves() -> None:
    centres = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]]).double()
    x = centres.repeat_interleave(20, 0) + 0.1 * standard(60, 2)
    found = cluster_centres(x, 3, 0)
    nearest = torch.cdist(found, centres).amin(1)
    assert (nearest < 0.1).all()
    assert torch.equal(cluster_centres(x[:2].repeat(5, 1), 3, 0), x[:2].unique(dim=0))


def test_given_points_are_used_for_both_and_bent() -> None:
    x = standard(30, 2)
    layer, points = start(x, None, count=None, given=x[:7], seed=0)
    assert torch.equal(layer.inducing_points, x[:7])
    torch.testing.assert_close(points, layer(x[:7])[0])


def test_more_latent_dimensions_than_inputs_is_noted() -> None:
    with pytest.warns(UserWarning, match="`latent_dim` is 3 for 2 inputs"):
        layer, _ = start(standard(20, 2), 3, count=5, given=None, seed=0)
    assert layer.mean.shape == (3, 2, 2)
    assert not layer.mean[2].any()
