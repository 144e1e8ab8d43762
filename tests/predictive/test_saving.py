"""Predictors on disk: what comes back is what went in, and nothing is pickled."""

import io
import os

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Normal
from torch.nn import functional

from uncertain.predictive import (
    Arguments,
    constructor_arguments,
    from_sklearn,
    load,
    mixture,
    save,
)

X = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))


class Head(nn.Module):
    """A predictor on a network, arguments kept under their names."""

    def __init__(self, network, *, temperature=1.0, activation=functional.relu, seed=0):
        super().__init__()
        self.network, self.temperature, self.seed = network, temperature, seed
        self.activation = activation
        mask = torch.rand(4, generator=torch.Generator().manual_seed(seed)) > 0.3
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x):
        return Categorical(logits=self.activation(self.network(x * self.mask)) / self.temperature)


class Ensemble(nn.Module):
    def __init__(self, members, weights=None):
        super().__init__()
        self.members, self.weights = nn.ModuleList(members), weights

    def forward(self, x):
        return mixture([member(x) for member in self.members], self.weights)


class Variadic(nn.Module):
    def __init__(self, *layers, shape=(1, 2), names=None):
        super().__init__()
        self.layers, self.shape, self.names = nn.ModuleList(layers), shape, names

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Renamed(nn.Module):
    """Keeps its argument under another name, and says so."""

    def __init__(self, width):
        super().__init__()
        self.layer = nn.Linear(4, width)

    def constructor_arguments(self):
        return {"width": self.layer.out_features}

    def forward(self, x):
        return self.layer(x)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(self.a(x))


class Own(nn.Sequential):
    """A Sequential with a constructor of its own."""

    def __init__(self, width):
        super().__init__(nn.Linear(4, width), nn.ReLU())
        self.width = width


class OwnList(nn.ModuleList):
    def __init__(self, width):
        super().__init__([nn.Linear(4, width)])
        self.width = width

    def forward(self, x):
        return self[0](x)


class OwnDict(nn.ModuleDict):
    def __init__(self, width):
        super().__init__({"a": nn.Linear(4, width)})
        self.width = width

    def forward(self, x):
        return self["a"](x)


class Branches(nn.Module):
    def __init__(self, branches):
        super().__init__()
        self.branches = nn.ModuleDict(branches)

    def forward(self, x):
        return sum(branch(x) for branch in self.branches.values())


def network(width=3):
    return nn.Sequential(
        nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, width, bias=False)
    )


def again(module, path):
    save(module, path)
    return load(path)


def same(module, other, x=X):
    assert type(module) is type(other)
    assert repr(module) == repr(other)
    first, second = module.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert value.dtype == second[name].dtype
        assert torch.equal(value, second[name])
    module.eval(), other.eval()
    one, two = module(x), other(x)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two)
    else:
        y = torch.zeros(len(x), dtype=torch.long)
        assert torch.equal(one.log_prob(y), two.log_prob(y))


IMAGE = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
LAYERS = {
    "nested sequential": (nn.Sequential(network(), nn.Tanh()), X),
    "convolutional": (
        nn.Sequential(
            nn.Conv2d(3, 4, (3, 3), stride=2, padding="valid" if False else 1, bias=False),
            nn.BatchNorm2d(4, eps=1e-3),
            nn.GELU(approximate="tanh"),
            nn.GroupNorm(2, 4),
            nn.MaxPool2d(2),
            nn.AdaptiveAvgPool2d((1, 1)),
            nn.Flatten(),
            nn.Linear(4, 2),
        ),
        IMAGE,
    ),
    "normalised": (
        nn.Sequential(nn.LayerNorm((4,), elementwise_affine=False), nn.LeakyReLU(0.3)),
        X,
    ),
    "batch norm without statistics": (
        nn.BatchNorm1d(4, affine=False, track_running_stats=False),
        X,
    ),
    "residual": (Branches({"main": network(4), "skip": nn.Identity()}), X),
    "own sequential": (Own(6), X),
    "own list": (OwnList(6), X),
    "own dict": (OwnDict(6), X),
    "renamed": (Renamed(7), X),
    "variadic": (
        Variadic(nn.Linear(4, 4), nn.ReLU(), shape=(3, (4, 5)), names={"a": [1, None]}),
        X,
    ),
    "tied": (Tied(), X),
    "bilinear embedding": (
        nn.Sequential(nn.Embedding(10, 4, padding_idx=1), nn.Flatten()),
        torch.arange(6).reshape(2, 3),
    ),
    "transformer": (
        nn.TransformerEncoder(
            nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True, activation="gelu"),
            2,
        ),
        X[None],
    ),
    "head": (Head(network(), temperature=2.0, seed=3), X),
    "head with another activation": (Head(network(), activation=torch.tanh), X),
    "ensemble": (Ensemble([Head(network(), seed=i) for i in range(3)], [0.2, 0.3, 0.5]), X),
}


