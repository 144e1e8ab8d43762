import dataclasses

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from uncertain import data
from uncertain.data import Split


def rows(dataset):
    parts = [dataset.train, dataset.validation, dataset.test, *dataset.ood.values()]
    return [set(part.row_ids.tolist()) for part in parts]


@pytest.mark.parametrize("all_parts", [False, True])
def test_rows_beyond_the_quantile_are_in_no_part(all_parts):
    whole = data.load("diabetes")
    near = data.extrapolation(whole, all_parts=all_parts)
    train, validation, test, far = rows(near)
    assert not (train | validation | test) & far
    kept = train | validation | test | far
    everything = set.union(*rows(whole))
    assert (kept == everything) == all_parts
    assert near.card.sizes == {
        "train": len(train),
        "validation": len(validation),
        "test": len(test),
    }
    assert near.ood["extrapolation"].y is not None
    assert abs(len(whole.train) - len(train) - 0.2 * len(whole.train)) <= 1


def test_the_axis_is_the_first_component_of_the_scaled_training_inputs():
    whole = data.load("diabetes", dtype=torch.float64)
    near = data.extrapolation(whole, share=0.3)
    train = whole.train.x.numpy()
    centre, scale = train.mean(0), train.std(0)
    loading = PCA(1).fit((train - centre) / scale).components_[0]
    loading *= np.sign(loading[np.argmax(np.abs(loading))])
    place = (train - centre) / scale @ loading
    kept = np.isin(whole.train.row_ids, near.train.row_ids)
    assert place[kept].max() < place[~kept].min()
    far = (near.ood["extrapolation"].x.numpy() - centre) / scale @ loading
    assert np.all(np.diff(far) >= 0)
    assert far[0] > place[kept].max()


def test_a_column_by_name_or_place():
    whole = data.load("diabetes")
    named, placed = data.extrapolation(whole, along="bmi"), data.extrapolation(whole, along=2)
    assert np.array_equal(named.train.row_ids, placed.train.row_ids)
    assert named.train.x[:, 2].max() < named.ood["extrapolation"].x[:, 2].min()
    assert "quantile of column bmi" in named.card.problems[-1]


def test_other_partners_stay():
    whole = data.load("diabetes")
    near = data.extrapolation(whole.with_ood({"own": whole.test[:3]}))
    assert set(near.ood) == {"own", "extrapolation"}


def test_errors():
    whole = data.load("diabetes")
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match=r"`share` should lie in \(0, 1\)"):
            data.extrapolation(whole, share=share)
    with pytest.raises(ValueError, match="did you mean bmi"):
        data.extrapolation(whole, along="bni")
    with pytest.raises(ValueError, match=r"`along` should lie in \[0, 9\], got 10"):
        data.extrapolation(whole, along=10)
    with pytest.raises(ValueError, match="should be tabular"):
        data.extrapolation(data.load("digits"))

    def flat(part: Split) -> Split:
        return dataclasses.replace(part, x=torch.ones_like(part.x))

    constant = dataclasses.replace(whole, train=flat(whole.train))
    with pytest.raises(ValueError, match=r"training rows on both sides.*0 of 310 lie beyond"):
        data.extrapolation(constant, along=0)
