"""Scaled cosines to learned directions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity

from tests.baselines.heads import clusters
from uncertain.baselines import CosineHead


def test_logits_are_scaled_cosines() -> None:
    h, y = clusters()
    head = CosineHead.from_data(h, y, scale=7.0)
    means = np.stack([h[y == c].numpy().mean(0) for c in range(3)])
    cosines = torch.from_numpy(cosine_similarity(h.numpy(), means))
    torch.testing.assert_close(head(h).probs, (7 * cosines).softmax(-1))
    torch.testing.assert_close(head.score(h).detach(), 1 - cosines.amax(-1))


def test_length_does_not_count_and_confidence_is_bounded() -> None:
    h, y = clusters()
    head = CosineHead.from_data(h, y, scale=3.0)
    torch.testing.assert_close(head(1e4 * h).logits, head(h).logits)
    most = torch.tensor([3.0, -3.0, -3.0]).softmax(-1)[0]
    assert (head(h).probs <= most).all()


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="`directions` should have shape"):
        CosineHead(torch.ones(3))
    with pytest.raises(ValueError, match="`scale` should lie in"):
        CosineHead(torch.ones(2, 2), scale=-1.0)
    with pytest.raises(ValueError, match=r"`features` should have shape \(N, 2\)"):
        CosineHead(torch.ones(2, 2))(torch.ones(3, 4))
