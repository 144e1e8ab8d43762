"""Fixed normal points, and roots of covariances that rounding has spoilt."""

from __future__ import annotations

import torch

from uncertain.baselines.nodes import gaussian_logits, root
from uncertain.predictive import class_probs
from uncertain.predictive.nodes import normal_nodes


def test_points_are_standard_normal_and_follow_the_seed() -> None:
    points = normal_nodes(1024, 3, 0)
    torch.testing.assert_close(points.mean(0), torch.zeros(3).double(), rtol=0, atol=0.02)
    torch.testing.assert_close(points.T.cov(), torch.eye(3).double(), rtol=0, atol=0.06)
    assert torch.equal(points, normal_nodes(1024, 3, 0))
    assert not torch.equal(points, normal_nodes(1024, 3, 1))
    assert normal_nodes(2, 30_000, 0).shape == (2, 30_000)


def test_the_mixture_is_the_softmax_averaged_over_the_gaussian() -> None:
    mean = torch.tensor([[0.5, -1.0, 0.0]], dtype=torch.float64)
    a = torch.tensor([[[1.0, 0, 0], [0.5, 2, 0], [-1, 0.3, 0.7]]], dtype=torch.float64)
    covariance = a @ a.mT
    found = class_probs(gaussian_logits(mean, covariance, normal_nodes(4096, 3, 0)))
    g = torch.Generator().manual_seed(0)
    z = torch.randn(400_000, 3, generator=g, dtype=torch.float64)
    expected = (mean + z @ a[0].T).softmax(-1).mean(0)
    torch.testing.assert_close(found[0], expected, rtol=0, atol=2e-3)


def test_a_root_squares_to_the_covariance_and_a_bad_row_is_lifted_alone() -> None:
    a = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    good = a @ a.mT
    torch.testing.assert_close(root(good) @ root(good).mT, good)
    bad = good.clone()
    bad[1] = torch.diag(torch.tensor([1.0, 1.0, -1e-3, 0.0]))
    factor = root(bad)
    assert factor.isfinite().all()
    assert torch.equal(factor[[0, 2]], root(good)[[0, 2]])
    assert torch.equal(root(torch.zeros(1, 2, 2)).round(decimals=6), torch.zeros(1, 2, 2))
