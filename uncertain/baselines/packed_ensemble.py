"""An ensemble of small networks that are computed as one, by layers in groups.

``N`` rows, ``S`` members.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, MixtureSameFamily

from uncertain import checks
from uncertain.baselines.networks import seeded
from uncertain.fit import Batch
from uncertain.predictive import log_prob, mixture
from uncertain.predictive.composition import parts


class PackedEnsemble(nn.Module):
    r"""S networks, each a share of one network's width, in one pass of it.

    A network of width D has D times D weights a layer; S members of width :math:`\alpha D / S` have
    :math:`\alpha^2 / S` as many, and as the blocks of one matrix they are computed together. At
    :math:`\alpha = 2` and S = 4 the ensemble has the hidden weights of the single network.

    Its objective is the sum of its members' likelihoods on the same rows, as for
    :class:`DeepEnsemble`; nothing couples them.

    Args:
        predictor: ``Softmax``, ``GaussianRegression`` or another module on a packed network
            (:func:`packed_mlp`), whose distribution has N times S entries, a row's members in a row.
        members: S, as of the network.

    Raises:
        ValueError: Where ``members`` is below one, or the predictor answers otherwise when called.

    References:
        O. Laurent, A. Lafage, E. Tartaglione, G. Daniel, J.-M. Martinez, A. Bursuc and G. Franchi,
        "Packed-ensembles for efficient uncertainty estimation", ICLR (2023), section 3.

    Example:
        >>> from uncertain.baselines import Softmax
        >>> ensemble = PackedEnsemble(Softmax(packed_mlp(3, 2, members=4, seed=0)), members=4)
        >>> ensemble(torch.zeros(5, 3)).component_distribution.batch_shape
        torch.Size([5, 4])
    """

    def __init__(self, predictor: nn.Module, *, members: int = 4) -> None:
        super().__init__()
        checks.check_range("members", members, 1)
        self.predictor, self.members = predictor, members

    def forward(self, x: Any) -> MixtureSameFamily:
        """Return the mixture of all members for each row.

        Raises:
            ValueError: Where the predictor gives another number of distributions than rows times S.
        """
        return mixture(self._each(x))

    def objective(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the sum over members of the weighted mean negative log-likelihood, in nats."""
        each = parts(self._each(batch.x))
        losses = [
            batch.mean(
                -log_prob(each.build({n: t[:, s] for n, t in each.tensors.items()}), batch.y)
            )
            for s in range(self.members)
        ]
        return torch.stack(losses).sum()

    def _each(self, x: Any) -> Distribution:
        """Return the members' distributions, of batch shape (N, S)."""
        dist = self.predictor(x)
        rows = (len(x), self.members)
        if tuple(dist.batch_shape) != (math.prod(rows),):
            raise ValueError(
                f"`predictor` should give {rows[0]} x {rows[1]} distributions, one a row and member, "
                f"got batch shape {tuple(dist.batch_shape)}: put it on a `packed_mlp` of as many members."
            )
        whole = parts(dist)
        tensors = {name: t.reshape(*rows, *t.shape[1:]) for name, t in whole.tensors.items()}
        return whole.build(tensors)


