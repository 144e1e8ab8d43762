"""Several networks that were trained apart, and one prediction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import MixtureSameFamily

from uncertain import checks
from uncertain.fit import Batch
from uncertain.predictive import log_prob, mixture


class DeepEnsemble(nn.Module):
    r"""The equal mixture of members that differ in their initial weights (and batches).

    .. math:: p(y \mid x) = \frac1S \sum_s p_s(y \mid x)

    Trained together, its objective is the *sum* of its members' objectives, so that no member learns
    from another's mistakes; the log-likelihood of the mixture would let them share the work, and its
    members would stop to be alternatives. Members trained apart may as well be put together later.

    Args:
        members: Predictors of one family: ``Softmax``, ``GaussianRegression``, or any module whose
            forward returns a distribution.

    Raises:
        ValueError: For no members, or the same module twice.

    References:
        B. Lakshminarayanan, A. Pritzel and C. Blundell, "Simple and scalable predictive uncertainty
        estimation using deep ensembles", 2017.

    Example:
        >>> import torch
        >>> from uncertain.baselines import Softmax, mlp
        >>> ensemble = DeepEnsemble([Softmax(mlp(3, 2, seed=s)) for s in range(5)])
        >>> ensemble(torch.zeros(4, 3)).component_distribution.batch_shape
        torch.Size([4, 5])
    """

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        modules = list(members)
        checks.check_not_empty("members", modules)
        if len({id(module) for module in modules}) < len(modules):
            raise ValueError(
                "`members` should be different modules, got one twice: it would count double."
            )
        self.members = nn.ModuleList(modules)

    def forward(self, x: Any) -> MixtureSameFamily:
        """Return the mixture of all members for each row."""
        return mixture([member(x) for member in self.members])

    def objective(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the sum of the members' objectives (their negative log-likelihoods by default)."""
        return sum((_loss(member, batch) for member in self.members), batch.weight.new_zeros(()))


def _loss(member: nn.Module, batch: Batch) -> Tensor:
    own = getattr(member, "objective", None)
    if callable(own):
        value: Tensor = own(batch)
        return value
    return batch.mean(-log_prob(member(batch.x), batch.y))
