"""Gaussian classes of one covariance, held against scikit-learn's discriminant analysis."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from tests.baselines.heads import clusters
from uncertain.baselines import MahalanobisHead


@pytest.mark.parametrize("shrinkage", [0.0, 0.3])
def test_it_agrees_with_linear_discriminant_analysis(shrinkage: float) -> None:
    h, y = clusters(50)
    head = MahalanobisHead.from_data(h, y, shrinkage=shrinkage)
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
    if shrinkage:
        # scikit-learn shrinks each class's covariance to its own mean variance.
        covariance = sum(
            (y == c).double().mean().item() * np.cov(h[y == c].numpy().T, bias=True)
            for c in range(3)
        )
        even = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        inverse = np.linalg.inv((1 - shrinkage) * covariance + shrinkage * even)
        means = head.means.numpy()
        distances = cdist(h.numpy(), means, "mahalanobis", VI=inverse) ** 2
        joint = torch.from_numpy(-distances / 2) + head.log_prior
        torch.testing.assert_close(head(h).probs, joint.softmax(-1))
        torch.testing.assert_close(head.score(h), torch.from_numpy(distances.min(1)))
        return
    expected = torch.from_numpy(model.set_params(shrinkage=None).fit(h, y).predict_proba(h))
    torch.testing.assert_close(head(h).probs, expected)


def test_a_weight_of_k_counts_as_k_copies() -> None:
    h, y = clusters(20)
    copies = torch.arange(20) % 4
    weighted = MahalanobisHead.from_data(h, y, weights=copies)
    copied = MahalanobisHead.from_data(
        h.repeat_interleave(copies, 0), y.repeat_interleave(copies), classes=3
    )
    torch.testing.assert_close(weighted(h).logits, copied(h).logits)


def test_a_temperature_divides_what_distances_say() -> None:
    h, y = clusters(30)
    cold, warm = (MahalanobisHead.from_data(h, y, temperature=t) for t in (1.0, 5.0))
    torch.testing.assert_close(warm(h).logits, (cold(h).logits / 5).log_softmax(-1))
    assert torch.equal(cold.score(h), warm.score(h))


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused() -> None:
    h, y = clusters(30)
    flat = torch.cat([h, h[:, :1]], 1)
    with pytest.raises(ValueError, match=r"covariance of full rank .* give `shrinkage` above 0"):
        MahalanobisHead.from_data(flat, y, shrinkage=0.0)
    assert MahalanobisHead.from_data(flat, y, shrinkage=0.1)(flat).logits.isfinite().all()
    with pytest.raises(ValueError, match="`shrinkage` should lie in"):
        MahalanobisHead.from_data(h, y, shrinkage=1.5)
    eye, ones = torch.eye(2), torch.zeros(3)
    with pytest.raises(ValueError, match=r"`whitening` should have shape \(4, 4\)"):
        MahalanobisHead(torch.ones(3, 4), eye, ones)
    with pytest.raises(ValueError, match=r"`log_prior` should have shape \(3,\)"):
        MahalanobisHead(torch.ones(3, 2), eye, ones[1:])
    with pytest.raises(ValueError, match="`temperature` should lie in"):
        MahalanobisHead(torch.ones(3, 2), eye, ones, temperature=0.0)
