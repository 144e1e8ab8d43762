"""Shares among the nearest rows, held against scikit-learn's."""

from __future__ import annotations

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from tests.baselines.heads import clusters
from uncertain.baselines import KNNHead, neighbours


@pytest.mark.parametrize("k", [1, 4, 40])
def test_shares_are_those_of_the_nearest_rows(k: int) -> None:
    bank, labels = clusters(40)
    h, _ = clusters(15, seed=1)
    head = KNNHead(bank, labels, neighbours=k, smoothing=0.25, normalise=False)
    model = KNeighborsClassifier(k).fit(bank, labels)
    share = torch.from_numpy(model.predict_proba(h))
    torch.testing.assert_close(head(h).probs, (k * share + 0.25) / (k + 0.75))
    furthest = torch.from_numpy(model.kneighbors(h)[0][:, -1])
    torch.testing.assert_close(head.score(h), furthest)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    bank, labels = clusters(40)
    h, _ = clusters(15, seed=1)
    head = KNNHead(bank, labels, neighbours=3)
    whole = head(h).probs
    monkeypatch.setattr(neighbours, "_ENTRIES", 100)
    torch.testing.assert_close(head(h).probs, whole)
    assert head(h[:0]).batch_shape == (0,)


def test_rows_at_the_same_distance_count_in_their_order() -> None:
    bank = torch.tensor([[1.0], [-1.0], [1.0], [-1.0], [1.0]])
    head = KNNHead(bank, torch.arange(5), neighbours=2, normalise=False)
    votes = head(torch.zeros(3, 1)).probs * 4.5 - 0.5
    torch.testing.assert_close(votes, torch.tensor([[1.0, 1, 0, 0, 0]] * 3))


def test_normalised_features_are_compared_by_direction() -> None:
    bank, labels = clusters(40)
    head = KNNHead.from_data(bank, labels, neighbours=3)
    torch.testing.assert_close(head(9 * bank).probs, head(bank).probs)
    assert float(head.score(bank).max()) <= 2


def test_a_small_bank_has_fewer_neighbours() -> None:
    bank, labels = clusters(4)
    assert KNNHead.from_data(bank, labels, neighbours=50).neighbours == 4


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused() -> None:
    bank, labels = clusters(6)
    with pytest.raises(ValueError, match=r"`neighbours` should lie in .1, 6., got 7: rows of the"):
        KNNHead(bank, labels, neighbours=7)
    with pytest.raises(ValueError, match="`smoothing` should lie in"):
        KNNHead(bank, labels, neighbours=2, smoothing=0.0)
    with pytest.raises(ValueError, match=r"`labels` should have shape \(6,\)"):
        KNNHead(bank, labels[1:], neighbours=2)
    with pytest.raises(ValueError, match="`labels` should be class indices from 0 to 1"):
        KNNHead(bank, labels, neighbours=2, classes=2)
    with pytest.raises(ValueError, match="`bank` should have at least one row"):
        KNNHead(bank[:0], labels[:0])
