"""Members of rank one, computed as the paper does: vectors on both sides of a shared layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from uncertain.baselines import BatchEnsemble, Softmax, convolutional, mlp
from uncertain.fit import Batch
from uncertain.predictive import class_log_probs


def moved(model: BatchEnsemble) -> BatchEnsemble:
    """Away from signs and zero biases, as after some training."""
    g = torch.Generator().manual_seed(5)
    for group in (model.inputs, model.outputs, model.biases):
        for p in group:
            p.data += 0.3 * torch.randn(p.shape, generator=g)
    return model


def by_vectors(model: BatchEnsemble, member: int, x: torch.Tensor) -> torch.Tensor:
    """Wen et al., equation 5: ((x * v) W') * u + b."""
    place = 0
    for module in model.predictor.network:
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            u, v = model.outputs[place][member], model.inputs[place][member]
            b = module.bias + model.biases[place][member]
            shape = (-1, *(1 for _ in module.weight.shape[2:]))
            plain = module(x * v.reshape(shape)) - module.bias.reshape(shape)
            x = plain * u.reshape(shape) + b.reshape(shape)
            place += 1
        else:
            x = module(x)
    return x.log_softmax(-1)


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (mlp(5, 3, hidden=(6,), seed=0), (5,)),
        (convolutional((1, 8, 8), 3, width=2, hidden=4, seed=0), (1, 8, 8)),
    ],
)
def test_members_are_the_papers(network: nn.Module, shape: tuple[int, ...]) -> None:
    model = moved(BatchEnsemble(Softmax(network), members=3, seed=1)).eval()
    x = torch.randn(4, *shape, generator=torch.Generator().manual_seed(0))
    found = class_log_probs(model(x).component_distribution)
    for member in range(3):
        torch.testing.assert_close(found[:, member], by_vectors(model, member, x))


def test_the_objective_is_the_sum_over_members() -> None:
    model = moved(BatchEnsemble(Softmax(mlp(5, 3, seed=0)), members=3)).eval()
    x, y = torch.randn(6, 5), torch.arange(6) % 3
    logs = class_log_probs(model(x).component_distribution)
    expected = -logs[torch.arange(6), :, y].mean(0).sum()
    batch = Batch(x, y, torch.ones(6), torch.arange(6), 6.0)
    torch.testing.assert_close(model.objective(batch), expected)


def test_vectors_start_as_signs_and_a_layer_may_have_no_bias() -> None:
    model = BatchEnsemble(Softmax(nn.Linear(3, 2, bias=False)), members=4)
    assert {
        abs(float(v)) for p in (*model.inputs, *model.outputs) for v in p.detach().flatten()
    } == {1.0}
    assert len(model.biases) == 0
    assert model(torch.ones(2, 3)).batch_shape == (2,)


@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="linear or convolutional layers, got none"):
        BatchEnsemble(Softmax(nn.Flatten()))
    with pytest.raises(ValueError, match="`members` should lie in"):
        BatchEnsemble(Softmax(nn.Linear(2, 2)), members=0)
