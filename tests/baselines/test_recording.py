"""Recorded inputs and gradients make the Jacobian that automatic differentiation gives."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from uncertain.baselines.recording import record, recorded_layers


def units(output: Tensor) -> Tensor:
    eye = torch.eye(output.shape[1], dtype=output.dtype)
    return eye[:, None].expand(-1, len(output), -1)


NETWORKS = {
    "linear": (nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), (3,)),
    "no bias": (nn.Sequential(nn.Linear(3, 4, bias=False), nn.Tanh(), nn.Linear(4, 2)), (3,)),
    "sequence": (
        nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Flatten(), nn.Linear(20, 2)),
        (5, 3),
    ),
    "convolution": (
        nn.Sequential(
            nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=1, dilation=(1, 2)),
            nn.Tanh(),
            nn.Conv2d(3, 2, 3, padding="same"),
            nn.Flatten(),
            nn.LazyLinear(2),
        ),
        (2, 5, 5),
    ),
    "valid": (
        nn.Sequential(nn.Conv2d(1, 2, 2, padding="valid"), nn.Flatten(), nn.LazyLinear(2)),
        (1, 4, 4),
    ),
}


@pytest.mark.parametrize("case", NETWORKS.values(), ids=NETWORKS.keys())
@pytest.mark.parametrize("frozen", [False, True])
def test_outer_products_are_the_jacobian(
    case: tuple[nn.Module, tuple[int, ...]], frozen: bool
) -> None:
    network, shape = copy.deepcopy(case[0]), case[1]
    x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    network(x)  # Lazy layers take their shape.
    network, x = network.double().requires_grad_(not frozen), x.double()
    names = recorded_layers(network)
    with torch.inference_mode():
        output, records = record(network, x, names, units)
    torch.testing.assert_close(output, network(x).detach())
    parameters = {k: v.detach() for k, v in network.named_parameters()}

    def single(p: dict[str, Tensor], row: Tensor) -> Tensor:
        return torch.func.functional_call(network, p, (row[None],))[0]

    jacobian = torch.func.vmap(torch.func.jacrev(single), (None, 0))(parameters, x)
    for name, one in zip(names, records, strict=True):
        found = torch.einsum("gnup,nip->ngui", one.gradients, one.inputs)
        layer = network.get_submodule(name)
        expected = jacobian[f"{name}.weight"].flatten(3)
        if layer.bias is not None:
            expected = torch.cat([expected, jacobian[f"{name}.bias"][..., None]], -1)
        torch.testing.assert_close(found, expected)


class Twice(nn.Module):
    def __init__(self, used: bool) -> None:
        super().__init__()
        self.layer, self.other, self.used = nn.Linear(2, 2), nn.Linear(2, 2), used

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.layer(x)) if self.used else self.layer(x)


def test_what_can_not_be_recorded_is_refused() -> None:
    with pytest.raises(ValueError, match="linear or 2d convolutional layers, got none"):
        recorded_layers(nn.ReLU())
    with pytest.raises(TypeError, match="one group with zero padding, got groups 2"):
        recorded_layers(nn.Sequential(nn.Conv2d(2, 2, 1, groups=2)))
    x = torch.ones(1, 2)
    with pytest.raises(ValueError, match="`layer` is used more than once"):
        record(Twice(True), x, ["layer", "other"], units)
    with pytest.raises(ValueError, match="`other` is not used in a pass"):
        record(Twice(False), x, ["layer", "other"], units)
