import dataclasses
import hashlib

import numpy as np
import pytest
import torch

from uncertain import data
from uncertain.data import held_out


@pytest.mark.parametrize(("classes", "kept"), held_out.CLASS_SPLITS)
def test_the_listed_splits_are_what_the_hash_gives(classes, kept):
    for split, listed in enumerate(held_out.CLASS_SPLITS[classes, kept]):
        assert held_out.held_out_labels(classes, kept, split) == listed
        texts = {c: f"held-out classes 1/{classes}/{split}/{c}" for c in range(classes)}
        order = sorted(texts, key=lambda c: hashlib.sha256(texts[c].encode()).hexdigest())
        assert sorted(order[kept:]) == list(listed)
    assert len(set(held_out.CLASS_SPLITS[classes, kept])) == held_out.SPLITS


@pytest.mark.parametrize("split", range(5))
def test_no_held_out_row_is_left_in_any_part(split):
    whole = data.load("digits")
    known = data.held_out_classes(whole, split)
    out = held_out.CLASS_SPLITS[10, 7][split]
    stay = [c for c in range(10) if c not in out]
    for name in ("train", "validation", "test"):
        before, after = getattr(whole, name), getattr(known, name)
        keep = ~np.isin(before.y.numpy(), out)
        assert np.array_equal(after.row_ids, before.row_ids[keep])
        assert [stay[c] for c in after.y.tolist()] == before.y[keep].tolist()
        assert torch.equal(after.x, before.x[torch.from_numpy(keep)])
        assert known.card.sizes[name] == len(after)
    strange = known.ood["held_out"]
    assert set(strange.y.tolist()) == set(out)
    assert len(strange) + len(known.test) == len(whole.test)
    assert not set(strange.row_ids) & set(known.test.row_ids)
    assert known.card.classes == tuple(map(str, stay))


def test_all_parts_can_serve():
    whole = data.load("digits")
    few, many = (data.held_out_classes(whole, 1, all_parts=flag) for flag in (False, True))
    assert set(few.ood["held_out"].row_ids) < set(many.ood["held_out"].row_ids)
    labels = torch.cat([whole.train.y, whole.validation.y, whole.test.y])
    expected = sum((labels == c).sum().item() for c in held_out.CLASS_SPLITS[10, 7][1])
    assert len(many.ood["held_out"]) == expected
    assert np.array_equal(few.train.row_ids, many.train.row_ids)


def test_few_classes_and_the_number_kept():
    known = data.held_out_classes(data.load("wine"), 0)
    assert len(known.card.classes) == 2
    assert len(data.held_out_classes(data.load("digits"), 0, kept=4).card.classes) == 4


def test_errors():
    with pytest.raises(ValueError, match=r"`split` should lie in \[0, 4\], got 5"):
        data.held_out_classes(data.load("digits"), 5)
    with pytest.raises(ValueError, match="classification set, got diabetes"):
        data.held_out_classes(data.load("diabetes"))
    with pytest.raises(ValueError, match=r"`kept` should lie in \[1, 9\], got 10"):
        data.held_out_classes(data.load("digits"), kept=10)
    wine = data.load("wine")
    unlabelled = dataclasses.replace(wine, train=dataclasses.replace(wine.train, y=None))
    with pytest.raises(ValueError, match="labels in every part, got none"):
        data.held_out_classes(unlabelled)
