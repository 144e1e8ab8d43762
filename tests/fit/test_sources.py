"""Every kind of data is one length and rows by index, without copies."""

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from tests.fit.models import line, regression, same_bits, state_of
from uncertain.fit import Source, fit, from_dataset
from uncertain.fit.sources import TensorSource, as_source

X, Y = regression(10)
INDEX = torch.tensor([7, 0, 7])


class Items(Dataset):
    def __init__(self, together=False):
        if together:
            self.__getitems__ = lambda places: [self[place] for place in places]

    def __len__(self):
        return 10

    def __getitem__(self, place):
        return X[place], Y[place]


@pytest.mark.parametrize(
    "data",
    [
        (X, Y),
        (X.numpy(), Y.numpy()),
        TensorDataset(X, Y),
        Items(),
        Items(together=True),
        Subset(TensorDataset(X, Y), range(10)),
        from_dataset(Items(), weight=torch.ones(10)),
    ],
    ids=["tensors", "arrays", "tensor data set", "items", "many items", "subset", "weighted items"],
)
def test_rows(data):
    source = as_source(data)
    assert len(source) == 10
    x, y = source.rows(INDEX)
    assert torch.equal(x, X[INDEX])
    assert torch.equal(y, Y[INDEX])


def test_tensors_are_not_copied():
    for data in ((X, Y), TensorDataset(X, Y), (X.numpy(), Y.numpy())):
        source = as_source(data)
        assert [t.data_ptr() for _, t in source.columns()] == [X.data_ptr(), Y.data_ptr()]


def test_read_only_arrays_are_welcome():
    array = np.ones((3, 2))
    array.setflags(write=False)
    assert as_source((array, np.zeros(3))).rows(torch.tensor([1])).x.tolist() == [[1.0, 1.0]]


def test_inputs_of_several_parts():
    data = ({"image": X, "more": (Y, X[:, :1])}, Y)
    source = as_source(data)
    x, _ = source.rows(INDEX)
    assert torch.equal(x["image"], X[INDEX])
    assert torch.equal(x["more"][1], X[INDEX, :1])
    assert [name for name, _ in source.columns()] == ["x.image", "x.more.0", "x.more.1", "y"]
    with pytest.raises(ValueError, match=r"`x.image` and `x.more` should have as many rows"):
        as_source(({"image": X, "more": Y[:3]}, Y))


def test_a_source_of_ones_own():
    class Squares:
        weight = None

        def __len__(self):
            return 10

        def rows(self, index):
            return TensorSource(X**2, Y).rows(index)

        def columns(self):
            return iter(())

    assert isinstance(Squares(), Source)
    model, other = line(), line()
    fit(model, Squares(), steps=3, batch_size=4)
    fit(other, (X**2, Y), steps=3, batch_size=4)
    assert same_bits(state_of(model), state_of(other))


def test_a_data_set_trains_as_its_tensors():
    model, other = line(), line()
    weight = torch.arange(10)
    fit(model, from_dataset(Items(), weight=weight), steps=5, batch_size=4)
    fit(other, (X, Y, weight.double()), steps=5, batch_size=4)
    torch.testing.assert_close(state_of(model), state_of(other))


def test_weights_of_a_tensor_data_set():
    assert as_source(TensorDataset(X, Y, Y.abs())).weight is not None
    assert from_dataset(TensorDataset(X, Y), weight=Y.abs()).weight is not None


@pytest.mark.usefixtures("unchecked")
def test_what_is_no_data():
    class Stream(IterableDataset):
        def __iter__(self):
            yield X[0], Y[0]

    class Triples(Items):
        def __getitem__(self, place):
            return X[place], Y[place], 1.0

    class Mapped(Items):
        def __getitem__(self, place):
            return {"x": X[place]}

    with pytest.raises(
        TypeError, match="should have a length and rows by index, got Stream: a str"
    ):
        as_source(Stream())
    with pytest.raises(ValueError, match=r"should have items .x, y., got 3: .*from_dataset"):
        as_source(Triples()).rows(INDEX)
    with pytest.raises(ValueError, match=r"should have items .x, y., got dict"):
        as_source(Mapped()).rows(INDEX)
    with pytest.raises(ValueError, match="`data` and `weight` should have as many rows"):
        from_dataset(Items(), weight=torch.ones(3))
    with pytest.raises(TypeError, match="`data` should be a tuple"):
        as_source(3)
