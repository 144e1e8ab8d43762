"""An ensemble whose members share their weights up to a factor of rank one.

``N`` rows, ``S`` members.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, MixtureSameFamily

from uncertain import checks
from uncertain.fit import Batch
from uncertain.predictive import log_prob, mixture

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class BatchEnsemble(nn.Module):
    r"""S members that share every weight matrix up to an outer product of two vectors.

    .. math:: W_s = W \circ (u_s v_s^\top), \qquad b_s = b + \delta_s

    for every linear and convolutional layer, with u over outputs and v over inputs (channels). An
    ensemble of four costs a few per cent more parameters than one network; it takes as many passes
    as members. u and v start as random signs, so that members differ from the first step.

    Its objective is the sum of its members' likelihoods on the same rows, as for
    :class:`DeepEnsemble`. The shared W couples them: members agree more than networks that were
    trained apart, and say less of what is not known.

    Args:
        predictor: A predictor to be trained from its start: ``Softmax``, ``GaussianRegression``, or
            any module whose forward returns a distribution.
        members: S.
        seed: Of the signs.

    Raises:
        ValueError: Where the predictor has no such layer, or ``members`` is below one.

    References:
        Y. Wen, D. Tran and J. Ba, "BatchEnsemble: an alternative approach to efficient ensemble and
        lifelong learning", 2020, equation 1.

    Example:
        >>> from uncertain.baselines import Softmax, cost, mlp
        >>> single = Softmax(mlp(3, 2, seed=0))
        >>> ensemble = BatchEnsemble(single, members=4)
        >>> ensemble(torch.zeros(5, 3)).component_distribution.batch_shape
        torch.Size([5, 4])
        >>> cost(ensemble).parameters < 2 * cost(single).parameters
        True
    """

    def __init__(self, predictor: nn.Module, *, members: int = 4, seed: int = 0) -> None:
        super().__init__()
        checks.check_range("members", members, 1)
        self.predictor = predictor
        self.members, self.seed = members, seed
        self._names = [n for n, m in predictor.named_modules() if isinstance(m, LAYERS)]
        if not self._names:
            raise ValueError(
                "`predictor` should have linear or convolutional layers, got none: its members "
                "would be the same."
            )
        generator = torch.Generator().manual_seed(seed)
        self.outputs, self.inputs = nn.ParameterList(), nn.ParameterList()
        self.biases = nn.ParameterList()
        for name in self._names:
            layer: Any = predictor.get_submodule(name)
            weight = layer.weight
            self.outputs.append(_signs(members, weight.shape[0], generator, weight))
            self.inputs.append(_signs(members, weight.shape[1], generator, weight))
            if layer.bias is not None:
                self.biases.append(nn.Parameter(weight.new_zeros(members, weight.shape[0])))

    def forward(self, x: Any) -> MixtureSameFamily:
        """Return the mixture of all members for each row."""
        return mixture([self._member(x, member) for member in range(self.members)])

    def objective(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the sum over members of the weighted mean negative log-likelihood, in nats."""
        losses = [
            batch.mean(-log_prob(self._member(batch.x, member), batch.y))
            for member in range(self.members)
        ]
        return torch.stack(losses).sum()

    def _member(self, x: Any, member: int) -> Distribution:
        changed: dict[str, Tensor] = {}
        biases = iter(self.biases)
        for name, u, v in zip(self._names, self.outputs, self.inputs, strict=True):
            layer: Any = self.predictor.get_submodule(name)
            factor = u[member][:, None] * v[member]
            shape = (*factor.shape, *(1 for _ in layer.weight.shape[2:]))
            prefix = f"{name}." if name else ""
            changed[f"{prefix}weight"] = layer.weight * factor.reshape(shape)
            if layer.bias is not None:
                changed[f"{prefix}bias"] = layer.bias + next(biases)[member]
        dist: Distribution = torch.func.functional_call(self.predictor, changed, (x,))
        return dist


def _signs(members: int, width: int, generator: torch.Generator, like: Tensor) -> nn.Parameter:
    coins = torch.randint(0, 2, (members, width), generator=generator)
    return nn.Parameter((2 * coins - 1).to(like))
