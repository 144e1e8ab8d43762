"""What goes into each layer of a network, and how each output depends on what comes out of it.

``N`` rows, ``O`` outputs, ``P`` places (of an image or a sequence; 1 for vectors).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

RECORDED = (nn.Linear, nn.Conv2d)


class Record(NamedTuple):
    """One layer in one pass.

    Attributes:
        inputs: (N, I, P): what each place of the output is a linear map of, with a one at the end
            where the layer has a bias.
        gradients: (G, N, U, P): derivatives of the requested sums by the layer's U outputs.
    """

    inputs: Tensor
    gradients: Tensor


def recorded_layers(network: nn.Module) -> list[str]:
    """Return the names of the layers that are recorded.

    Raises:
        ValueError: Where there is none.
        TypeError: For a convolution that is no single matrix (groups, other padding).
    """
    names = [name for name, module in network.named_modules() if isinstance(module, RECORDED)]
    if not names:
        raise ValueError("`network` should have linear or 2d convolutional layers, got none.")
    for name in names:
        layer = network.get_submodule(name)
        if isinstance(layer, nn.Conv2d) and (layer.groups != 1 or layer.padding_mode != "zeros"):
            raise TypeError(
                f"`{name or type(layer).__name__}` should be a convolution of one group with zero "
                f"padding, got groups {layer.groups} and padding {layer.padding_mode}."
            )
    return names


def record(
    network: nn.Module,
    x: Any,
    names: Sequence[str],
    directions: Callable[[Float[Tensor, "N O"]], Float[Tensor, "G N O"]],
) -> tuple[Float[Tensor, "N O"], list[Record]]:
    """Run a network once forwards and G times backwards; rows must not depend on each other.

    Args:
        network: From inputs to outputs (N, O).
        x: Inputs.
        names: Of the layers.
        directions: From the outputs to G weightings of them: gradient g of row n is that of
            ``(directions[g, n] * output[n]).sum()``.

    Returns:
        The outputs, detached, and a record of each layer.

    Raises:
        ValueError: Where a layer is used more than once in a pass, or not at all.
    """
    taken: dict[str, tuple[Tensor, Tensor]] = {}

    def hook(name: str) -> Callable[..., Tensor]:
        def keep(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            if name in taken:
                raise ValueError(f"`{name}` is used more than once in a pass: give it one use.")
            # Frozen weights would leave the output outside the graph.
            output = output if output.requires_grad else output.detach().requires_grad_()
            taken[name] = (inputs[0].detach(), output)
            return output

        return keep

    # Predictions are made in inference mode; here derivatives are needed.
    with torch.inference_mode(False), torch.enable_grad():
        own = x.clone() if isinstance(x, Tensor) else x
        handles = [network.get_submodule(n).register_forward_hook(hook(n)) for n in names]
        try:
            output = network(own)
        finally:
            for handle in handles:
                handle.remove()
        missing = [name for name in names if name not in taken]
        if missing:
            raise ValueError(f"`{missing[0]}` is not used in a pass: leave it out of the network.")
        weightings = directions(output.detach())
        outs = [taken[name][1] for name in names]
        gradients = [
            torch.autograd.grad(output, outs, grad_outputs=w, retain_graph=g + 1 < len(weightings))
            for g, w in enumerate(weightings)
        ]
    records = []
    for i, name in enumerate(names):
        layer = network.get_submodule(name)
        stacked = torch.stack([g[i] for g in gradients]).detach()
        records.append(Record(_places(layer, taken[name][0]), _outputs(layer, stacked)))
    return output.detach(), records


def _places(layer: nn.Module, x: Tensor) -> Tensor:
    """Return a layer's input as (N, I, P), with ones for the bias."""
    if isinstance(layer, nn.Conv2d):
        padding: Any = layer.padding
        if isinstance(padding, str):
            reach = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
            before = [r // 2 if padding == "same" else 0 for r in reach]
            after = [
                (r - b) if padding == "same" else 0 for r, b in zip(reach, before, strict=True)
            ]
            x = F.pad(x, (before[1], after[1], before[0], after[0]))
            padding = 0
        places = F.unfold(
            x, layer.kernel_size, dilation=layer.dilation, padding=padding, stride=layer.stride
        )
    else:
        places = x.reshape(len(x), math.prod(x.shape[1:-1]), x.shape[-1]).transpose(1, 2)
    if layer.bias is None:
        return places
    return torch.cat([places, places.new_ones(len(places), 1, places.shape[2])], 1)


def _outputs(layer: nn.Module, gradients: Tensor) -> Tensor:
    """Return gradients (G, N, ...) as (G, N, U, P)."""
    if isinstance(layer, nn.Conv2d):
        return gradients.flatten(3)
    shape = gradients.shape
    rows = gradients.reshape(*shape[:2], math.prod(shape[2:-1]), shape[-1])
    return rows.transpose(2, 3)
