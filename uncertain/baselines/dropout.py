"""Monte Carlo dropout whose draws are fixed: a member is one mask, the same for every row."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, MixtureSameFamily

from uncertain import checks
from uncertain.baselines.softmax import cross_entropies, logits_of
from uncertain.fit import Batch
from uncertain.predictive import log_prob, mixture
from uncertain.predictive.classes import categorical

_CHANNELS = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_SELF_NORMALISING = (nn.AlphaDropout, nn.FeatureAlphaDropout)


class MonteCarloDropout(nn.Module):
    r"""The average of one network under S fixed dropout masks.

    .. math:: p(y \mid x) = \frac1S \sum_s p(y \mid x, m_s)

    The masks :math:`m_s` are functions of the seed, the layer and the member alone. They are shared
    by all rows, so a member is one network, a prediction does not depend on which rows stand beside
    it, and asking again gives the same answer. They are drawn on the host: every device has the same
    members.

    Trained as usual, with torch's random masks; ``forward`` uses the fixed ones in training mode too.
    In an ``nn.Sequential``, what comes before the first dropout runs once for all members.

    Args:
        network: A module with ``Dropout``, ``Dropout1d``, ``Dropout2d`` or ``Dropout3d`` layers,
            rows first, that returns logits (N, C), or a predictor that returns a distribution.
            Dropout that is no layer of its own (inside ``MultiheadAttention``) stays off.
        members: S, how many masks.
        seed: Of the masks.

    Raises:
        ValueError: Where no layer would drop anything.
        TypeError: For alpha dropout, whose masks also shift.

    References:
        Y. Gal and Z. Ghahramani, "Dropout as a Bayesian approximation", 2016.

    Example:
        >>> network = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 2))
        >>> predictor = MonteCarloDropout(network, members=4, seed=0)
        >>> x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
        >>> whole = predictor(x).component_distribution.logits
        >>> bool(torch.allclose(whole[:2], predictor(x[:2]).component_distribution.logits))
        True
    """

    def __init__(self, network: nn.Module, *, members: int = 20, seed: int = 0) -> None:
        super().__init__()
        checks.check_range("members", members, 1)
        layers = [module for module in network.modules() if _drops(module)]
        if any(isinstance(layer, _SELF_NORMALISING) for layer in layers):
            raise TypeError(
                "`network` should use Dropout, Dropout1d, Dropout2d or Dropout3d, got alpha dropout: "
                "its masks also shift the values."
            )
        if not layers:
            raise ValueError(
                "`network` should have a dropout layer with p above 0, got none: every member "
                "would be the same."
            )
        self.network = network
        self.members = members
        self.seed = seed
        self._masks: dict[tuple[Any, ...], Tensor] = {}

    def forward(self, x: Any) -> MixtureSameFamily:
        """Return the mixture of all members for each row.

        Raises:
            RuntimeError: Where no dropout layer took part, so that the members would be the same.
        """
        start, rest = 0, [self.network]
        if isinstance(self.network, nn.Sequential) and _is_chain(self.network):
            rest = list(self.network)
            start = next(i for i, m in enumerate(rest) if any(map(_drops, m.modules())))
        for module in rest[:start]:
            x = module(x)
        outputs = [self._member(rest[start:], x, member) for member in range(self.members)]
        if isinstance(outputs[0], Distribution):
            return mixture(outputs)
        return mixture(categorical(torch.stack([logits_of(o) for o in outputs], dim=1)))

    def objective(self, batch: Batch) -> Float[Tensor, ""]:
        """Return the network's own loss under torch's random masks: one pass, as in training."""
        output = self.network(batch.x)
        if isinstance(output, Distribution):
            return batch.mean(-log_prob(output, batch.y))
        return batch.mean(cross_entropies(logits_of(output), batch.y))

    def _member(self, modules: list[nn.Module], x: Any, member: int) -> Any:
        calls: dict[str, int] = {}
        with self._masked(member, calls):
            for module in modules:
                x = module(x)
        if not calls:
            raise RuntimeError(
                "None of the network's dropout layers was called, so its members would be the same."
            )
        return x

    @contextlib.contextmanager
    def _masked(self, member: int, calls: dict[str, int]) -> Iterator[None]:
        """Put one member's masks in the place of torch's random ones, and take them out again."""
        layers = [(n, m) for n, m in self.network.named_modules() if _drops(m)]
        before = [layer.training for _, layer in layers]
        handles = []
        try:
            for name, layer in layers:
                layer.training = False  # Else torch would draw as well, from the global generator.
                handles.append(layer.register_forward_hook(self._hook(name, member, calls)))
            yield
        finally:
            for handle in handles:
                handle.remove()
            for (_, layer), mode in zip(layers, before, strict=True):
                layer.training = mode

    def _hook(self, name: str, member: int, calls: dict[str, int]) -> Any:
        def multiply(layer: Any, _: Any, value: Tensor) -> Tensor:
            # A layer that is used twice in one pass has two masks.
            calls[name] = calls.get(name, -1) + 1
            shape = tuple(value.shape[1:])
            if isinstance(layer, _CHANNELS):
                shape = (shape[0], *(1 for _ in shape[1:]))
            return value * self._mask((name, calls[name], member), shape, layer.p, value)

        return multiply

    def _mask(
        self, place: tuple[Any, ...], shape: tuple[int, ...], p: float, like: Tensor
    ) -> Tensor:
        key = (*place, shape, p, like.dtype, like.device)
        if key not in self._masks:
            # Masks made in inference mode could not take part in a later backward pass.
            with torch.inference_mode(False):
                generator = torch.Generator().manual_seed(_mix(int(self.seed), *place))
                kept = torch.rand(shape, generator=generator, dtype=torch.float64) >= p
                mask = kept.to(torch.float64) / (1 - p) if p < 1 else kept.to(torch.float64) * 0
                self._masks[key] = mask.to(dtype=like.dtype, device=like.device)
        return self._masks[key]


def _drops(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0


def _is_chain(network: nn.Sequential) -> bool:
    """Whether a call is its children one after the other, and nothing else."""
    plain = type(network).forward is nn.Sequential.forward
    return plain and not (network._forward_hooks or network._forward_pre_hooks)


def _mix(*values: Any) -> int:
    """Return a 63-bit seed from several values, the same on every machine."""
    digest = hashlib.blake2b(repr(values).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