@pytest.mark.parametrize("name", LAYERS)
def test_round_trip(name, tmp_path):
    module, x = LAYERS[name]
    same(module, again(module, tmp_path / "m.pt"), x)
    assert os.listdir(tmp_path) == ["m.pt"]


def test_a_file_is_plain_values(tmp_path):
    save(Head(network()), tmp_path / "m.pt")
    content = torch.load(tmp_path / "m.pt", weights_only=True)
    assert content["format"] == 1
    assert content["modules"][-1]["class"].endswith("test_saving:Head")
    assert content["modules"][0]["class"] == "torch.nn:Linear"


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize(
    "layer",
    [
        nn.LSTM(4, 3, num_layers=2, bidirectional=True, batch_first=True, proj_size=2),
        nn.GRU(4, 3, bias=False),
        nn.RNN(4, 3, nonlinearity="relu"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_recurrent_layers(layer, tmp_path):
    other = again(layer, tmp_path / "m.pt")
    assert torch.equal(layer(X[None])[0], other(X[None])[0])


def test_attention(tmp_path):
    layer = nn.MultiheadAttention(4, 2, bias=False, batch_first=True)
    other = again(layer, tmp_path / "m.pt")
    assert torch.equal(layer(X[None], X[None], X[None])[0], other(X[None], X[None], X[None])[0])


def test_shared_modules_stay_one(tmp_path):
    shared = network()
    module = Ensemble([Head(shared, seed=1), Head(shared, seed=2)])
    other = again(module, tmp_path / "m.pt")
    assert other.members[0].network is other.members[1].network
    tied = again(Tied(), tmp_path / "t.pt")
    assert tied.a.weight is tied.b.weight


def test_dtype_freezing_and_modes(tmp_path):
    module = Head(network()).double()
    module.network[0].weight.requires_grad_(False)
    module.network[2].eval()
    other = again(module, tmp_path / "m.pt")
    assert other.network[0].weight.dtype == torch.float64
    assert not other.network[0].weight.requires_grad
    assert other.network[0].bias.requires_grad
    assert other.training
    assert not other.network[2].training


def test_nothing_global_changes(tmp_path):
    module = Head(network())
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    again(module, tmp_path / "m.pt")
    assert torch.equal(torch.rand(1), expected)


def test_a_view_does_not_drag_its_storage_along(tmp_path):
    module = nn.Linear(2, 2)
    module.weight.data = torch.zeros(1000, 1000)[:2, :2]
    save(module, tmp_path / "m.pt")
    assert (tmp_path / "m.pt").stat().st_size < 10_000


def test_arguments_of_a_layer():
    assert constructor_arguments(nn.Linear(3, 4)) == Arguments(
        (), {"in_features": 3, "out_features": 4, "bias": True}
    )


# --- refusals ---------------------------------------------------------------------------------


class Forgetful(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.layer = nn.Linear(4, width)


class Greedy(nn.Module):
    def __init__(self, **options):
        super().__init__()


class Holder(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value


class Hidden(nn.Module):
    """Keeps a network where `state_dict` does not look."""

    def __init__(self, networks):
        super().__init__()
        self.networks = list(networks)


class Random(nn.Module):
    """Draws a buffer that no argument determines."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.rand(3), persistent=False)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Forgetful(), r"`Forgetful` should keep its constructor argument `width` as an attribute"),
        (Greedy(), "should keep its constructor argument `options`"),
        (Holder(object()), "got `value` of type object: pass plain values"),
        (Holder(lambda x: x), r"got `value`, <lambda> of|got `value`, .*lambda"),
        (Holder(os.system), "got `value`, 'system' of posix"),
        (Holder(io.BytesIO), "got `value`, 'BytesIO' of _io"),
        (Hidden([nn.Linear(2, 2)]), r"should be registered in the predictor"),
        (lambda x: Normal(x, 1.0), "should be an nn.Module to be saved, got function: write it as"),
    ],
)
def test_what_cannot_be_stored(module, message, tmp_path):
    with pytest.raises(TypeError, match=message):
        getattr(save, "__wrapped__", save)(module, tmp_path / "m.pt")
    assert os.listdir(tmp_path) == []


def test_estimators_are_not_pickled(tmp_path):
    from sklearn.tree import DecisionTreeClassifier

    predictor = from_sklearn(DecisionTreeClassifier().fit([[0.0], [1.0]], [0, 1]))
    function = getattr(save, "__wrapped__", save)
    with pytest.raises(TypeError, match="an estimator can only be pickled, which is not done here"):
        function(predictor, tmp_path / "m.pt")


def test_local_and_main_classes(tmp_path, monkeypatch):
    class Local(nn.Module):
        pass

    with pytest.raises(TypeError, match="a class defined in a function: move it to a module"):
        save(Local(), tmp_path / "m.pt")
    monkeypatch.setattr(Forgetful, "__module__", "__main__")
    with pytest.raises(TypeError, match="a class defined in __main__"):
        save(Forgetful(), tmp_path / "m.pt")
    monkeypatch.setattr(Forgetful, "__module__", "tests.predictive.test_driver")
    with pytest.raises(TypeError, match="should be importable from `tests"):
        save(Forgetful(), tmp_path / "m.pt")


def test_what_was_changed_after_it_was_made(tmp_path):
    module = network()
    module[0] = nn.Linear(4, 8)
    save(module, tmp_path / "m.pt")  # a Sequential is what it holds
    renamed = Renamed(3)
    renamed.layer = nn.Sequential(nn.Linear(4, 3))
    renamed.layer.out_features = 3
    with pytest.raises(ValueError, match="should match the stored state, got 2 entries without"):
        save(renamed, tmp_path / "m.pt")
    rate = Head(network())
    rate.constructor_arguments = lambda: {"network": network(), "seed": 1}
    with pytest.raises(TypeError, match="should be registered"):
        save(rate, tmp_path / "m.pt")
    dropped = Own(3)
    dropped[1] = nn.Tanh()
    with pytest.raises(ValueError, match=r"got '\(1\): ReLU\(\)' where it has '\(1\): Tanh\(\)'"):
        save(dropped, tmp_path / "m.pt")
    with pytest.raises(ValueError, match="should draw its buffer `mask` from its constructor"):
        save(Random(), tmp_path / "m.pt")


def rewritten(path, change):
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format=2), r"format 1 or older, got 2 \(saved with uncertain .*update"),
        (lambda c: c.update(kind="other"), "got something else"),
        (
            lambda c: c["modules"][-1].update({"class": "gone:Net"}),
            "importable .* got nothing there",
        ),
        (lambda c: c["modules"][-1].update({"class": "os:system"}), "should be a class of modules"),
        (lambda c: c["modules"][-1]["keyword"].update(extra=1), "Its code has changed"),
        (
            lambda c: c["state"].pop("network.0.bias"),
            r"1 entries without a value \(network.0.bias\)",
        ),
        (
            lambda c: c["state"].update({"network.0.bias": torch.zeros(9)}),
            r"`network.0.bias` should have shape \(8,\) in today's code, got \(9,\)",
        ),
        (
            lambda c: c["modules"][-1]["keyword"].update(activation={"code": "torch:os.system"}),
            "should be a function of torch or of this library.* got code from elsewhere",
        ),
        (
            lambda c: c["modules"][-1]["keyword"].update(activation={"code": "uncertain:no.thing"}),
            "got nothing there",
        ),
        (lambda c: c["modules"][-1]["keyword"].update(seed={"evil": 1}), "`tag` should be one of"),
    ],
)
def test_files_that_do_not_fit_today(change, message, tmp_path):
    path = tmp_path / "m.pt"
    save(Head(network()), path)
    rewritten(path, change)
    with pytest.raises(ValueError, match=message):
        load(path)


def test_damaged_files(tmp_path):
    path = tmp_path / "m.pt"
    with pytest.raises(FileNotFoundError, match=r"m\.pt"):
        load(path)
    save(Head(network()), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="that `save` wrote, got a file that cannot be read"):
        load(path)
    torch.save(Head(network()), path)  # a pickle
    with pytest.raises(ValueError, match="cannot be read as plain values and tensors"):
        load(path)


def test_an_old_file_survives_a_failed_save(tmp_path):
    path = tmp_path / "m.pt"
    save(network(), path)
    before = path.read_bytes()
    with pytest.raises(TypeError, match="width"):
        save(Forgetful(), path)
    assert path.read_bytes() == before