class GroupedLinear(nn.Module):
    """Linear maps of G groups of features, each by itself: a matrix of G blocks.

    Args:
        inputs: Features in, a multiple of G.
        outputs: Features out, a multiple of G.
        groups: G.

    Raises:
        ValueError: Where G divides neither, or sizes are below one.

    Example:
        >>> GroupedLinear(6, 4, groups=2)(torch.zeros(3, 6)).shape
        torch.Size([3, 4])
    """

    def __init__(self, inputs: int, outputs: int, *, groups: int) -> None:
        super().__init__()
        checks.check_range("groups", groups, 1)
        for name, size in (("inputs", inputs), ("outputs", outputs)):
            checks.check_range(name, size, 1)
            if size % groups:
                raise ValueError(f"`{name}` should be a multiple of {groups} groups, got {size}.")
        self.inputs, self.outputs, self.groups = inputs, outputs, groups
        # As a linear layer of one group's size starts.
        reach = (groups / inputs) ** 0.5
        blocks = torch.empty(groups, outputs // groups, inputs // groups)
        self.weight = nn.Parameter(blocks.uniform_(-reach, reach))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-reach, reach))

    def forward(self, x: Float[Tensor, "N inputs"]) -> Float[Tensor, "N outputs"]:
        """Return every group's map of its features."""
        grouped = x.reshape(len(x), self.groups, self.inputs // self.groups)
        out = torch.einsum("ngi,goi->ngo", grouped, self.weight)
        return out.reshape(len(x), self.outputs) + self.bias


class _Unpacked(nn.Module):
    """Rows of one member each, a row's members in a row."""

    def __init__(self, members: int) -> None:
        super().__init__()
        self.members = members

    def forward(self, x: Float[Tensor, "N packed"]) -> Float[Tensor, "rows outputs"]:
        return x.reshape(len(x) * self.members, x.shape[1] // self.members)


class PackedMLP(nn.Sequential):
    """S perceptrons in one; see :func:`packed_mlp`."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        members: int = 4,
        width: float = 2.0,
        groups: int = 1,
        hidden: Sequence[int] = (64, 64),
        dropout: float = 0.1,
    ) -> None:
        for name, size in {"inputs": inputs, "outputs": outputs, "members": members}.items():
            checks.check_range(name, size, 1)
        checks.check_range("groups", groups, 1)
        checks.check_range("width", width, 0, open_low=True)
        checks.check_range("dropout", dropout, 0, 1, open_high=True)
        checks.check_not_empty("hidden", hidden, hint="only hidden layers can be packed")
        # Of one member, a multiple of its own groups.
        widths = [groups * math.ceil(width * size / (members * groups)) for size in hidden]
        layers: list[nn.Module] = [nn.Flatten(), nn.Linear(inputs, members * widths[0])]
        for before, after in itertools.pairwise(widths):
            layers += [nn.ReLU(), nn.Dropout(dropout)]
            layers += [GroupedLinear(members * before, members * after, groups=members * groups)]
        layers += [nn.ReLU(), nn.Dropout(dropout)]
        layers += [GroupedLinear(members * widths[-1], members * outputs, groups=members)]
        super().__init__(*layers, _Unpacked(members))
        self.inputs, self.outputs, self.members = inputs, outputs, members
        self.width, self.groups = width, groups
        self.hidden, self.dropout = tuple(hidden), dropout


def packed_mlp(
    inputs: int,
    outputs: int,
    *,
    members: int = 4,
    width: float = 2.0,
    groups: int = 1,
    hidden: Sequence[int] = (64, 64),
    dropout: float = 0.1,
    seed: int | None = None,
) -> PackedMLP:
    r"""Return S perceptrons in one, on flattened inputs, for :class:`PackedEnsemble`.

    Args:
        inputs: Features of a row, after flattening.
        outputs: Classes, or 2 T for the mean and scale of T targets.
        members: S.
        width: The paper's :math:`\alpha`: all members together are this many times as wide as
            ``hidden``.
        groups: The paper's :math:`\gamma`: into how many groups a member's own hidden layers are cut.
        hidden: Width of every hidden layer of the single network that this stands for.
        dropout: Share of units dropped after every hidden layer, in [0, 1).
        seed: Of the initial weights; ``None`` draws them as torch does, from its global generator.

    Returns:
        (N, inputs) -> (N S, outputs), a row's members in a row.

    Raises:
        ValueError: For sizes below one, no hidden layers, or a dropout outside [0, 1).

    Example:
        >>> packed_mlp(3, 2, members=4, seed=0)(torch.zeros(5, 3)).shape
        torch.Size([20, 2])
    """
    with seeded(seed):
        return PackedMLP(
            inputs,
            outputs,
            members=members,
            width=width,
            groups=groups,
            hidden=hidden,
            dropout=dropout,
        )
