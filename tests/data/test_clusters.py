import dataclasses

import numpy as np
import pytest
import torch

from uncertain import data
from uncertain.data import DataSet, Split


def test_every_cluster_is_held_out_by_one_split_and_no_other():
    whole = data.load("breast_cancer")
    held = [data.held_out_cluster(whole, split, all_parts=True) for split in range(5)]
    strange = [set(h.ood["held_out"].row_ids.tolist()) for h in held]
    assert len(set.union(*strange)) == sum(map(len, strange)) == 569
    sizes = [len(whole.train) - len(h.train) for h in held]
    assert sizes == sorted(sizes, reverse=True)
    for h in held:
        kept = set.union(*(set(getattr(h, n).row_ids.tolist()) for n in h.card.sizes))
        assert not kept & set(h.ood["held_out"].row_ids.tolist())
        assert h.card.sizes["train"] == len(h.train)


def test_held_out_rows_lie_nearer_to_their_own_centre():
    whole = data.load("breast_cancer", dtype=torch.float64)
    held = data.held_out_cluster(whole, 0)
    scaled = data.standardise(whole)
    centre = scaled.train.x.mean(0)
    out = ~np.isin(whole.train.row_ids, held.train.row_ids)
    own = scaled.train.x[torch.from_numpy(out)]
    assert ((own - own.mean(0)) ** 2).sum(1).mean() < ((own - centre) ** 2).sum(1).mean()
    few = held.ood["held_out"]
    assert set(few.row_ids.tolist()) < set(whole.test.row_ids.tolist())
    assert set(few.y.tolist()) <= {0, 1}


def test_regression_has_clusters_too():
    held = data.held_out_cluster(data.load("diabetes"), 2, clusters=3)
    assert len(held.ood["held_out"]) > 0


def blobs() -> DataSet:
    x = torch.tensor([[0.0], [0.1], [0.2], [9.0], [9.1]], dtype=torch.float64)
    part = Split(x, torch.tensor([0, 0, 0, 1, 1]), np.arange(5), np.arange(5))
    card = data.load("breast_cancer").card
    return DataSet(part, part[:0], part, card)


def test_errors():
    with pytest.raises(ValueError, match=r"`split` should lie in \[0, 4\], got 5"):
        data.held_out_cluster(data.load("breast_cancer"), 5)
    with pytest.raises(ValueError, match=r"`clusters` should lie in"):
        data.held_out_cluster(data.load("breast_cancer"), clusters=1)
    with pytest.raises(ValueError, match="should be tabular"):
        data.held_out_cluster(data.load("digits"))
    with pytest.raises(ValueError, match="every class of breast_cancer, got 1, which holds all of"):
        data.held_out_cluster(blobs(), 1, clusters=2)
    unlabelled = dataclasses.replace(blobs(), train=dataclasses.replace(blobs().train, y=None))
    with pytest.raises(ValueError, match="should have targets"):
        data.held_out_cluster(unlabelled, 1, clusters=2)
