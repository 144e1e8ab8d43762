"""Recording features and logits: any network, any data, no trace, and files that are reused."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Categorical, MixtureSameFamily
from torch.utils.data import DataLoader, TensorDataset

from uncertain import baselines, data
from uncertain.evaluation import collect, load_collected
from uncertain.evaluation.fingerprints import RowsHash

X = torch.randn(11, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(11) % 3


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 3)).train()


def by_hand(network, x=X):
    inner = network[:3].eval()
    with torch.no_grad():
        features = inner(x)
        logits = network[3](features)
    network.train()
    return features.numpy(), logits.numpy()


def test_it_records_what_goes_through_the_last_layer(network):
    rows = collect(network, X)
    features, logits = by_hand(network)
    np.testing.assert_array_equal(rows.features, features)
    np.testing.assert_array_equal(rows.logits, logits)
    np.testing.assert_array_equal(rows.weight, network[3].weight.detach().numpy())
    np.testing.assert_array_equal(rows.bias, network[3].bias.detach().numpy())
    assert rows.facts["layer"] == "3"
    assert rows.labels is None
    assert rows.row_ids is None
    assert network.training


@pytest.mark.parametrize("batch_size", [1, 4, 11])
def test_batches_do_not_matter(network, batch_size):
    whole, batched = collect(network, X), collect(network, X, batch_size=batch_size)
    np.testing.assert_allclose(batched.logits, whole.logits, atol=1e-6)


@pytest.mark.parametrize(
    "rows",
    [
        (X, Y),
        (X.numpy(), Y.numpy()),
        TensorDataset(X, Y),
        DataLoader(TensorDataset(X, Y), batch_size=3),
        data.Split(X, Y, np.arange(11), np.arange(11)),
    ],
    ids=["pair", "arrays", "dataset", "loader", "split"],
)
def test_labels_come_with_any_data(network, rows):
    found = collect(network, rows, batch_size=4)
    np.testing.assert_array_equal(found.labels, Y)
    np.testing.assert_allclose(found.logits, collect(network, X).logits, atol=1e-6)
    assert (found.row_ids is not None) == isinstance(rows, data.Split)


def test_targets_that_are_no_classes_are_no_labels(network):
    assert collect(network, (X, X[:, 0])).labels is None


def test_images_of_bytes(network):
    images = data.ByteImages(torch.randint(0, 255, (5, 1, 2, 2), dtype=torch.uint8))
    flat = nn.Sequential(nn.Flatten(), network)
    split = data.Split(images, None, np.arange(5), np.arange(5))
    assert collect(flat, split).logits.shape == (5, 3)


class Head(nn.Module):
    """What a network may return: softmax, log-softmax, a distribution, a mapping, a tuple."""

    def __init__(self, network, answer):
        super().__init__()
        self.network, self.answer = network, answer

    def forward(self, x):
        return self.answer(self.network(x))


ANSWERS = {
    "softmax": lambda z: z.softmax(1),
    "log_softmax": lambda z: z.log_softmax(1),
    "categorical": lambda z: Categorical(logits=z),
    "mapping": lambda z: {"logits": z},
    "tuple": lambda z: (z, None),
    "half": lambda z: z.half(),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_raw_logits_are_kept_whatever_the_network_returns(network, answer):
    np.testing.assert_array_equal(collect(Head(network, answer), X).logits, by_hand(network)[1])


def test_what_follows_in_place_does_not_change_what_was_recorded(network):
    def spoil(z):
        return z.exp_().log_()

    np.testing.assert_array_equal(collect(Head(network, spoil), X).logits, by_hand(network)[1])


@pytest.mark.parametrize(
    "answer",
    [
        lambda z: z / 2,
        torch.relu,
        lambda z: z[:, :2],
        lambda z: "cat",
        lambda z: MixtureSameFamily(
            Categorical(torch.ones(len(z), 1)), Categorical(logits=z[:, None])
        ),
    ],
    ids=["scaled", "relu", "cut", "text", "mixture"],
)
def test_an_answer_that_is_more_than_the_last_layers_is_refused(network, answer):
    with pytest.raises(ValueError, match="`network` should answer with the logits"):
        collect(Head(network, answer), X)
    # Whoever names the layer knows.
    assert collect(Head(network, answer), X, layer="network.3").logits.shape == (11, 3)


def test_an_ensemble_is_refused(network):
    members = baselines.DeepEnsemble([baselines.Softmax(network), baselines.Softmax(network)])
    with pytest.raises(ValueError, match="before anything is averaged"):
        collect(members, X)


def test_a_layer_by_name_or_itself(network):
    for layer in ("0", network[0]):
        rows = collect(network, X, layer=layer)
        np.testing.assert_array_equal(rows.features, X)
        assert rows.facts["layer"] == "0"


def test_the_layer_called_last_counts_not_the_one_registered_last(network):
    network = nn.Sequential(network[0], network[1], network[2], network[3])
    network.add_module("unused", nn.Linear(2, 2))
    network.forward = lambda x: network[3](network[2](network[1](network[0](x))))
    assert collect(network, X, batch_size=4).facts["layer"] == "3"


@pytest.mark.parametrize("pool", [True, False], ids=["pooled after", "one position"])
def test_a_1x1_convolution_is_a_linear_layer(pool):
    size = 4 if pool else 1
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten()] if pool else []
    network = nn.Sequential(nn.Conv2d(2, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 3, 1), *tail)
    x = torch.randn(6, 2, size, size)
    rows = collect(network, x)
    with torch.no_grad():
        expected = network(x).reshape(6, 3)
    np.testing.assert_allclose(rows.logits, expected, atol=1e-6)
    np.testing.assert_allclose(rows.features @ rows.weight.T + rows.bias, expected, atol=1e-5)


def test_a_layer_without_bias():
    network = nn.Linear(4, 3, bias=False)
    np.testing.assert_array_equal(collect(network, X).bias, np.zeros(3))


def test_a_callable_around_a_module(network):
    rows = collect(lambda x: Categorical(logits=network(x)), X)
    np.testing.assert_array_equal(rows.logits, by_hand(network)[1])


def test_no_trace_is_left(network):
    states = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    network[2].eval()
    modes = [m.training for m in network.modules()]
    collect(network, X)
    with pytest.raises(RuntimeError, match="shapes"):
        collect(network, torch.zeros(3, 5))
    assert [m.training for m in network.modules()] == modes
    assert not any(m._forward_hooks for m in network.modules())
    assert torch.equal(torch.random.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002


def test_progress_counts_rows(network):
    seen = []
    collect(network, X, batch_size=4, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(4, 11), (8, 11), (11, 11)]


def test_half_precision_keeps_three_digits(network):
    rows = collect(network, X, dtype="float16")
    assert rows.features.dtype == rows.logits.dtype == np.float16
    np.testing.assert_allclose(rows.logits, by_hand(network)[1], atol=2e-3)


def test_what_half_precision_cannot_hold_is_refused(network):
    with pytest.raises(ValueError, match="`dtype` should be float32 for these features"):
        collect(network, 1e6 * X, dtype="float16")


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_file_holds_the_same_rows(network, tmp_path, dtype):
    split = data.Split(X, Y, np.arange(11), np.arange(11))
    path = tmp_path / "rows.parquet"
    kept = collect(network, split, dtype=dtype, out=path, batch_size=4, seed=3)
    direct = collect(network, split, dtype=dtype, batch_size=4, seed=3)
    for rows in (kept, load_collected(path)):
        for name in ("features", "logits", "weight", "bias", "labels", "row_ids"):
            np.testing.assert_array_equal(getattr(rows, name), getattr(direct, name))
            assert getattr(rows, name).dtype == getattr(direct, name).dtype
        assert rows.facts["network"] == direct.facts["network"]
        assert rows.facts["seed"] == 3
        assert rows.facts["versions"]["torch"] == torch.__version__


class Counting(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network, self.calls = network, 0

    def forward(self, x):
        self.calls += 1
        return self.network(x)


def test_the_same_rows_are_not_run_again(network, tmp_path):
    counting, path = Counting(network), tmp_path / "rows.parquet"
    first = collect(counting, (X, Y), out=path)
    again = collect(counting, DataLoader(TensorDataset(X, Y), batch_size=2), out=path)
    assert counting.calls == 1
    np.testing.assert_array_equal(first.features, again.features)
    np.testing.assert_array_equal(again.labels, Y)


def test_labels_may_come_after_the_file(network, tmp_path):
    counting, path = Counting(network), tmp_path / "rows.parquet"
    assert collect(counting, X, out=path).labels is None
    split = data.Split(X, Y, np.arange(11) + 5, np.arange(11))
    again = collect(counting, split, out=path)
    assert counting.calls == 1
    np.testing.assert_array_equal(again.labels, Y)
    np.testing.assert_array_equal(again.row_ids, np.arange(11) + 5)


@pytest.mark.parametrize("change", ["rows", "weights", "seed", "dtype", "layer", "file"])
def test_anything_else_is_run_again(network, tmp_path, change):
    counting, path = Counting(network), tmp_path / "rows.parquet"
    collect(counting, X, out=path)
    x = X + 1 if change == "rows" else X
    if change == "weights":
        with torch.no_grad():
            network[0].weight.mul_(2)
    if change == "file":
        path.write_bytes(path.read_bytes()[:-20])
    collect(
        counting,
        x,
        out=path,
        seed=1 if change == "seed" else None,
        dtype="float16" if change == "dtype" else "float32",
        layer="network.0" if change == "layer" else None,
    )
    assert counting.calls == 2


def test_a_failed_run_leaves_the_file_alone(network, tmp_path):
    path = tmp_path / "rows.parquet"
    collect(network, X, out=path)
    before = path.read_bytes()
    bad = torch.cat([X, torch.full((1, 4), torch.nan)])
    with pytest.raises(ValueError, match="`features` should be finite, got 6 NaN"):
        collect(network, bad, out=path, batch_size=4)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["rows.parquet"]


def test_rows_without_a_hash_are_always_run():
    hashed = RowsHash()
    hashed.update({"x": X, "y": [Y, Y.bfloat16()]})
    assert hashed.hexdigest()
    hashed.update(["a", "b"])
    assert hashed.hexdigest() is None


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 4)

    def forward(self, x):
        return self.head(self.head(x))


MISTAKES = {
    "no module": (lambda x: x, {}, TypeError, "`network` should be a module"),
    "no linear layer": (nn.ReLU(), {}, ValueError, "neither: detectors need its weight"),
    "unknown layer": (
        nn.Sequential(nn.Linear(4, 2)),
        {"layer": "fc"},
        ValueError,
        "got 'fc': its linear layers are '0'",
    ),
    "not linear": (
        nn.Sequential(nn.Linear(4, 2), nn.ReLU()),
        {"layer": "1"},
        ValueError,
        "1x1 convolution, got ReLU: the network's linear layers are '0'",
    ),
    "never called": (
        nn.ModuleDict({"a": nn.Linear(4, 2)}),
        {"layer": "a"},
        ValueError,
        "`layer` should be called when the network runs, got 'a'",
    ),
    "called twice": (Twice(), {"layer": "head"}, ValueError, "called 2 times"),
    "dtype": (nn.Linear(4, 2), {"dtype": "float61"}, ValueError, "`dtype` should be one of"),
    "batch_size": (nn.Linear(4, 2), {"batch_size": 0}, ValueError, "`batch_size` should be"),
}


@pytest.mark.parametrize("case", MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(case, unchecked):
    network, arguments, kind, message = case
    if isinstance(network, nn.ModuleDict):
        network.forward = lambda x: x
    with pytest.raises(kind, match=message):
        collect(network, X, **arguments)


def test_a_layer_with_several_rows_a_row_is_refused():
    with pytest.raises(ValueError, match=r"should have shape \(11, K\), one row of numbers each"):
        collect(nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Linear(2, 3)), X)


def test_pairs_have_one_length(network):
    with pytest.raises(ValueError, match="`x` and `y` should have as many rows"):
        collect(network, (X, Y[:3]))


def test_double_precision_networks_are_recorded_in_single(network):
    rows = collect(network.double(), X.double())
    assert rows.features.dtype == np.float32
    np.testing.assert_allclose(
        rows.logits,
        F.linear(torch.tensor(rows.features), *map(torch.tensor, (rows.weight, rows.bias))),
        atol=1e-6,
    )
