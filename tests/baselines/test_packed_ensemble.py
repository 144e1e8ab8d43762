"""Packed members are the small networks that their blocks are, and nothing passes between them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from uncertain.baselines import GaussianRegression, PackedEnsemble, Softmax, packed_mlp
from uncertain.baselines.packed_ensemble import GroupedLinear, PackedMLP
from uncertain.fit import Batch
from uncertain.predictive import class_log_probs, log_prob


def alone(network: PackedMLP, member: int) -> nn.Sequential:
    """Return one member as a plain network, its weights cut out of the packed ones."""
    layers: list[nn.Module] = []
    for layer in network:
        if not isinstance(layer, nn.Linear | GroupedLinear):
            layers += [layer] if isinstance(layer, nn.ReLU | nn.Flatten) else []
            continue
        matrix = layer.weight if isinstance(layer, nn.Linear) else torch.block_diag(*layer.weight)
        outputs = matrix.shape[0] // network.members
        rows = slice(member * outputs, (member + 1) * outputs)
        columns = slice(None)
        if isinstance(layer, GroupedLinear):
            inputs = matrix.shape[1] // network.members
            columns = slice(member * inputs, (member + 1) * inputs)
            others = matrix[rows].clone()
            others[:, columns] = 0
            assert not others.any()
        plain = nn.Linear(matrix[rows, columns].shape[1], outputs)
        plain.weight.data = matrix[rows, columns].detach()
        plain.bias.data = layer.bias[rows].detach()
        layers.append(plain)
    return nn.Sequential(*layers)


@pytest.mark.parametrize("groups", [1, 2])
def test_members_are_the_networks_that_their_blocks_are(groups: int) -> None:
    network = packed_mlp(5, 3, members=3, groups=groups, hidden=(9, 6), seed=0).eval()
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    found = class_log_probs(PackedEnsemble(Softmax(network), members=3)(x).component_distribution)
    for member in range(3):
        expected = alone(network, member)(x).log_softmax(-1)
        torch.testing.assert_close(found[:, member], expected)


def test_hidden_weights_are_those_of_the_paper() -> None:
    """Laurent et al., section 3.2: alpha squared over S gamma times those of the single network."""
    wide = 64
    for members, width, groups in ((4, 2.0, 1), (4, 4.0, 2), (2, 1.0, 1)):
        network = packed_mlp(
            3, 2, members=members, width=width, groups=groups, hidden=(wide, wide), seed=0
        )
        hidden = next(m for m in network if isinstance(m, GroupedLinear))
        assert hidden.weight.numel() == wide**2 * width**2 / (members * groups)


@pytest.mark.parametrize("vector", [False, True])
def test_the_objective_is_the_sum_over_members(vector: bool) -> None:
    y = torch.randn(6, 2) if vector else torch.randn(6)
    network = packed_mlp(5, 2 * (1 + vector), members=3, hidden=(8,), seed=0).eval()
    model = PackedEnsemble(GaussianRegression.from_data(network, y), members=3)
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
    weight = torch.tensor([0.5, 1.5, 1.0, 1.0, 2.0, 0.0])
    singles = [
        GaussianRegression(alone(network, s), loc=model.predictor.loc, scale=model.predictor.scale)
        for s in range(3)
    ]
    batch = Batch(x, y, weight, torch.arange(6), 6.0)
    expected = sum(batch.mean(-log_prob(single(x), y)) for single in singles)
    torch.testing.assert_close(model.objective(batch), expected)


def test_no_member_reaches_the_weights_of_another() -> None:
    network = packed_mlp(5, 3, members=3, groups=2, hidden=(8, 8), seed=0).eval()
    first = Softmax(network)(torch.ones(1, 5)).logits[0].sum()
    first.backward()
    for layer in network:
        if isinstance(layer, GroupedLinear):
            of_members = layer.weight.grad.unflatten(0, (3, -1)).abs().flatten(1).sum(dim=1)
            assert of_members[0] > 0
            assert (of_members[1:] == 0).all()


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="`members` should lie in"):
        PackedEnsemble(Softmax(nn.Linear(2, 2)), members=0)
    with pytest.raises(
        ValueError, match=r"should give 4 x 3 distributions.*got batch shape \(8,\)"
    ):
        PackedEnsemble(Softmax(packed_mlp(2, 2, members=2)), members=3)(torch.zeros(4, 2))
    with pytest.raises(ValueError, match="`inputs` should be a multiple of 2 groups, got 3"):
        GroupedLinear(3, 4, groups=2)
    with pytest.raises(ValueError, match="only hidden layers can be packed"):
        packed_mlp(3, 2, hidden=())
    with pytest.raises(ValueError, match="`width` should lie in"):
        packed_mlp(3, 2, width=0.0)
