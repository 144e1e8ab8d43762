"""Find the last linear layer of a network and catch what goes through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class _Pass(NamedTuple):
    module: nn.Module
    features: Tensor
    logits: Tensor


class LastLayer:
    """Hooks on a network's linear layers while the block lasts; :meth:`run` gives what they caught.

    Args:
        modules: The network's.
        layer: The last layer, by name or itself; ``None`` finds the one that is called last.
        dtype: Of what is caught.

    Raises:
        ValueError: Where the named layer does not exist or is not linear, or there is none.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> with LastLayer([network], None, torch.float32) as last:
        ...     features, logits = last.run(network, torch.ones(4, 2), 4)
        >>> features.shape, last.facts
        (torch.Size([4, 3]), {'layer': '2'})
    """

    def __init__(
        self, modules: Sequence[nn.Module], layer: str | nn.Module | None, dtype: torch.dtype
    ) -> None:
        self._names = {m: name for root in modules for name, m in root.named_modules()}
        self._given = layer is not None
        self._dtype = dtype
        self._candidates = [m for m in self._names if is_linear(m)]
        if layer is not None:
            self._candidates = [_named(self._names, layer)]
        if not self._candidates:
            raise ValueError(
                "`network` should have an nn.Linear or 1x1 convolution as its last layer, got "
                "neither: detectors need its weight and bias."
            )
        self._handles: list[Any] = []
        self._caught: list[_Pass] = []
        self._calls = 0

    @property
    def facts(self) -> dict[str, str]:
        """Return the layer's name, once it is known."""
        return {"layer": self._names[self._candidates[0]]} if len(self._candidates) == 1 else {}

    @property
    def weight(self) -> NDArray[np.float32]:
        """Return its weight, (C, D)."""
        weight = self._candidates[0].weight
        assert isinstance(weight, Tensor)
        return weight.detach().reshape(len(weight), -1).float().cpu().numpy()

    @property
    def bias(self) -> NDArray[np.float32]:
        """Return its bias, (C,), zeros where it has none."""
        bias = self._candidates[0].bias
        if not isinstance(bias, Tensor):
            return np.zeros(len(self.weight), np.float32)
        return bias.detach().float().cpu().numpy()

    def __enter__(self) -> LastLayer:
        self._hook()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._unhook()

    def run(self, network: Any, x: Any, count: int) -> tuple[Tensor, Tensor]:
        """Return the features (N, D) and logits (N, C) of one batch, where the network lies.

        Raises:
            ValueError: Where the layer was not called once, its shapes are not one row of numbers
                each, or the network's output is made of more than its logits.
        """
        self._caught.clear()
        self._calls = 0
        output = network(x)
        if not self._caught:
            raise ValueError(
                f"`layer` should be called when the network runs, got {self._shown()} that are not: "
                "name the layer that gives the logits."
            )
        module, features, logits = self._caught[0]
        self._check(module, features, logits, count)
        # What is not finite is refused by name when the rows are put together.
        if not self._given and logits.isfinite().all():
            _check_output(output, logits, self._names[module])
        if len(self._candidates) > 1:  # Known from here on.
            self._candidates = [module]
            self._unhook()
            self._hook()
        return _narrowed(features, self._dtype), _narrowed(logits, self._dtype)

    def _check(self, module: nn.Module, features: Tensor, logits: Tensor, count: int) -> None:
        name = self._names[module]
        if len(self._candidates) == 1 and self._calls > 1:
            raise ValueError(
                f"`layer` should be called once a pass, got {name!r} called {self._calls} times: "
                "several passes are mixed in one prediction; collect one network at a time."
            )
        for what, value in (("inputs", features), ("outputs", logits)):
            if value.ndim != 2 or len(value) != count:
                raise ValueError(
                    f"the {what} of the last layer {name!r} should have shape ({count}, K), one row "
                    f"of numbers each, got {tuple(value.shape)}: name another with `layer=`."
                )

    def _hook(self) -> None:
        self._handles = [m.register_forward_hook(self._catch) for m in self._candidates]

    def _unhook(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _catch(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self._calls += 1
        if inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
            # Copies: what follows may change both in place. Only the last call's are kept.
            self._caught[:] = [_Pass(module, _by_row(module, inputs[0]), _by_row(module, output))]

    def _shown(self) -> str:
        names = [repr(self._names[m]) for m in self._candidates[-3:]]
        return ", ".join(names)


def is_linear(module: nn.Module) -> bool:
    """Whether a module is an ``nn.Linear`` or a convolution of one position.

    Example:
        >>> is_linear(nn.Conv2d(3, 5, 1)), is_linear(nn.Conv2d(3, 5, 3))
        (True, False)
    """
    if isinstance(module, nn.Linear):
        return True
    if not isinstance(module, _CONVOLUTIONS):
        return False
    ones = all(size == 1 for size in (*module.kernel_size, *module.stride))
    unpadded = module.padding == "valid" or all(pad in (0, "same") for pad in module.padding)
    return ones and unpadded and module.groups == 1


def _named(names: Mapping[nn.Module, str], layer: str | nn.Module) -> nn.Module:
    found = [m for m, name in names.items() if m is layer or name == layer]
    linear = [repr(name) for m, name in names.items() if is_linear(m)]
    if not found:
        raise ValueError(
            f"`layer` should be a module of the network, got {layer!r}: its linear layers are "
            f"{', '.join(linear[-5:]) or 'none'}."
        )
    if not is_linear(found[0]):
        raise ValueError(
            f"`layer` should be an nn.Linear or a 1x1 convolution, got {type(found[0]).__name__}: "
            f"the network's linear layers are {', '.join(linear[-5:]) or 'none'}."
        )
    return found[0]


def _by_row(module: nn.Module, value: Tensor) -> Tensor:
    """Return (N, K): the mean over positions of a convolution's values; a copy."""
    if isinstance(module, _CONVOLUTIONS) and value.ndim > 2:
        return value.detach().flatten(2).to(torch.promote_types(value.dtype, torch.float32)).mean(2)
    return value.detach().clone()


def _narrowed(values: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype == torch.float16 and values.numel() and values.abs().max() > torch.finfo(dtype).max:
        raise ValueError(
            f"`dtype` should be float32 for these features, got float16 and a value of "
            f"{float(values.abs().max()):g}, which it cannot hold."
        )
    return values.to(dtype)


def _check_output(output: Any, logits: Tensor, name: str) -> None:
    """Make sure that the network answers with these logits, or their (log-)softmax."""
    found = _answer(output)
    if found is not None and found.shape == logits.shape:
        given, z = found.detach().double(), logits.double()
        tolerance = 1e-4 if found.dtype in (torch.float32, torch.float64) else 3e-2
        # A log-softmax differs from its logits by one number a row.
        shift = given - z - (given - z).mean(dim=1, keepdim=True)
        if shift.abs().max() <= tolerance * (1 + z.abs().max()):
            return
        if (given - z.softmax(dim=1)).abs().max() <= tolerance:
            return
    shape = type(output).__name__ if found is None else tuple(found.shape)
    raise ValueError(
        f"`network` should answer with the logits of its last layer, or their softmax, got {shape} "
        f"that are not those of {name!r} alone: collect the network before anything is averaged or "
        "scaled, or name the layer with `layer=`."
    )


def _answer(output: Any) -> Tensor | None:
    if isinstance(output, Categorical):
        return output.probs
    if isinstance(output, Distribution):
        return None
    if isinstance(output, Mapping) and "logits" in output:
        output = output["logits"]
    output = getattr(output, "logits", output)
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    if not isinstance(output, Tensor):
        return None
    return output.flatten(1) if output.ndim > 2 and output.shape[2:].numel() == 1 else output
