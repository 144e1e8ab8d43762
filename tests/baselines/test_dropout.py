"""Fixed masks: one network a member, whatever rows it is asked about."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from uncertain import baselines
from uncertain.baselines import MonteCarloDropout, Softmax
from uncertain.fit import Batch


def masks(layer: nn.Module, x: Tensor, *, members: int = 3, seed: int = 0) -> Tensor:
    """(N, S, features): what a network that is one dropout layer makes of ones."""
    network = nn.Sequential(layer, nn.Flatten())
    predictor = MonteCarloDropout(network, members=members, seed=seed)
    mixed = predictor(x).component_distribution.logits
    # log_softmax of {0, 1 / (1 - p)} keeps differences; the smallest entry of a row was dropped.
    return mixed - mixed.min(dim=-1, keepdim=True).values


def test_a_member_has_one_mask_for_all_rows() -> None:
    drawn = masks(nn.Dropout(0.5), torch.ones(6, 40))
    torch.testing.assert_close(drawn, drawn[:1].expand_as(drawn), rtol=0, atol=0)
    assert not torch.equal(drawn[0, 0], drawn[0, 1])
    values = drawn.unique().tolist()
    assert [round(v, 4) for v in sorted({round(v, 4) for v in values})] == [0.0, 2.0]


def test_masks_keep_the_mean_and_drop_the_share_they_should() -> None:
    drawn = masks(nn.Dropout(0.3), torch.ones(1, 4000), members=8)
    share = (drawn > 0.5).double().mean()
    assert abs(float(share) - 0.7) < 5 * (0.21 / 32_000) ** 0.5
    torch.testing.assert_close(drawn.max(), torch.tensor(1 / 0.7), rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Dropout1d(0.5), (2, 16, 5)),
        (nn.Dropout2d(0.5), (2, 16, 3, 4)),
        (nn.Dropout3d(0.5), (2, 16, 2, 2, 2)),
    ],
)
def test_channel_dropout_drops_whole_channels(layer: nn.Module, shape: tuple[int, ...]) -> None:
    drawn = masks(layer, torch.ones(shape)).reshape(2, 3, 16, -1)
    torch.testing.assert_close(drawn, drawn[..., :1].expand_as(drawn), rtol=0, atol=0)
    assert (drawn[..., 0] == 0).any()
    assert (drawn[..., 0] > 0).any()


def test_the_seed_decides_and_more_members_keep_the_first() -> None:
    x = torch.ones(1, 60)
    few, many, other = (
        masks(nn.Dropout(0.5), x, members=m, seed=s) for m, s in ((2, 0), (5, 0), (2, 1))
    )
    assert torch.equal(few, many[:, :2])
    assert not torch.equal(few, other)


def test_two_layers_and_two_uses_of_a_layer_have_masks_of_their_own() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.5)
            self.other = nn.Dropout(0.5)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([self.drop(x), self.drop(x), self.other(x)], dim=1)

    logits = MonteCarloDropout(Twice(), members=1)(torch.ones(1, 50)).component_distribution.logits
    first, second, third = logits[0, 0].split(50)
    assert not torch.equal(first, second)
    assert not torch.equal(first, third)


def test_members_are_the_network_times_explicit_masks() -> None:
    torch.manual_seed(0)
    hidden, out = nn.Linear(4, 30).double(), nn.Linear(30, 3).double()
    drop = nn.Dropout(0.4)
    network = nn.Sequential(hidden, drop, out)
    predictor = MonteCarloDropout(network, members=5, seed=2).double()
    x = torch.randn(6, 4, dtype=torch.float64)
    captured: list[Tensor] = []
    handle = out.register_forward_hook(lambda _, args, __: captured.append(args[0]))
    logits = predictor(x).component_distribution.logits
    handle.remove()
    for member, value in enumerate(captured):
        mask = (value / hidden(x)).round(decimals=9)
        assert set(mask.unique().tolist()) == {0.0, round(1 / 0.6, 9)}
        expected = out(hidden(x) * mask[:1]).log_softmax(-1)
        torch.testing.assert_close(logits[:, member], expected)


def test_what_comes_before_the_first_dropout_runs_once() -> None:
    network = baselines.convolutional((1, 8, 8), 3, width=4, hidden=8, dropout=0.2, seed=0)
    calls = {"first": 0, "last": 0}
    network[0].register_forward_hook(lambda *_: calls.__setitem__("first", calls["first"] + 1))
    network[-1].register_forward_hook(lambda *_: calls.__setitem__("last", calls["last"] + 1))
    MonteCarloDropout(network, members=7)(torch.zeros(2, 1, 8, 8))
    assert calls == {"first": 1, "last": 7}


def test_sharing_the_trunk_changes_nothing() -> None:
    class Opaque(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)

    relu = nn.ReLU()  # One module in two places: a chain runs it twice.
    torch.manual_seed(0)
    layers = [nn.Linear(4, 8), relu, nn.Linear(8, 8), relu, nn.Dropout(0.5), nn.Linear(8, 3)]
    x = torch.randn(5, 4)
    chain, opaque = (
        MonteCarloDropout(kind(*layers), members=4, seed=1)(x).component_distribution.logits
        for kind in (nn.Sequential, Opaque)
    )
    assert torch.equal(chain, opaque)


def test_the_average_over_masks_of_a_linear_network_is_the_network() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Dropout(0.5), nn.Linear(20, 2)).double()
    predictor = MonteCarloDropout(network, members=400)
    x = torch.randn(1, 20, dtype=torch.float64)
    logits = predictor(x).component_distribution.logits[0]
    gap = logits[:, 0] - logits[:, 1]
    expected = network.eval()(x)[0]
    error = (gap.mean() - (expected[0] - expected[1])).abs()
    assert error < 5 * gap.std() / 400**0.5


def test_training_mode_predicts_with_the_fixed_masks_and_leaves_no_trace() -> None:
    network = baselines.mlp(3, 2, dropout=0.5, seed=0)
    predictor = MonteCarloDropout(network, members=3)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    expected = predictor.eval()(x).component_distribution.logits
    predictor.train()
    state = torch.random.get_rng_state()
    assert torch.equal(predictor(x).component_distribution.logits, expected)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(module.training for module in network.modules())
    assert not any(module._forward_hooks for module in network.modules())
    torch.manual_seed(0)
    assert not torch.equal(network(x), network(x))  # Training itself still draws at random.


def test_an_error_leaves_no_trace_either() -> None:
    network = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 2))
    predictor = MonteCarloDropout(network, members=3).train()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        predictor(torch.zeros(2, 5))
    assert not any(module._forward_hooks for module in network.modules())
    assert network[0].training


def test_the_objective_is_the_softmax_loss_with_random_masks() -> None:
    network = baselines.mlp(3, 2, dropout=0.5, seed=0)
    x, y = torch.randn(8, 3), torch.arange(8) % 2
    batch = Batch(x, y, torch.ones(8), torch.arange(8), 8.0)
    values = []
    for predictor in (MonteCarloDropout(network), Softmax(network)):
        torch.manual_seed(1)
        values.append(predictor.train().objective(batch))
    assert torch.equal(*values)


def test_masks_from_inference_mode_serve_a_later_backward_pass() -> None:
    predictor = MonteCarloDropout(baselines.mlp(3, 2, dropout=0.5, seed=0), members=2)
    x = torch.randn(4, 3)
    with torch.inference_mode():
        predictor(x)
    predictor(x).log_prob(torch.zeros(4)).sum().backward()
    assert all(p.grad is not None for p in predictor.parameters())


def test_everything_dropped_leaves_zeros() -> None:
    predictor = MonteCarloDropout(nn.Sequential(nn.Dropout(1.0), nn.Linear(3, 2)), members=2)
    logits = predictor(torch.randn(2, 3)).component_distribution.logits
    assert logits.isfinite().all()
    torch.testing.assert_close(logits[0], logits[1])


def test_networks_whose_members_would_be_equal_are_refused() -> None:
    with pytest.raises(ValueError, match="should have a dropout layer with p above 0, got none"):
        MonteCarloDropout(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0)))
    with pytest.raises(TypeError, match="got alpha dropout: its masks also shift"):
        MonteCarloDropout(nn.Sequential(nn.AlphaDropout(0.5)))
    with pytest.raises(ValueError, match=r"`members` should lie in \[1, inf\], got 0"):
        MonteCarloDropout(nn.Dropout(0.5), members=0)

    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, x: Tensor) -> Tensor:
            return x

    with pytest.raises(RuntimeError, match="None of the network's dropout layers was called"):
        MonteCarloDropout(Unused())(torch.zeros(2, 2))
